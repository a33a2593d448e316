package mbox

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"dma/common/outcome"
	"dma/dma-local/internal/letter"
	"dma/proto"
)

func TestNewMailbox(t *testing.T) {
	box := newBox(t.TempDir())
	box.Now = func() time.Time { return noon }
	old := syscall.Umask(0o077)
	defer syscall.Umask(old)
	r := box.Deliver(context.Background(), []letter.Letter{letterOf("A: b\n\nhello\n")})[0]
	want(t, r, outcome.Done, proto.ScopeTarget, "2.0.0", "mailbox")
	if got, want := contents(t, box), entryHead+"A: b\n\nhello\n\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	st, err := os.Stat(box.path())
	if err != nil {
		t.Fatal(err)
	}
	if st.Mode() != newMode || int(st.Sys().(*syscall.Stat_t).Gid) != os.Getegid() {
		t.Errorf("mode %v, status %+v", st.Mode(), st.Sys())
	}
	onlyMailbox(t, box)
}

func TestExistingMailbox(t *testing.T) {
	const added = entryHead + "A: b\n\nhello\n\n"
	tests := []struct{ name, old, want string }{
		{"empty", "", added},
		{"whole", "From x\n\nold\n\n", "From x\n\nold\n\n" + added},
		{"no blank line", "From x\n\nold\n", "From x\n\nold\n\n" + added},
		{"no line end", "From x\n\nold", "From x\n\nold\n\n" + added},
		{"one byte", "x", "x\n\n" + added},
		{"one line end", "\n", "\n" + added},
		{"two line ends", "\n\n", "\n\n" + added},
		{"a letter behind a blank line", "\n\nx", "\n\nx\n\n" + added},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			box := newBox(t.TempDir())
			box.Now = func() time.Time { return noon }
			if err := os.WriteFile(box.path(), []byte(tt.old), 0o600); err != nil {
				t.Fatal(err)
			}
			r := box.Deliver(context.Background(), []letter.Letter{letterOf("A: b\n\nhello\n")})[0]
			want(t, r, outcome.Done, proto.ScopeTarget, "2.0.0", "mailbox")
			if got := contents(t, box); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
			if st, err := os.Stat(box.path()); err != nil || st.Mode() != 0o600 {
				t.Errorf("mode was changed: %v, %v", st, err)
			}
			onlyMailbox(t, box)
		})
	}
}

