package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"dma/common/conf"
	"dma/common/passwd"
	"dma/common/site"
	"dma/common/sysexits"
	"dma/common/userconf"
	"dma/dma-local/internal/entry"
	"dma/dma-local/internal/mbox"

	"golang.org/x/sys/unix"
)

// noUser stands for an account that owns nothing in the mail directory.
const noUser = ^uint32(0)

// check tells a person whether mail can be delivered to the person's mailbox.
func check(stdout, stderr io.Writer) int {
	uid := uint32(os.Getuid())
	a, err := passwd.LookupUID(site.Passwd, uid)
	if err != nil {
		fmt.Fprintf(stderr, "dma-local: look up uid %d in %s: %v\n", uid, site.Passwd, err)
		return 1
	}
	s := &server{account: entry.Account{Login: a.Login, UID: uid, Home: a.Home}}
	place, err := s.checkPlace()
	if err == nil {
		fmt.Fprintf(stdout, "Mail for %s is %s, unless an alias or ~/.forward sends it elsewhere.\n", a.Login, place)
		return sysexits.OK
	}
	what, remedy := err.Error(), ""
	if p := (*mbox.Problem)(nil); errors.As(err, &p) {
		what, remedy = p.What, p.Remedy
	}
	fmt.Fprintf(stderr, "dma-local: %s\n", what)
	if remedy != "" {
		fmt.Fprintf(stderr, "To repair it: %s\n", remedy)
	}
	fmt.Fprintf(stderr, "Mail for %s waits in the queue until this is put right. None is lost.\n", a.Login)
	return 1
}

// checkPlace says where mail for the mailbox goes, and finds what is in its way.
func (s *server) checkPlace() (string, error) {
	c, err := userconf.Load()
	if err != nil {
		return "", err
	}
	if len(c.MDA) > 0 && !s.rooted() {
		return "given to the program " + c.MDA[0], runnable(c.MDA[0])
	}
	path, isDir, err := s.path(c)
	if err != nil {
		return "", err
	}
	if isDir {
		return "put into the maildir " + path, s.checkMaildir(c, path)
	}
	w := mbox.Writer{UID: s.account.UID, GID: uint32(os.Getegid())}
	if !site.Private() {
		if w.GID, err = passwd.LookupGroup(groupFile, site.MailGroup); err != nil {
			return "", fmt.Errorf("look up group %s in %s: %w", site.MailGroup, groupFile, err)
		}
	}
	if s.rooted() {
		w.UID = noUser // root's mailbox is not written by root
	}
	return "put into " + path, newBox(filepath.Dir(path), filepath.Base(path), s.account.UID).Check(w)
}

func runnable(program string) error {
	if err := unix.Access(program, unix.X_OK); err != nil {
		return fmt.Errorf("MDA %s: %w", program, err)
	}
	return nil
}

// checkMaildir looks at a maildir, or, if it is still to be made, at the directory
// that it would be made in. Of one that is not the user's alone only that much
// can be told that the directory for all is there.
func (s *server) checkMaildir(c *conf.Config, path string) error {
	if !userconf.MailboxByUser(c) {
		if st, err := os.Stat(fixed(c.Mailbox)); err != nil || !st.IsDir() {
			return errors.Join(fmt.Errorf("maildir %s: %s is no directory", path, fixed(c.Mailbox)), err)
		}
		return nil
	}
	dir := filepath.Clean(path)
	for {
		err := unix.Access(dir, unix.W_OK|unix.X_OK)
		switch {
		case err == nil:
			return nil
		case !errors.Is(err, unix.ENOENT) || dir == "/":
			return fmt.Errorf("maildir %s: write in %s: %w", path, dir, err)
		}
		dir = filepath.Dir(dir)
	}
}
