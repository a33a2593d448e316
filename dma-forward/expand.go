package main

import (
	"errors"
	"fmt"
	"strings"

	"dma/common/conf"
	"dma/common/forward"
	"dma/proto"
)

// Limits over all files that one file includes (RULES C4).
const (
	maxTargets = proto.MaxRecipients
	maxDepth   = 10 // files that include each other
)

// user is whose file is read.
type user struct {
	login  string
	uid    uint32
	home   string
	shell  string
	shells string // the file that lists the shells of people
}

// path is where a file of the user's with this name is.
func (u user) path(name string) string { return strings.TrimRight(u.home, "/") + "/" + name }

// errEntry is wrapped by errors about what an entry may not say.
var errEntry = errors.New("not allowed")

// expand returns the targets that the user's file for login+extension names; none
// if there is no file, or nothing in it, which both mean the user's mailbox (RULES C2).
func (u user) expand(c *conf.Config, extension string) ([]proto.Target, error) {
	f, exists, err := forward.Open(u.home, u.uid, forward.Names(c.Forward, extension))
	if err != nil || !exists {
		return nil, err
	}
	return u.targets(c, f)
}

// targets returns what the text of f means.
func (u user) targets(c *conf.Config, f forward.Source) ([]proto.Target, error) {
	w := walk{user: u, anyShell: c.AnyShell}
	entries, err := w.file(f, 0)
	if err == nil && len(w.targets) == 0 && entries > 0 { // that is not what a mailbox was asked for with
		err = fmt.Errorf("%s: the lists that it includes have no entries: %w", f.Path, errEntry)
	}
	return w.targets, err
}

// walk goes through a file and those that it includes.
type walk struct {
	user
	anyShell bool
	targets  []proto.Target
}

// file adds what f says; depth is how many files led to it. It returns how many
// entries f has.
func (w *walk) file(f forward.Source, depth int) (int, error) {
	entries, err := forward.Parse(f.Text, w.login, w.home)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", f.Path, err)
	}
	hash := forward.FileHash(f.Text)
	for i, e := range entries {
		t := proto.Target{Token: proto.Token{Index: uint16(i), File: hash, Entry: forward.EntryHash(e)}}
		if err := w.entry(e, t, depth); err != nil {
			if e.Kind != forward.Include || depth == 0 { // the first file and the last one are enough
				err = fmt.Errorf("%s: line %d: %w", f.Path, e.Line, err)
			}
			return 0, err
		}
		if len(w.targets) > maxTargets {
			return 0, fmt.Errorf("%s: more than %d targets with the files that it includes: %w", f.Path, maxTargets, errEntry)
		}
	}
	return len(entries), nil
}

// entry adds what e says. t has its token.
func (w *walk) entry(e forward.Entry, t proto.Target, depth int) error {
	switch {
	case e.Kind == forward.Include:
		return w.include(e, depth)
	case e.Kind.NeedsShell() && depth > 0: // it could be named by no token
		return fmt.Errorf("a %v in a file that is included: %w", e.Kind, errEntry)
	case e.Kind.NeedsShell() && !w.anyShell:
		if err := forward.CheckShell(w.shells, w.shell); err != nil {
			return err
		}
	}
	switch e.Kind {
	case forward.Mailbox:
		t = proto.Target{Kind: proto.TargetMailbox, Address: e.Login}
	case forward.Address:
		t = proto.Target{Kind: proto.TargetAddress, Address: e.Address}
	case forward.Command:
		t.Kind = proto.TargetCommand
	default:
		t.Kind = proto.TargetFile
	}
	w.targets = append(w.targets, t)
	return nil
}

func (w *walk) include(e forward.Entry, depth int) error {
	if depth == maxDepth {
		return fmt.Errorf("%s: more than %d files that include each other: %w", e.Path, maxDepth, errEntry)
	}
	f, err := forward.OpenInclude(e.Path, w.uid)
	if err == nil {
		_, err = w.file(f, depth+1)
	}
	return err
}
