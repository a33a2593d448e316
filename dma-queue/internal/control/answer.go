package control

import (
	"errors"
	"fmt"
	"io"
	"os"

	"dma/dma-queue/internal/schedule"
	"dma/dma-queue/internal/spool"
	"dma/proto"
)

// errLeft says that the client has gone, or has heard all.
var errLeft = errors.New("the client has left")

// requests are what a client may ask.
func requests() []proto.Type {
	return []proto.Type{
		proto.TypeWake, proto.TypeFlush, proto.TypeHold, proto.TypeRelease, proto.TypeRemove,
		proto.TypeList, proto.TypeShow, proto.TypeWatch, proto.TypeVerify, proto.TypeProbe,
	}
}

// answer answers one request. After an error the connection is of no more use.
func (s *Server) answer(c *client, p proto.Packet) error {
	switch m := p.Message.(type) {
	case *proto.Flush:
		return acknowledge(c, p.Request, m.Selection, s.queue.Flush)
	case *proto.Hold:
		return acknowledge(c, p.Request, m.Selection, s.queue.Hold)
	case *proto.Release:
		return acknowledge(c, p.Request, m.Selection, s.queue.Release)
	case *proto.Remove:
		return acknowledge(c, p.Request, m.Selection, s.queue.Remove)
	case *proto.List:
		return s.list(c, p.Request, m.Selection)
	case *proto.Show:
		return s.show(c, p.Request, m.ID)
	case *proto.Watch:
		return s.watch(c, p.Request, m.ID)
	case *proto.Verify:
		return s.verify(c, p.Request, m)
	case *proto.Probe:
		return s.probe(c, p.Request, m)
	}
	return fmt.Errorf("%w: request %d", proto.ErrProtocol, p.Message.Type())
}

func acknowledge(c *client, request uint32, sel proto.Selection, do func(schedule.Caller, proto.Selection) (schedule.Tally, error)) error {
	t, err := do(c.Caller, sel)
	if err != nil {
		return err
	}
	return c.Send(request, &proto.Ack{Count: t.Done, Denied: t.Denied, Busy: t.Busy}, nil)
}

func (s *Server) list(c *client, request uint32, sel proto.Selection) error {
	items := uint32(0)
	err := s.queue.List(c.Caller, sel, func(l schedule.Listing) error {
		items++
		return sendListing(c, request, l)
	})
	if err != nil {
		return err
	}
	return c.Send(request, &proto.End{Count: items}, nil)
}

func sendListing(c *client, request uint32, l schedule.Listing) error {
	if err := c.Send(request, &l.Item, nil); err != nil {
		return err
	}
	for i := range l.States {
		if err := c.Send(request, &l.States[i], nil); err != nil {
			return err
		}
	}
	return nil
}

func (s *Server) show(c *client, request uint32, id string) error {
	var l schedule.Listing
	var f *os.File
	parsed, err := spool.ParseID(id)
	if err != nil {
		err = os.ErrNotExist
	} else {
		l, f, err = s.queue.Show(c.Caller, parsed)
	}
	if errors.Is(err, os.ErrNotExist) {
		return c.Send(request, &proto.End{}, nil)
	}
	if err != nil {
		return err
	}
	err = sendListing(c, request, l)
	if f != nil {
		defer f.Close()
		if err == nil {
			err = c.Send(request, &proto.Content{}, f)
		}
	}
	if err != nil {
		return err
	}
	return c.Send(request, &proto.End{Count: 1}, nil)
}

func (s *Server) verify(c *client, request uint32, m *proto.Verify) error {
	stations := uint32(0)
	err := s.queue.Verify(c.Caller, m.Sender, m.Address, func(v *proto.Verdict) error {
		stations++
		return c.Send(request, v, nil)
	})
	if err != nil {
		return err
	}
	return c.Send(request, &proto.End{Count: stations}, nil)
}

// watch tells of a message until its first try is over. Meanwhile the client may
// say that the message is there: it has only this connection.
func (s *Server) watch(c *client, request uint32, id string) error {
	parsed, err := spool.ParseID(id)
	if err != nil {
		return fmt.Errorf("%w: watch: %w", proto.ErrProtocol, err)
	}
	news, err := s.queue.Watch(c.Caller, parsed)
	if err != nil {
		return err
	}
	c.life.Reset(watchLife)
	if err := c.Send(request, &proto.Ack{Count: 1}, nil); err != nil {
		news.Close()
		return errLeft
	}
	s.clients.Go(func() {
		if pass(c, request, news) == nil {
			c.life.Reset(clientTimeout) // it leaves when it has read the End
		} else {
			c.Close() // ends the Recv below
		}
	})
	defer s.queue.Wake() // it may have died behind its commit
	defer news.Close()
	for {
		_, err := c.Recv(0, proto.TypeWake)
		switch {
		case err == nil:
			s.queue.Wake()
		case errors.Is(err, proto.ErrProtocol):
			return err
		default:
			return errLeft
		}
	}
}

func (s *Server) probe(c *client, request uint32, m *proto.Probe) error {
	news, err := s.queue.Probe(c.Caller, m)
	if errors.Is(err, schedule.ErrDenied) {
		report := &proto.Report{Level: proto.LevelError, About: "probe", Found: err.Error(), Do: "run the check as root"}
		if err := c.Send(request, report, nil); err != nil {
			return errLeft
		}
		return c.Send(request, &proto.End{Count: 1}, nil)
	}
	if err != nil {
		return err
	}
	return pass(c, request, news)
}

// pass passes on all that news brings, and an End.
func pass(c *client, request uint32, news *schedule.Stream) error {
	defer news.Close()
	for n := uint32(0); ; n++ {
		m, err := news.Next()
		if errors.Is(err, io.EOF) {
			return c.Send(request, &proto.End{Count: n}, nil)
		}
		if err != nil {
			return err
		}
		if err := c.Send(request, m, nil); err != nil {
			return errLeft
		}
	}
}
