package aliases

import (
	"errors"
	"fmt"
	"strings"

	"dma/common/mailaddr"
)

// Room made at once.
const (
	chunk   = 4096    // targets
	maxRoom = 1 << 17 // aliases; more of them fit, as the table grows
)

type parser struct {
	file     string
	table    Table
	warnings []Warning

	rest    string // of the current alias
	line    int    // where rest begins
	targets []Target
	free    []Target // room for the targets of the next aliases
}

func (p *parser) warn(format string, args ...any) {
	switch {
	case len(p.warnings) < maxWarnings-1:
		p.warnings = append(p.warnings, Warning{p.file, p.line, fmt.Sprintf(format, args...)})
	case len(p.warnings) == maxWarnings-1:
		p.warnings = append(p.warnings, Warning{p.file, p.line, "too many mistakes; the rest is not shown"})
	}
}

// parse cuts text into aliases: a line that begins with neither blank nor #, and
// the lines up to the next such line.
func (p *parser) parse(text string) {
	lines := min(strings.Count(text, "\n")+1, maxRoom)
	p.table = Table{make(map[string]uint32, lines), make([][]Target, 0, lines)}
	next := 1
	for text != "" {
		p.line = next
		end := lineEnd(text)
		next++
		if !belongs(text) {
			for end < len(text) && belongs(text[end:]) {
				end += lineEnd(text[end:])
				next++
			}
			p.rest = text[:end]
			p.alias()
		} else if c := strings.TrimLeft(text[:end], " \t\r\n"); c != "" && c[0] != '#' {
			p.warn("this line is indented and continues nothing; begin it in the first column")
		}
		text = text[end:]
	}
}

func lineEnd(s string) int {
	if n := strings.IndexByte(s, '\n'); n >= 0 {
		return n + 1
	}
	return len(s)
}

// belongs: the line goes with the one before.
func belongs(s string) bool {
	switch s[0] {
	case ' ', '\t', '\r', '\n', '#':
		return true
	}
	return false
}

func (p *parser) alias() {
	first := p.line
	name, err := p.name()
	if err != nil {
		p.warn("%v; write \"name: target, target\"", err)
		return
	}
	p.targets = p.targets[:0]
	wrong := false
	for p.separator() {
		raw, err := p.raw()
		var t Target
		if err == nil {
			t, err = classify(raw)
		}
		if err != nil {
			wrong = true
			p.warn("target %q of %q ignored: %v", short(raw), short(name), err)
			p.recover()
			continue
		}
		p.targets = append(p.targets, t)
		if here := p.line; !p.atEnd() {
			p.line, here = here, p.line
			p.warn("no comma behind target %q, and the next line goes on; write one", short(raw))
			p.line = here
		}
	}
	if len(p.targets) > 0 {
		p.store(strings.ToLower(name), first)
	} else if !wrong {
		p.line = first
		p.warn("alias %q has no target; write %q", short(name), short(name)+": target")
	}
}

// store adds the targets to those of an earlier line of the same name, as dma does.
func (p *parser) store(name string, line int) {
	t := &p.table
	if i, known := t.names[name]; known {
		p.line = line
		p.warn("alias %q is there already; the targets are added to it, write them in one line", short(name))
		t.targets[i] = append(t.targets[i], p.targets...)
		return
	}
	if len(p.free) < len(p.targets) {
		p.free = make([]Target, max(chunk, len(p.targets)))
	}
	n := copy(p.free, p.targets)
	t.names[name] = uint32(len(t.targets))
	t.targets = append(t.targets, p.free[:n:n])
	p.free = p.free[n:]
}

// name takes the name and the colon.
func (p *parser) name() (name string, err error) {
	if p.rest[0] == '"' {
		n := quotedLen(p.rest)
		if n == 0 {
			return "", errors.New("name without a closing quote")
		}
		name, p.rest = unquote(p.rest[:n]), p.rest[n:]
	} else {
		n := 0
		for n < len(p.rest) && !endsName(p.rest[n]) {
			n++
		}
		name, p.rest = p.rest[:n], p.rest[n:]
	}
	for p.rest != "" && (p.rest[0] == ' ' || p.rest[0] == '\t') {
		p.rest = p.rest[1:]
	}
	if p.rest == "" || p.rest[0] != ':' {
		return "", fmt.Errorf("no colon after the name %q", short(name))
	}
	p.rest = p.rest[1:]
	if err := mailaddr.Check(name); err != nil {
		return "", fmt.Errorf("name %q: %w", short(name), err)
	}
	return name, nil
}

func endsName(c byte) bool {
	switch c {
	case ':', ' ', '\t', '\r', '\n', '"', ',':
		return true
	}
	return false
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
			p.rest = p.rest[lineEnd(p.rest):]
			p.line++
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
				raw := strings.TrimSuffix(p.rest[:lineEnd(p.rest)], "\n")
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

// recover goes on at the next line or comma.
func (p *parser) recover() {
	n := strings.IndexAny(p.rest, ",\n")
	if n < 0 {
		n = len(p.rest)
	}
	p.rest = p.rest[n:]
}

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
	case strings.HasPrefix(text, ":include:"):
		kind, text = Include, strings.TrimLeft(text[len(":include:"):], " \t")
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
