package aliases

import (
	"iter"
	"strings"
)

// ByToken reports whether the target is a command or a file. Who delivers to it is
// told its hashes, and takes what it says from the alias file itself (RULES C10).
func (t Target) ByToken() bool { return (t.Kind == Command || t.Kind == File) && !t.Discards() }

// Text is the file as it was read; it must not be changed.
func (t *Table) Text() []byte { return t.text }

// Tokens are the commands and files of all aliases, in the order of the file.
func (t *Table) Tokens() iter.Seq[Target] {
	return func(yield func(Target) bool) {
		for i := range t.entries {
			text := t.alias(i)
			if !strings.ContainsAny(text, "|/") {
				continue // most of a long file
			}
			p := parser{file: t.file, rest: text, line: 1}
			_, targets := p.alias()
			for _, target := range targets {
				if target.ByToken() && !yield(target) {
					return
				}
			}
		}
	}
}
