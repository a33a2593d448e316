//go:build !linux

package mbox

import (
	"time"

	"golang.org/x/sys/unix"
)

// kernelLock takes a flock. On the BSDs that and fcntl locks keep each other
// out, so one is enough, and both by one process could be one too many.
func kernelLock(fd int) error {
	return unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB)
}

func modified(st *unix.Stat_t) time.Time { return time.Unix(st.Mtim.Unix()) }
