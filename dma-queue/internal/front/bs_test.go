package front

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"dma/common/conf"
	"dma/common/durable"
	"dma/common/mailaddr"
	"dma/common/sysexits"
	"dma/dma-queue/internal/smtpd"
	"dma/dma-queue/internal/spool"
)

// smtp is a session with a client that says what it has to say at once.
type smtp struct {
	*attempt
	SMTPInput
	mu    sync.Mutex
	out   strings.Builder
	woken int
}

func newSMTP(t *testing.T) *smtp {
	s := &smtp{attempt: newAttempt(t)}
	s.SMTPInput = SMTPInput{
		Config: &conf.Config{}, Incoming: s.dir, Out: s, Now: time.Now, Random: Random(), Wake: func() { s.woken++ },
		Warn:    func(operation string, _ error) { s.warned = append(s.warned, operation) },
		options: []durable.Option{durable.WithFault(func(step durable.Step, name string) error { return s.failing(step, name) })},
	}
	return s
}

func (s *smtp) failing(step durable.Step, name string) error {
	if s.fault == nil {
		return nil
	}
	return s.fault(step, name)
}

func (s *smtp) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.out.Write(p)
}

func (s *smtp) said() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.out.String()
}

func (s *smtp) run(in string) error {
	s.In = strings.NewReader(strings.ReplaceAll(in, "\n", "\r\n"))
	return ServeSMTP(s.SMTPInput)
}

// last is the last reply but that to QUIT.
func (s *smtp) last() string {
	lines := strings.Split(strings.TrimSuffix(s.said(), "221 2.0.0 good-bye\r\n"), "\r\n")
	return lines[len(lines)-2]
}

const (
	greet   = "EHLO me\nMAIL FROM:<a@b.example>\nRCPT TO:<far@remote.example>\n"
	letter  = "DATA\nSubject: x\n\nbody\n.\n"
	goodbye = "QUIT\n"
)

func TestSMTP(t *testing.T) {
	s := newSMTP(t)
	s.Options = Options{FullName: "A B", Tag: "pine", Sender: "not@this.example", SenderGiven: true}
	err := s.run(greet + letter + "MAIL FROM:<>\nRCPT TO:<x@remote.example> NOTIFY=NEVER\nDATA\n.\n" + goodbye)
	if err != nil || s.warned != nil {
		t.Fatalf("%v, logged %q", err, s.warned)
	}
	files := s.files(t)
	if len(files) != 2 || s.woken != 2 || strings.Count(s.said(), "250 2.0.0 accepted as ") != 2 {
		t.Fatalf("incoming holds %q, woken %d times, said\n%s", files, s.woken, s.said())
	}
	for i, want := range []struct{ sender, to, text string }{{"a@b.example", "far@remote.example", "Subject: x\n\nbody\n"}, {"", "x@remote.example", ""}} {
		if !strings.Contains(s.said(), "250 2.0.0 accepted as "+files[i]+"\r\n") {
			t.Errorf("id %s was not told", files[i])
		}
		f, err := os.Open(filepath.Join(s.dir, files[i]))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		r, err := spool.OpenIncoming(f)
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(r.Reader())
		if err != nil || string(text) != want.text || r.Sender != want.sender || !r.SenderGiven || r.Recipients[0].Address != want.to || r.FullName != "A B" || r.Tag != "pine" {
			t.Errorf("%q, %v, %+v", text, err, r.Submission)
		}
	}
}

// TestSMTPEveryStep: each step that fails is answered as what it is, nothing is
// left, and the next message is taken.
func TestSMTPEveryStep(t *testing.T) {
	for cause, want := range map[error]string{
		unix.ENOSPC: "452 4.3.1", unix.EDQUOT: "452 4.3.1", unix.EIO: "451 4.3.0", unix.EROFS: "451 4.3.0", unix.EMFILE: "451 4.3.0",
	} {
		for step := durable.StepOpen; int(step) <= durable.Steps; step++ {
			for nth := 1; ; nth++ {
				s, n := newSMTP(t), 0
				s.fault = func(at durable.Step, _ string) error {
					if at == step {
						if n++; n == nth {
							return cause
						}
					}
					return nil
				}
				err := s.run(greet + "DATA\n" + strings.Repeat("body\n", 20000) + ".\nNOOP\n")
				if n < nth {
					break
				}
				if err != nil && code(err) != sysexits.Protocol || !strings.Contains(s.said(), "\n"+want) || strings.Contains(s.said(), "accepted as") || s.woken > 0 || len(s.warned) != 1 {
					t.Errorf("%v number %d, %v: %v, logged %q, said\n%s", step, nth, cause, err, s.warned, s.said())
				}
				if got := s.files(t); len(got) != 0 {
					t.Errorf("%v number %d, %v: left %q", step, nth, cause, got)
				}
				if err := s.run(greet + letter); err != nil || len(s.files(t)) != 1 {
					t.Errorf("%v number %d, %v: the next message: %v", step, nth, cause, err)
				}
			}
		}
	}
}

