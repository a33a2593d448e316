package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"dma/proto"

	"golang.org/x/sys/unix"
)

// insideVariable is set in the process that has a system of its own.
const insideVariable = "DMA_TEST_INSIDE"

// TestInstalled runs dma-spawn as it is installed, set-uid and with accounts,
// among processes and mounts of its own.
func TestInstalled(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root")
	}
	if os.Getenv(insideVariable) == "" {
		cmd := exec.Command("/proc/self/exe", "-test.run=^TestInstalled$", "-test.v", fmt.Sprintf("-test.short=%v", testing.Short()))
		cmd.Env = append(os.Environ(), insideVariable+"=1")
		cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWPID, Unshareflags: unix.CLONE_NEWNS}
		out, err := cmd.CombinedOutput()
		t.Logf("%s", out)
		if err != nil {
			t.Fatal(err)
		}
		return
	}
	if _, err := unix.Setsid(); err != nil {
		t.Fatal(err)
	}
	h := install(t)
	t.Run("permission", h.testPermission)
	t.Run("roles", h.testRoles)
	t.Run("getent", h.testGetent)
	t.Run("hostile parent", h.testHostileParent)
	t.Run("restart", h.testRestart)
	t.Run("flood", h.testFlood)
	t.Run("stopped at start", h.testStopped)
	t.Run("half a root", h.testHalfRoot)
}

const passwdFile = `root:x:0:0:root:/root:/bin/bash
toor:x:0:0::/root:/bin/sh
nobody:x:64015:64016::/nonexistent:/usr/sbin/nologin
_dmaq:x:64011:64011::/nonexistent:/usr/sbin/nologin
_dmar:x:64012:64012::/nonexistent:/usr/sbin/nologin
queue2:x:64011:64001::/nonexistent:/bin/sh
alice:x:64001:64021:Alice,,,:/home/alice:/bin/sh
bob:x:64002:64022::/home/bob:/bin/zsh
zero:x:64005:0::/home/zero:/bin/sh
minus:x:4294967295:64005::/home/minus:/bin/sh
minusgroup:x:64006:4294967295::/home/minus:/bin/sh
`

// Accounts that only getent knows.
const elsewhere = `remoteuser:x:64031:64032::/home/remoteuser:/bin/sh
remoteroot:x:0:64032::/home/remoteuser:/bin/sh
`

const groupsFile = `root:x:0:
mail:x:64014:alice
_dmaq:x:64011:
_dmar:x:64012:
_dmas:x:64013:
wheel:x:64023:alice,bob
`

// install makes a host in a file system that honours set-uid bits.
func install(t *testing.T) *host {
	t.Helper()
	base := t.TempDir()
	put := func(path, text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for dir := base; dir != os.TempDir() && dir != "/"; dir = filepath.Dir(dir) {
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	mount(t, "proc", "/proc", "proc", 0)
	mount(t, "none", base, "tmpfs", 0)
	put(base+"/passwd", passwdFile)
	put(base+"/etc-passwd", passwdFile+elsewhere)
	put(base+"/group", groupsFile)
	put(base+"/nsswitch", "passwd: files\n")
	put(base+"/nsswitch-more", "passwd: files ldap\n")
	mount(t, base+"/etc-passwd", "/etc/passwd", "", unix.MS_BIND)
	mount(t, base+"/group", "/etc/group", "", unix.MS_BIND)
	mount(t, base+"/nsswitch", "/etc/nsswitch.conf", "", unix.MS_BIND)
	h := newHost(t, base, map[string]string{"Passwd": base + "/passwd", "Nsswitch": base + "/nsswitch-more"})
	spawn := base + "/libexec/dma-spawn"
	if err := os.Chown(spawn, 0, submitID); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(spawn, 0o750|os.ModeSetuid); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(base+"/spool", 0o711); err != nil {
		t.Fatal(err)
	}
	return h
}

func mount(t *testing.T, source, target, kind string, flags uintptr) {
	t.Helper()
	if err := unix.Mount(source, target, kind, flags, ""); err != nil {
		t.Fatalf("mount %s: %v", target, err)
	}
	t.Cleanup(func() { _ = unix.Unmount(target, unix.MNT_DETACH) })
}

func (h *host) testPermission(t *testing.T) {
	h.prepare(t, nil)
	cmd := exec.Command(h.base + "/libexec/dma-spawn")
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: aliceID, Gid: aliceID}}
	if err := cmd.Run(); err == nil || !strings.Contains(err.Error(), "permission denied") {
		t.Errorf("started by somebody outside the group: %v", err)
	}
	for name, args := range map[string][]string{
		"no set-uid bit": {h.base + "/libexec/copy"},
		"no new privs":   {"/usr/bin/setpriv", "--no-new-privs", h.base + "/libexec/dma-spawn"},
	} {
		t.Run(name, func(t *testing.T) {
			text, err := os.ReadFile(h.base + "/libexec/dma-spawn")
			if err == nil {
				err = os.WriteFile(h.base+"/libexec/copy", text, 0o755)
			}
			if err != nil {
				t.Fatal(err)
			}
			code, said := h.exec(t, aliceID, submitID, args...)
			if code != 77 || !strings.Contains(said, "set-uid bit") {
				t.Errorf("exit code %d, %q", code, said)
			}
		})
	}
	h.results(t, 0)
}

