package bounce

import (
	"bytes"
	"fmt"
	"io"
)

// original is as much of the original message as the bounce gives back.
type original struct {
	text []byte
	full bool // all of it
}

// readOriginal reads the message, or its header if that is asked for or the
// message is too long or has lines that no part can hold as they are.
func readOriginal(r io.Reader, full bool) (original, error) {
	limit := maxHeader
	if full {
		limit = MaxOriginal
	}
	text, err := io.ReadAll(io.LimitReader(r, int64(limit)+1))
	if err != nil {
		return original{}, fmt.Errorf("read original: %w", err)
	}
	// RFC 2046 5.2.1: message/rfc822 is never encoded.
	if full && len(text) <= limit && short(text) && bytes.IndexByte(text, 0) < 0 && bytes.IndexByte(text, '\r') < 0 {
		return original{text, true}, nil
	}
	return original{headerOf(text), false}, nil
}

// headerOf cuts text behind its header, or behind the last line that is short
// enough a way in.
func headerOf(text []byte) []byte {
	if bytes.HasPrefix(text, []byte("\n")) {
		return nil
	}
	if i := bytes.Index(text, []byte("\n\n")); i >= 0 {
		text = text[:i+1]
	}
	if len(text) > maxHeader {
		text = text[:maxHeader]
		text = text[:bytes.LastIndexByte(text, '\n')+1]
	}
	return text
}

func (o original) part() part {
	switch {
	case o.full && has8Bit(o.text):
		return part{kind: "message/rfc822", encoding: "8bit", body: o.text}
	case o.full:
		return part{kind: "message/rfc822", body: o.text}
	case has8Bit(o.text) || !short(o.text) || bytes.IndexByte(o.text, 0) >= 0 || bytes.IndexByte(o.text, '\r') >= 0:
		return part{kind: "text/rfc822-headers", encoding: "quoted-printable", body: quote(o.text)} // RFC 6522 4
	}
	return part{kind: "text/rfc822-headers", body: o.text}
}

// short reports whether all lines are short enough to be sent as they are.
func short(text []byte) bool {
	for line := range bytes.Lines(text) {
		if len(bytes.TrimSuffix(line, []byte("\n"))) > maxLine {
			return false
		}
	}
	return true
}

func has8Bit(text []byte) bool {
	for _, c := range text {
		if c >= 0x80 {
			return true
		}
	}
	return false
}

// quote encodes text as quoted-printable (RFC 2045 6.7), leaving LF at the ends
// of lines. The package of the standard library turns a bare CR into a new line.
func quote(text []byte) []byte {
	const (
		digits = "0123456789ABCDEF"
		most   = 75 // bytes in a line before the = of a soft break
	)
	out := make([]byte, 0, len(text)+len(text)/8)
	column := 0
	for i, c := range text {
		if c == '\n' {
			out, column = append(out, c), 0
			continue
		}
		atEnd := i+1 == len(text) || text[i+1] == '\n'
		plain := c > ' ' && c < 0x7f && c != '=' || (c == ' ' || c == '\t') && !atEnd
		width := 1
		if !plain {
			width = 3
		}
		if column+width > most {
			out, column = append(out, "=\n"...), 0
		}
		if plain {
			out = append(out, c)
		} else {
			out = append(out, '=', digits[c>>4], digits[c&15])
		}
		column += width
	}
	return out
}
