package main

import (
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

func TestPrepare(t *testing.T) {
	uid, gid := os.Getuid(), os.Getgid()
	write := func(t *testing.T, path string, perm os.FileMode) {
		t.Helper()
		if err := os.WriteFile(path, []byte("old mail\n"), perm); err != nil {
			t.Fatal(err)
		}
	}
	tests := map[string]struct {
		make func(t *testing.T, dir string)
		uid  int
		ok   bool
	}{
		"missing":     {func(*testing.T, string) {}, uid, true},
		"owner only":  {func(t *testing.T, dir string) { write(t, dir+"/root", 0o600) }, uid, true},
		"as it ought": {func(t *testing.T, dir string) { write(t, dir+"/root", 0o660) }, uid, true},
		"other owner": {func(t *testing.T, dir string) { write(t, dir+"/root", 0o600) }, uid + 1, false},
		"link": {func(t *testing.T, dir string) {
			write(t, dir+"/secret", 0o600)
			if err := os.Symlink("secret", dir+"/root"); err != nil {
				t.Fatal(err)
			}
		}, uid, false},
		"dangling link": {func(t *testing.T, dir string) {
			if err := os.Symlink("secret", dir+"/root"); err != nil {
				t.Fatal(err)
			}
		}, uid, false},
		"second name": {func(t *testing.T, dir string) {
			write(t, dir+"/secret", 0o600)
			if err := os.Link(dir+"/secret", dir+"/root"); err != nil {
				t.Fatal(err)
			}
		}, uid, false},
		"FIFO": {func(t *testing.T, dir string) {
			if err := unix.Mkfifo(dir+"/root", 0o600); err != nil {
				t.Fatal(err)
			}
		}, uid, false},
		"directory": {func(t *testing.T, dir string) {
			if err := os.Mkdir(dir+"/root", 0o700); err != nil {
				t.Fatal(err)
			}
		}, uid, false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			tt.make(t, dir)
			err := prepare(dir, tt.uid, gid)
			if (err == nil) != tt.ok {
				t.Fatalf("error %v", err)
			}
			if tt.ok {
				st, err := os.Lstat(filepath.Join(dir, "root"))
				if err != nil {
					t.Fatal(err)
				}
				if st.Mode() != mode {
					t.Errorf("mode %v", st.Mode())
				}
			}
			if st, err := os.Lstat(dir + "/secret"); err == nil && st.Mode() != 0o600 {
				t.Errorf("a file behind a link now has mode %v", st.Mode())
			}
		})
	}
}
