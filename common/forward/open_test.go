package forward

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// home makes a home directory whose .forward file holds text.
func home(t *testing.T, text string) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, ".forward"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

func uid() uint32 { return uint32(os.Getuid()) }

func TestOpen(t *testing.T) {
	dir := home(t, "a@b\n")
	text, exists, err := Open(dir, uid())
	if string(text) != "a@b\n" || !exists || err != nil {
		t.Errorf("%q, %v, %v", text, exists, err)
	}
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(dir, link); err != nil {
		t.Fatal(err)
	}
	if text, exists, err = Open(link, uid()); string(text) != "a@b\n" || !exists || err != nil {
		t.Errorf("home is a link: %q, %v, %v", text, exists, err)
	}
	if text, exists, err = Open(home(t, ""), uid()); len(text) != 0 || !exists || err != nil {
		t.Errorf("empty file: %q, %v, %v", text, exists, err)
	}
	full := strings.Repeat("x", MaxFile)
	if text, _, err = Open(home(t, full), uid()); string(text) != full || err != nil {
		t.Errorf("largest file: %d bytes, %v", len(text), err)
	}
}

func TestOpenNothing(t *testing.T) {
	dir := t.TempDir()
	for _, h := range []string{dir, "/", "/nonexistent", ""} {
		if text, exists, err := Open(h, uid()); text != nil || exists || err != nil {
			t.Errorf("%q: %q, %v, %v", h, text, exists, err)
		}
	}
}

func TestOpenUnsafe(t *testing.T) {
	file := func(dir string) string { return filepath.Join(dir, ".forward") }
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	for name, c := range map[string]struct {
		spoil func(dir string)
		want  string // % is the directory
	}{
		"file writable by group":  {func(d string) { must(os.Chmod(file(d), 0o620)) }, "%/.forward: writable by its group; run: chmod g-w %/.forward"},
		"file writable by others": {func(d string) { must(os.Chmod(file(d), 0o602)) }, "%/.forward: writable by others; run: chmod o-w %/.forward"},
		"file writable by both":   {func(d string) { must(os.Chmod(file(d), 0o666)) }, "%/.forward: writable by everyone; run: chmod go-w %/.forward"},
		"home writable by group":  {func(d string) { must(os.Chmod(d, 0o775)) }, "%: writable by its group; run: chmod g-w %"},
		"home writable by others": {func(d string) { must(os.Chmod(d, 0o757)) }, "%: writable by others; run: chmod o-w %"},
		"sticky home":             {func(d string) { must(os.Chmod(d, 0o755|fs.ModeSticky)) }, "%: the home directory is sticky, which holds its mail; run: chmod -t %"},
		"hard link":               {func(d string) { must(os.Link(file(d), d+"/x")) }, "%/.forward: has 2 names (hard links); it must have one"},
		"large file":              {func(d string) { must(os.Truncate(file(d), MaxFile+1)) }, "%/.forward: larger than 64 KiB"},
		"link": {func(d string) {
			must(os.Rename(file(d), d+"/x"))
			must(os.Symlink("x", file(d)))
		}, "%/.forward: a symbolic link; put the file itself there"},
		"dangling link": {func(d string) {
			must(os.Remove(file(d)))
			must(os.Symlink("nowhere", file(d)))
		}, "%/.forward: a symbolic link; put the file itself there"},
		"directory": {func(d string) {
			must(os.Remove(file(d)))
			must(os.Mkdir(file(d), 0o700))
		}, "%/.forward: not a regular file"},
		"fifo": {func(d string) {
			must(os.Remove(file(d)))
			must(syscall.Mkfifo(file(d), 0o600))
		}, "%/.forward: not a regular file"},
		"socket": {func(d string) {
			must(os.Remove(file(d)))
			must(socket(file(d)))
		}, "%/.forward: not a regular file"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := home(t, "a@b\n")
			c.spoil(dir)
			text, _, err := Open(dir, uid())
			var unsafe *UnsafeError
			want := strings.ReplaceAll(c.want, "%", dir)
			if text != nil || !errors.As(err, &unsafe) || err.Error() != want {
				t.Errorf("%q, %v; want %s", text, err, want)
			}
		})
	}
}

// socket makes a socket, which no open can open.
func socket(path string) error {
	fd, err := syscall.Socket(syscall.AF_UNIX, syscall.SOCK_DGRAM, 0)
	if err != nil {
		return err
	}
	defer syscall.Close(fd)
	return syscall.Bind(fd, &syscall.SockaddrUnix{Name: path})
}

// A file of somebody else is not used. Root's is, so without root this is told
// from the side of another user.
func TestOpenOwner(t *testing.T) {
	dir := home(t, "a@b\n")
	if os.Getuid() == 0 {
		if _, _, err := Open(dir, 12345); err != nil {
			t.Errorf("root's home: %v", err)
		}
		if err := os.Chown(filepath.Join(dir, ".forward"), 54321, 0); err != nil {
			t.Fatal(err)
		}
		_, _, err := Open(dir, 12345)
		if err == nil || !strings.Contains(err.Error(), ".forward: belongs to uid 54321; it must belong to uid 12345 or to root") {
			t.Errorf("another's file: %v", err)
		}
		if err := os.Chown(dir, 54321, 0); err != nil {
			t.Fatal(err)
		}
	}
	_, _, err := Open(dir, 12345)
	if err == nil || !strings.HasPrefix(err.Error(), dir+": belongs to uid ") {
		t.Errorf("another's home: %v", err)
	}
}

func TestOpenFails(t *testing.T) {
	dir := home(t, "a@b\n")
	for _, h := range []string{filepath.Join(dir, "missing"), filepath.Join(dir, ".forward"), "relative\x00"} {
		text, exists, err := Open(h, uid())
		if text != nil || exists || err == nil || !strings.HasPrefix(err.Error(), "open home directory ") {
			t.Errorf("%s: %q, %v, %v", h, text, exists, err)
		}
	}
	if _, _, err := Open(filepath.Join(dir, "missing"), uid()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("missing home: %v", err)
	}
}

// However often and however it ends, no descriptor stays open.
func TestOpenLeaksNothing(t *testing.T) {
	good, bad := home(t, "a@b\n"), home(t, "")
	if err := os.Chmod(filepath.Join(bad, ".forward"), 0o666); err != nil {
		t.Fatal(err)
	}
	before := descriptors(t)
	for range 50 {
		for _, h := range []string{good, bad, good + "/missing", t.TempDir()} {
			_, _, _ = Open(h, uid())
		}
	}
	if after := descriptors(t); after > before {
		t.Errorf("%d descriptors, before %d", after, before)
	}
}

// descriptors is the lowest free descriptor number.
func descriptors(t *testing.T) int {
	t.Helper()
	fd, err := syscall.Dup(0)
	if err != nil {
		t.Fatal(err)
	}
	syscall.Close(fd)
	return fd
}
