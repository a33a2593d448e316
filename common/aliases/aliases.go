// Package aliases reads the alias file: "name: target, target" with continuation
// lines that begin with a blank, quoted names and targets, and # comments
// (RULES C10). A line that is wrong gives a warning and nothing else happens to it:
// it never stands in the way of the others.
package aliases

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	"dma/common/mailaddr"
)

// Limits.
const (
	MaxFile     = 64 << 20 // bytes in the file; what is larger is no alias file
	maxText     = 4000     // bytes in a command or path (PATH_MAX is 4096)
	maxWarnings = 100      // warnings given, the last one standing for the rest
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

// Warning says what is wrong with a line and what to write instead.
type Warning struct {
	File string
	Line int // counted from 1
	Text string
}

func (w Warning) String() string { return fmt.Sprintf("%s:%d: %s", w.File, w.Line, w.Text) }

// Table is an alias file in memory. It does not change; any number of goroutines
// may use it.
type Table struct {
	names   map[string]uint32 // index into targets, by lower-case name without quotes
	targets [][]Target
}

// Load reads the file at path. One that is not there is an empty table; one that
// cannot be read is an error and says nothing about any name.
func Load(path string) (*Table, []Warning, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return &Table{}, nil, nil
	}
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	size := int64(0)
	if info, err := f.Stat(); err == nil {
		size = info.Size()
	}
	return read(f, path, size)
}

// Parse reads an alias file; name is for the warnings. The error is one of reading.
func Parse(r io.Reader, name string) (*Table, []Warning, error) { return read(r, name, 0) }

func read(r io.Reader, name string, size int64) (*Table, []Warning, error) {
	var text strings.Builder
	text.Grow(int(min(size, MaxFile)))
	n, err := io.Copy(&text, io.LimitReader(r, MaxFile+1))
	if err == nil && n > MaxFile {
		err = fmt.Errorf("larger than %d MiB", MaxFile>>20)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("read %s: %w", name, err)
	}
	p := parser{file: name}
	p.parse(text.String())
	return &p.table, p.warnings, nil
}

// Len is the number of aliases.
func (t *Table) Len() int { return len(t.names) }

// Lookup finds what the local name stands for, or else what the alias * stands
// for. As in dma, * comes before local users too; names that came out of an alias
// are looked up with Exact, or everything would end in *.
func (t *Table) Lookup(name string) ([]Target, bool) {
	if targets, ok := t.Exact(name); ok {
		return targets, true
	}
	return t.find("*")
}

// Exact is Lookup without the alias *. The name may have a domain, which the
// caller knows to be this host: name@host is found as such or by its name alone.
// The result belongs to the table.
func (t *Table) Exact(name string) ([]Target, bool) {
	if targets, ok := t.find(name); ok {
		return targets, true
	}
	local, _, found := mailaddr.Split(name)
	if !found {
		return nil, false
	}
	return t.find(local)
}

func (t *Table) find(name string) ([]Target, bool) {
	if n := quotedLen(name); n > 0 && n == len(name) {
		name = unquote(name)
	}
	i, ok := t.names[strings.ToLower(name)]
	if !ok {
		return nil, false
	}
	return t.targets[i], true
}
