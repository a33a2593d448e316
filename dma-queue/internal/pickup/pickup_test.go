package pickup

import (
	"bytes"
	"crypto/rand"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"dma/common/durable"
	"dma/common/maillog"
	"dma/common/passwd"
	"dma/common/site"
	"dma/dma-queue/internal/queue"
	"dma/dma-queue/internal/schedule"
	"dma/dma-queue/internal/spool"
	"dma/proto"
)

const host = "host.example"

// fixture is a spool with a Picker and what the Picker has logged.
type fixture struct {
	*Picker
	root string
	site Site
	now  time.Time
	log  *bytes.Buffer
}

func accountOf(uid uint32) (passwd.Account, error) { return passwd.LookupUID(site.Passwd, uid) }

func newFixture(t *testing.T) *fixture {
	t.Helper()
	f := &fixture{root: t.TempDir(), site: Site{Hostname: host, Account: accountOf}, now: time.Now(), log: new(bytes.Buffer)}
	for _, dir := range []string{"incoming", "queue", "failed"} {
		must(t, os.Mkdir(f.path(dir), 0o700))
	}
	q, err := queue.OpenQueue(f.root)
	must(t, err)
	now := func() time.Time { return f.now }
	f.Picker = &Picker{
		Queue: q, Log: maillog.Open(f.path("no log"), "dma", f.log, now),
		Site: func() Site { return f.site }, SysHost: "sys.example", Now: now,
	}
	return f
}

func (f *fixture) path(parts ...string) string {
	return filepath.Join(append([]string{f.root}, parts...)...)
}

func (f *fixture) incoming(id spool.ID) string { return f.path("incoming", string(id)) }

func (f *fixture) newID(t *testing.T) spool.ID {
	t.Helper()
	id, err := spool.NewID(f.now, rand.Reader)
	must(t, err)
	return id
}

// begin makes a submission that its writer still holds.
func (f *fixture) begin(t *testing.T, id spool.ID, s spool.Submission, text string) *spool.Incoming {
	t.Helper()
	dir, err := durable.OpenDir(f.path("incoming"))
	must(t, err)
	t.Cleanup(func() { dir.Close() })
	in, err := spool.NewIncoming(dir, id)
	must(t, err)
	must(t, in.SetEnvelope(s))
	_, err = in.Write([]byte(text))
	must(t, err)
	return in
}

// submit makes a complete submission.
func (f *fixture) submit(t *testing.T, id spool.ID, s spool.Submission, text string) {
	t.Helper()
	must(t, f.begin(t, id, s, text).Commit())
}

// where names the directories that have something called id, and its journal.
func (f *fixture) where(t *testing.T, id spool.ID) string {
	t.Helper()
	var in []string
	for _, dir := range []string{"incoming", "queue", "failed"} {
		names, err := filepath.Glob(f.path(dir, "*"))
		must(t, err)
		for _, n := range names {
			switch filepath.Base(n) {
			case string(id):
				in = append(in, dir)
			case "other link": // of the test's
			default:
				t.Errorf("unexpected %s", n)
			}
		}
	}
	return strings.Join(in, " ")
}

func (f *fixture) age(t *testing.T, id spool.ID, by time.Duration) {
	t.Helper()
	when := f.now.Add(-by)
	must(t, os.Chtimes(f.incoming(id), when, when))
}

