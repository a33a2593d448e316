// Package aliases reads the alias file: "name: target, target" with continuation
// lines that begin with a blank, quoted names and targets, and # comments
// (RULES C10); dma-aliases(5) has it all. A line that is wrong never stands in the
// way of the others.
//
// A program that starts for one message has no time to take 100 000 aliases
// apart. So Load finds only where each begins, and Find reads the few that it is
// asked for. Check reads all, for people who want to know what is wrong.
package aliases

import (
	"fmt"
	"strings"

	"dma/common/mailaddr"
)

// Limits.
const (
	MaxFile     = 64 << 20 // bytes in the file; what is larger is no alias file
	maxText     = 4000     // bytes in a command or path (PATH_MAX is 4096)
	maxWarnings = 100      // warnings of a Report, the last one standing for the rest
)

// Kind says what a target is.
type Kind uint8

// The kinds of targets. Whether any but Address is allowed is for the caller to say.
const (
	Address Kind = 1 // a local name or an address
	Command Kind = 2 // |command
	File    Kind = 3 // /path
	Include Kind = 4 // :include:/path
)

// Target is one thing that an alias stands for.
type Target struct {
	Kind     Kind
	NoExpand bool          // of an Address: written \name, that user's mailbox
	Addr     mailaddr.Addr // of an Address
	Text     string        // of the others: the command without |, or the path
}

// Discards reports whether the target is /dev/null, which needs no delivery to a file.
func (t Target) Discards() bool { return t.Kind == File && t.Text == "/dev/null" }

// Warning says what is wrong with a line and what to write instead.
type Warning struct {
	File string
	Line int // counted from 1
	Text string
	// Bad: what the line asks for is not done; it is passed over, or mail waits
	// until it is put right. If not, only its form is wrong.
	Bad bool
}

func (w Warning) String() string { return fmt.Sprintf("%s:%d: %s", w.File, w.Line, w.Text) }

// Table is an alias file in memory. It does not change; any number of goroutines
// may use it.
type Table struct {
	// Unsafe says why others than root could have written what the file holds, if
	// they could, or if only Load has read it: then no command of it is run, and no
	// file written (RULES C10).
	Unsafe error
	// Warn, if there is one, is told what is wrong with the lines of a name each
	// time it is looked up. It is set before the first Find.
	Warn func(Warning)

	file    string
	text    []byte
	entries []entry  // in the order of the file
	heads   []uint32 // by hash of the name: the first entry, counted from 1; as many as a power of 2
}

// entry is where an alias begins: at a line that belongs to none before it.
type entry struct {
	start uint32 // in text; MaxFile fits
	next  uint32 // entry with the same place in heads, counted from 1
}

// Find says what the address a of this host stands for: what is found first of
// name@domain, name@host and name; of the same without +extension (RULES C6); and,
// if star is set, the alias *. As in dma * comes before local users too; what an
// alias itself names is looked up without it, or everything would end there.
// The key is the alias that was found, in lower case. One without targets has
// none that is right: mail for it is to wait, not to be unknown.
func (t *Table) Find(a mailaddr.Addr, host string, star bool) (key string, targets []Target, found bool) {
	if len(t.entries) == 0 {
		return "", nil, false
	}
	names := make([]string, 0, 7)
	local := mailaddr.Unquote(a.Local)
	for {
		if a.Domain != "" {
			names = append(names, local+"@"+a.Domain)
		}
		if host != "" && !strings.EqualFold(host, a.Domain) {
			names = append(names, local+"@"+host)
		}
		names = append(names, local)
		user, _, extended := strings.Cut(local, "+")
		if !extended || user == "" {
			break
		}
		local = user
	}
	if star {
		names = append(names, "*")
	}
	for _, name := range names {
		name = strings.ToLower(name)
		if targets, found := t.targets(name); found {
			return name, targets, true
		}
	}
	return "", nil, false
}

// targets are those of all lines with that name, in lower case, as dma has it;
// found, whether there is one.
func (t *Table) targets(name string) (all []Target, found bool) {
	at, line := uint32(0), 1 // up to where lines have been counted
	for i := t.first(name); i != 0; i = t.entries[i-1].next {
		p := parser{file: t.file, rest: t.alias(int(i - 1)), line: 1}
		alias, targets := p.alias()
		if alias == "" || strings.ToLower(alias) != name {
			continue // only the hash is the same
		}
		found = true
		if len(all) > 0 && len(targets) > 0 {
			p.again(alias, 1)
		}
		all = append(all, targets...)
		if len(p.warnings) > 0 && t.Warn != nil {
			start := t.entries[i-1].start
			line += lineEnds(t.text[at:start])
			at = start
			for _, w := range p.warnings {
				w.Line += line - 1
				t.Warn(w)
			}
		}
	}
	return all, found
}
