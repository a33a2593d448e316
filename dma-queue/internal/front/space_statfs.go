//go:build linux || freebsd || dragonfly

package front

import "golang.org/x/sys/unix"

// diskSpace also gives the size of a block.
func diskSpace(path string) (space, uint64, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(path, &st); err != nil {
		return space{}, 0, err
	}
	return space{
		blocks: uint64(st.Blocks), freeBlocks: uint64(max(st.Bavail, 0)),
		inodes: uint64(st.Files), freeInodes: uint64(max(st.Ffree, 0)),
	}, uint64(max(st.Bsize, 1)), nil
}
