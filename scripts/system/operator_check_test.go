//go:build system

package system

import (
	"os"
	"slices"
	"strings"
	"testing"
)

// change gives a file other text or another mode, until the test ends.
func change(t *testing.T, path, more string, mode os.FileMode) {
	t.Helper()
	st, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if more != "" {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = os.WriteFile(path, text, 0) })
		if err := os.WriteFile(path, append(text, more...), 0); err != nil {
			t.Fatal(err)
		}
	}
	if mode != 0 {
		t.Cleanup(func() { _ = os.Chmod(path, st.Mode()) })
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
	}
}

// dma-queue --check finds nothing wrong with what make install has made.
func TestOperatorCheckHealthy(t *testing.T) {
	w := newWorld(t, quick+"AUTHPATH /etc/dma/auth.conf\n")
	for _, login := range []string{"root", "alice"} {
		a := w.call(login, "", "dma-queue", "--check")
		if a.code > 1 || a.err != "" || strings.Contains("\n"+a.out, "\nerror: ") {
			t.Errorf("--check as %s: exit %d\n%s%s", login, a.code, a.out, a.err)
		}
		for _, want := range []string{"ok: /var/spool/dma/queue: _dmaq:_dmaq, mode 0700\n", "ok: queue runner: answers\n", "ok: /etc/aliases: ", "warning: mail for root: "} {
			if !strings.Contains(a.out, want) {
				t.Errorf("--check as %s lacks %q:\n%s", login, want, a.out)
			}
		}
		if connected := strings.Contains(a.out, "ok: greeting: "); connected != (login == "root") {
			t.Errorf("--check as %s looks at the smarthost: %t\n%s", login, connected, a.out)
		}
	}
	change(t, "/etc/aliases", "root: alice\n", 0)
	if a := w.call("root", "", "dma-queue", "--check"); strings.Contains(a.out, "warning: mail for root") {
		t.Errorf("root has an alias:\n%s", a.out)
	}
	if len(w.taken()) > 0 || len(queued()) > 0 {
		t.Errorf("--check has sent something: %v %v", w.taken(), queued())
	}
	w.quiet()
}

// broken is a way to break an installation, and the line of --check that names it.
type broken struct {
	path, more string // what is added to a file; empty path: the smarthost is stopped
	mode       os.FileMode
	login      string // who asks
	code       int
	line       string // how it begins
	do         string // what it says to do
}

func brokenThings() map[string]broken {
	const queue, auth, front, spawn = "/var/spool/dma/queue", "/etc/dma/auth.conf", "/usr/sbin/dma-queue", "/usr/libexec/dma/dma-spawn"
	return map[string]broken{
		"open queue":           {queue, "", 0o755, "root", 1, "error: " + queue + ": its mode is 0755, not 0700; ", "run: chmod 0700 " + queue},
		"queue without rights": {queue, "", 0o500, "root", exConfig, "error: " + queue + ": its mode is 0500, not 0700; ", "run: chmod 0700 " + queue},
		"credentials for all":  {auth, "", 0o644, "root", exConfig, "error: " + auth + ": its mode is 0644: others can get at what is in it; ", "run: chmod o-rwx " + auth},
		"line without alias":   {"/etc/aliases", "bad line without colon\n", 0, "root", 1, "error: /etc/aliases:3: no colon", "write "},
		"set-gid bit":          {front, "", 0o755, "root", exConfig, "error: " + front + ": its mode is 0755, not 2755; ", "run: chmod 2755 " + front},
		"set-gid bit, alice":   {front, "", 0o755, "alice", exConfig, "error: " + front + ": its mode is 0755, not 2755; ", "run: chmod 2755 " + front},
		"set-uid bit":          {spawn, "", 0o750, "root", exConfig, "error: " + spawn + ": its mode is 0750, not 4750; ", "run: chmod 4750 " + spawn},
		"unknown key":          {"/etc/dma/dma.conf", "SMARTHOTS relay.example\n", 0, "root", 1, `warning: /etc/dma/dma.conf:7: unknown key "SMARTHOTS"`, "SMARTHOST"},
		"smarthost":            {"", "", 0, "root", 1, "error: connect: 127.0.0.1 [127.0.0.1] failed after connect: connection refused; ", "SMARTHOST"},
	}
}

// Each thing that is broken is named, with what to do.
func TestOperatorCheckBroken(t *testing.T) {
	for name, c := range brokenThings() {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, quick+"AUTHPATH /etc/dma/auth.conf\n")
			if c.path == "" {
				w.stop()
			} else {
				change(t, c.path, c.more, c.mode)
			}
			a := w.call(c.login, "", "dma-queue", "--check")
			named := slices.ContainsFunc(strings.Split(a.out, "\n"), func(line string) bool {
				rest, found := strings.CutPrefix(line, c.line)
				return found && strings.Contains(rest, c.do)
			})
			if a.code != c.code || !named {
				t.Errorf("--check: exit %d, want %d and a line %q ... %q\n%s", a.code, c.code, c.line, c.do, a.out)
			}
		})
	}
}
