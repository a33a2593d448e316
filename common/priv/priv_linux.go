package priv

import (
	"math"

	"golang.org/x/sys/unix"
)

// closeOnExecFrom marks all descriptors from first up. Linux before 5.11 cannot
// do that at a stroke, and seccomp filters of some containers do not let it.
func closeOnExecFrom(first int) {
	if unix.CloseRange(uint(first), math.MaxUint32, unix.CLOSE_RANGE_CLOEXEC) != nil {
		closeOnExecSlowly(first)
	}
}

// setIDs is the one place where that of one thread is meant, see ForExec.
func setIDs(uid, gid int) error {
	err := unix.Setgroups([]int{gid}) //nolint:forbidigo // see above
	if err == nil {
		err = unix.Setresgid(gid, gid, gid) //nolint:forbidigo // see above
	}
	if err == nil {
		err = unix.Setresuid(uid, uid, uid) //nolint:forbidigo // see above
	}
	return err
}

func currentIDs() (identity, error) {
	var id identity
	id.uid[0], id.uid[1], id.uid[2] = unix.Getresuid()
	id.gid[0], id.gid[1], id.gid[2] = unix.Getresgid()
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var caps [2]unix.CapUserData // version 3 has 64 bits
	if err := unix.Capget(&header, &caps[0]); err != nil {
		return id, err
	}
	id.capabilities = caps[0].Effective|caps[0].Permitted|caps[1].Effective|caps[1].Permitted != 0
	return id, nil
}
