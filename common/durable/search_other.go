//go:build !linux

package durable

import "golang.org/x/sys/unix"

// openSearch has no portable way to hold a directory that may not be read: names
// are resolved from its path each time. The spool's path is root's, up to its end.
func openSearch(path string) (fd int, prefix string, err error) {
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		return -1, "", err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFDIR {
		return -1, "", unix.ENOTDIR
	}
	return unix.AT_FDCWD, path + "/", nil
}
