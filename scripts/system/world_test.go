//go:build system

package system

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// programs of the suite by their name in /proc/PID/comm, which is cut off.
var programs = map[string]string{
	"dma-queue": "dma-queue", "sendmail": "dma-queue", "mailq": "dma-queue",
	"dma-spawn": "dma-spawn", "dma-queue-runne": "dma-queue-runner",
	"dma-forward": "dma-forward", "dma-local": "dma-local", "dma-remote": "dma-remote",
}

// process is one process of the suite.
type process struct {
	pid     int
	program string
	uid     int
	fds     []string
	rss     int // KiB
}

// processes lists those of the suite that are running now.
func processes() (list []process) {
	dirs, _ := filepath.Glob("/proc/[0-9]*")
	for _, d := range dirs {
		comm, err := os.ReadFile(d + "/comm")
		if err != nil {
			continue
		}
		p := process{program: programs[strings.TrimSpace(string(comm))]}
		if p.program == "" {
			continue
		}
		status, err := os.ReadFile(d + "/status")
		if err != nil || bytes.Contains(status, []byte("State:\tZ")) {
			continue
		}
		p.pid, _ = strconv.Atoi(filepath.Base(d))
		p.uid, p.rss = statusNumber(status, "Uid:", 1), statusNumber(status, "VmRSS:", 0)
		links, _ := filepath.Glob(d + "/fd/*")
		for _, l := range links {
			if to, err := os.Readlink(l); err == nil {
				p.fds = append(p.fds, filepath.Base(l)+" "+to)
			}
		}
		list = append(list, p)
	}
	return list
}

// statusNumber is a number of /proc/PID/status; of an identity, the first is the
// real one and the second the effective one.
func statusNumber(status []byte, field string, which int) int {
	for line := range strings.Lines(string(status)) {
		if f := strings.Fields(line); len(f) > which+1 && f[0] == field {
			n, _ := strconv.Atoi(f[which+1])
			return n
		}
	}
	return -1
}

