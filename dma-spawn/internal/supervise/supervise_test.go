package supervise

import (
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"dma/common/passwd"
	"dma/dma-spawn/internal/role"
)

type lines struct {
	mu   sync.Mutex
	text []string
}

func (l *lines) Problem(operation string, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text = append(l.text, operation+": "+err.Error())
}

func newTest() (*Supervisor, *lines) {
	log := new(lines)
	s := New(log, role.Rules{Lookup: func(string) (passwd.Account, error) { return passwd.Account{}, passwd.ErrNotFound }})
	s.killAfter, s.helperEnd = 300*time.Millisecond, 100*time.Millisecond
	return s, log
}

// process starts a shell and waits until it runs, so that its traps are set.
func process(t *testing.T, script string) *os.Process {
	t.Helper()
	cmd := exec.Command("/bin/sh", "-c", script)
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { out.Close() })
	if _, err := out.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	return cmd.Process
}

// loop lasts about 20 s without a child that would outlive it for long.
const loop = "echo; i=0; while [ $i -lt 200 ]; do i=$((i+1)); sleep 0.1; done"

func TestReap(t *testing.T) {
	tests := []struct {
		name   string
		script string
		life   time.Duration
		ending bool
		log    []string
		atMost time.Duration
		least  time.Duration
	}{
		{"ends in time", "echo; exit 0", time.Minute, false, nil, 2 * time.Second, 0},
		{"fails", "echo; exit 3", time.Minute, false, []string{"exit status 3"}, 2 * time.Second, 0},
		{"too old", loop, 50 * time.Millisecond, false, []string{"still running after 50ms", "signal: terminated"}, 2 * time.Second, 50 * time.Millisecond},
		{"too old and deaf", "trap '' TERM; " + loop, 50 * time.Millisecond, false, []string{"still running", "signal: killed"}, 3 * time.Second, 350 * time.Millisecond},
		{"stopped", "echo; kill -STOP $$", 50 * time.Millisecond, false, []string{"still running", "signal: killed"}, 3 * time.Second, 350 * time.Millisecond},
		{"stays when the runner is gone", loop, time.Minute, true, []string{"signal: terminated"}, 2 * time.Second, 100 * time.Millisecond},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s, log := newTest()
			p := process(t, tt.script)
			if tt.ending {
				close(s.ending)
			}
			started := time.Now()
			s.reap(p, role.Program{Path: "/x/dma-local", Cap: tt.life})
			if took := time.Since(started); took > tt.atMost || took < tt.least {
				t.Errorf("took %v, want %v to %v", took, tt.least, tt.atMost)
			}
			if len(log.text) != len(tt.log) {
				t.Fatalf("log %q, want %q", log.text, tt.log)
			}
			for i, want := range tt.log {
				if !strings.Contains(log.text[i], want) || !strings.HasPrefix(log.text[i], "dma-local") {
					t.Errorf("log %q, want %q", log.text[i], want)
				}
			}
		})
	}
}

func TestPerUser(t *testing.T) {
	s, _ := newTest()
	for range maxPerUser {
		if !s.enter(1000) {
			t.Fatal("refused too early")
		}
	}
	if s.enter(1000) {
		t.Error("one too many")
	}
	if !s.enter(1001) {
		t.Error("another user refused")
	}
	s.leave(1001)
	s.leave(1000)
	if !s.enter(1000) {
		t.Error("refused though one has ended")
	}
	for range maxPerUser {
		s.leave(1000)
	}
	if len(s.perUser) != 0 {
		t.Errorf("left over: %v", s.perUser)
	}
}

func TestDrainIsBounded(t *testing.T) {
	s, log := newTest()
	s.helpers.Add(1) // that never ends
	started := time.Now()
	s.drain()
	if took := time.Since(started); took < 700*time.Millisecond || took > 3*time.Second {
		t.Errorf("took %v", took)
	}
	if len(log.text) != 1 {
		t.Errorf("log %q", log.text)
	}
}
