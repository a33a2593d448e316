package spool

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"pgregory.net/rapid"

	"dma/common/dsn"
	"dma/common/durable"
)

const testID = ID("5b1234567890a.00ff01020304")

var plain = Submission{Sender: "carol@host.example", SenderGiven: true, Recipients: To("alice")}

func must(t interface {
	Helper()
	Fatal(...any)
}, err error,
) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// submit writes a submission and gives its path.
func submit(t *testing.T, s Submission, message string) string {
	t.Helper()
	path := t.TempDir()
	dir, err := durable.OpenDir(path)
	must(t, err)
	defer dir.Close()
	in, err := NewIncoming(dir, testID)
	must(t, err)
	must(t, in.SetEnvelope(s))
	_, err = io.WriteString(in, message)
	must(t, err)
	must(t, in.Commit())
	return filepath.Join(path, string(testID))
}

// receive reads a submission as the runner does.
func receive(path string) (*Received, []byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	r, err := OpenIncoming(f)
	if err != nil {
		return nil, nil, err
	}
	b, err := io.ReadAll(r.Reader())
	return r, b, err
}

func TestSubmissions(t *testing.T) {
	long := strings.Repeat("x", 900) + "@host.example"
	for name, s := range map[string]Submission{
		"plain":     plain,
		"no sender": {Recipients: To("a@b.example", "c")},
		"reports": {
			Ret: dsn.RetHeaders, EnvID: "an id", Tag: "cron",
			Recipients: []Recipient{{"a", dsn.Never, ""}, {"b", dsn.Success | dsn.Delay, "rfc822;b@c"}, {"c", 0, ""}},
		},
		"null sender":   {SenderGiven: true, Recipients: To("a")},
		"everything":    {Sender: "a", SenderGiven: true, Recipients: To(long, `"a b"@c`), Bad: []string{"x y", "@"}, FullName: "Ålice 3:x, \xff", FromHeader: true},
		"only bad ones": {Bad: []string{"a b"}},
	} {
		t.Run(name, func(t *testing.T) {
			message := "Subject: x\n\n" + strings.Repeat("line\x00\n", 30000)
			before := time.Now().Add(-2 * time.Second)
			r, b, err := receive(submit(t, s, message))
			must(t, err)
			if !reflect.DeepEqual(r.Submission, s) {
				t.Errorf("got %+v\nwant %+v", r.Submission, s)
			}
			if string(b) != message || r.Size != int64(len(message)) {
				t.Errorf("message of %d bytes came back as %d", len(message), len(b))
			}
			if r.UID != uint32(os.Getuid()) || r.Arrived.Before(before) || r.Arrived.After(time.Now().Add(time.Second)) {
				t.Errorf("uid %d, arrived %v", r.UID, r.Arrived)
			}
		})
	}
}

func TestRoundTrip(t *testing.T) {
	path := t.TempDir()
	dir, err := durable.OpenDir(path)
	must(t, err)
	defer dir.Close()
	rapid.Check(t, func(t *rapid.T) {
		message := rapid.SliceOf(rapid.Byte()).Draw(t, "message")
		s := plain
		s.FullName = rapid.StringMatching(`[ -~]{0,20}`).Draw(t, "name")
		s.Bad = rapid.SliceOfN(rapid.StringMatching(`[ -~]{1,20}`), 1, 5).Draw(t, "bad")
		in, err := NewIncoming(dir, testID)
		must(t, err)
		must(t, in.SetEnvelope(s))
		for len(message) > 0 {
			n := rapid.IntRange(1, len(message)).Draw(t, "n")
			_, err := in.Write(message[:n])
			must(t, err)
			message = message[n:]
		}
		must(t, in.Commit())
		name := filepath.Join(path, string(testID))
		r, _, err := receive(name)
		must(t, err)
		must(t, os.Remove(name))
		if !reflect.DeepEqual(r.Submission, s) {
			t.Fatalf("got %+v, want %+v", r.Submission, s)
		}
	})
}

