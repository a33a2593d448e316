// Package userconf reads dma.conf for the programs that work as a user. They
// read it themselves: the queue names no path and no program (DESIGN 4), and
// what they are to do with mail comes from the administrator alone.
package userconf

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"dma/common/conf"
	"dma/common/site"

	"golang.org/x/sys/unix"
)

// Path is where dma.conf is.
func Path() string { return site.Conf + "/dma.conf" }

// Load reads dma.conf; one that is not there gives the defaults. Any error is for
// mail to wait for, and says what to do. In an installation the file counts only
// if it is root's, in a private build also if it is the user's own.
func Load() (*conf.Config, error) {
	owners := []uint32{0}
	if site.Private() {
		owners = append(owners, uint32(os.Getuid()))
	}
	return load(Path(), owners)
}

func load(path string, owners []uint32) (*conf.Config, error) {
	// O_NONBLOCK: a FIFO does not hold us up.
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK|unix.O_NOCTTY, 0)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		c, _, err := conf.Parse(strings.NewReader(""), path)
		return c, err
	case errors.Is(err, fs.ErrPermission):
		return nil, fmt.Errorf("%w; all users must be able to read it, run as root: chmod a+r %s", err, path)
	case err != nil:
		return nil, err
	}
	defer f.Close()
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return nil, fmt.Errorf("stat %s: %w", path, err)
	}
	if err := check(&st, owners); err != nil {
		return nil, fmt.Errorf("%s: %w %s", path, err, path)
	}
	c, _, err := conf.Parse(f, path) // the runner warns of what is wrong in it
	return c, err
}

// check: what the file says is done in every user's name, so nobody but root may
// have written it. Its errors end in the beginning of a command.
func check(st *unix.Stat_t, owners []uint32) error {
	owned := false
	for _, uid := range owners {
		owned = owned || st.Uid == uid
	}
	switch {
	case st.Mode&unix.S_IFMT != unix.S_IFREG:
		return errors.New("not a regular file; look at it: ls -l")
	case !owned:
		return fmt.Errorf("belongs to uid %d and not to root; run as root: chown root", st.Uid)
	case st.Mode&(unix.S_IWGRP|unix.S_IWOTH) != 0:
		return errors.New("writable by others than root; run as root: chmod go-w")
	}
	return nil
}

// MailboxByUser reports whether mail for the mailbox of an account that is not
// root's is delivered by a process that has the user's own group, and not by one
// with the group mail: because it runs a program (RULES B3), or because it
// follows names that the user may choose, those in the home directory.
func MailboxByUser(c *conf.Config) bool {
	return len(c.MDA) > 0 || strings.HasPrefix(c.Mailbox, "~/") || strings.Contains(strings.ReplaceAll(c.Mailbox, "%%", ""), "%h")
}
