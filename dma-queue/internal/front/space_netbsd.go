package front

import "golang.org/x/sys/unix"

func diskSpace(path string) (space, error) {
	var st unix.Statvfs_t
	if err := unix.Statvfs(path, &st); err != nil {
		return space{}, err
	}
	return space{
		blocks: st.Blocks, freeBlocks: st.Bavail,
		inodes: st.Files, freeInodes: st.Favail,
	}, nil
}
