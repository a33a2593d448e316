//go:build !linux

package priv

import (
	"os"
	"syscall"
)

func closeOnExecFrom(first int) { closeOnExecSlowly(first) }

func setIDs(uid, gid int) error {
	err := syscall.Setgroups([]int{gid})
	if err == nil {
		err = syscall.Setgid(gid)
	}
	if err == nil {
		err = syscall.Setuid(uid)
	}
	return err
}

// currentIDs has the effective ids for the saved ones, which not every BSD tells;
// that root cannot be regained shows that they are not root's.
func currentIDs() (identity, error) {
	u, g := os.Geteuid(), os.Getegid()
	return identity{uid: [3]int{os.Getuid(), u, u}, gid: [3]int{os.Getgid(), g, g}}, nil
}
