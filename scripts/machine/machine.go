//go:build system

// Package machine is where the system tests happen: a copy of the machine that only
// the test sees.
package machine

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// Hostname is what the copy is called.
const Hostname = "client.example.net"

// Repository is where the module is, seen from a folder two below.
func Repository() string {
	wd, err := os.Getwd()
	if err != nil {
		panic(err)
	}
	return filepath.Dir(filepath.Dir(wd))
}

// Isolate puts a copy of the machine in its place, for a process that is alone in
// namespaces of mounts, processes, network and host name. What is written into the
// copy goes away with the process. It has no network but loopback.
func Isolate() error {
	wd, err := os.Getwd()
	if err != nil {
		return err
	}
	const top = "/mnt" // anything that is there
	mounts := []struct {
		source, target, kind string
		flags                uintptr
		data                 string
	}{
		{"none", "/", "", unix.MS_REC | unix.MS_PRIVATE, ""},
		{"tmpfs", top, "tmpfs", 0, "mode=755"},
		{"overlay", top + "/root", "overlay", 0, "lowerdir=/,upperdir=" + top + "/upper,workdir=" + top + "/work"},
		{"proc", top + "/root/proc", "proc", 0, ""},
		{"tmpfs", top + "/root/dev", "tmpfs", 0, "mode=755"},
		{"tmpfs", top + "/root/run", "tmpfs", 0, "mode=755"},
	}
	for _, m := range mounts {
		if strings.HasSuffix(m.target, "/root") {
			for _, d := range []string{"root", "upper", "work"} {
				if err := os.Mkdir(top+"/"+d, 0o755); err != nil {
					return err
				}
			}
		}
		if err := unix.Mount(m.source, m.target, m.kind, m.flags, m.data); err != nil {
			return fmt.Errorf("mount %s: %w", m.target, err)
		}
	}
	loops, err := filepath.Glob("/dev/loop*")
	if err != nil {
		return err
	}
	names := []string{"null", "zero", "full", "random", "urandom", "tty", "fuse"}
	for _, l := range loops {
		names = append(names, filepath.Base(l))
	}
	for _, name := range names {
		var st unix.Stat_t
		if err := unix.Stat("/dev/"+name, &st); err != nil || st.Mode&unix.S_IFMT == unix.S_IFDIR {
			continue
		}
		path := top + "/root/dev/" + name
		if err := unix.Mknod(path, st.Mode, int(st.Rdev)); err != nil {
			return fmt.Errorf("make %s: %w", path, err)
		}
		if err := os.Chmod(path, os.FileMode(st.Mode&0o777)); err != nil {
			return err
		}
	}
	if err := unix.Chroot(top + "/root"); err != nil {
		return fmt.Errorf("chroot: %w", err)
	}
	if err := os.Chdir(wd); err != nil {
		return err
	}
	if err := unix.Sethostname([]byte(Hostname)); err != nil {
		return err
	}
	return loopback()
}

// loopback brings up the one network interface there is.
func loopback() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	request, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	request.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	if err := unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, request); err != nil {
		return fmt.Errorf("bring up loopback: %w", err)
	}
	return nil
}
