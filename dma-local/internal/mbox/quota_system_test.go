//go:build system

package mbox

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// quotaRole delivers into a file system that lets it write so much and no more.
func quotaRole(args []string) error {
	image, dir := args[0], args[1]
	os.Setenv("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make mounts private: %w", err)
	}
	mail := dir + "/mail"
	for _, c := range [][]string{
		{"mkfs.btrfs", "-q", "-f", image},
		{"mount", "-o", "loop", image, dir},
		{"btrfs", "quota", "enable", dir},
		{"btrfs", "subvolume", "create", mail},
		{"btrfs", "qgroup", "limit", "256K", mail},
	} {
		if out, err := exec.Command(c[0], c[1:]...).CombinedOutput(); err != nil {
			return fmt.Errorf("%v: %w\n%s", c, err, out)
		}
	}
	return tooMuch(newBox(mail))
}

// TestQuota: a message over the quota waits, and others are delivered.
func TestQuota(t *testing.T) {
	image := filepath.Join(t.TempDir(), "image")
	if err := os.WriteFile(image, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(image, 200<<20); err != nil {
		t.Fatal(err)
	}
	cmd := roleCommand(t, "quota", image, t.TempDir())
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS}
	out, err := cmd.Output()
	if err != nil || string(out) != "done 2.0.0\nlater 4.2.2\ndone 2.0.0\n" {
		t.Errorf("got %v, %s", err, out)
	}
}
