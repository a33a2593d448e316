package session

import (
	"dma/common/dsn"
	"dma/common/mailaddr"
	"dma/common/outcome"
	"dma/dma-remote/internal/content"
	"dma/dma-remote/internal/idna"
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

// screen fails the recipients that this server cannot be told about at all.
func (c *Conn) screen(m *Mail, plan *content.Plan, pending []int, report func(int, *Verdict)) []int {
	all := c.screenMail(m, plan)
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

func (c *Conn) screenMail(m *Mail, plan *content.Plan) *Verdict {
	switch {
	case m.Facts.Binary: // RFC 3030 section 3; BINARYMIME is not spoken
		return failure(stageMAIL, "5.6.1", "message has binary parts, which cannot be sent: encode them in base64")
	case plan.Changed && m.Facts.Signed: // RULES E6
		return failure(stageMAIL, "5.6.3", "message is signed and has lines or characters that %s cannot be sent as they are", c.peer)
	case c.caps.maxSize > 0 && plan.Size > c.caps.maxSize: // RFC 1870 section 6.1
		return failure(stageMAIL, "5.3.4", "%s takes messages of at most %d bytes, this one has %d", c.peer, c.caps.maxSize, plan.Size)
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
	domain, err := idna.ToASCII(a.Domain)
	if err != nil {
		return failure(stageRCPT, "5.6.7", "%s address %q: %v", what, address, err)
	}
	a.Domain = domain
	if len(a.String())+len("<>") > mailaddr.MaxSMTP {
		return failure(stageRCPT, code, "%s address %q is too long for SMTP", what, address)
	}
	if !idna.IsASCII(a.Local) && !c.caps.utf8 {
		return failure(stageRCPT, "5.6.7", "%s does not take addresses like %q (no SMTPUTF8)", c.peer, address)
	}
	return nil
}

func failure(stage, code, format string, args ...any) *Verdict {
	o := outcome.Fail(code, format, args...)
	return &Verdict{Outcome: o, Stage: stage, Reason: o.Text}
}