func TestRefusedEnvelopes(t *testing.T) {
	dir, err := durable.OpenDir(t.TempDir())
	must(t, err)
	defer dir.Close()
	many := make([]string, MaxRecipients+1)
	big := make([]string, MaxRecipients)
	for i := range many {
		many[i] = "a"
	}
	for i := range big {
		big[i] = strings.Repeat("a", 400)
	}
	for name, c := range map[string]struct {
		s    Submission
		want error
	}{
		"nobody":             {Submission{}, nil},
		"too many":           {Submission{Recipients: To(many...)}, ErrLimit},
		"too big":            {Submission{Recipients: To(big...)}, ErrLimit},
		"newline in sender":  {Submission{Sender: "a\nb", SenderGiven: true, Recipients: To("a")}, nil},
		"sender not given":   {Submission{Sender: "a", Recipients: To("a")}, nil},
		"sender in brackets": {Submission{Sender: "<a>", SenderGiven: true, Recipients: To("a")}, nil},
		"NUL in recipient":   {Submission{Recipients: To("a\x00")}, nil},
		"empty recipient":    {Submission{Recipients: To("")}, nil},
		"notification":       {Submission{Recipients: []Recipient{{"a", 9, ""}}}, nil},
		"ORCPT":              {Submission{Recipients: []Recipient{{"a", 0, "b"}}}, nil},
		"ENVID":              {Submission{Recipients: To("a"), EnvID: "\n"}, nil},
		"RET":                {Submission{Recipients: To("a"), Ret: 3}, nil},
		"tag":                {Submission{Recipients: To("a"), Tag: "\n"}, nil},
		"final dot":          {Submission{Recipients: To("a@b.")}, nil},
		"CR in bad one":      {Submission{Bad: []string{"a\rb"}}, nil},
		"empty bad one":      {Submission{Bad: []string{""}}, nil},
		"DEL in name":        {Submission{Recipients: To("a"), FullName: "\x7f"}, nil},
		"long name":          {Submission{Recipients: To("a"), FullName: strings.Repeat("x", 1001)}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			in, err := NewIncoming(dir, testID)
			must(t, err)
			defer in.Abort()
			if err = in.SetEnvelope(c.s); err == nil || c.want != nil && !errors.Is(err, c.want) {
				t.Errorf("error %v", err)
			}
			// What one program does not write another does not read.
			if _, err := parseSubmission(c.s.append(nil)); err == nil && name != "too big" && name != "sender not given" {
				t.Error("read back")
			}
		})
	}
}

func TestSizeLimit(t *testing.T) {
	dir, err := durable.OpenDir(t.TempDir())
	must(t, err)
	defer dir.Close()
	in, err := NewIncoming(dir, testID)
	must(t, err)
	defer in.Abort()
	if _, err := in.Write([]byte("x")); err == nil {
		t.Error("message before its envelope")
	}
	in.MaxSize = 10
	must(t, in.SetEnvelope(plain))
	_, err = in.Write(make([]byte, 10))
	must(t, err)
	if _, err := in.Write([]byte("x")); !errors.Is(err, ErrLimit) {
		t.Errorf("over the limit: %v", err)
	}
}

// TestTorn cuts a file at every byte: what is left is never taken for a submission.
func TestTorn(t *testing.T) {
	path := submit(t, plain, "Subject: x\n\nbody\n")
	whole, err := os.ReadFile(path)
	must(t, err)
	for n := range len(whole) {
		must(t, os.WriteFile(path, whole[:n], 0))
		_, _, err := receive(path)
		want := ErrDamaged
		if n < headerSize {
			want = ErrIncomplete
		}
		if !errors.Is(err, want) {
			t.Errorf("cut to %d bytes: %v", n, err)
		}
		// A power cut may also leave blocks of zeros.
		must(t, os.WriteFile(path, append(bytes.Clone(whole[:n]), make([]byte, len(whole)-n)...), 0))
		if _, _, err := receive(path); err == nil {
			t.Errorf("zeros from %d on: accepted", n)
		}
		must(t, os.WriteFile(path, append(make([]byte, n), whole[n:]...), 0))
		if _, _, err := receive(path); n > 0 && err == nil {
			t.Errorf("zeros up to %d: accepted", n)
		}
	}
}

