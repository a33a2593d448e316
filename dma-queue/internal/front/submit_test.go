package front

import (
	"bytes"
	"errors"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/iotest"
	"time"

	"golang.org/x/sys/unix"

	"dma/common/conf"
	"dma/common/durable"
	"dma/common/sysexits"
	"dma/dma-queue/internal/spool"
)

// attempt is one call of sendmail with far@remote.example as recipient.
type attempt struct {
	dir    string
	stderr bytes.Buffer
	warned []string
	fault  func(durable.Step, string) error
	slow   bool // the message is not there yet when the program starts
}

func newAttempt(t *testing.T) *attempt {
	t.Cleanup(func() {
		signal.Notify(make(chan os.Signal, 1)) // Reset alone does not undo Ignore
		signal.Reset()
	})
	return &attempt{dir: t.TempDir()}
}

func (a *attempt) new() *Submission {
	return New(a.dir, time.Unix(1700000000, 0), strings.NewReader(strings.Repeat("random", 10)), durable.WithFault(a.fault))
}

func (a *attempt) input(o Options, message io.Reader) Input {
	if o.Recipients == nil && !o.FromHeader {
		o.Recipients = []string{"far@remote.example"}
	}
	return Input{
		Options: o, Config: &conf.Config{}, Message: message, Ready: func() bool { return !a.slow }, Stderr: &a.stderr,
		Warn: func(operation string, err error) { a.warned = append(a.warned, operation) },
	}
}

func (a *attempt) submit(o Options, message io.Reader) error {
	return a.new().Take(a.input(o, message))
}

func code(err error) int {
	if f := (*Failure)(nil); errors.As(err, &f) {
		return f.Code
	}
	return 0
}

