package mailaddr

import (
	"errors"
	"strings"
)

// Causes why a piece of a list is not an address. Callers of the package see the
// piece only.
var (
	errPhrase = errors.New("words without an address")
	errEnd    = errors.New("text after the address")
	errAngle  = errors.New("unbalanced angle brackets")
)

// list goes through a header value, one address a step. It looks at each byte a
// fixed number of times, whatever the value holds.
type list struct {
	text string
	pos  int  // of the next byte
	open bool // text ended inside a comment, quoted string or literal

	// Of the piece that next found:
	start     int // where it begins; it ends at pos
	addrStart int // where its address begins, with its route
	localEnd  int // where the local part ends
	addrEnd   int // where the address ends
	addr      Addr
	err       error
}

// next finds the next address or malformed piece; false at the end.
func (l *list) next() bool {
	for l.skip(); l.pos < len(l.text); l.skip() {
		if c := l.text[l.pos]; c == ',' || c == ';' { // empty elements, ends of groups
			l.pos++
			continue
		}
		l.start, l.addrStart, l.addr, l.err = l.pos, l.pos, Addr{}, nil
		group := l.mailbox()
		if l.err == nil && l.open {
			l.err = errEnd
		}
		if l.err != nil {
			l.recover()
			return true
		}
		if !group {
			return true
		}
	}
	return false
}

// mailbox reads one element up to the separator behind it, or the name of a group.
func (l *list) mailbox() (group bool) {
	if l.peek() == '@' { // RFC 5322 4.4: an obsolete route outside angle brackets
		l.route()
	}
	local, words, joined := l.words()
	switch l.peek() {
	case '<':
		l.pos++
		l.angle()
		return false
	case ':':
		l.pos++
		if words == 0 {
			l.err = errPhrase
		}
		return true
	case '@':
		l.spec(local, words, joined)
	default:
		l.finish(local, "", words, joined)
	}
	if l.peek() != '<' {
		l.atSeparator()
	}
	if l.err != nil || l.peek() == '<' {
		l.afterAnyName()
	}
	return false
}

// afterAnyName reads the angle brackets behind a name that is none (RFC 5322
// 3.2.5), but common: an address, or words with [brackets]. Without them nothing
// is changed.
func (l *list) afterAnyName() {
	for {
		l.words()
		switch l.peek() {
		case '@', '[', ']', '\\':
			l.pos++
			l.skip()
		case '<':
			l.err = nil
			l.pos++
			l.angle()
			return
		default:
			return
		}
	}
}

// angle reads from behind < to behind >.
func (l *list) angle() {
	l.skip()
	l.addrStart = l.pos
	if l.peek() == '@' {
		l.route()
	}
	local, words, joined := l.words()
	if l.peek() == '@' {
		l.spec(local, words, joined)
	} else {
		l.finish(local, "", words, joined)
	}
	if l.peek() != '>' {
		l.err = errAngle
		return
	}
	l.pos++
	l.skip()
	l.atSeparator()
}

func (l *list) atSeparator() {
	if c := l.peek(); l.pos < len(l.text) && c != ',' && c != ';' {
		l.err = errEnd
	}
}

// route passes @one,@two: by.
func (l *list) route() {
	for l.pos < len(l.text) {
		switch l.peek() {
		case '@', ',':
			l.pos++
			l.skip()
		case ':':
			l.pos++
			l.skip()
			return
		default:
			at := l.pos
			if l.words(); l.pos == at {
				return
			}
		}
	}
}

// spec reads the domain behind a local part.
func (l *list) spec(local string, words int, joined bool) {
	end := l.localEnd
	l.pos++ // the @
	l.skip()
	domain, n, whole := "", 0, true
	if l.peek() == '[' {
		at := l.pos
		l.delimited(']')
		// RFC 5322 3.4.1: it may be folded.
		domain, n = strings.Join(strings.FieldsFunc(l.text[at:l.pos], isBlank), ""), 1
		l.addrEnd = l.pos
		l.skip()
	} else {
		domain, n, whole = l.words()
	}
	l.localEnd = end
	if n == 0 || !whole {
		l.err = errPhrase
		return
	}
	l.finish(local, "@"+domain, words, joined)
}

