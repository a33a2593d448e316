//go:build system

package mbox

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"dma/common/outcome"
	"dma/dma-local/internal/letter"
)

// These tests have the kernel fail, with strace, at one system call after the other
// of a process that delivers, and kill it there.

// steps are the letters that are delivered, and how many writes each takes: it is
// larger than the buffer.
const (
	faultLetters = 3
	maxSteps     = 200 // more system calls than a delivery makes
)

// tracedRole delivers to the mailbox of args[0], all on one thread, since strace
// counts the calls of each, and says what became of each letter.
func tracedRole(args []string) error {
	runtime.LockOSThread()
	box := newBox(args[0])
	box.Now = func() time.Time { return noon }
	var letters []letter.Letter
	for i := range faultLetters {
		letters = append(letters, letterOf(faultText(i)))
	}
	for _, r := range box.Deliver(context.Background(), letters) {
		fmt.Println(r.Outcome.Class, r.Outcome.Code)
	}
	return nil
}

// traced runs that with one fault. It returns what was said, and whether the fault
// came at all.
func traced(t *testing.T, box *Box, fault string) (said string, came bool) {
	t.Helper()
	call, _, _ := strings.Cut(fault, ":")
	trace := filepath.Join(t.TempDir(), "trace")
	cmd := roleCommand(t, "traced", box.Dir)
	cmd.Args = append([]string{"strace", "-f", "-qq", "-o", trace, "-P", box.path(), "-e", "trace=" + call, "-e", "inject=" + fault, cmd.Path}, cmd.Args[1:]...)
	var err error
	if cmd.Path, err = exec.LookPath("strace"); err != nil {
		t.Fatal(err)
	}
	out, err := cmd.Output()
	if e := (*exec.ExitError)(nil); err != nil && !errors.As(err, &e) {
		t.Fatal(err)
	}
	text, err := os.ReadFile(trace)
	if err != nil {
		t.Fatal(err)
	}
	return string(out), strings.Contains(string(text), "(INJECTED)") || strings.Contains(string(text), "killed by SIGKILL")
}

// next delivers once more, without a fault.
func next(t *testing.T, box *Box) {
	t.Helper()
	r := box.Deliver(context.Background(), []letter.Letter{letterOf("\nnext\n")})[0]
	if r.Outcome.Class != outcome.Done {
		t.Errorf("the next delivery: %v", r.Outcome)
	}
	onlyMailbox(t, box)
}

func faultyBox(t *testing.T) *Box {
	t.Helper()
	box := newBox(t.TempDir())
	box.LockWait = time.Minute
	box.Now = func() time.Time { return noon }
	if err := os.WriteFile(box.path(), []byte(torn), 0o600); err != nil {
		t.Fatal(err)
	}
	return box
}

// TestKernelFaults: each write, sync and lock fails once, with each of the errors that
// disks have. The mailbox then holds exactly what was said to be delivered.
func TestKernelFaults(t *testing.T) {
	for fault, code := range map[string]string{
		"write:error=ENOSPC": "4.3.1", "write:error=EDQUOT": "4.2.2", "write:error=EFBIG": "4.2.2", "write:error=EIO": "4.2.0",
		"fsync:error=EIO": "4.2.0", "fsync:error=ENOSPC": "4.3.1", "fsync:error=EDQUOT": "4.2.2",
		"pread64:error=EIO": "4.2.0", "flock:error=EIO": "4.2.0", "fcntl:error=EIO": "4.2.0", "fstat:error=EIO": "4.2.0",
	} {
		t.Run(fault, func(t *testing.T) {
			n := 1
			for ; n < maxSteps; n++ {
				box := faultyBox(t)
				said, came := traced(t, box, fmt.Sprintf("%s:when=%d", fault, n))
				if !came {
					break
				}
				lines := strings.Split(strings.TrimSpace(said), "\n")
				if len(lines) != faultLetters {
					t.Fatalf("step %d: it said %q", n, said)
				}
				errs := make([]error, faultLetters)
				failed := 0
				for i, line := range lines {
					if line == "later "+code {
						errs[i] = errors.New(line)
						failed++
					} else if line != "done 2.0.0" {
						t.Errorf("step %d: letter %d: %s, want code %s", n, i, line, code)
					}
				}
				if failed == 0 && !harmless(fault) {
					t.Errorf("step %d: nothing failed", n)
				}
				if got := contents(t, box); got != whole(errs) {
					t.Errorf("step %d: the mailbox does not fit what was said: %q", n, said)
				}
				next(t, box)
			}
			if n == 1 || n == maxSteps {
				t.Errorf("failed at %d steps", n-1)
			}
			t.Logf("failed at %d steps", n-1)
		})
	}
}

