package aliases

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestLoad(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "aliases")
	if table, err := Load(path); err != nil || find(table, "a") != "" {
		t.Errorf("missing file: %v", err)
	}
	write(t, path, "")
	if table, err := Load(path); err != nil || find(table, "a") != "" {
		t.Errorf("empty file: %v", err)
	}
	write(t, path, "a: b\nc\n")
	table, err := Load(path)
	if err != nil || find(table, "a") != "b" {
		t.Fatalf("%v", err)
	}
	table.Warn = func(w Warning) {
		if w.File != path || w.Line != 2 {
			t.Error(w)
		}
	}
	find(table, "c")
	if _, err := Load("/dev/null"); err != nil {
		t.Error(err)
	}
}

// What is not a file that could be read to its end says nothing about any name.
func TestLoadError(t *testing.T) {
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	if err := errors.Join(
		unix.Mkfifo(at("fifo"), 0o600), os.Symlink("nothing", at("link")), os.Mkdir(at("dir"), 0o700),
		os.WriteFile(at("large"), nil, 0o600), os.Truncate(at("large"), MaxFile+1),
	); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"fifo":         "not a regular file",
		"dir":          "not a regular file",
		"link":         "a symbolic link to nothing",
		"large":        "too big",
		"none/aliases": "no such file",
		"large/a":      "not a directory",
	} {
		if table, err := Load(at(name)); table != nil || err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), at(name)[:len(dir)]) {
			t.Errorf("%s: %v, %v; want %s", name, table, err, want)
		}
		if r, err := Check(at(name), false); r != nil || err == nil {
			t.Errorf("Check %s: %v, %v", name, r, err)
		}
	}
}

func TestLoadThroughLink(t *testing.T) {
	dir := t.TempDir()
	write(t, dir+"/file", "a: b\n")
	if err := os.Symlink("file", dir+"/aliases"); err != nil {
		t.Fatal(err)
	}
	if table, err := Load(dir + "/aliases"); err != nil || find(table, "a") != "b" {
		t.Error(err)
	}
}

// edited is a file that somebody writes while it is read.
type edited struct {
	*os.File
	edits []func()
	fail  error
}

func (e *edited) ReadAt(p []byte, off int64) (int, error) {
	if e.fail != nil {
		return 0, e.fail
	}
	n, err := e.File.ReadAt(p, off)
	if len(e.edits) > 0 {
		e.edits[0]()
		e.edits = e.edits[1:]
	}
	return n, err
}

func TestEditedWhileRead(t *testing.T) {
	const old, fresh = "a: b\nc: d\n", "a: b\nc: e\nf: g\n"
	path := filepath.Join(t.TempDir(), "aliases")
	put := func(text string) func() {
		return func() { write(t, path, text) }
	}
	for name, c := range map[string]struct {
		edits []func()
		fail  error
		want  string
		err   error
	}{
		"not":              {want: old},
		"longer":           {edits: []func(){put(fresh)}, want: fresh},
		"cut, then longer": {edits: []func(){put(""), put(fresh)}, want: fresh},
		"cut":              {edits: []func(){put("a")}, want: "a"},
		"on and on":        {edits: []func(){put("a"), put(old), put(fresh)}, err: errChanging},
		"read error":       {fail: unix.EIO, err: unix.EIO},
		"same size": {edits: []func(){func() {
			put(strings.ToUpper(old))()
			if err := os.Chtimes(path, unixTime(1), unixTime(1)); err != nil {
				t.Error(err)
			}
		}}, want: strings.ToUpper(old)},
	} {
		t.Run(name, func(t *testing.T) {
			write(t, path, old)
			f, err := os.Open(path)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			text, err := readWhole(&edited{f, c.edits, c.fail}, MaxFile)
			if string(text) != c.want || !errors.Is(err, c.err) {
				t.Errorf("%q, %v; want %q, %v", text, err, c.want, c.err)
			}
		})
	}
}

// Root, as whom tests may run, is refused no file.
func TestAdvise(t *testing.T) {
	err := &fs.PathError{Op: "open", Path: "/x", Err: unix.EACCES}
	if got := advise(err); !errors.Is(got, err) || !strings.Contains(got.Error(), "the accounts of the mail system must be able to read it: chmod a+r") {
		t.Error(got)
	}
	if got := advise(errChanging); !errors.Is(got, errChanging) || got.Error() != errChanging.Error() {
		t.Error(got)
	}
}
