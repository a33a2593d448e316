package content

import (
	"bytes"
	"io"
	"strings"
	"unicode/utf8"
)

// An encoder takes the bytes of a message in any portions and writes lines. After
// the first error it does nothing.
type encoder struct {
	w     io.Writer
	facts Facts
	err   error

	line  []byte // current line, not written yet
	cr    bool   // a CR came whose next byte is not known yet
	body  bool   // the empty line after the header has passed
	field string // name of the current header field, in lower case
}

func newEncoder(w io.Writer) *encoder {
	return &encoder{w: w, line: make([]byte, 0, MaxLine+len("\r\n"))}
}

func (e *encoder) add(p []byte) {
	for _, b := range p {
		if e.cr {
			e.cr = false
			if b != '\n' {
				e.replace(' ')
			}
		}
		switch b {
		case '\n':
			e.endLine()
		case '\r':
			e.cr = true
		case 0:
			e.replace('?')
		default:
			e.put(b)
		}
	}
}

func (e *encoder) finish() {
	if e.cr {
		e.replace(' ')
		e.cr = false
	}
	if len(e.line) > 0 {
		e.endLine()
	}
}

func (e *encoder) replace(b byte) {
	e.facts.Changed = true
	e.put(b)
}

func (e *encoder) put(b byte) {
	if len(e.line) == MaxLine {
		e.breakLine(b)
	}
	if b >= utf8.RuneSelf {
		e.facts.EightBit = true
	}
	e.line = append(e.line, b)
}

// breakLine makes room in a full line that next belongs to.
func (e *encoder) breakLine(next byte) {
	e.facts.Changed = true
	cut, pad := e.cut(next)
	rest := bytes.Clone(e.line[cut:])
	e.line = e.line[:cut]
	e.endLine()
	if pad {
		e.line = append(e.line, ' ')
	}
	e.line = append(e.line, rest...)
}

// cut says where to break a full line, and whether the rest needs a blank in
// front to stay part of the same header field.
func (e *encoder) cut(next byte) (at int, pad bool) {
	blank := bytes.LastIndexAny(e.line, " \t")
	if e.body {
		if blank >= 0 {
			return blank + 1, false
		}
		return e.charEnd(next), false
	}
	// A line of blanks only would pass for the end of the header.
	if blank > 0 && len(bytes.Trim(e.line[:blank], " \t")) > 0 {
		return blank, false
	}
	return e.charEnd(next), true
}

// charEnd is the end of the full line, or less if next continues its last character.
func (e *encoder) charEnd(next byte) int {
	if utf8.RuneStart(next) {
		return len(e.line)
	}
	for i := len(e.line) - 1; i >= len(e.line)-(utf8.UTFMax-1); i-- {
		if utf8.RuneStart(e.line[i]) {
			if e.line[i] < utf8.RuneSelf {
				break
			}
			return i
		}
	}
	return len(e.line) // not UTF-8: any place is as good
}

// endLine writes the line and empties it.
func (e *encoder) endLine() {
	e.look()
	e.facts.Size += int64(len(e.line)) + int64(len("\r\n"))
	if e.err == nil && len(e.line) > 0 && e.line[0] == '.' { // RFC 5321 4.5.2
		_, e.err = e.w.Write([]byte("."))
	}
	if e.err == nil {
		_, e.err = e.w.Write(append(e.line, "\r\n"...))
	}
	e.line = e.line[:0]
}

// look learns from a line, or a part of one that was broken, whether the message
// is signed and where the header ends.
func (e *encoder) look() {
	if e.body {
		if string(e.line) == "-----BEGIN PGP SIGNED MESSAGE-----" { // RFC 4880 section 7
			e.facts.Signed = true
		}
		return
	}
	if len(e.line) == 0 {
		e.body = true
		return
	}
	if e.line[0] != ' ' && e.line[0] != '\t' {
		name, _, _ := bytes.Cut(e.line, []byte(":"))
		e.field = strings.ToLower(string(bytes.TrimRight(name, " \t")))
	}
	switch e.field {
	case "dkim-signature": // RFC 6376
		e.facts.Signed = true
	case "content-type":
		if bytes.Contains(bytes.ToLower(e.line), []byte("multipart/signed")) { // RFC 1847
			e.facts.Signed = true
		}
	}
}
