package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"dma/common/priv"
	"dma/proto"

	"golang.org/x/sys/unix"
)

// The test binary plays all the programs that are not dma-spawn: installed under
// their names, it does what they must not do.
func TestMain(m *testing.M) {
	switch filepath.Base(os.Args[0]) {
	case "dma-queue-runner":
		os.Exit(fakeRunner())
	case "dma-forward", "dma-local", "dma-remote":
		os.Exit(fakeHelper())
	case "hostile":
		hostileParent()
		os.Exit(99)
	case "stopper":
		for { // until killed: stop every process of this uid
			_ = syscall.Kill(-1, syscall.SIGSTOP)
		}
	}
	os.Exit(m.Run())
}

// A step of the script that the runner follows; a script is a list of runs.
type step struct {
	Do    string // see fake.do
	Role  proto.Role
	Login string
	Raw   []byte // packet for raw
	Files int    // descriptors with it
	Count int    // of requests for flood and deaf; exit code for exit; ms for wait
	Quiet bool   // do not wait for what helpers report
}

// An answer is what a step led to.
type answer struct {
	Step    int
	Refused *proto.Refused
	Report  *report // of the helper that was started
	Error   string
}

// A life is what one runner saw.
type life struct {
	Self    report
	Answers []answer
	Started time.Time
}

// A report is what a program finds about itself.
type report struct {
	Name   string
	Hello  proto.Hello
	Status map[string]string // of /proc/self/status
	FDs    map[int]string    // that came through exec
	Env    []string
	Cwd    string
	Limits string
	Nice   int
	Policy uint32 // of scheduling
	IO     uint32 // priority
	OOM    string
	Leader bool // of a session
	TTY    string
}

func lookAtMyself(name string) report {
	r := report{Name: name, Status: map[string]string{}, FDs: map[int]string{}, Env: os.Environ()}
	for _, fd := range priv.Inherited(0) {
		r.FDs[fd], _ = os.Readlink(fmt.Sprintf("/proc/self/fd/%d", fd))
	}
	status, _ := os.ReadFile("/proc/thread-self/status")
	for line := range strings.Lines(string(status)) {
		key, value, _ := strings.Cut(line, ":")
		r.Status[key] = strings.Join(strings.Fields(value), " ")
	}
	r.Cwd, _ = syscall.Getwd()
	limits, _ := os.ReadFile("/proc/self/limits")
	r.Limits = string(limits)
	priority, _ := unix.Getpriority(unix.PRIO_PROCESS, 0)
	r.Nice = 20 - priority
	if attr, err := unix.SchedGetAttr(0, 0); err == nil {
		r.Policy = attr.Policy
	}
	io, _, _ := unix.Syscall(unix.SYS_IOPRIO_GET, 1, 0, 0)
	r.IO = uint32(io)
	oom, _ := os.ReadFile("/proc/self/oom_score_adj")
	r.OOM = strings.TrimSpace(string(oom))
	sid, _ := unix.Getsid(0)
	r.Leader = sid == os.Getpid()
	stat, _ := os.ReadFile("/proc/self/stat")
	r.TTY = strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))[4]
	return r
}

func fakeHelper() int {
	r := lookAtMyself(filepath.Base(os.Args[0]))
	conn, err := proto.FromParent()
	if err != nil {
		return 1
	}
	hello, err := conn.Greet()
	if err != nil {
		return 1
	}
	r.Hello = *hello
	packet, _ := json.Marshal(r)
	if rawSend(conn.File(), packet, 0) != nil {
		return 1
	}
	rawReceive(conn.File()) // until the end of the channel
	return 0
}

func rawSend(f *os.File, packet []byte, files int) error {
	raw, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var fds []int
	for range files {
		fds = append(fds, 0)
	}
	var rights []byte
	if files > 0 {
		rights = unix.UnixRights(fds...)
	}
	werr := raw.Write(func(fd uintptr) bool {
		err = unix.Sendmsg(int(fd), packet, rights, nil, unix.MSG_NOSIGNAL)
		return !errors.Is(err, unix.EAGAIN)
	})
	if err == nil {
		err = werr
	}
	return err
}

func rawReceive(f *os.File) []byte {
	packet := make([]byte, 64<<10)
	n, err := f.Read(packet)
	if err != nil {
		return nil
	}
	return packet[:n]
}

func fakeRunner() int {
	exe, _ := os.Executable()
	base := filepath.Dir(filepath.Dir(exe))
	var script [][]step
	text, err := os.ReadFile(base + "/script")
	if err == nil {
		err = json.Unmarshal(text, &script)
	}
	if err != nil {
		return 1
	}
	old, _ := filepath.Glob(base + "/results/*")
	this := life{Self: lookAtMyself("dma-queue-runner"), Started: time.Now()}
	result := fmt.Sprintf("%s/results/%02d", base, len(old))
	defer os.Rename(result, result+".json")
	write := func() {
		text, _ := json.Marshal(this)
		_ = os.WriteFile(result, text, 0o600)
	}
	write()
	conn, err := proto.FromParent()
	if err != nil {
		return 1
	}
	hello, err := conn.Greet()
	if err != nil {
		return 1
	}
	this.Self.Hello = *hello
	f := &fake{conn: conn}
	for i, st := range script[min(len(old), len(script)-1)] {
		code, done := f.do(st, func(a answer) {
			a.Step = i
			this.Answers = append(this.Answers, a)
		})
		write()
		if done {
			return code
		}
	}
	return 0
}

type fake struct {
	conn    *proto.Conn
	request uint32
	held    []*os.File
}

