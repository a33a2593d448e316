//go:build system

package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"dma/common/outcome"
	"dma/proto"

	"golang.org/x/sys/unix"
)

// insideVar says that the test runs in a mount namespace of its own.
const insideVar = "DMA_LOCAL_TEST_INSIDE"

// Writers of one mailbox, of each kind.
const (
	ownWriters   = 20
	otherWriters = 10
	bodyLines    = 2000
)

// inside runs the test that calls it once more, in a mount namespace with an account
// alice and the tests' mail directory as /var/mail, and reports whether it is there.
func inside(t *testing.T) bool {
	t.Helper()
	if os.Getenv(insideVar) == "" {
		cmd := exec.Command("/proc/self/exe", "-test.run=^"+t.Name()+"$", "-test.v")
		cmd.Env = append(os.Environ(), insideVar+"=1")
		cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS}
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%v:\n%s", err, out)
		}
		return false
	}
	must(t, unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""))
	old, err := os.ReadFile("/etc/passwd")
	must(t, err)
	file, home := world()+"/passwd", world()+"/home"
	entry := fmt.Sprintf("alice:x:%d:%d::%s:/bin/sh\n", aliceID, aliceID, home)
	must(t, errors.Join(os.WriteFile(file, append(old, entry...), 0o644), os.Chmod(file, 0o644)))
	must(t, errors.Join(os.Mkdir(home, 0o755), os.Chown(home, aliceID, aliceID)))
	must(t, unix.Mount(file, "/etc/passwd", "", unix.MS_BIND, ""))
	spoolDir(t, 0o2775, mailGroup(t))
	must(t, unix.Mount(mailDir(), "/var/mail", "", unix.MS_BIND, ""))
	t.Cleanup(func() { must(t, unix.Unmount("/var/mail", unix.MNT_DETACH)) })
	return true
}

// body is a message by which its writer is known, and from which nothing can be
// missing unseen.
func body(id string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "Subject: %s\n\nbegin %s\n", id, id)
	for i := range bodyLines {
		fmt.Fprintf(&b, "%s line %d\n", id, i)
	}
	fmt.Fprintf(&b, "end %s\n", id)
	return b.String()
}

// others are programs that write to /var/mail/alice what they read.
func others(t *testing.T) map[string]func() *exec.Cmd {
	t.Helper()
	as := func(gid int, name string, args ...string) *exec.Cmd {
		cmd := exec.Command(name, args...)
		cmd.Dir = "/"
		cmd.Env = []string{"HOME=" + world() + "/home", "USER=alice", "LOGNAME=alice", "PATH=/usr/bin:/bin", "SHELL=/bin/sh"}
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: aliceID, Gid: uint32(gid)}}
		return cmd
	}
	dovecot := world() + "/dovecot.conf"
	must(t, os.WriteFile(dovecot, []byte("protocols =\nlog_path = /dev/stderr\nssl = no\nmail_location = mbox:~/mail:INBOX=/var/mail/alice\n"+
		"mbox_write_locks = dotlock fcntl\nmbox_lock_timeout = 100s\npostmaster_address = root@localhost\nlda_mailbox_autocreate = yes\n"), 0o644))
	must(t, os.Chmod(dovecot, 0o644))
	const reader = `t=$HOME/text.$$; cat >"$t"
mutt_dotlock -p -r 100 /var/mail/alice || exit 75
{ echo "From m@x  Wed Mar  4 12:05:06 2026"; head -n 1000 "$t"; sleep 0.02; tail -n +1001 "$t"; echo; } >>/var/mail/alice
mutt_dotlock -p -u /var/mail/alice`
	return map[string]func() *exec.Cmd{
		"procmail": func() *exec.Cmd { return as(aliceID, "procmail", "-f", "p@x") },
		"dovecot":  func() *exec.Cmd { return as(mailGroup(t), "/usr/lib/dovecot/dovecot-lda", "-c", dovecot, "-e") },
		"mutt":     func() *exec.Cmd { return as(aliceID, "/bin/sh", "-c", reader) },
	}
}

// TestContention: many deliveries at once into one mailbox, of this suite and of
// others that lock it in their own ways. Every message is there once, and whole.
func TestContention(t *testing.T) {
	if !inside(t) {
		return
	}
	must(t, asAlice(mailDir()+"/alice", 0o600, os.WriteFile(mailDir()+"/alice", nil, 0o600)))
	var all sync.WaitGroup
	var ids []string
	for kind, command := range others(t) {
		for i := range otherWriters {
			id := fmt.Sprintf("%s-%d", kind, i)
			ids = append(ids, id)
			all.Go(func() {
				cmd := command()
				cmd.Stdin = strings.NewReader(body(id))
				if out, err := cmd.CombinedOutput(); err != nil {
					t.Errorf("%s: %v: %s", id, err, out)
				}
			})
		}
	}
	gid := uint32(mailGroup(t))
	for i := range ownWriters {
		id := fmt.Sprintf("dma-%d", i)
		ids = append(ids, id)
		h := startFor(t, installed, &syscall.Credential{Uid: aliceID, Gid: gid}, proto.Hello{Login: "alice", UID: aliceID, Home: "/", Shell: "/bin/sh"})
		file := message(t, body(id))
		all.Go(func() {
			d := proto.Deliver{Kind: proto.TargetMailbox, Sender: "d@x", Size: int64(len(body(id)))}
			if err := h.conn.Send(1, &d, file); err != nil {
				t.Error(err)
				return
			}
			for {
				p, err := h.conn.Recv(3*time.Minute, proto.TypeResult, proto.TypeLog)
				if err != nil {
					t.Errorf("%s: %v", id, err)
					return
				}
				if r, is := p.Message.(*proto.Result); is {
					if r.Outcome.Class != outcome.Done {
						t.Errorf("%s: %v", id, r.Outcome)
					}
					return
				}
			}
		})
	}
	all.Wait()
	allThere(t, mailDir()+"/alice", ids)
	if names, err := filepath.Glob(mailDir() + "/*"); err != nil || len(names) != 1 {
		t.Errorf("mail directory has %q, %v", names, err)
	}
}

// allThere makes sure that a mailbox has one message of each writer, whole.
func allThere(t *testing.T, path string, ids []string) {
	t.Helper()
	text, err := os.ReadFile(path)
	must(t, err)
	entries := strings.Split("\n"+string(text), "\nFrom ")[1:]
	if len(entries) != len(ids) {
		t.Errorf("%d messages, want %d", len(entries), len(ids))
	}
	seen := map[string]int{}
	for _, e := range entries {
		_, rest, found := strings.Cut(e, "\nbegin ")
		id, _, _ := strings.Cut(rest, "\n")
		_, want, _ := strings.Cut(body(id), "\nbegin ")
		if !found || strings.TrimRight(rest, "\n") != strings.TrimRight(want, "\n") {
			t.Errorf("message of %q is not whole", id)
		}
		seen[id]++
	}
	for _, id := range ids {
		if seen[id] != 1 {
			t.Errorf("%s is there %d times", id, seen[id])
		}
	}
}
