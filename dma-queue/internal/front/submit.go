package front

import (
	"errors"
	"io"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"dma/common/conf"
	"dma/common/durable"
	"dma/common/site"
	"dma/common/sysexits"
	"dma/dma-queue/internal/spool"
)

// Limits of a submission.
const (
	submitTimeout = 24 * time.Hour // from creating the file to the end of the message (RULES A4)
	idTries       = 3              // ids tried; a second one is never needed in practice
	readSize      = 32 << 10       // bytes of the message read at once
	incomingUmask = 0o073          // what is made now is for its owner and, from its first moment, for the runner
	quickSize     = 128 << 10      // bytes of a message that are collected before its file is made
)

// Submission is a message on its way into incoming. It is there whole or not at
// all, whatever happens: Take decides.
//
// Most messages are there whole when the program starts, in a file or a pipe.
// Such a one is read first, and from then until it is committed signals are
// ignored: that takes no longer than the disk does, and nobody can tell whether
// one came just before the commit or just after it. Otherwise the file is made
// first, so that whoever is going to type a message hears at once that it could
// not be taken, and signals are caught; that costs more than all the rest but the syncs.
type Submission struct {
	ID spool.ID

	path    string // of incoming
	now     time.Time
	random  io.Reader
	options []durable.Option

	signals chan os.Signal // those that ask the program to end; nil until they are caught
	mu      sync.Mutex     // of in, and of what becomes of it
	in      *spool.Incoming
	over    bool // committed or aborted
	left    bool // aborted, but the file could not be removed
}

// New makes a submission to the directory incoming. It has no file yet.
func New(incoming string, now time.Time, random io.Reader, options ...durable.Option) *Submission {
	signal.Ignore(syscall.SIGPIPE, syscall.SIGXFSZ) // the write fails, not the program
	unix.Umask(incomingUmask)
	return &Submission{path: incoming, now: now, random: random, options: options}
}

// Signals are those that ask the program to end, once they are caught: after
// Begin, and when Take had to wait for the message.
func (s *Submission) Signals() <-chan os.Signal { return s.signals }

// Begin makes the file of the submission, as whoever the program is now, before
// anything is read. From then on no signal ends the program; see Take.
func (s *Submission) Begin() error {
	s.signals = catchSignals()
	return s.open()
}

func (s *Submission) open() error {
	dir, err := durable.OpenDir(s.path, s.options...)
	for try := 0; err == nil; try++ {
		if s.ID, err = spool.NewID(s.now, s.random); err != nil {
			return failf(sysexits.OSErr, "%w", err)
		}
		if s.in, err = spool.NewIncoming(dir, s.ID); err == nil {
			return nil
		}
		if errors.Is(err, unix.EEXIST) && try < idTries {
			err = nil
		}
	}
	if (errors.Is(err, unix.EACCES) || errors.Is(err, unix.EPERM)) && noSetGID() {
		return failf(sysexits.NoPerm, "%w (%s)", err, setGIDHint)
	}
	return failf(exitCode(err, sysexits.CantCreat), "%w", err)
}

const setGIDHint = "the set-gid bit of this program has no effect here; it needs it: look for no_new_privs, a user namespace or a nosuid mount"

// noSetGID reports whether the program runs without the group it is installed with.
func noSetGID() bool {
	return !site.Private() && os.Geteuid() != 0 && os.Getegid() == os.Getgid()
}

// catchSignals has the signals that ask for an end come to a channel, unless the
// caller wants them ignored. The Go runtime tells of an inherited ignore for INT
// and HUP alone; a shell sets it for INT and QUIT together.
func catchSignals() chan os.Signal {
	caught := make(chan os.Signal, 1)
	signal.Notify(caught, syscall.SIGTERM, syscall.SIGXCPU)
	if !signal.Ignored(syscall.SIGHUP) {
		signal.Notify(caught, syscall.SIGHUP)
	}
	if signal.Ignored(syscall.SIGINT) {
		signal.Ignore(syscall.SIGQUIT)
	} else {
		signal.Notify(caught, syscall.SIGINT, syscall.SIGQUIT)
	}
	return caught
}

// Input is what a submission is made of.
type Input struct {
	Options Options
	Config  *conf.Config // nil if it could not be read
	Caller  Caller
	Message io.Reader
	Ready   func() bool // whether a read of Message would not wait
	Stderr  io.Writer
	Warn    func(operation string, err error) // logs

	// Before, if it is not nil, is called when all is written and checked, and the
	// message is about to be committed.
	Before func(id spool.ID)
}