// TestSMTPRefused lists what is not taken, and leaves nothing.
func TestSMTPRefused(t *testing.T) {
	many := strings.Repeat("RCPT TO:<a@remote.example> ORCPT=rfc822;"+strings.Repeat("x", 480)+"\n", 5000)
	for name, c := range map[string]struct {
		in     string
		change func(*smtp)
		want   string
	}{
		"announced size":   {"MAIL FROM:<a> SIZE=1001\n", nil, "552 5.3.4"},
		"size":             {greet + "DATA\n" + strings.Repeat("x\n", 600) + ".\n", nil, "552 5.3.4"},
		"header":           {greet + "DATA\nA: " + strings.Repeat("x", 2<<20) + "\n.\n", func(s *smtp) { s.Config.MaxSize = 0 }, "552 5.3.4"},
		"unfinished field": {greet + "DATA\nA: " + strings.Repeat(" x\n", maxHeader/3+1) + ".\n", func(s *smtp) { s.Config.MaxSize = 0 }, "552 5.3.4"},
		"envelope":         {"MAIL FROM:<a>\n" + many + "DATA\n", nil, "452 4.5.3"},
		"disk":             {"MAIL FROM:<a>\n", func(s *smtp) { s.Config.MinFree = 101 }, "452 4.3.1"},
		"disk for so much": {"MAIL FROM:<a> SIZE=4611686018427387904\n", func(s *smtp) { s.Config.MaxSize = 0 }, "452 4.3.1"},
		"no incoming":      {greet + "DATA\n", func(s *smtp) { s.Incoming += "/none" }, "451 4.3.0"},
		"not for us":       {"MAIL FROM:<a>\nRCPT TO:<a@remote.example>\n", func(s *smtp) { s.Config.Delivery = conf.DeliverLocal }, "550 5.7.1"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSMTP(t)
			s.Config.MaxSize = 1000
			if c.change != nil {
				c.change(s)
			}
			if err := s.run(c.in + goodbye); err != nil {
				t.Error(err)
			}
			if !strings.HasPrefix(s.last(), c.want) {
				t.Errorf("said %q, not %s", s.last(), c.want)
			}
			if got, _ := filepath.Glob(s.dir + "/*"); len(got) != 0 || s.woken > 0 {
				t.Errorf("left %q, woken %d times", got, s.woken)
			}
		})
	}
}

