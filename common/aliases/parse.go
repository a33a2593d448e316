package aliases

import (
	"errors"
	"fmt"
	"strings"

	"dma/common/mailaddr"
)

// parser takes one alias apart, or a list.
type parser struct {
	file     string
	rest     string
	line     int // where rest begins
	size     int // bytes of the targets, with a comma between
	bad      int // mistakes
	warnings []Warning
}

// wrong warns of what is not done as the line asks.
func (p *parser) wrong(format string, args ...any) {
	p.bad++
	p.warn(Warning{p.file, p.line, fmt.Sprintf(format, args...), true})
}

func (p *parser) warn(w Warning) {
	if len(p.warnings) < maxWarnings {
		p.warnings = append(p.warnings, w)
	}
}

// again warns of a name that an earlier line has.
func (p *parser) again(name string, line int) {
	p.warn(Warning{p.file, line, fmt.Sprintf("alias %q is there already; the targets are added to it, write them in one line", short(name)), false})
}

// alias gives the name, as it is written but for quotes, and what it stands for:
// nothing if the line is wrong.
func (p *parser) alias() (name string, targets []Target) {
	first := p.line
	name, err := p.name()
	if err != nil {
		p.wrong("%v; write \"name: target, target\"", err)
		return name, nil
	}
	empty := true
	for p.separator() {
		empty = false
		line := p.line
		t, raw, err := p.target()
		if err != nil {
			p.wrong("target %q of %q ignored: %v", short(raw), short(name), err)
			continue
		}
		p.add(raw)
		targets = append(targets, t)
		if !p.atEnd() {
			p.warn(Warning{p.file, line, fmt.Sprintf("no comma behind target %q, and the next line goes on; write one", short(raw)), false})
		}
	}
	if empty {
		p.line = first
		p.wrong("alias %q has no target; write %q", short(name), short(name)+": target")
	}
	return name, targets
}

func (p *parser) add(raw string) {
	if p.size > 0 {
		p.size++
	}
	p.size += len(raw)
}

// target takes one target. What is left begins at a comma, a comment or the end of
// the line, whether the target was right or not.
func (p *parser) target() (t Target, raw string, err error) {
	raw, err = p.raw()
	if err == nil {
		t, err = classify(raw)
	}
	return t, raw, err
}

// name takes the name and the colon.
func (p *parser) name() (string, error) {
	name, rest, ok := cutName(p.rest)
	if !ok {
		return "", errors.New("name without a closing quote")
	}
	rest = strings.TrimLeft(rest, " \t")
	if rest == "" || rest[0] != ':' {
		return name, fmt.Errorf("no colon after the name %q", short(name))
	}
	p.rest = rest[1:]
	if err := mailaddr.Check(name); err != nil {
		return name, fmt.Errorf("name %q: %w", short(name), err)
	}
	return name, nil
}

// cutName cuts the name off an alias, and takes off the quotes around it; not ok
// if they are not closed.
func cutName(s string) (name, rest string, ok bool) {
	if s[0] == '"' {
		n := quotedLen(s)
		if n == 0 {
			return "", "", false
		}
		return unquote(s[:n]), s[n:], true
	}
	n := 0
	for n < len(s) && !endsName(s[n]) {
		n++
	}
	return s[:n], s[n:], true
}

func endsName(c byte) bool {
	switch c {
	case ':', ' ', '\t', '\r', '\n', '"', ',':
		return true
	}
	return false
}

// endOfLine is where the line ends; the newline is not behind it.
func endOfLine(s string) int {
	if n := strings.IndexByte(s, '\n'); n >= 0 {
		return n
	}
	return len(s)
}

// separator passes what stands between targets; false at the end of the alias.
func (p *parser) separator() bool {
	for p.atEnd() {
		if p.rest == "" {
			return false
		}
		p.rest = p.rest[1:] // the comma
	}
	return true
}

