//go:build linux || freebsd || dragonfly

package front

import "golang.org/x/sys/unix"

func diskSpace(path string) (space, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(path, &st); err != nil {
		return space{}, err
	}
	return space{
		blocks: uint64(st.Blocks), freeBlocks: uint64(max(st.Bavail, 0)),
		inodes: uint64(st.Files), freeInodes: uint64(max(st.Ffree, 0)),
	}, nil
}
