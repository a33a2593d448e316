package session

import (
	"slices"
	"strconv"
	"strings"

	"dma/common/dsn"
	"dma/common/mailaddr"
	"dma/dma-remote/internal/idna"
)

func (t *transaction) mailLine() string {
	c, m := t.e.c, t.job.Mail
	line := "MAIL FROM:" + path(m.Sender)
	if c.caps.size {
		line += " SIZE=" + strconv.FormatInt(t.job.plan.Size, 10)
	}
	if c.caps.eightBit && t.job.plan.EightBit {
		line += " BODY=8BITMIME"
	}
	if !idna.IsASCII(path(m.Sender)) || slices.ContainsFunc(t.batch, func(i int) bool { return !idna.IsASCII(path(m.Recipients[i].Address)) }) {
		line += " SMTPUTF8"
	}
	if c.caps.dsn && m.Ret != dsn.RetDefault {
		line += " RET=" + m.Ret.String()
	}
	if c.caps.dsn && m.EnvID != "" {
		line += " ENVID=" + dsn.EncodeXText(m.EnvID)
	}
	return line
}

// rcptLine passes on what the submitter has asked for and adds nothing of its own
// (RFC 3461 5.2.1).
func (t *transaction) rcptLine(i int) string {
	c, r := t.e.c, &t.job.Mail.Recipients[i]
	line := "RCPT TO:" + path(r.Address)
	if c.caps.dsn && r.Notify != 0 {
		line += " NOTIFY=" + r.Notify.String()
	}
	if kind, address, ok := strings.Cut(r.Original, ";"); c.caps.dsn && ok && isAtom(kind) {
		line += " ORCPT=" + kind + ";" + dsn.EncodeXText(address)
	}
	return line
}

// isAtom keeps what the runner says from being more than one parameter.
func isAtom(s string) bool {
	return s != "" && strings.Trim(s, "-0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz") == ""
}

// path is an address that passed Conn.screen, as it goes into a command: parsed
// anew, so that what is sent is what was checked. Its domain is in ASCII, which
// every server reads.
func path(address string) string {
	a, err := mailaddr.ParseSender(address)
	if err == nil {
		a.Domain, err = idna.ToASCII(a.Domain)
	}
	if err != nil {
		return "<>" // cannot be
	}
	return "<" + a.String() + ">"
}
