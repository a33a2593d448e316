package session

import (
	"context"
	"strings"
	"unicode/utf8"

	"dma/common/dsn"
	"dma/common/mailaddr"
	"dma/common/outcome"
	"dma/dma-remote/internal/content"
)

// maxBatch bounds the recipients of one transaction. RFC 5321 4.5.3.1.8 has servers
// take 100 at least; many take 1000, none is known to take more by default.
const maxBatch = 1000

// Mail is one message with its envelope.
type Mail struct {
	Sender     string // empty for the null sender
	Recipients []Recipient
	Ret        dsn.Ret // see proto.Send
	EnvID      string
	Body       *content.Message
	Facts      content.Facts // of Body
}

// Recipient is one recipient of a Mail.
type Recipient struct {
	Address  string
	Notify   dsn.Notify // see proto.Rcpt
	Original string
}

// Send sends m to those of its recipients that pending has the indexes of, in as
// few transactions as the server allows, and reports a verdict for each, as soon
// as it is known. A verdict of trouble means that the server has not taken the
// message for that recipient, so another may be asked at once.
func (c *Conn) Send(ctx context.Context, m *Mail, pending []int, report func(int, *Verdict)) {
	defer c.watch(ctx)()
	open := make(map[int]bool, len(pending))
	for _, i := range pending {
		open[i] = true
	}
	tell := func(i int, v *Verdict) {
		delete(open, i)
		report(i, v)
	}
	pending = c.screen(m, pending, tell)
	for limit := maxBatch; len(pending) > 0; {
		t := transaction{c: c, m: m, batch: pending[:min(limit, len(pending))], report: tell}
		if v := t.run(); v != nil {
			c.hangUp(v)
			for _, i := range pending {
				if open[i] {
					tell(i, v)
				}
			}
			return
		}
		if len(t.again) > 0 && c.caps.pipelining {
			limit = len(t.accepted) // all that it takes; more would be said in vain
		}
		pending = append(t.again, pending[len(t.batch):]...)
	}
}

// screen fails the recipients that this server cannot be told about at all.
func (c *Conn) screen(m *Mail, pending []int, report func(int, *Verdict)) []int {
	all := c.screenMail(m)
	var good []int
	for _, i := range pending {
		v := all
		if v == nil {
			v = c.screenPath(m.Recipients[i].Address, "5.1.3", "recipient")
		}
		if v != nil {
			report(i, v)
		} else {
			good = append(good, i)
		}
	}
	return good
}

func (c *Conn) screenMail(m *Mail) *Verdict {
	if c.caps.maxSize > 0 && m.Facts.Size > c.caps.maxSize { // RFC 1870 section 6.1
		return failure(stageMAIL, "5.3.4", "%s takes messages of at most %d bytes, this one has %d", c.peer, c.caps.maxSize, m.Facts.Size)
	}
	if m.Sender == "" {
		return nil
	}
	return c.screenPath(m.Sender, "5.1.7", "sender")
}

// screenPath refuses what would not be one path in one command (RULES E4), or
// what the server cannot read (RFC 6531 3.1).
func (c *Conn) screenPath(address, code, what string) *Verdict {
	a, err := mailaddr.Parse(address)
	if err != nil {
		return failure(stageRCPT, code, "malformed %s address %q: %v", what, address, err)
	}
	if len(a.String())+len("<>") > mailaddr.MaxSMTP {
		return failure(stageRCPT, code, "%s address %q is too long for SMTP", what, address)
	}
	if !isASCII(address) && !c.caps.utf8 {
		return failure(stageRCPT, "5.6.7", "%s does not take addresses like %q (no SMTPUTF8)", c.peer, address)
	}
	return nil
}

func failure(stage, code, format string, args ...any) *Verdict {
	o := outcome.Fail(code, format, args...)
	return &Verdict{Outcome: o, Stage: stage, Reason: o.Text}
}

func isASCII(s string) bool {
	return strings.IndexFunc(s, func(r rune) bool { return r >= utf8.RuneSelf }) < 0
}
