//go:build system

package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"dma/common/outcome"
	"dma/proto"

	"golang.org/x/sys/unix"
)

// Numbers of accounts that need no entry in the password file.
const (
	aliceID = 64103
	bobID   = 64104
)

// answerWithin is how long an answer may take, whatever state a home is in.
const answerWithin = 30 * time.Second

// newHome is alice's home, in a directory that is open to all.
func newHome(t *testing.T) string {
	t.Helper()
	root, err := os.MkdirTemp("", "dma-homes")
	must(t, err)
	t.Cleanup(func() { os.RemoveAll(root) })
	must(t, os.Chmod(root, 0o755))
	home := root + "/alice"
	must(t, errors.Join(os.Mkdir(home, 0o755), os.Chown(home, aliceID, aliceID)))
	return home
}

// write writes a file of alice's.
func write(path, text string, mode os.FileMode) error {
	return errors.Join(os.WriteFile(path, []byte(text), 0o600), os.Chown(path, aliceID, aliceID), os.Chmod(path, mode))
}

// ask asks dma-forward, as alice, once.
func ask(t *testing.T, home string, hello proto.Hello) ([]proto.Target, *outcome.Outcome) {
	t.Helper()
	must(t, os.Chmod(world(), 0o755))
	hello.Login, hello.UID, hello.Home = "alice", aliceID, home
	h := startAs(t, "installed", hello, &syscall.Credential{Uid: aliceID, Gid: aliceID})
	begun := time.Now()
	targets, failure := h.expand()
	if took := time.Since(begun); took > answerWithin {
		t.Errorf("took %v", took)
	}
	return targets, failure
}

