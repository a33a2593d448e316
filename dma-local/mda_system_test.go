//go:build system

package main

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"

	"dma/common/outcome"
	"dma/proto"
)

// TestMDAAccount: the program in the place of mailboxes is run as the user, with the
// user's group alone, and by no process that has the group mail (RULES B3).
func TestMDAAccount(t *testing.T) {
	must(t, os.Chmod(world(), 0o755))
	mda := world() + "/mda"
	must(t, os.WriteFile(mda, []byte("#!/bin/sh\n{ id -u; id -ru; id -g; id -rg; id -G; ls /proc/self/fd; grep NoNewPrivs /proc/self/status; } > $HOME/who\n"), 0o755))
	must(t, os.Chmod(mda, 0o755))
	configure(t, "MDA "+mda)
	h := start(t, installed, &syscall.Credential{Uid: aliceID, Gid: aliceID})
	must(t, errors.Join(os.Chmod(h.home+"/..", 0o755), os.Chown(h.home, aliceID, aliceID)))
	h.deliver(proto.Deliver{Kind: proto.TargetMailbox}, outcome.Done, proto.ScopeTarget, "delivered to "+mda)
	h.finish()
	who, err := os.ReadFile(h.home + "/who")
	id := fmt.Sprintln(aliceID)
	if want := strings.Repeat(id, 5) + "0\n1\n2\n3\nNoNewPrivs:\t0\n"; err != nil || string(who) != want { // 3 is what ls reads
		t.Errorf("program is %q, %v; want %q", who, err, want)
	}

	must(t, os.Remove(h.home+"/who"))
	spoolDir(t, 0o2775, mailGroup(t))
	h2 := startFor(t, installed, &syscall.Credential{Uid: aliceID, Gid: uint32(mailGroup(t))}, proto.Hello{Login: "alice", UID: aliceID, Home: h.home, Shell: "/bin/sh"})
	h2.deliver(proto.Deliver{Kind: proto.TargetMailbox}, outcome.Later, proto.ScopeDestination, "another process has to deliver it")
	h2.finish()
	if _, err := os.Lstat(h.home + "/who"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("it ran with the group mail: %v", err)
	}
	if _, err := os.Lstat(h2.mailbox()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a mailbox was made: %v", err)
	}
}

// TestDovecotLDA: mail is given to a program that is used for that.
func TestDovecotLDA(t *testing.T) {
	if !inside(t) {
		return
	}
	dovecot := world() + "/lda.conf"
	must(t, os.WriteFile(dovecot, []byte("protocols =\nlog_path = /dev/stderr\nssl = no\nmail_location = maildir:~/Maildir\npostmaster_address = root@localhost\n"), 0o644))
	must(t, os.Chmod(dovecot, 0o644))
	configure(t, "MDA /usr/lib/dovecot/dovecot-lda -c "+dovecot+" -e -f %s -a %r")
	hello := proto.Hello{Login: "alice", UID: aliceID, Home: world() + "/home", Shell: "/bin/sh"}
	h := startFor(t, installed, &syscall.Credential{Uid: aliceID, Gid: aliceID}, hello)
	h.deliver(proto.Deliver{Kind: proto.TargetMailbox}, outcome.Done, proto.ScopeTarget, "delivered to /usr/lib/dovecot/dovecot-lda")
	h.finish()
	got, err := os.ReadFile(h.oneIn(h.home + "/Maildir"))
	if err != nil || !strings.HasSuffix(string(got), "Return-Path: <s@x>\nDelivered-To: alice@h\n"+text) {
		t.Errorf("it stored %q, %v", got, err)
	}
	// What it cannot store is for it to say.
	must(t, os.RemoveAll(h.home+"/Maildir"))
	must(t, os.Chown(h.home, 0, 0))
	h = startFor(t, installed, &syscall.Credential{Uid: aliceID, Gid: aliceID}, hello)
	h.deliver(proto.Deliver{Kind: proto.TargetMailbox}, outcome.Later, proto.ScopeTarget, "/usr/lib/dovecot/dovecot-lda exited with status 75: ")
	h.finish()
}
