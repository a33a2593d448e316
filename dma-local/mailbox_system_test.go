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
	"dma/common/passwd"
	"dma/common/site"
	"dma/proto"

	"golang.org/x/sys/unix"
)

// Numbers of accounts that need no entry in the password file.
const (
	aliceID  = 64103
	bobID    = 64104
	nobodyID = 65534
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func mailGroup(t *testing.T) int {
	t.Helper()
	gid, err := passwd.LookupGroup(groupFile, site.MailGroup)
	must(t, err)
	return int(gid)
}

// spoolDir gives the mail directory an owner, group and mode, and empties it.
func spoolDir(t *testing.T, mode uint32, group int) {
	t.Helper()
	must(t, os.RemoveAll(mailDir()))
	must(t, errors.Join(os.Mkdir(mailDir(), 0o700), os.Chown(mailDir(), 0, group), syscall.Chmod(mailDir(), mode)))
	t.Cleanup(func() { must(t, errors.Join(os.RemoveAll(mailDir()), os.Mkdir(mailDir(), 0o755))) })
}

// asMailbox starts dma-local for alice's mailbox.
func asMailbox(t *testing.T) *helper {
	t.Helper()
	return start(t, installed, &syscall.Credential{Uid: aliceID, Gid: uint32(mailGroup(t))})
}

// unprotected switches off what the kernel does against links in directories for all.
func unprotected(t *testing.T) {
	t.Helper()
	for _, name := range []string{"protected_symlinks", "protected_hardlinks", "protected_regular", "protected_fifos"} {
		path := "/proc/sys/fs/" + name
		old, err := os.ReadFile(path)
		must(t, err)
		must(t, os.WriteFile(path, []byte("0"), 0))
		t.Cleanup(func() { must(t, os.WriteFile(path, old, 0)) })
	}
}

// victims are files that a mailbox must not lead to.
type victims struct{ alices, bobs, roots string }

func newVictims(t *testing.T) victims {
	t.Helper()
	v := victims{world() + "/alices", world() + "/bobs", world() + "/roots"}
	for path, owner := range map[string]int{v.alices: aliceID, v.bobs: bobID, v.roots: 0} {
		_ = os.Remove(path)
		must(t, errors.Join(os.WriteFile(path, []byte("victim\n"), 0o600), os.Chown(path, owner, owner), os.Chmod(path, 0o666)))
	}
	return v
}

func (v victims) untouched(t *testing.T) {
	t.Helper()
	for _, path := range []string{v.alices, v.bobs, v.roots} {
		text, err := os.ReadFile(path)
		st, serr := os.Stat(path)
		if string(text) != "victim\n" || err != nil || serr != nil || st.Mode() != 0o666 {
			t.Errorf("%s: %q, %v, %v", path, text, st, errors.Join(err, serr))
		}
	}
}

// asAlice makes what is at path alice's.
func asAlice(path string, mode os.FileMode, err error) error {
	return errors.Join(err, os.Lchown(path, aliceID, -1), os.Chmod(path, mode))
}

type mailboxState struct {
	name string
	make func(path string, v victims) error
	want string // what is said; empty: delivered
}

func mailboxStates() []mailboxState {
	file := func(path string) error { return os.WriteFile(path, nil, 0o600) }
	return []mailboxState{
		{"missing", func(string, victims) error { return nil }, ""},
		{"there", func(p string, _ victims) error { return asAlice(p, 0o600, file(p)) }, ""},
		{"link to the user's own", func(p string, v victims) error {
			return errors.Join(os.Symlink(v.alices, p), os.Lchown(p, aliceID, aliceID))
		}, "is a symbolic link"},
		{"link to another's", func(p string, v victims) error { return os.Symlink(v.bobs, p) }, "is a symbolic link"},
		{"link to root's", func(p string, v victims) error {
			return errors.Join(os.Symlink(v.roots, p), os.Lchown(p, aliceID, aliceID))
		}, "is a symbolic link"},
		{"dangling link", func(p string, _ victims) error { return os.Symlink(world()+"/nowhere", p) }, "is a symbolic link"},
		{"link to the password file", func(p string, _ victims) error { return os.Symlink("/etc/passwd", p) }, "is a symbolic link"},
		{"hard link to the user's own", func(p string, v victims) error { return os.Link(v.alices, p) }, "has 2 names"},
		{"hard link to another's", func(p string, v victims) error { return os.Link(v.bobs, p) }, "has 2 names"},
		{"hard link to root's", func(p string, v victims) error { return os.Link(v.roots, p) }, "has 2 names"},
		{"FIFO", func(p string, _ victims) error { return asAlice(p, 0o600, syscall.Mkfifo(p, 0o600)) }, "is not a regular file"},
		{"directory", func(p string, _ victims) error { return asAlice(p, 0o700, os.Mkdir(p, 0o700)) }, "is a directory"},
		{"device", func(p string, _ victims) error {
			return asAlice(p, 0o600, syscall.Mknod(p, syscall.S_IFCHR|0o600, 1<<8|3))
		}, "is not a regular file"},
		{"another's", func(p string, _ victims) error {
			return errors.Join(file(p), os.Chown(p, bobID, -1), os.Chmod(p, 0o666))
		}, "belongs to uid 64104"},
		{"root's", func(p string, _ victims) error { return errors.Join(file(p), os.Chmod(p, 0o666)) }, "belongs to uid 0"},
		{"executable", func(p string, _ victims) error { return asAlice(p, 0o700, file(p)) }, "is executable"},
		{"set-uid", func(p string, _ victims) error {
			return errors.Join(asAlice(p, 0o600, file(p)), syscall.Chmod(p, 0o4711))
		}, "is executable"},
		{"read-only", func(p string, _ victims) error { return asAlice(p, 0o400, file(p)) }, "run: chmod u+rw"},
		{"lock file is a link", func(p string, v victims) error { return os.Symlink(v.roots, p+".lock") }, "by the lock file"},
		{"lock file is a directory", func(p string, _ victims) error { return os.Mkdir(p+".lock", 0o700) }, "by the lock file"},
	}
}

// TestMailboxStates: alice's mailbox in every state, in the mail directories that
// systems have. What is no mailbox of hers is never written to.
func TestMailboxStates(t *testing.T) {
	unprotected(t)
	for _, dir := range []struct {
		mode  uint32
		group int
	}{{0o2775, mailGroup(t)}, {0o3777, mailGroup(t)}, {0o1777, 0}, {0o775, mailGroup(t)}} {
		for _, tt := range mailboxStates() {
			t.Run(fmt.Sprintf("%o %s", dir.mode, tt.name), func(t *testing.T) {
				spoolDir(t, dir.mode, dir.group)
				v := newVictims(t)
				h := asMailbox(t)
				must(t, tt.make(h.mailbox(), v))
				if strings.Contains(tt.want, "lock file") { // or this would take as long as mail waits for a lock
					old := time.Now().Add(-time.Hour)
					must(t, unix.UtimesNanoAt(unix.AT_FDCWD, h.mailbox()+".lock", []unix.Timespec{unix.NsecToTimespec(old.UnixNano()), unix.NsecToTimespec(old.UnixNano())}, unix.AT_SYMLINK_NOFOLLOW))
					h.lockFile(v)
					return
				}
				var before unix.Stat_t
				existed := unix.Lstat(h.mailbox(), &before) == nil
				if tt.want == "" {
					h.deliver(proto.Deliver{Kind: proto.TargetMailbox}, outcome.Done, proto.ScopeTarget, "delivered to mailbox")
					h.holds(h.mailbox(), true)
				} else {
					h.deliver(proto.Deliver{Kind: proto.TargetMailbox}, outcome.Later, proto.ScopeDestination, tt.want)
				}
				h.finish()
				v.untouched(t)
				var after unix.Stat_t
				must(t, unix.Lstat(h.mailbox(), &after))
				if existed && (after.Mode != before.Mode || after.Uid != before.Uid || after.Gid != before.Gid || after.Ino != before.Ino) {
					t.Errorf("it was changed: %+v, before %+v", after, before)
				}
				if !existed && (after.Mode != unix.S_IFREG|0o660 || after.Uid != aliceID || int(after.Gid) != mailGroup(t)) {
					t.Errorf("new mailbox: %+v", after)
				}
				if _, err := os.Lstat(h.mailbox() + ".lock"); err == nil {
					t.Error("the lock file is still there")
				}
			})
		}
	}
}

// lockFile: an old lock file that is none is removed as itself, or not at all.
func (h *helper) lockFile(v victims) {
	h.t.Helper()
	h.last++
	f := message(h.t, text)
	must(h.t, h.conn.Send(h.last, &proto.Deliver{Kind: proto.TargetMailbox, Size: int64(len(text))}, f))
	r := h.result(h.last)
	if r.Outcome.Class == outcome.Failed {
		h.t.Errorf("got %v", r.Outcome)
	}
	h.finish()
	v.untouched(h.t)
}

// TestRaces: somebody makes the mailbox something else again and again while mail
// comes in. What it leads to is never written to, and no mail is bounced.
func TestRaces(t *testing.T) {
	unprotected(t)
	for name, next := range map[string]func(path string, v victims, i int) error{
		"links come and go": func(p string, v victims, i int) error {
			_ = os.Remove(p)
			if err := os.Symlink([]string{v.alices, v.bobs, v.roots}[i%3], p); !errors.Is(err, os.ErrExist) {
				return err
			}
			return nil // a delivery was faster
		},
		"file and hard link": func(p string, v victims, i int) error {
			if i%2 == 0 {
				return errors.Join(os.WriteFile(p+".new", nil, 0o600), os.Chown(p+".new", aliceID, -1), os.Rename(p+".new", p))
			}
			return errors.Join(os.Link(v.alices, p+".link"), os.Rename(p+".link", p))
		},
		"file and symbolic link": func(p string, v victims, i int) error {
			if i%2 == 0 {
				return errors.Join(os.WriteFile(p+".new", nil, 0o600), os.Chown(p+".new", aliceID, -1), os.Rename(p+".new", p))
			}
			return errors.Join(os.Symlink(v.roots, p+".link"), os.Rename(p+".link", p))
		},
		"file and nothing": func(p string, _ victims, i int) error {
			if i%2 == 0 {
				_ = os.Remove(p)
				return nil
			}
			f, err := os.OpenFile(p, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
			if err == nil {
				f.Close()
				_ = os.Lchown(p, aliceID, -1)
			}
			return nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			spoolDir(t, 0o1777, 0)
			v := newVictims(t)
			h := asMailbox(t)
			stop := make(chan bool)
			var racing sync.WaitGroup
			racing.Go(func() {
				for i := 0; ; i++ {
					select {
					case <-stop:
						return
					default:
						if err := next(h.mailbox(), v, i); err != nil {
							t.Errorf("race: %v", err)
							return
						}
					}
				}
			})
			for end := time.Now().Add(3 * time.Second); time.Now().Before(end); {
				f := message(t, text)
				h.last++
				must(t, h.conn.Send(h.last, &proto.Deliver{Kind: proto.TargetMailbox, Size: int64(len(text))}, f))
				if r := h.result(h.last); r.Outcome.Class == outcome.Failed {
					t.Errorf("bounced: %v", r.Outcome)
				}
			}
			close(stop)
			racing.Wait()
			h.finish()
			v.untouched(t)
		})
	}
}

// TestMailDirectories: as systems have them.
func TestMailDirectories(t *testing.T) {
	mail := mailGroup(t)
	tests := []struct {
		name  string
		mode  uint32
		group int
		there bool // the mailbox
		want  string
	}{
		{"group mail", 0o2775, mail, false, ""},
		{"for all", 0o1777, 0, false, ""},
		{"for root alone, new", 0o755, 0, false, "as root run: chgrp mail "},
		{"for root alone, there", 0o755, 0, true, ""},
		{"closed", 0o700, 0, true, "permission denied"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			spoolDir(t, tt.mode, tt.group)
			h := asMailbox(t)
			if tt.there {
				must(t, asAlice(h.mailbox(), 0o600, os.WriteFile(h.mailbox(), nil, 0o600)))
			}
			if tt.want != "" {
				h.deliver(proto.Deliver{Kind: proto.TargetMailbox}, outcome.Later, proto.ScopeDestination, tt.want)
			} else {
				h.deliver(proto.Deliver{Kind: proto.TargetMailbox}, outcome.Done, proto.ScopeTarget, "delivered to mailbox")
				h.holds(h.mailbox(), true)
			}
			h.finish()
		})
	}
	t.Run("missing", func(t *testing.T) {
		spoolDir(t, 0o2775, mail)
		must(t, os.Remove(mailDir()))
		h := asMailbox(t)
		h.deliver(proto.Deliver{Kind: proto.TargetMailbox}, outcome.Later, proto.ScopeDestination, "no such file or directory")
		h.finish()
	})
}

