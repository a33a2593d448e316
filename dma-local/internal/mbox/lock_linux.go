package mbox

import (
	"errors"
	"io"
	"time"

	"golang.org/x/sys/unix"
)

// kernelLock takes flock and fcntl locks, which do not see each other here. The
// latter is one of the open file: a classic one of the process would be lost
// with the first close of any descriptor of the file. Where a file system has
// only one of them, as some network file systems do, that one is enough.
func kernelLock(fd int) error {
	flocked := unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB)
	if flocked != nil && !lacking(flocked) {
		return flocked
	}
	err := unix.FcntlFlock(uintptr(fd), unix.F_OFD_SETLK, &unix.Flock_t{Type: unix.F_WRLCK, Whence: io.SeekStart})
	if flocked == nil && lacking(err) {
		return nil
	}
	return err
}

// lacking reports whether err says that a kind of lock is not there, and not that
// somebody else has it.
func lacking(err error) bool {
	return errors.Is(err, unix.ENOLCK) || errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.ENOSYS) || errors.Is(err, unix.EINVAL)
}

func modified(st *unix.Stat_t) time.Time { return time.Unix(st.Mtim.Unix()) }
