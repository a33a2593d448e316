package main

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"dma/common/aliases"
	"dma/common/aliases/token"
	"dma/common/outcome"
	"dma/common/sysexits"
	"dma/proto"
)

// aliasHelper is a dma-local for what the alias file at path names.
type aliasHelper struct {
	*helper
	path string
}

func startForAliases(t *testing.T, text string) aliasHelper {
	t.Helper()
	dir := t.TempDir()
	a := aliasHelper{
		startFor(t, private, nil, proto.Hello{Login: "alice", UID: uint32(os.Getuid()), Home: "/nonexistent", Shell: "/usr/sbin/nologin", Aliases: true}),
		filepath.Join(dir, "aliases"),
	}
	a.home = dir // nobody's; where the tests' commands write
	a.write(text)
	configure(t, "ALIASES "+a.path+"\nALIASCOMMANDS")
	return a
}

func (a aliasHelper) write(text string) {
	a.t.Helper()
	if err := os.WriteFile(a.path, []byte(text), 0o644); err != nil {
		a.t.Fatal(err)
	}
}

// command asks for a command of the file as it is with text in it.
func aliasCommand(text, line string) proto.Deliver {
	target := aliases.Target{Kind: aliases.Command, Text: line}
	return proto.Deliver{Kind: proto.TargetCommand, Token: proto.Token{File: token.File(aliases.Parse([]byte(text), "")), Entry: token.Entry(target)}}
}

func aliasFile(text, path string) proto.Deliver {
	d := aliasCommand(text, "")
	d.Kind, d.Token.Entry = proto.TargetFile, token.Entry(aliases.Target{Kind: aliases.File, Text: path})
	return d
}

// The outcomes of commands and files are those of users' (RULES D6 to D8), but for
// home directory and shell, which the account does not have.
func TestAliasTargets(t *testing.T) {
	out := t.TempDir()
	named := "list: \"|cat > " + out + "/letter; pwd > " + out + "/pwd; env > " + out + "/env\"\nno: |exit 67\nlater: |exit 75\narch: " + out + "/box, " + out + "/dir/\n"
	h := startForAliases(t, named)
	d := aliasCommand(named, "cat > "+out+"/letter; pwd > "+out+"/pwd; env > "+out+"/env")
	d.Sender, d.Recipient, d.Original, d.Extension, d.DeliveredTo = "s@x", "list@h", "LIST+e@h", "e", []string{"list@h"}
	h.want(h.send(d, text), outcome.Done, proto.ScopeTarget, "delivered to command")
	h.deliver(aliasCommand(named, "exit 67"), outcome.Failed, proto.ScopeTarget, "command exited with status 67")
	h.deliver(aliasCommand(named, "exit 75"), outcome.Later, proto.ScopeTarget, "command exited with status 75")
	h.deliver(aliasFile(named, out+"/box"), outcome.Done, proto.ScopeTarget, "delivered to file")
	h.deliver(aliasFile(named, out+"/dir/"), outcome.Done, proto.ScopeTarget, "delivered to maildir")
	h.finish()
	h.holds(out+"/box", true)
	h.holds(h.oneIn(out+"/dir"), false)
	if got, err := os.ReadFile(out + "/letter"); err != nil || !strings.HasSuffix(string(got), "\nReturn-Path: <s@x>\nDelivered-To: list@h\n"+text) {
		t.Errorf("command read %q, %v", got, err)
	}
	if got, err := os.ReadFile(out + "/pwd"); err != nil || string(got) != "/\n" {
		t.Errorf("command ran in %q, %v", got, err)
	}
	env, err := os.ReadFile(out + "/env")
	for _, want := range []string{"HOME=/", "LOGNAME=alice", "SHELL=/bin/sh", "LOCAL=list", "DOMAIN=h", "RECIPIENT=list@h", "ORIGINAL_RECIPIENT=LIST+e@h", "EXTENSION=e", "SENDER=s@x"} {
		if !strings.Contains("\n"+string(env), "\n"+want+"\n") {
			t.Errorf("environment has no %s: %q, %v", want, env, err)
		}
	}
}

