package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"dma/common/conf"
	"dma/common/outcome"
	"dma/common/site"
	"dma/dma-local/internal/command"
	"dma/dma-local/internal/entry"
	"dma/dma-local/internal/maildir"
	"dma/dma-local/internal/mbox"
	"dma/proto"
)

func config(t *testing.T, text string) *conf.Config {
	t.Helper()
	c, _, err := conf.Parse(strings.NewReader(text), "dma.conf")
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// describe is a place in a short form.
func describe(program []string, b box) string {
	switch b := b.(type) {
	case *mbox.Box:
		return fmt.Sprintf("mbox %s %s %d %v", b.Dir, b.Login, b.UID, b.File)
	case *maildir.Maildir:
		return fmt.Sprintf("maildir %s %s %d", b.Base, b.Path, b.UID)
	}
	return "program " + strings.Join(program, " ")
}

// TestPlaces: where mail for the mailbox goes is for dma.conf and the account to
// say, and which process may bring it there.
func TestPlaces(t *testing.T) {
	alice := entry.Account{Login: "alice", UID: 1000, Home: "/home/alice"}
	root := entry.Account{Login: "root", UID: 0, Home: "/"}
	const other = "another process has to deliver it"
	tests := []struct {
		conf       string
		account    entry.Account
		mail, user string // by a process with the group mail, and by one without
	}{
		{"", alice, "mbox " + site.Mail + " alice 1000 false", other},
		{"MAILBOX /var/spool/mail", alice, "mbox /var/spool/mail alice 1000 false", other},
		{"MAILBOX ~/Maildir/", alice, other, "maildir  /home/alice/Maildir/ 1000"},
		{"MAILBOX %h/%u/", alice, other, "maildir  /home/alice/alice/ 1000"},
		{"MAILBOX /var/v%%mail/%u/", alice, "maildir /var/v%mail/ alice/ 1000", other},
		{"MAILBOX /var/x-%u-%%/in/", alice, "maildir /var/ x-alice-%/in/ 1000", other},
		{"MDA /bin/mda -d %u", alice, other, "program /bin/mda -d %u"},
		{"MAILBOX /var/%u/\nMDA /bin/mda", alice, other, "program /bin/mda"},
		{"", root, "mbox " + site.Mail + " root 0 false", other},
		{"MDA /bin/mda", root, "mbox " + site.Mail + " root 0 false", other},
		{"MAILBOX ~/Maildir/", root, "mbox " + site.Mail + " root 0 false", other},
		{"MAILBOX /var/vmail/%u/", root, "mbox " + site.Mail + " root 0 false", other},
		{"MAILBOX /var/spool/mail\nMDA /bin/mda", root, "mbox /var/spool/mail root 0 false", other},
		{"MAILBOX relative", alice, "not an absolute path", "not an absolute path"},
		{"MAILBOX relative", root, "not an absolute path", "not an absolute path"},
		{"MAILBOX ~/x/", entry.Account{Login: "daemon", UID: 1, Home: "/"}, "has no home directory", "has no home directory"},
	}
	for _, tt := range tests {
		c := config(t, tt.conf)
		for _, p := range []struct {
			name, want string
			s          server
		}{
			{"mail", tt.mail, server{account: tt.account, mail: true}},
			{"user", tt.user, server{account: tt.account, commands: &command.Runner{}}},
		} {
			var b box
			program, err := p.s.program(c)
			if err == nil && program == nil {
				b, err = p.s.mailbox(c)
			}
			if err != nil {
				if !strings.Contains(err.Error(), p.want) {
					t.Errorf("%q, %s: %v; want %s", tt.conf, p.name, err, p.want)
				}
				continue
			}
			if got := describe(program, b); got != p.want {
				t.Errorf("%q, %s: %s; want %s", tt.conf, p.name, got, p.want)
			}
		}
	}
}

func (h *helper) deliver(d proto.Deliver, class outcome.Class, scope proto.Scope, said string) {
	h.t.Helper()
	d.Sender, d.Recipient, d.Original, d.DeliveredTo = "s@x", h.login+"@h", h.login+"@h", []string{h.login + "@h"}
	h.want(h.send(d, text), class, scope, said)
}

// holds makes sure that a file is one letter, in the form of a mailbox or of a maildir.
func (h *helper) holds(path string, mailbox bool) {
	h.t.Helper()
	got, err := os.ReadFile(path)
	want := "Return-Path: <s@x>\nDelivered-To: " + h.login + "@h\n" + text
	if mailbox {
		_, rest, _ := strings.Cut(string(got), "\n")
		if !strings.HasPrefix(string(got), "From s@x ") || rest != want+"\n" {
			h.t.Errorf("%s holds %q, %v", path, got, err)
		}
	} else if err != nil || string(got) != want {
		h.t.Errorf("%s holds %q, %v; want %q", path, got, err, want)
	}
}

// piped makes sure that a file is what a program gets as its input.
func (h *helper) piped(path string) {
	h.t.Helper()
	got, err := os.ReadFile(path)
	_, rest, _ := strings.Cut(string(got), "\n")
	if !strings.HasPrefix(string(got), "From s@x ") || rest != "Return-Path: <s@x>\nDelivered-To: "+h.login+"@h\n"+text {
		h.t.Errorf("%s holds %q, %v", path, got, err)
	}
}

func (h *helper) oneIn(dir string) string {
	h.t.Helper()
	names, err := filepath.Glob(dir + "/new/*")
	if err != nil || len(names) != 1 {
		h.t.Fatalf("%s has %q, %v", dir, names, err)
	}
	return names[0]
}

func TestMaildirMailbox(t *testing.T) {
	configure(t, "MAILBOX ~/Maildir/")
	h := start(t, private, nil)
	h.deliver(proto.Deliver{Kind: proto.TargetMailbox}, outcome.Done, proto.ScopeTarget, "delivered to maildir")
	h.holds(h.oneIn(h.home+"/Maildir"), false)
	// A change counts with the next mail.
	configure(t, "MAILBOX "+mailDir()+"/%u.dir/")
	h.deliver(proto.Deliver{Kind: proto.TargetMailbox}, outcome.Done, proto.ScopeTarget, "delivered to maildir")
	h.holds(h.oneIn(h.mailbox()+".dir"), false)
	configure(t, "MAILBOX nonsense")
	h.deliver(proto.Deliver{Kind: proto.TargetMailbox}, outcome.Later, proto.ScopeDestination, "not an absolute path")
	configure(t, "")
	if err := os.Chmod(filepath.Join(world(), "dma.conf"), 0o622); err != nil {
		t.Fatal(err)
	}
	h.deliver(proto.Deliver{Kind: proto.TargetMailbox}, outcome.Later, proto.ScopeDestination, "dma.conf: writable by others than root")
	h.finish()
	if _, err := os.Lstat(h.mailbox()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("mailbox: %v", err)
	}
}

func TestMDA(t *testing.T) {
	h := start(t, private, nil)
	mda := filepath.Join(t.TempDir(), "mda")
	if err := os.WriteFile(mda, []byte("#!/bin/sh\ncat > letter\necho \"$@\" > args\necho said\nexit $(cat exit)\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	configure(t, "MDA "+mda+" -d %u -f %s")
	for exit, want := range map[int]outcome.Class{0: outcome.Done, 75: outcome.Later, 67: outcome.Failed} {
		if err := os.WriteFile(h.home+"/exit", fmt.Append(nil, exit), 0o600); err != nil {
			t.Fatal(err)
		}
		said := fmt.Sprintf("%s exited with status %d: said", mda, exit)
		if exit == 0 {
			said = "delivered to " + mda
		}
		h.deliver(proto.Deliver{Kind: proto.TargetMailbox}, want, proto.ScopeTarget, said)
		h.piped(h.home + "/letter")
	}
	if args, err := os.ReadFile(h.home + "/args"); err != nil || string(args) != "-d "+h.login+" -f s@x\n" {
		t.Errorf("arguments %q, %v", args, err)
	}
	h.finish()
	if _, err := os.Lstat(h.mailbox()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("mailbox: %v", err)
	}
}

func TestFiles(t *testing.T) {
	h := start(t, private, nil)
	shared := t.TempDir()
	tokens := h.forward("~/box, ~/dir/, ~/link, /dev/null, ~/none/box, ~/fifo, ~/dangling, \"" + shared + "/a b\"\n")
	if err := errors.Join(
		os.Mkdir(h.home+"/real", 0o700), os.WriteFile(h.home+"/real/box", nil, 0o644), os.Symlink("real/box", h.home+"/link"),
		syscall.Mkfifo(h.home+"/fifo", 0o600), os.Symlink("nowhere", h.home+"/dangling"),
	); err != nil {
		t.Fatal(err)
	}
	file := func(i int) proto.Deliver { return proto.Deliver{Kind: proto.TargetFile, Token: tokens[i]} }
	h.deliver(file(0), outcome.Done, proto.ScopeTarget, "delivered to file")
	h.holds(h.home+"/box", true)
	if st, err := os.Stat(h.home + "/box"); err != nil || st.Mode() != 0o600 {
		t.Errorf("new file: %v, %v", st, err)
	}
	h.deliver(file(1), outcome.Done, proto.ScopeTarget, "delivered to maildir")
	h.holds(h.oneIn(h.home+"/dir"), false)
	h.deliver(file(2), outcome.Done, proto.ScopeTarget, "delivered to file")
	h.holds(h.home+"/real/box", true)
	h.deliver(file(3), outcome.Done, proto.ScopeTarget, "discarded: delivered to /dev/null")
	h.deliver(file(4), outcome.Later, proto.ScopeTarget, "open directory "+h.home+"/none: no such file")
	h.deliver(file(5), outcome.Later, proto.ScopeTarget, "file "+h.home+"/fifo is not a regular file")
	h.deliver(file(6), outcome.Later, proto.ScopeTarget, "file "+h.home+"/dangling is a symbolic link")
	h.deliver(file(7), outcome.Done, proto.ScopeTarget, "delivered to file")
	h.holds(shared+"/a b", true)
	// A token names what it names.
	h.deliver(proto.Deliver{Kind: proto.TargetCommand, Token: tokens[0]}, outcome.Later, proto.ScopeStale, "changed in between")
	h.forward("~/other\n")
	h.deliver(file(0), outcome.Later, proto.ScopeStale, "changed in between")
	h.finish()
	if names, err := filepath.Glob(h.home + "/*.lock"); err != nil || len(names) > 0 {
		t.Errorf("lock files %q, %v", names, err)
	}
	if _, err := os.Lstat(h.home + "/other"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a file that was not asked for: %v", err)
	}
}

func TestExtension(t *testing.T) {
	h := start(t, private, nil)
	all := h.forward("|echo all $EXTENSION > said\n")
	if err := os.WriteFile(h.home+"/.forward+lists", []byte("|echo lists $EXTENSION > said\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	lists := tokens(t, h, "|echo lists $EXTENSION > said\n")
	for _, tt := range []struct {
		extension string
		token     proto.Token
		want      string
	}{{"", all[0], "all\n"}, {"other", all[0], "all other\n"}, {"lists", lists[0], "lists lists\n"}} {
		h.deliver(proto.Deliver{Kind: proto.TargetCommand, Token: tt.token, Extension: tt.extension}, outcome.Done, proto.ScopeTarget, "delivered to command")
		if got, err := os.ReadFile(h.home + "/said"); err != nil || string(got) != tt.want {
			t.Errorf("%q: command said %q, %v", tt.extension, got, err)
		}
	}
	h.deliver(proto.Deliver{Kind: proto.TargetCommand, Token: lists[0]}, outcome.Later, proto.ScopeStale, "changed in between")
	h.finish()
}
