//go:build system

package maildir

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"dma/common/outcome"
	"dma/dma-local/internal/letter"
)

// The test binary delivers to the maildir that this variable names.
const roleVar = "DMA_MAILDIR_TEST"

const (
	faultLetters = 3
	maxSteps     = 200 // more system calls than a delivery makes
)

func TestMain(m *testing.M) {
	dir := os.Getenv(roleVar)
	if dir == "" {
		os.Exit(m.Run())
	}
	runtime.LockOSThread() // strace counts the calls of each thread
	var letters []letter.Letter
	for i := range faultLetters {
		letters = append(letters, letterOf(faultText(i)))
	}
	for _, r := range newMaildir("", dir).Deliver(context.Background(), letters) {
		fmt.Println(r.Outcome.Class, r.Outcome.Code)
	}
}

func faultText(i int) string { return fmt.Sprintf("\n%d\n%s", i, strings.Repeat("x\n", 50_000)) }

// traced delivers with one fault, and returns what was said of each letter, and
// whether the fault came at all.
func traced(t *testing.T, dir, fault string) (said []string, came bool) {
	t.Helper()
	self, err := os.Executable()
	must(t, err)
	call, _, _ := strings.Cut(fault, ":")
	trace := filepath.Join(t.TempDir(), "trace")
	cmd := exec.Command("strace", "-f", "-qq", "-o", trace, "-e", "trace="+call, "-e", "inject="+fault, self)
	cmd.Env = []string{roleVar + "=" + dir}
	out, err := cmd.Output()
	if e := (*exec.ExitError)(nil); err != nil && !errors.As(err, &e) {
		t.Fatal(err)
	}
	text, err := os.ReadFile(trace)
	must(t, err)
	return strings.Fields(strings.ReplaceAll(string(out), " ", "_")), strings.Contains(string(text), "(INJECTED)") || strings.Contains(string(text), "killed by SIGKILL")
}

// inNew is which letters are in new. A file there that is not whole is an error.
func inNew(t *testing.T, dir string) (letters []int) {
	t.Helper()
	names, err := filepath.Glob(dir + "new/*")
	must(t, err)
	for _, name := range names {
		text, err := os.ReadFile(name)
		must(t, err)
		i := slices.IndexFunc([]string{faultText(0), faultText(1), faultText(2)}, func(s string) bool { return in+s == string(text) })
		if i < 0 {
			t.Errorf("%s is not whole", name)
		}
		letters = append(letters, i)
	}
	return letters
}

func newDir(t *testing.T) string {
	t.Helper()
	dir := t.TempDir() + "/Maildir/"
	must(t, os.Mkdir(dir, 0o700))
	return dir
}

// TestKernelFaults: each system call fails once. What is in new is whole, and exactly
// what was said to be delivered.
func TestKernelFaults(t *testing.T) {
	for fault, want := range map[string]string{
		"write:error=ENOSPC": "later_4.3.1", "write:error=EDQUOT": "later_4.2.2", "write:error=EIO": "later_4.2.0",
		"fsync:error=EIO": "later_4.2.0", "linkat:error=EIO": "later_4.2.0", "linkat:error=ENOSPC": "later_4.3.1",
		"mkdirat:error=ENOSPC": "later_4.3.1", "mkdirat:error=EACCES": "later_4.2.0",
	} {
		t.Run(fault, func(t *testing.T) {
			n := 1
			for ; n < maxSteps; n++ {
				dir := newDir(t)
				said, came := traced(t, dir, fmt.Sprintf("%s:when=%d", fault, n))
				if !came || len(said) < faultLetters { // it failed to say it
					break
				}
				var done []int
				for i, s := range said {
					if s == "done_2.0.0" {
						done = append(done, i)
					} else if s != want {
						t.Errorf("step %d: letter %d: %s, want %s", n, i, s, want)
					}
				}
				if got := inNew(t, dir); !slices.Equal(got, done) {
					t.Errorf("step %d: %v in new, %v said to be", n, got, done)
				}
				if len(done) == faultLetters {
					t.Errorf("step %d: nothing failed", n)
				}
				next(t, dir)
			}
			if n == 1 || n == maxSteps {
				t.Errorf("failed at %d steps", n-1)
			}
		})
	}
}

// TestKilled: the process is killed at each step. What is in new is whole.
func TestKilled(t *testing.T) {
	for _, call := range []string{"write", "fsync", "linkat", "unlinkat", "mkdirat"} {
		t.Run(call, func(t *testing.T) {
			n := 1
			for ; n < maxSteps; n++ {
				dir := newDir(t)
				said, came := traced(t, dir, fmt.Sprintf("%s:signal=SIGKILL:when=%d", call, n))
				if !came {
					break
				}
				got := inNew(t, dir)
				if len(said) > len(got) {
					t.Errorf("step %d: %v in new, and it said %v", n, got, said)
				}
				next(t, dir)
			}
			if n == 1 || n == maxSteps {
				t.Errorf("killed at %d steps", n-1)
			}
		})
	}
}

// next delivers once more, without a fault.
func next(t *testing.T, dir string) {
	t.Helper()
	m := newMaildir("", dir)
	m.Now = func() time.Time { return time.Now().Add(time.Hour) }
	before := len(inNew(t, dir))
	r := m.Deliver(context.Background(), []letter.Letter{letterOf(faultText(0))})[0]
	if r.Outcome.Class != outcome.Done || len(inNew(t, dir)) != before+1 {
		t.Errorf("the next delivery: %v", r.Outcome)
	}
}
