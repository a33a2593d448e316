package front

import "golang.org/x/sys/unix"

// diskSpace also gives the size of a block.
func diskSpace(path string) (space, uint64, error) {
	var st unix.Statvfs_t
	if err := unix.Statvfs(path, &st); err != nil {
		return space{}, 0, err
	}
	return space{
		blocks: st.Blocks, freeBlocks: st.Bavail,
		inodes: st.Files, freeInodes: st.Favail,
	}, st.Frsize, nil
}