// TestRootAndSystemAccounts: root's mailbox is written by an account that is not
// root, and those of system accounts by these (RULES C9).
func TestRootAndSystemAccounts(t *testing.T) {
	mail := mailGroup(t)
	spoolDir(t, 0o2775, mail)
	configure(t, "MAILBOX ~/Maildir/\nMDA /bin/false")
	h := startFor(t, installed, &syscall.Credential{Uid: nobodyID, Gid: uint32(mail)}, proto.Hello{Login: "root", UID: 0, Home: "/root", Shell: "/bin/sh"})
	h.deliver(proto.Deliver{Kind: proto.TargetMailbox}, outcome.Later, proto.ScopeDestination, "mailbox "+mailDir()+"/root does not exist; as root run: install -m 660 -o root -g mail")
	must(t, errors.Join(os.WriteFile(h.mailbox(), nil, 0o600), os.Chown(h.mailbox(), 0, mail), os.Chmod(h.mailbox(), 0o660)))
	h.deliver(proto.Deliver{Kind: proto.TargetMailbox}, outcome.Done, proto.ScopeTarget, "delivered to mailbox")
	h.holds(h.mailbox(), true)
	for _, kind := range []proto.TargetKind{proto.TargetCommand, proto.TargetFile} {
		h := startFor(t, installed, &syscall.Credential{Uid: nobodyID, Gid: uint32(mail)}, proto.Hello{Login: "root", UID: 0, Home: "/root", Shell: "/bin/sh"})
		h.deliver(proto.Deliver{Kind: kind}, outcome.Later, proto.ScopeTarget, "runs no command and writes no file")
	}
	h.finish()

	configure(t, "")
	for _, account := range []proto.Hello{
		{Login: "daemon", UID: 1, Home: "/usr/sbin", Shell: "/usr/sbin/nologin"},
		{Login: "www-data", UID: 33, Home: "/var/www", Shell: "/usr/sbin/nologin"},
		{Login: "nobody", UID: nobodyID, Home: "/nonexistent", Shell: "/usr/sbin/nologin"},
	} {
		h := startFor(t, installed, &syscall.Credential{Uid: account.UID, Gid: uint32(mail)}, account)
		h.deliver(proto.Deliver{Kind: proto.TargetMailbox}, outcome.Done, proto.ScopeTarget, "delivered to mailbox")
		h.holds(h.mailbox(), true)
		h.finish()
	}
}

