package front

import (
	"bytes"
	"strings"

	"dma/common/mailaddr"
)

// Limits of a header.
const (
	maxHeader = 1 << 20 // bytes; it is held in memory, the body is not (RULES A8)
	maxName   = 998     // bytes in front of a field's colon: a line has no more (RFC 5322 2.1.1)
)

// header looks for the end of a header that arrives piece by piece. The runner's
// package header has the same idea of what a header is; a test compares them.
type header struct {
	line   int  // where the line begins that is to be looked at next
	seen   int  // up to where that line was searched for its end
	fields bool // there was one
}

// end returns the length of the header that b begins with, or that more of the
// message is needed, which after eof it never is. The empty line that ends a
// header is not in it; a line that is no field ends it too, and is body.
func (h *header) end(b []byte, eof bool) (n int, more bool) {
	for h.line < len(b) {
		switch h.kind(b[h.line:], eof) {
		case unknownLine:
			return 0, true
		case bodyLine:
			return h.line, false
		case fieldLine:
			h.fields = true
		case fromLine:
		}
		from := max(h.seen, h.line)
		i := bytes.IndexByte(b[from:], '\n')
		if i < 0 {
			h.seen = len(b)
			return len(b), !eof
		}
		h.line = from + i + 1
	}
	return len(b), !eof
}

// lineKind is what a line is that may be of a header.
type lineKind uint8

const (
	unknownLine lineKind = iota // too little of it is there
	fieldLine                   // a field, or more of the one before it
	fromLine                    // the From line of an mbox in front of all
	bodyLine
)

func (h *header) kind(line []byte, eof bool) lineKind {
	switch n := nameLen(line); {
	case n >= 0:
		return fieldLine
	case n == unfinished && len(line) < maxName && !eof:
		return unknownLine
	case isBlank(line[0]) && h.fields:
		return fieldLine
	case h.line == 0 && bytes.HasPrefix(line, []byte("From ")):
		return fromLine
	}
	return bodyLine
}

// What nameLen returns without a colon.
const (
	noName     = -1
	unfinished = -2
)

// nameLen is the length of the field name that line begins with (RFC 5322 2.2;
// blanks in front of the colon are from 4.5, obs-optional).
func nameLen(line []byte) int {
	blank := 0
	for i, c := range line[:min(len(line), maxName)] {
		switch {
		case c == ':' && i > 0:
			return i - blank
		case isBlank(c) && i > 0:
			blank++
		case c <= ' ' || c >= 0x7f || c == ':' || blank > 0:
			return noName
		}
	}
	return unfinished
}

func isBlank(c byte) bool { return c == ' ' || c == '\t' }

// headerRecipients gives the addresses of To, Cc and Bcc, or of Resent-To,
// Resent-Cc and Resent-Bcc if the message has any of these, in their order, and what
// stands there and is no address.
func headerRecipients(head []byte) (addrs []mailaddr.Addr, bad []string) {
	prefix := ""
	for name := range fields(head) {
		switch name {
		case "resent-to", "resent-cc", "resent-bcc":
			prefix = "resent-"
		}
	}
	for name, value := range fields(head) {
		switch name {
		case prefix + "to", prefix + "cc", prefix + "bcc":
			a, b := mailaddr.ParseList(string(value))
			addrs, bad = append(addrs, a...), append(bad, b...)
		}
	}
	return addrs, bad
}

// fields goes through the fields of a header, names in lower case.
func fields(head []byte) func(yield func(name string, value []byte) bool) {
	return func(yield func(string, []byte) bool) {
		for len(head) > 0 {
			end := 0
			for more := true; more; more = end < len(head) && isBlank(head[end]) {
				if i := bytes.IndexByte(head[end:], '\n'); i >= 0 {
					end += i + 1
				} else {
					end = len(head)
				}
			}
			field := head[:end]
			head = head[end:]
			n := nameLen(field)
			if n < 0 {
				continue // the From line of an mbox
			}
			value := field[n:]
			value = value[bytes.IndexByte(value, ':')+1:]
			if !yield(strings.ToLower(string(field[:n])), value) {
				return
			}
		}
	}
}
