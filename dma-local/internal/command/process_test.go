package command

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"dma/common/outcome"
	"dma/common/priv"
	"dma/dma-local/internal/letter"
	"dma/proto"
)

func deliverToAlice() *proto.Deliver {
	return &proto.Deliver{Sender: "s@x", Recipient: "alice@h", Original: "alice@h"}
}

func (r *Runner) mustRun(t *testing.T, ctx context.Context, command string, l letter.Letter) (outcome.Outcome, time.Duration) {
	t.Helper()
	start := time.Now()
	e, err := r.run(ctx, r.shell(command), r.environment(deliverToAlice()), l)
	if err != nil {
		t.Fatal(err)
	}
	return e.outcome(), time.Since(start)
}

// gone waits until the process whose number is in a file of the home is gone.
func gone(t *testing.T, r *Runner, file string) {
	t.Helper()
	pid, err := strconv.Atoi(strings.TrimSpace(readHome(t, r, file)))
	if err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) {
			return
		}
		if stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat"); err == nil && strings.Contains(string(stat), ") Z ") {
			return // nobody waits for orphans here
		}
	}
	t.Errorf("process %d is still there", pid)
	syscall.Kill(pid, syscall.SIGKILL)
}

// killLater ends what a test has left running on purpose.
func killLater(t *testing.T, r *Runner, file string) {
	t.Cleanup(func() {
		if pid, err := strconv.Atoi(strings.TrimSpace(readHome(t, r, file))); err == nil {
			syscall.Kill(pid, syscall.SIGKILL)
		}
	})
}

var bigText = "Subject: x\n\n" + strings.Repeat("0123456789abcdef\n", 1<<16)

func TestTimeout(t *testing.T) {
	tests := []struct{ name, command string }{
		{"sleeps", "echo $$ > pid; sleep 1000"},
		{"sleeps in a child", "sleep 1000 & echo $! > pid; wait"},
		{"ignores SIGTERM", "trap '' TERM; echo $$ > pid; while :; do sleep 1; done"},
		{"child ignores SIGTERM", "(trap '' TERM; sleep 1000 & echo $! > pid; wait; sleep 1000) & wait"},
		{"child ignores SIGTERM and says nothing", "(trap '' TERM; sleep 1000 & echo $! > pid; wait) > /dev/null 2>&1 & wait"},
		{"stopped", "echo $$ > pid; kill -STOP $$"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := newRunner(t)
			r.Timeout, r.KillAfter = 300*time.Millisecond, 300*time.Millisecond
			o, took := r.mustRun(t, context.Background(), tt.command, letterOf(bigText))
			if o.Class != outcome.Later || o.Code != "4.3.0" || !strings.HasPrefix(o.Text, "command did not end within 300ms") {
				t.Errorf("got %v", o)
			}
			if took > 20*time.Second {
				t.Errorf("took %v", took)
			}
			gone(t, r, "pid")
		})
	}
}

// TestTimeoutLeavesAlone: what has left the process group is not waited for, even when
// the command itself takes too long.
func TestTimeoutLeavesAlone(t *testing.T) {
	r := newRunner(t)
	r.Timeout = 500 * time.Millisecond
	killLater(t, r, "pid")
	o, took := r.mustRun(t, context.Background(), "setsid sh -c 'setsid sleep 1000 & echo $! > pid'; echo said; sleep 1000", letterOf(bigText))
	if o.Class != outcome.Later || o.Text != "command did not end within 500ms: said" || took > 20*time.Second {
		t.Errorf("got %v after %v", o, took)
	}
}

// TestGrace: SIGKILL waits for those who use the time after SIGTERM.
func TestGrace(t *testing.T) {
	r := newRunner(t)
	r.Timeout = 300 * time.Millisecond
	o, took := r.mustRun(t, context.Background(), "(trap 'sleep 0.3; touch tidy; exit' TERM; sleep 1000 & wait) & wait", letterOf(text))
	if o.Class != outcome.Later || took > 20*time.Second {
		t.Errorf("got %v after %v", o, took)
	}
	readHome(t, r, "tidy")
}

func TestStop(t *testing.T) {
	r := newRunner(t)
	r.StopAfter = 300 * time.Millisecond
	ctx, cancel := context.WithTimeout(context.Background(), 300*time.Millisecond)
	defer cancel()
	o, took := r.mustRun(t, ctx, "trap '' TERM; echo $$ > pid; while :; do sleep 1; done", letterOf(bigText))
	if o.Class != outcome.Later || !strings.Contains(o.Text, "was stopped") || took > 20*time.Second {
		t.Errorf("got %v after %v", o, took)
	}
	gone(t, r, "pid")
}