// TestSharedMaildirs: with maildirs in a directory for all users, what another user
// has put in the way of one is not used.
func TestSharedMaildirs(t *testing.T) {
	mail := mailGroup(t)
	unprotected(t)
	for name, tt := range map[string]struct {
		make func(path string, v victims) error
		want string
	}{
		"missing": {func(string, victims) error { return nil }, ""},
		"another's": {func(p string, _ victims) error {
			return errors.Join(os.Mkdir(p, 0o777), os.Chown(p, bobID, -1), os.Chmod(p, 0o777))
		}, "belongs to uid 64104"},
		"link": {func(p string, _ victims) error { return os.Symlink(mailDir(), p) }, "open directory"},
		"link of the user's": {func(p string, _ victims) error {
			return errors.Join(os.Symlink(mailDir(), p), os.Lchown(p, aliceID, -1))
		}, "open directory"},
		"link in it": {func(p string, _ victims) error {
			return errors.Join(asAlice(p, 0o700, os.Mkdir(p, 0o700)), os.Symlink(mailDir(), p+"/new"))
		}, "open directory new"},
	} {
		t.Run(name, func(t *testing.T) {
			spoolDir(t, 0o1777, mail)
			configure(t, "MAILBOX "+mailDir()+"/%u/")
			v := newVictims(t)
			h := asMailbox(t)
			must(t, tt.make(h.mailbox(), v))
			if tt.want != "" {
				h.deliver(proto.Deliver{Kind: proto.TargetMailbox}, outcome.Later, proto.ScopeDestination, tt.want)
				if names, _ := filepath.Glob(mailDir() + "/*"); len(names) != 1 {
					t.Errorf("mail directory has %q", names)
				}
			} else {
				h.deliver(proto.Deliver{Kind: proto.TargetMailbox}, outcome.Done, proto.ScopeTarget, "delivered to maildir")
				h.holds(h.oneIn(h.mailbox()), false)
			}
			h.finish()
			v.untouched(t)
		})
	}
	// In the home directory it is the user's own process, with the user's rights.
	spoolDir(t, 0o2775, mail)
	configure(t, "MAILBOX ~/Maildir/")
	h := start(t, installed, &syscall.Credential{Uid: aliceID, Gid: aliceID})
	must(t, errors.Join(os.Chmod(filepath.Dir(h.home), 0o755), os.Chown(h.home, aliceID, aliceID)))
	h.deliver(proto.Deliver{Kind: proto.TargetMailbox}, outcome.Done, proto.ScopeTarget, "delivered to maildir")
	h.holds(h.oneIn(h.home+"/Maildir"), false)
	must(t, errors.Join(os.RemoveAll(h.home+"/Maildir"), os.Symlink(mailDir(), h.home+"/Maildir")))
	h.deliver(proto.Deliver{Kind: proto.TargetMailbox}, outcome.Later, proto.ScopeDestination, "permission denied")
	h.finish()
	out, err := exec.Command("ls", "-A", mailDir()).Output()
	if err != nil || len(out) > 0 {
		t.Errorf("mail directory has %q, %v", out, err)
	}
}
