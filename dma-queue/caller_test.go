package main

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

// start runs a shell command with a message that has begun, and waits until its
// file is there.
func (r root) start(t *testing.T, command string) (c *exec.Cmd, stdin io.WriteCloser, stderr *bytes.Buffer) {
	t.Helper()
	r.reset(t)
	c = exec.Command("/bin/sh", "-c", command)
	c.Env = []string{"PATH=" + string(r) + "/bin:" + os.Getenv("PATH")}
	stderr = new(bytes.Buffer)
	c.Stderr = stderr
	stdin, err := c.StdinPipe()
	must(t, err)
	must(t, c.Start())
	t.Cleanup(func() { c.Process.Kill() })
	_, err = io.WriteString(stdin, "Subject: x\n\nbody\n")
	must(t, err)
	for end := time.Now().Add(10 * time.Second); len(r.incoming(t)) == 0; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("no file in incoming")
		}
	}
	return c, stdin, stderr
}

func exitCode(err error) int {
	if e := (*exec.ExitError)(nil); errors.As(err, &e) {
		return e.ExitCode()
	}
	if err != nil {
		return -1
	}
	return 0
}

// TestSignals: a signal before the end of the message takes it back (RULES A5).
func TestSignals(t *testing.T) {
	r := build(t)
	for name, c := range map[string]struct {
		command string
		sig     syscall.Signal
		want    int // exit code; 0: the signal does nothing and the message is accepted
	}{
		"INT":                   {"exec sendmail alice", syscall.SIGINT, 75},
		"TERM":                  {"exec sendmail alice", syscall.SIGTERM, 75},
		"HUP":                   {"exec sendmail alice", syscall.SIGHUP, 75},
		"QUIT":                  {"exec sendmail alice", syscall.SIGQUIT, 75},
		"CPU time":              {"exec sendmail alice", syscall.SIGXCPU, 75},
		"TERM blocked":          {"exec env --block-signal=TERM sendmail alice", syscall.SIGTERM, 75},
		"ignored INT":           {"trap '' INT; exec sendmail alice", syscall.SIGINT, 0},
		"ignored HUP":           {"exec nohup sendmail alice", syscall.SIGHUP, 0},
		"QUIT in background":    {"trap '' INT QUIT; exec sendmail alice", syscall.SIGQUIT, 0},
		"ALRM":                  {"exec sendmail alice", syscall.SIGALRM, 0},
		"USR1":                  {"exec sendmail alice", syscall.SIGUSR1, 0},
		"PIPE":                  {"exec sendmail alice", syscall.SIGPIPE, 0},
		"ignored CHLD and HUP":  {"trap '' CHLD; exec sendmail alice", syscall.SIGHUP, 75},
		"stderr is closed":      {"exec sendmail alice 2>&-", syscall.SIGTERM, 75},
		"stdout, stderr closed": {"exec sendmail alice >&- 2>&-", syscall.SIGUSR2, 0},
	} {
		t.Run(name, func(t *testing.T) {
			cmd, stdin, stderr := r.start(t, c.command)
			must(t, cmd.Process.Signal(c.sig))
			if c.want == 0 {
				time.Sleep(50 * time.Millisecond) // for the signal to do what it does
				stdin.Close()
			}
			begun := time.Now()
			if got := exitCode(cmd.Wait()); got != c.want {
				t.Fatalf("exit code %d, want %d, stderr %q", got, c.want, stderr)
			}
			if d := time.Since(begun); d > time.Second {
				t.Errorf("took %v", d)
			}
			want := 0
			if c.want == 0 {
				want = 1
			} else if !strings.Contains(c.command, "2>&-") && !strings.Contains(stderr.String(), "message was not accepted") {
				t.Errorf("stderr %q", stderr)
			}
			if got := r.incoming(t); len(got) != want {
				t.Errorf("incoming holds %q", got)
			}
		})
	}
}