func TestBatch(t *testing.T) {
	box := newBox(t.TempDir())
	box.Now = func() time.Time { return noon }
	cut := letterOf("\n2\n")
	cut.Size++
	got := box.Deliver(context.Background(), []letter.Letter{letterOf("\n1\n"), cut, letterOf("\n3\n")})
	want(t, got[0], outcome.Done, proto.ScopeTarget, "2.0.0", "")
	want(t, got[1], outcome.Later, proto.ScopeTarget, "4.3.0", "message cannot be read: it ends after 3 of 4 bytes")
	want(t, got[2], outcome.Done, proto.ScopeTarget, "2.0.0", "")
	if got, want := contents(t, box), entryHead+"\n1\n\n"+entryHead+"\n3\n\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// unsafe are things in the way of a mailbox, and what is said of them.
var unsafe = []struct {
	name string
	make func(t *testing.T, box *Box) error
	text string
}{
	{"symbolic link", func(t *testing.T, box *Box) error {
		os.WriteFile(filepath.Join(box.Dir, "other"), nil, 0o600)
		return os.Symlink("other", box.path())
	}, "is a symbolic link; look at it"},
	{"dangling link", func(t *testing.T, box *Box) error { return os.Symlink("nothing", box.path()) }, "is a symbolic link"},
	{"directory", func(t *testing.T, box *Box) error { return os.Mkdir(box.path(), 0o700) }, "is a directory"},
	{"FIFO", func(t *testing.T, box *Box) error { return syscall.Mkfifo(box.path(), 0o600) }, "is not a regular file"},
	{"socket", func(t *testing.T, box *Box) error {
		fd, err := syscall.Socket(syscall.AF_UNIX, syscall.SOCK_DGRAM, 0)
		if err != nil {
			return err
		}
		t.Cleanup(func() { syscall.Close(fd) })
		t.Chdir(box.Dir) // the path may be too long for a socket
		return syscall.Bind(fd, &syscall.SockaddrUnix{Name: box.Login})
	}, "is not a regular file"},
	{"second link", func(t *testing.T, box *Box) error {
		os.WriteFile(box.path(), nil, 0o600)
		return os.Link(box.path(), filepath.Join(box.Dir, "other"))
	}, "has 2 names (hard links)"},
	{"executable", func(t *testing.T, box *Box) error { return os.WriteFile(box.path(), nil, 0o710) }, "is executable (mode 0710); run: chmod a-x"},
	{"owner", func(t *testing.T, box *Box) error {
		box.UID++
		return os.WriteFile(box.path(), nil, 0o600)
	}, "belongs to uid " + strconv.Itoa(os.Geteuid()) + ", not to uid " + strconv.Itoa(os.Geteuid()+1)},
	{"missing, of an account that no process may be", func(t *testing.T, box *Box) error {
		box.UID++
		box.Login = "root"
		return nil
	}, "root does not exist; as root run: install -m 660 -o root -g mail /dev/null "},
	{"no mail directory", func(t *testing.T, box *Box) error {
		box.Dir += "/none"
		return nil
	}, "mail directory"},
	{"mail directory is a file", func(t *testing.T, box *Box) error {
		box.Dir += "/file"
		return os.WriteFile(box.Dir, nil, 0o600)
	}, "mail directory"},
}

func TestUnsafe(t *testing.T) {
	for _, tt := range unsafe {
		t.Run(tt.name, func(t *testing.T) {
			box := newBox(t.TempDir())
			if err := tt.make(t, box); err != nil {
				t.Fatal(err)
			}
			start := time.Now()
			for _, r := range box.Deliver(context.Background(), make([]letter.Letter, 2)) {
				want(t, r, outcome.Later, proto.ScopeDestination, "4.2.0", tt.text)
			}
			if time.Since(start) >= box.LockWait {
				t.Error("waited for what will not change")
			}
			if err := box.Check(Writer{uint32(os.Geteuid()), uint32(os.Getegid())}); err == nil || !strings.Contains(err.Error(), tt.text) {
				t.Errorf("Check: %v", err)
			}
			if other, err := os.ReadFile(filepath.Join(box.Dir, "other")); err == nil && len(other) > 0 {
				t.Errorf("other file was written to: %q", other)
			}
			if _, err := os.Lstat(box.path() + ".lock"); err == nil {
				t.Error("lock file left")
			}
		})
	}
}

func TestFileLimit(t *testing.T) {
	if got := runRole(t, "limit", t.TempDir()); got != "done 2.0.0\nlater 4.2.2\ndone 2.0.0\n" {
		t.Errorf("got %s", got)
	}
}

// TestKilled: what a killed delivery leaves neither delays nor hides the next one.
func TestKilled(t *testing.T) {
	box := newBox(t.TempDir())
	if err := roleCommand(t, "die", box.Dir).Run(); err == nil {
		t.Fatal("delivery was not killed")
	}
	torn := contents(t, box)
	if strings.HasSuffix(torn, "\n") {
		t.Fatal("mailbox is not torn")
	}
	if _, err := os.Stat(box.path() + ".lock"); err != nil {
		t.Fatalf("no lock file left: %v", err)
	}
	r := box.Deliver(context.Background(), []letter.Letter{letterOf("\nnext\n")})[0]
	want(t, r, outcome.Done, proto.ScopeTarget, "2.0.0", "")
	if got := contents(t, box); !strings.HasPrefix(got, torn+"\n\nFrom a@b.example  ") || !strings.HasSuffix(got, "\n\nnext\n\n") {
		t.Errorf("mailbox ends in %q", got[len(torn)-10:])
	}
	onlyMailbox(t, box)
}

// TestFile: a file that the user has chosen may be what no mailbox may be, and has
// the user's mode (RULES D6).
func TestFile(t *testing.T) {
	const added = entryHead + "A: b\n\nhello\n\n"
	tests := []struct {
		name string
		make func(b *Box) error
		mode os.FileMode
	}{
		{"new", func(*Box) error { return nil }, 0o600},
		{"there", func(b *Box) error { return os.WriteFile(b.path(), nil, 0o644) }, 0o644},
		{"executable", func(b *Box) error { return os.WriteFile(b.path(), nil, 0o755) }, 0o755},
		{"hard link", func(b *Box) error {
			return errors.Join(os.WriteFile(b.path(), nil, 0o600), os.Link(b.path(), b.Dir+"/x"))
		}, 0o600},
		{"another's", func(b *Box) error {
			b.UID++
			return os.WriteFile(b.path(), nil, 0o600)
		}, 0o600},
		{"lock file cannot be made", func(b *Box) error {
			b.Login = strings.Repeat("x", 255)
			return os.WriteFile(b.path(), nil, 0o600)
		}, 0o600},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			box := newBox(t.TempDir())
			box.File = true
			box.Now = func() time.Time { return noon }
			if err := tt.make(box); err != nil {
				t.Fatal(err)
			}
			r := box.Deliver(context.Background(), []letter.Letter{letterOf("A: b\n\nhello\n")})[0]
			want(t, r, outcome.Done, proto.ScopeTarget, "2.0.0", "delivered to file")
			if got := contents(t, box); got != added {
				t.Errorf("got %q", got)
			}
			if st, err := os.Stat(box.path()); err != nil || st.Mode() != tt.mode {
				t.Errorf("mode: %v, %v; want %v", st, err, tt.mode)
			}
			if _, err := os.Lstat(box.path() + ".lock"); err == nil {
				t.Error("the lock file is still there")
			}
		})
	}
	for _, tt := range unsafe {
		switch tt.name {
		case "second link", "executable", "owner", "missing, of an account that no process may be":
			continue // may be
		}
		t.Run(tt.name, func(t *testing.T) {
			box := newBox(t.TempDir())
			box.File = true
			if err := tt.make(t, box); err != nil {
				t.Fatal(err)
			}
			r := box.Deliver(context.Background(), []letter.Letter{letterOf("\n")})[0]
			want(t, r, outcome.Later, proto.ScopeDestination, "4.2.0", box.Dir)
		})
	}
}

// TestFileLocks: the lock file of another counts, though ours need not be there.
func TestFileLocks(t *testing.T) {
	box := newBox(t.TempDir())
	box.File = true
	if err := os.WriteFile(box.path()+".lock", []byte("1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	r := box.Deliver(context.Background(), []letter.Letter{letterOf("\n")})[0]
	want(t, r, outcome.Later, proto.ScopeDestination, "4.2.0", "file is locked by the lock file")
}
