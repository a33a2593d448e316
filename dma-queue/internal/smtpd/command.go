package smtpd

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"dma/common/dsn"
	"dma/common/mailaddr"
	"dma/common/outcome"
	"dma/dma-queue/internal/spool"
)

// command carries out one command. An error ends the session.
func (c *session) command(line string) error {
	verb, arg, _ := strings.Cut(strings.ReplaceAll(line, "\t", " "), " ")
	arg = strings.Trim(arg, " ")
	refused := c.dataRefused
	c.dataRefused = false
	switch verb = strings.ToUpper(verb); verb {
	case "EHLO":
		c.ehlo(arg)
	case "HELO":
		c.helo(arg)
	case "MAIL":
		c.answer(c.mailFrom(arg), 250, "2.1.0", "sender accepted")
	case "RCPT":
		c.answer(c.rcptTo(arg), 250, "2.1.5", "recipient accepted")
	case "DATA":
		return c.data(arg)
	case "RSET":
		c.reset()
		c.reply(250, "2.0.0", "forgotten")
	case "NOOP":
		c.reply(250, "2.0.0", "done")
	case "QUIT":
		c.over = true
		c.reply(221, "2.0.0", "good-bye")
	case "VRFY":
		c.answer(c.vrfy(arg), 252, "2.1.5", "cannot tell, but would take mail for it")
	case "HELP":
		c.reply(214, "2.0.0", "EHLO HELO MAIL RCPT DATA RSET NOOP VRFY HELP QUIT")
	case "EXPN", "AUTH", "STARTTLS", "BDAT", "ETRN", "TURN":
		c.bad(502, "5.5.1", verb+" is not implemented")
	default:
		c.bad(500, "5.5.2", "no such command")
		if refused {
			c.failures = maxBad // a message, from somebody who does not wait for 354
		}
	}
	return nil
}

func (c *session) helo(name string) {
	if name == "" {
		c.bad(501, "5.5.4", "write HELO and your name")
		return
	}
	c.reset() // RFC 5321 4.1.4
	c.reply(250, "", "%s", c.Host)
}

func (c *session) ehlo(name string) {
	if name == "" {
		c.bad(501, "5.5.4", "write EHLO and your name")
		return
	}
	c.reset()
	size := "SIZE"
	if c.MaxSize > 0 {
		size += " " + strconv.FormatInt(c.MaxSize, 10)
	}
	for _, line := range []string{c.Host, "PIPELINING", "8BITMIME", "SMTPUTF8", size, "DSN", "ENHANCEDSTATUSCODES"} {
		c.line("250-" + line)
	}
	c.line("250 HELP")
}

// answer replies to a command: with code, status and text, unless err says why it
// was not carried out. What is wrong with the command itself counts against the
// client; that a recipient is unknown or the disk full does not, nor does what was
// sent behind that (RFC 2920).
func (c *session) answer(err error, code int, status, text string) {
	if err == nil {
		c.reply(code, status, "%s", text)
		return
	}
	r := refusal(err)
	if r.Code >= 500 && r.Code < 503 || r.Code == 555 {
		c.failures++
	}
	c.reply(r.Code, r.Status, "%v", r.Err)
}

func refusal(err error) *Refusal {
	var r *Refusal
	if errors.As(err, &r) {
		return r
	}
	return &Refusal{451, "4.3.0", err}
}

func (c *session) mailFrom(arg string) error {
	if c.mail {
		return refuse(503, "5.5.1", "there was a MAIL already")
	}
	path, params, err := operands(arg, "FROM:")
	if err != nil {
		return err
	}
	e := c.Envelope
	size, smtputf8, err := mailParams(params, &e)
	if err != nil {
		return err
	}
	a, err := mailaddr.ParseSender(path)
	if err == nil {
		err = checkUTF8(path, smtputf8)
	}
	if err != nil {
		return notAddress(err, "5.1.7")
	}
	if err := c.Submitter.Room(size); err != nil {
		return err
	}
	e.Sender, e.SenderGiven = a.String(), true
	c.mail, c.utf8, c.envelope = true, smtputf8, e
	return nil
}

