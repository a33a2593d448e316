//go:build system

package compat

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// hostname is what the machine of the tests is called.
const hostname = "client.example.net"

// devices that the copy of the machine has.
var devices = []string{"null", "zero", "full", "random", "urandom", "tty"}

// isolate puts a copy of the machine in its place, which goes away with the
// process. It has no network but loopback.
func isolate() error {
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
	wd, err := os.Getwd()
	if err != nil {
		return err
	}
	for _, m := range mounts {
		if m.kind == "overlay" {
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
	for _, name := range devices {
		var st unix.Stat_t
		if err := unix.Stat("/dev/"+name, &st); err != nil {
			continue
		}
		path := top + "/root/dev/" + name
		if err := unix.Mknod(path, st.Mode, int(st.Rdev)); err != nil {
			return fmt.Errorf("make %s: %w", path, err)
		}
		if err := os.Chmod(path, 0o666); err != nil {
			return err
		}
	}
	if err := unix.Chroot(top + "/root"); err != nil {
		return fmt.Errorf("chroot: %w", err)
	}
	if err := os.Chdir(wd); err != nil {
		return err
	}
	if err := unix.Sethostname([]byte(hostname)); err != nil {
		return err
	}
	return loopback()
}

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

// Accounts. Each case has one of its own to submit as: its uid stands in the
// Received field of all that comes of it. Its login is u and the number of the
// case; another login, t and that number, has the same uid.
const (
	firstUser = 5001  // of users
	firstCase = 20000 // of the accounts of cases
)

var users = []string{"alice", "bob", "carol"}

// install puts one mailer onto the copy of the machine.
func install(mailer string) error {
	files := map[string]string{
		"/etc/hostname":      hostname + "\n",
		"/etc/hosts":         "127.0.0.1 localhost\n127.0.1.1 " + hostname + " client\n",
		"/etc/resolv.conf":   "nameserver 127.0.0.1\noptions timeout:1 attempts:1\n",
		"/etc/nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\n",
	}
	var passwd strings.Builder
	for i, u := range users {
		fmt.Fprintf(&passwd, "%s:x:%d:100::/home/%s:/bin/sh\n", u, firstUser+i, u)
	}
	for i := range allCases() {
		// The gecos field is empty, and there is no home to look for a .forward in.
		fmt.Fprintf(&passwd, "u%03d:x:%d:100::/nonexistent:/bin/sh\nt%03d:x:%d:100::/nonexistent:/bin/sh\n", i, firstCase+i, i, firstCase+i)
	}
	old, err := os.ReadFile("/etc/passwd")
	if err != nil {
		return err
	}
	files["/etc/passwd"] = string(old) + passwd.String()
	for path, text := range files {
		_ = os.Remove(path) // may be a link
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			return err
		}
	}
	for i, u := range users {
		if err := os.MkdirAll("/home/"+u, 0o755); err != nil {
			return err
		}
		if err := os.Chown("/home/"+u, firstUser+i, 100); err != nil {
			return err
		}
	}
	others, err := filepath.Glob("/usr/*/sendmail")
	if err != nil {
		return err
	}
	for _, path := range append(others, "/usr/bin/mailq", "/usr/bin/newaliases") {
		_ = os.Remove(path) // another mailer's
	}
	// A name that neither installs, but some have.
	if err := os.Symlink("sendmail", "/usr/sbin/send-mail"); err != nil {
		return err
	}
	if err := unpack(mailer); err != nil {
		return err
	}
	if mailer == debian {
		return os.MkdirAll("/etc/dma", 0o755) // the rest of its postinst asks and answers
	}
	if err := do("make", "-s", "-C", repository(), "install", "BUILD="+os.Getenv(buildVariable)); err != nil {
		return err
	}
	return installMonitor()
}
