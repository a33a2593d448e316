package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"dma/proto"
)

// A host is a directory in which dma-spawn is installed among impostors.
type host struct {
	base string // holds libexec, spool, results, script
	log  *net.UnixConn
}

// Accounts of the tests. No system has these numbers.
const (
	aliceID  = 64001
	bobID    = 64002
	queueID  = 64011
	remoteID = 64012
	submitID = 64013
	mailID   = 64014
	nobodyID = 64015
)

// newHost builds dma-spawn with the given link-time values besides the paths.
func newHost(t *testing.T, base string, vars map[string]string) *host {
	t.Helper()
	for _, dir := range []string{"", "/libexec", "/spool", "/results"} {
		if err := os.MkdirAll(base+dir, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(base+dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(base+"/results", 0o777); err != nil {
		t.Fatal(err)
	}
	flags := fmt.Sprintf("-X dma/common/site.Libexec=%s/libexec -X dma/common/site.Spool=%s/spool -X dma/common/site.LogSocket=%s/log", base, base, base)
	for name, value := range vars {
		flags += fmt.Sprintf(" -X 'dma/common/site.%s=%s'", name, value)
	}
	build := exec.Command("go", "build", "-buildvcs=false", "-o", base+"/libexec/dma-spawn", "-ldflags", flags, ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	impostor, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(base+"/libexec/impostor", impostor, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"dma-queue-runner", "dma-forward", "dma-local", "dma-remote", "hostile", "stopper"} {
		if err := os.Symlink("impostor", base+"/libexec/"+name); err != nil {
			t.Fatal(err)
		}
	}
	log, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: base + "/log", Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { log.Close() })
	if err := os.Chmod(base+"/log", 0o666); err != nil {
		t.Fatal(err)
	}
	return &host{base, log}
}

// logged returns what was logged since the last call.
func (h *host) logged() string {
	var lines strings.Builder
	line := make([]byte, 4096)
	for {
		_ = h.log.SetReadDeadline(time.Now().Add(10 * time.Millisecond))
		n, err := h.log.Read(line)
		if err != nil {
			return lines.String()
		}
		fmt.Fprintf(&lines, "%s\n", line[:n])
	}
}

// prepare writes the script of the next dma-spawn.
func (h *host) prepare(t *testing.T, runs ...[]step) {
	t.Helper()
	text, err := json.Marshal(runs)
	if err == nil {
		err = os.WriteFile(h.base+"/script", text, 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
	h.logged()
	old, _ := filepath.Glob(h.base + "/results/*")
	for _, name := range old {
		if err := os.Remove(name); err != nil {
			t.Fatal(err)
		}
	}
}

// results returns what n runners saw; those that were killed are not at an end.
func (h *host) results(t *testing.T, n int) []life {
	t.Helper()
	names, _ := filepath.Glob(h.base + "/results/*")
	if len(names) != n {
		t.Fatalf("%d runners, want %d", len(names), n)
	}
	lives := make([]life, n)
	for i, name := range names {
		text, err := os.ReadFile(name)
		if err == nil {
			err = json.Unmarshal(text, &lives[i])
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return lives
}

// spawn runs dma-spawn as uid and returns its exit code and what it said.
func (h *host) spawn(t *testing.T, uid, gid uint32) (int, string) {
	t.Helper()
	return h.exec(t, uid, gid, h.base+"/libexec/dma-spawn")
}

func (h *host) exec(t *testing.T, uid, gid uint32, args ...string) (int, string) {
	t.Helper()
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Env = []string{"GODEBUG=madvdontneed=1", "HOME=/"}
	var said bytes.Buffer
	cmd.Stderr = &said
	if os.Getuid() == 0 {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: gid, Groups: []uint32{gid}}}
	}
	// The runner's end may come long after what the caller sees.
	limit := time.AfterFunc(50*time.Second, func() { _ = cmd.Process.Kill() })
	defer limit.Stop()
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), said.String()
}

// private makes a host with a private build and tells who its user is.
func private(t *testing.T) (h *host, uid uint32) {
	t.Helper()
	uid = uint32(os.Getuid())
	if uid == 0 {
		uid = aliceID // so that it is tried without privileges
	}
	base := t.TempDir()
	for dir := base; dir != os.TempDir() && dir != "/"; dir = filepath.Dir(dir) {
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	passwd := base + "/passwd"
	accounts := fmt.Sprintf("root:x:0:0::/root:/bin/sh\nme:x:%d:%d:Me:/home/me:/bin/zsh\nbob:x:%d:%d::/home/bob:/bin/sh\n", uid, uid, bobID, bobID)
	if err := os.WriteFile(passwd, []byte(accounts), 0o644); err != nil {
		t.Fatal(err)
	}
	return newHost(t, base, map[string]string{"QueueUser": "", "Passwd": passwd, "Nsswitch": base + "/nsswitch"}), uid
}

// expect is what a start step must lead to: a helper, or a refusal.
type expect struct {
	name    string
	role    proto.Role
	login   string
	refused proto.Refusal
	text    string // part of the refusal

	program  string
	uid, gid uint32
	hello    proto.Hello
}

func (h *host) check(t *testing.T, table []expect, as, group uint32) {
	var script []step
	for _, e := range table {
		script = append(script, step{Do: "start", Role: e.role, Login: e.login})
	}
	h.prepare(t, script)
	if code, said := h.spawn(t, as, group); code != 0 {
		t.Fatalf("exit code %d: %s", code, said)
	}
	seen := h.results(t, 1)[0]
	if len(seen.Answers) != len(table) {
		t.Fatalf("%d answers to %d requests: %+v", len(seen.Answers), len(table), seen.Answers)
	}
	for i, e := range table {
		t.Run(e.name, func(t *testing.T) { e.compare(t, seen.Answers[i]) })
	}
}

func (e expect) compare(t *testing.T, a answer) {
	t.Helper()
	switch {
	case a.Error != "":
		t.Fatal(a.Error)
	case e.refused != 0:
		if a.Refused == nil {
			t.Fatalf("started %s as uid %s", a.Report.Name, a.Report.Status["Uid"])
		}
		if a.Refused.Why != e.refused || !strings.Contains(a.Refused.Text, e.text) {
			t.Fatalf("refused with %d, %q; want %d, %q", a.Refused.Why, a.Refused.Text, e.refused, e.text)
		}
		return
	case a.Refused != nil:
		t.Fatalf("refused: %s", a.Refused.Text)
	}
	r := a.Report
	if r.Name != e.program {
		t.Errorf("started %s, want %s", r.Name, e.program)
	}
	e.hello.Version = proto.Version
	if r.Hello != e.hello {
		t.Errorf("Hello %+v, want %+v", r.Hello, e.hello)
	}
	r.checkWorld(t, e.uid, e.gid, "/dev/null")
}

// checkWorld checks everything that a child of dma-spawn must find. Standard error
// is a pipe for the runner of somebody who is trusted with it, and /dev/null for all
// others.
func (r *report) checkWorld(t *testing.T, uid, gid uint32, stderr string) {
	t.Helper()
	four := func(id uint32) string { return strings.TrimSpace(strings.Repeat(fmt.Sprint(id, " "), 4)) }
	none := strings.Repeat("0", 16)
	want := map[string]string{
		"Uid": four(uid), "Gid": four(gid), "Umask": "0077",
		"SigBlk": none, "SigIgn": none, "SigPnd": none, "ShdPnd": none,
		"CapPrm": none, "CapEff": none, "CapAmb": none, "CapInh": none,
	}
	if os.Getuid() == 0 { // else they are the caller's, and nobody may change them
		want["Groups"] = fmt.Sprint(gid)
	}
	for key, value := range want {
		if r.Status[key] != value {
			t.Errorf("%s: %s is %q, want %q", r.Name, key, r.Status[key], value)
		}
	}
	if len(r.FDs) != 4 || r.FDs[0] != "/dev/null" || r.FDs[1] != "/dev/null" || !strings.HasPrefix(r.FDs[2], stderr) || !strings.HasPrefix(r.FDs[3], "socket:") {
		t.Errorf("%s: descriptors %v", r.Name, r.FDs)
	}
	if len(r.Env) != 0 || r.Cwd != "/" || !r.Leader || r.TTY != "0" {
		t.Errorf("%s: environment %q, cwd %q, session leader %v, tty %s", r.Name, r.Env, r.Cwd, r.Leader, r.TTY)
	}
}

func TestPrivate(t *testing.T) {
	h, me := private(t)
	hello := proto.Hello{Login: "me", UID: me, Home: "/home/me", Shell: "/bin/zsh", Queue: me}
	h.check(t, []expect{
		{name: "forward", role: proto.RoleForward, login: "me", program: "dma-forward", uid: me, gid: me, hello: hello},
		{name: "mailbox", role: proto.RoleMailbox, login: "me", program: "dma-local", uid: me, gid: me, hello: hello},
		{name: "user", role: proto.RoleUser, login: "me", program: "dma-local", uid: me, gid: me, hello: hello},
		{name: "remote", role: proto.RoleRemote, program: "dma-remote", uid: me, gid: me, hello: proto.Hello{Queue: me}},
		{name: "somebody else", role: proto.RoleMailbox, login: "bob", refused: proto.RefusedLater, text: "private build: mail is delivered for me only"},
		{name: "root", role: proto.RoleMailbox, login: "root", refused: proto.RefusedLater, text: "private build"},
		{name: "root's command", role: proto.RoleUser, login: "root", refused: proto.RefusedLater, text: "private build"},
		{name: "unknown", role: proto.RoleMailbox, login: "carol", refused: proto.RefusedUnknown, text: "no such user: carol"},
		{name: "path", role: proto.RoleUser, login: "../me", refused: proto.RefusedUnknown, text: "cannot be a login"},
		{name: "option", role: proto.RoleUser, login: "-me", refused: proto.RefusedUnknown, text: "cannot be a login"},
		{name: "no login", role: proto.RoleForward, login: "", refused: proto.RefusedUnknown, text: "cannot be a login"},
		{name: "alias", role: proto.RoleAlias, program: "dma-local", uid: me, gid: me, hello: proto.Hello{Login: "me", UID: me, Home: "/home/me", Shell: "/bin/zsh", Queue: me, Aliases: true}},
		{name: "remote for a login", role: proto.RoleRemote, login: "me", refused: proto.RefusedForbidden, text: "no login"},
	}, me, me)
	// A runner's channel must give nothing away either.
	h.results(t, 1)[0].Self.checkWorld(t, me, me, "pipe:")
}

// packet builds a message by hand.
func packet(typ, flags uint16, length int, body string) []byte {
	p := []byte{byte(typ >> 8), byte(typ), byte(flags >> 8), byte(flags), 0, 0, byte(length >> 8), byte(length), 0, 0, 0, 1}
	return append(p, body...)
}

func TestTakenOverRunner(t *testing.T) {
	h, me := private(t)
	start := string([]byte{byte(proto.RoleForward), 0, 2}) + "me"
	tests := []struct {
		name string
		step step
		log  string
	}{
		{"header cut off", step{Do: "raw", Raw: []byte("short")}, "message of 5 bytes"},
		{"unknown type", step{Do: "raw", Raw: packet(999, 0, 12, "")}, "unknown message type 999"},
		{"answer instead of request", step{Do: "raw", Raw: packet(uint16(proto.TypeStarted), 1, 16, "\x00\x00\x00\x01"), Files: 1}, "in the wrong state"},
		{"second greeting", step{Do: "raw", Raw: packet(uint16(proto.TypeHello), 0, 29, "\x00\x01"+strings.Repeat("\x00", 15))}, "in the wrong state"},
		{"role 0", step{Do: "raw", Raw: packet(uint16(proto.TypeStart), 0, 15, "\x00\x00\x00")}, "value 0 of an enumeration"},
		{"role 6", step{Do: "raw", Raw: packet(uint16(proto.TypeStart), 0, 17, "\x06\x00\x02me")}, "value 6 of an enumeration"},
		{"trailing bytes", step{Do: "raw", Raw: packet(uint16(proto.TypeStart), 0, 18, start+"x")}, "left over"},
		{"wrong length", step{Do: "raw", Raw: packet(uint16(proto.TypeStart), 0, 99, start)}, "says it has 99"},
		{"login too long", step{Do: "raw", Raw: packet(uint16(proto.TypeStart), 0, 48, "\x01\x00\x21"+strings.Repeat("a", 33))}, "limit 32"},
		{"NUL in login", step{Do: "raw", Raw: packet(uint16(proto.TypeStart), 0, 18, "\x01\x00\x03me\x00")}, "control byte"},
		{"a descriptor", step{Do: "raw", Raw: packet(uint16(proto.TypeStart), 0, 17, start), Files: 1}, "1 descriptors with message"},
		{"announced descriptor", step{Do: "raw", Raw: packet(uint16(proto.TypeStart), 1, 17, start), Files: 1}, "flags 0x1"},
		{"many descriptors", step{Do: "raw", Raw: packet(uint16(proto.TypeStart), 0, 17, start), Files: 250}, "descriptors cut off"},
		{"oversized", step{Do: "raw", Raw: bytes.Repeat(packet(uint16(proto.TypeStart), 0, 17, start), 2000)}, "message over"},
		{"closes and stays", step{Do: "linger"}, "signal: killed"},
		{"does not read answers", step{Do: "deaf", Count: 100000, Role: proto.RoleForward, Login: "x"}, "timeout"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if testing.Short() && (tt.step.Do == "linger" || tt.step.Do == "deaf") {
				tt.step.Do, tt.log = "crash", "signal: killed"
			}
			h.prepare(t, []step{tt.step}, []step{{Do: "start", Role: proto.RoleForward, Login: "me"}})
			if code, said := h.spawn(t, me, me); code != 0 {
				t.Fatalf("exit code %d: %s", code, said)
			}
			// The first runner was killed; the second one found all as it must be.
			lives := h.results(t, 2)
			for _, a := range lives[0].Answers {
				if a.Report != nil {
					t.Errorf("started %s", a.Report.Name)
				}
			}
			if a := lives[1].Answers; len(a) != 1 || a[0].Report == nil {
				t.Errorf("answers afterwards: %+v", a)
			}
			if log := h.logged(); !strings.Contains(log, tt.log) || !strings.Contains(log, "run queue runner") {
				t.Errorf("log has no %q:\n%s", tt.log, log)
			}
		})
	}
}

// Whatever a runner asked for, afterwards dma-spawn holds what it held before.
func TestNothingLeaks(t *testing.T) {
	h, me := private(t)
	script := []step{{Do: "wait", Count: 1000}}
	for range 3 {
		script = append(script,
			step{Do: "flood", Count: 100, Role: proto.RoleRemote}, step{Do: "release"},
			step{Do: "flood", Count: 100, Role: proto.RoleUser, Login: "unknown"})
	}
	h.prepare(t, append(script, step{Do: "wait", Count: 3000}))
	cmd := exec.Command(h.base + "/libexec/dma-spawn")
	if os.Getuid() == 0 {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: me, Gid: me}}
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Wait()
	held := func() (descriptors, children, threads int) {
		fds, _ := os.ReadDir(fmt.Sprintf("/proc/%d/fd", cmd.Process.Pid))
		tasks, _ := os.ReadDir(fmt.Sprintf("/proc/%d/task", cmd.Process.Pid))
		for _, task := range tasks {
			pids, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%s/children", cmd.Process.Pid, task.Name()))
			children += len(strings.Fields(string(pids)))
		}
		return len(fds), children, len(tasks)
	}
	time.Sleep(500 * time.Millisecond)
	before, children, _ := held()
	if children != 1 {
		t.Fatalf("%d children at first", children)
	}
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		lives, _ := filepath.Glob(h.base + "/results/*")
		if len(lives) == 1 {
			if text, err := os.ReadFile(lives[0]); err == nil && strings.Count(string(text), `"Step"`) == 600 {
				break
			}
		}
		if time.Now().After(end) {
			t.Fatal("no answers")
		}
	}
	time.Sleep(time.Second)
	after, children, threads := held()
	if after != before || children != 1 || threads > 64+16 { // one waits for each helper
		t.Errorf("%d descriptors, before %d; %d children; %d threads", after, before, children, threads)
	}
}
