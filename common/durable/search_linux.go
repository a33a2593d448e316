package durable

import "golang.org/x/sys/unix"

// openSearch opens a directory in which names may be used but not listed.
func openSearch(path string) (fd int, prefix string, err error) {
	fd, err = open(unix.AT_FDCWD, path, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	return fd, "", err
}