func (h *host) testRoles(t *testing.T) {
	queue := uint32(queueID)
	alice := proto.Hello{Login: "alice", UID: aliceID, Home: "/home/alice", Shell: "/bin/sh", Queue: queue}
	bob := proto.Hello{Login: "bob", UID: bobID, Home: "/home/bob", Shell: "/bin/zsh", Queue: queue}
	root := proto.Hello{Login: "root", UID: 0, Home: "/root", Shell: "/bin/bash", Queue: queue}
	table := []expect{
		{name: "forward", role: proto.RoleForward, login: "alice", program: "dma-forward", uid: aliceID, gid: 64021, hello: alice},
		{name: "mailbox", role: proto.RoleMailbox, login: "alice", program: "dma-local", uid: aliceID, gid: mailID, hello: alice},
		{name: "user", role: proto.RoleUser, login: "bob", program: "dma-local", uid: bobID, gid: 64022, hello: bob},
		{name: "remote", role: proto.RoleRemote, program: "dma-remote", uid: remoteID, gid: remoteID, hello: proto.Hello{Queue: queue}},
		{name: "mailbox of root", role: proto.RoleMailbox, login: "root", program: "dma-local", uid: nobodyID, gid: mailID, hello: root},
		{name: "alias", role: proto.RoleAlias, program: "dma-local", uid: nobodyID, gid: 64016, hello: proto.Hello{
			Login: "nobody", UID: nobodyID, Home: "/nonexistent", Shell: "/usr/sbin/nologin", Queue: queue, Aliases: true,
		}},
		{name: "unknown", role: proto.RoleUser, login: "carol", refused: proto.RefusedUnknown},
		{name: "path", role: proto.RoleUser, login: "../x", refused: proto.RefusedUnknown},
		{name: "colon", role: proto.RoleUser, login: "alice:x", refused: proto.RefusedUnknown},
		{name: "number", role: proto.RoleUser, login: "64001", refused: proto.RefusedUnknown},
		{name: "other case", role: proto.RoleUser, login: "Alice", refused: proto.RefusedUnknown},
		{name: "known to getent", role: proto.RoleForward, login: "remoteuser", program: "dma-forward", uid: 64031, gid: 64032, hello: proto.Hello{
			Login: "remoteuser", UID: 64031, Home: "/home/remoteuser", Shell: "/bin/sh", Queue: queue,
		}},
		{name: "alias for root", role: proto.RoleAlias, login: "root", refused: proto.RefusedForbidden},
		{name: "alias for a user", role: proto.RoleAlias, login: "alice", refused: proto.RefusedForbidden},
		{name: "remote for root", role: proto.RoleRemote, login: "root", refused: proto.RefusedForbidden},
	}
	for _, login := range []string{"root", "toor", "_dmaq", "_dmar", "queue2", "zero", "remoteroot"} {
		for _, role := range []proto.Role{proto.RoleForward, proto.RoleMailbox, proto.RoleUser} {
			if role == proto.RoleMailbox && (strings.HasSuffix(login, "root") || login == "toor") {
				continue
			}
			table = append(table, expect{name: role.String() + " as " + login, role: role, login: login, refused: proto.RefusedForbidden})
		}
	}
	h.check(t, table, aliceID, submitID)
	runner := h.results(t, 1)[0].Self
	runner.checkWorld(t, queueID, queueID, "/dev/null")
	if runner.Hello != (proto.Hello{Version: proto.Version, Queue: queue}) {
		t.Errorf("Hello of runner %+v", runner.Hello)
	}
	// Whether passwd knows such numbers at all is its own matter.
	h.prepare(t, []step{{Do: "start", Role: proto.RoleUser, Login: "minus"}, {Do: "start", Role: proto.RoleUser, Login: "minusgroup"}})
	h.spawn(t, 0, 0)
	for _, a := range h.results(t, 1)[0].Answers {
		if a.Refused == nil {
			t.Errorf("started as -1: %+v", a)
		}
	}
}