// files lists what is in incoming: names of complete submissions, "!" for others.
func (a *attempt) files(t *testing.T) (list []string) {
	t.Helper()
	names, err := os.ReadDir(a.dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range names {
		f, err := os.Open(filepath.Join(a.dir, n.Name()))
		if err != nil {
			t.Fatal(err)
		}
		r, err := spool.OpenIncoming(f)
		if err == nil {
			err = r.Verify()
		}
		f.Close()
		if err != nil {
			list = append(list, "! "+err.Error())
		} else {
			list = append(list, n.Name())
		}
	}
	return list
}

func TestSubmit(t *testing.T) {
	a := newAttempt(t)
	if err := a.submit(Options{}, strings.NewReader("Subject: x\n\nbody\n")); err != nil {
		t.Fatal(err)
	}
	if got := a.files(t); len(got) != 1 || got[0] != "60a24181e4000.72616e646f6d" {
		t.Errorf("incoming holds %q", got)
	}
	if a.stderr.Len() > 0 || a.warned != nil {
		t.Errorf("said %q, logged %q", a.stderr.String(), a.warned)
	}
}

// TestModeFromTheStart: at no moment is there a file that the runner cannot open
// and would take for damaged.
func TestModeFromTheStart(t *testing.T) {
	old := unix.Umask(0o077)
	defer unix.Umask(old)
	a := newAttempt(t)
	var made os.FileMode
	a.fault = func(step durable.Step, name string) error {
		if step == durable.StepMode {
			st, err := os.Stat(filepath.Join(a.dir, name))
			if err != nil {
				return err
			}
			made = st.Mode()
		}
		return nil
	}
	if err := a.submit(Options{}, strings.NewReader("x")); err != nil || made != 0o604 {
		t.Errorf("made with mode %v, %v", made, err)
	}
}

// TestIDInUse: the next random bytes are tried when an id is taken.
func TestIDInUse(t *testing.T) {
	a := newAttempt(t)
	random := strings.NewReader("aaaaaabbbbbb")
	for range 2 {
		s := New(a.dir, time.Unix(1700000000, 0), random)
		if err := s.Take(a.input(Options{}, strings.NewReader("x"))); err != nil {
			t.Fatal(err)
		}
		random = strings.NewReader("aaaaaabbbbbb")
	}
	if got := a.files(t); len(got) != 2 {
		t.Errorf("incoming holds %q", got)
	}
	s := New(a.dir, time.Unix(1700000000, 0), strings.NewReader(strings.Repeat("aaaaaa", 10)))
	if err := s.Take(a.input(Options{}, strings.NewReader("x"))); code(err) != sysexits.CantCreat {
		t.Errorf("the same id again and again: %v", err)
	}
}

func TestNoIncoming(t *testing.T) {
	a := newAttempt(t)
	a.dir += "/none"
	if err := a.submit(Options{}, strings.NewReader("x")); code(err) != sysexits.CantCreat {
		t.Errorf("error %v", err)
	}
}

// TestEveryStep makes each step fail with what a broken disk says: the exit code
// says so, and nothing is left that could be taken for mail (RULES A4, A9).
func TestEveryStep(t *testing.T) {
	errs := map[error]int{
		unix.ENOSPC: sysexits.TempFail, unix.EDQUOT: sysexits.TempFail, unix.EROFS: sysexits.TempFail,
		unix.EIO: sysexits.TempFail, unix.EMFILE: sysexits.TempFail, unix.EFBIG: sysexits.TempFail,
		unix.EACCES: sysexits.NoPerm,
	}
	message := "Subject: x\n\n" + strings.Repeat("body\n", 20000)
	for _, slow := range []bool{false, true} {
		everyStep(t, errs, message, slow)
	}
}

func everyStep(t *testing.T, errs map[error]int, message string, slow bool) {
	for step := durable.StepOpen; int(step) <= durable.Steps; step++ {
		for cause, want := range errs {
			if step == durable.StepOpen && errors.Is(cause, unix.EACCES) {
				continue // incoming may not be read, but used all the same
			}
			for nth := 1; ; nth++ {
				a := newAttempt(t)
				a.slow = slow
				n := 0
				a.fault = func(s durable.Step, _ string) error {
					if s == step {
						if n++; n == nth {
							return cause
						}
					}
					return nil
				}
				err := a.submit(Options{}, strings.NewReader(message))
				if n < nth { // the step is done so often, and no more
					if err != nil {
						t.Errorf("no failure of %v: %v", step, err)
					}
					break
				}
				if code(err) != want || !errors.Is(err, cause) {
					t.Errorf("%v number %d, %v: code %d, error %v", step, nth, cause, code(err), err)
				}
				if got := a.files(t); len(got) != 0 {
					t.Errorf("%v number %d, %v: left %q", step, nth, cause, got)
				}
			}
		}
	}
}

// TestRefused lists what ends a submission before its commit.
func TestRefused(t *testing.T) {
	boom := errors.New("boom")
	for name, c := range map[string]struct {
		o       Options
		message io.Reader
		code    int
	}{
		"read error":       {Options{}, io.MultiReader(strings.NewReader("a\n"), iotest.ErrReader(boom)), sysexits.IOErr},
		"nobody in header": {Options{FromHeader: true}, strings.NewReader("Subject: x\n\nTo: a@b\n"), sysexits.NoInput},
		"header too big":   {Options{}, strings.NewReader("A: " + strings.Repeat("x", 2<<20)), sysexits.Unavailable},
		"message too big":  {Options{}, strings.NewReader(strings.Repeat("x\n", 600)), sysexits.Unavailable},
		"too many": {
			Options{Recipients: []string{"far@remote.example"}, FromHeader: true},
			strings.NewReader("To: " + strings.Repeat("a@b, ", spool.MaxRecipients) + "\nBcc: " + many() + "\n"), sysexits.Unavailable,
		},
	} {
		t.Run(name, func(t *testing.T) {
			a := newAttempt(t)
			s := a.new()
			in := a.input(c.o, c.message)
			in.Config.MaxSize = 1000
			if name == "too many" {
				in.Config.MaxSize = 0
			}
			if err := s.Take(in); code(err) != c.code {
				t.Errorf("code %d, %v", code(err), err)
			}
			if got := a.files(t); len(got) != 0 {
				t.Errorf("left %q", got)
			}
		})
	}
}

// many is more recipients than are allowed, in less than a header may have.
func many() string {
	var b strings.Builder
	for i := range spool.MaxRecipients {
		b.WriteString(string(rune('a'+i%26)) + string(rune('a'+i/26%26)) + string(rune('a'+i/676)) + "@remote.example,")
	}
	return b.String()
}

func TestNoFreeSpace(t *testing.T) {
	a := newAttempt(t)
	s := a.new()
	in := a.input(Options{}, strings.NewReader("x"))
	in.Config.MinFree = 101
	if err := s.Take(in); code(err) != sysexits.TempFail || !strings.Contains(err.Error(), "MINFREE") {
		t.Errorf("error %v", err)
	}
	if got := a.files(t); len(got) != 0 {
		t.Errorf("left %q", got)
	}
}

func TestSpace(t *testing.T) {
	for name, c := range map[string]struct {
		s  space
		ok bool
	}{
		"plenty":           {space{1000, 500, 1000, 500}, true},
		"exactly":          {space{1000, 50, 1000, 50}, true},
		"few blocks":       {space{1000, 49, 1000, 500}, false},
		"few inodes":       {space{1000, 500, 1000, 49}, false},
		"no inode limit":   {space{1000, 500, 0, 0}, true},
		"nothing is known": {space{}, true},
		"huge":             {space{1 << 62, 1 << 61, 1 << 62, 1 << 61}, true},
	} {
		if err := c.s.check(5); (err == nil) != c.ok {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := CheckSpace("/nonexistent", 5); code(err) != sysexits.CantCreat {
		t.Errorf("no such disk: %v", err)
	}
	if err := CheckSpace("/nonexistent", 0); err != nil {
		t.Errorf("no floor: %v", err)
	}
}

// TestSignal: a signal before the commit takes the submission back, even while
// the message never ends.
func TestSignal(t *testing.T) {
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP, syscall.SIGQUIT} {
		a := newAttempt(t)
		a.slow = true
		s := a.new()
		r, w := io.Pipe()
		go func() {
			io.WriteString(w, "Subject: x\n\nbody")
			syscall.Kill(os.Getpid(), sig)
		}()
		if err := s.Take(a.input(Options{}, r)); code(err) != sysexits.TempFail {
			t.Errorf("%v: %v", sig, err)
		}
		if got := a.files(t); len(got) != 0 {
			t.Errorf("%v: left %q", sig, got)
		}
		w.Close() // what take reads now it cannot write
	}
}

// TestSignalDuringCommit: once the commit has begun, the signal changes nothing.
func TestSignalDuringCommit(t *testing.T) {
	for _, slow := range []bool{false, true} {
		a := newAttempt(t)
		a.slow = slow
		a.fault = func(step durable.Step, _ string) error {
			if step == durable.StepSync {
				return syscall.Kill(os.Getpid(), syscall.SIGTERM)
			}
			return nil
		}
		s := a.new()
		if err := s.Take(a.input(Options{}, strings.NewReader("x"))); err != nil {
			t.Errorf("error %v", err)
		}
		if got := a.files(t); len(got) != 1 || got[0] != string(s.ID) {
			t.Errorf("incoming holds %q", got)
		}
		if s.Abort() || s.LeftFile() {
			t.Error("aborted after the commit")
		}
	}
}

// TestBigMessage is one of which a part is collected before its file is made.
func TestBigMessage(t *testing.T) {
	a := newAttempt(t)
	message := "Subject: x\n\n" + strings.Repeat("body\n", quickSize)
	if err := a.submit(Options{}, strings.NewReader(message)); err != nil {
		t.Fatal(err)
	}
	names, err := os.ReadDir(a.dir)
	if err != nil || len(names) != 1 {
		t.Fatal(names, err)
	}
	b, err := os.ReadFile(filepath.Join(a.dir, names[0].Name()))
	if err != nil || !bytes.HasSuffix(b, []byte(message)) {
		t.Errorf("%d bytes of %d were stored, %v", len(b), len(message), err)
	}
}

func TestLeftFile(t *testing.T) {
	a := newAttempt(t)
	a.slow = true
	a.fault = func(step durable.Step, _ string) error {
		if step == durable.StepRemove {
			return unix.EPERM
		}
		return nil
	}
	s := a.new()
	if err := s.Take(a.input(Options{FromHeader: true}, strings.NewReader("x"))); code(err) != sysexits.NoInput || !s.LeftFile() {
		t.Errorf("error %v, left %v", err, s.LeftFile())
	}
	if got := a.files(t); len(got) != 1 || got[0] != "! "+spool.ErrAbandoned.Error() {
		t.Errorf("incoming holds %q", got)
	}
}