// TestUnknownOptions: they are in the log, and cost no mail (RULES A7).
func TestUnknownOptions(t *testing.T) {
	r := build(t)
	log, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: string(r) + "/log", Net: "unixgram"})
	must(t, err)
	defer log.Close()
	cmd := exec.Command(string(r)+"/bin/sendmail", "-k", "--fancy=x", "-U", "alice")
	if out, err := cmd.CombinedOutput(); err != nil || len(out) > 0 || len(r.incoming(t)) != 1 {
		t.Errorf("%v, said %q, incoming holds %q", err, out, r.incoming(t))
	}
	must(t, log.SetReadDeadline(time.Now().Add(10*time.Second)))
	for _, want := range []string{"dma: option -k: unknown, ignored", "dma: option --fancy: unknown, ignored"} {
		b := make([]byte, 4096)
		n, err := log.Read(b)
		must(t, err)
		if got := string(b[:n]); !strings.HasSuffix(got, want) {
			t.Errorf("logged %q, want %q", got, want)
		}
	}
}

// TestSoftware: an error without an exit code is a mistake of this program.
func TestSoftware(t *testing.T) {
	if got := sysexit(errors.New("x")); got != 70 {
		t.Errorf("exit code %d", got)
	}
}

// TestCallers: what a caller hands down loses no mail and hangs nothing (RULES A1, A9).
func TestCallers(t *testing.T) {
	r := build(t)
	for name, c := range map[string]struct {
		command string
		want    int
		stderr  string
	}{
		"nothing odd":      {"echo body | sendmail alice", 0, ""},
		"no stdin":         {"sendmail alice <&-", 0, ""},
		"all closed":       {"sendmail alice <&- >&- 2>&-", 0, ""},
		"write-only stdin": {"sendmail alice 0>/dev/null", 66, "read message"},
		"broken stdin":     {"sendmail alice </proc/$$/mem; exit $?", 74, "input/output error"},
		"pipe closed":      {"(sleep .1; echo body | sendmail nosuch alice) 2>&1 | true", 0, ""},
		"pending alarm":    {`(sleep 1.5; echo body) | perl -e 'alarm 1; exec @ARGV' sendmail alice`, 0, ""},
		"file size limit":  {"ulimit -f 1; head -c 100000 /dev/zero | sendmail alice", 75, "file too large"},
		"no descriptors":   {"exec </etc/passwd; ulimit -n 3; exec sendmail alice", 75, "too many open files"},
		"GODEBUG":          {"echo body | GODEBUG=inittrace=0 GOGC=off GOMEMLIMIT=1 TZ=/x LANG=y TMPDIR=/nonexistent sendmail alice", 0, ""},
		"no environment":   {"echo body | env -i " + string(r) + "/bin/sendmail alice", 0, ""},
		"no working dir":   {"mkdir $$ && cd $$ && rmdir ../$$ && echo body | sendmail alice", 0, ""},
		"umask":            {"umask 777; echo body | sendmail alice", 0, ""},
		"long input":       {"head -c 30000000 /dev/urandom | sendmail -i alice", 0, ""},
		"many recipients":  {"echo body | sendmail $(seq -f 'u%.0f@remote.example' 9000)", 0, ""},
		"no incoming":      {"chmod 0 " + string(r) + "/spool/incoming; rmdir " + string(r) + "/spool/incoming; echo body | sendmail alice", 73, "no such file"},
	} {
		t.Run(name, func(t *testing.T) {
			r.reset(t)
			cmd := exec.Command("/bin/sh", "-c", c.command)
			cmd.Dir = t.TempDir()
			cmd.Env = []string{"PATH=" + string(r) + "/bin:" + os.Getenv("PATH")}
			var stderr bytes.Buffer
			cmd.Stderr = &stderr
			begun := time.Now()
			if got := exitCode(cmd.Run()); got != c.want {
				t.Errorf("exit code %d, want %d", got, c.want)
			}
			if d := time.Since(begun); c.want != 0 && d > time.Second {
				t.Errorf("took %v", d)
			}
			if !strings.Contains(stderr.String(), c.stderr) || c.stderr == "" && stderr.Len() > 0 {
				t.Errorf("stderr %q", &stderr)
			}
			names := r.incoming(t)
			if want := 1; c.want == 0 && len(names) != want || c.want != 0 && len(names) != 0 {
				t.Errorf("incoming holds %q", names)
			}
			for _, n := range names {
				if _, err := dump(n); err != nil {
					t.Error(err)
				}
			}
		})
	}
}
