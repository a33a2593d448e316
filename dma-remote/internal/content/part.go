package content

import (
	"mime"
	"strings"
	"unicode/utf8"
)

// encoding is what is done to a part.
type encoding uint8

const (
	asIs            encoding = iota
	quotedPrintable          // RFC 2045 6.7
	base64Lines              // RFC 2045 6.8
	relabel                  // what is in it is encoded, so it is 7bit now
)

func (e encoding) String() string {
	return [...]string{"", "quoted-printable", "base64", "7bit"}[e]
}

// kind is what a part is.
type kind uint8

const (
	textPart     kind = iota // or nothing that says it were something else
	otherPart                // a picture, a program
	multiPart                // has parts
	enclosedPart             // a message of its own
	opaquePart               // it makes no sense, or there are too many
)

// label is what Content-Transfer-Encoding says.
type label uint8

const (
	labelNone label = iota // nothing, or 7bit
	label8Bit
	labelBinary
	labelQuoted
	labelBase64
	labelOther // nobody knows
)

// part is what is found out about a part of a message: the message itself, the
// parts of a multipart, a message in a message.
type part struct {
	kind     kind
	label    label
	mime     bool // has MIME-Version
	typed    bool // has Content-Type
	utf8     bool // its 8-bit characters are UTF-8, as far as seen
	eightBit bool // has such characters in its body, or in that of a part of it
	long     bool // has lines over MaxLine
	lossy    bool // had NUL or CR
}

// encoding is what has to be done to a part for a server.
func (p *part) encoding(eightBit bool) encoding {
	high := p.eightBit && !eightBit
	switch {
	case p.kind == multiPart || p.kind == enclosedPart:
		if p.label == label8Bit && high || p.label == labelBinary {
			return relabel
		}
		return asIs
	case p.kind == opaquePart || p.label >= labelQuoted:
		return asIs
	case !p.long && !high && p.label != labelBinary:
		return asIs
	case p.kind == textPart:
		return quotedPrintable
	}
	return base64Lines
}

// charset is for text that does not say in what it is written (RFC 2045 4.1.2, RFC
// 1428).
func (p *part) charset() string {
	switch {
	case !p.eightBit:
		return "us-ascii"
	case p.utf8:
		return "utf-8"
	}
	return "unknown-8bit"
}

// setType reads a Content-Type, and returns the boundary of a multipart.
func (p *part) setType(value string) (boundary string) {
	p.typed = true
	kindOf, params, err := mime.ParseMediaType(value)
	switch {
	case strings.HasPrefix(kindOf, "multipart/"):
		if boundary = params["boundary"]; err != nil || boundary == "" || len(boundary) > maxBoundary {
			p.kind = opaquePart
			return ""
		}
		p.kind = multiPart
	case kindOf == "message/rfc822" || kindOf == "message/global":
		p.kind = enclosedPart
	case strings.HasPrefix(kindOf, "text/"), kindOf == "": // RFC 2045 5.2: malformed is text
		p.kind = textPart
	case strings.HasPrefix(kindOf, "message/"): // RFC 2046 5.2: stays as it is
		p.kind = opaquePart
	default:
		p.kind = otherPart
	}
	return boundary
}

// setLabel reads a Content-Transfer-Encoding.
func (p *part) setLabel(value string) {
	value, _, _ = strings.Cut(value, ";")
	switch strings.ToLower(strings.TrimSpace(value)) {
	case "", "7bit":
		p.label = labelNone
	case "8bit":
		p.label = label8Bit
	case "binary":
		p.label = labelBinary
	case "quoted-printable":
		p.label = labelQuoted
	case "base64":
		p.label = labelBase64
	default:
		p.label = labelOther
	}
}

// note looks at a piece of the body.
func (p *part) note(piece []byte, whole bool) {
	if !whole {
		p.long = true
	}
	if hasEightBit(piece) {
		if !p.eightBit {
			p.utf8 = true
		}
		p.eightBit = true
		p.utf8 = p.utf8 && (utf8.Valid(piece) || !whole)
	}
}
