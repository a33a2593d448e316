// Package control serves the runner's control socket: front ends that have
// mail, want the queue tried, or want to see it (DESIGN 1, 5). Who may connect is
// settled by the directory that the socket is in.
package control

import (
	"errors"
	"io"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"dma/common/maillog"
	"dma/dma-queue/internal/schedule"
	"dma/proto"
)

// Limits.
const (
	maxClients    = 64               // connections served at a time; to others, to have woken the queue must suffice
	clientTimeout = 10 * time.Second // for a client to say what it wants
	clientLife    = 5 * time.Minute  // for all that it wants
	acceptRetry   = time.Second      // between tries while there are no descriptors
)

// Queue is what a client can ask of the scheduler.
type Queue interface {
	Wake()
	Flush() bool
	List(yield func(schedule.Listing) error) error
}

// Server serves clients, on one listener after the other.
type Server struct {
	queue   Queue
	log     *maillog.Log
	clients sync.WaitGroup
	room    chan struct{}
}

// New makes a server of q.
func New(q Queue, log *maillog.Log) *Server {
	return &Server{queue: q, log: log, room: make(chan struct{}, maxClients)}
}

// Start serves the clients of l, and accepts new ones until l is closed.
func (s *Server) Start(l *proto.Listener) { s.clients.Go(func() { s.accept(l) }) }

// Wait returns when all clients are served and all listeners closed.
func (s *Server) Wait() { s.clients.Wait() }

// accept: to connect is to wake. A client that dies before it says so has
// nevertheless committed its message, and no client, however many there are and
// whatever they do, keeps another from waking.
func (s *Server) accept(l *proto.Listener) {
	for {
		c, err := l.Accept()
		switch {
		case err == nil:
			s.queue.Wake()
			s.client(c)
		case noRoom(err):
			s.queue.Wake() // somebody is there
			s.log.Problem("control socket", err)
			<-time.NewTimer(acceptRetry).C
		default:
			return
		}
	}
}

// noRoom reports whether Accept may succeed later.
func noRoom(err error) bool {
	for _, e := range []error{unix.EMFILE, unix.ENFILE, unix.ENOBUFS, unix.ENOMEM} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

func (s *Server) client(c *proto.Conn) {
	select {
	case s.room <- struct{}{}:
	default:
		c.Close()
		return
	}
	s.clients.Go(func() {
		defer func() { <-s.room }()
		defer c.Close()
		defer time.AfterFunc(clientLife, c.Close).Stop()
		if err := s.serve(c); err != nil {
			s.log.Problem("control socket", err)
		}
	})
}

func (s *Server) serve(c *proto.Conn) error {
	if _, err := c.RecvHello(); err != nil {
		return nil // gone, or a stranger: it has woken the queue, and that is all it can
	}
	// A client that wants an answer waits for this before it asks (proto.Greet).
	if err := c.Send(0, &proto.Hello{Version: proto.Version}, nil); err != nil {
		return nil // gone
	}
	p, err := c.Recv(clientTimeout, proto.TypeWake, proto.TypeFlush, proto.TypeList)
	if errors.Is(err, io.EOF) || err == nil && p.Message.Type() == proto.TypeWake {
		return nil // done, and nobody waits for an answer
	}
	if err != nil {
		return err
	}
	if p.Message.Type() == proto.TypeFlush {
		if !s.queue.Flush() {
			return nil // end of file tells the client to ask the next runner
		}
		return c.Send(p.Request, &proto.Ack{}, nil)
	}
	items := uint32(0)
	err = s.queue.List(func(l schedule.Listing) error {
		items++
		if err := c.Send(p.Request, &l.Item, nil); err != nil {
			return err
		}
		for i := range l.States {
			if err := c.Send(p.Request, &l.States[i], nil); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	return c.Send(p.Request, &proto.End{Count: items}, nil)
}
