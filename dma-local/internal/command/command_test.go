package command

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"dma/common/forward"
	"dma/common/outcome"
	"dma/dma-local/internal/letter"
	"dma/proto"

	"pgregory.net/rapid"
)

var noon = time.Date(2026, 3, 4, 12, 5, 6, 0, time.UTC)

// newRunner is a runner for this process's user, with a home and a .forward file.
func newRunner(t *testing.T, file string) *Runner {
	t.Helper()
	r := &Runner{
		Login: "alice", UID: uint32(os.Geteuid()), Home: t.TempDir(), Shell: "/bin/csh",
		Timeout: time.Minute, KillAfter: time.Minute, StopAfter: time.Minute, OutputWait: 200 * time.Millisecond,
		Now: func() time.Time { return noon },
	}
	writeForward(t, r, file)
	return r
}

func writeForward(t *testing.T, r *Runner, file string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(r.Home, ".forward"), []byte(file), 0o600); err != nil {
		t.Fatal(err)
	}
}

// token names an entry of the text of a .forward file.
func token(t *testing.T, r *Runner, file string, index int) proto.Token {
	t.Helper()
	entries, err := forward.Parse([]byte(file), r.Login, r.Home)
	if err != nil || index >= len(entries) {
		t.Fatalf("parse %q: %d entries, %v", file, len(entries), err)
	}
	return proto.Token{Index: uint16(index), File: forward.FileHash([]byte(file)), Entry: forward.EntryHash(entries[index])}
}

const text = "Subject: x\n\nFrom here\n"

func letterOf(text string) letter.Letter {
	return letter.Letter{Sender: "s@x", DeliveredTo: []string{"alice@h"}, Text: strings.NewReader(text), Size: int64(len(text))}
}

func want(t *testing.T, got proto.Result, class outcome.Class, scope proto.Scope, code, text string) {
	t.Helper()
	if got.Outcome.Class != class || got.Scope != scope || got.Outcome.Code != code || !strings.Contains(got.Outcome.Text, text) {
		t.Errorf("got %v, scope %d; want %v %s with %q, scope %d", got.Outcome, got.Scope, class, code, text, scope)
	}
	if !got.Outcome.Valid() {
		t.Errorf("invalid outcome %v", got.Outcome)
	}
}

func readHome(t *testing.T, r *Runner, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(r.Home, name))
	if err != nil {
		t.Error(err)
	}
	return string(b)
}

func TestDeliver(t *testing.T) {
	const file = "bob@example.com\n\"|cat > letter; pwd > where; env > env; umask > umask\"\n"
	r := newRunner(t, file)
	t.Setenv("SECRET", "1")
	d := &proto.Deliver{Token: token(t, r, file, 1), Sender: "s@x", Recipient: "alice@h", Original: "alice+list@h"}
	want(t, r.Deliver(context.Background(), d, letterOf(text)), outcome.Done, proto.ScopeTarget, "2.0.0", "delivered to command")
	if got, want := readHome(t, r, "letter"), "From s@x  Wed Mar  4 12:05:06 2026\nReturn-Path: <s@x>\nDelivered-To: alice@h\n"+text; got != want {
		t.Errorf("command read %q, want %q", got, want)
	}
	home, err := filepath.EvalSymlinks(r.Home)
	if err != nil || readHome(t, r, "where") != home+"\n" {
		t.Errorf("command ran in %q, not in %q", readHome(t, r, "where"), home)
	}
	shellOwn := map[string]bool{"PWD": true, "OLDPWD": true, "SHLVL": true, "_": true}
	names := map[string]bool{}
	for line := range strings.Lines(readHome(t, r, "env")) {
		name, _, _ := strings.Cut(line, "=")
		if !shellOwn[name] {
			names[name] = true
		}
	}
	for _, name := range strings.Fields("PATH HOME LOGNAME USER SHELL SENDER RECIPIENT ORIGINAL_RECIPIENT EXTENSION LOCAL DOMAIN") {
		if !names[name] {
			t.Errorf("%s is missing in the environment", name)
		}
		delete(names, name)
	}
	if len(names) > 0 {
		t.Errorf("too much in the environment: %v", names)
	}
}

