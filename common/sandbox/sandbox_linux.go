package sandbox

import (
	"errors"
	"fmt"
	"syscall"

	"golang.org/x/sys/unix"
)

// applySystem does what only Linux has.
func applySystem(p Profile) (done []string, err error) {
	if !p.AllowExecGain {
		if perr := set(unix.PR_SET_NO_NEW_PRIVS, 1, unix.PR_GET_NO_NEW_PRIVS); perr != nil {
			err = fmt.Errorf("set no_new_privs: %w", perr)
		} else {
			done = append(done, "no_new_privs")
		}
	}
	// No ptrace and no core dump by processes with the same uid. The next exec undoes it.
	if perr := set(unix.PR_SET_DUMPABLE, 0, unix.PR_GET_DUMPABLE); perr != nil {
		err = errors.Join(err, fmt.Errorf("set not dumpable: %w", perr))
	} else {
		done = append(done, "not dumpable")
	}
	return done, err
}

// set does prctl on all threads and looks whether it worked.
func set(option int, value uintptr, get int) error {
	if _, _, errno := syscall.AllThreadsSyscall(unix.SYS_PRCTL, uintptr(option), value, 0); errno != 0 {
		return errno
	}
	got, err := unix.PrctlRetInt(get, 0, 0, 0, 0)
	if err == nil && got != int(value) {
		err = errors.New("no effect")
	}
	return err
}
