package mbox

import (
	"fmt"
	"os"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

func addSystemRoles(r map[string]func([]string) error) {
	r["ofd"] = holdOFD
	r["full"] = fullRole
}

func holdOFD(args []string) error {
	f, err := os.OpenFile(args[0], os.O_RDWR, 0)
	if err == nil {
		err = unix.FcntlFlock(f.Fd(), unix.F_OFD_SETLK, &unix.Flock_t{Type: unix.F_WRLCK})
	}
	if err != nil {
		return err
	}
	defer f.Close()
	return hold()
}

// fullRole delivers into a file system that is too small.
func fullRole(args []string) error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make mounts private: %w", err)
	}
	if err := unix.Mount("tmpfs", args[0], "tmpfs", 0, "size=64k"); err != nil {
		return fmt.Errorf("mount: %w", err)
	}
	return tooMuch(newBox(args[0]))
}

func TestFullDisk(t *testing.T) {
	cmd := roleCommand(t, "full", t.TempDir())
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS}
	if os.Getuid() != 0 {
		cmd.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}}
	}
	out, err := cmd.Output()
	if err != nil || string(out) != "done 2.0.0\nlater 4.3.1\ndone 2.0.0\n" {
		t.Errorf("got %v, %s", err, out)
	}
}

func TestLockedOFD(t *testing.T) { testLocked(t, "ofd", "by another program") }