// harmless faults may be those of a call that the Go runtime makes to learn something.
func harmless(fault string) bool {
	return strings.HasPrefix(fault, "fcntl:") || strings.HasPrefix(fault, "fstat:")
}

// TestKilledAnywhere: the process is killed at each write, sync and truncation. Nothing that
// was there before is touched, nothing is said to be delivered, and the next delivery
// repairs the end.
func TestKilledAnywhere(t *testing.T) {
	for _, call := range []string{"write", "fsync", "flock", "pread64"} {
		t.Run(call, func(t *testing.T) {
			n := 1
			for ; n < maxSteps; n++ {
				box := faultyBox(t)
				said, came := traced(t, box, fmt.Sprintf("%s:signal=SIGKILL:when=%d", call, n))
				if !came {
					break
				}
				if said != "" {
					t.Errorf("step %d: it said %q", n, said)
				}
				before := contents(t, box)
				all := torn + "\n\n" + strings.TrimPrefix(whole(make([]error, faultLetters)), torn+"\n\n")
				if before != torn && !strings.HasPrefix(all, before) {
					t.Errorf("step %d: the mailbox does not begin as it should", n)
				}
				next(t, box)
				got := contents(t, box)
				if !strings.HasPrefix(got, before) || !strings.HasSuffix(strings.TrimPrefix(got, before), entryHead+"\nnext\n\n") {
					t.Errorf("step %d: what was there is not as it was", n)
				}
				if strings.TrimPrefix(got, before) != entryHead+"\nnext\n\n" && strings.HasSuffix(before, "\n\n") {
					t.Errorf("step %d: repaired what was whole", n)
				}
				if !strings.HasSuffix(strings.TrimSuffix(got, entryHead+"\nnext\n\n"), "\n\n") {
					t.Errorf("step %d: no blank line before the next letter", n)
				}
			}
			if n == 1 || n == maxSteps {
				t.Errorf("killed at %d steps", n-1)
			}
			t.Logf("killed at %d steps", n-1)
		})
	}
}

// TestLocksOfOthers: file systems that lack one kind of lock, and slow ones.
func TestLocksOfOthers(t *testing.T) {
	for fault, want := range map[string]string{
		"flock:error=ENOLCK":                 "done 2.0.0",
		"flock:error=EOPNOTSUPP":             "done 2.0.0",
		"flock:error=ENOSYS":                 "done 2.0.0",
		"flock:delay_enter=2000000":          "done 2.0.0",
		"flock:error=EAGAIN:when=1..3":       "done 2.0.0",
		"flock:error=EIO":                    "later 4.2.0",
		"fsync:delay_exit=1000000":           "done 2.0.0",
		"write:delay_enter=200000:when=2..4": "done 2.0.0",
	} {
		box := faultyBox(t)
		said, _ := traced(t, box, fault)
		if want = strings.Repeat(want+"\n", faultLetters); said != want {
			t.Errorf("%s: said %q, want %q", fault, said, want)
		}
	}
}

func addTracedRoles(r map[string]func([]string) error) {
	r["traced"] = tracedRole
	r["quota"] = quotaRole
}
