package maildir

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"dma/common/outcome"
	"dma/dma-local/internal/letter"
	"dma/proto"
)

func letterOf(text string) letter.Letter {
	return letter.Letter{Sender: "a@b.example", DeliveredTo: []string{"alice@h"}, Text: strings.NewReader(text), Size: int64(len(text))}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// in is what a file in new starts with.
const in = "Return-Path: <a@b.example>\nDelivered-To: alice@h\n"

func newMaildir(base, path string) *Maildir {
	return &Maildir{Base: base, Path: path, UID: uint32(os.Getuid()), Host: "h/x:y.example", Now: time.Now}
}

// found are the contents of all files in new, in the order of their names, and
// nothing else may be there.
func found(t *testing.T, path string) []string {
	t.Helper()
	for _, dir := range []string{"cur", "tmp"} {
		if names, err := os.ReadDir(filepath.Join(path, dir)); err != nil || len(names) != 0 {
			t.Errorf("%s has %v, %v", dir, names, err)
		}
	}
	entries, err := os.ReadDir(filepath.Join(path, "new"))
	must(t, err)
	var texts []string
	for _, e := range entries {
		text, err := os.ReadFile(filepath.Join(path, "new", e.Name()))
		must(t, err)
		if st, err := e.Info(); err != nil || st.Mode() != 0o600 {
			t.Errorf("%s: %v, %v", e.Name(), st, err)
		}
		texts = append(texts, string(text))
	}
	return texts
}

func TestDeliver(t *testing.T) {
	tests := []struct {
		name, base, path string // % is a directory that is there
		there            string // what else is
	}{
		{"own", "", "%/Maildir/", ""},
		{"own, there", "", "%/Maildir/", "%/Maildir/new"},
		{"own, deeper", "", "%/Mail/lists/dma/", ""},
		{"own, through a link", "", "%/link/x/", "%/real"},
		{"shared", "%/", "alice/", ""},
		{"shared, there", "%/", "alice/", "%/alice/tmp"},
		{"shared, deeper", "%/", "alice/Maildir/", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			must(t, os.Symlink("real", dir+"/link"))
			expand := func(s string) string { return strings.ReplaceAll(s, "%", dir) }
			if tt.there != "" {
				must(t, os.MkdirAll(expand(tt.there), 0o700))
			}
			m := newMaildir(expand(tt.base), expand(tt.path))
			cut := letterOf("\n2\n")
			cut.Size++
			for i, r := range m.Deliver(context.Background(), []letter.Letter{letterOf("From x\r\n\nFrom 1"), cut, letterOf("\n3\n")}) {
				if r.Scope != proto.ScopeTarget || (i == 1) != (r.Outcome.Class == outcome.Later) || (i != 1) != (r.Outcome == outcome.Success("delivered to maildir")) {
					t.Errorf("letter %d: %+v", i, r)
				}
			}
			got := found(t, m.path())
			if want := []string{in + "From x\n\nFrom 1", in + "\n3\n"}; fmt.Sprint(got) != fmt.Sprint(want) {
				t.Errorf("got %q, want %q", got, want)
			}
			for _, d := range []string{"", "new", "tmp", "cur"} {
				if st, err := os.Stat(filepath.Join(m.path(), d)); err != nil || tt.there == "" && st.Mode() != os.ModeDir|0o700 {
					t.Errorf("%s: %v, %v", d, st, err)
				}
			}
		})
	}
}

