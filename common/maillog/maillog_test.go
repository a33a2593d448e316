package maillog

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func clock() time.Time { return time.Date(2024, 2, 3, 4, 5, 6, 0, time.UTC) }

// syslogd listens where the log goes.
type syslogd struct {
	t    *testing.T
	path string
	fd   int
}

func listen(t *testing.T, path string) *syslogd {
	t.Helper()
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.Bind(fd, &unix.SockaddrUnix{Name: path}); err != nil {
		t.Fatal(err)
	}
	s := &syslogd{t, path, fd}
	t.Cleanup(s.stop)
	return s
}

func (s *syslogd) stop() {
	if s.fd >= 0 {
		_ = unix.Close(s.fd)
		_ = unix.Unlink(s.path)
		s.fd = -1
	}
}

// line is the next line, empty when there is none.
func (s *syslogd) line() string {
	s.t.Helper()
	buf := make([]byte, 10000)
	n, err := unix.Read(s.fd, buf)
	if errors.Is(err, unix.EAGAIN) {
		return ""
	}
	if err != nil {
		s.t.Fatal(err)
	}
	return string(buf[:n])
}

func TestEvents(t *testing.T) {
	server := listen(t, filepath.Join(t.TempDir(), "log"))
	l := Open(server.path, "dma", nil, clock)
	defer l.Close()
	m := l.Message("9be077.55d0")
	boom := errors.New("no\nspace left")
	for _, c := range []struct {
		name string
		log  func()
		want string
	}{
		{"new mail", func() { m.NewMail("alice", 1000, "alice@h.example") }, "<22>Feb  3 04:05:06 dma[9be077.55d0]: new mail from user=alice uid=1000 envelope_from=<alice@h.example>"},
		{"tagged", func() { m.Tagged("cron").Trying("b") }, "<22>Feb  3 04:05:06 cron[9be077.55d0]: <b> trying delivery"},
		{"empty tag", func() { m.Tagged("").Trying("b") }, "<22>Feb  3 04:05:06 dma[9be077.55d0]: <b> trying delivery"},
		{"odd tag", func() { m.Tagged("a [1]\nb").Trying("b") }, "<22>Feb  3 04:05:06 a??1??b[9be077.55d0]: <b> trying delivery"},
		{"null sender", func() { m.NewMail("alice", 1000, "") }, "<22>Feb  3 04:05:06 dma[9be077.55d0]: new mail from user=alice uid=1000 envelope_from=<>"},
		{"queued", func() { m.Queued("bob", "9be077.55d1") }, "<22>Feb  3 04:05:06 dma[9be077.55d0]: mail to=<bob> queued as 9be077.55d1"},
		{"trying", func() { m.Trying("bob@x") }, "<22>Feb  3 04:05:06 dma[9be077.55d0]: <bob@x> trying delivery"},
		{"smarthost", func() { m.UsingSmarthost("smtp.example", 587) }, "<22>Feb  3 04:05:06 dma[9be077.55d0]: using smarthost (smtp.example:587)"},
		{"remote", func() { m.TryingRemote("mx.example", "2001:db8::1", 10) }, "<22>Feb  3 04:05:06 dma[9be077.55d0]: trying remote delivery to mx.example [2001:db8::1] pref 10"},
		{"auth", func() { m.UsingAuth("u@x") }, "<22>Feb  3 04:05:06 dma[9be077.55d0]: using SMTP authentication for user u@x"},
		{"delivered", func() { m.Delivered("bob", "") }, "<22>Feb  3 04:05:06 dma[9be077.55d0]: <bob> delivery successful"},
		{"delivered, reply", func() { m.Delivered("bob", "250 \"ok\"\r\nx=1") }, `<22>Feb  3 04:05:06 dma[9be077.55d0]: <bob> delivery successful detail="250 \"ok\" x=1"`},
		{"remote deferred", func() { m.RemoteDeferred("mx", "1.2.3.4", "RCPT TO", "450 later") }, "<21>Feb  3 04:05:06 dma[9be077.55d0]: remote delivery deferred: mx [1.2.3.4] failed after RCPT TO: 450 later"},
		{"remote failed", func() { m.RemoteFailed("mx", "1.2.3.4", "DATA", "550 no") }, "<21>Feb  3 04:05:06 dma[9be077.55d0]: remote delivery to mx [1.2.3.4] failed after DATA: 550 no"},
		{"local deferred", func() { m.LocalDeferred("bob", "locked") }, "<21>Feb  3 04:05:06 dma[9be077.55d0]: local delivery deferred: <bob>: locked"},
		{"deferred", func() { m.Deferred("bob", "a \"b\"", clock().In(time.FixedZone("X", 3600))) }, `<21>Feb  3 04:05:06 dma[9be077.55d0]: <bob> delivery deferred next=2024-02-03T04:05:06Z reason="a \"b\""`},
		{"failed", func() { m.Failed("bob", "unknown") }, `<21>Feb  3 04:05:06 dma[9be077.55d0]: <bob> delivery failed reason="unknown"`},
		{"bouncing", func() { m.Bouncing("bob", "9be077.55d2") }, "<21>Feb  3 04:05:06 dma[9be077.55d0]: delivery failed, bouncing as 9be077.55d2 to=<bob>"},
		{"problem", func() { m.Problem("write journal", boom) }, "<20>Feb  3 04:05:06 dma[9be077.55d0]: write journal: no space left"},
		{"general problem", func() { l.Problem("read spool", boom) }, "<20>Feb  3 04:05:06 dma: read spool: no space left"},
		{"configuration", func() { l.ConfigWarning("dma.conf:3: unknown\nkey") }, "<20>Feb  3 04:05:06 dma: dma.conf:3: unknown key"},
		{"confined", func() { l.Confined("dma-remote", "no exec\nno files") }, "<23>Feb  3 04:05:06 dma: dma-remote confined: no exec no files"},
		{"set aside", func() { l.SetAside("9be077", "checksum") }, "<20>Feb  3 04:05:06 dma[9be077]: set aside in failed: checksum"},
		{"foreign address", func() { m.Trying("a> x=<\n\x1b[2J\xff%d") }, "<22>Feb  3 04:05:06 dma[9be077.55d0]: <a? x=? ?[2J?%d> trying delivery"},
		{"foreign name", func() { m.NewMail("a uid=0", 7, "x") }, "<22>Feb  3 04:05:06 dma[9be077.55d0]: new mail from user=a?uid?0 uid=7 envelope_from=<x>"},
		{"foreign id", func() { l.Message("x]: y").Trying("z") }, "<22>Feb  3 04:05:06 dma[x?:?y]: <z> trying delivery"},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.log()
			if got := server.line(); got != c.want {
				t.Errorf("got  %q\nwant %q", got, c.want)
			}
			if more := server.line(); more != "" {
				t.Errorf("one line more: %q", more)
			}
		})
	}
}