// TestLeftRunning: what a command leaves running delays nobody and is left alone.
func TestLeftRunning(t *testing.T) {
	for name, command := range map[string]string{
		"holds output":                 "sleep 1000 & echo $! > pid; echo said; exit 75",
		"holds input and output":       "exec 3<&0; sleep 1000 <&3 & echo $! > pid; echo said; exit 75",
		"is its own session, twice":    "setsid sh -c 'setsid sleep 1000 & echo $! > pid'; echo said; exit 75",
		"holds output, ignores hangup": "(trap '' HUP TERM; exec sleep 1000) & echo $! > pid; echo said; exit 75",
	} {
		t.Run(name, func(t *testing.T) {
			r := newRunner(t)
			killLater(t, r, "pid")
			o, took := r.mustRun(t, context.Background(), command, letterOf(bigText))
			if o.Class != outcome.Later || o.Text != "command exited with status 75: said" {
				t.Errorf("got %v", o)
			}
			if took < r.OutputWait || took > 20*time.Second {
				t.Errorf("took %v", took)
			}
			pid, _ := strconv.Atoi(strings.TrimSpace(readHome(t, r, "pid")))
			if err := syscall.Kill(pid, 0); err != nil {
				t.Errorf("what was left running: %v", err)
			}
		})
	}
}

func TestMuchOutput(t *testing.T) {
	r := newRunner(t)
	o, _ := r.mustRun(t, context.Background(), "echo first; head -c 1000000000 /dev/zero; exit 75", letterOf(text))
	if o.Class != outcome.Later || !strings.HasPrefix(o.Text, "command exited with status 75: first ???") {
		t.Errorf("got %v", o)
	}
	o, _ = r.mustRun(t, context.Background(), "head -c 100000000 /dev/zero; exit 75", letterOf(text))
	if o.Class != outcome.Later || !o.Valid() {
		t.Errorf("got %v", o)
	}
}

func TestInputNotRead(t *testing.T) {
	for name, command := range map[string]string{
		"none":   "exit 0",
		"closed": "exec <&-; sleep 0.2; exit 0",
		"some":   "head -n 1 > line; exit 0",
	} {
		t.Run(name, func(t *testing.T) {
			r := newRunner(t)
			o, _ := r.mustRun(t, context.Background(), command, letterOf(bigText))
			if o.Class != outcome.Done {
				t.Errorf("got %v", o)
			}
		})
	}
}

// TestInputCut: a command never sees the end of half a message.
func TestInputCut(t *testing.T) {
	for range 50 { // an end that came too early would not be seen each time
		r := newRunner(t)
		l := letterOf(text)
		l.Size++
		o, _ := r.mustRun(t, context.Background(), "while read -r line; do :; done; : > complete", l)
		if o.Class != outcome.Later || o.Code != "4.3.0" || !strings.Contains(o.Text, "message cannot be read") {
			t.Fatalf("got %v", o)
		}
		if _, err := os.Stat(filepath.Join(r.Home, "complete")); err == nil {
			t.Fatal("command took it for a whole message")
		}
	}
}

func TestBigInput(t *testing.T) {
	r := newRunner(t)
	o, _ := r.mustRun(t, context.Background(), "cat > letter", letterOf(bigText))
	if got := readHome(t, r, "letter"); o.Class != outcome.Done || !strings.HasSuffix(got, "Delivered-To: alice@h\n"+bigText) {
		t.Errorf("got %v, %d bytes", o, len(got))
	}
}

func TestCannotStart(t *testing.T) {
	r := newRunner(t)
	r.Home += "/none"
	if _, err := r.run(context.Background(), r.shell("exit 0"), nil, letterOf(text)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v", err)
	}
}

// TestDescriptors: a command has its input and output, nothing else of ours (RULES B3).
func TestDescriptors(t *testing.T) {
	for _, fd := range priv.Inherited(3) { // who runs the tests may have left us some
		syscall.CloseOnExec(fd)
	}
	conn, other, err := proto.Pair()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	defer other.Close()
	if _, err := os.Stat("/proc/self/fd"); err != nil {
		t.Skip("no /proc/self/fd here")
	}
	r := newRunner(t)
	r.mustRun(t, context.Background(), "exec ls -l /proc/self/fd > fds", letterOf(text))
	var fds []string
	for line := range strings.Lines(readHome(t, r, "fds")) {
		// ls itself has the directory open.
		if f := strings.Fields(line); len(f) >= 3 && f[len(f)-2] == "->" && !strings.HasPrefix(f[len(f)-1], "/proc/") {
			fds = append(fds, f[len(f)-3])
		}
	}
	if strings.Join(fds, " ") != "0 1 2" {
		t.Errorf("command has descriptors %q", fds)
	}
}

// TestLeaks: a delivery leaves no descriptor and no child behind.
func TestLeaks(t *testing.T) {
	r := newRunner(t)
	count := func() int {
		names, err := os.ReadDir("/dev/fd")
		if err != nil {
			t.Fatal(err)
		}
		return len(names)
	}
	r.mustRun(t, context.Background(), "exit 0", letterOf(bigText))
	before := count()
	for range 20 {
		r.mustRun(t, context.Background(), "exit 0", letterOf(bigText))
	}
	if after := count(); after != before {
		t.Errorf("%d descriptors before, %d after", before, after)
	}
	if _, err := syscall.Wait4(-1, nil, syscall.WNOHANG, nil); !errors.Is(err, syscall.ECHILD) {
		t.Errorf("children left: %v", err)
	}
}
