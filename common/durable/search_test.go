//go:build linux

package durable

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

const nobody = 65534

// asNobody does f without rights on files of others: root, who may read
// everything, becomes nobody in this one thread, to the file system alone.
func asNobody(t *testing.T, f func()) {
	t.Helper()
	if os.Geteuid() == 0 {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		setfsuid := func(uid uintptr) { syscall.RawSyscall(syscall.SYS_SETFSUID, uid, 0, 0) }
		setfsuid(nobody)
		defer setfsuid(0)
	}
	f()
}

func TestDirectoryThatMayNotBeRead(t *testing.T) {
	path := t.TempDir()
	if os.Geteuid() == 0 {
		must(t, os.Chown(path, nobody, nobody))
		must(t, os.Chmod(filepath.Dir(path), 0o711))
	}
	must(t, os.Chmod(path, 0o300))
	defer os.Chmod(path, 0o700)
	asNobody(t, func() {
		d, err := OpenDir(path)
		must(t, err)
		defer d.Close()
		if d.readable {
			t.Fatal("the directory could be read")
		}
		f, err := d.Create("a", 0o604)
		must(t, err)
		_, err = f.Write([]byte("x"))
		must(t, err)
		must(t, f.Commit())
		must(t, d.Sync())
		if _, err := d.Names(); !errors.Is(err, unix.EACCES) {
			t.Errorf("names: %v", err)
		}
		must(t, d.Remove("a"))
	})
}

func TestDirectoryThatMayNotBeUsed(t *testing.T) {
	path := t.TempDir()
	must(t, os.Chmod(path, 0o000))
	defer os.Chmod(path, 0o700)
	asNobody(t, func() {
		d, err := OpenDir(path + "/.")
		if err == nil {
			_, err = d.Create("a", 0o600)
		}
		if !errors.Is(err, unix.EACCES) {
			t.Errorf("error %v", err)
		}
	})
}
