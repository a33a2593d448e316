// Package control serves the runner's control socket: front ends that have
// mail, and people who want to see the queue or change it (DESIGN 1, 5). Who may
// connect is settled by the directory that the socket is in; what a caller may do
// there, by the uid that the kernel tells.
package control

import (
	"errors"
	"io"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"dma/common/maillog"
	"dma/dma-queue/internal/schedule"
	"dma/dma-queue/internal/spool"
	"dma/proto"
)

// Limits.
const (
	maxClients    = 64               // connections served at a time; to others, to have woken the queue must suffice
	clientTimeout = 10 * time.Second // for a client to say what it wants, first and next
	clientLife    = 5 * time.Minute  // for all that it wants
	watchLife     = time.Hour        // for one that watches a message
	acceptRetry   = time.Second      // between tries while there are no descriptors
)

// Queue is what a client can ask of the scheduler.
type Queue interface {
	Wake()
	Flush(c schedule.Caller, sel proto.Selection) (schedule.Tally, error)
	Hold(c schedule.Caller, sel proto.Selection) (schedule.Tally, error)
	Release(c schedule.Caller, sel proto.Selection) (schedule.Tally, error)
	Remove(c schedule.Caller, sel proto.Selection) (schedule.Tally, error)
	List(c schedule.Caller, sel proto.Selection, yield func(schedule.Listing) error) error
	Show(c schedule.Caller, id spool.ID) (schedule.Listing, *os.File, error)
	Watch(c schedule.Caller, id spool.ID) (*schedule.Stream, error)
	Verify(c schedule.Caller, sender, address string, yield func(*proto.Verdict) error) error
	Probe(c schedule.Caller, m *proto.Probe) (*schedule.Stream, error)
}

// Server serves clients, on one listener after the other.
type Server struct {
	queue   Queue
	log     *maillog.Log
	who     func(*proto.Conn) schedule.Caller
	clients sync.WaitGroup
	room    chan struct{}
}

// New makes a server of q, for callers whom who makes out.
func New(q Queue, log *maillog.Log, who func(*proto.Conn) schedule.Caller) *Server {
	return &Server{queue: q, log: log, who: who, room: make(chan struct{}, maxClients)}
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
		life := time.AfterFunc(clientLife, c.Close)
		defer life.Stop()
		if err := s.serve(&client{Conn: c, life: life}); err != nil {
			s.log.Problem("control socket", err)
		}
	})
}

// client is a connection, and who is at its other end.
type client struct {
	*proto.Conn
	schedule.Caller
	life *time.Timer // closes it
}

// serve answers requests, one after the other, until the client has left.
func (s *Server) serve(c *client) error {
	if _, err := c.RecvHello(); err != nil {
		return nil // gone, or a stranger: it has woken the queue, and that is all it can
	}
	// A client that wants an answer waits for this before it asks (proto.Greet).
	if err := c.Send(0, &proto.Hello{Version: proto.Version}, nil); err != nil {
		return nil // gone
	}
	for first := true; ; first = false {
		p, err := c.Recv(clientTimeout, requests()...)
		if errors.Is(err, io.EOF) || err == nil && p.Message.Type() == proto.TypeWake {
			return nil // done, and nobody waits for an answer
		}
		if err != nil {
			return err
		}
		if first { // whoever only wakes is looked up by nobody
			c.Caller = s.who(c.Conn)
		}
		switch err := s.answer(c, p); {
		case errors.Is(err, schedule.ErrEnding), errors.Is(err, errLeft):
			return nil // end of file tells the client to ask the next runner
		case err != nil:
			return err
		}
	}
}
