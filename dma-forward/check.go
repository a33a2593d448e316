package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"dma/common/conf"
	"dma/common/forward"
	"dma/common/passwd"
	"dma/common/site"
	"dma/common/sysexits"
	"dma/common/userconf"
)

// check tells a person what a file means, or what is wrong with it. what is the path
// of a file to try; or empty for the caller's own .forward, or +extension for the
// file for that, and then that the file is safe is checked, too.
func check(what string, stdout, stderr io.Writer) int {
	uid := uint32(os.Getuid())
	a, err := passwd.LookupUID(site.Passwd, uid)
	if err != nil {
		fmt.Fprintf(stderr, "dma-forward: look up uid %d in %s: %v\n", uid, site.Passwd, err)
		return 1
	}
	u := user{a.Login, uid, a.Home, a.Shell, forward.Shells}
	extension, own := strings.CutPrefix(what, "+")
	own = own || what == ""
	if own && uid == 0 && !site.Private() {
		return checkRoot(u, stdout)
	}
	c, err := userconf.Load()
	if err != nil {
		fmt.Fprintf(stderr, "dma-forward: %v\n", err)
		return u.waits(stderr)
	}
	if !own {
		text, err := read(what)
		return u.tell(c, forward.Source{Path: what, Text: text}, err, stdout, stderr)
	}
	if c.Forward == "" {
		fmt.Fprintf(stdout, "FORWARD is off in %s: no file of a user's is read. Mail for %s goes to the mailbox.\n", userconf.Path(), u.login)
		return sysexits.OK
	}
	f, exists, err := forward.Open(u.home, uid, forward.Names(c.Forward, extension))
	if err == nil && !exists {
		fmt.Fprintf(stdout, "There is no %s. Mail for %s goes to the mailbox.\n", u.path(c.Forward), u.login)
		return sysexits.OK
	}
	if u.tell(c, f, err, stdout, stderr) != sysexits.OK {
		return u.waits(stderr)
	}
	return sysexits.OK
}

func (u user) waits(stderr io.Writer) int {
	fmt.Fprintf(stderr, "Mail for %s waits in the queue until this is put right. None is lost.\n", u.login)
	return 1
}

// tell prints what f means, unless there was an error.
func (u user) tell(c *conf.Config, f forward.Source, err error, stdout, stderr io.Writer) int {
	var entries []forward.Entry
	if err == nil {
		if entries, err = forward.Parse(f.Text, u.login, u.home); err != nil {
			err = fmt.Errorf("%s: %w", f.Path, err)
		}
	}
	switch {
	case err != nil:
	case len(entries) == 0:
		fmt.Fprintf(stdout, "%s has no entries. Mail for %s goes to the mailbox.\n", f.Path, u.login)
	default:
		fmt.Fprintf(stdout, "What %s does with mail for %s:\n", f.Path, u.login)
		for _, e := range entries {
			fmt.Fprintf(stdout, "line %d: %s\n", e.Line, e.Describe())
		}
		_, err = u.targets(c, f) // what is wrong beyond its syntax
	}
	if err != nil {
		fmt.Fprintf(stderr, "dma-forward: %v\n", err)
		return 1
	}
	return sysexits.OK
}

// read reads any file that the caller names, to try it before it is put in place.
func read(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, forward.MaxFile+1)) // one more, for Parse to complain about
}

// checkRoot: nothing is read as root (RULES C9).
func checkRoot(u user, stdout io.Writer) int {
	fmt.Fprintf(stdout, "Root's .forward is never read. Mail for root goes to root's mailbox\n"+
		"unless %s has an alias for it, which is recommended.\n", site.Aliases)
	path := u.path(".forward")
	if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
		fmt.Fprintf(stdout, "%s is there, but has no effect.\n", path)
		return 1
	}
	return sysexits.OK
}
