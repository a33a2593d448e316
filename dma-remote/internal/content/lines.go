package content

import (
	"bytes"
	"encoding/binary"
	"io"
	"unicode/utf8"
)

// lines writes lines that are fit for SMTP: those that are too long it breaks. After
// the first error it does nothing.
type lines struct {
	w     io.Writer
	stuff bool // dots (RFC 5321 4.5.2)
	err   error

	header bool // the current line belongs to a header: it is folded, not broken
	soft   bool // the current line is quoted-printable: it is broken softly

	size     int64
	eightBit bool
	broken   bool
	line     []byte // current line, not written yet
}

func newLines(w io.Writer, stuff bool) *lines {
	return &lines{w: w, stuff: stuff, line: make([]byte, 0, MaxLine+len("\r\n"))}
}

func (l *lines) write(p []byte) {
	for len(p) > 0 {
		if len(l.line) == MaxLine {
			l.breakLine(p[0])
		}
		n := min(len(p), MaxLine-len(l.line))
		l.line = append(l.line, p[:n]...)
		p = p[n:]
	}
}

func (l *lines) writeLine(s string) {
	l.write([]byte(s))
	l.end()
}

// breakLine makes room in a full line that next belongs to.
func (l *lines) breakLine(next byte) {
	l.broken = true
	cut, pad := l.cut(next)
	rest := bytes.Clone(l.line[cut:])
	l.line = l.line[:cut]
	if l.soft {
		l.line = append(l.line, '=')
	}
	l.end()
	if pad {
		l.line = append(l.line, ' ')
	}
	l.line = append(l.line, rest...)
}

// cut says where to break a full line, and whether the rest needs a blank in
// front to stay part of the same header field.
func (l *lines) cut(next byte) (at int, pad bool) {
	if l.soft {
		// Room for the =, and no =XX in two (RFC 2045 6.7).
		at := len(l.line) - 1
		if i := bytes.LastIndexByte(l.line[:at], '='); i >= at-2 {
			at = i
		}
		return at, false
	}
	blank := bytes.LastIndexAny(l.line, " \t")
	if !l.header {
		if blank >= 0 {
			return blank + 1, false
		}
		return l.charEnd(next), false
	}
	// A line of blanks only would pass for the end of the header.
	if blank > 0 && len(bytes.Trim(l.line[:blank], " \t")) > 0 {
		return blank, false
	}
	return l.charEnd(next), true
}

// charEnd is the end of the full line, or less if next continues its last character.
func (l *lines) charEnd(next byte) int {
	if utf8.RuneStart(next) {
		return len(l.line)
	}
	for i := len(l.line) - 1; i >= len(l.line)-(utf8.UTFMax-1); i-- {
		if utf8.RuneStart(l.line[i]) {
			if l.line[i] < utf8.RuneSelf {
				break
			}
			return i
		}
	}
	return len(l.line) // not UTF-8: any place is as good
}

// end writes the line and empties it.
func (l *lines) end() {
	l.size += int64(len(l.line)) + int64(len("\r\n"))
	l.eightBit = l.eightBit || hasEightBit(l.line)
	if l.stuff && l.err == nil && len(l.line) > 0 && l.line[0] == '.' {
		_, l.err = l.w.Write([]byte("."))
	}
	if l.err == nil {
		_, l.err = l.w.Write(append(l.line, "\r\n"...))
	}
	l.line = l.line[:0]
}

func hasEightBit(p []byte) bool {
	for ; len(p) >= 8; p = p[8:] {
		if binary.NativeEndian.Uint64(p)&0x8080808080808080 != 0 {
			return true
		}
	}
	for _, b := range p {
		if b >= utf8.RuneSelf {
			return true
		}
	}
	return false
}