// atEnd passes blanks, line ends and comments; true where a target may end: before a comma and at the end.
func (p *parser) atEnd() bool {
	for p.rest != "" {
		switch p.rest[0] {
		case '\n':
			p.line++
			p.rest = p.rest[1:]
		case ' ', '\t', '\r':
			p.rest = p.rest[1:]
		case '#':
			p.rest = p.rest[endOfLine(p.rest):]
		default:
			return p.rest[0] == ','
		}
	}
	return true
}

// raw takes one target as it stands. A target ends with its line.
func (p *parser) raw() (string, error) {
	i := 0
	for ; i < len(p.rest); i++ {
		switch p.rest[i] {
		case '"':
			n := quotedLen(p.rest[i:])
			if n == 0 {
				raw := p.rest[:endOfLine(p.rest)]
				p.rest = p.rest[len(raw):]
				return raw, errors.New("no closing quote in its line")
			}
			i += n - 1
			continue
		case '\\':
			if i+1 < len(p.rest) && p.rest[i+1] != '\n' {
				i++
			}
			continue
		case '#':
			if i > 0 && p.rest[i-1] != ' ' && p.rest[i-1] != '\t' {
				continue
			}
		case ',', '\n':
		default:
			continue
		}
		break
	}
	end := i
	for end > 0 && (p.rest[end-1] == ' ' || p.rest[end-1] == '\t' || p.rest[end-1] == '\r') {
		end--
	}
	raw := p.rest[:end]
	p.rest = p.rest[i:]
	return raw, nil
}

const include = ":include:"

func classify(raw string) (Target, error) {
	text := raw
	if quotedLen(raw) == len(raw) {
		text = unquote(raw)
	}
	if text == "" {
		return Target{}, errors.New("nothing between the quotes")
	}
	kind := Address
	switch {
	case text[0] == '|':
		kind, text = Command, strings.TrimLeft(text[1:], " \t")
	case text[0] == '/':
		kind = File
	case len(text) >= len(include) && strings.EqualFold(text[:len(include)], include):
		kind, text = Include, strings.TrimLeft(text[len(include):], " \t")
		if text == "" || text[0] != '/' {
			return Target{}, errors.New("write :include:/path")
		}
	}
	if kind == Address {
		return address(text, raw)
	}
	switch {
	case text == "":
		return Target{}, errors.New("no command after |")
	case len(text) > maxText:
		return Target{}, fmt.Errorf("longer than %d bytes", maxText)
	case strings.IndexByte(text, 0) >= 0:
		return Target{}, errors.New("contains a NUL byte")
	}
	return Target{Kind: kind, Text: text}, nil
}

// address reads an address, where text is raw without quotes around it.
func address(text, raw string) (Target, error) {
	text, final := strings.CutPrefix(text, `\`)
	a, err := mailaddr.Parse(text)
	if err != nil && !final && text != raw { // "a b" is a quoted local part
		a, err = mailaddr.Parse(raw)
	}
	if err != nil {
		return Target{}, fmt.Errorf("%w; write name or name@host", err)
	}
	return Target{Kind: Address, Addr: a, NoExpand: final}, nil
}

// quotedLen is the length of the quoted string that s begins with, 0 if it does
// not begin with one that ends in the same line.
func quotedLen(s string) int {
	if s == "" || s[0] != '"' {
		return 0
	}
	for i := 1; i < len(s); i++ {
		switch s[i] {
		case '\\':
			if i++; i < len(s) && s[i] == '\n' {
				return 0
			}
		case '\n':
			return 0
		case '"':
			return i + 1
		}
	}
	return 0
}

// unquote takes off quotes and the backslashes inside.
func unquote(s string) string {
	s = s[1 : len(s)-1]
	if strings.IndexByte(s, '\\') < 0 {
		return s
	}
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+1 < len(s) {
			i++
		}
		b = append(b, s[i])
	}
	return string(b)
}

// short cuts what goes into a warning.
func short(s string) string {
	const most = 60
	if s = strings.TrimSpace(s); len(s) > most {
		s = s[:most] + "..."
	}
	return s
}
