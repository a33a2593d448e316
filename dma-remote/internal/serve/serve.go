// Package serve answers the runner: it takes requests from the channel, has each
// delivered, and sends the results as they come.
package serve

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"

	"dma/common/outcome"
	"dma/dma-remote/internal/content"
	"dma/dma-remote/internal/courier"
	"dma/dma-remote/internal/session"
	"dma/proto"
)

// MaxRequests bounds the requests under way, half announced ones included. The
// runner keeps well below; whoever does not is no runner of ours.
const MaxRequests = 256

// Deliverer delivers one message and reports on each recipient before it returns,
// or tries a way without a message.
type Deliverer interface {
	Deliver(ctx context.Context, req *courier.Request)
	Probe(ctx context.Context, sender, domain string, report func(*proto.Report)) int
}

// Server is one channel's.
type Server struct {
	Conn    *proto.Conn
	Owner   uint32 // uid that message files belong to (RULES B5)
	Courier Deliverer
	Log     func(id string) courier.Log // of one message
}

// A job is a request from its Send or Probe on.
type job struct {
	number    uint32
	cancelled chan struct{} // closed by Cancel
	probe     *proto.Probe  // or
	send      *proto.Send
	file      *os.File
	rcpts     []session.Recipient
}

// requests are the jobs under way. Run adds, each job's goroutine removes its own.
type requests struct {
	mu  sync.Mutex
	all map[uint32]*job
}

// Run serves until the channel ends, which is no error. Then nobody wants results
// any more: what is under way is aborted and waited for.
func (s *Server) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	var jobs sync.WaitGroup
	rs := &requests{all: make(map[uint32]*job)}
	err := s.receive(ctx, rs, &jobs)
	cancel()
	jobs.Wait()
	for _, j := range rs.all {
		j.close() // Send without all its Rcpts
	}
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

func (s *Server) receive(ctx context.Context, rs *requests, jobs *sync.WaitGroup) error {
	for {
		p, err := s.Conn.Recv(0, proto.TypeSend, proto.TypeRcpt, proto.TypeProbe, proto.TypeCancel)
		if err != nil {
			return err
		}
		var j *job // that is complete
		switch m := p.Message.(type) {
		case *proto.Send:
			err = rs.begin(&job{number: p.Request, send: m, file: p.File})
		case *proto.Rcpt:
			j, err = rs.recipient(p.Request, m)
		case *proto.Probe:
			j = &job{number: p.Request, probe: m}
			err = rs.begin(j)
		case *proto.Cancel:
			rs.cancel(p.Request)
		}
		if err != nil {
			return err
		}
		if j != nil {
			jobs.Go(func() {
				s.run(ctx, j)
				rs.end(j)
			})
		}
	}
}

func (s *Server) run(ctx context.Context, j *job) {
	if j.probe != nil {
		s.probe(ctx, j)
	} else {
		s.deliver(ctx, j)
	}
}

func violation(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{proto.ErrProtocol}, args...)...)
}

func (r *requests) begin(j *job) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case r.all[j.number] != nil:
		j.close()
		return violation("request %d made twice", j.number)
	case len(r.all) == MaxRequests:
		j.close()
		return violation("more than %d requests", MaxRequests)
	}
	j.cancelled = make(chan struct{})
	r.all[j.number] = j
	return nil
}

func (r *requests) recipient(number uint32, m *proto.Rcpt) (*job, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	j := r.all[number]
	if j == nil || j.send == nil || int(m.Index) != len(j.rcpts) || m.Index >= j.send.Recipients {
		return nil, violation("recipient %d of request %d is out of order", m.Index, number)
	}
	j.rcpts = append(j.rcpts, session.Recipient{Address: m.Address, Notify: m.Notify, Original: m.Original})
	if len(j.rcpts) < int(j.send.Recipients) {
		return nil, nil
	}
	return j, nil
}

// cancel gives a request up. It may have come to its end already.
func (r *requests) cancel(number uint32) {
	r.mu.Lock()
	defer r.mu.Unlock()
	j := r.all[number]
	if j == nil {
		return
	}
	select {
	case <-j.cancelled: // once before
	default:
		close(j.cancelled)
	}
}

func (r *requests) end(j *job) {
	j.close()
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.all, j.number)
}

func (j *job) close() {
	if j.file != nil {
		j.file.Close()
	}
}

// probe answers with what is found, step by step.
func (s *Server) probe(ctx context.Context, j *job) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	over := make(chan struct{})
	var watch sync.WaitGroup
	watch.Go(func() {
		select {
		case <-j.cancelled:
			cancel()
		case <-over:
		}
	})
	defer watch.Wait()
	defer close(over)
	count := uint32(0)
	var failed error
	send := func(m proto.Message) {
		if err := s.Conn.Send(j.number, m, nil); err != nil {
			failed = err // the channel is of no use, which receive finds out, too
		}
	}
	s.Courier.Probe(ctx, j.probe.Sender, j.probe.Domain, func(m *proto.Report) {
		count++
		send(m)
	})
	send(&proto.End{Count: count})
	if failed != nil && ctx.Err() == nil {
		s.Log("").Problem("send report", failed)
	}
}

// deliver has one message delivered. A descriptor that is not what it should be
// defers this message alone: a file that was cut short must not stop all mail.
func (s *Server) deliver(ctx context.Context, j *job) {
	log := s.Log(j.send.ID)
	answer := func(i int, r courier.Result) {
		m := &proto.Result{Index: uint32(i), Scope: proto.ScopeTarget, Remote: outcome.Clean(r.Remote), Reports: r.Reports, Outcome: r.Outcome}
		if r.Destination && r.Class == outcome.Later {
			m.Scope = proto.ScopeDestination
		}
		// After an error the channel is of no use, which receive finds out, too.
		if err := s.Conn.Send(j.number, m, nil); err != nil && ctx.Err() == nil {
			log.Problem("send result", err)
		}
	}
	if err := proto.CheckFile(j.file, s.Owner, j.send.Size); err != nil {
		log.Problem("check message", err)
		for i := range j.rcpts {
			answer(i, courier.Result{Outcome: outcome.Defer("4.3.0", "%v", err)})
		}
		return
	}
	s.Courier.Deliver(ctx, &courier.Request{
		Domain:     j.send.Domain,
		Sender:     j.send.Sender,
		Recipients: j.rcpts,
		Ret:        j.send.Ret,
		EnvID:      j.send.EnvID,
		Body:       &content.Message{Header: header(j.send.DeliveredTo), File: j.file, Size: j.send.Size},
		Log:        log,
		Cancelled:  j.cancelled,
		Report:     answer,
	})
}

// header is what is put in front of the message (RULES C5).
func header(deliveredTo []string) string {
	var b strings.Builder
	for _, a := range deliveredTo {
		fmt.Fprintf(&b, "Delivered-To: %s\n", a)
	}
	return b.String()
}
