package main

import (
	"errors"
	"fmt"
	"io"
	"os"

	"dma/common/forward"
	"dma/common/passwd"
	"dma/common/site"
	"dma/common/sysexits"
)

// check tells a person what path means, or what is wrong with it. An empty path
// is the caller's own .forward, and then that it is safe is checked, too.
func check(path string, stdout, stderr io.Writer) int {
	uid := uint32(os.Getuid())
	a, err := passwd.LookupUID(site.Passwd, uid)
	if err != nil {
		fmt.Fprintf(stderr, "dma-forward: look up uid %d in %s: %v\n", uid, site.Passwd, err)
		return 1
	}
	u := user{a.Login, uid, a.Home}
	if path != "" {
		text, err := read(path)
		return u.tell(path, text, true, err, stdout, stderr)
	}
	if uid == 0 && !site.Private() {
		return checkRoot(u, stdout)
	}
	text, exists, err := forward.Open(u.home, uid)
	code := u.tell(u.path(), text, exists, err, stdout, stderr)
	if code != sysexits.OK {
		fmt.Fprintf(stderr, "Mail for %s waits in the queue until this is put right. None is lost.\n", u.login)
	}
	return code
}

// tell prints what the text of the file at path means.
func (u user) tell(path string, text []byte, exists bool, err error, stdout, stderr io.Writer) int {
	var entries []forward.Entry
	if err == nil {
		if entries, err = forward.Parse(text, u.login, u.home); err != nil {
			err = fmt.Errorf("%s: %w", path, err)
		}
	}
	switch {
	case err != nil:
		fmt.Fprintf(stderr, "dma-forward: %v\n", err)
		return 1
	case !exists:
		fmt.Fprintf(stdout, "There is no %s. Mail for %s goes to the mailbox.\n", path, u.login)
		return sysexits.OK
	case len(entries) == 0:
		fmt.Fprintf(stdout, "%s has no entries. Mail for %s goes to the mailbox.\n", path, u.login)
		return sysexits.OK
	}
	fmt.Fprintf(stdout, "What %s does with mail for %s:\n", path, u.login)
	code := sysexits.OK
	for _, e := range entries {
		fmt.Fprintf(stdout, "line %d: %s\n", e.Line, e.Describe())
		if e.Kind != forward.Mailbox && e.Kind != forward.Address && e.Kind != forward.Command {
			fmt.Fprintf(stderr, "dma-forward: %s: line %d: %v\n", path, e.Line, errNotYet)
			code = 1
		}
	}
	return code
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
	if _, err := os.Lstat(u.path()); !errors.Is(err, os.ErrNotExist) {
		fmt.Fprintf(stdout, "%s is there, but has no effect.\n", u.path())
		return 1
	}
	return sysexits.OK
}
