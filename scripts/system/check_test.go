//go:build system

package system

import (
	"os"
	"strings"
	"testing"
)

// findings are the lines of dma --check that are not ok.
func findings(out string) (list []string) {
	for line := range strings.Lines(out) {
		if !strings.HasPrefix(line, "ok: ") {
			list = append(list, strings.TrimSpace(line))
		}
	}
	return list
}

// TestCheck: dma --check has nothing to say against what make install has made,
// tries the way to the smarthost without sending, and finds what was broken.
func TestCheck(t *testing.T) {
	w := newWorld(t, "")
	if err := os.WriteFile("/etc/aliases", []byte("root: alice\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.WriteFile("/etc/aliases", nil, 0o644) })
	out := w.call("root", "", "dma", "--check").out
	for _, line := range findings(out) {
		// The tests' own machine is no mail server's: what is not the suite's may be wrong.
		for _, ours := range []string{"account ", "group ", "/usr/libexec/dma", "/usr/sbin/dma-queue", "/usr/sbin/sendmail", "/usr/bin/mailq", "/var/spool/dma", "/var/mail", "/etc/dma", "/etc/aliases", "queue runner", "connection", "login"} {
			if strings.Contains(line, ": "+ours) {
				t.Errorf("found: %s", line)
			}
		}
	}
	for _, want := range []string{"ok: /usr/libexec/dma/dma-spawn: root:_dmas, mode 4750\n", "ok: queue runner: answers\n", "ok: mail for root: goes to alice\n", "ok: greeting: 220 "} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is not found in\n%s", want, out)
		}
	}
	if n := len(w.taken()); n > 0 {
		t.Errorf("%d messages were sent", n)
	}

	if a := w.call("alice", "", "dma", "--check"); !strings.Contains(a.out, "Not looked at, as only root may: ") || strings.Contains(a.out, "error: group _dmas") {
		t.Errorf("alice is told\n%s", a.out)
	}
	if err := os.Chmod("/usr/libexec/dma/dma-spawn", 0o750); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.Chmod("/usr/libexec/dma/dma-spawn", 0o750|os.ModeSetuid) })
	if a := w.expect(exConfig, "root", "dma", "--check"); !strings.Contains(a.out, "error: /usr/libexec/dma/dma-spawn: its mode is 0750, not 4750; run: chmod 4750 ") {
		t.Errorf("a launcher without its bit:\n%s", a.out)
	}
}
