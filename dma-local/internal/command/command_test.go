package command

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"dma/common/outcome"
	"dma/dma-local/internal/letter"
	"dma/proto"

	"pgregory.net/rapid"
)

var noon = time.Date(2026, 3, 4, 12, 5, 6, 0, time.UTC)

// newRunner is a runner for this process's user, with a home of its own.
func newRunner(t *testing.T) *Runner {
	t.Helper()
	return &Runner{
		Login: "alice", Home: t.TempDir(), Shell: "/bin/csh",
		Timeout: time.Minute, KillAfter: time.Minute, StopAfter: time.Minute, OutputWait: 200 * time.Millisecond,
		Now: func() time.Time { return noon },
	}
}

// shell is a program that is a command of the user's.
func (r *Runner) shell(command string) program {
	return program{"command", []string{"/bin/sh", "-c", command}, r.Home}
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
	const command = "cat > letter; pwd > where; env > env; umask > umask"
	r := newRunner(t)
	t.Setenv("SECRET", "1")
	d := &proto.Deliver{Sender: "s@x", Recipient: "alice@h", Original: "alice+list@h", Extension: "list"}
	want(t, r.Command(context.Background(), command, d, letterOf(text)), outcome.Done, proto.ScopeTarget, "2.0.0", "delivered to command")
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
			proto.Deliver{Sender: "s@x", Recipient: "alice@h", Original: "Alice+A+b@h", Extension: "A+b$"},
			"SHELL=/bin/sh SENDER=s@x RECIPIENT=alice@h ORIGINAL_RECIPIENT=Alice+A+b@h EXTENSION=a+b_ LOCAL=alice DOMAIN=h",
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

// TestOptions: no command is an option of the shell's.
func TestOptions(t *testing.T) {
	for _, command := range []string{"-c", "+x", "--", "-"} {
		r := newRunner(t)
		want(t, r.Command(context.Background(), command, deliverToAlice(), letterOf(text)), outcome.Later, proto.ScopeTarget, "4.3.0", "command exited with status 127: ")
	}
}

// script makes a program that writes what it got, and exits with a status.
func script(t *testing.T, r *Runner, exit string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "mda")
	text := "#!/bin/sh\nfor a; do echo \"<$a>\"; done > " + r.Home + "/args\npwd > " + r.Home + "/where\ncat > " + r.Home + "/letter\necho \"$SENDER\" > " + r.Home + "/env\n" + exit + "\n"
	if err := os.WriteFile(path, []byte(text), 0o700); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestProgram(t *testing.T) {
	r := newRunner(t)
	path := script(t, r, "")
	words := []string{path, "-d", "%u", "-f%s", "%s", "%r", "%h/x", "*", "$HOME", "%%u"}
	d := &proto.Deliver{Sender: "-o`id` x@y", Recipient: "alice@h", Original: "alice@h"}
	l := letterOf(text)
	want(t, r.Program(context.Background(), words, d, l), outcome.Done, proto.ScopeTarget, "2.0.0", "delivered to "+path)
	if got, want := readHome(t, r, "args"), "<-d>\n<alice>\n<-f_o_id__x@y>\n<_o_id__x@y>\n<alice@h>\n<"+r.Home+"/x>\n<*>\n<$HOME>\n<%u>\n"; got != want {
		t.Errorf("arguments %q, want %q", got, want)
	}
	if got, want := readHome(t, r, "letter"), "From s@x  Wed Mar  4 12:05:06 2026\nReturn-Path: <s@x>\nDelivered-To: alice@h\n"+text; got != want {
		t.Errorf("program read %q, want %q", got, want)
	}
	if got := readHome(t, r, "env"); got != "-o_id__x@y\n" {
		t.Errorf("SENDER is %q", got)
	}
	home, err := filepath.EvalSymlinks(r.Home)
	if err != nil || readHome(t, r, "where") != home+"\n" {
		t.Errorf("program ran in %q, %v", readHome(t, r, "where"), err)
	}

	path = script(t, r, "echo no such list; exit 67")
	want(t, r.Program(context.Background(), []string{path}, d, l), outcome.Failed, proto.ScopeTarget, "5.1.1", path+" exited with status 67: no such list")
	path = script(t, r, "kill -9 $$")
	want(t, r.Program(context.Background(), []string{path}, d, l), outcome.Later, proto.ScopeTarget, "4.3.0", path+" was killed by signal 9")
	want(t, r.Program(context.Background(), []string{"/no/such/mda"}, d, l), outcome.Later, proto.ScopeTarget, "4.3.0", "run /no/such/mda: start in "+r.Home)

	files := r.Home
	path = script(t, r, "")
	r.Home = "/nonexistent"
	want(t, r.Program(context.Background(), []string{path}, d, l), outcome.Done, proto.ScopeTarget, "2.0.0", "")
	r.Home = files
	if got := readHome(t, r, "where"); got != "/\n" {
		t.Errorf("without a home the program ran in %q", got)
	}
}
