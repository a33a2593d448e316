package entry

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"dma/common/conf"
	"dma/common/forward"
	"dma/proto"
)

// file has every kind of entry.
const file = "|touch ran\nbob\n~/box\n|touch other\n~/dir/\n:include:/x\n!\n"

func newAccount(t *testing.T) Account {
	t.Helper()
	a := Account{Login: "alice", UID: uint32(os.Getuid()), Home: t.TempDir(), Shell: "/bin/sh", Shells: filepath.Join(t.TempDir(), "shells")}
	write(t, a.Shells, "/bin/sh\n")
	if err := os.Chmod(a.Home, 0o755); err != nil {
		t.Fatal(err)
	}
	write(t, a.Home+"/.forward", file)
	return a
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func config(t *testing.T, text string) *conf.Config {
	t.Helper()
	c, _, err := conf.Parse(strings.NewReader(text), "dma.conf")
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// deliver asks for an entry of the text of a file.
func deliver(t *testing.T, a Account, text string, index int) *proto.Deliver {
	t.Helper()
	entries, err := forward.Parse([]byte(text), a.Login, a.Home)
	if err != nil || index >= len(entries) {
		t.Fatalf("parse %q: %d entries, %v", text, len(entries), err)
	}
	return &proto.Deliver{
		Kind:  proto.TargetCommand,
		Token: proto.Token{Index: uint16(index), File: forward.FileHash([]byte(text)), Entry: forward.EntryHash(entries[index])},
	}
}

func TestFind(t *testing.T) {
	a := newAccount(t)
	for index, want := range map[int]forward.Entry{
		0: {Kind: forward.Command, Command: "touch ran"},
		2: {Kind: forward.File, Path: a.Home + "/box"},
		3: {Kind: forward.Command, Command: "touch other"},
		4: {Kind: forward.Maildir, Path: a.Home + "/dir/"},
	} {
		d := deliver(t, a, file, index)
		if want.Kind != forward.Command {
			d.Kind = proto.TargetFile
		}
		e, err := a.Find(config(t, ""), d)
		if e.Kind != want.Kind || e.Command != want.Command || e.Path != want.Path || err != nil {
			t.Errorf("entry %d: %+v, %v", index, e, err)
		}
	}
}

// TestToken: nothing is found unless the file has the very entry at the very place.
func TestToken(t *testing.T) {
	tests := []struct {
		name   string
		change func(t *testing.T, a Account, d *proto.Deliver)
	}{
		{"other file hash", func(_ *testing.T, _ Account, d *proto.Deliver) { d.Token.File[31]++ }},
		{"other entry hash", func(_ *testing.T, _ Account, d *proto.Deliver) { d.Token.Entry[0]++ }},
		{"no hashes", func(_ *testing.T, _ Account, d *proto.Deliver) { d.Token = proto.Token{} }},
		{"other index", func(_ *testing.T, _ Account, d *proto.Deliver) { d.Token.Index = 3 }},
		{"index too large", func(_ *testing.T, _ Account, d *proto.Deliver) { d.Token.Index = 7 }},
		{"largest index", func(_ *testing.T, _ Account, d *proto.Deliver) { d.Token.Index = 65535 }},
		{"other kind", func(_ *testing.T, _ Account, d *proto.Deliver) { d.Kind = proto.TargetFile }},
		{"a file as a command", func(t *testing.T, a Account, d *proto.Deliver) { *d = *deliver(t, a, file, 2) }},
		{"an address", func(t *testing.T, a Account, d *proto.Deliver) { *d = *deliver(t, a, file, 1) }},
		{"a list", func(t *testing.T, a Account, d *proto.Deliver) { *d = *deliver(t, a, file, 5) }},
		{"a mailbox, of no kind", func(t *testing.T, a Account, d *proto.Deliver) { *d = *deliver(t, a, file, 6); d.Kind = 0 }},
		{"command of another file", func(t *testing.T, a Account, d *proto.Deliver) {
			d.Token.Entry = deliver(t, a, "|touch foreign\n", 0).Token.Entry
		}},
		{"file changed", func(t *testing.T, a Account, _ *proto.Deliver) { write(t, a.Home+"/.forward", file+"\n") }},
		{"file of the extension", func(t *testing.T, a Account, d *proto.Deliver) {
			write(t, a.Home+"/.forward+x", "|touch x\n")
			d.Extension = "X"
		}},
		{"file gone", func(t *testing.T, a Account, _ *proto.Deliver) {
			if err := os.Remove(a.Home + "/.forward"); err != nil {
				t.Fatal(err)
			}
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a := newAccount(t)
			d := deliver(t, a, file, 0)
			tt.change(t, a, d)
			if e, err := a.Find(config(t, ""), d); !errors.Is(err, ErrStale) {
				t.Errorf("got %+v, %v", e, err)
			}
		})
	}
}

func TestOtherFiles(t *testing.T) {
	a := newAccount(t)
	write(t, a.Home+"/.way", "|touch way\n")
	write(t, a.Home+"/.way+lists", "|touch lists\n")
	for _, tt := range []struct{ conf, extension, text, want string }{
		{"FORWARD .way", "", "|touch way\n", "touch way"},
		{"FORWARD .way", "Lists", "|touch lists\n", "touch lists"},
		{"FORWARD .way", "other", "|touch way\n", "touch way"},
		{"FORWARD .way", "", file, ""},
		{"FORWARD off", "", file, ""},
		{"", "lists", file, "touch ran"},
	} {
		d := deliver(t, a, tt.text, 0)
		d.Extension = tt.extension
		e, err := a.Find(config(t, tt.conf), d)
		if tt.want == "" && !errors.Is(err, ErrStale) || tt.want != "" && (err != nil || e.Command != tt.want) {
			t.Errorf("%q, %q: %+v, %v; want %q", tt.conf, tt.extension, e, err, tt.want)
		}
	}
}

// TestNotSafe: what dma-forward would not have answered is not done either.
func TestNotSafe(t *testing.T) {
	a := newAccount(t)
	d := deliver(t, a, file, 0)
	a.Shell = "/usr/sbin/nologin"
	if e, err := a.Find(config(t, ""), d); err == nil || !strings.Contains(err.Error(), "does not list /usr/sbin/nologin") {
		t.Errorf("shell: %+v, %v", e, err)
	}
	if _, err := a.Find(config(t, "ANYSHELL"), d); err != nil {
		t.Errorf("ANYSHELL: %v", err)
	}
	a.Shell = ""
	if err := os.Chmod(a.Home+"/.forward", 0o620); err != nil {
		t.Fatal(err)
	}
	if e, err := a.Find(config(t, ""), d); err == nil || errors.Is(err, ErrStale) {
		t.Errorf("unsafe file: %+v, %v", e, err)
	}
}
