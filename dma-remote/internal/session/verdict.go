package session

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"syscall"

	"dma/common/outcome"
)

// Stages, in the words that dma's log has for them.
const (
	StageConnect  = "connect"
	stageEHLO     = "EHLO"
	stageHELO     = "HELO"
	stageLHLO     = "LHLO"
	stageSTARTTLS = "STARTTLS"
	StageAuth     = "AUTH"
	stageRSET     = "RSET"
	stageMAIL     = "MAIL FROM"
	stageRCPT     = "RCPT TO"
	stageDATA     = "DATA"
	stageDot      = "final DATA"
)

// Verdict is how an attempt at one recipient ended, or why a connection is of no
// use.
type Verdict struct {
	outcome.Outcome
	Stage   string // what was under way
	Reason  string // the reply, or what happened instead of one
	Trouble bool   // with the destination, not with this message or recipient (RULES E3)
	BadTLS  bool   // the handshake failed; the server may still do without (RULES E8)
	Reports bool   // the server has taken over the duty of reporting (RFC 3461 5.2.1)
	reply   bool   // the server gave a reply, and waits for the next command
	closing bool   // it was 421: nothing more is taken
}

// Error makes a Verdict what Open may return.
func (v *Verdict) Error() string { return v.Text }

// errUnasked is input when no reply is due (RULES E5).
var errUnasked = errors.New("server talks out of turn")

// errEarly is the end of a connection on which a message was refused half-way.
var errEarly = errors.New("server refused a message before its end")

// refusal is the verdict that a reply means at a stage (RULES E3).
func (c *Conn) refusal(stage string, r reply) *Verdict {
	v := &Verdict{Stage: stage, Reason: c.clean(r.text()), reply: !r.closing(), closing: r.closing()}
	class := r.class()
	if stage == stageRCPT && r.code == 552 {
		class = 4 // RFC 5321 4.5.3.1.10
	}
	final := stage == stageMAIL || stage == stageRCPT || stage == stageDot
	v.Trouble = class < 4 || r.closing() || r.wantsAuth() || !final && stage != stageDATA
	switch {
	case class < 4:
		v.Outcome = outcome.Defer("4.5.0", "%s gave an unexpected answer to our %s: %s", c.peer, stage, v.Reason)
	case class == 5 && !v.Trouble && final:
		v.Outcome = outcome.Fail(statusCode(stage, r, '5'), "%s did not like our %s: %s", c.peer, stage, v.Reason)
	default:
		v.Outcome = outcome.Defer(statusCode(stage, r, '4'), "%s did not like our %s: %s", c.peer, stage, v.Reason)
	}
	return v
}

// lost is the verdict on a connection that broke or made no sense at a stage.
func (c *Conn) lost(stage string, err error) *Verdict {
	code := "4.4.2" // RFC 3463: bad connection
	if errors.Is(err, errReply) || errors.Is(err, errUnasked) {
		code = "4.5.0" // protocol error
	}
	return c.trouble(stage, code, cause(err))
}

func (c *Conn) trouble(stage, code, reason string) *Verdict {
	reason = c.clean(reason)
	return &Verdict{
		Outcome: outcome.Defer(code, "%s failed after %s: %s", c.peer, stage, reason),
		Stage:   stage, Reason: reason, Trouble: true,
	}
}

// unconfirmed is the verdict on a message that the server may have taken, when v
// ended the connection before it said so.
func (c *Conn) unconfirmed(v *Verdict) *Verdict {
	u := *v
	if v.Stage != stageDot {
		u = *c.trouble(stageDot, v.Code, "no answer before the connection ended: "+v.Reason)
	}
	u.Trouble = false
	return &u
}

// clean makes foreign text fit for the log and takes secrets out: before blanks
// are folded and what is too long is cut off, and once more behind that.
func (c *Conn) clean(s string) string {
	return outcome.Clean(c.redact.Replace(outcome.Clean(c.redact.Replace(s))))
}

// cause says what people want to know of a network error, without the addresses
// and call names that they have beside it.
func cause(err error) string {
	var errno syscall.Errno
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, context.DeadlineExceeded):
		return "timed out"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "connection closed"
	case errors.Is(err, net.ErrClosed), errors.Is(err, io.ErrClosedPipe):
		return "aborted"
	case errors.As(err, &errno):
		return errno.Error()
	}
	return err.Error()
}

// statusCode is the enhanced status code of a reply with its first digit made
// class: the server's, or what the reply code implies (RFC 5248 and its registry).
func statusCode(stage string, r reply, class byte) string {
	if e := r.enhanced(); e != "" {
		return string(class) + e[1:]
	}
	detail := "0.0"
	switch {
	case r.wantsAuth():
		detail = "7.0"
	case r.closing():
		detail = "3.2"
	case r.code >= 500 && r.code <= 504:
		detail = "5." + strconv.Itoa(map[int]int{500: 2, 501: 4, 502: 1, 503: 1, 504: 4}[r.code])
	case r.code == 452 && stage == stageRCPT:
		detail = "5.3"
	case r.code == 452:
		detail = "3.1"
	case r.code == 552 && stage == stageRCPT:
		detail = "2.2"
	case r.code == 552:
		detail = "3.4"
	case stage == stageRCPT && (r.code == 550 || r.code == 551 || r.code == 553):
		detail = "1." + strconv.Itoa(map[int]int{550: 1, 551: 6, 553: 3}[r.code])
	case stage == StageConnect:
		detail = "3.2"
	case stage == stageSTARTTLS:
		detail = "7.5"
	}
	return fmt.Sprintf("%c.%s", class, detail)
}

// Unreachable is the verdict on a server that no connection could be made to.
func Unreachable(peer string, err error) *Verdict {
	reason := outcome.Clean(cause(err))
	return &Verdict{
		Outcome: outcome.Defer("4.4.1", "%s failed after %s: %s", peer, StageConnect, reason), // RFC 3463: no answer from host
		Stage:   StageConnect, Reason: reason, Trouble: true,
	}
}