// states of a home, and what becomes of the mail. It waits, but where want is
// empty it goes to the mailbox, and where that is !, to what the file says.
func states() []struct {
	name string
	make func(home string) error
	want string
} {
	forward := func(home string) string { return home + "/.forward" }
	text := func(text string, mode os.FileMode) func(string) error {
		return func(home string) error { return write(forward(home), text, mode) }
	}
	then := func(steps ...func(string) error) func(string) error {
		return func(home string) error {
			for _, step := range steps {
				if err := step(home); err != nil {
					return err
				}
			}
			return nil
		}
	}
	mode := func(mode os.FileMode) func(string) error {
		return func(home string) error { return os.Chmod(home, mode) }
	}
	good := text("bob@x\n", 0o644)
	return []struct {
		name string
		make func(home string) error
		want string
	}{
		{"good", good, "!"},
		{"root's", then(good, func(h string) error { return os.Chown(forward(h), 0, 0) }), "!"},
		{"home that others may not enter", then(good, mode(0o700)), "!"},
		{"home that the user may not list", then(good, mode(0o300)), "!"},
		{"home of root's", then(good, func(h string) error { return os.Chown(h, 0, 0) }), "!"},
		{"no file", func(string) error { return nil }, ""},
		{"empty", text("", 0o644), ""},
		{"FIFO", func(h string) error { return syscall.Mkfifo(forward(h), 0o644) }, "4.7.0 not a regular file"},
		{"link", then(func(h string) error { return write(h+"/real", "bob@x\n", 0o644) }, func(h string) error { return os.Symlink("real", forward(h)) }), "4.7.0 a symbolic link"},
		{"link to a secret", func(h string) error { return os.Symlink("/etc/shadow", forward(h)) }, "4.7.0 a symbolic link"},
		{"link to itself", func(h string) error { return os.Symlink(".forward", forward(h)) }, "4.7.0 a symbolic link"},
		{"dangling link", func(h string) error { return os.Symlink("nowhere", forward(h)) }, "4.7.0 a symbolic link"},
		{"directory", func(h string) error { return os.Mkdir(forward(h), 0o755) }, "4.7.0 not a regular file"},
		{"hard link", then(good, func(h string) error { return os.Link(forward(h), h+"/other") }), "4.7.0 has 2 names"},
		{"hard link to root's", func(h string) error {
			return errors.Join(os.WriteFile(h+"/../secret", []byte("bob@x\n"), 0o644), os.Link(h+"/../secret", forward(h)))
		}, "4.7.0 has 2 names"},
		{"socket", func(h string) error {
			fd, err := syscall.Socket(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
			if err != nil {
				return err
			}
			defer syscall.Close(fd)
			return syscall.Bind(fd, &syscall.SockaddrUnix{Name: forward(h)})
		}, "4.7.0 not a regular file"},
		{"device", func(h string) error { return syscall.Mknod(forward(h), syscall.S_IFCHR|0o666, 1<<8|5) }, "4.7.0 not a regular file"},
		{"device of a terminal", func(h string) error { return syscall.Mknod(forward(h), syscall.S_IFCHR|0o666, 5<<8) }, "4.7.0 not a regular file"},
		{"device without a driver", func(h string) error { return syscall.Mknod(forward(h), syscall.S_IFBLK|0o666, 250<<8|200) }, "4.7.0 not a regular file"},
		{"sparse 1 TB", then(good, func(h string) error { return os.Truncate(forward(h), 1<<40) }), "4.7.0 larger than 64 KiB"},
		{"NULs", text(strings.Repeat("\x00", 100), 0o644), "4.3.5 contains a NUL byte"},
		{"sparse 60 KiB", then(good, func(h string) error { return os.Truncate(forward(h), 60<<10) }), "4.3.5 contains a NUL byte"},
		{"1 MB line", text(strings.Repeat("x", 1<<20), 0o644), "4.7.0 larger than 64 KiB"},
		{"line of 60 KB", text(strings.Repeat("x", 60_000), 0o644), "4.3.5 longer than 1000 bytes"},
		{"unreadable", text("bob@x\n", 0), "4.3.0 permission denied"},
		{"somebody else's", then(good, func(h string) error { return os.Chown(forward(h), bobID, bobID) }), "4.7.0 belongs to uid 64104"},
		{"group may write", text("bob@x\n", 0o664), "4.7.0 writable by its group"},
		{"all may write", text("bob@x\n", 0o666), "4.7.0 writable by everyone"},
		{"syntax", text("bob@x\n|\n", 0o644), "4.3.5 line 2"},
		{"command", text("|cmd\n", 0o644), "!"},
		{"home of somebody else's", then(good, func(h string) error { return os.Chown(h, bobID, bobID) }), "4.7.0 belongs to uid 64104"},
		{"home that the group may write", then(good, mode(0o775)), "4.7.0 writable by its group"},
		{"home that all may write", mode(0o777), "4.7.0 writable by everyone"},
		{"sticky home", then(good, mode(0o755|os.ModeSticky)), "4.7.0 sticky"},
		{"sticky home, no file", mode(0o755 | os.ModeSticky), "4.7.0 sticky"},
		{"no home", os.Remove, "4.3.0 no such file or directory"},
		{"home is a file", then(os.Remove, func(h string) error { return write(h, "", 0o755) }), "4.3.0 not a directory"},
		{"home that the user may not enter", then(good, func(h string) error { return os.Chown(h, 0, 0) }, mode(0o700)), "4.3.0 permission denied"},
		{"home behind what the user may not enter", then(good, func(h string) error { return os.Chmod(filepath.Dir(h), 0o700) }), "4.3.0 permission denied"},
		{"list of root's that the user may not read", then(
			func(h string) error { return os.WriteFile(h+"/list", []byte("bob@x\n"), 0o600) }, text(":include:~/list\n", 0o644),
		), "4.3.0 permission denied"},
		{"list in a directory for all", then(
			func(h string) error { return errors.Join(os.Mkdir(h+"/tmp", 0o755), os.Chmod(h+"/tmp", 0o777)) },
			func(h string) error { return write(h+"/tmp/list", "bob@x\n", 0o644) }, text(":include:~/tmp/list\n", 0o644),
		), "4.7.0 writable by everyone"},
	}
}

// TestStates: a real account's file and home in every state. What is not said to go
// to the mailbox never does (RULES C2).
func TestStates(t *testing.T) {
	for _, tt := range states() {
		t.Run(tt.name, func(t *testing.T) {
			home := newHome(t)
			must(t, tt.make(home))
			judge(t, home, tt.want)
		})
	}
	for _, home := range []string{"/", "/nonexistent", ""} {
		t.Run("home "+home, func(t *testing.T) { judge(t, home, "") })
	}
}

func judge(t *testing.T, home, want string) {
	t.Helper()
	targets, failure := ask(t, home, proto.Hello{Shell: "/bin/sh"})
	code, text, _ := strings.Cut(want, " ")
	switch {
	case want == "" || want == "!":
		if failure != nil || (len(targets) == 0) != (want == "") {
			t.Errorf("got %s, %v; want %q", show(targets), failure, want)
		}
	case failure == nil:
		t.Errorf("got %s; want %q", show(targets), want)
	case failure.Class != outcome.Later || failure.Code != code || !strings.Contains(failure.Text, text):
		t.Errorf("got %v; want %q", failure, want)
	}
}

// TestConfigUnreadable: a dma.conf that the user cannot read defers.
func TestConfigUnreadable(t *testing.T) {
	home := newHome(t)
	must(t, write(home+"/.forward", "bob@x\n", 0o644))
	configure(t, "FORWARD .other")
	path := filepath.Join(world(), "dma.conf")
	must(t, os.Chmod(path, 0o600))
	judge(t, home, "4.3.5 all users must be able to read it, run as root: chmod a+r "+path)
	must(t, errors.Join(os.Chmod(path, 0o644), os.Chown(path, aliceID, 0)))
	judge(t, home, "4.3.5 belongs to uid 64103 and not to root")
	must(t, os.Chown(path, 0, 0))
	judge(t, home, "")
}

// hang mounts a file system that never answers.
func hang(t *testing.T, dir string) {
	t.Helper()
	fd, err := unix.Open("/dev/fuse", unix.O_RDWR|unix.O_CLOEXEC, 0)
	must(t, err)
	options := fmt.Sprintf("fd=%d,rootmode=40000,user_id=0,group_id=0,allow_other", fd)
	if err := unix.Mount("hang", dir, "fuse", unix.MS_NOSUID|unix.MS_NODEV, options); err != nil {
		unix.Close(fd)
		t.Fatalf("mount: %v", err)
	}
	t.Cleanup(func() {
		must(t, unix.Unmount(dir, unix.MNT_DETACH))
		unix.Close(fd) // lets go of those who wait
	})
}

// TestHang: a home that does not answer defers in time, and the program ends.
func TestHang(t *testing.T) {
	t.Run("home", func(t *testing.T) {
		home := newHome(t)
		hang(t, home)
		judge(t, home, "4.3.0 no answer from the file system within 20s")
	})
	t.Run("list", func(t *testing.T) {
		home := newHome(t)
		must(t, write(home+"/.forward", ":include:~/far/list\n", 0o644))
		must(t, os.Mkdir(home+"/far", 0o755))
		hang(t, home+"/far")
		judge(t, home, "4.3.0 no answer from the file system within 20s")
	})
}
