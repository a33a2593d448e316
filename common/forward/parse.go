package forward

import (
	"bytes"
	"fmt"
	"strings"

	"dma/common/mailaddr"
	"dma/common/passwd"
)

// Parse reads the text of login's .forward file (RULES C3). Any mistake is an
// error of type *SyntaxError, and then nothing of the file counts: half of it
// could be worse than a delay. No entries at all mean the mailbox.
func Parse(text []byte, login, home string) ([]Entry, error) {
	switch {
	case len(text) > MaxFile:
		return nil, &SyntaxError{0, fmt.Sprintf("the file is larger than %d KiB", MaxFile>>10)}
	case bytes.IndexByte(text, 0) >= 0:
		return nil, &SyntaxError{1 + bytes.Count(text[:bytes.IndexByte(text, 0)], []byte{'\n'}), "contains a NUL byte"}
	}
	p := parser{login: login, home: strings.TrimRight(home, "/")}
	for line := range strings.SplitSeq(string(text), "\n") {
		p.line++
		if err := p.readLine(strings.TrimSuffix(line, "\r")); err != nil {
			return nil, &SyntaxError{p.line, err.Error()}
		}
	}
	return p.entries, nil
}

type parser struct {
	login, home string
	line        int
	entries     []Entry
}

func (p *parser) readLine(rest string) error {
	if len(rest) > MaxLine {
		return fmt.Errorf("longer than %d bytes", MaxLine)
	}
	if rest = trimLeft(rest); rest != "" && rest[0] == '#' {
		return nil
	}
	for rest != "" {
		if rest[0] == ',' { // empty entries do no harm
			rest = trimLeft(rest[1:])
			continue
		}
		n, err := entryLen(rest)
		if err != nil {
			return err
		}
		if err := p.add(strings.TrimRight(rest[:n], " \t")); err != nil {
			return err
		}
		rest = trimLeft(rest[n:])
	}
	return nil
}

func trimLeft(s string) string { return strings.TrimLeft(s, " \t") }

// entryLen is where the entry that s begins with ends: before the next comma
// outside quotes, or, for a command without quotes, at the end of the line.
func entryLen(s string) (int, error) {
	if s[0] == '|' {
		return len(s), nil
	}
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case ',':
			return i, nil
		case '"':
			n := quotedLen(s[i:])
			if n == 0 {
				return 0, fmt.Errorf("no closing quote")
			}
			i += n - 1
		}
	}
	return len(s), nil
}

// quotedLen is the length of the quoted string that s begins with, 0 if there is none.
func quotedLen(s string) int {
	if s == "" || s[0] != '"' {
		return 0
	}
	for i := 1; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
	return 0
}

// unquote takes off quotes and the backslashes inside.
func unquote(s string) string {
	s = s[1 : len(s)-1]
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' {
			i++
		}
		b = append(b, s[i])
	}
	return string(b)
}

func (p *parser) add(text string) error {
	if len(p.entries) == MaxEntries {
		return fmt.Errorf("more than %d entries", MaxEntries)
	}
	value := text
	if quotedLen(text) == len(text) {
		value = unquote(text)
	}
	e, err := p.classify(trimLeft(value), text)
	if err != nil {
		return fmt.Errorf("%q: %w", text, err)
	}
	e.Line, e.Text = p.line, text
	p.entries = append(p.entries, e)
	return nil
}

// classify finds the kind of an entry. value is text without quotes around it.
func (p *parser) classify(value, text string) (Entry, error) {
	switch {
	case value == "":
		return Entry{}, fmt.Errorf("nothing between the quotes")
	case text[0] == '#': // more likely meant as a comment than as an address
		return Entry{}, fmt.Errorf("begin the line with # to make it a comment")
	case value[0] == '|':
		command := trimLeft(value[1:])
		if command == "" {
			return Entry{}, fmt.Errorf("no command behind the |")
		}
		return Entry{Kind: Command, Command: command}, nil
	case value[0] == '!', value[0] == '\\':
		return p.mailbox(value[1:])
	case strings.HasPrefix(value, ":include:"):
		path, err := p.path(trimLeft(value[len(":include:"):]))
		if err == nil && strings.HasSuffix(path, "/") {
			err = fmt.Errorf("not the name of a file")
		}
		return Entry{Kind: Include, Path: path}, err
	case value[0] == '/', value[0] == '~':
		path, err := p.path(value)
		if strings.HasSuffix(path, "/") {
			return Entry{Kind: Maildir, Path: path}, err
		}
		return Entry{Kind: File, Path: path}, err
	}
	return p.address(value, text)
}

func (p *parser) mailbox(login string) (Entry, error) {
	switch login = trimLeft(login); {
	case login == "":
		login = p.login
	case !passwd.ValidLogin(login):
		return Entry{}, fmt.Errorf("not a login name")
	}
	return Entry{Kind: Mailbox, Login: login}, nil
}

// path makes ~/x absolute. Whether the user may write there is for the kernel to say.
func (p *parser) path(s string) (string, error) {
	if rest, ok := strings.CutPrefix(s, "~/"); ok {
		if p.home == "" || p.home[0] != '/' {
			return "", fmt.Errorf("there is no home directory")
		}
		s = p.home + "/" + rest
	}
	if s == "" || s[0] != '/' {
		return "", fmt.Errorf("write the path as /path or ~/path")
	}
	return s, nil
}

func (p *parser) address(value, text string) (Entry, error) {
	a, err := mailaddr.Parse(value)
	if err != nil && value != text { // "a b"@host, and "a b", are quoted in another sense
		a, err = mailaddr.Parse(text)
	}
	if err != nil {
		return Entry{}, err
	}
	if a == (mailaddr.Addr{Local: p.login}) {
		return Entry{Kind: Mailbox, Login: p.login}, nil
	}
	return Entry{Kind: Address, Address: a.String()}, nil
}
