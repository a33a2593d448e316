package front

import "golang.org/x/sys/unix"

func diskSpace(path string) (space, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(path, &st); err != nil {
		return space{}, err
	}
	return space{
		blocks: st.F_blocks, freeBlocks: uint64(max(st.F_bavail, 0)),
		inodes: st.F_files, freeInodes: uint64(max(st.F_favail, 0)),
	}, nil
}
