package main

import (
	"errors"
	"fmt"
	"io"
	"time"

	"dma/common/conf"
	"dma/common/forward"
	"dma/common/outcome"
	"dma/proto"
)

// answerLimit is how long one answer may take: less than the runner waits (RULES
// B6), which then knows no more than that there was none.
const answerLimit = 20 * time.Second

// errNoAnswer ends the program: what is stuck in the kernel cannot be called back.
var errNoAnswer = errors.New("no answer from the file system")

// server answers the runner.
type server struct {
	conn   *proto.Conn
	user   user
	config func() (*conf.Config, error) // read anew for each answer
	limit  time.Duration
}

// serve works until the runner has closed the channel.
func (s server) serve() error {
	for {
		p, err := s.conn.Recv(0, proto.TypeExpand)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err == nil {
			err = s.answer(p.Request, p.Message.(*proto.Expand))
		}
		if err != nil {
			return err
		}
	}
}

// answer reads the file, anew each time, and sends what it says.
func (s server) answer(request uint32, m *proto.Expand) error {
	targets, err := s.expand(m.Extension)
	if err != nil {
		serr := s.conn.Send(request, &proto.Fail{Outcome: deferral(err)}, nil)
		if errors.Is(err, errNoAnswer) {
			return errors.Join(err, serr)
		}
		return serr
	}
	for i := range targets {
		if err := s.conn.Send(request, &targets[i], nil); err != nil {
			return err
		}
	}
	return s.conn.Send(request, &proto.End{Count: uint32(len(targets))}, nil)
}

// expand reads the file, but waits for a file system that hangs only so long.
func (s server) expand(extension string) ([]proto.Target, error) {
	type result struct {
		targets []proto.Target
		err     error
	}
	done := make(chan result, 1)
	go func() {
		c, err := s.config()
		if err != nil {
			done <- result{nil, configError{err}}
			return
		}
		targets, err := s.user.expand(c, extension)
		done <- result{targets, err}
	}()
	limit := time.NewTimer(s.limit)
	defer limit.Stop()
	select {
	case r := <-done:
		return r.targets, r.err
	case <-limit.C:
		return nil, fmt.Errorf("read the forward file in %s: %w within %v", s.user.home, errNoAnswer, s.limit)
	}
}

// configError is trouble with dma.conf.
type configError struct{ error }

// deferral is what becomes of the mail after err: it waits until the user has put
// the file right. It neither bounces nor goes to the mailbox, whatever the
// trouble is (RULES C2).
func deferral(err error) outcome.Outcome {
	code := "4.3.0" // other mail system status
	var unsafe *forward.UnsafeError
	var syntax *forward.SyntaxError
	var config configError
	switch {
	case errors.As(err, &unsafe):
		code = "4.7.0" // other security status
	case errors.As(err, &syntax), errors.Is(err, errEntry), errors.As(err, &config):
		code = "4.3.5" // system incorrectly configured
	}
	return outcome.Defer(code, "%v", err)
}
