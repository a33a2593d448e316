//go:build !linux

package forward

import "golang.org/x/sys/unix"

// dirFlags open a directory. Not all of these systems can do so without listing it.
const dirFlags = unix.O_RDONLY