func TestEveryChangedBitIsSeen(t *testing.T) {
	path := submit(t, plain, "Subject: x\n\nbody\n")
	whole, err := os.ReadFile(path)
	must(t, err)
	for i := range len(whole) * 8 {
		b := bytes.Clone(whole)
		b[i/8] ^= 1 << (i % 8)
		must(t, os.WriteFile(path, b, 0))
		if _, _, err := receive(path); err == nil {
			t.Errorf("bit %d of byte %d changed: accepted", i%8, i/8)
		}
	}
	must(t, os.WriteFile(path, append(whole, 'x'), 0))
	if _, _, err := receive(path); !errors.Is(err, ErrDamaged) {
		t.Errorf("a byte more: %v", err)
	}
}

func TestNotASubmission(t *testing.T) {
	header := func(s string) string { return s + strings.Repeat(" ", headerSize-1-len(s)) + "\n" }
	for name, c := range map[string]struct {
		content string
		want    error
	}{
		"empty":           {"", ErrIncomplete},
		"zeros":           {string(make([]byte, 200)), ErrIncomplete},
		"given up":        {string(make([]byte, headerSize)), ErrAbandoned},
		"foreign":         {strings.Repeat("hello ", 20), ErrDamaged},
		"next version":    {header("dma-incoming 2 something else") + "x", ErrVersion},
		"version 11":      {header("dma-incoming 11 0000000000 000000000000000000 00000000"), ErrVersion},
		"short header":    {header("dma-incoming 1 0000000000"), ErrDamaged},
		"negative length": {header("dma-incoming 1 -000000001 000000000000000001 00000000"), ErrDamaged},
		"negative size":   {header("dma-incoming 1 0000000001 -00000000000000001 00000000"), ErrDamaged},
		"huge envelope":   {header("dma-incoming 1 9999999999 000000000000000000 00000000"), ErrDamaged},
		"overflow":        {header("dma-incoming 1 0000000064 9223372036854775807 00000000"), ErrDamaged},
		"no envelope":     {header("dma-incoming 1 0000000000 000000000000000000 00000000"), ErrDamaged},
		"upper case":      {header("dma-incoming 1 0000000000 000000000000000000 0000000A"), ErrDamaged},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "f")
			must(t, os.WriteFile(path, []byte(c.content), 0o604))
			must(t, os.Chmod(path, 0o604))
			if _, _, err := receive(path); !errors.Is(err, c.want) {
				t.Errorf("error %v, want %v", err, c.want)
			}
		})
	}
}

func TestUnsafeFiles(t *testing.T) {
	for name, spoil := range map[string]func(path string) error{
		"second link":    func(p string) error { return os.Link(p, p+"2") },
		"group may read": func(p string) error { return os.Chmod(p, 0o644) },
		"executable":     func(p string) error { return os.Chmod(p, 0o704) },
		"set-id":         func(p string) error { return unix.Chmod(p, 0o4604) },
		"directory":      func(p string) error { return errors.Join(os.Remove(p), os.Mkdir(p, 0o600)) },
	} {
		t.Run(name, func(t *testing.T) {
			path := submit(t, plain, "x\n")
			must(t, spoil(path))
			if _, _, err := receive(path); !errors.Is(err, ErrDamaged) {
				t.Errorf("error %v", err)
			}
		})
	}
}

func TestLock(t *testing.T) {
	path := t.TempDir()
	dir, err := durable.OpenDir(path)
	must(t, err)
	defer dir.Close()
	in, err := NewIncoming(dir, testID)
	must(t, err)
	open := func() *os.File {
		f, err := dir.Open(string(testID))
		must(t, err)
		t.Cleanup(func() { f.Close() })
		return f
	}
	if TryLock(open()) {
		t.Error("lock of a file that is being written")
	}
	// A child between fork and exec has all descriptors.
	child, err := unix.Dup(int(in.file.File().Fd()))
	must(t, err)
	defer unix.Close(child)
	must(t, in.SetEnvelope(plain))
	must(t, in.Commit())
	if !TryLock(open()) {
		t.Error("no lock of a committed file")
	}
}

