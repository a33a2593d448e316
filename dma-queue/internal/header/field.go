package header

import (
	"bytes"
	"iter"
)

// maxName is how far the colon of a field can be from the start of its line: a
// line has at most 998 bytes (RFC 5322 2.1.1).
const maxName = 998

// field is one field of a header.
type field struct {
	raw   []byte // as it stands in the message, with its last newline if it has one
	colon int    // where the colon is
}

// fields goes through a header as input.header returns it.
func fields(head []byte) iter.Seq[field] {
	return func(yield func(field) bool) {
		for len(head) > 0 {
			end := 0
			for more := true; more; more = end < len(head) && isBlank(head[end]) {
				if i := bytes.IndexByte(head[end:], '\n'); i >= 0 {
					end += i + 1
				} else {
					end = len(head)
				}
			}
			if !yield(field{head[:end], nameLen(head)}) {
				return
			}
			head = head[end:]
		}
	}
}

// nameLen is where the colon of the field is that line begins with; -1 if it does
// not begin with a field. Names are what RFC 5322 2.2 allows; blanks before the
// colon are from RFC 5322 4.5.
func nameLen(line []byte) int {
	blank := false
	for i, c := range line[:min(len(line), maxName)] {
		switch {
		case c == ':' && i > 0:
			return i
		case isBlank(c) && i > 0:
			blank = true
		case c <= ' ' || c >= 0x7f || c == ':' || blank:
			return -1
		}
	}
	return -1
}

func isBlank(c byte) bool { return c == ' ' || c == '\t' }

// value is what is between colon and last newline, folding included.
func (f field) value() []byte { return bytes.TrimSuffix(f.raw[f.colon+1:], []byte("\n")) }

// kind is what Repair has to know of a field.
type kind uint8

const (
	other kind = iota
	date
	from
	author    // the other fields that say whom the message is from
	recipient // those that say to whom it goes
	messageID
	bcc
	received
	deliveredTo
	signature // of the header itself
)

func (f field) is() kind {
	var low [len("arc-message-signature")]byte
	name := bytes.TrimRight(f.raw[:f.colon], " \t")
	if len(name) > len(low) {
		return other
	}
	for i, c := range name {
		if c >= 'A' && c <= 'Z' {
			c += 'a' - 'A'
		}
		low[i] = c
	}
	switch string(low[:len(name)]) {
	case "date":
		return date
	case "from":
		return from
	case "sender", "reply-to", "resent-from", "resent-sender", "resent-reply-to":
		return author
	case "to", "cc", "resent-to", "resent-cc":
		return recipient
	case "message-id":
		return messageID
	case "bcc", "resent-bcc", "return-path": // the last is for who delivers to write (RFC 5321 4.4)
		return bcc
	case "received":
		return received
	case "delivered-to":
		return deliveredTo
	case "dkim-signature", "arc-seal", "arc-message-signature":
		return signature
	}
	return other
}
