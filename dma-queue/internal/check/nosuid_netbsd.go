package check

import "golang.org/x/sys/unix"

// stNoSetID is ST_NOSUID of <sys/statvfs.h>, which x/sys lacks.
const stNoSetID = 0x8

// noSetID reports whether set-id bits have no effect on the file system of path.
func noSetID(path string) (bool, error) {
	var st unix.Statvfs_t
	err := unix.Statvfs(path, &st)
	return st.Flag&stNoSetID != 0, err
}
