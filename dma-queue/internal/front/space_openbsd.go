package front

import "golang.org/x/sys/unix"

// diskSpace also gives the size of a block.
func diskSpace(path string) (space, uint64, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(path, &st); err != nil {
		return space{}, 0, err
	}
	return space{
		blocks: st.F_blocks, freeBlocks: uint64(max(st.F_bavail, 0)),
		inodes: st.F_files, freeInodes: uint64(max(st.F_favail, 0)),
	}, uint64(st.F_bsize), nil
}