func TestLongText(t *testing.T) {
	server := listen(t, filepath.Join(t.TempDir(), "log"))
	m := Open(server.path, "dma", nil, clock).Message("x")
	long := strings.Repeat("ü", 5000)
	m.RemoteFailed(long, long, long, long)
	got := server.line()
	if len(got) > maxLine || !strings.HasSuffix(got, "...") || strings.ToValidUTF8(got, "") != got {
		t.Errorf("%d bytes, ends in %q", len(got), got[len(got)-10:])
	}
}

func TestFallback(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	var stderr strings.Builder
	l := Open(path, "dma", &stderr, clock)
	defer l.Close()
	l.Message("id").Trying("a")
	if got, want := stderr.String(), "<6>dma[id]: <a> trying delivery\n"; got != want {
		t.Errorf("fallback has %q, want %q", got, want)
	}
	stderr.Reset()

	server := listen(t, path) // syslogd starts
	time.Sleep(absentWait)
	l.Message("id").Trying("b")
	if got := server.line(); !strings.HasSuffix(got, "<b> trying delivery") || stderr.Len() != 0 {
		t.Errorf("log has %q, fallback %q", got, stderr.String())
	}
	server.stop() // and ends
	l.Message("id").Trying("c")
	if !strings.Contains(stderr.String(), "<c> trying") {
		t.Errorf("fallback has %q", stderr.String())
	}
	server = listen(t, path) // and starts again
	time.Sleep(absentWait)
	l.Message("id").Trying("d")
	if got := server.line(); !strings.HasSuffix(got, "<d> trying delivery") {
		t.Errorf("log has %q", got)
	}
}

