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

	"dma/common/conf"
	"dma/common/forward"
	"dma/common/outcome"
	"dma/dma-local/internal/command"
	"dma/dma-local/internal/entry"
	"dma/dma-local/internal/letter"
	"dma/proto"
)

// Messages to a mailbox that wait together share a lock and a sync (RULES D9),
// up to these limits, since nobody else can use the mailbox meanwhile.
const (
	maxBatch      = 50                    // messages
	maxBatchBytes = 16 << 20              // after this much no more are taken in
	pace          = 20 * time.Millisecond // between batches, in which the next one gathers
)

// server does what the runner asks of it.
type server struct {
	conn     *proto.Conn
	in       *intake
	queue    uint32 // the account that owns message files
	account  entry.Account
	config   func() (*conf.Config, error) // read anew for each delivery
	now      func() time.Time
	pace     time.Duration   // between batches
	took     time.Time       // when the last batch was complete
	mail     bool            // this process has the group of mailboxes
	commands *command.Runner // nil: this process has it and no other, and runs nothing
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
	in, end := startIntake(s.conn)
	defer end()
	s.in = in
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

// take waits for a job and returns it with those for the mailbox that wait behind
// it. The first of a stream goes at once, the others as fast as the pace is: a sync
// for each would take longer than all else.
func (s *server) take() (jobs []job, err error) {
	defer func() { s.took = time.Now() }()
	until := s.took.Add(s.pace)
	size := int64(0)
	for len(jobs) < maxBatch && size < maxBatchBytes {
		p, err := s.in.next(len(jobs) == 0, until)
		if len(jobs) > 0 && errors.Is(err, os.ErrDeadlineExceeded) {
			break
		}
		if err != nil {
			return jobs, err
		}
		j := job{p.Request, p.Message.(*proto.Deliver), p.File}
		if err := s.check(j); err != nil {
			j.file.Close()
			result := proto.Result{Scope: proto.ScopeTarget, Outcome: outcome.Defer("4.3.0", "dma-local: %v", err)}
			return jobs, errors.Join(err, s.in.answer(j, result))
		}
		jobs = append(jobs, j)
		if j.deliver.Kind != proto.TargetMailbox {
			break
		}
		size += j.deliver.Size
	}
	return jobs, nil
}

// check looks whether the runner may ask for this. If not it is not the runner
// any more, or there is a bug: in both cases the channel ends.
func (s *server) check(j job) error {
	if s.account.Aliases && !j.deliver.Kind.ByToken() {
		return fmt.Errorf("%w: this process is for what the alias file names, and for no mailbox", proto.ErrProtocol)
	}
	if j.deliver.Kind.ByToken() && s.commands == nil {
		return fmt.Errorf("%w: this process has the group of mailboxes, runs no command and writes no file of a user's", proto.ErrProtocol)
	}
	return proto.CheckFile(j.file, s.queue, j.deliver.Size)
}

// work does jobs and answers them. SIGTERM, which otherwise ends this process at
// once, ends the work in good order, and stopped is true.
func (s *server) work(jobs []job) (stopped bool, err error) {
	ctx, cancel := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer cancel()
	var boxed, others []job
	for _, j := range jobs {
		defer j.file.Close()
		if j.deliver.Kind == proto.TargetMailbox {
			boxed = append(boxed, j)
		} else {
			others = append(others, j)
		}
	}
	if len(boxed) > 0 {
		err = s.toMailbox(ctx, boxed)
	}
	for _, j := range others {
		err = errors.Join(err, s.alone(ctx, j, s.byToken))
	}
	return ctx.Err() != nil, err
}

// alone does one job and answers it.
func (s *server) alone(ctx context.Context, j job, do func(context.Context, job) proto.Result) error {
	wanted, ctx, done := s.in.begin(ctx, j)
	defer done()
	if len(wanted) == 0 {
		return nil
	}
	return s.in.answer(j, do(ctx, j))
}

// toMailbox delivers jobs to the mailbox, or to the program in its place, and
// answers them.
func (s *server) toMailbox(ctx context.Context, jobs []job) error {
	c, err := s.config()
	var program []string
	if err == nil {
		program, err = s.program(c)
	}
	if program != nil {
		for _, j := range jobs {
			err = errors.Join(err, s.alone(ctx, j, func(ctx context.Context, j job) proto.Result {
				return s.commands.Program(ctx, program, j.deliver, j.letter())
			}))
		}
		return err
	}
	var b box
	if err == nil {
		b, err = s.mailbox(c)
	}
	if err != nil {
		b = out{proto.Result{Scope: proto.ScopeDestination, Outcome: outcome.Defer("4.3.5", "%v", err)}}
	}
	err = nil
	for len(jobs) > 0 {
		var aerr error
		jobs, aerr = s.together(ctx, b, jobs)
		err = errors.Join(err, aerr)
	}
	return err
}

// together delivers jobs to b and answers them. When one is given up meanwhile, those
// of the others that have nothing yet are returned, to be done once more.
func (s *server) together(ctx context.Context, b box, jobs []job) (again []job, err error) {
	wanted, during, done := s.in.begin(ctx, jobs...)
	defer done()
	letters := make([]letter.Letter, len(wanted))
	for i, j := range wanted {
		letters[i] = j.letter()
	}
	var results []proto.Result
	if len(wanted) > 0 {
		results = b.Deliver(during, letters)
	}
	stopped := during.Err() != nil && ctx.Err() == nil
	for i, j := range wanted {
		result := results[i]
		if stopped && result.Outcome.Class == outcome.Later {
			if !s.in.givenUp(j) {
				again = append(again, j)
				continue
			}
			result = notWanted()
		}
		err = errors.Join(err, s.in.answer(j, result))
	}
	return again, err
}

// out is a mailbox that is not to be found.
type out struct{ result proto.Result }

// Deliver says why.
func (o out) Deliver(_ context.Context, letters []letter.Letter) []proto.Result {
	results := make([]proto.Result, len(letters))
	for i := range results {
		results[i] = o.result
	}
	return results
}

// byToken delivers to what the user's file, or the alias file, says at the place that
// a token names.
func (s *server) byToken(ctx context.Context, j job) proto.Result {
	c, err := s.config()
	var e forward.Entry
	if err == nil {
		e, err = s.account.Find(c, j.deliver)
	}
	if err == nil && e.Kind == forward.Command {
		return s.commands.Command(ctx, e.Command, j.deliver, j.letter())
	}
	var b box
	if err == nil {
		b, err = s.file(e)
	}
	switch {
	case errors.Is(err, entry.ErrStale):
		return proto.Result{Scope: proto.ScopeStale, Outcome: outcome.Defer("4.3.0", "%v", err)}
	case err != nil:
		return proto.Result{Scope: proto.ScopeTarget, Outcome: outcome.Defer("4.3.0", "%v", err)}
	}
	result := b.Deliver(ctx, []letter.Letter{j.letter()})[0]
	result.Scope = proto.ScopeTarget // the user's other files may be well
	return result
}
