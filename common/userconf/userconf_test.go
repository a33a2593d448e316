package userconf

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"dma/common/conf"
)

func me() uint32 { return uint32(os.Getuid()) }

func TestLoad(t *testing.T) {
	const text = "MAILBOX ~/Maildir/\nFORWARD .way\nNONSENSE\nMDA /bin/mda %u\nANYSHELL\n"
	tests := []struct {
		name   string
		make   func(path string) error
		owners []uint32
		want   string // part of the error
	}{
		{"good", func(p string) error { return os.WriteFile(p, []byte(text), 0o644) }, []uint32{me()}, ""},
		{"one of two owners", func(p string) error { return os.WriteFile(p, []byte(text), 0o600) }, []uint32{me() + 1, me()}, ""},
		{"somebody else's", func(p string) error { return os.WriteFile(p, []byte(text), 0o644) }, []uint32{me() + 1}, "and not to root; run as root: chown root /"},
		{"group may write", func(p string) error {
			return touch(p, text, 0o664)
		}, []uint32{me()}, "writable by others than root; run as root: chmod go-w /"},
		{"others may write", func(p string) error { return touch(p, text, 0o646) }, []uint32{me()}, "chmod go-w /"},
		{"FIFO", func(p string) error { return syscall.Mkfifo(p, 0o600) }, []uint32{me()}, "not a regular file"},
		{"directory", func(p string) error { return os.Mkdir(p, 0o700) }, []uint32{me()}, "not a regular file"},
		{"too large", func(p string) error { return touch(p, strings.Repeat("#\n", 1<<20), 0o600) }, []uint32{me()}, "larger than"},
		{"link that leads nowhere", func(p string) error { return os.Symlink("none", p) }, []uint32{me()}, "-"},
		{"missing", func(string) error { return nil }, []uint32{me()}, "-"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "dma.conf")
			if err := tt.make(path); err != nil {
				t.Fatal(err)
			}
			c, err := load(path, tt.owners)
			switch {
			case tt.want == "-":
				if err != nil || c.Forward != ".forward" || c.MDA != nil {
					t.Errorf("got %+v, %v; want the defaults", c, err)
				}
			case tt.want != "":
				if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), path) {
					t.Errorf("got %v; want %q", err, tt.want)
				}
			case err != nil || c.Mailbox != "~/Maildir/" || c.Forward != ".way" || len(c.MDA) != 2 || !c.AnyShell:
				t.Errorf("got %+v, %v", c, err)
			}
		})
	}
}

// touch writes a file of a mode that umask would not allow.
func touch(path, text string, mode os.FileMode) error {
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		return err
	}
	return os.Chmod(path, mode)
}

func TestMailboxByUser(t *testing.T) {
	for text, want := range map[string]bool{
		"":                             false,
		"MAILBOX /var/mail":            false,
		"MAILBOX /var/vmail/%u/":       false,
		"MAILBOX /var/%%h/%u/":         false,
		"MAILBOX ~/Maildir/":           true,
		"MAILBOX %h/Maildir/":          true,
		"MDA /bin/mda":                 true,
		"MAILBOX /var/mail\nMDA /b %u": true,
	} {
		c, _, err := conf.Parse(strings.NewReader(text), "F")
		if got := MailboxByUser(c); err != nil || got != want {
			t.Errorf("%q: %v, %v", text, got, err)
		}
	}
}
