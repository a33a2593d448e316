//go:build system

package system

import (
	"encoding/json"
	"errors"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Exit codes of sysexits.h.
const (
	exNoInput = 66
	exNoUser  = 67
	exNoPerm  = 77
	exConfig  = 78
)

// answer is what a program said.
type answer struct {
	out, err string
	code     int
}

// call runs a program of the suite as login.
func (w *world) call(login, stdin string, args ...string) answer {
	w.t.Helper()
	cmd := as(w.t, login, stdin, args...)
	var out, stderr strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &stderr
	err := cmd.Run()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		w.t.Fatalf("%q as %s: %v", args, login, err)
	}
	return answer{out.String(), stderr.String(), cmd.ProcessState.ExitCode()}
}

// expect runs a program that has to end with code.
func (w *world) expect(code int, login string, args ...string) answer {
	w.t.Helper()
	a := w.call(login, "", args...)
	if a.code != code {
		w.t.Errorf("%q as %s: exit %d, want %d\n%s%s", args, login, a.code, code, a.out, a.err)
	}
	return a
}

// submit hands in a message that stays in the queue, and returns its id.
func (w *world) submit(login, body string, args ...string) string {
	w.t.Helper()
	before := queuedIDs()
	w.must(login, body, append([]string{"sendmail"}, args...)...)
	for _, id := range queuedIDs() {
		if !slices.Contains(before, id) {
			return id
		}
	}
	w.t.Fatalf("the message of %s is not in the queue", login)
	return ""
}

