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

// openForward opens the .forward file of a home.
func openForward(home string, uid uint32) ([]byte, bool, error) {
	f, exists, err := Open(home, uid, []string{".forward"})
	return f.Text, exists, err
}

func TestOpen(t *testing.T) {
	dir := home(t, "a@b\n")
	text, exists, err := openForward(dir, uid())
	if string(text) != "a@b\n" || !exists || err != nil {
		t.Errorf("%q, %v, %v", text, exists, err)
	}
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(dir, link); err != nil {
		t.Fatal(err)
	}
	if text, exists, err = openForward(link, uid()); string(text) != "a@b\n" || !exists || err != nil {
		t.Errorf("home is a link: %q, %v, %v", text, exists, err)
	}
	if text, exists, err = openForward(home(t, ""), uid()); len(text) != 0 || !exists || err != nil {
		t.Errorf("empty file: %q, %v, %v", text, exists, err)
	}
	full := strings.Repeat("x", MaxFile)
	if text, _, err = openForward(home(t, full), uid()); string(text) != full || err != nil {
		t.Errorf("largest file: %d bytes, %v", len(text), err)
	}
}

func TestOpenNothing(t *testing.T) {
	dir := t.TempDir()
	for _, h := range []string{dir, "/", "/nonexistent", ""} {
		if text, exists, err := openForward(h, uid()); text != nil || exists || err != nil {
			t.Errorf("%q: %q, %v, %v", h, text, exists, err)
		}
	}
}

func TestNames(t *testing.T) {
	for _, tt := range []struct{ name, extension, want string }{
		{".forward", "", ".forward"},
		{".forward", "Lists", ".forward+lists .forward"},
		{".way", "a+b", ".way+a+b .way"},
		{".forward", strings.Repeat("x", 64), ".forward+" + strings.Repeat("x", 64) + " .forward"},
		{".forward", strings.Repeat("x", 65), ".forward"},
		{".forward", "../x", ".forward"},
		{".forward", "a/b", ".forward"},
		{".forward", "..", ".forward"},
		{".forward", "a..b", ".forward"},
		{".forward", "a\x00", ".forward"},
		{"", "", ""},
		{"", "x", ""},
	} {
		if got := strings.Join(Names(tt.name, tt.extension), " "); got != tt.want {
			t.Errorf("%q, %q: %q, want %q", tt.name, tt.extension, got, tt.want)
		}
	}
}