func TestEnvironment(t *testing.T) {
	const fixed = "PATH=/usr/local/bin:/usr/bin:/bin HOME=/home/al ice LOGNAME=alice USER=alice "
	tests := []struct {
		name, shell string
		deliver     proto.Deliver
		want        string
	}{
		{
			"plain", "/bin/csh",
			proto.Deliver{Sender: "s@x", Recipient: "alice@h", Original: "root@h"},
			"SHELL=/bin/csh SENDER=s@x RECIPIENT=alice@h ORIGINAL_RECIPIENT=root@h EXTENSION= LOCAL=alice DOMAIN=h",
		},
		{
			"null sender, no domain, no shell", "",
			proto.Deliver{Recipient: "alice", Original: "alice"},
			"SHELL=/bin/sh SENDER= RECIPIENT=alice ORIGINAL_RECIPIENT=alice EXTENSION= LOCAL=alice DOMAIN=",
		},
		{
			"extension", "/bin/sh",
			proto.Deliver{Sender: "s@x", Recipient: "alice@h", Original: "Alice+A+b/../c@h"},
			"SHELL=/bin/sh SENDER=s@x RECIPIENT=alice@h ORIGINAL_RECIPIENT=Alice+A+b/../c@h EXTENSION=a+b/../c LOCAL=alice DOMAIN=h",
		},
		{
			"extension of another", "/bin/sh",
			proto.Deliver{Recipient: "alice@h", Original: "bob+x@h"},
			"SHELL=/bin/sh SENDER= RECIPIENT=alice@h ORIGINAL_RECIPIENT=bob+x@h EXTENSION= LOCAL=alice DOMAIN=h",
		},
		{
			"hostile", "/bin/sh",
			proto.Deliver{Sender: "$(id)`id`;|&<>'\"\\*?~#!{}[]^ @x", Recipient: `"a@b c"@h`, Original: "\u00fc@h"},
			"SHELL=/bin/sh SENDER=__id__id____________________@x RECIPIENT=_a@b_c_@h ORIGINAL_RECIPIENT=__@h EXTENSION= LOCAL=_a@b_c_ DOMAIN=h",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := &Runner{Login: "alice", Home: "/home/al ice", Shell: tt.shell}
			if got := strings.Join(r.environment(&tt.deliver), " "); got != fixed+tt.want {
				t.Errorf("got  %s\nwant %s", got, fixed+tt.want)
			}
		})
	}
}

func TestCleanProperty(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := rapid.String().Draw(t, "s")
		got := clean(s)
		if len(got) != len(s) || strings.Trim(got, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789@%_=+:,./-") != "" {
			t.Fatalf("clean(%q) is %q", s, got)
		}
	})
}

// nothingRan makes sure that no command left a file in the home directory.
func nothingRan(t *testing.T, r *Runner) {
	t.Helper()
	if names, err := filepath.Glob(filepath.Join(r.Home, "[^.]*")); err != nil || len(names) > 0 {
		t.Errorf("a command ran: %q, %v", names, err)
	}
}

// TestToken: nothing runs unless the file has the very entry at the very place.
func TestToken(t *testing.T) {
	const file = "|touch ran\nbob\n|touch other\n"
	tests := []struct {
		name   string
		change func(t *testing.T, r *Runner, token *proto.Token)
	}{
		{"other file hash", func(_ *testing.T, _ *Runner, token *proto.Token) { token.File[31]++ }},
		{"other entry hash", func(_ *testing.T, _ *Runner, token *proto.Token) { token.Entry[0]++ }},
		{"no hashes", func(_ *testing.T, _ *Runner, token *proto.Token) { *token = proto.Token{} }},
		{"other index", func(_ *testing.T, _ *Runner, token *proto.Token) { token.Index = 2 }},
		{"index too large", func(_ *testing.T, _ *Runner, token *proto.Token) { token.Index = 3 }},
		{"largest index", func(_ *testing.T, _ *Runner, token *proto.Token) { token.Index = 65535 }},
		{"entry is an address", func(t *testing.T, r *Runner, to *proto.Token) { *to = token(t, r, file, 1) }},
		{"command of another file", func(t *testing.T, r *Runner, to *proto.Token) {
			to.Entry = token(t, r, "|touch foreign\n", 0).Entry
		}},
		{"file changed", func(t *testing.T, r *Runner, _ *proto.Token) { writeForward(t, r, file+"\n") }},
		{"file gone", func(t *testing.T, r *Runner, _ *proto.Token) {
			if err := os.Remove(filepath.Join(r.Home, ".forward")); err != nil {
				t.Fatal(err)
			}
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := newRunner(t, file)
			d := &proto.Deliver{Token: token(t, r, file, 0)}
			tt.change(t, r, &d.Token)
			want(t, r.Deliver(context.Background(), d, letterOf(text)), outcome.Later, proto.ScopeStale, "4.3.0", "changed in between")
			nothingRan(t, r)
		})
	}
}

func TestUnsafeFile(t *testing.T) {
	const file = "|touch ran\n"
	r := newRunner(t, file)
	if err := os.Chmod(filepath.Join(r.Home, ".forward"), 0o620); err != nil {
		t.Fatal(err)
	}
	d := &proto.Deliver{Token: token(t, r, file, 0)}
	want(t, r.Deliver(context.Background(), d, letterOf(text)), outcome.Later, proto.ScopeTarget, "4.3.0", ".forward")
	nothingRan(t, r)
}