// Where nobody listened a moment ago it is not tried again.
func TestAbsent(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	var stderr strings.Builder
	l := Open(path, "dma", &stderr, clock)
	defer l.Close()
	if l.absent.IsZero() {
		t.Error("that nobody listens was not noted")
	}
	server := listen(t, path)
	l.absent = time.Now().Add(time.Minute) // a moment ago, however long this takes
	l.Message("id").Trying("a")
	if !strings.Contains(stderr.String(), "<a> trying") {
		t.Errorf("fallback has %q", stderr.String())
	}
	l.absent = time.Time{}
	l.Message("id").Trying("b")
	if got := server.line(); !strings.HasSuffix(got, "<b> trying delivery") {
		t.Errorf("log has %q", got)
	}
}

func TestNoFallback(t *testing.T) {
	l := Open(filepath.Join(t.TempDir(), "log"), "dma", nil, clock)
	l.Message("id").Trying("a")
	l.Close()
}

// A syslogd that reads nothing holds nobody up, and learns how much it missed.
func TestFullLog(t *testing.T) {
	server := listen(t, filepath.Join(t.TempDir(), "log"))
	var stderr strings.Builder
	l := Open(server.path, "dma", &stderr, clock)
	defer l.Close()
	const lines = 2000
	start := time.Now()
	for i := range lines {
		l.Message("id").Trying(fmt.Sprint(i))
	}
	if took := time.Since(start); took > 5*time.Second {
		t.Errorf("%d lines took %v", lines, took)
	}
	read := 0
	for server.line() != "" {
		read++
	}
	if read == 0 || read == lines {
		t.Fatalf("the log took %d of %d lines", read, lines)
	}
	l.Message("id").Trying("last")
	if got, want := server.line(), fmt.Sprintf("<20>Feb  3 04:05:06 dma: the log was full, lines lost: %d", lines-read); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := server.line(); !strings.Contains(got, "<last>") {
		t.Errorf("got %q", got)
	}
	if stderr.Len() != 0 {
		t.Errorf("fallback has %q", stderr.String())
	}
}

func FuzzLine(f *testing.F) {
	f.Add("a@b", "reply")
	f.Add("a>\r\n<", "\x00\x1b]0;x\a\u2028\xff%s")
	f.Fuzz(func(t *testing.T, a, b string) {
		var out strings.Builder
		m := Open("/nonexistent/log", "dma", &out, clock).Message(b)
		m.NewMail(b, 1, a)
		m.RemoteDeferred(a, b, a, b)
		m.Delivered(a, b)
		m.Problem(a, errors.New(b))
		if n := strings.Count(out.String(), "\n"); n != 4 {
			t.Fatalf("%d lines in %q", n, out.String())
		}
		for _, r := range out.String() {
			if r < ' ' && r != '\n' || r >= 0x7f && r < 0xa0 || r == '\uFFFD' {
				t.Fatalf("%q in %q", r, out.String())
			}
		}
	})
}

// A burst that is larger than what the kernel queues loses no line if syslogd
// takes what comes.
func TestBurst(t *testing.T) {
	server := listen(t, filepath.Join(t.TempDir(), "log"))
	l := Open(server.path, "dma", nil, clock)
	defer l.Close()
	const lines = 3000
	written := make(chan struct{})
	go func() {
		defer close(written)
		for i := range lines {
			l.Message("id").Trying(fmt.Sprint(i))
		}
	}()
	read := 0
	for ended := false; ; {
		if line := server.line(); line != "" {
			if want := fmt.Sprintf("<%d>", read); !strings.Contains(line, want) {
				t.Fatalf("line %d is %q", read, line)
			}
			read++
			continue
		}
		if ended {
			break
		}
		select {
		case <-written:
			ended = true
		case <-time.After(time.Millisecond):
		}
	}
	if read != lines {
		t.Errorf("%d of %d lines arrived", read, lines)
	}
}
