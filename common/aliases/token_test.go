package aliases

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Tokens are the commands and files that the targets of the aliases have, in every file.
func FuzzTokens(f *testing.F) {
	for _, c := range files() {
		f.Add(c.text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		want := make(map[Target]int)
		for _, targets := range readAll(text) {
			for _, target := range targets {
				if target.ByToken() {
					want[target]++
				}
			}
		}
		for target := range Parse([]byte(text), "F").Tokens() {
			want[target]--
		}
		for target, n := range want {
			if n != 0 {
				t.Fatalf("%+v: %d times too few", target, n)
			}
		}
	})
}

// Nobody but root may have a part in what is run (RULES C10).
func TestCheckRoots(t *testing.T) {
	owner := uint32(os.Geteuid())
	for name, c := range map[string]struct {
		make func(dir, path string) error
		want string
	}{
		"good":                    {func(string, string) error { return nil }, ""},
		"readable by others":      {func(_, path string) error { return os.Chmod(path, 0o644) }, ""},
		"file of the group":       {func(_, path string) error { return os.Chmod(path, 0o620) }, "chmod go-w "},
		"file of others":          {func(_, path string) error { return os.Chmod(path, 0o602) }, "chmod go-w "},
		"directory of the group":  {func(dir, _ string) error { return os.Chmod(dir, 0o775) }, "others may write into the directory "},
		"directory of others":     {func(dir, _ string) error { return os.Chmod(dir, 0o707) }, "others may write into the directory "},
		"directory that is tmp":   {func(dir, _ string) error { return os.Chmod(dir, 0o777|os.ModeSticky) }, ""},
		"directory above":         {func(dir, _ string) error { return os.Chmod(filepath.Dir(dir), 0o777) }, "others may write into the directory "},
		"link to a good one":      {func(_, path string) error { return link(path, 0o755) }, ""},
		"link to others' own dir": {func(_, path string) error { return link(path, 0o777) }, "others may write into the directory "},
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "up", "etc")
			if err := os.MkdirAll(dir, 0o755); err != nil {
				t.Fatal(err)
			}
			path := filepath.Join(dir, "aliases")
			write(t, path, "a: |b\n")
			if err := c.make(dir, path); err != nil {
				t.Fatal(err)
			}
			f, err := os.Open(path)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			err = checkRoots(f, path, owner)
			if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v; want %q", err, c.want)
			}
			if owner != 0 {
				err = checkRoots(f, path, 0)
			} else {
				err = errors.Join(os.Chown(path, 64103, -1), checkRoots(f, path, 0))
			}
			if err == nil || !strings.Contains(err.Error(), "who is not root") && c.want == "" {
				t.Errorf("another's file: %v", err)
			}
		})
	}
}

// link puts the file into a directory with this mode, and a link in its place.
func link(path string, mode os.FileMode) error {
	other := filepath.Dir(path) + "/other"
	return errors.Join(os.Mkdir(other, 0o700), os.Chmod(other, mode), os.Rename(path, other+"/aliases"), os.Symlink("other/aliases", path))
}

// A file that others may write is an alias file all the same, but for its commands.
func TestUnsafe(t *testing.T) {
	path := filepath.Join(t.TempDir(), "aliases")
	write(t, path, "a: |b\n")
	if err := os.Chmod(path, 0o666); err != nil {
		t.Fatal(err)
	}
	table, err := Examine(path)
	if err != nil || table.Unsafe == nil || errors.Is(table.Unsafe, errUnexamined) {
		t.Fatalf("%+v, %v", table, err)
	}
}

// What nobody has looked at is safe for nobody.
func TestUnexamined(t *testing.T) {
	path := filepath.Join(t.TempDir(), "aliases")
	write(t, path, "a: |b\n")
	table, err := Load(path)
	if err != nil || !errors.Is(table.Unsafe, errUnexamined) {
		t.Fatalf("%+v, %v", table, err)
	}
}