// logged is the lines of the log, without their levels.
func (f *fixture) logged() []string {
	lines := strings.Split(strings.TrimSuffix(f.log.String(), "\n"), "\n")
	for i, l := range lines {
		if _, text, ok := strings.Cut(l, ">"); ok && l[0] == '<' {
			lines[i] = text
		}
	}
	return lines
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

var plain = spool.Submission{Recipients: spool.To("bob")}

const text = "Subject: x\n\nbody\n"

// damage makes a whole submission and then changes its bytes.
func damage(change func([]byte) []byte) func(*testing.T, *fixture, spool.ID) {
	return func(t *testing.T, f *fixture, id spool.ID) {
		f.submit(t, id, plain, text)
		b, err := os.ReadFile(f.incoming(id))
		must(t, err)
		b = change(b)
		must(t, os.WriteFile(f.incoming(id), b, 0o604))
	}
}

func raw(b string, age time.Duration) func(*testing.T, *fixture, spool.ID) {
	return func(t *testing.T, f *fixture, id spool.ID) {
		must(t, os.WriteFile(f.incoming(id), []byte(b), 0o604))
		must(t, os.Chmod(f.incoming(id), 0o604))
		f.age(t, id, age)
	}
}

func cut(n int) func([]byte) []byte {
	return func(b []byte) []byte {
		if n < 0 {
			return b[:len(b)+n]
		}
		return b[:n]
	}
}

func replace(from, to string) func([]byte) []byte {
	return func(b []byte) []byte { return bytes.Replace(b, []byte(from), []byte(to), 1) }
}

// TestStrangeFiles: whatever stands in incoming, Pick takes it up, removes it,
// sets it aside or leaves it, and is never stopped by it (RULES F4).
func TestStrangeFiles(t *testing.T) {
	const header = 64 // bytes
	for _, c := range []struct {
		name  string
		make  func(*testing.T, *fixture, spool.ID)
		ready bool
		left  string // directories that it is in afterwards
		log   string
	}{
		{"nothing", func(*testing.T, *fixture, spool.ID) {}, false, "", ""},
		{"FIFO", func(t *testing.T, f *fixture, id spool.ID) {
			must(t, unix.Mkfifo(f.incoming(id), 0o604))
		}, true, "failed", "not a regular file"},
		{"socket", func(t *testing.T, f *fixture, id spool.ID) {
			l, err := proto.Listen(f.path("s"))
			must(t, err)
			t.Cleanup(l.Close)
			must(t, os.Rename(f.path("s"), f.incoming(id)))
		}, true, "failed", "not a regular file"},
		{"directory", func(t *testing.T, f *fixture, id spool.ID) {
			must(t, os.Mkdir(f.incoming(id), 0o755))
		}, true, "failed", "not a regular file"},
		{"symbolic link to a submission", func(t *testing.T, f *fixture, id spool.ID) {
			f.submit(t, id, plain, text)
			must(t, os.Rename(f.incoming(id), f.path("elsewhere")))
			must(t, os.Symlink(f.path("elsewhere"), f.incoming(id)))
		}, true, "failed", "not a regular file"},
		{"symbolic link to nothing", func(t *testing.T, f *fixture, id spool.ID) {
			must(t, os.Symlink(f.path("elsewhere"), f.incoming(id)))
		}, true, "failed", "not a regular file"},
		{"hard link to a submission", func(t *testing.T, f *fixture, id spool.ID) {
			f.submit(t, id, plain, text)
			must(t, os.Link(f.incoming(id), f.path("incoming", "other link")))
		}, true, "failed", "2 links"},
		{"mode of no front end", func(t *testing.T, f *fixture, id spool.ID) {
			f.submit(t, id, plain, text)
			must(t, os.Chmod(f.incoming(id), 0o644))
		}, true, "failed", "mode 0644"},
		{"another version", damage(replace("dma-incoming 1 ", "dma-incoming 2 ")), true, "failed", "another version"},
		{"another header", damage(replace("dma-incoming", "dma-outgoing")), true, "failed", "unknown header"},
		{"header changed", damage(replace("dma-incoming 1 0", "dma-incoming 1 x")), true, "failed", "malformed header"},
		{"envelope changed", damage(replace("3:bob,", "3:bib,")), true, "failed", "not an intact submission"},
		{"message changed", damage(replace("body", "BODY")), true, "failed", "checksum of the message"},
		{"longer", damage(func(b []byte) []byte { return append(b, 'x') }), true, "failed", "not an intact submission"},
		{"cut in the header", damage(cut(header - 1)), false, "incoming", ""},
		{"cut behind the header", damage(cut(header)), true, "failed", "not an intact submission"},
		{"cut in the envelope", damage(cut(header + 5)), true, "failed", "not an intact submission"},
		{"cut by its last byte", damage(cut(-1)), true, "failed", "not an intact submission"},
		{"garbage", raw(strings.Repeat("garbage \xff\x00", 100), 0), true, "failed", "unknown header"},
		{"garbage from long ago", raw(strings.Repeat("garbage ", 100), 10000*time.Hour), true, "failed", "unknown header"},
		{"empty and fresh", raw("", 0), false, "incoming", ""},
		{"empty and 35 hours old", raw("", 35*time.Hour), false, "incoming", ""},
		{"empty and 37 hours old", raw("", 37*time.Hour), true, "", "remove unfinished submission"},
		{"incomplete and fresh", raw(strings.Repeat("\x00", header)+"1234", 0), false, "incoming", ""},
		{"incomplete and 37 hours old", raw(strings.Repeat("\x00", header)+"1234", 37*time.Hour), true, "", "remove unfinished submission"},
		{"incomplete, from the near future", raw("", -time.Hour), false, "incoming", ""},
		{"incomplete, from the far future", raw("", -10000*time.Hour), true, "", "remove unfinished submission"},
		{"abandoned", raw(strings.Repeat("\x00", header), 0), true, "", ""},
		{"held by its writer", func(t *testing.T, f *fixture, id spool.ID) {
			in := f.begin(t, id, plain, text)
			t.Cleanup(func() { in.Abort() })
		}, false, "incoming", ""},
		{"held by its writer for 37 hours", func(t *testing.T, f *fixture, id spool.ID) {
			in := f.begin(t, id, plain, text)
			t.Cleanup(func() { in.Abort() })
			f.age(t, id, 37*time.Hour)
		}, false, "incoming", ""},
		{"header over a megabyte", func(t *testing.T, f *fixture, id spool.ID) {
			f.submit(t, id, plain, strings.Repeat("X-Line: "+strings.Repeat("x", 90)+"\n", 11000)+"\nbody\n")
		}, true, "failed", "header longer than"},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := newFixture(t)
			id := f.newID(t)
			c.make(t, f, id)
			before := f.where(t, id)
			if got := f.Ready(id); got != c.ready {
				t.Errorf("Ready is %v", got)
			}
			if f.where(t, id) != before || f.log.Len() > 0 {
				t.Errorf("Ready left it in %q and logged %q", f.where(t, id), f.log)
			}
			if m, err := f.Pick(id); m != nil || !errors.Is(err, schedule.ErrSkip) {
				t.Errorf("Pick returned %v, %v", m, err)
			}
			if got := f.where(t, id); got != c.left {
				t.Errorf("left in %q, not in %q", got, c.left)
			}
			if (f.log.Len() > 0) != (c.log != "") || !strings.Contains(f.log.String(), c.log) {
				t.Errorf("logged %q", f.log)
			}
			if f.Ready(id) { // or a runner would never end
				t.Error("is still ready")
			}
		})
	}
}

