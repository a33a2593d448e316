package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"dma/common/outcome"
	"dma/dma-local/internal/command"
	"dma/dma-local/internal/letter"
	"dma/dma-local/internal/mbox"
	"dma/proto"
)

// Messages to a mailbox that wait together share a lock and a sync (RULES D9),
// up to these limits, since nobody else can use the mailbox meanwhile.
const (
	maxBatch      = 32               // messages
	maxBatchBytes = 16 << 20         // after this much no more are taken in
	linger        = time.Millisecond // for one that was sent right behind the last
)

// server does what the runner asks of it.
type server struct {
	conn     *proto.Conn
	queue    uint32          // the account that owns message files
	box      *mbox.Box       // nil: this process writes no mailbox
	commands *command.Runner // nil: this process runs no command
}

// job is one request.
type job struct {
	request uint32
	deliver *proto.Deliver
	file    *os.File
}

func (j job) letter() letter.Letter {
	d := j.deliver
	return letter.Letter{Sender: d.Sender, DeliveredTo: d.DeliveredTo, Text: j.file, Size: d.Size}
}

// serve works until the runner has closed the channel. What was received before
// an error is done and answered before it is returned.
func (s *server) serve() error {
	for {
		jobs, err := s.take()
		stopped, werr := s.work(jobs)
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil || werr != nil:
			return errors.Join(err, werr)
		case stopped:
			return nil
		}
	}
}

// take waits for a job and returns it with those for the mailbox that wait behind it.
func (s *server) take() (jobs []job, err error) {
	var timeout time.Duration
	size := int64(0)
	for len(jobs) < maxBatch && size < maxBatchBytes {
		p, err := s.conn.Recv(timeout, proto.TypeDeliver)
		if len(jobs) > 0 && errors.Is(err, os.ErrDeadlineExceeded) {
			break
		}
		if err != nil {
			return jobs, err
		}
		j := job{p.Request, p.Message.(*proto.Deliver), p.File}
		if err := s.check(j); err != nil {
			j.file.Close()
			result := &proto.Result{Scope: proto.ScopeTarget, Outcome: outcome.Defer("4.3.0", "dma-local: %v", err)}
			return jobs, errors.Join(err, s.conn.Send(j.request, result, nil))
		}
		jobs = append(jobs, j)
		if j.deliver.Kind != proto.TargetMailbox {
			break
		}
		size += j.deliver.Size
		timeout = linger
	}
	return jobs, nil
}

// check looks whether the runner may ask for this. If not it is not the runner
// any more, or there is a bug: in both cases the channel ends.
func (s *server) check(j job) error {
	switch {
	case j.deliver.Kind == proto.TargetMailbox && s.box == nil:
		return fmt.Errorf("%w: this process writes no mailbox", proto.ErrProtocol)
	case j.deliver.Kind == proto.TargetCommand && s.commands == nil:
		return fmt.Errorf("%w: this process has the group of mailboxes and runs no command", proto.ErrProtocol)
	}
	return proto.CheckFile(j.file, s.queue, j.deliver.Size)
}

// work does jobs and answers them. SIGTERM, which otherwise ends this process at
// once, ends the work in good order, and stopped is true.
func (s *server) work(jobs []job) (stopped bool, err error) {
	ctx, cancel := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer cancel()
	var letters []letter.Letter
	var boxed []job
	for _, j := range jobs {
		defer j.file.Close()
		if j.deliver.Kind == proto.TargetMailbox {
			letters, boxed = append(letters, j.letter()), append(boxed, j)
		}
	}
	if len(boxed) > 0 {
		for i, result := range s.box.Deliver(ctx, letters) {
			err = errors.Join(err, s.conn.Send(boxed[i].request, &result, nil))
		}
	}
	for _, j := range jobs {
		if j.deliver.Kind == proto.TargetCommand {
			result := s.commands.Deliver(ctx, j.deliver, j.letter())
			err = errors.Join(err, s.conn.Send(j.request, &result, nil))
		}
	}
	return ctx.Err() != nil, err
}