func (h *host) testRestart(t *testing.T) {
	crash := []step{{Do: "crash"}}
	good := []step{{Do: "start", Role: proto.RoleUser, Login: "bob"}}
	exit := func(code int) []step { return []step{{Do: "exit", Count: code}} }
	tests := []struct {
		name  string
		runs  [][]step
		code  int
		lives int
		least time.Duration
	}{
		{"ends well", [][]step{good}, 0, 1, 0},
		{"killed", [][]step{crash, good}, 0, 2, 100 * time.Millisecond},
		{"panic, then failure, then killed", [][]step{exit(2), exit(1), crash, good}, 0, 4, 700 * time.Millisecond},
		{"refuses its configuration", [][]step{exit(78), good}, 78, 1, 0},
		{"misses a file", [][]step{exit(72), good}, 72, 1, 0},
		{"crashes, then refuses", [][]step{crash, exit(78), good}, 78, 2, 100 * time.Millisecond},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h.prepare(t, tt.runs...)
			started := time.Now()
			if code, said := h.spawn(t, 0, 0); code != tt.code {
				t.Errorf("exit code %d, want %d: %s", code, tt.code, said)
			}
			h.results(t, tt.lives)
			if took := time.Since(started); took < tt.least || took > tt.least+5*time.Second {
				t.Errorf("took %v, want %v and a little", took, tt.least)
			}
		})
	}
	t.Run("another one is restarting", func(t *testing.T) {
		dir, err := os.Open(h.base + "/spool")
		if err != nil {
			t.Fatal(err)
		}
		defer dir.Close()
		if err := unix.Flock(int(dir.Fd()), unix.LOCK_EX); err != nil {
			t.Fatal(err)
		}
		h.prepare(t, crash, good)
		if code, said := h.spawn(t, 0, 0); code != 0 {
			t.Errorf("exit code %d: %s", code, said)
		}
		h.results(t, 1)
		if log := h.logged(); !strings.Contains(log, "left to another dma-spawn") {
			t.Errorf("log: %s", log)
		}
	})
	t.Run("no runner", func(t *testing.T) {
		h.prepare(t, good)
		runner := h.base + "/libexec/dma-queue-runner"
		if err := os.Rename(runner, runner+".away"); err != nil {
			t.Fatal(err)
		}
		defer os.Rename(runner+".away", runner)
		if code, said := h.spawn(t, 0, 0); code != 72 {
			t.Errorf("exit code %d: %s", code, said)
		}
	})
}

func (h *host) testFlood(t *testing.T) {
	tests := []struct {
		name    string
		request step
		started int
	}{
		{"in all", step{Role: proto.RoleRemote}, 64},
		{"of one user", step{Role: proto.RoleUser, Login: "bob"}, 8},
		{"of nobody for root", step{Role: proto.RoleMailbox, Login: "root"}, 8},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.request.Do, tt.request.Count = "flood", 100
			h.prepare(t, []step{tt.request})
			if code, said := h.spawn(t, 0, 0); code != 0 {
				t.Fatalf("exit code %d: %s", code, said)
			}
			started, refused := 0, 0
			for _, a := range h.results(t, 1)[0].Answers {
				switch {
				case a.Report != nil:
					started++
				case a.Refused != nil && a.Refused.Why == proto.RefusedLater:
					refused++
				default:
					t.Errorf("answer %+v", a)
				}
			}
			if started != tt.started || refused != 100-tt.started {
				t.Errorf("%d started, %d refused; want %d and %d", started, refused, tt.started, 100-tt.started)
			}
		})
	}
}

// A user may stop a process as soon as it has the user's uid. That must delay
// nobody else (RULES B7).
func (h *host) testStopped(t *testing.T) {
	for range 2 {
		stopper := exec.Command(h.base + "/libexec/stopper")
		stopper.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: aliceID, Gid: aliceID}}
		if err := stopper.Start(); err != nil {
			t.Fatal(err)
		}
		defer stopper.Wait()
		defer stopper.Process.Kill()
	}
	h.prepare(t, []step{
		{Do: "flood", Count: 5, Quiet: true, Role: proto.RoleForward, Login: "alice"},
		{Do: "start", Role: proto.RoleForward, Login: "bob"},
		{Do: "exit", Count: 78},
	})
	started := time.Now()
	// Helpers of alice that were stopped later than that live until dma-spawn ends them.
	cmd := exec.Command(h.base + "/libexec/dma-spawn")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Wait()
	defer cmd.Process.Kill()
	for {
		lives, _ := filepath.Glob(h.base + "/results/*.json")
		if len(lives) == 1 {
			break
		}
		if time.Since(started) > 25*time.Second {
			out, _ := exec.Command("sh", "-c", "ps axo pid,ppid,stat,uid,wchan:30,args; cat "+h.base+"/results/*").CombinedOutput()
			t.Fatalf("the queue hangs because one user stopped a process\n%s", out)
		}
		time.Sleep(50 * time.Millisecond)
	}
	answers := h.results(t, 1)[0].Answers
	if last := answers[len(answers)-1]; last.Report == nil {
		t.Errorf("bob's helper: %+v", last)
	}
	t.Logf("%d answers after %v", len(answers), time.Since(started))
}

// Root without all its powers must fail, not loop.
func (h *host) testHalfRoot(t *testing.T) {
	h.prepare(t, nil)
	code, said := h.exec(t, 0, 0, "/usr/bin/setpriv", "--bounding-set=-setgid", "--inh-caps=-setgid",
		"--clear-groups", "--regid", "64001", h.base+"/libexec/dma-spawn")
	if log := h.logged(); code != 71 || !strings.Contains(log, "become root alone") {
		t.Errorf("exit code %d: %s%s", code, said, log)
	}
	h.results(t, 0)
}
