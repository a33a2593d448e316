package expand

import (
	"slices"
	"strings"
	"testing"

	"dma/common/outcome"
	"dma/dma-queue/internal/queue"
	"dma/proto"
)

// RULES C6: the extension goes along to where a .forward is chosen by it.
func TestExtension(t *testing.T) {
	long := strings.Repeat("x", proto.MaxExtension)
	for to, want := range map[string]string{
		"alice":                 "",
		"alice+":                "",
		"alice+lists":           "lists",
		"alice+Lists+X@" + host: "lists+x",
		"alice+" + long:         long,
		"alice+x" + long:        "",
		"alice+a/b":             "",
		"alice+..":              "",
		"alice+a..b":            "",
		"alice+.":               ".",
	} {
		m := message(to)
		if o := resolve(expander(t, "").Begin(m)); o.Class != 0 {
			t.Errorf("%s: %+v", to, o)
		}
		if u := m.Targets[0]; u.Kind != queue.User || u.Login != "alice" || u.Extension != want {
			t.Errorf("%s: user %q with %q, want %q", to, u.Login, u.Extension, want)
		}
	}
}

// Users with and without an extension may have different files, so they are
// expanded each; what they come to is folded as far as it is the same.
func TestExtensionsAreFolded(t *testing.T) {
	command := proto.Target{Kind: proto.TargetCommand, Token: proto.Token{Entry: [32]byte{1}}}
	file := proto.Target{Kind: proto.TargetFile, Token: proto.Token{Entry: [32]byte{2}}}
	e := expander(t, "")
	m := message("alice+a", "alice", "alice+A", "alice+b")
	run := e.Begin(m)
	if o := resolve(run); o.Class != 0 {
		t.Fatal(o)
	}
	if got := show(m); got != "alice, alice, alice" {
		t.Fatalf("users %s", got)
	}
	for i := range 4 {
		if m.Targets[i].State != queue.Open {
			continue
		}
		if o := run.Forwarded(i, []proto.Target{command, file, {Kind: proto.TargetMailbox, Address: "alice"}}); o.Class != 0 {
			t.Fatal(o)
		}
	}
	var commands []string
	files, boxes := 0, 0
	for i := range m.Targets {
		switch n := &m.Targets[i]; {
		case n.State != queue.Open:
		case n.Kind == queue.Command:
			commands = append(commands, n.Extension)
		case n.Kind == queue.File && n.Token == file.Token && n.Address == "alice@"+host:
			files++
		case n.Kind == queue.Mailbox && n.Extension == "":
			boxes++
		default:
			t.Errorf("%+v", n)
		}
	}
	if !slices.Equal(commands, []string{"a", "", "b"}) || files != 1 || boxes != 1 {
		t.Errorf("commands with %q, %d files, %d mailboxes", commands, files, boxes)
	}
}

// An alias that names the mailbox of user+extension means the user's.
func TestExtensionOfMailbox(t *testing.T) {
	m := message("a")
	if o := resolve(expander(t, "a: \\alice+x\n").Begin(m)); o != (outcome.Outcome{}) {
		t.Fatal(o)
	}
	if n := m.Targets[0]; n.Kind != queue.Mailbox || n.Login != "alice" || n.Extension != "" {
		t.Errorf("%+v", n)
	}
}
