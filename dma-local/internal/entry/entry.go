// Package entry finds what a user's .forward file, or the alias file, says at the
// place that a token names (RULES C7, C10).
//
// Whoever asks for a delivery names an entry of the file by its position and by
// the hashes of the file and of the entry. What it says comes from the file, read
// anew and as the user, or nothing is done.
package entry

import (
	"errors"
	"fmt"

	"dma/common/conf"
	"dma/common/forward"
	"dma/proto"
)

// Account is the user whose file is read, who is also who runs this.
type Account struct {
	Login  string
	UID    uint32
	Home   string
	Shell  string
	Shells string // the file that lists the shells of people (RULES C8)

	Aliases bool // entries are those of the alias file, not of the account's .forward
}

// ErrStale says that the file does not have the entry any more.
var ErrStale = errors.New("changed in between")

var errForward = fmt.Errorf("the .forward file was %w", ErrStale)

// Find returns the entry that d asks for, which is of the kind that d says.
func (a Account) Find(c *conf.Config, d *proto.Deliver) (forward.Entry, error) {
	if a.Aliases {
		return inAliases(c, d)
	}
	f, exists, err := forward.Open(a.Home, a.UID, forward.Names(c.Forward, d.Extension))
	if err != nil {
		return forward.Entry{}, err
	}
	if !exists || forward.FileHash(f.Text) != d.Token.File {
		return forward.Entry{}, errForward
	}
	entries, err := forward.Parse(f.Text, a.Login, a.Home)
	if err != nil {
		return forward.Entry{}, fmt.Errorf("%s: %w", f.Path, err)
	}
	if int(d.Token.Index) >= len(entries) {
		return forward.Entry{}, errForward
	}
	e := entries[d.Token.Index]
	if k := kind(e); k == 0 || k != d.Kind || forward.EntryHash(e) != d.Token.Entry {
		return forward.Entry{}, errForward
	}
	if !c.AnyShell {
		err = forward.CheckShell(a.Shells, a.Shell)
	}
	return e, err
}

// kind is what the protocol calls e; 0 if a token names nothing of that kind.
func kind(e forward.Entry) proto.TargetKind {
	switch e.Kind {
	case forward.Command:
		return proto.TargetCommand
	case forward.File, forward.Maildir:
		return proto.TargetFile
	}
	return 0
}
