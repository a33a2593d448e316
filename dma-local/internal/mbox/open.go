package mbox

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// newMode is the mode of a new mailbox: programs of the mail group may use it, too.
// A file that the user has chosen is for the user alone.
const newMode = 0o660

// O_NONBLOCK is for what is no regular file: opening a FIFO must not wait.
const openFlags = unix.O_RDWR | unix.O_APPEND | unix.O_NOFOLLOW | unix.O_NONBLOCK | unix.O_NOCTTY | unix.O_CLOEXEC

// open opens the mailbox in dir, makes it if there is none, and checks it (RULES D1).
func (b *Box) open(dir *os.File) (*os.File, error) {
	f, err := openat(dir, b.Login, openFlags, 0)
	if errors.Is(err, unix.ENOENT) {
		f, err = b.create(dir)
	}
	if err != nil {
		return nil, b.explain(dir, err)
	}
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		f.Close()
		return nil, problem(err, "", "stat %s", b.what())
	}
	if err := b.checkFile(&st); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// create makes an empty mailbox. Only the owner can: where the mailbox is root's
// and this process is not, somebody must have made it before.
func (b *Box) create(dir *os.File) (*os.File, error) {
	if uint32(os.Geteuid()) != b.UID {
		return nil, b.missing()
	}
	f, err := openat(dir, b.Login, openFlags|unix.O_CREAT|unix.O_EXCL, 0o600)
	if err != nil {
		return nil, err
	}
	if !b.File {
		// Some systems give a new file the group of its directory. Mode after group:
		// nobody else gets rights in between. umask does not count here.
		if err = unix.Fchown(int(f.Fd()), -1, os.Getegid()); err == nil {
			err = unix.Fchmod(int(f.Fd()), newMode)
		}
	}
	if err == nil {
		err = dir.Sync() // without its name the file is lost with all that is in it
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("make new %s: %w", b.kind(), err)
	}
	return f, nil
}

// explain finds out why the mailbox cannot be opened or made.
func (b *Box) explain(dir *os.File, err error) error {
	if p := (*Problem)(nil); errors.As(err, &p) {
		return p
	}
	if errors.Is(err, unix.EEXIST) { // somebody else made it just now
		return b.busy(": it was made just now")
	}
	var st unix.Stat_t
	serr := unix.Fstatat(int(dir.Fd()), b.Login, &st, unix.AT_SYMLINK_NOFOLLOW)
	switch {
	case serr == nil:
		if p := b.checkFile(&st); p != nil {
			return p
		}
		if errors.Is(err, unix.EACCES) {
			return problem(err, b.permit(), "%s", b.what())
		}
	case errors.Is(err, unix.EACCES):
		return b.closedDirectory(err)
	}
	return problem(err, "", "%s", b.what())
}

// checkFile looks for what no mailbox may be.
func (b *Box) checkFile(st *unix.Stat_t) error {
	remedy := fmt.Sprintf("look at it, and remove it or move it to %s.old", b.path())
	what := ""
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFREG:
		switch {
		case st.Nlink == 0: // a mail reader removed or replaced it, and the next try finds the new one
			return b.busy(": it was replaced just now")
		case b.File: // what the user may write
			return nil
		case st.Nlink != 1:
			what, remedy = fmt.Sprintf("has %d names (hard links)", st.Nlink), "leave it one"
		case st.Uid != b.UID:
			what = fmt.Sprintf("belongs to uid %d, not to uid %d", st.Uid, b.UID)
			remedy = fmt.Sprintf("if it is %s's mail, root can run: chown %s %s", b.Login, b.Login, b.path())
		case st.Mode&0o111 != 0:
			what, remedy = fmt.Sprintf("is executable (mode %04o)", st.Mode&0o7777), "run: chmod a-x "+b.path()
		default:
			return nil
		}
	case unix.S_IFLNK:
		what = "is a symbolic link"
	case unix.S_IFDIR:
		what = "is a directory"
	default:
		what = "is not a regular file"
	}
	return problem(nil, remedy, "%s %s", b.what(), what)
}

func (b *Box) missing() *Problem {
	return problem(nil, fmt.Sprintf("as root run: install -m 660 -o %s -g %s /dev/null %s", b.Login, b.Group, b.path()),
		"%s does not exist", b.what())
}

func (b *Box) directory() string {
	if b.File {
		return "directory " + b.Dir
	}
	return "mail directory " + b.Dir
}

// permit tells how to make an existing mailbox writable: never by install, which
// would empty it.
func (b *Box) permit() string {
	if uint32(os.Geteuid()) == b.UID {
		return "run: chmod u+rw " + b.path()
	}
	return fmt.Sprintf("as root run: chgrp %s %s && chmod 660 %s", b.Group, b.path(), b.path())
}

func (b *Box) closedDirectory(cause error) *Problem {
	if b.Group == "" || b.File {
		return problem(cause, "run: chmod u+rwx "+b.Dir, "%s cannot be written", b.directory())
	}
	return problem(cause, fmt.Sprintf("as root run: chgrp %s %s && chmod g+rwx %s", b.Group, b.Dir, b.Dir),
		"mail directory %s cannot be written by group %s", b.Dir, b.Group)
}

func openat(dir *os.File, name string, flags int, mode uint32) (*os.File, error) {
	for {
		fd, err := unix.Openat(int(dir.Fd()), name, flags, mode)
		if err == nil {
			return os.NewFile(uintptr(fd), name), nil
		}
		if !errors.Is(err, unix.EINTR) {
			return nil, err
		}
	}
}
