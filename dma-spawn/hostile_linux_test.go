package main

import (
	"strings"
	"testing"

	"dma/proto"

	"golang.org/x/sys/unix"
)

func (h *host) testHostileParent(t *testing.T) {
	script := []step{
		{Do: "start", Role: proto.RoleUser, Login: "bob"},
		{Do: "wait", Count: 3000}, // longer than the caller's timers
		{Do: "start", Role: proto.RoleForward, Login: "alice"},
	}
	if err := unix.Mkfifo(h.base+"/fifo", 0o666); err != nil { // whoever opens it waits for ever
		t.Fatal(err)
	}
	raises := mayRaiseLimits(t)
	for _, limits := range []string{"soft", "hard", "nofile", "sigpending", "nproc", "fsize", "cpu", "stack"} {
		t.Run(limits, func(t *testing.T) {
			h.prepare(t, script)
			code, said := h.exec(t, aliceID, submitID, h.base+"/libexec/hostile", h.base+"/libexec/dma-spawn", limits)
			if limits != "soft" && !raises {
				// Such a caller's world cannot be put right, so nothing may run in it.
				log := h.logged()
				if code != 71 || !strings.Contains(log, "raise limit on ") {
					t.Errorf("exit code %d, want 71: %s%s", code, said, log)
				}
				h.results(t, 0)
				return
			}
			if code != 0 {
				t.Fatalf("exit code %d: %s", code, said)
			}
			seen := h.results(t, 1)[0]
			seen.Self.checkOwnWorld(t, queueID, queueID)
			if len(seen.Answers) != 2 || seen.Answers[0].Report == nil || seen.Answers[1].Report == nil {
				t.Fatalf("answers: %+v", seen.Answers)
			}
			seen.Answers[0].Report.checkOwnWorld(t, bobID, 64022)
			seen.Answers[1].Report.checkOwnWorld(t, aliceID, 64021)
			script = script[:1] // the long wait need not be repeated
			script = append(script, script[0])
		})
	}
}

// mayRaiseLimits reports whether root here is all of root: in containers it often is not.
func mayRaiseLimits(t *testing.T) bool {
	t.Helper()
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var caps [2]unix.CapUserData
	if err := unix.Capget(&header, &caps[0]); err != nil {
		t.Fatal(err)
	}
	return caps[0].Effective&(1<<unix.CAP_SYS_RESOURCE) != 0
}

// checkOwnWorld is checkWorld and what only root can put right.
func (r *report) checkOwnWorld(t *testing.T, uid, gid uint32) {
	t.Helper()
	r.checkWorld(t, uid, gid, "/dev/null")
	if r.Nice != 0 || r.Policy != 0 || r.IO != 0 || r.OOM != "0" {
		t.Errorf("%s: nice %d, policy %d, i/o %#x, oom_score_adj %s", r.Name, r.Nice, r.Policy, r.IO, r.OOM)
	}
	// Without all powers of root the hard limits remain; the test lowers soft ones to 20.
	limits := strings.Join(strings.Fields(r.Limits), " ")
	for _, want := range []string{
		"Max cpu time unlimited unlimited", "Max file size unlimited unlimited", "Max core file size 0 0",
		"Max stack size 8388608 ", "Max locked memory 8388608 8388608", "Max realtime priority 0 0", " 4096 files",
	} {
		if !strings.Contains(limits, want) {
			t.Errorf("%s: limits have no %q:\n%s", r.Name, want, r.Limits)
		}
	}
	for _, never := range []string{"Max processes 20 ", "Max pending signals 20 "} {
		if strings.Contains(limits, never) {
			t.Errorf("%s: limits have %q:\n%s", r.Name, never, r.Limits)
		}
	}
}
