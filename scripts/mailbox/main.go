// Command mailbox prepares root's mailbox; make install calls it and nothing
// installs it. Mail to root is written by an unprivileged account with the mail
// group (RULES C9), so that one file must be the group's to write. The mail
// directory is the group's too, so whatever name is in it may be a trap: the
// file is opened without following links, and changed through its descriptor.
//
//	mailbox MAILDIR GID
package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"
)

// mode of root's mailbox: root and the mail group read and write it.
const mode = 0o660

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: mailbox MAILDIR GID")
		os.Exit(64)
	}
	gid, err := strconv.Atoi(os.Args[2])
	if err == nil {
		err = prepare(os.Args[1], 0, gid)
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "mailbox: %v\n", err)
		os.Exit(1)
	}
}

// prepare makes dir/root writable for group gid, and makes it first if it is missing.
func prepare(dir string, uid, gid int) error {
	path := filepath.Join(dir, "root")
	const flags = unix.O_WRONLY | unix.O_NOFOLLOW | unix.O_NONBLOCK | unix.O_CLOEXEC
	fd, err := unix.Open(path, flags, 0)
	if errors.Is(err, unix.ENOENT) {
		fd, err = unix.Open(path, flags|unix.O_CREAT|unix.O_EXCL, 0o600)
	}
	if err != nil {
		return fmt.Errorf("open %s: %w", path, err)
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return fmt.Errorf("stat %s: %w", path, err)
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG || st.Nlink != 1 || int(st.Uid) != uid {
		return fmt.Errorf("%s is not a plain file of uid %d with one name", path, uid)
	}
	if err := unix.Fchown(fd, -1, gid); err != nil {
		return fmt.Errorf("change group of %s: %w", path, err)
	}
	if err := unix.Fchmod(fd, mode); err != nil {
		return fmt.Errorf("change mode of %s: %w", path, err)
	}
	return nil
}
