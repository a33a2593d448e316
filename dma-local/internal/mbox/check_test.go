package mbox

import (
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestMay(t *testing.T) {
	st := &unix.Stat_t{Uid: 10, Gid: 20, Mode: 0o741}
	tests := []struct {
		name     string
		uid, gid uint32
		rwx      uint32
		want     bool
	}{
		{"root", 0, 1, 7, true},
		{"owner", 10, 1, 7, true},
		{"group read", 11, 20, 4, true},
		{"group write", 11, 20, 6, false},
		{"others search", 11, 21, 1, true},
		{"others read", 11, 21, 4, false},
	}
	for _, tt := range tests {
		if got := (Writer{tt.uid, tt.gid}).may(st, tt.rwx); got != tt.want {
			t.Errorf("%s: got %v", tt.name, got)
		}
	}
}

func TestCheck(t *testing.T) {
	owner := Writer{uint32(os.Geteuid()), uint32(os.Getegid())}
	stranger := Writer{owner.UID + 1, owner.GID + 1}
	group := Writer{owner.UID + 1, owner.GID}
	tests := []struct {
		name          string
		dirMode, mode os.FileMode
		writer        Writer
		want          string // empty if all is well
	}{
		{"no mailbox yet", 0o700, 0, owner, ""},
		{"no mailbox, of another", 0o770, 0, group, "does not exist; as root run: install -m 660"},
		{"mailbox", 0o700, 0o600, owner, ""},
		{"group", 0o770, 0o660, group, ""},
		{"not for the group", 0o770, 0o600, group, "permission denied"},
		{"directory not for the group", 0o700, 0o660, group, "cannot be written by group mail"},
		{"directory not for others", 0o770, 0o666, stranger, "&& chmod g+rwx"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			box := newBox(t.TempDir())
			if tt.mode != 0 {
				if err := os.WriteFile(box.path(), nil, tt.mode); err != nil {
					t.Fatal(err)
				}
				if err := os.Chmod(box.path(), tt.mode); err != nil {
					t.Fatal(err)
				}
			}
			if err := os.Chmod(box.Dir, tt.dirMode); err != nil {
				t.Fatal(err)
			}
			err := box.Check(tt.writer)
			if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
			if p := (*Problem)(nil); err != nil && (!errors.As(err, &p) || p.Remedy == "") {
				t.Errorf("no remedy in %v", err)
			}
		})
	}
}

func TestCheckDotlock(t *testing.T) {
	box := newBox(t.TempDir())
	box.LockWait = LockWait
	dot := box.path() + ".lock"
	if err := os.WriteFile(dot, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for age, bad := range map[time.Duration]bool{0: false, LockWait + 9*time.Second: true, staleAfter + 9*time.Second: false} {
		made := time.Now().Add(-age)
		if err := os.Chtimes(dot, made, made); err != nil {
			t.Fatal(err)
		}
		if err := box.Check(Writer{box.UID, 0}); (err != nil) != bad {
			t.Errorf("lock file %v old: %v", age, err)
		}
	}
}