// TestSetAsideNothingIsReplaced: a second damaged file under the name of a dead
// letter stays where it is, and that is an error, so that it is tried again later.
func TestSetAsideNothingIsReplaced(t *testing.T) {
	f := newFixture(t)
	id := f.newID(t)
	must(t, os.WriteFile(f.path("failed", string(id)), []byte("dead"), 0o600))
	must(t, unix.Mkfifo(f.incoming(id), 0o604))
	if m, err := f.Pick(id); m != nil || err == nil || errors.Is(err, schedule.ErrSkip) || !errors.Is(err, os.ErrExist) {
		t.Errorf("Pick returned %v, %v", m, err)
	}
	if got := f.where(t, id); got != "incoming failed" {
		t.Errorf("left in %q", got)
	}
	if b, _ := os.ReadFile(f.path("failed", string(id))); string(b) != "dead" {
		t.Errorf("the dead letter is %q now", b)
	}
}

// TestPick: the message of an ordinary submission, its copy, and the log.
func TestPick(t *testing.T) {
	f := newFixture(t)
	id := f.newID(t)
	f.submit(t, id, spool.Submission{
		Sender: "carol", SenderGiven: true, FullName: "Carol Doe",
		Recipients: spool.To("bob", "far@remote.example"), Bad: []string{"no good@@"},
	}, "Received: by a; today\nReceived: by b; today\nDelivered-To: bob@"+host+"\nDelivered-To: (nobody\nSubject: x\n\nbody\n")
	f.age(t, id, time.Hour)
	if !f.Ready(id) {
		t.Error("not ready")
	}
	m, err := f.Pick(id)
	must(t, err)
	if got := f.where(t, id); got != "incoming queue" { // the submission stands for it still
		t.Errorf("left in %q", got)
	}
	if m.ID != id || m.UID != uint32(os.Getuid()) || !m.Incoming() || m.Journaled() {
		t.Errorf("picked up %+v", m)
	}
	if m.Arrived.Unix() != f.now.Add(-time.Hour).Unix() {
		t.Errorf("arrived at %v", m.Arrived)
	}
	if m.Hops != 2 || !slices.Equal(m.Seen, []string{"bob@" + host}) {
		t.Errorf("%d hops, seen by %q", m.Hops, m.Seen)
	}
	want := []queue.Target{{Address: "bob", State: queue.Open}, {Address: "far@remote.example", State: queue.Open}, {Address: "no good@@", State: queue.Failed}}
	if len(m.Targets) != len(want) {
		t.Fatalf("targets are %+v", m.Targets)
	}
	for i, w := range want {
		if g := m.Targets[i]; g.Kind != queue.Recipient || g.Address != w.Address || g.Original != w.Address || g.State != w.State || g.Parent != queue.NoParent {
			t.Errorf("target %d is %+v", i, g)
		}
	}
	if code := m.Targets[2].Outcome.Code; code != "5.1.3" {
		t.Errorf("the bad recipient has status %q", code)
	}
	must(t, f.Queue.Verify(m)) // size and sum are those of the file
	b, err := os.ReadFile(f.path("queue", string(id)))
	must(t, err)
	for _, want := range []string{"Received: ", string(id), "sys.example", `Carol Doe`, "<carol@" + host + ">", "\nSubject: x\n", "\n\nbody\n"} {
		if !strings.Contains(string(b), want) {
			t.Errorf("%q is not in the message\n%s", want, b)
		}
	}
	login := me(t).Login
	lines := f.logged()
	tag := "dma[" + string(id) + "]: "
	wantLog := []string{tag + "new mail from user=" + login + " uid=", tag + "mail to=<bob> queued as " + string(id), tag + "mail to=<far@remote.example> queued as ", tag + "mail to=<no good@@> queued as "}
	if len(lines) != len(wantLog) {
		t.Fatalf("logged %q", lines)
	}
	for i, w := range wantLog {
		if !strings.HasPrefix(lines[i], w) {
			t.Errorf("line %d of the log is %q, not %q", i, lines[i], w)
		}
	}
}

// TestPickAgain: after a crash the copy is made once more, in place of the old one.
func TestPickAgain(t *testing.T) {
	f := newFixture(t)
	id := f.newID(t)
	f.submit(t, id, plain, text)
	must(t, os.WriteFile(f.path("queue", string(id)), []byte("half a mess"), 0o600))
	for range 2 {
		m, err := f.Pick(id)
		must(t, err)
		must(t, f.Queue.Verify(m))
	}
}
