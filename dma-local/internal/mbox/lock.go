package mbox

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// errBusy is wrapped by errors of locking that another try may not meet.
var errBusy = errors.New("locked")

func (b *Box) busy(why string) error { return fmt.Errorf("%s is %w%s", b.kind(), errBusy, why) }

// lock is a mailbox that nobody else writes to: by the kernel's locks, which the
// open file holds, and by a lock file beside it, <login>.lock (RULES D2).
type lock struct {
	file *os.File
	size int64
	dir  *os.File
	name string   // of the lock file
	dot  *os.File // the lock file; nil before it is made
}

// acquire opens and locks the mailbox. No lock is waited for while another is
// held: mail readers take these locks in any order, and a reader with one and a
// delivery with the other would stop each other.
func (b *Box) acquire(ctx context.Context, dir *os.File) (*lock, error) {
	ctx, cancel := context.WithTimeout(ctx, b.LockWait)
	defer cancel()
	for {
		l, err := b.try(dir)
		if err == nil || !errors.Is(err, errBusy) {
			return l, err
		}
		pause := time.NewTimer(b.Pause())
		select {
		case <-pause.C:
		case <-ctx.Done():
			pause.Stop()
			return nil, problem(err, "", "lock %s, tried for up to %v", b.what(), b.LockWait)
		}
	}
}

// try opens the mailbox and takes all its locks, or none.
func (b *Box) try(dir *os.File) (*lock, error) {
	f, err := b.open(dir)
	if err != nil {
		return nil, err
	}
	l := &lock{file: f, dir: dir, name: b.Login + ".lock"}
	if err := kernelLock(int(f.Fd())); err != nil {
		l.release()
		if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EACCES) { // POSIX allows either
			return nil, b.busy(" by another program")
		}
		return nil, problem(err, "", "lock %s", b.what())
	}
	if err = b.dotlock(l); err == nil {
		err = b.same(l)
	}
	if err != nil {
		l.release()
		return nil, err
	}
	return l, nil
}

// dotlock makes the lock file. The caller has the kernel's lock, so that no other
// delivery of ours can meet the same stale file at the same time.
func (b *Box) dotlock(l *lock) error {
	const flags = unix.O_WRONLY | unix.O_CREAT | unix.O_EXCL | unix.O_NOFOLLOW | unix.O_CLOEXEC
	dot, err := openat(l.dir, l.name, flags, 0o644)
	if errors.Is(err, unix.EEXIST) {
		if err = b.removeStale(l); err == nil {
			dot, err = openat(l.dir, l.name, flags, 0o644)
		}
	}
	switch {
	case errors.Is(err, unix.EEXIST):
		return b.busy(" by the lock file " + b.path() + ".lock")
	case errors.Is(err, unix.EACCES), b.File && err != nil:
		// Where we may make none, neither may those who share the mailbox with us: the
		// kernel's locks are what they can have.
		return nil
	case err != nil:
		return problem(err, "", "make lock file %s.lock", b.path())
	}
	l.dot = dot
	// The number lets other programs see whether the owner still lives; the mark
	// lets ours. Mail is delivered without them too.
	_, _ = fmt.Fprintf(dot, "%d\n%s\n", os.Getpid(), mark())
	return nil
}

// mark is what our lock files say besides the process: whose they are, and on
// which host.
func mark() string {
	host, err := os.Hostname()
	if err != nil {
		return "dma-local"
	}
	return "dma-local " + host
}

// orphaned reports whether the lock file was made by a dma-local of this host.
// That one has the kernel's lock as long as it lives, so the caller, who has it
// now, need not wait until the file is old: its maker was killed.
func (b *Box) orphaned(l *lock) bool {
	f, err := openat(l.dir, l.name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return false
	}
	defer f.Close()
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil || st.Mode&unix.S_IFMT != unix.S_IFREG || int(st.Uid) != os.Geteuid() {
		return false
	}
	var text [512]byte
	n, _ := f.ReadAt(text[:], 0)
	_, rest, _ := strings.Cut(string(text[:n]), "\n")
	return rest == mark()+"\n"
}

// removeStale removes a lock file that nobody can mean any more. The error wraps
// EEXIST if it is not stale.
func (b *Box) removeStale(l *lock) error {
	var st unix.Stat_t
	err := unix.Fstatat(int(l.dir.Fd()), l.name, &st, unix.AT_SYMLINK_NOFOLLOW)
	if errors.Is(err, unix.ENOENT) {
		return nil // its owner was faster
	}
	if err != nil {
		return err
	}
	if age := b.Now().Sub(modified(&st)); age <= staleAfter && !b.orphaned(l) {
		return unix.EEXIST
	}
	if err := unix.Unlinkat(int(l.dir.Fd()), l.name, 0); err != nil && !errors.Is(err, unix.ENOENT) {
		return problem(err, "remove it", "old lock file %s.lock", b.path())
	}
	return nil
}

// same makes sure that the locked file is still the one with the mailbox's name:
// a mail reader may have replaced or removed it before the lock was ours.
func (b *Box) same(l *lock) error {
	var held, named unix.Stat_t
	if err := unix.Fstat(int(l.file.Fd()), &held); err != nil {
		return problem(err, "", "stat %s", b.what())
	}
	err := unix.Fstatat(int(l.dir.Fd()), b.Login, &named, unix.AT_SYMLINK_NOFOLLOW)
	if errors.Is(err, unix.ENOENT) || err == nil && (held.Dev != named.Dev || held.Ino != named.Ino) {
		return b.busy(": it was replaced just now")
	}
	if err != nil {
		return problem(err, "", "stat %s", b.what())
	}
	l.size = held.Size
	return b.checkFile(&held)
}

// release gives the locks back. Closing the file gives back the kernel's, and
// can report nothing that the sync before did not.
func (l *lock) release() {
	if l.dot != nil {
		var ours, there unix.Stat_t
		if unix.Fstat(int(l.dot.Fd()), &ours) == nil &&
			unix.Fstatat(int(l.dir.Fd()), l.name, &there, unix.AT_SYMLINK_NOFOLLOW) == nil &&
			ours.Dev == there.Dev && ours.Ino == there.Ino {
			// If this fails the file is stale one day; the mail is delivered all the same.
			_ = unix.Unlinkat(int(l.dir.Fd()), l.name, 0)
		}
		l.dot.Close()
	}
	l.file.Close()
}
