package mbox

import (
	"io"
	"time"

	"golang.org/x/sys/unix"
)

// kernelLock takes flock and fcntl locks, which do not see each other here. The
// latter is one of the open file: a classic one of the process would be lost
// with the first close of any descriptor of the file.
func kernelLock(fd int) error {
	if err := unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return err
	}
	return unix.FcntlFlock(uintptr(fd), unix.F_OFD_SETLK, &unix.Flock_t{Type: unix.F_WRLCK, Whence: io.SeekStart})
}

func modified(st *unix.Stat_t) time.Time { return time.Unix(st.Mtim.Unix()) }
