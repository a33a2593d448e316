package aliases

import (
	"fmt"
	"strings"
)

// Report is what Check found in an alias file and the lists that it includes.
type Report struct {
	File    string
	Missing bool // there is no such file, and so no aliases

	Aliases int // names
	Longest int // bytes of the targets of one line
	Bytes   int // of all targets
	Lists   int // :include: targets

	Bad      int       // mistakes: lines and targets that are passed over, or make mail wait
	Warnings []Warning // of them, and of what is only written badly; not all if they are many

	commands bool // and files are delivered to
}

// Check reads all of the alias file at path, as the calling account: a list that
// this account may not read is reported as one that cannot be read. The error is
// one of reading the alias file itself; with it mail for all local names waits.
//
// Commands is what ALIASCOMMANDS says.
func Check(path string, commands bool) (*Report, error) {
	t, missing, err := examine(path)
	if err != nil {
		return nil, err
	}
	r := &Report{File: path, Missing: missing, commands: commands}
	r.check(t, ReadList)
	return r, nil
}

// check goes through the file from its beginning, without the index.
func (r *Report) check(t *Table, readList func(path string) ([]Target, []Warning, error)) {
	first := len(t.text)
	if len(t.entries) > 0 {
		first = int(t.entries[0].start)
	}
	r.leading(t.file, string(t.text[:first]))
	line := 1 + lineEnds(t.text[:first])
	names := make(map[string]bool, len(t.entries))
	for i := range t.entries {
		text := t.alias(i)
		p := parser{file: t.file, rest: text, line: line}
		name, targets := p.alias()
		key := strings.ToLower(name)
		if len(targets) > 0 {
			if names[key] {
				p.again(name, line)
			}
			names[key] = true
		}
		r.add(&p)
		r.Longest = max(r.Longest, p.size)
		r.Bytes += p.size
		for _, target := range targets {
			r.target(Warning{File: t.file, Line: line, Bad: true}, name, target, t.Unsafe, readList)
		}
		line += strings.Count(text, "\n")
	}
	r.Aliases = len(names)
}

// leading looks at the lines before the first alias.
func (r *Report) leading(file, text string) {
	n := 0
	for line := range strings.SplitSeq(text, "\n") {
		n++
		if line = strings.TrimLeft(line, " \t\r"); line != "" && line[0] != '#' {
			p := parser{file: file, line: n}
			p.wrong("this line is indented and continues nothing; begin it in the first column")
			r.add(&p)
		}
	}
}

// target looks at what is right in form, and may yet make mail wait. w lacks the text.
func (r *Report) target(w Warning, name string, t Target, unsafe error, readList func(path string) ([]Target, []Warning, error)) {
	switch {
	case t.Kind == Include:
		r.Lists++
		_, warnings, err := readList(t.Text)
		for _, inner := range warnings {
			r.warn(inner)
		}
		if err == nil {
			return
		}
		w.Text = fmt.Sprintf("mail for %q waits: %v", short(name), err)
	case t.ByToken() && !r.commands:
		w.Text = fmt.Sprintf("mail for %q waits: dma.conf has no ALIASCOMMANDS, so commands and files are not delivered to (%q); write it there, or name an address", short(name), short(t.Text))
	case t.ByToken() && unsafe != nil:
		w.Text = fmt.Sprintf("mail for %q waits: its command or file (%q) must be root's word, and %v", short(name), short(t.Text), unsafe)
	default:
		return
	}
	r.warn(w)
}

func (r *Report) add(p *parser) {
	for _, w := range p.warnings {
		r.keep(w)
	}
	r.Bad += p.bad
}

func (r *Report) warn(w Warning) {
	if r.keep(w); w.Bad {
		r.Bad++
	}
}

func (r *Report) keep(w Warning) {
	switch {
	case len(r.Warnings) < maxWarnings-1:
		r.Warnings = append(r.Warnings, w)
	case len(r.Warnings) == maxWarnings-1:
		r.Warnings = append(r.Warnings, Warning{w.File, w.Line, "too many mistakes; the rest is not shown", w.Bad})
	}
}
