package check

import "golang.org/x/sys/unix"

// noSetID reports whether set-id bits have no effect on the file system of path.
func noSetID(path string) (bool, error) {
	var st unix.Statfs_t
	err := unix.Statfs(path, &st)
	return st.F_flags&unix.MNT_NOSUID != 0, err
}
