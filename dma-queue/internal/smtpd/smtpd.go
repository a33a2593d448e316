// Package smtpd takes mail by SMTP from a program on the same host, on a pipe or
// socket pair (sendmail -bs). There is no network, no login and no TLS here: the
// peer is whoever started the program, and can do no more than hand in mail.
//
// RFC 5321, with PIPELINING (RFC 2920), 8BITMIME (6152), SMTPUTF8 (6531), SIZE
// (1870), DSN (3461) and ENHANCEDSTATUSCODES (2034). HELO and EHLO are answered
// but not asked for, and angle brackets may be missing, as in other sendmails.
//
// # Line ends
//
// A command may end in CRLF or in LF alone, since scripts on a pipe write what is
// in a file. What ends a message is decided once, by the first command: if that
// ended in CRLF, then CRLF.CRLF and nothing else; if it ended in LF, then a dot
// between two LF. So no byte sequence inside a message, whoever wrote it, ends it
// for this program and not for the one that handed it in, or the other way round.
// In a message both CRLF and LF become the line end of the queue, LF.
package smtpd

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"

	"dma/common/mailaddr"
	"dma/dma-queue/internal/spool"
)

// Limits of a session. How long it may take is for the caller to say.
const (
	maxLine   = 2 << 10  // bytes in a command: RFC 5321 4.5.3.1.4 has 512, extensions add some, and addresses have up to 1000
	maxSkip   = 1 << 20  // bytes of a longer line that are passed over before the session ends
	maxBad    = 50       // commands in a session that are no good
	chunkSize = 32 << 10 // bytes of a message that are handed on at once
)

// Submitter is where the messages go. An error that is no Refusal is answered as
// trouble of this host: 451.
type Submitter interface {
	// Room says why a message of size bytes, 0 if that is not known, is not taken now.
	Room(size int64) error
	// Check says why mail for a is not taken.
	Check(a mailaddr.Addr) error
	// Begin begins a message.
	Begin(envelope spool.Submission) (Transaction, error)
}

// Transaction is a message on its way. Commit or Abort ends it.
type Transaction interface {
	io.Writer // of the message, lines ending in LF
	// Commit returns when nothing can lose the message any more, with its id.
	// After an error nothing is left of it.
	Commit() (id string, err error)
	Abort()
}

// Refusal is an error that says how it is answered.
type Refusal struct {
	Code   int    // of the reply (RFC 5321 4.2)
	Status string // RFC 3463
	Err    error
}

func (r *Refusal) Error() string { return r.Err.Error() }

// Unwrap gives the cause.
func (r *Refusal) Unwrap() error { return r.Err }

func refuse(code int, status, format string, args ...any) error {
	return &Refusal{code, status, fmt.Errorf(format, args...)}
}

// How a session ends that does not end well.
var (
	ErrCut     = errors.New("the input ended inside a message, which was not accepted")
	ErrGarbage = errors.New("too much of the input is not SMTP")
)

// Server serves one session.
type Server struct {
	Host      string // this host's name
	MaxSize   int64  // bytes in a message, for the client to know; 0: no limit
	Envelope  spool.Submission
	Submitter Submitter
}

// Serve reads commands until QUIT or the end of r. Its error is ErrCut,
// ErrGarbage, or one of r or w. Whatever it is, each message whose end was
// answered 250 is committed, and no other is, but one of which the answer could
// not be written.
func (s *Server) Serve(r io.Reader, w io.Writer) error {
	out := bufio.NewWriter(w)
	c := &session{Server: s, out: out, in: bufio.NewReaderSize(flusher{r, out}, maxLine)}
	defer c.reset()
	c.reply(220, "", "%s ESMTP ready", s.Host)
	for !c.over {
		line, err := c.readLine()
		switch {
		case errors.Is(err, ErrGarbage):
			c.failures = maxBad
		case errors.Is(err, errTooLong):
			c.bad(500, "5.5.2", "line too long")
		case errors.Is(err, io.EOF): // what stands in front of it is no command
			return out.Flush()
		case err != nil:
			return err
		default:
			if err := c.command(line); err != nil {
				return errors.Join(err, out.Flush())
			}
		}
		if c.failures >= maxBad {
			c.reply(421, "4.7.0", "%v; good-bye", ErrGarbage)
			return errors.Join(ErrGarbage, out.Flush())
		}
	}
	return out.Flush()
}

// flusher writes what is to be written before it waits for more: replies to
// commands that came together leave together (RFC 2920 3.2), and no client waits
// for one that is still here.
type flusher struct {
	r   io.Reader
	out *bufio.Writer
}

func (f flusher) Read(p []byte) (int, error) {
	if err := f.out.Flush(); err != nil {
		return 0, err
	}
	return f.r.Read(p)
}

// session is what is known of the client.
type session struct {
	*Server
	in       *bufio.Reader
	out      *bufio.Writer
	began    bool // a command was read
	crlf     bool // the first one ended in CRLF
	over     bool
	failures int // commands that were no good

	// The last command was DATA and was refused. What follows must be a command: a
	// client that writes its message all the same would have the message's lines,
	// which may be anybody's, carried out.
	dataRefused bool

	mail     bool // MAIL was accepted
	utf8     bool // with SMTPUTF8
	envelope spool.Submission
}

var errTooLong = errors.New("line too long")

// readLine reads a command without its line end.
func (c *session) readLine() (string, error) {
	line, err := c.in.ReadSlice('\n')
	for skipped := 0; errors.Is(err, bufio.ErrBufferFull); {
		if skipped += len(line); skipped > maxSkip {
			return "", ErrGarbage
		}
		if line, err = c.in.ReadSlice('\n'); err == nil {
			err = errTooLong
		}
	}
	if err != nil && !errors.Is(err, errTooLong) {
		return "", err
	}
	if !c.began {
		c.began, c.crlf = true, bytes.HasSuffix(line, []byte("\r\n"))
	}
	return strings.TrimRight(string(line), "\r\n"), err
}

// reset forgets the transaction.
func (c *session) reset() {
	c.mail, c.utf8, c.envelope = false, false, spool.Submission{}
}