// stopSuite ends what a test left running.
func stopSuite() {
	for range 100 {
		list := processes()
		if len(list) == 0 {
			return
		}
		for _, p := range list {
			_ = syscall.Kill(p.pid, syscall.SIGKILL)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// world is the machine in a clean state, and a smarthost.
type world struct {
	t    *testing.T
	sink string // directory of the smarthost
	stop func()
}

// newWorld clears the machine and starts a smarthost that gives the answers.
func newWorld(t *testing.T, conf string, answers ...string) *world {
	t.Helper()
	stopSuite()
	for _, pattern := range []string{"/var/spool/dma/*/*", "/var/mail/*"} {
		paths, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range paths {
			if filepath.Base(p) != "root" {
				if err := os.RemoveAll(p); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	for _, u := range users {
		_ = os.Remove("/home/" + u + "/.forward")
	}
	if err := os.WriteFile("/etc/aliases", []byte(aliases), 0o644); err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, sink: t.TempDir()}
	w.start(answers...)
	t.Cleanup(func() {
		stopSuite()
		w.stop()
		if t.Failed() {
			t.Logf("mail log:\n%s", w.log())
		}
	})
	w.configure(conf)
	if err := os.Truncate(logDir+"/mail.log", 0); err != nil {
		t.Fatal(err)
	}
	return w
}

// start starts the smarthost.
func (w *world) start(options ...string) {
	w.t.Helper()
	args := []string{"-dir", w.sink, "-life", "10m"}
	for _, o := range options {
		if strings.HasPrefix(o, "-") {
			args = append(args, o)
		} else {
			args = append(args, "-answer", o)
		}
	}
	_ = os.Remove(w.sink + "/address")
	cmd := exec.Command(os.Getenv(buildVariable)+"/sink", args...)
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		w.t.Fatal(err)
	}
	w.stop = func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait()
	}
	w.eventually(5*time.Second, "the smarthost listens", func() bool { return w.read(w.sink+"/address") != "" })
}

// configure writes dma.conf, with the smarthost in place of SINK.
func (w *world) configure(conf string) {
	w.t.Helper()
	text := "SMARTHOST " + strings.TrimSpace(w.read(w.sink+"/address")) + "\nMAILNAME client.example.net\nMINFREE 0\n" + conf
	if err := os.WriteFile("/etc/dma/dma.conf", []byte(text), 0o644); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) read(path string) string {
	b, err := os.ReadFile(path)
	if err != nil && !os.IsNotExist(err) {
		w.t.Fatal(err)
	}
	return string(b)
}

func (w *world) log() string { return w.read(logDir + "/mail.log") }

// home writes a file into a user's home.
func (w *world) home(login, name, text string) {
	w.t.Helper()
	path := "/home/" + login + "/" + name
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		w.t.Fatal(err)
	}
	uid, gid := ids(w.t, login)
	if err := os.Chown(path, uid, gid); err != nil {
		w.t.Fatal(err)
	}
}

func ids(t *testing.T, login string) (uid, gid int) {
	t.Helper()
	u, err := user.Lookup(login)
	if err != nil {
		t.Fatal(err)
	}
	uid, _ = strconv.Atoi(u.Uid)
	gid, _ = strconv.Atoi(u.Gid)
	return uid, gid
}

// as makes a command that runs as login.
func as(t *testing.T, login, stdin string, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Stdin = strings.NewReader(stdin)
	cmd.Dir = "/"
	cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/home/" + login, "LOGNAME=" + login, "USER=" + login}
	if login != "root" {
		uid, gid := ids(t, login)
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}
	}
	return cmd
}

// must runs a command as login that has to succeed, and returns its output.
func (w *world) must(login, stdin string, args ...string) string {
	w.t.Helper()
	out, err := as(w.t, login, stdin, args...).CombinedOutput()
	if err != nil {
		w.t.Fatalf("%s as %s: %v\n%s", strings.Join(args, " "), login, err, out)
	}
	return string(out)
}

// eventually waits for a condition.
func (w *world) eventually(limit time.Duration, what string, ok func() bool) {
	w.t.Helper()
	for end := time.Now().Add(limit); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if ok() {
			return
		}
	}
	w.t.Fatalf("not within %v: %s", limit, what)
}

// queued lists what the spool holds.
func queued() (names []string) {
	for _, d := range []string{"incoming", "queue", "failed"} {
		paths, _ := filepath.Glob("/var/spool/dma/" + d + "/*")
		names = append(names, paths...)
	}
	return names
}

// drained waits until the queue is empty.
func (w *world) drained(limit time.Duration) {
	w.t.Helper()
	w.eventually(limit, fmt.Sprintf("the queue is empty: %v", queued()), func() bool { return len(queued()) == 0 })
}

// quiet checks that no process is left five seconds after the last mail.
func (w *world) quiet() {
	w.t.Helper()
	w.eventually(5*time.Second, "all processes have ended", func() bool { return len(processes()) == 0 })
}

// event is a line of the smarthost's log.
type event struct {
	Event      string   `json:"event"`
	Conn       int      `json:"conn"`
	Open       int      `json:"open"`
	Sender     string   `json:"sender"`
	Recipient  string   `json:"recipient"`
	Recipients []string `json:"recipients"`
	File       string   `json:"file"`
	Reply      string   `json:"reply"`
}

// events reads the smarthost's log.
func (w *world) events(kind string) (list []event) {
	w.t.Helper()
	for line := range strings.Lines(w.read(w.sink + "/log.jsonl")) {
		var e event
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			continue // being written
		}
		if e.Event == kind {
			slices.Sort(e.Recipients)
			list = append(list, e)
		}
	}
	return list
}

// taken lists the transactions that the smarthost took.
func (w *world) taken() (list []event) {
	for _, e := range w.events("transaction") {
		if e.File != "" {
			list = append(list, e)
		}
	}
	return list
}
