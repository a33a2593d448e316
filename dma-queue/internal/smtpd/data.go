package smtpd

import (
	"errors"
	"io"
)

// data receives a message. An error ends the session.
func (c *session) data(arg string) error {
	c.dataRefused = true
	switch {
	case arg != "":
		c.bad(501, "5.5.4", "DATA takes nothing")
		return nil
	case !c.mail:
		c.reply(503, "5.5.1", "MAIL and RCPT come first")
		return nil
	case len(c.envelope.Recipients) == 0: // RFC 5321 3.3
		c.reply(503, "5.5.1", "no recipient was accepted")
		return nil
	}
	envelope := c.envelope
	c.reset()
	t, err := c.Submitter.Begin(envelope)
	if err != nil {
		c.answer(err, 0, "", "")
		return nil
	}
	c.dataRefused = false
	c.reply(354, "", "the message now, and a dot alone on a line behind it")
	refused, err := c.receive(t)
	switch {
	case err != nil:
		t.Abort()
		if errors.Is(err, io.EOF) {
			err = ErrCut
		}
		return err
	case refused != nil:
		t.Abort()
		c.answer(refused, 0, "", "")
		return nil
	}
	id, err := t.Commit()
	c.answer(err, 250, "2.0.0", "accepted as "+id)
	return nil
}

// receive reads a message to its end, and gives it to t for as long as that takes
// it; refused is why that stopped.
func (c *session) receive(t io.Writer) (refused, err error) {
	body := body{crlf: c.crlf}
	text := make([]byte, 0, chunkSize)
	for {
		if _, err := c.in.Peek(1); err != nil {
			return nil, err
		}
		raw, _ := c.in.Peek(c.in.Buffered())
		var n int
		text, n = body.append(text[:0], raw)
		_, _ = c.in.Discard(n) // they are there
		if refused == nil {
			_, refused = t.Write(text)
		}
		if body.state == ended {
			return refused, nil
		}
	}
}

// body reads a message as it is sent (RFC 5321 4.5.2), in pieces.
type body struct {
	crlf  bool // CRLF ends a line, LF alone is text; otherwise either ends one
	state bodyState
}

// bodyState is what was seen of a line and not passed on.
type bodyState uint8

const (
	lineStart  bodyState = iota // nothing of it
	inLine                      // nothing, but it has begun
	afterCR                     // "\r" behind the text of the line
	afterDot                    // "." at the start, which is no text
	afterDotCR                  // ".\r" at the start
	ended                       // the line with the dot
)

// append appends to dst the text of src up to the end of the message, and returns
// how much of src that was.
func (b *body) append(dst, src []byte) ([]byte, int) {
	for i, c := range src {
		switch b.state {
		case afterDot:
			if c == '\r' {
				b.state = afterDotCR
				continue
			}
			if c == '\n' && !b.crlf {
				b.state = ended
				return dst, i + 1
			}
		case afterDotCR:
			if c == '\n' && b.crlf {
				b.state = ended
				return dst, i + 1
			}
			if c != '\n' {
				dst = append(dst, '\r')
			}
		case afterCR:
			if c != '\n' {
				dst = append(dst, '\r')
			}
		case lineStart:
			if c == '.' {
				b.state = afterDot
				continue
			}
		}
		switch {
		case c == '\r':
			b.state = afterCR
		case c != '\n':
			dst, b.state = append(dst, c), inLine
		case b.crlf && b.state != afterCR && b.state != afterDotCR:
			dst, b.state = append(dst, c), inLine // to the protocol, the line goes on
		default:
			dst, b.state = append(dst, c), lineStart
		}
	}
	return dst, len(src)
}
