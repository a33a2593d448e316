package durable

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"golang.org/x/sys/unix"
)

func openDir(t *testing.T, options ...Option) *Dir {
	t.Helper()
	d, err := OpenDir(t.TempDir(), options...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestCreateCommitRead(t *testing.T) {
	d := openDir(t)
	f, err := d.Create("a", 0o604)
	must(t, err)
	_, err = f.Write([]byte("0123456789"))
	must(t, err)
	_, err = f.WriteAt([]byte("ab"), 4)
	must(t, err)
	must(t, f.Commit())
	r, err := d.Open("a")
	must(t, err)
	defer r.Close()
	b, err := io.ReadAll(r)
	must(t, err)
	if string(b) != "0123ab6789" {
		t.Errorf("content %q", b)
	}
	st, err := r.Stat()
	must(t, err)
	if st.Mode() != 0o604 {
		t.Errorf("mode %v", st.Mode())
	}
}

func TestModeDespiteUmask(t *testing.T) {
	old := unix.Umask(0o077)
	defer unix.Umask(old)
	d := openDir(t)
	f, err := d.Create("a", 0o604)
	must(t, err)
	defer f.Close()
	if st, _ := f.File().Stat(); st.Mode() != 0o604 {
		t.Errorf("mode %v", st.Mode())
	}
}

func TestCreateIsExclusive(t *testing.T) {
	d := openDir(t)
	must(t, os.Symlink("elsewhere", filepath.Join(d.path, "link")))
	must(t, os.WriteFile(filepath.Join(d.path, "file"), nil, 0o600))
	for _, name := range []string{"link", "file"} {
		if _, err := d.Create(name, 0o600); !errors.Is(err, unix.EEXIST) {
			t.Errorf("create over a %s: %v", name, err)
		}
	}
	if _, err := os.Lstat(filepath.Join(d.path, "elsewhere")); err == nil {
		t.Error("followed a link")
	}
}

func TestOpenNeitherFollowsNorWaits(t *testing.T) {
	d := openDir(t)
	must(t, os.Symlink("/etc/passwd", filepath.Join(d.path, "link")))
	must(t, unix.Mkfifo(filepath.Join(d.path, "pipe"), 0o600))
	for _, open := range []func(string) error{
		func(n string) error { _, err := d.Open(n); return err },
		func(n string) error { _, err := d.Append(n); return err },
	} {
		if err := open("link"); !errors.Is(err, unix.ELOOP) && !errors.Is(err, unix.EMLINK) {
			t.Errorf("open of a link: %v", err)
		}
		if err := open("pipe"); err != nil {
			t.Errorf("open of a pipe: %v", err) // returned at all
		}
	}
}

func TestCloseOnExec(t *testing.T) {
	d := openDir(t)
	f, err := d.Create("a", 0o600)
	must(t, err)
	defer f.Close()
	r, err := d.Open("a")
	must(t, err)
	defer r.Close()
	w, err := d.Append("a")
	must(t, err)
	defer w.Close()
	for i, fd := range []uintptr{uintptr(d.fd), f.File().Fd(), r.Fd(), w.File().Fd()} {
		if flags, err := unix.FcntlInt(fd, unix.F_GETFD, 0); err != nil || flags&unix.FD_CLOEXEC == 0 {
			t.Errorf("descriptor %d: flags %#x, %v", i, flags, err)
		}
	}
}

func TestAppendRenameRemoveNames(t *testing.T) {
	d, e := openDir(t), openDir(t)
	for _, name := range []string{"b", "a"} {
		f, err := d.Create(name, 0o600)
		must(t, err)
		must(t, f.Commit())
	}
	w, err := d.Append("a")
	must(t, err)
	for _, s := range []string{"one", "two"} {
		_, err = w.Write([]byte(s))
		must(t, err)
	}
	must(t, w.Sync())
	must(t, w.Close())
	for range 2 { // Names starts anew each time
		if names, err := d.Names(); err != nil || !slices.Equal(names, []string{"a", "b"}) {
			t.Errorf("names %q, %v", names, err)
		}
	}
	must(t, d.Rename("a", e, "c"))
	must(t, d.Remove("b"))
	must(t, errors.Join(d.Sync(), e.Sync()))
	if names, err := d.Names(); err != nil || len(names) != 0 {
		t.Errorf("names %q, %v", names, err)
	}
	if b, _ := os.ReadFile(filepath.Join(e.path, "c")); string(b) != "onetwo" {
		t.Errorf("content %q", b)
	}
}

func TestCommitOfRemovedFile(t *testing.T) {
	d := openDir(t)
	f, err := d.Create("a", 0o600)
	must(t, err)
	must(t, d.Remove("a"))
	if err := f.Commit(); !errors.Is(err, ErrGone) {
		t.Errorf("commit: %v", err)
	}
}

// work does each step once.
func work(d, e *Dir) error {
	f, err := d.Create("a", 0o600)
	if err != nil {
		return err
	}
	if _, err = f.Write([]byte("12345678")); err != nil {
		f.Close()
		return err
	}
	if err := f.Commit(); err != nil {
		return err
	}
	if f, err = d.Append("a"); err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	if _, err := d.Names(); err != nil {
		return err
	}
	if err := d.Rename("a", e, "b"); err != nil {
		return err
	}
	return e.Remove("b")
}

func TestEveryStepIsChecked(t *testing.T) {
	for step := StepOpen; int(step) <= Steps; step++ {
		t.Run(step.String(), func(t *testing.T) {
			boom := errors.New("boom")
			before := countFDs(t)
			armed := false
			fault := WithFault(func(s Step, name string) error {
				if armed && s == step {
					return boom
				}
				return nil
			})
			d := openDir(t, fault)
			e := openDir(t, fault)
			must(t, work(d, e))
			armed = true
			if err := work(d, e); !errors.Is(err, boom) {
				t.Errorf("error %v", err)
			}
			armed = false
			must(t, errors.Join(d.Close(), e.Close()))
			if n := countFDs(t); n != before {
				t.Errorf("%d descriptors before, %d after", before, n)
			}
		})
	}
}

func TestFailedWriteLeavesHalf(t *testing.T) {
	full := false
	d := openDir(t, WithFault(func(s Step, _ string) error {
		if full && s == StepWrite {
			return unix.ENOSPC
		}
		return nil
	}))
	f, err := d.Create("a", 0o600)
	must(t, err)
	defer f.Close()
	full = true
	if n, err := f.Write([]byte("12345678")); n != 4 || !errors.Is(err, unix.ENOSPC) {
		t.Errorf("wrote %d, %v", n, err)
	}
	if _, err := f.WriteAt([]byte("abcd"), 0); !errors.Is(err, unix.ENOSPC) {
		t.Error(err)
	}
	if b, _ := os.ReadFile(f.File().Name()); string(b) != "ab34" {
		t.Errorf("content %q", b)
	}
}

func TestErrorsNameStepAndFile(t *testing.T) {
	d := openDir(t)
	_, err := d.Open("none")
	if want := "open " + d.path + "/none: no such file or directory"; err == nil || err.Error() != want {
		t.Errorf("error %v, want %s", err, want)
	}
	if !errors.Is(err, os.ErrNotExist) {
		t.Error("the cause is hidden")
	}
	if _, err := OpenDir(d.path + "/none"); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
	must(t, os.WriteFile(filepath.Join(d.path, "file"), nil, 0o600))
	if _, err := OpenDir(d.path + "/file"); !errors.Is(err, unix.ENOTDIR) {
		t.Error(err)
	}
}

func countFDs(t *testing.T) int {
	t.Helper()
	n := 0
	for fd := range 256 {
		if _, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err == nil {
			n++
		}
	}
	return n
}