// TestOpenExtension: the file of the extension comes first, and what is wrong with
// it is not made good by the other (RULES C6).
func TestOpenExtension(t *testing.T) {
	dir := home(t, "plain\n")
	open := func(extension string) (string, error) {
		f, exists, err := Open(dir, uid(), Names(".forward", extension))
		if exists && err == nil && f.Path != dir+"/.forward" && f.Path != dir+"/.forward+lists" {
			t.Errorf("path %q", f.Path)
		}
		return string(f.Text), err
	}
	if got, err := open("lists"); got != "plain\n" || err != nil {
		t.Errorf("without a file of its own: %q, %v", got, err)
	}
	if err := os.WriteFile(dir+"/.forward+lists", []byte("lists\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for extension, want := range map[string]string{"": "plain\n", "lists": "lists\n", "LISTS": "lists\n", "other": "plain\n"} {
		if got, err := open(extension); got != want || err != nil {
			t.Errorf("%q: %q, %v", extension, got, err)
		}
	}
	if err := os.Chmod(dir+"/.forward+lists", 0o666); err != nil {
		t.Fatal(err)
	}
	if got, err := open("lists"); got != "" || err == nil || !strings.HasPrefix(err.Error(), dir+"/.forward+lists: writable by everyone") {
		t.Errorf("unsafe: %q, %v", got, err)
	}
	if _, exists, err := Open(dir, uid(), nil); exists || err != nil {
		t.Errorf("no names: %v, %v", exists, err)
	}
}

func TestOpenInclude(t *testing.T) {
	dir := home(t, "a@b\n")
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(os.Symlink(dir+"/.forward", dir+"/link"))
	must(os.WriteFile(dir+"/linked", nil, 0o600))
	must(os.Link(dir+"/linked", dir+"/linked2"))
	must(syscall.Mkfifo(dir+"/fifo", 0o600))
	must(os.Mkdir(dir+"/open", 0o700))
	must(os.WriteFile(dir+"/open/list", nil, 0o600))
	must(os.Chmod(dir+"/open", 0o777))
	for path, want := range map[string]string{
		"/.forward":  "",
		"/link":      "%/link: a symbolic link; put the file itself there",
		"/linked":    "%/linked: has 2 names",
		"/fifo":      "%/fifo: not a regular file",
		"/none":      "open %/none: no such file or directory",
		"/none/x":    "open directory %/none/: no such file or directory",
		"/open":      "%/open: not a regular file",
		"/open/list": "%/open/: writable by everyone; run: chmod go-w %/open/",
	} {
		f, err := OpenInclude(dir+path, uid())
		want = strings.ReplaceAll(want, "%", dir)
		switch {
		case want == "":
			if err != nil || string(f.Text) != "a@b\n" || f.Path != dir+path {
				t.Errorf("%s: %+v, %v", path, f, err)
			}
		case err == nil || !strings.HasPrefix(err.Error(), want):
			t.Errorf("%s: %+v, %v; want %s", path, f, err, want)
		}
	}
	must(os.Chmod(dir, 0o755|os.ModeSticky)) // holds the mail of a home, but this is none
	if _, err := OpenInclude(dir+"/.forward", uid()); err != nil {
		t.Errorf("sticky: %v", err)
	}
}

func TestCheckShell(t *testing.T) {
	path := filepath.Join(t.TempDir(), "shells")
	if err := os.WriteFile(path, []byte("# shells\n/bin/sh\n /bin/bash # of GNU\n#/bin/no\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for shell, want := range map[string]bool{
		"/bin/sh": true, "": true, "/bin/bash": true, "/bin/no": false, "/usr/sbin/nologin": false, "sh": false, "#": false, "/bin/csh": false,
	} {
		var unsafe *UnsafeError
		err := CheckShell(path, shell)
		if (err == nil) != want || err != nil && (!errors.As(err, &unsafe) || !strings.Contains(err.Error(), "does not list "+shell)) {
			t.Errorf("%q: %v", shell, err)
		}
	}
	for shell, want := range map[string]bool{"/bin/sh": true, "": true, "/bin/csh": true, "/bin/bash": false} {
		if err := CheckShell(path+".none", shell); (err == nil) != want {
			t.Errorf("no file, %q: %v", shell, err)
		}
	}
	if err := CheckShell(filepath.Dir(path), "/bin/sh"); err == nil {
		t.Error("a directory of shells is no trouble")
	}
	for kind, want := range map[Kind]bool{Command: true, File: true, Maildir: true, Mailbox: false, Address: false, Include: false} {
		if kind.NeedsShell() != want {
			t.Errorf("%v", kind)
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
			text, _, err := openForward(dir, uid())
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
		if _, _, err := openForward(dir, 12345); err != nil {
			t.Errorf("root's home: %v", err)
		}
		if err := os.Chown(filepath.Join(dir, ".forward"), 54321, 0); err != nil {
			t.Fatal(err)
		}
		_, _, err := openForward(dir, 12345)
		if err == nil || !strings.Contains(err.Error(), ".forward: belongs to uid 54321; it must belong to uid 12345 or to root") {
			t.Errorf("another's file: %v", err)
		}
		if err := os.Chown(dir, 54321, 0); err != nil {
			t.Fatal(err)
		}
	}
	_, _, err := openForward(dir, 12345)
	if err == nil || !strings.HasPrefix(err.Error(), dir+": belongs to uid ") {
		t.Errorf("another's home: %v", err)
	}
}

func TestOpenFails(t *testing.T) {
	dir := home(t, "a@b\n")
	for _, h := range []string{filepath.Join(dir, "missing"), filepath.Join(dir, ".forward"), "relative\x00"} {
		text, exists, err := openForward(h, uid())
		if text != nil || exists || err == nil || !strings.HasPrefix(err.Error(), "open home directory ") {
			t.Errorf("%s: %q, %v, %v", h, text, exists, err)
		}
	}
	if _, _, err := openForward(filepath.Join(dir, "missing"), uid()); !errors.Is(err, fs.ErrNotExist) {
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
			_, _, _ = openForward(h, uid())
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
