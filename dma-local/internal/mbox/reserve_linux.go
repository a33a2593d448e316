package mbox

import (
	"errors"

	"golang.org/x/sys/unix"
)

// reserve has the file system put n bytes from offset aside, behind the end of the
// file, as far as it can do that. What is not written to belongs to the file until
// that is cut or grows.
func reserve(fd uintptr, offset, n int64) error {
	for {
		err := unix.Fallocate(int(fd), unix.FALLOC_FL_KEEP_SIZE, offset, n)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case errors.Is(err, unix.ENOSPC), errors.Is(err, unix.EDQUOT), errors.Is(err, unix.EFBIG):
			return err
		}
		return nil // what is wrong otherwise a write says better
	}
}
