// Package forward reads ~/.forward files (RULES C): opening one safely as its
// user, taking its text apart, and naming its entries by hash. dma-forward and
// dma-local both use it, so that they agree on what an entry is.
package forward

import (
	"crypto/sha256"
	"fmt"
)

// Limits of a .forward file (RULES C4). A file over one of them is in error.
const (
	MaxFile    = 64 << 10 // bytes in the file
	MaxLine    = 1000     // bytes in a line, without its end
	MaxEntries = 100      // entries in the file
)

// MaxExtension bounds the extension that a file is chosen by, in bytes (RULES C6).
const MaxExtension = 64

// Kind says what an entry asks for.
type Kind uint8

// The kinds of entries.
const (
	Mailbox Kind = 1 // put the mail into the mailbox of Login, without expanding it
	Address Kind = 2 // go on with Address: a name of this host, or name@host
	Command Kind = 3 // run Command
	File    Kind = 4 // append to the file Path
	Maildir Kind = 5 // deliver into the maildir Path, which ends in a slash
	Include Kind = 6 // read more entries from the file Path
)

func (k Kind) String() string {
	switch k {
	case Mailbox:
		return "mailbox"
	case Address:
		return "address"
	case Command:
		return "command"
	case File:
		return "file"
	case Maildir:
		return "maildir"
	case Include:
		return "include"
	}
	return "invalid"
}

// Entry is one target of a .forward file.
type Entry struct {
	Kind    Kind
	Line    int    // counted from 1
	Text    string // exactly as it stands in the file
	Login   string // of a Mailbox
	Address string // of an Address
	Command string // of a Command: for the shell, without the |
	Path    string // of File, Maildir and Include: absolute
}

// SyntaxError is what is wrong with the text of a file.
type SyntaxError struct {
	Line int // counted from 1; 0: the file as a whole
	Text string
}

func (e *SyntaxError) Error() string {
	if e.Line == 0 {
		return e.Text
	}
	return fmt.Sprintf("line %d: %s", e.Line, e.Text)
}

// FileHash names the text of a file (RULES C7).
func FileHash(text []byte) [sha256.Size]byte { return sha256.Sum256(text) }

// EntryHash names an entry by its kind and its text. With FileHash and the
// entry's index it is all that ever leaves the user's processes.
func EntryHash(e Entry) [sha256.Size]byte {
	return sha256.Sum256(append([]byte{byte(e.Kind)}, e.Text...))
}

// Describe says in plain English what becomes of the mail.
func (e Entry) Describe() string {
	switch e.Kind {
	case Mailbox:
		return fmt.Sprintf("put it into the mailbox of %s", e.Login)
	case Address:
		return fmt.Sprintf("send it on to %s", printable(e.Address))
	case Command:
		return fmt.Sprintf("run the command %q with the mail as its input", e.Command)
	case File:
		return fmt.Sprintf("append it to the file %s", printable(e.Path))
	case Maildir:
		return fmt.Sprintf("deliver it into the maildir %s", printable(e.Path))
	case Include:
		return fmt.Sprintf("go on with the entries in the file %s", printable(e.Path))
	}
	return "nothing that this program knows"
}

// printable quotes s when it would not stand safely in a line on a terminal.
func printable(s string) string {
	if q := fmt.Sprintf("%q", s); q[1:len(q)-1] != s {
		return q
	}
	return s
}