// queuedIDs lists the messages that the spool has files of.
func queuedIDs() (list []string) {
	for _, path := range queued() {
		list = append(list, strings.TrimSuffix(filepath.Base(path), ".log"))
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// deferred waits until so many recipients are deferred, says the log.
func (w *world) deferred(n int) {
	w.t.Helper()
	w.eventually(10*time.Second, "recipients are deferred", func() bool {
		return strings.Count(w.log(), " delivery deferred next=") == n
	})
}

// accepting starts the smarthost anew, in the same place, to take everything.
func (w *world) accepting() {
	w.t.Helper()
	w.stop()
	w.start("-addr=" + strings.TrimSpace(w.oldAddress()))
}

// arrived lists the recipients of what the smarthost took.
func (w *world) arrived() (list []string) {
	for _, e := range w.taken() {
		list = append(list, e.Recipients...)
	}
	slices.Sort(list)
	return list
}

// entry is a message in the default format of mailq.
func entry(id, from, to string) string {
	return "ID\t: " + id + "\nFrom\t: " + from + "\nTo\t: " + to + "\n"
}

// Each sees their own mail, root all of it, in every format, with or without a runner.
func TestOperatorList(t *testing.T) {
	w := newWorld(t, "MINRETRY 1h\n", "0|^RCPT|450 4.2.1 mailbox is busy")
	first := w.submit("alice", "Subject: one\n\nhello\n", "x@remote.example", "y@remote.example")
	second := w.submit("bob", "Subject: two\n\nhello\n", "z@remote.example")
	w.deferred(3)
	const alice, bob = "alice@client.example.net", "bob@client.example.net"
	hers := entry(first, alice, "x@remote.example") + "--\n" + entry(first, alice, "y@remote.example")
	his := entry(second, bob, "z@remote.example")
	for _, runner := range []string{"resting", "none"} {
		if runner == "none" {
			stopSuite()
		}
		for login, want := range map[string]string{"alice": hers, "bob": his, "carol": "Mail queue is empty\n", "root": hers + "--\n" + his} {
			for _, args := range [][]string{{"mailq"}, {"sendmail", "-bp"}, {"dma-queue", "--list"}, {"mailq", "-Ac", "--format=dma"}} {
				if got := w.expect(0, login, args...); got.out != want || got.err != "" {
					t.Errorf("runner %s, %q as %s:\n%q\nwant\n%q\n%s", runner, args, login, got.out, want, got.err)
				}
			}
		}
	}
	verbose := w.expect(0, "alice", "mailq", "-v").out
	for _, want := range []string{entry(first, alice, "x@remote.example"), "\nTries\t: 1\n", "\nNext\t: ", "\nReason\t: ", "450 4.2.1 mailbox is busy", "bytes from uid 5001\n"} {
		if !strings.Contains(verbose, want) {
			t.Errorf("mailq -v lacks %q:\n%s", want, verbose)
		}
	}
	if strings.Count(verbose, "Tries") != 2 || strings.Contains(verbose, second) {
		t.Errorf("mailq -v:\n%s", verbose)
	}
	w.checkJSON(w.expect(0, "root", "mailq", "--format=json").out, first, second)
	w.checkForeignFormats(first, second)
	if got := w.expect(0, "alice", "dma-queue", "--list", "--recipient=y@remote.example").out; got != entry(first, alice, "y@remote.example") && got != hers {
		t.Errorf("by recipient:\n%s", got)
	}
	if got := w.expect(0, "alice", "dma-queue", "--list", "--sender", bob).out; got != "Mail queue is empty\n" {
		t.Errorf("by sender:\n%s", got)
	}
	if got := w.expect(exNoInput, "alice", "dma-queue", "--list", second); strings.Contains(got.out, bob) {
		t.Errorf("alice sees bob's mail:\n%s", got.out)
	}
}

func (w *world) checkJSON(text, first, second string) {
	w.t.Helper()
	type recipient struct {
		Recipient string `json:"recipient"`
		Tries     int    `json:"tries"`
		Next      int64  `json:"next"`
		Reason    string `json:"reason"`
	}
	var list []struct {
		ID         string      `json:"id"`
		Sender     string      `json:"sender"`
		UID        int         `json:"uid"`
		Arrived    int64       `json:"arrived"`
		Size       int64       `json:"size"`
		State      string      `json:"state"`
		Recipients []recipient `json:"recipients"`
	}
	if err := json.Unmarshal([]byte(text), &list); err != nil {
		w.t.Fatalf("json: %v\n%s", err, text)
	}
	if len(list) != 2 || list[0].ID != first || list[1].ID != second || len(list[0].Recipients) != 2 || len(list[1].Recipients) != 1 {
		w.t.Fatalf("json: %+v", list)
	}
	now := time.Now().Unix()
	for i, m := range list {
		if m.UID != 5001+i || m.State != "queued" || m.Arrived < now-60 || m.Arrived > now || m.Size < 100 || !strings.HasPrefix(m.Sender, users[i]+"@") {
			w.t.Errorf("json: %+v", m)
		}
		for _, r := range m.Recipients {
			if r.Tries != 1 || r.Next < now+1000 || r.Next > now+3*3600 || !strings.Contains(r.Reason, "450 4.2.1 mailbox is busy") {
				w.t.Errorf("json: %+v", r)
			}
		}
	}
}

// checkForeignFormats looks at what scripts look at (COMPAT 1).
func (w *world) checkForeignFormats(ids ...string) {
	w.t.Helper()
	for format, want := range map[string]struct{ head, last string }{
		"postfix":  {"-Queue ID-", " Kbytes in 2 Requests."},
		"sendmail": {"", "Total requests: 2"},
	} {
		for _, args := range [][]string{{"mailq", "--format=" + format}, {"mailq", "--format", format}} {
			out := w.expect(0, "root", args...).out
			lines := strings.Split(strings.TrimSuffix(out, "\n"), "\n")
			if !strings.HasPrefix(out, want.head) || !strings.HasSuffix(lines[len(lines)-1], want.last) || strings.Count(out, "450 4.2.1 mailbox is busy") != 3 {
				w.t.Errorf("%q:\n%s", args, out)
			}
			for _, id := range ids {
				if !slices.ContainsFunc(lines, func(l string) bool { return strings.HasPrefix(l, id+" ") }) {
					w.t.Errorf("%q has no line that begins with %s:\n%s", args, id, out)
				}
			}
		}
	}
}

// What is held stays, whatever happens to the runner, until it is released.
func TestOperatorHold(t *testing.T) {
	w := newWorld(t, "MINRETRY 1h\n", "0|^RCPT|450 4.2.1 mailbox is busy")
	hers := w.submit("alice", "hello\n", "x@remote.example")
	his := w.submit("bob", "hello\n", "z@remote.example")
	w.deferred(2)
	if a := w.expect(0, "alice", "dma-queue", "--hold", hers); a.out != "held: 1 message\n" {
		t.Errorf("hold: %+v", a)
	}
	if a := w.expect(exNoPerm, "alice", "dma-queue", "--hold", his); a.out != "held: 0 messages\n" || !strings.Contains(a.err, "not yours") {
		t.Errorf("hold of bob's: %+v", a)
	}
	w.accepting()
	w.killRunner()
	w.must("root", "", "sendmail", "-q")
	w.eventually(10*time.Second, "what is not held is delivered", func() bool { return slices.Equal(w.arrived(), []string{"z@remote.example"}) })
	stopSuite()
	for _, login := range []string{"alice", "root"} {
		w.must(login, "", "sendmail", "-q")
		w.expect(exNoInput, login, "dma-queue", "--flush", hers)
	}
	if out := w.expect(0, "alice", "mailq", "--format=json").out; !strings.Contains(out, `"state":"held"`) {
		t.Errorf("the message is not held any more:\n%s", out)
	}
	w.expect(0, "alice", "mailq", "-v")
	w.eventually(5*time.Second, "the runner rests or has ended", func() bool { return len(processes()) == 0 || len(processes()) == 2 })
	if got := w.arrived(); len(got) != 1 {
		t.Errorf("held mail was delivered: %v", got)
	}
	stopSuite()
	if a := w.expect(exNoPerm, "bob", "dma-queue", "--release", hers); a.out != "released: 0 messages\n" {
		t.Errorf("release by bob: %+v", a)
	}
	if a := w.expect(0, "alice", "dma-queue", "--release", hers); a.out != "released: 1 message\n" {
		t.Errorf("release: %+v", a)
	}
	w.must("alice", "", "sendmail", "-q")
	w.drained(10 * time.Second)
	if got := w.arrived(); !slices.Equal(got, []string{"x@remote.example", "z@remote.example"}) {
		t.Errorf("arrived: %v", got)
	}
	w.quiet()
}

// killRunner kills the runner alone, and waits for the next.
func (w *world) killRunner() {
	w.t.Helper()
	runner := func() int {
		for _, p := range processes() {
			if p.program == "dma-queue-runner" {
				return p.pid
			}
		}
		return 0
	}
	old := runner()
	if old == 0 {
		w.t.Fatal("there is no runner")
	}
	if err := syscall.Kill(old, syscall.SIGKILL); err != nil {
		w.t.Fatal(err)
	}
	w.eventually(10*time.Second, "the runner is started again", func() bool { p := runner(); return p != 0 && p != old })
}

// A flush tries what it names: of one's own, or of everybody's for root.
func TestOperatorFlush(t *testing.T) {
	w := newWorld(t, "MINRETRY 1h\n", "0|^RCPT|450 4.2.1 mailbox is busy")
	w.submit("alice", "hello\n", "x@remote.example")
	w.submit("alice", "hello\n", "y@remote.example")
	w.submit("bob", "hello\n", "x@remote.example")
	last := w.submit("bob", "hello\n", "z@remote.example")
	w.deferred(4)
	w.accepting()
	for _, step := range []struct {
		login string
		args  []string
		want  string // recipients that have got their mail then
	}{
		{"alice", []string{"--recipient=x@remote.example"}, "x"},
		{"alice", []string{"--all"}, "x y"},
		{"root", []string{last}, "x y z"},
		{"root", nil, "x x y z"},
	} {
		a := w.expect(0, step.login, append([]string{"dma-queue", "--flush"}, step.args...)...)
		if a.out != "to be tried now: 1 message\n" {
			t.Errorf("%v: %+v", step, a)
		}
		var want []string
		for _, name := range strings.Fields(step.want) {
			want = append(want, name+"@remote.example")
		}
		w.eventually(5*time.Second, "arrived: "+step.want, func() bool { return slices.Equal(w.arrived(), want) })
	}
	w.drained(5 * time.Second)
}

// Only the submitter and root may look into a message or remove it.
func TestOperatorRights(t *testing.T) {
	w := newWorld(t, "MINRETRY 1h\n", "0|^RCPT|450 4.2.1 mailbox is busy")
	hers := w.submit("alice", "Subject: secret plan\n\nfirst line\nbell \a\n", "x@remote.example")
	his := w.submit("bob", "Subject: other\n\nhello\n", "z@remote.example")
	w.deferred(2)
	for _, login := range []string{"alice", "root"} {
		out := w.expect(0, login, "dma-queue", "--show", hers).out
		for _, want := range []string{entry(hers, "alice@client.example.net", "x@remote.example"), "\nReason\t: ", "\nReceived: from alice (uid 5001)\n", "\nSubject: secret plan\n", "\n\nfirst line\nbell ?\n"} {
			if !strings.Contains(out, want) {
				t.Errorf("--show as %s lacks %q:\n%s", login, want, out)
			}
		}
	}
	if a := w.expect(exNoInput, "bob", "dma-queue", "--show", hers); strings.Contains(a.out+a.err, "secret") || strings.Contains(a.out+a.err, "remote.example") {
		t.Errorf("--show as bob: %+v", a)
	}
	stopSuite() // it goes without a runner, too
	if a := w.expect(exNoPerm, "alice", "dma-queue", "--remove", his); a.out != "removed: 0 messages\n" {
		t.Errorf("remove of bob's: %+v", a)
	}
	w.expect(exNoInput, "root", "dma-queue", "--remove", "6634a1b2c3d4e.0123456789ab")
	if got := queuedIDs(); !slices.Equal(got, []string{hers, his}) {
		t.Errorf("the queue holds %v", got)
	}
	if a := w.expect(0, "root", "dma-queue", "--remove", his); a.out != "removed: 1 message\n" {
		t.Errorf("remove by root: %+v", a)
	}
	if a := w.expect(0, "alice", "dma-queue", "--remove", "--all"); a.out != "removed: 1 message\n" {
		t.Errorf("remove of all: %+v", a)
	}
	if left := queued(); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
	w.quiet()
	if box := w.read("/var/mail/alice") + w.read("/var/mail/bob"); box != "" {
		t.Errorf("somebody was told:\n%s", box)
	}
}
