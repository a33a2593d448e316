package maillog

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestToFile(t *testing.T) {
	dir := t.TempDir()
	server := listen(t, dir+"/socket")
	l := Open(server.path, "dma", nil, clock)
	defer l.Close()
	path := dir + "/mail.log"
	l.To(path)
	l.Message("id").Trying("a")
	if err := os.Rename(path, path+".1"); err != nil { // rotated
		t.Fatal(err)
	}
	l.Message("id").Trying("b")
	for name, want := range map[string]string{path + ".1": "<a>", path: "<b>"} {
		b, err := os.ReadFile(name)
		if err != nil || string(b) != "Feb  3 04:05:06 dma[id]: "+want+" trying delivery\n" {
			t.Errorf("%s has %q, %v", name, b, err)
		}
	}
	if got := server.line(); got != "" {
		t.Errorf("syslog has %q", got)
	}
	l.To("syslog")
	l.Message("id").Trying("c")
	if got := server.line(); !strings.HasSuffix(got, "<c> trying delivery") {
		t.Errorf("syslog has %q", got)
	}
}

// What the file does not take is not lost, and why is told once.
func TestToBadFile(t *testing.T) {
	dir := t.TempDir()
	if err := os.Symlink(dir+"/elsewhere", dir+"/link"); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mkfifo(dir+"/fifo", 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{dir, dir + "/none/log", dir + "/link", dir + "/fifo"} {
		server := listen(t, filepath.Join(t.TempDir(), "log"))
		l := Open(server.path, "dma", nil, clock)
		l.To(path)
		l.Message("id").Trying("a")
		l.Message("id").Trying("b")
		for _, want := range []string{"write log: open " + path + ": ", "<a> trying", "<b> trying"} {
			if got := server.line(); !strings.Contains(got, want) {
				t.Errorf("%s: %q where %q should be", path, got, want)
			}
		}
		l.Close()
	}
	if _, err := os.Lstat(dir + "/elsewhere"); err == nil {
		t.Error("a link was followed")
	}
}

func TestToStderr(t *testing.T) {
	server := listen(t, filepath.Join(t.TempDir(), "log"))
	var out strings.Builder
	l := Open(server.path, "dma", &out, clock)
	defer l.Close()
	l.To("stderr")
	l.Message("id").Trying("a")
	l.ConfigWarning("odd")
	if got, want := out.String(), "<6>dma[id]: <a> trying delivery\n<4>dma: odd\n"; got != want || server.line() != "" {
		t.Errorf("%q", got)
	}
}

func TestRelay(t *testing.T) {
	server := listen(t, filepath.Join(t.TempDir(), "log"))
	l := Open(server.path, "dma", nil, clock)
	defer l.Close()
	var got []string
	var broken error
	l.Relay(func(level uint8, id, text string) error {
		if broken == nil {
			got = append(got, string('0'+rune(level))+" "+id+" "+text)
		}
		return broken
	})
	l.Message("id").Trying("a")
	if len(got) != 1 || got[0] != "6 id <a> trying delivery" || server.line() != "" {
		t.Errorf("%q", got)
	}
	broken = errors.New("the runner is gone")
	l.Message("id").Trying("b")
	if line := server.line(); !strings.HasSuffix(line, "<b> trying delivery") {
		t.Errorf("syslog has %q", line)
	}
}

// Lines that would go to /dev/null are not written.
func TestStderrNull(t *testing.T) {
	old, err := unix.Dup(2)
	if err != nil {
		t.Fatal(err)
	}
	null, err := os.OpenFile("/dev/null", os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	if err := unix.Dup2(int(null.Fd()), 2); err != nil {
		t.Fatal(err)
	}
	w := Stderr()
	_, _ = unix.Dup2(old, 2), unix.Close(old)
	if w != nil {
		t.Errorf("there is %v", w)
	}
}

// Standard error that nobody reads holds nobody up.
func TestStderr(t *testing.T) {
	old, err := unix.Dup(2)
	if err != nil {
		t.Fatal(err)
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if err := unix.Dup2(int(w.Fd()), 2); err != nil {
		t.Fatal(err)
	}
	restore := func() { _ = unix.Dup2(old, 2); _ = unix.Close(old) }
	w.Close()
	_, err = Stderr().Write([]byte("one\n"))
	text := strings.Repeat("x", maxLine)
	for range 100 { // more than a pipe holds; what is over is lost, each after a while
		if !ready(2) {
			break
		}
		_, _ = Stderr().Write([]byte(text))
	}
	_, _ = Stderr().Write([]byte(text))
	restore()
	b := make([]byte, 4)
	if _, rerr := r.Read(b); err != nil || rerr != nil || string(b) != "one\n" {
		t.Errorf("%q, %v, %v", b, err, rerr)
	}
}
