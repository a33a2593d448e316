//go:build !race

// The race detector links C code, and with that package syscall cannot reach all
// threads. Nothing that is installed is built so.

package sandbox

import (
	"encoding/json"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// A sandbox cannot be left, so the test binary enters it in a process of its own.
func TestMain(m *testing.M) {
	if len(os.Args) == 4 && os.Args[1] == "probe" {
		var p Profile
		if json.Unmarshal([]byte(os.Args[2]), &p) != nil {
			os.Exit(1)
		}
		text, err := json.Marshal(enter(p, os.Args[3]))
		if err == nil {
			_, err = os.Stdout.Write(text)
		}
		if err != nil {
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

type finding struct {
	Said       string
	Err        string
	NoNewPrivs []string // of each thread
	Dumpable   int
	Core       syscall.Rlimit
	Files      syscall.Rlimit
	Write      string // error of writing to a file
	Child      string // NoNewPrivs of a program started now
}

func enter(p Profile, file string) finding {
	for range 4 { // so that there are threads
		started := make(chan bool)
		go func() {
			runtime.LockOSThread()
			close(started)
			select {}
		}()
		<-started
	}
	var f finding
	var err error
	if f.Said, err = Apply(p); err != nil {
		f.Err = err.Error()
	}
	tasks, _ := filepath.Glob("/proc/self/task/*/status")
	for _, task := range tasks {
		text, _ := os.ReadFile(task)
		f.NoNewPrivs = append(f.NoNewPrivs, noNewPrivs(string(text)))
	}
	f.Dumpable, _ = unix.PrctlRetInt(unix.PR_GET_DUMPABLE, 0, 0, 0, 0)
	_ = syscall.Getrlimit(syscall.RLIMIT_CORE, &f.Core)
	_ = syscall.Getrlimit(syscall.RLIMIT_NOFILE, &f.Files)
	out, _ := exec.Command("/bin/cat", "/proc/self/status").Output()
	f.Child = noNewPrivs(string(out))
	signal.Ignore(syscall.SIGXFSZ)
	if err := os.WriteFile(file, []byte("x"), 0o600); err != nil {
		f.Write = err.Error()
	}
	return f
}

func noNewPrivs(status string) string {
	_, rest, _ := strings.Cut(status, "NoNewPrivs:")
	line, _, _ := strings.Cut(rest, "\n")
	return strings.TrimSpace(line)
}

func TestApply(t *testing.T) {
	tests := []struct {
		name    string
		profile Profile
		said    string
		gain    string // NoNewPrivs
		files   uint64 // 0: any
		writes  bool
	}{
		{"everything", Profile{Files: 32, WriteNothing: true}, "no_new_privs, not dumpable, no core dumps, at most 32 descriptors, no writing to files", "1", 32, false},
		{"writer", Profile{Files: 64}, "no_new_privs, not dumpable, no core dumps, at most 64 descriptors", "1", 64, true},
		{"commands", Profile{AllowExecGain: true}, "not dumpable, no core dumps", "0", 0, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			profile, err := json.Marshal(tt.profile)
			if err != nil {
				t.Fatal(err)
			}
			out, err := exec.Command("/proc/self/exe", "probe", string(profile), filepath.Join(t.TempDir(), "f")).Output()
			if err != nil {
				t.Fatal(err)
			}
			var f finding
			if err := json.Unmarshal(out, &f); err != nil {
				t.Fatal(err)
			}
			if f.Err != "" || f.Said != tt.said {
				t.Errorf("error %q, said %q, want %q", f.Err, f.Said, tt.said)
			}
			if len(f.NoNewPrivs) < 4 || f.Child != tt.gain {
				t.Errorf("threads %q, child %q", f.NoNewPrivs, f.Child)
			}
			for _, n := range f.NoNewPrivs {
				if n != tt.gain {
					t.Errorf("a thread has no_new_privs %s, want %s", n, tt.gain)
				}
			}
			if f.Dumpable != 0 || f.Core != (syscall.Rlimit{}) {
				t.Errorf("dumpable %d, core limit %v", f.Dumpable, f.Core)
			}
			if tt.files != 0 && f.Files != (syscall.Rlimit{Cur: tt.files, Max: tt.files}) {
				t.Errorf("descriptors %v, want %d", f.Files, tt.files)
			}
			if (f.Write == "") != tt.writes {
				t.Errorf("writing: %q, want success %v", f.Write, tt.writes)
			}
		})
	}
}