// mailParams reads what may follow the sender.
func mailParams(params []param, e *spool.Submission) (size int64, smtputf8 bool, err error) {
	for _, p := range params {
		switch p.key {
		case "SIZE": // RFC 1870 3
			n, err := strconv.ParseUint(p.value, 10, 63)
			if err != nil {
				return 0, false, p.malformed("write a number of bytes")
			}
			size = int64(n)
		case "BODY": // RFC 6152 2
			if v := strings.ToUpper(p.value); v != "7BIT" && v != "8BITMIME" {
				return 0, false, p.malformed("write 7BIT or 8BITMIME")
			}
		case "SMTPUTF8": // RFC 6531 3.4
			if p.value != "" {
				return 0, false, p.malformed("it has no value")
			}
			smtputf8 = true
		case "RET": // RFC 3461 4.3
			if e.Ret, err = dsn.ParseRet(p.value); err != nil {
				return 0, false, p.malformed(err.Error())
			}
		case "ENVID": // RFC 3461 4.4
			if e.EnvID, err = dsn.DecodeXText(p.value); err == nil {
				err = dsn.CheckEnvID(e.EnvID)
			}
			if err != nil || e.EnvID == "" {
				return 0, false, p.malformed("write up to 100 bytes of xtext")
			}
		default:
			return 0, false, p.unknown()
		}
	}
	return size, smtputf8, nil
}

func (c *session) rcptTo(arg string) error {
	if !c.mail {
		return refuse(503, "5.5.1", "MAIL comes first")
	}
	path, params, err := operands(arg, "TO:")
	if err != nil {
		return err
	}
	var to spool.Recipient
	for _, p := range params {
		switch p.key {
		case "NOTIFY": // RFC 3461 4.1
			if to.Notify, err = dsn.ParseNotify(p.value); err != nil {
				return p.malformed(err.Error())
			}
		case "ORCPT": // RFC 3461 4.2
			if to.Original, err = original(p.value); err != nil {
				return p.malformed(err.Error())
			}
		default:
			return p.unknown()
		}
	}
	a, err := mailaddr.Parse(path)
	if err == nil {
		err = checkUTF8(path, c.utf8)
	}
	if err != nil {
		return notAddress(err, "5.1.3")
	}
	if len(c.envelope.Recipients) == spool.MaxRecipients {
		return refuse(452, "4.5.3", "a message has at most %d recipients", spool.MaxRecipients)
	}
	if err := c.Submitter.Check(a); err != nil {
		return err
	}
	to.Address = a.String()
	c.envelope.Recipients = append(c.envelope.Recipients, to)
	return nil
}

// vrfy says no more than RCPT would.
func (c *session) vrfy(arg string) error {
	a, err := mailaddr.Parse(arg)
	if err != nil {
		return notAddress(err, "5.1.3")
	}
	return c.Submitter.Check(a)
}

// bad replies to a command that is none.
func (c *session) bad(code int, status, text string) {
	c.failures++
	c.reply(code, status, "%s", text)
}

// maxText bounds the text of a reply, in bytes: a line has 512 (RFC 5321 4.5.3.1.5).
const maxText = 490

// reply writes one line, whatever the text holds.
func (c *session) reply(code int, status, format string, args ...any) {
	text := outcome.Clean(fmt.Sprintf(format, args...))
	ascii := []byte(text[:min(len(text), maxText)])
	for i, b := range ascii {
		if b >= 0x80 {
			ascii[i] = '?'
		}
	}
	if status != "" {
		status += " "
	}
	c.line(strconv.Itoa(code) + " " + status + string(ascii))
}

// line writes one. Its error comes again with the next flush.
func (c *session) line(s string) { _, _ = c.out.WriteString(s + "\r\n") }
