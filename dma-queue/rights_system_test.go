//go:build system

package main

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"dma/proto"
)

// TestOwnConfig: a configuration of the caller's is read with the caller's own
// rights, which do not reach the queue (RULES A7). Root has them anyway.
func TestOwnConfig(t *testing.T) {
	f := newFrontEnd(t)
	const text = "ALIASES /etc/no-such-aliases\nMAXSIZE 3\n"
	for name, mode := range map[string]os.FileMode{"/group.conf": 0o040, "/all.conf": 0o044} {
		must(t, os.WriteFile(f.root+name, []byte(text), 0o600))
		must(t, os.Chown(f.root+name, 0, submitID))
		must(t, os.Chmod(f.root+name, mode))
	}
	for name, c := range map[string]struct {
		uid  uint32
		args []string
		code int
		want string // on standard error
	}{
		"submit":                   {aliceID, []string{"-C", f.root + "/all.conf", "far@remote.example"}, 77, "gives up the group"},
		"list":                     {aliceID, []string{"-C", f.root + "/all.conf", "-bp"}, 77, "gives up the group"},
		"aliases":                  {aliceID, []string{"-C", f.root + "/all.conf", "-bi"}, 0, ""},
		"a file for the group":     {aliceID, []string{"-C", f.root + "/group.conf", "-bi"}, 0, "permission denied; looking at"},
		"root":                     {0, []string{"-C", f.root + "/all.conf", "-bq", "far@remote.example"}, 69, "over the limit of 3 bytes"},
		"root, who is nobody then": {0, []string{"-C", f.root + "/none/x.conf", "-bq", "far@remote.example"}, 78, "read configuration"},
	} {
		code, stderr := call(t, f.sendmail(c.uid, "body\n", c.args...))
		if code != c.code || !strings.Contains(stderr, c.want) || c.want == "" && stderr != "" {
			t.Errorf("%s: exit code %d, %q", name, code, stderr)
		}
	}
	if whole, _ := submitted(t, f.root+"/spool/incoming"); len(whole) != 0 {
		t.Errorf("incoming holds %+v", whole)
	}
}

// TestNobody: without an account to become, root does nothing.
func TestNobody(t *testing.T) {
	f := newFrontEnd(t)
	must(t, os.WriteFile(f.root+"/etc/passwd", []byte("root:x:0:0::/root:/bin/sh\n"), 0o644))
	for _, args := range [][]string{{"far@remote.example"}, {"-bi"}} {
		code, stderr := call(t, f.sendmail(0, "body\n", args...))
		if code != 71 || !strings.Contains(stderr, "look up nobody") {
			t.Errorf("%q: exit code %d, %q", args, code, stderr)
		}
	}
	if whole, others := submitted(t, f.root+"/spool/incoming"); len(whole)+len(others) != 0 {
		t.Errorf("incoming holds %+v, %v", whole, others)
	}
}

// TestRootAsks: root's requests come from root, and are carried out by nobody.
func TestRootAsks(t *testing.T) {
	f := newFrontEnd(t)
	run := f.root + "/spool/run"
	must(t, os.Mkdir(run, 0o710))
	must(t, os.Chown(run, queueID, submitID))
	l, err := proto.Listen(run + "/control")
	must(t, err)
	defer l.Close()
	for name, c := range map[string]struct {
		uid  uint32
		args []string
		now  string // uid when it asks
	}{
		"alice lists":   {aliceID, []string{"-bp"}, fmt.Sprint(aliceID)},
		"root lists":    {0, []string{"-bp"}, "65534"},
		"root flushes":  {0, []string{"-q"}, "65534"},
		"root verifies": {0, []string{"-bv", "alice"}, "65534"},
		"root removes":  {0, []string{"--remove", "--all"}, "65534"},
	} {
		t.Run(name, func(t *testing.T) {
			cmd := f.sendmail(c.uid, "", c.args...)
			must(t, cmd.Start())
			defer cmd.Wait()
			defer cmd.Process.Kill()
			conn, err := l.Accept()
			must(t, err)
			defer conn.Close()
			if uid, err := conn.PeerUID(); err != nil || uid != c.uid {
				t.Errorf("it was uid %d that connected, %v", uid, err)
			}
			_, err = conn.Greet()
			must(t, err)
			_, err = conn.Recv(proto.HelloTimeout, proto.TypeList, proto.TypeFlush, proto.TypeVerify, proto.TypeRemove)
			must(t, err)
			status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", cmd.Process.Pid))
			must(t, err)
			if want := "Uid:\t" + strings.Repeat(c.now+"\t", 3); !strings.Contains(string(status), want) {
				t.Errorf("%q is not in\n%s", want, status)
			}
		})
	}
}

// TestImport: what an old dma has left of a user's is the user's submission.
func TestImport(t *testing.T) {
	f := newFrontEnd(t)
	old := f.root + "/old"
	must(t, os.Mkdir(old, 0o700))
	for name, text := range map[string]string{"Q1": "ID: 1\nSender: alice@host.example\nRecipient: far@remote.example\n", "M1": "Subject: old\n\nbody\n"} {
		must(t, os.WriteFile(old+"/"+name, []byte(text), 0o600))
		must(t, os.Chown(old+"/"+name, aliceID, 8))
	}
	if code, stderr := call(t, f.sendmail(aliceID, "", "--import", old)); code != 77 || !strings.Contains(stderr, "only root") {
		t.Errorf("alice: exit code %d, %q", code, stderr)
	}
	if code, stderr := call(t, f.sendmail(0, "", "--import", old)); code != 0 {
		t.Errorf("root: exit code %d, %q", code, stderr)
	}
	whole, others := submitted(t, f.root+"/spool/incoming")
	if len(whole) != 1 || others != nil || whole[0] != (stored{aliceID, "Subject: old\n\nbody\n"}) {
		t.Errorf("incoming holds %+v, %v", whole, others)
	}
	if left, err := os.ReadDir(old); err != nil || len(left) != 0 {
		t.Errorf("left: %v, %v", left, err)
	}
}