// TestUnsafe: behind the directories that the administrator has chosen no link is
// followed, and nobody else's directory is used.
func TestUnsafe(t *testing.T) {
	for name, tt := range map[string]struct {
		spoil func(dir string) error
		want  string
	}{
		"link": {func(d string) error { return os.Symlink(d+"/other", d+"/alice") }, "open directory alice: "},
		"link in the place": {func(d string) error {
			return errors.Join(os.Mkdir(d+"/alice", 0o700), os.Symlink(d+"/other", d+"/alice/new"))
		}, "open directory new: "},
		"file": {func(d string) error { return os.WriteFile(d+"/alice", nil, 0o600) }, "open directory alice: not a directory"},
		"tmp is a link": {func(d string) error {
			return errors.Join(os.Mkdir(d+"/alice", 0o700), os.Symlink("../other", d+"/alice/tmp"))
		}, "open directory tmp: "},
		"no base": {func(d string) error { return os.RemoveAll(d) }, "no such file or directory"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "vmail")
			must(t, os.MkdirAll(dir+"/other", 0o700))
			must(t, tt.spoil(dir))
			m := newMaildir(dir+"/", "alice/")
			r := m.Deliver(context.Background(), []letter.Letter{letterOf("\n")})[0]
			if r.Outcome.Class != outcome.Later || r.Scope != proto.ScopeDestination || !strings.HasPrefix(r.Outcome.Text, "maildir "+dir+"/alice/: ") || !strings.Contains(r.Outcome.Text, tt.want) {
				t.Errorf("got %+v, want %q", r, tt.want)
			}
			if names, _ := os.ReadDir(dir + "/other"); len(names) != 0 {
				t.Errorf("other directory has %v", names)
			}
		})
	}
	dir := t.TempDir()
	must(t, os.Mkdir(dir+"/alice", 0o700))
	if os.Getuid() == 0 {
		must(t, os.Chown(dir+"/alice", 64001, -1))
	}
	m := newMaildir(dir+"/", "alice/")
	m.UID = 64002
	if r := m.Deliver(context.Background(), []letter.Letter{letterOf("\n")})[0]; r.Outcome.Class != outcome.Later || !strings.Contains(r.Outcome.Text, "not to uid 64002") {
		t.Errorf("another's: %+v", r)
	}
}

func TestOwnFails(t *testing.T) {
	dir := t.TempDir()
	must(t, os.WriteFile(dir+"/file", nil, 0o600))
	must(t, os.Symlink("nowhere", dir+"/dangling"))
	for path, want := range map[string]string{"/file/": "not a directory", "/file/x/": "not a directory", "/dangling/": "open directory dangling: no such file"} {
		r := newMaildir("", dir+path).Deliver(context.Background(), []letter.Letter{letterOf("\n"), letterOf("\n")})
		for i := range r {
			if r[i].Outcome.Class != outcome.Later || !strings.Contains(r[i].Outcome.Text, want) {
				t.Errorf("%s: %+v", path, r[i])
			}
		}
	}
}

// TestNames: no two deliveries have the same name, and it has nothing in it that
// readers take apart.
func TestNames(t *testing.T) {
	dir := t.TempDir()
	at := time.Unix(1772625906, 1234000)
	var all []string
	m := newMaildir("", dir+"/")
	m.Now = func() time.Time { return at }
	for i := range 3 {
		m.Deliver(context.Background(), []letter.Letter{letterOf("\n")})
		all = append(all, fmt.Sprintf(`1772625906.M001234P%dQ%d.h\057x\072y.example`, os.Getpid(), i+1))
	}
	entries, err := os.ReadDir(dir + "/new")
	must(t, err)
	for i, e := range entries {
		if i >= len(all) || e.Name() != all[i] {
			t.Errorf("got %s, want %q", e.Name(), all)
		}
	}
	again := newMaildir("", dir+"/") // as if the process had the same number
	again.Now = m.Now
	must(t, os.WriteFile(dir+"/tmp/"+all[0], nil, 0o600))
	if r := again.Deliver(context.Background(), []letter.Letter{letterOf("\n4\n")})[0]; r.Outcome.Class != outcome.Later {
		t.Errorf("name that is taken in new: %+v", r)
	}
	if text, err := os.ReadFile(dir + "/new/" + all[1]); err != nil || string(text) != in+"\n" {
		t.Errorf("what was there is %q, %v", text, err)
	}
	if got := escape(""); got != "localhost" {
		t.Errorf("no host: %q", got)
	}
	if got := escape(strings.Repeat("x", 1000) + "/"); len(got) != maxHost {
		t.Errorf("long host: %q", got)
	}
}

func TestParallel(t *testing.T) {
	dir := t.TempDir()
	var all sync.WaitGroup
	for i := range 20 {
		m := newMaildir("", dir+"/new/box/")
		m.count = i * 1000 // processes have numbers of their own
		all.Go(func() {
			for j := range 10 {
				for _, r := range m.Deliver(context.Background(), []letter.Letter{letterOf(fmt.Sprintf("\n%d %d\n", i, j))}) {
					if r.Outcome.Class != outcome.Done {
						t.Error(r)
					}
				}
			}
		})
	}
	all.Wait()
	seen := map[string]bool{}
	for _, text := range found(t, dir+"/new/box") {
		seen[text] = true
	}
	if len(seen) != 200 {
		t.Errorf("%d different letters", len(seen))
	}
}
