//go:build system

package system

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// client is a program of Debian that calls sendmail, what it is told, and what
// has to come of that.
type client struct {
	name    string
	program string            // what has to be installed: a command or a file
	as      string            // account that runs it; alice if empty
	files   map[string]string // written first; those below a home belong to its user
	run     string            // for /bin/sh, in the account's home
	after   string            // for /bin/sh, as root, when all has arrived
	exit    int
	want    []want
}

// want is a message that has to arrive, with what every message must have besides.
type want struct {
	at     string // as in message
	sender string // of the envelope
	by     string // who called sendmail; the client's account if empty
	header string // these lines are in the header, in any order
	body   string // this is the body
	part   string // in place of body: this is in it
}

// text is what clients are given to send if nothing else is said: 8-bit text,
// lines that end an SMTP message or a submission, and lines that begin a message
// in a mailbox.
const text = "grüße\n.\n..\nFrom here\n>From there\nlast line\n"

// Limits of the wait for what a client sent, when it ended as it should and when not.
const (
	arrivalLimit = 15 * time.Second
	failedLimit  = time.Second
)

// Whatever calls sendmail works unchanged: each client of the table is run
// against the installed suite, and what arrives is compared byte for byte. How
// each calls sendmail, and what comes of it, is in clients.md.
func TestClients(t *testing.T) {
	w := newWorld(t, quick)
	recordCalls(t)
	w.prepareClients()
	start := time.Now()
	seen := newArrivals(w)
	var table bytes.Buffer
	table.WriteString(tableHead)
	for _, c := range slices.Concat(mailClients(), scriptClients(), systemClients()) {
		ok := t.Run(c.name, func(t *testing.T) {
			outer := w.t
			w.t = t
			defer func() { w.t = outer }()
			calls := len(w.calls())
			got := w.client(c, seen)
			c.row(&table, w.calls()[calls:], got)
		})
		if !ok && *update {
			t.Errorf("%s does not work: the table stays as it is", c.name)
		}
	}
	w.quiet()
	for _, m := range seen.next() {
		t.Errorf("after all: to %s from %q with\n%s", m.at, m.sender, strings.Join(m.header, "\n"))
	}
	fmt.Printf("clients: %.1f s\n", time.Since(start).Seconds())
	if !t.Failed() {
		compareTable(t, table.Bytes())
	}
}

func (w *world) prepareClients() {
	w.t.Helper()
	files := map[string]string{"/etc/sudoers.d/clients": "alice ALL=(ALL) NOPASSWD: /usr/bin/bsd-mailx\n"}
	for _, u := range users {
		files["/home/"+u+"/text"] = text
	}
	w.write(files)
	packaged, _ := filepath.Glob("/etc/cron.d/*") // jobs of whatever else is installed
	for _, p := range packaged {
		if err := os.Remove(p); err != nil {
			w.t.Fatal(err)
		}
	}
	if err := os.MkdirAll("/run/lock", 0o1777); err != nil {
		w.t.Fatal(err)
	}
}

// write writes files; what is in a home belongs to its user.
func (w *world) write(files map[string]string) {
	w.t.Helper()
	for path, content := range files {
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			w.t.Fatal(err)
		}
		if login, _, ok := strings.Cut(strings.TrimPrefix(path, "/home/"), "/"); ok && strings.HasPrefix(path, "/home/") {
			uid, gid := ids(w.t, login)
			if err := os.Chown(path, uid, gid); err != nil {
				w.t.Fatal(err)
			}
		}
	}
}

// client runs one and returns what arrived.
func (w *world) client(c client, seen *arrivals) []message {
	w.t.Helper()
	_, err := exec.LookPath(c.program)
	if filepath.IsAbs(c.program) {
		_, err = os.Stat(c.program)
	}
	if err != nil {
		w.t.Fatalf("%v; .ci/run installs it", err)
	}
	w.write(c.files)
	defer func() {
		for _, u := range users {
			_ = os.Remove("/home/" + u + "/.forward")
		}
	}()
	limit := arrivalLimit
	code, out := w.shell(c.account(), c.run)
	if code != c.exit {
		w.t.Errorf("exit %d, want %d", code, c.exit)
		limit = failedLimit
	}
	for end := time.Now().Add(limit); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if seen.count() >= len(c.want) && len(queued()) == 0 {
			break
		}
	}
	if left := queued(); len(left) > 0 {
		w.t.Errorf("in the queue: %v\n%s", left, w.must("root", "", "mailq", "-v"))
	}
	if c.after != "" {
		if code, out := w.shell("root", c.after); code != 0 {
			w.t.Errorf("afterwards: exit %d\n%s", code, out)
		}
	}
	got := seen.next()
	if !c.compare(w.t, got) {
		w.t.Logf("output of the client:\n%s", out)
	}
	return got
}

func (c client) account() string {
	if c.as == "" {
		return "alice"
	}
	return c.as
}

// shell runs commands as login, with nothing to read. What they leave behind may
// keep their output open.
func (w *world) shell(login, commands string) (code int, output string) {
	w.t.Helper()
	u, err := user.Lookup(login)
	if err != nil {
		w.t.Fatal(err)
	}
	out, err := os.CreateTemp(w.t.TempDir(), "output")
	if err != nil {
		w.t.Fatal(err)
	}
	defer out.Close()
	cmd := as(w.t, login, "", "/bin/sh", "-c", commands)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = nil, out, out
	cmd.Dir = u.HomeDir
	cmd.Env = append(cmd.Env, "HOME="+u.HomeDir, "LANG=C.UTF-8", "SHELL=/bin/sh")
	if err := cmd.Run(); cmd.ProcessState == nil {
		w.t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), w.read(out.Name())
}

// compare finds the message for each that was wanted, or else one at the same
// place to say what is different.
func (c client) compare(t *testing.T, got []message) bool {
	t.Helper()
	left := slices.Clone(got)
	take := func(ok func(message) bool) *message {
		i := slices.IndexFunc(left, ok)
		if i < 0 {
			return nil
		}
		m := left[i]
		left = slices.Delete(left, i, i+1)
		return &m
	}
	var missing []want
	for _, want := range c.want {
		m := take(func(m message) bool { return want.differs(m) == "" })
		if m == nil {
			missing = append(missing, want)
			continue
		}
		by := want.by
		if by == "" {
			by = c.account()
		}
		m.check(t, by)
	}
	for _, want := range missing {
		if m := take(func(m message) bool { return m.at == want.at }); m != nil {
			t.Errorf("to %s: %s", m.at, want.differs(*m))
		} else {
			t.Errorf("nothing arrived: to %s from %q", want.at, want.sender)
		}
	}
	for _, m := range left {
		t.Errorf("this arrived: to %s from %q with\n%s\n\n%s", m.at, m.sender, strings.Join(m.header, "\n"), m.body)
	}
	return !t.Failed()
}

// differs says how, and nothing if m is what was wanted.
func (w want) differs(m message) string {
	if m.at != w.at || m.sender != w.sender {
		return fmt.Sprintf("at %q, envelope from %q, want %q", m.at, m.sender, w.sender)
	}
	for line := range strings.Lines(w.header) {
		if line = strings.TrimSuffix(line, "\n"); !slices.Contains(m.header, line) {
			return fmt.Sprintf("no field %q in\n%s", line, strings.Join(m.header, "\n"))
		}
	}
	if w.part != "" && strings.Contains(m.body, w.part) {
		return ""
	}
	return cmp.Diff(w.body+w.part, hideBoundary(m).body)
}
