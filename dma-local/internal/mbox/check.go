package mbox

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// Writer is the account that a delivery to a mailbox is made by.
type Writer struct {
	UID, GID uint32
}

// Check tells a person what would keep w from delivering, as a Problem, or nil.
// It goes by owners and modes, since the caller is not w.
func (b *Box) Check(w Writer) error {
	var dir, st unix.Stat_t
	if err := unix.Stat(b.Dir, &dir); err != nil {
		return problem(err, "", "mail directory %s", b.Dir)
	}
	if dir.Mode&unix.S_IFMT != unix.S_IFDIR {
		return problem(nil, "", "mail directory %s is not a directory", b.Dir)
	}
	err := unix.Lstat(b.path(), &st)
	switch {
	case !w.may(&dir, 0o5), errors.Is(err, unix.ENOENT) && !w.may(&dir, 0o7):
		return b.closedDirectory(os.ErrPermission)
	case errors.Is(err, unix.ENOENT):
		if w.UID != b.UID {
			return b.missing()
		}
	case err != nil:
		return problem(err, "", "mailbox %s", b.path())
	default:
		if err := b.checkFile(&st); err != nil {
			return err
		}
		if !w.may(&st, 0o6) {
			return problem(os.ErrPermission, b.permit(), "mailbox %s", b.path())
		}
	}
	return b.checkDotlock()
}

// checkDotlock reports a lock file that has outlived every delivery, unless the
// next delivery takes it away.
func (b *Box) checkDotlock() error {
	var st unix.Stat_t
	if unix.Lstat(b.path()+".lock", &st) != nil {
		return nil
	}
	age := b.Now().Sub(modified(&st))
	if age < b.LockWait || age > staleAfter {
		return nil
	}
	return problem(nil, "if the program that made it is gone, remove it",
		"mailbox %s has been locked for %d seconds by the lock file %s.lock", b.path(), int(age.Seconds()), b.path())
}

// may reports whether w has all of the rights rwx on a file with status st.
func (w Writer) may(st *unix.Stat_t, rwx uint32) bool {
	mode := uint32(st.Mode)
	switch {
	case w.UID == 0:
		return true
	case w.UID == st.Uid:
		mode >>= 6
	case w.GID == st.Gid:
		mode >>= 3
	}
	return mode&rwx == rwx
}
