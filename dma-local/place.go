package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"dma/common/conf"
	"dma/common/forward"
	"dma/common/outcome"
	"dma/common/site"
	"dma/common/userconf"
	"dma/dma-local/internal/letter"
	"dma/dma-local/internal/maildir"
	"dma/dma-local/internal/mbox"
	"dma/proto"
)

// box is where letters end that no program is run for.
type box interface {
	Deliver(ctx context.Context, letters []letter.Letter) []proto.Result
}

// errGroup says that dma.conf wants the process to have another group.
var errGroup = errors.New("another process has to deliver it: dma.conf was changed just now")

// rooted reports whether the mailbox is root's. No process is root, so it stays a
// file in the mail directory, whatever dma.conf says of those of others (RULES C9).
func (s *server) rooted() bool { return s.account.UID == 0 && !site.Private() }

// program is the program that mail for the mailbox is given to, or nil.
func (s *server) program(c *conf.Config) ([]string, error) {
	switch {
	case len(c.MDA) == 0, s.rooted():
		return nil, nil
	case s.commands == nil:
		return nil, errGroup
	}
	return c.MDA, nil
}

// path is the file or the maildir that c names for the mailbox.
func (s *server) path(c *conf.Config) (path string, isDir bool, err error) {
	home := s.account.Home
	if s.rooted() {
		home = "/root" // root's mailbox is not in there, whatever it is called
	}
	path, isDir, err = c.MailboxOf(s.account.Login, home)
	if err == nil && isDir && s.rooted() {
		return site.Mail + "/" + s.account.Login, false, nil
	}
	return path, isDir, err
}

// mailbox is where c puts mail for the mailbox.
func (s *server) mailbox(c *conf.Config) (box, error) {
	path, isDir, err := s.path(c)
	byUser := userconf.MailboxByUser(c) && !s.rooted()
	switch {
	case err != nil:
		return nil, err
	case byUser && s.commands == nil, !byUser && !s.mail:
		return nil, errGroup
	case !isDir:
		return newBox(filepath.Dir(path), filepath.Base(path), s.account.UID), nil
	case byUser:
		return s.maildir("", path), nil
	}
	base := fixed(c.Mailbox)
	return s.maildir(base, strings.TrimPrefix(path, base)), nil
}

// fixed is the part of the pattern of a maildir that the administrator has chosen
// for all users: the directories before the one with the login.
func fixed(pattern string) string {
	parts := strings.SplitAfter(pattern, "/")
	for i, part := range parts {
		if strings.Contains(strings.ReplaceAll(part, "%%", ""), "%u") {
			parts = parts[:i]
			break
		}
	}
	return conf.Expand(strings.Join(parts, ""), "", "", "", "")
}

func (s *server) maildir(base, path string) *maildir.Maildir {
	host, _ := os.Hostname() // the name of a file is unique on this host without it
	return &maildir.Maildir{Base: base, Path: path, UID: s.account.UID, Host: host, Now: s.now}
}

// file is where an entry of the user's file says that mail is to be put (RULES D6).
func (s *server) file(e forward.Entry) (box, error) {
	if e.Kind == forward.Maildir {
		return s.maildir("", e.Path), nil
	}
	path := filepath.Clean(e.Path)
	if path == os.DevNull {
		return discard{}, nil
	}
	// The user's own links are followed, and what is locked is the file, not one of
	// its names. One that does not exist yet has none.
	dir, name := filepath.Split(path)
	if real, err := filepath.EvalSymlinks(path); err == nil {
		dir, name = filepath.Split(real)
	} else if !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("file %s: %w", path, err)
	}
	b := newBox(filepath.Clean(dir), name, uint32(os.Geteuid()))
	b.File = true
	return b, nil
}

// discard is /dev/null.
type discard struct{}

// Deliver says that letters are delivered, and no more.
func (discard) Deliver(_ context.Context, letters []letter.Letter) []proto.Result {
	results := make([]proto.Result, len(letters))
	for i := range results {
		results[i] = proto.Result{Scope: proto.ScopeTarget, Outcome: outcome.Success("discarded: delivered to %s", os.DevNull)}
	}
	return results
}

// newBox is a file in mboxrd format.
func newBox(dir, name string, uid uint32) *mbox.Box {
	group := site.MailGroup
	if site.Private() {
		group = ""
	}
	return &mbox.Box{
		Dir: dir, Login: name, UID: uid, Group: group,
		LockWait: mbox.LockWait, Pause: pause, Now: time.Now,
	}
}