func TestSMTPRecipients(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"passwd": "bob:x:1:1::/:/bin/sh\n", "nsswitch": "passwd: files\n", "aliases": "staff: bob\n"} {
		if err := os.WriteFile(dir+"/"+name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	b := &smtpSession{known: &local{conf: &conf.Config{Aliases: dir + "/aliases", MailName: "host.example"}, passwd: dir + "/passwd", nsswitch: dir + "/nsswitch"}}
	for in, want := range map[string]int{"bob": 0, "staff@host.example": 0, "postmaster": 0, "a@remote.example": 0, "carol": 550, "carol@host.example": 550} {
		a, err := mailaddr.Parse(in)
		if err != nil {
			t.Fatal(err)
		}
		err = b.Check(a)
		var r *smtpd.Refusal
		if errors.As(err, &r) != (want != 0) || r != nil && (r.Code != want || r.Status != "5.1.1" || r.Error() != "<"+in+">: unknown local user") {
			t.Errorf("%s: %v", in, err)
		}
	}
	if err := (&smtpSession{}).Room(1 << 60); err != nil {
		t.Errorf("without a configuration: %v", err)
	}
}

// TestSMTPEnds: how a session ends that its client does not end well.
func TestSMTPEnds(t *testing.T) {
	for name, c := range map[string]struct {
		in   string
		code int
	}{
		"no quit":     {greet, 0},
		"in a letter": {greet + "DATA\nx\n", sysexits.DataErr},
		"garbage":     {strings.Repeat("garbage\n", 1000), sysexits.Protocol},
	} {
		s := newSMTP(t)
		if err := s.run(c.in); code(err) != c.code || err == nil != (c.code == 0) {
			t.Errorf("%s: %v", name, err)
		}
		if got, _ := filepath.Glob(s.dir + "/*"); len(got) != 0 {
			t.Errorf("%s: left %q", name, got)
		}
	}
}

// dripping is a client that says one thing and then nothing.
func (s *smtp) dripping(t *testing.T, in string) {
	r, w := io.Pipe()
	t.Cleanup(func() { w.Close() })
	s.In = r
	go io.WriteString(w, strings.ReplaceAll(in, "\n", "\r\n"))
}

// TestSMTPSignal: what is not committed is taken back; what is stays.
func TestSMTPSignal(t *testing.T) {
	for name, c := range map[string]struct {
		in    string
		until string // said when the signal comes
		code  int
		files int
	}{
		"between messages": {greet + letter, "accepted as", 0, 1},
		"in an envelope":   {greet, "2.1.5", 0, 0},
		"in a message":     {greet + "DATA\nx\n", "354", sysexits.TempFail, 0},
		"in the second":    {greet + letter + strings.TrimPrefix(greet, "EHLO me\n") + "DATA\nx\n", "accepted", sysexits.TempFail, 1},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSMTP(t)
			s.dripping(t, c.in)
			go func() {
				for n := strings.Count(c.in, "DATA"); !strings.Contains(s.said(), c.until) || strings.Count(s.said(), "354") < n; {
					time.Sleep(time.Millisecond)
				}
				syscall.Kill(os.Getpid(), syscall.SIGTERM)
			}()
			if err := ServeSMTP(s.SMTPInput); code(err) != c.code || err == nil != (c.code == 0) {
				t.Errorf("%v", err)
			}
			if got := s.files(t); len(got) != c.files || !strings.HasPrefix(s.last(), "421 4.3.0") {
				t.Errorf("incoming holds %q, said\n%s", got, s.said())
			}
		})
	}
}

// TestSMTPSignalDuringCommit: the client hears of its message before the end.
func TestSMTPSignalDuringCommit(t *testing.T) {
	s := newSMTP(t)
	s.fault = func(step durable.Step, _ string) error {
		if step == durable.StepSync {
			err := syscall.Kill(os.Getpid(), syscall.SIGTERM)
			time.Sleep(50 * time.Millisecond) // for it to be seen in the middle
			return err
		}
		return nil
	}
	s.dripping(t, greet+letter)
	if err := ServeSMTP(s.SMTPInput); err != nil {
		t.Error(err)
	}
	if got := s.files(t); len(got) != 1 || !strings.Contains(s.said(), "accepted as "+got[0]) {
		t.Errorf("incoming holds %q, said\n%s", got, s.said())
	}
}

func TestSMTPTime(t *testing.T) {
	for name, c := range map[string]struct {
		in          string
		idle, total time.Duration
	}{
		"idle":              {greet, 20 * time.Millisecond, time.Hour},
		"idle in a message": {greet + "DATA\nx", 20 * time.Millisecond, time.Hour},
		"too long":          {greet, time.Hour, 20 * time.Millisecond},
	} {
		s := newSMTP(t)
		s.idle, s.total = c.idle, c.total
		s.dripping(t, c.in)
		if err := ServeSMTP(s.SMTPInput); code(err) != sysexits.TempFail {
			t.Errorf("%s: %v", name, err)
		}
		if got, _ := filepath.Glob(s.dir + "/*"); len(got) != 0 || !strings.HasPrefix(s.last(), "421 4.4.2") {
			t.Errorf("%s: left %q, said\n%s", name, got, s.said())
		}
	}
}

// TestSMTPDeaf: a client that reads nothing does not keep the program for ever.
func TestSMTPDeaf(t *testing.T) {
	s := newSMTP(t)
	s.idle, s.total = 20*time.Millisecond, time.Hour
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	s.Out = w
	if err := s.run(strings.Repeat("HELP\n", 100000)); code(err) != sysexits.TempFail {
		t.Error(err)
	}
}