func (f *fake) do(st step, answered func(answer)) (code int, done bool) {
	switch st.Do {
	case "start":
		f.request++
		if err := f.conn.Send(f.request, &proto.Start{Role: st.Role, Login: st.Login}, nil); err != nil {
			answered(answer{Error: err.Error()})
			return 0, false
		}
		answered(f.answer(f.request, st.Quiet))
	case "flood": // more requests at a time than there may be helpers
		for range st.Count {
			f.request++
			if err := f.conn.Send(f.request, &proto.Start{Role: st.Role, Login: st.Login}, nil); err != nil {
				answered(answer{Error: err.Error()})
				return 0, true
			}
		}
		for range st.Count {
			answered(f.answer(0, st.Quiet))
		}
	case "release": // the helpers that were started
		for _, file := range f.held {
			file.Close()
		}
		f.held = nil
	case "deaf": // requests whose answers nobody reads
		for range st.Count {
			if err := f.conn.Send(1, &proto.Start{Role: st.Role, Login: st.Login}, nil); err != nil {
				answered(answer{Error: err.Error()})
				break
			}
		}
		time.Sleep(time.Hour)
	case "raw":
		if err := rawSend(f.conn.File(), st.Raw, st.Files); err != nil {
			answered(answer{Error: err.Error()})
		}
		time.Sleep(time.Hour)
	case "linger": // channel closed, process not gone
		f.conn.Close()
		time.Sleep(time.Hour)
	case "wait":
		time.Sleep(time.Duration(st.Count) * time.Millisecond)
	case "crash":
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
	case "exit":
		return st.Count, true
	}
	return 0, false
}

// answer receives an answer, to the given request unless that is 0.
func (f *fake) answer(request uint32, quiet bool) answer {
	p, err := f.conn.Recv(30*time.Second, proto.TypeStarted, proto.TypeRefused)
	if err != nil {
		return answer{Error: err.Error()}
	}
	if request != 0 && p.Request != request {
		return answer{Error: "answer to another request"}
	}
	if refused, ok := p.Message.(*proto.Refused); ok {
		return answer{Refused: refused}
	}
	f.held = append(f.held, p.File)
	if quiet {
		return answer{Report: new(report)}
	}
	_ = p.File.SetReadDeadline(time.Now().Add(10 * time.Second))
	rawReceive(p.File) // Hello
	r := new(report)
	if err := json.Unmarshal(rawReceive(p.File), r); err != nil {
		return answer{Error: "report of helper: " + err.Error()}
	}
	return answer{Report: r}
}

// hostileParent makes the worst world it can and becomes the program in its
// first argument in it. The second one says which limits are lowered for good:
// soft (none), hard (all), or the name of one.
func hostileParent() {
	runtime.LockOSThread()
	for range 200 {
		fd, _ := unix.Open("/etc/passwd", unix.O_RDONLY, 0) // without close-on-exec
		_ = fd
	}
	for fd := range 3 {
		unix.Close(fd)
	}
	unix.Umask(0)
	_ = unix.Setpriority(unix.PRIO_PROCESS, 0, 10)
	_ = unix.SchedSetAttr(0, &unix.SchedAttr{Policy: 3, Nice: 10}, 0) // SCHED_BATCH
	_, _, _ = unix.Syscall(unix.SYS_IOPRIO_SET, 1, 0, 3<<13)          // idle
	_ = os.WriteFile("/proc/self/oom_score_adj", []byte("900"), 0)
	for sig := syscall.Signal(1); sig <= 64; sig++ {
		signal.Ignore(sig)
	}
	_ = os.Chdir("/tmp")
	_ = unix.Setpgid(0, 0) // leads a group, so cannot start a session
	for _, timer := range []unix.ItimerWhich{unix.ItimerReal, unix.ItimerVirtual, unix.ItimerProf} {
		_, _ = unix.Setitimer(timer, unix.Itimerval{Value: unix.Timeval{Sec: 2}})
	}
	var all unix.Sigset_t
	for i := range all.Val {
		all.Val[i] = ^all.Val[i]
	}
	_ = unix.PthreadSigmask(unix.SIG_SETMASK, &all, nil)
	_ = unix.Tgkill(os.Getpid(), unix.Gettid(), syscall.SIGTERM) // pending over exec
	_ = priv.SetLimit(unix.RLIMIT_CORE, 1<<30, 1<<30)
	for name, number := range map[string]int{
		"cpu": unix.RLIMIT_CPU, "nproc": unix.RLIMIT_NPROC, "fsize": unix.RLIMIT_FSIZE,
		"sigpending": unix.RLIMIT_SIGPENDING, "nofile": unix.RLIMIT_NOFILE, "stack": unix.RLIMIT_STACK,
	} {
		var l syscall.Rlimit
		_ = syscall.Getrlimit(number, &l)
		hard, low := l.Max, uint64(20)
		if name == "stack" {
			low = 256 << 10
		}
		if os.Args[2] == name || os.Args[2] == "hard" {
			hard = low
		}
		_ = priv.SetLimit(number, low, hard)
	}
	env := []string{"GODEBUG=inittrace=1", "GOGC=1", "GOTRACEBACK=crash", "GOMAXPROCS=1", "PATH=/tmp", "LD_PRELOAD=/tmp/x", "TZ=" + filepath.Dir(filepath.Dir(os.Args[0])) + "/fifo"}
	_ = syscall.Exec(os.Args[1], []string{"../../bin/sh", "-c", "exit"}, env)
}