func TestAbort(t *testing.T) {
	path := t.TempDir()
	unlinkable := true
	dir, err := durable.OpenDir(path, durable.WithFault(func(s durable.Step, _ string) error {
		if s == durable.StepRemove && !unlinkable {
			return unix.EPERM
		}
		return nil
	}))
	must(t, err)
	defer dir.Close()
	name := filepath.Join(path, string(testID))
	begin := func() *Incoming {
		in, err := NewIncoming(dir, testID)
		must(t, err)
		must(t, in.SetEnvelope(plain))
		_, err = in.Write(make([]byte, 2*writeBuffer))
		must(t, err)
		return in
	}

	in := begin()
	in.Abort()
	if _, err := os.Stat(name); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("after abort: %v", err)
	}
	in.Abort() // again does nothing
	if err := in.Commit(); err == nil {
		t.Error("commit after abort")
	}

	unlinkable = false
	in = begin()
	in.Abort()
	if _, _, err := receive(name); !errors.Is(err, ErrAbandoned) {
		t.Errorf("after abort without the right to remove: %v", err)
	}
	f, err := os.Open(name)
	must(t, err)
	defer f.Close()
	if !TryLock(f) {
		t.Error("still locked")
	}
}

// TestFailedCommit: whatever step fails, Commit says so and leaves nothing that
// could be delivered.
func TestFailedCommit(t *testing.T) {
	for _, step := range []durable.Step{durable.StepWrite, durable.StepSync, durable.StepSyncDir, durable.StepStat, durable.StepClose} {
		for _, nth := range []int{1, 2} {
			for _, unlinkable := range []bool{true, false} {
				path := t.TempDir()
				n := 0
				dir, err := durable.OpenDir(path, durable.WithFault(func(s durable.Step, _ string) error {
					if s == step {
						n++
						if n == nth {
							return unix.EIO
						}
					}
					if s == durable.StepRemove && !unlinkable {
						return unix.EPERM
					}
					return nil
				}))
				must(t, err)
				in, err := NewIncoming(dir, testID)
				must(t, err)
				must(t, in.SetEnvelope(plain))
				err = in.Commit()
				if n < nth {
					continue // the step happens once
				}
				if !errors.Is(err, unix.EIO) {
					t.Errorf("%v %d: error %v", step, nth, err)
				}
				name := filepath.Join(path, string(testID))
				_, _, err = receive(name)
				switch {
				case unlinkable:
					if !errors.Is(err, os.ErrNotExist) {
						t.Errorf("%v %d: left: %v", step, nth, err)
					}
				case step != durable.StepClose: // then nothing can take it back, and it is safe on disk
					if !errors.Is(err, ErrAbandoned) {
						t.Errorf("%v %d: left: %v", step, nth, err)
					}
				}
				dir.Close()
			}
		}
	}
}

func TestCommitOfRemovedFile(t *testing.T) {
	path := t.TempDir()
	dir, err := durable.OpenDir(path)
	must(t, err)
	defer dir.Close()
	in, err := NewIncoming(dir, testID)
	must(t, err)
	must(t, in.SetEnvelope(plain))
	must(t, os.Remove(filepath.Join(path, string(testID))))
	if err := in.Commit(); !errors.Is(err, durable.ErrGone) {
		t.Errorf("error %v", err)
	}
}

func FuzzOpenIncoming(f *testing.F) {
	path := filepath.Join(f.TempDir(), "f")
	for _, s := range []Submission{plain, {Bad: []string{"x"}, FromHeader: true, FullName: "n"}} {
		b := s.append(nil)
		message := "Subject: x\n\nbody\n"
		sum := Checksum(Checksum(0, b), []byte(message))
		f.Add(append(append(appendHeader(nil, int64(len(b)), int64(len(message)), sum), b...), message...))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		// A right header, where the sizes allow one, lets the fuzzer reach the records.
		if len(b) > headerSize && b[0] == '!' {
			n := min(int(b[1]), len(b)-headerSize)
			copy(b, appendHeader(nil, int64(n), int64(len(b)-headerSize-n), Checksum(0, b[headerSize:])))
		}
		must(t, os.WriteFile(path, b, 0o600))
		r, message, err := receive(path)
		if err != nil {
			return
		}
		want := r.append(nil)
		if r.Size != int64(len(message)) || r.Check() != nil || len(want) == 0 {
			t.Errorf("accepted %q as %+v", b, r.Submission)
		}
	})
}
