package content

import "encoding/base64"

// Limits of encoded lines, in bytes (RFC 2045 6.7, 6.8).
const (
	maxEncoded = 76
	base64Raw  = maxEncoded / 4 * 3 // bytes in a line of base64
)

// An encoder writes a part in an encoding.
type encoder interface {
	// piece takes a part of a line, which ends with it or not.
	piece(p []byte, end bool)
	// finish writes what is left. The line end of the last line belongs to the
	// boundary behind it, if there is one (RFC 2046 5.1.1).
	finish(boundary bool)
}

func newEncoder(e encoding, out *lines) encoder {
	if e == base64Lines {
		return &base64Encoder{out: out}
	}
	return &quotedEncoder{out: out}
}

// quotedEncoder is quoted-printable for text: line ends are line ends.
type quotedEncoder struct {
	out   *lines
	col   int
	blank byte // a blank or tab whose place in the line is not known yet; 0: none
}

func (q *quotedEncoder) piece(p []byte, end bool) {
	for _, b := range p {
		q.flushBlank(false)
		switch {
		case b == ' ' || b == '\t':
			q.blank = b
		case b < ' ' || b > '~' || b == '=':
			q.emit(quoted(b))
		default:
			q.emit([]byte{b})
		}
	}
	if end {
		q.flushBlank(true) // not at the end of a line: it would get lost there
		q.out.end()
		q.col = 0
	}
}

func quoted(b byte) []byte {
	const digits = "0123456789ABCDEF"
	return []byte{'=', digits[b>>4], digits[b&15]}
}

func (q *quotedEncoder) flushBlank(last bool) {
	switch b := q.blank; {
	case b == 0:
		return
	case last:
		q.emit(quoted(b))
	default:
		q.emit([]byte{b})
	}
	q.blank = 0
}

// emit writes what must not be torn apart.
func (q *quotedEncoder) emit(p []byte) {
	if q.col+len(p) > maxEncoded-len("=") {
		q.out.writeLine("=")
		q.col = 0
	}
	q.out.write(p)
	q.col += len(p)
}

func (q *quotedEncoder) finish(bool) {}

// base64Encoder takes line ends for CRLF, as what is not text has them on its way.
type base64Encoder struct {
	out     *lines
	raw     []byte
	pending bool // a line has ended; whether that is a byte of the part is not known yet
}

func (b *base64Encoder) piece(p []byte, end bool) {
	b.lineEnd()
	b.add(p)
	b.pending = end
}

func (b *base64Encoder) lineEnd() {
	if b.pending {
		b.pending = false
		b.add([]byte("\r\n"))
	}
}

func (b *base64Encoder) add(p []byte) {
	b.raw = append(b.raw, p...)
	for len(b.raw) >= base64Raw {
		b.writeLine(b.raw[:base64Raw])
		b.raw = b.raw[base64Raw:]
	}
}

func (b *base64Encoder) writeLine(raw []byte) {
	b.out.writeLine(base64.StdEncoding.EncodeToString(raw))
}

func (b *base64Encoder) finish(boundary bool) {
	if !boundary {
		b.lineEnd()
	}
	if len(b.raw) > 0 {
		b.writeLine(b.raw)
	}
}
