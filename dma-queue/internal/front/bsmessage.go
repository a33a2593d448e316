package front

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"dma/common/mailaddr"
	"dma/common/sysexits"
	"dma/dma-queue/internal/smtpd"
	"dma/dma-queue/internal/spool"
)

// errOver is the error of what comes behind the end of a session. Nobody sees it.
var errOver = errors.New("the session is over")

// Room says why a message of size bytes is not taken: MAXSIZE, or the disk.
func (b *smtpSession) Room(size int64) error {
	if b.Config == nil {
		return nil
	}
	if most := b.Config.MaxSize; most > 0 && size > most {
		return refusef(552, "5.3.4", "message over the limit of %d bytes", most)
	}
	err := checkRoom(b.Incoming, b.Config.MinFree, size)
	if f := (*Failure)(nil); errors.As(err, &f) && f.Code == sysexits.TempFail {
		return refusef(452, "4.3.1", "%w", err)
	}
	if err != nil {
		return b.trouble(err)
	}
	return nil
}

// Check says why mail for a is not taken, as far as that is certain here.
func (b *smtpSession) Check(a mailaddr.Addr) error {
	err := b.known.check(a.String())
	switch {
	case err == nil:
		return nil
	case errors.Is(err, errUnknown):
		return refusef(550, "5.1.1", "<%s>: %w", a, err)
	}
	return refusef(550, "5.7.1", "<%s>: %w", a, err) // DELIVERY
}

// Begin makes the file of a message.
func (b *smtpSession) Begin(envelope spool.Submission) (smtpd.Transaction, error) {
	if err := b.Room(0); err != nil { // since MAIL, there may have been other messages
		return nil, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.over {
		return nil, errOver
	}
	s := New(b.Incoming, b.Now(), b.Random, b.options...)
	err := s.open()
	if err == nil {
		err = s.do(func(f *spool.Incoming) error { return s.start(f, b.Config, envelope) })
	}
	if err != nil {
		s.Abort()
		if errors.Is(err, spool.ErrLimit) {
			return nil, refusef(452, "4.5.3", "too many recipients: %w", err)
		}
		return nil, b.trouble(err)
	}
	b.current = s
	return &smtpMessage{session: b, s: s}, nil
}

// trouble is the refusal for an error of this host.
func (b *smtpSession) trouble(err error) error {
	b.Warn("take a message by SMTP", err)
	for _, full := range []error{unix.ENOSPC, unix.EDQUOT} {
		if errors.Is(err, full) {
			return refusef(452, "4.3.1", "%w", err)
		}
	}
	return refusef(451, "4.3.0", "%w", err)
}

// smtpMessage is a message that is being taken. Its header is held until it is
// known not to be too long.
type smtpMessage struct {
	session *smtpSession
	s       *Submission
	header  header
	held    []byte
	passed  bool // the header is written
}

// Write takes a piece of the message.
func (m *smtpMessage) Write(p []byte) (int, error) {
	if m.passed {
		return len(p), m.write(p)
	}
	m.held = append(m.held, p...)
	return len(p), m.pass(false)
}

// pass writes what is held once the end of the header is in it.
func (m *smtpMessage) pass(eof bool) error {
	n, more := m.header.end(m.held, eof)
	switch {
	case n > maxHeader || more && len(m.held) > maxHeader:
		return refusef(552, "5.3.4", "header longer than %d bytes", maxHeader)
	case more:
		return nil
	}
	held := m.held
	m.passed, m.held = true, nil
	return m.write(held)
}

func (m *smtpMessage) write(p []byte) error {
	err := m.s.do(func(f *spool.Incoming) error { _, err := f.Write(p); return err })
	switch {
	case err == nil:
		return nil
	case errors.Is(err, spool.ErrLimit):
		return refusef(552, "5.3.4", "%w", err)
	}
	return m.session.trouble(err)
}

// Commit makes the message durable, and has the runner look for it.
func (m *smtpMessage) Commit() (string, error) {
	if !m.passed {
		if err := m.pass(true); err != nil {
			m.Abort()
			return "", err
		}
	}
	err := m.s.do(func(f *spool.Incoming) error {
		err := f.Commit()
		m.s.over = err == nil
		return err
	})
	if err != nil {
		m.Abort()
		return "", m.session.trouble(err)
	}
	m.session.Wake()
	return string(m.s.ID), nil
}

// Abort takes the message back.
func (m *smtpMessage) Abort() {
	m.s.Abort()
	m.session.answered()
}

func refusef(code int, status, format string, args ...any) error {
	return &smtpd.Refusal{Code: code, Status: status, Err: fmt.Errorf(format, args...)}
}