// Take reads the message and commits it. When it returns nil the message is
// safe; otherwise nothing of it is left. A signal before the commit ends it with
// an error, a later one changes nothing (RULES A5).
func (s *Submission) Take(i Input) error {
	in := &input{r: i.Message, filter: filter{keepDots: i.Options.KeepDots}}
	if s.signals == nil {
		for !in.eof && len(in.buf) < quickSize && i.Ready() {
			if err := in.fill(); err != nil {
				return err
			}
		}
		if in.eof {
			signal.Ignore(syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP, syscall.SIGQUIT, syscall.SIGXCPU)
			return s.take(i, in)
		}
		if err := s.Begin(); err != nil {
			return err
		}
	}
	done := make(chan error, 1)
	go func() { done <- s.take(i, in) }()
	tooLong := time.NewTimer(submitTimeout)
	defer tooLong.Stop()
	for {
		select {
		case err := <-done:
			return err
		case sig := <-s.signals:
			if s.Abort() {
				// take waits for input that may never come; it can do nothing any more.
				return failf(sysexits.TempFail, "%v: message was not accepted", sig)
			}
		case <-tooLong.C:
			if s.Abort() {
				return failf(sysexits.TempFail, "the message did not end within %v", submitTimeout)
			}
		}
	}
}

// Abort takes the submission back unless it is committed, and reports whether
// it did. It waits for a commit that is under way.
func (s *Submission) Abort() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.over {
		return false
	}
	s.over = true
	s.left = s.in != nil && !s.in.Abort()
	return true
}

// LeftFile reports whether an aborted submission left a file without a message
// in it, for the runner to remove.
func (s *Submission) LeftFile() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.left
}

// errAborted is the error of what comes after an abort. Nobody sees it.
var errAborted = errors.New("submission was aborted")

// do does something with the file.
func (s *Submission) do(f func(*spool.Incoming) error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.over {
		return errAborted
	}
	err := f(s.in)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, spool.ErrLimit):
		return failf(sysexits.Unavailable, "%w", err)
	}
	return failf(exitCode(err, sysexits.IOErr), "%w", err)
}

// take does what is left to do, and takes it back if that fails.
func (s *Submission) take(i Input, in *input) error {
	err := s.store(i, in)
	if err != nil {
		s.Abort()
	}
	return err
}

func (s *Submission) store(i Input, in *input) error {
	if i.Config != nil {
		if err := CheckSpace(s.path, i.Config.MinFree); err != nil {
			return err
		}
	}
	envelope := i.envelope()
	head, err := in.header()
	if err != nil {
		return err
	}
	r := recipients{stderr: i.Stderr}
	for _, arg := range i.Options.Recipients {
		r.add(arg)
	}
	if i.Options.FromHeader {
		r.addHeader(head)
	}
	if err := r.check(newLocal(i.Config)); err != nil {
		return err
	}
	envelope.Recipients, envelope.Bad = spool.To(r.good...), r.bad
	for n := range envelope.Recipients {
		envelope.Recipients[n].Notify = i.Options.Notify
	}
	if s.signals == nil {
		if err := s.open(); err != nil {
			return err
		}
	}
	if err := s.do(func(f *spool.Incoming) error { return s.start(f, i.Config, envelope) }); err != nil {
		return err
	}
	for {
		if err := s.do(func(f *spool.Incoming) error { _, err := f.Write(in.buf); return err }); err != nil {
			return err
		}
		if in.eof {
			break
		}
		in.buf = in.buf[:0]
		if err := in.fill(); err != nil {
			return err
		}
	}
	if i.Before != nil {
		i.Before(s.ID)
	}
	return s.do(func(f *spool.Incoming) error {
		err := f.Commit()
		s.over = err == nil
		return err
	})
}

func (s *Submission) start(f *spool.Incoming, c *conf.Config, envelope spool.Submission) error {
	if c != nil {
		f.MaxSize = c.MaxSize
	}
	return f.SetEnvelope(envelope)
}

// exitCode is the exit code of a failed system call: 75 for what passes (RULES
// A9), 77 for a lack of permission.
func exitCode(err error, otherwise int) int {
	for _, passing := range []error{
		unix.ENOSPC, unix.EDQUOT, unix.EROFS, unix.EIO, unix.EMFILE, unix.ENFILE,
		unix.ENOMEM, unix.EFBIG, unix.EAGAIN, durable.ErrGone,
	} {
		if errors.Is(err, passing) {
			return sysexits.TempFail
		}
	}
	if errors.Is(err, unix.EACCES) || errors.Is(err, unix.EPERM) {
		return sysexits.NoPerm
	}
	return otherwise
}