// TestTakenOverRunnerAliases: whoever has the channel cannot make anything run that
// root has not written into the alias file (RULES C10).
func TestTakenOverRunnerAliases(t *testing.T) {
	out := t.TempDir()
	good, other := "touch "+out+"/good", "touch "+out+"/other"
	named := "a: |" + good + "\nb: |" + other + "\nc: " + out + "/file\nd: e\n"
	h := startForAliases(t, named)
	change := func(change func(d *proto.Deliver)) proto.Deliver {
		d := aliasCommand(named, good)
		change(&d)
		return d
	}
	foreign := "a: |touch " + out + "/evil\n"
	if err := os.WriteFile(h.home+"/other", []byte(foreign), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(h.home+"/.forward", []byte("|touch "+out+"/evil\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for name, d := range map[string]proto.Deliver{
		"nothing":             {Kind: proto.TargetCommand},
		"a file of its own":   aliasCommand(foreign, "touch "+out+"/evil"),
		"an entry of its own": aliasCommand(named, "touch "+out+"/evil"),
		"the file before":     aliasCommand("#\n"+named, good),
		"other file hash":     change(func(d *proto.Deliver) { d.Token.File[31]++ }),
		"other entry hash":    change(func(d *proto.Deliver) { d.Token.Entry[0]++ }),
		"an index":            change(func(d *proto.Deliver) { d.Token.Index = 1 }),
		"largest index":       change(func(d *proto.Deliver) { d.Token.Index = 65535 }),
		"command as a file":   change(func(d *proto.Deliver) { d.Kind = proto.TargetFile }),
		"file as a command":   {Kind: proto.TargetCommand, Token: aliasFile(named, out+"/file").Token},
		"address":             aliasCommand(named, "e"),
		"its .forward":        {Kind: proto.TargetCommand, Token: tokens(t, h.helper, "|touch "+out+"/evil\n")[0]},
	} {
		t.Log(name)
		h.deliver(d, outcome.Later, proto.ScopeStale, "the alias file was changed in between")
	}
	h.write(named + "# edited\n")
	h.deliver(aliasCommand(named, good), outcome.Later, proto.ScopeStale, "the alias file was changed in between")
	if names, err := os.ReadDir(out); err != nil || len(names) > 0 {
		t.Fatalf("%v, %v: something was done", names, err)
	}
	h.write(named)
	h.deliver(aliasCommand(named, good), outcome.Done, proto.ScopeTarget, "delivered to command")
	if names, err := os.ReadDir(out); err != nil || len(names) != 1 {
		t.Errorf("%v, %v: more was done than asked for", names, err)
	}
	h.finish()
}

// What others may have written is not done, however right the token is; nor is
// anything while the key is off.
func TestUnsafeAliases(t *testing.T) {
	out := t.TempDir()
	line := "touch " + out + "/ran"
	named := "a: |" + line + "\n"
	h := startForAliases(t, named)
	d := aliasCommand(named, line)
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, mode := range []os.FileMode{0o664, 0o646} {
		must(os.Chmod(h.path, mode))
		h.deliver(d, outcome.Later, proto.ScopeTarget, "others may write "+h.path+"; run: chmod go-w "+h.path)
	}
	must(os.Chmod(h.path, 0o644))
	must(os.Chmod(h.home, 0o777))
	h.deliver(d, outcome.Later, proto.ScopeTarget, "others may write into the directory "+h.home)
	must(os.Chmod(h.home, 0o755))
	if os.Getuid() == 0 {
		must(os.Chown(h.path, 64103, -1))
		h.deliver(d, outcome.Later, proto.ScopeTarget, "belongs to uid 64103, who is not root; run: chown root "+h.path)
		must(os.Chown(h.path, 0, -1))
	}
	configure(t, "ALIASES "+h.path)
	h.deliver(d, outcome.Later, proto.ScopeStale, "it has no ALIASCOMMANDS")
	configure(t, "ALIASES "+h.path+".none\nALIASCOMMANDS")
	h.deliver(d, outcome.Later, proto.ScopeStale, "the alias file was changed in between")
	configure(t, "ALIASES "+h.home+"\nALIASCOMMANDS")
	h.deliver(d, outcome.Later, proto.ScopeTarget, "not a regular file")
	if names, err := os.ReadDir(out); err != nil || len(names) > 0 {
		t.Fatalf("%v, %v: something was done", names, err)
	}
	configure(t, "ALIASES "+h.path+"\nALIASCOMMANDS")
	h.deliver(d, outcome.Done, proto.ScopeTarget, "delivered to command")
	h.finish()
}

// A process for the alias file has no mailbox, and one for a user no alias file.
func TestAliasRoles(t *testing.T) {
	out := t.TempDir()
	named := "a: |touch " + out + "/ran\n"
	h := startForAliases(t, named)
	h.deliver(proto.Deliver{Kind: proto.TargetMailbox}, outcome.Later, proto.ScopeTarget, "this process is for what the alias file names")
	h.ends(sysexits.Protocol)
	h2 := start(t, private, nil)
	h2.deliver(aliasCommand(named, "touch "+out+"/ran"), outcome.Later, proto.ScopeStale, "the .forward file was changed in between")
	h2.finish()
	if _, err := os.Lstat(out + "/ran"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("it ran: %v", err)
	}
	if _, err := os.Lstat(h.mailbox()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("mailbox: %v", err)
	}
}