// finish checks the address that was read.
func (l *list) finish(local, atDomain string, words int, joined bool) {
	if l.err != nil {
		return
	}
	if !joined || words == 0 {
		l.err = errPhrase
		return
	}
	spec := local + atDomain
	if l.err = Check(spec); l.err == nil {
		l.addr, l.err = parseSpec(spec)
	}
}

// words reads atoms and quoted strings and what stands between them. It gives
// them without that, how many there are, and whether they can be one local part
// or domain: there is a dot wherever two of them meet (RFC 5322 4.4, obs-local-part).
func (l *list) words() (text string, count int, joined bool) {
	joined = true
	var parts []string // only when there are several
	for {
		at := l.pos
		if l.peek() == '"' {
			l.delimited('"')
		} else {
			l.atom()
		}
		if l.pos == at {
			break
		}
		word := l.text[at:l.pos]
		l.localEnd, l.addrEnd = l.pos, l.pos
		if count > 0 && word[0] != '.' && !strings.HasSuffix(text, ".") {
			joined = false
		}
		if count > 0 {
			if parts == nil {
				parts = append(parts, text)
			}
			parts = append(parts, word)
		}
		text = word
		count++
		l.skip()
	}
	if parts != nil && joined {
		text = strings.Join(parts, "")
	}
	return text, count, joined
}

// recover goes on at the next separator outside quotes, comments and literals.
func (l *list) recover() {
	for l.pos < len(l.text) {
		switch l.text[l.pos] {
		case ',', ';':
			return
		case '"':
			l.delimited('"')
		case '(':
			l.comment()
		case '[':
			l.delimited(']')
		case '\\':
			l.pos = min(l.pos+2, len(l.text))
		default:
			l.pos++
		}
	}
}

func (l *list) peek() byte {
	if l.pos < len(l.text) {
		return l.text[l.pos]
	}
	return 0
}

// skip passes blanks, folding and comments.
func (l *list) skip() {
	for l.pos < len(l.text) {
		switch c := l.text[l.pos]; {
		case isBlank(rune(c)):
			l.pos++
		case c == '(':
			l.comment()
		default:
			return
		}
	}
}

func isBlank(r rune) bool { return r == ' ' || r == '\t' || r == '\r' || r == '\n' }

func (l *list) comment() {
	depth := 0
	for ; l.pos < len(l.text); l.pos++ {
		switch l.text[l.pos] {
		case '\\':
			l.pos++
		case '(':
			depth++
		case ')':
			if depth--; depth == 0 {
				l.pos++
				return
			}
		}
	}
	l.pos, l.open = len(l.text), true
}

func (l *list) delimited(end byte) {
	for l.pos++; l.pos < len(l.text); l.pos++ {
		switch l.text[l.pos] {
		case '\\':
			l.pos++
		case end:
			l.pos++
			return
		}
	}
	l.pos, l.open = len(l.text), true
}

func (l *list) atom() {
	for l.pos < len(l.text) && !isSpecial(l.text[l.pos]) {
		l.pos += max(encodedLen(l.text[l.pos:]), 1)
	}
}

// encodedLen is the length of the encoded word that s begins with (RFC 2047 2), 0
// if there is none. Its text may hold anything but blanks and question marks.
func encodedLen(s string) int {
	if !strings.HasPrefix(s, "=?") {
		return 0
	}
	n := 2
	for n < len(s) && s[n] != '?' && s[n] != '=' && !isSpecial(s[n]) { // the character set
		n++
	}
	if n == 2 || len(s) < n+3 || s[n] != '?' || strings.IndexByte("bBqQ", s[n+1]) < 0 || s[n+2] != '?' {
		return 0
	}
	for n += 3; n < len(s) && s[n] != '?' && s[n] > ' '; {
		n++
	}
	if !strings.HasPrefix(s[n:], "?=") {
		return 0
	}
	return n + 2
}
