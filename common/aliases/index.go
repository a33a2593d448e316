package aliases

import (
	"bytes"
	"math/bits"
	"strings"
	"unicode/utf8"
)

// maxRoom is how many aliases there is room for at once. More fit, as the table grows.
const maxRoom = 1 << 17

// Parse makes a table of the text of an alias file, which it keeps; file is for the warnings.
func Parse(text []byte, file string) *Table {
	t := &Table{file: file, text: text, entries: make([]entry, 0, min(lineEnds(text)+1, maxRoom))}
	for at := 0; at < len(text); at += lineLen(text[at:]) {
		if !belongs(text[at]) {
			t.entries = append(t.entries, entry{start: uint32(at)})
		}
	}
	t.heads = make([]uint32, 1<<bits.Len(uint(len(t.entries))))
	for i := len(t.entries) - 1; i >= 0; i-- { // from the end, so that a list is in the order of the file
		e := &t.entries[i]
		head := &t.heads[t.slot(hashLine(text[e.start:]))]
		e.next, *head = *head, uint32(i+1)
	}
	return t
}

func (t *Table) slot(hash uint32) uint32 { return hash & uint32(len(t.heads)-1) }

// first is the first entry where name, in lower case, would be; counted from 1.
func (t *Table) first(name string) uint32 {
	if len(t.heads) == 0 {
		return 0
	}
	return t.heads[t.slot(hashName(name))]
}

// alias is the text of entry i, up to the next. It is a copy, so that what is made
// of it does not hold the whole file in memory.
func (t *Table) alias(i int) string {
	end := len(t.text)
	if i+1 < len(t.entries) {
		end = int(t.entries[i+1].start)
	}
	return string(t.text[t.entries[i].start:end])
}

// belongs: a line that begins so goes with the one before.
func belongs(c byte) bool {
	switch c {
	case ' ', '\t', '\r', '\n', '#':
		return true
	}
	return false
}

func lineEnds(text []byte) int { return bytes.Count(text, []byte{'\n'}) }

// lineLen is the length of the first line, with its end.
func lineLen(text []byte) int {
	if n := bytes.IndexByte(text, '\n'); n >= 0 {
		return n + 1
	}
	return len(text)
}

// The hash FNV-1a with 32 bits. Who writes the alias file has no reason to attack it.
const (
	hashStart = 2166136261
	hashPrime = 16777619
)

// hashName is the hash of a name that is in lower case.
func hashName(name string) uint32 {
	h := uint32(hashStart)
	for i := range len(name) {
		h = (h ^ uint32(name[i])) * hashPrime
	}
	return h
}

// hashLine is hashName of the name at the beginning of an alias, in lower case. It
// is what a program waits for: a step for a byte, as long as the name is plain ASCII.
func hashLine(text []byte) uint32 {
	h := uint32(hashStart)
	for i, c := range text {
		switch {
		case c >= 'a' && c <= 'z', c >= '0' && c <= '9': // nearly all
		case c >= utf8.RuneSelf, c == '"' && i == 0:
			name, _, _ := cutName(string(text[:lineLen(text)]))
			return hashName(strings.ToLower(name))
		case endsName(c):
			return h
		case c >= 'A' && c <= 'Z':
			c += 'a' - 'A'
		}
		h = (h ^ uint32(c)) * hashPrime
	}
	return h
}
