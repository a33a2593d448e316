// Package token names commands and files of the alias file by hash (RULES C10), as
// package forward names those of users. The runner uses it, and dma-local; the front
// end does without.
package token

import (
	"crypto/sha256"

	"dma/common/aliases"
)

// File names the text of the alias file.
func File(t *aliases.Table) [sha256.Size]byte { return sha256.Sum256(t.Text()) }

// Entry names a command or a file by its kind and its text, whatever alias has it.
func Entry(t aliases.Target) [sha256.Size]byte {
	return sha256.Sum256(append([]byte{byte(t.Kind)}, t.Text...))
}

// Find finds the command or file that Entry names so.
func Find(t *aliases.Table, entry [sha256.Size]byte) (target aliases.Target, found bool) {
	for target := range t.Tokens() {
		if Entry(target) == entry {
			return target, true
		}
	}
	return aliases.Target{}, false
}
