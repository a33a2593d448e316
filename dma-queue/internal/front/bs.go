package front

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"dma/common/conf"
	"dma/common/durable"
	"dma/common/sysexits"
	"dma/dma-queue/internal/smtpd"
	"dma/dma-queue/internal/spool"
)

// Limits of a session of SMTP.
const (
	smtpIdle  = 5 * time.Minute // without a byte in or out (RFC 5321 4.5.3.2.7)
	smtpTotal = submitTimeout
	smtpLeave = time.Second // for the last reply, which nobody may read
)

// SMTPInput is what a session of SMTP is made of (-bs). The program is by then
// whoever it will be: called by root it is nobody, and nobody is the submitter of
// what root hands in this way, since how many files it will take cannot be known
// before the first byte is read.
type SMTPInput struct {
	Options  Options
	Config   *conf.Config // nil if it could not be read
	Incoming string       // path
	In       io.Reader
	Out      io.Writer
	Now      func() time.Time
	Random   io.Reader
	Wake     func()                            // the runner, after each message
	Warn     func(operation string, err error) // logs

	idle, total time.Duration    // zero: the limits above
	options     []durable.Option // of tests
}

// ServeSMTP takes messages until the client ends the session. Each has its own
// file and is committed, as by Take, before its end is answered 250. A signal
// takes back what is not committed and ends the session (RULES A5).
func ServeSMTP(i SMTPInput) error {
	b := &smtpSession{SMTPInput: i, known: newLocal(i.Config), alive: make(chan struct{}, 1)}
	if b.idle == 0 {
		b.idle, b.total = smtpIdle, smtpTotal
	}
	signals := catchSignals()
	signal.Ignore(syscall.SIGPIPE, syscall.SIGXFSZ) // the write fails, not the program
	done := make(chan error, 1)
	go func() { done <- b.serve() }()
	idle, total := time.NewTimer(b.idle), time.NewTimer(b.total)
	defer idle.Stop()
	defer total.Stop()
	for {
		select {
		case err := <-done:
			return smtpResult(err)
		case <-b.alive:
			idle.Reset(b.idle)
		case sig := <-signals:
			if b.leave(done, "4.3.0 ended by a signal") {
				return failf(sysexits.TempFail, "%v: message was not accepted", sig)
			}
			return nil
		case <-idle.C:
			b.leave(done, "4.4.2 idle for too long")
			return failf(sysexits.TempFail, "SMTP: nothing came or could be written for %v", b.idle)
		case <-total.C:
			b.leave(done, "4.4.2 open for too long")
			return failf(sysexits.TempFail, "SMTP: the session did not end within %v", b.total)
		}
	}
}

// smtpResult is what the end of a session means to whoever started the program.
// The client has had its replies.
func smtpResult(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, smtpd.ErrCut):
		return failf(sysexits.DataErr, "SMTP: %w", err)
	case errors.Is(err, smtpd.ErrGarbage):
		return failf(sysexits.Protocol, "SMTP: %w", err)
	}
	return failf(sysexits.IOErr, "SMTP: %w", err)
}

// smtpSession is the Submitter of a session, and watches over its time.
type smtpSession struct {
	SMTPInput
	known *local
	alive chan struct{} // has something when a byte went in or out

	mu      sync.Mutex
	current *Submission // the client has no answer to it yet
	over    bool        // nothing is accepted any more
}

func (b *smtpSession) serve() error {
	s := smtpd.Server{
		Host:      "localhost",
		Envelope:  spool.Submission{FullName: b.Options.FullName, Tag: b.Options.Tag},
		Submitter: b,
	}
	if b.Config != nil {
		s.Host, s.MaxSize = b.Config.Hostname(), b.Config.MaxSize
	} else if name, err := os.Hostname(); err == nil {
		s.Host = name
	}
	return s.Serve(smtpReader{b}, smtpWriter{b})
}

type (
	smtpReader struct{ b *smtpSession }
	smtpWriter struct{ b *smtpSession }
)

// Read is called when all replies are written.
func (r smtpReader) Read(p []byte) (int, error) {
	r.b.answered()
	n, err := r.b.In.Read(p)
	r.b.isAlive()
	return n, err
}

func (w smtpWriter) Write(p []byte) (int, error) {
	n, err := w.b.Out.Write(p)
	w.b.isAlive()
	return n, err
}

func (b *smtpSession) isAlive() {
	select {
	case b.alive <- struct{}{}:
	default:
	}
}

// answered forgets a message that is committed or aborted.
func (b *smtpSession) answered() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.current != nil && b.current.isOver() {
		b.current = nil
	}
}

func (s *Submission) isOver() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.over
}

// leave ends the session from outside: it may be waiting for input that never
// comes. It reports whether a message was taken back. One that is committed gets
// its answer first, if the client reads it.
func (b *smtpSession) leave(done <-chan error, why string) (takenBack bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.over = true
	timer := time.NewTimer(smtpLeave)
	defer timer.Stop()
	if b.current != nil {
		if takenBack = b.current.Abort(); !takenBack {
			select {
			case <-b.alive: // from before
			default:
			}
			select {
			case <-done:
			case <-b.alive:
			case <-timer.C:
			}
			return false
		}
	}
	written := make(chan struct{})
	go func() {
		_, _ = fmt.Fprintf(b.Out, "421 %s\r\n", why)
		close(written)
	}()
	select {
	case <-written:
	case <-timer.C: // the program ends now, and the goroutine with it
	}
	return takenBack
}
