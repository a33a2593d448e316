package priv

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// Numbers of nobody on any system.
const (
	testUID = 64001
	testGID = 64002
)

// What this package does cannot be undone, so that the test binary does it in
// processes of their own, which tell what came of it.
func TestMain(m *testing.M) {
	if len(os.Args) == 3 && os.Args[1] == "probe" {
		text, err := json.Marshal(probe(os.Args[2]))
		if err == nil {
			_, err = os.NewFile(3, "result").Write(text)
		}
		if err != nil {
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

type finding struct {
	Err      string
	Threads  []string // Uid, Gid, Groups of each
	FDs      []int    // that a program started now would get
	Standard []string // what 0 to 2 are
	Env      []string
	Umask    string
	Core     syscall.Rlimit
}

func probe(what string) finding {
	unix.CloseOnExec(3)
	spareThreads()
	var err error
	switch what {
	case "inherit nothing":
		soil()
		err = InheritNothing("KEEP", "ABSENT")
	case "inherit nothing, slowly":
		soil()
		closeOnExecSlowly(firstInherited)
	case "helper start":
		soil()
		err = HelperStart()
	case "clean helper start":
		os.Clearenv()
		err = HelperStart()
	case "drop":
		err = Drop(testUID, testGID)
	case "drop to root":
		err = Drop(0, 0)
	case "for exec":
		runtime.LockOSThread()
		if err = ForExec(testUID, testGID); err == nil {
			if err = Check(testUID); err == nil {
				unix.Dup3(3, 4, 0)
				unix.Dup2(4, 3)
				err = syscall.Exec("/proc/self/exe", []string{"priv", "probe", "check"}, nil)
			}
		}
	case "check":
		err = Check(testUID)
	case "check for another":
		err = Check(testUID + 1)
	case "check for anybody":
		err = Check(0)
	case "saved uid":
		_ = syscall.Setgroups([]int{testGID})
		_ = syscall.Setresgid(testGID, testGID, testGID)
		_ = syscall.Setresuid(testUID, testUID, 0)
		err = Check(testUID)
	case "capabilities":
		runtime.LockOSThread()
		_, _ = unix.PrctlRetInt(unix.PR_SET_KEEPCAPS, 1, 0, 0, 0)
		_ = ForExec(testUID, testGID)
		err = Check(testUID)
	}
	return find(err)
}

func spareThreads() {
	for range 4 {
		started := make(chan bool)
		go func() {
			runtime.LockOSThread()
			close(started)
			select {}
		}()
		<-started
	}
}

func soil() {
	_, _ = unix.Open("/etc/passwd", unix.O_RDONLY, 0)
	_ = unix.Dup3(0, 200, 0)
	_ = os.Setenv("KEEP", "this")
	_ = os.Setenv("GODEBUG", "")
	unix.Umask(0)
}

func find(err error) finding {
	var f finding
	if err != nil {
		f.Err = err.Error()
	}
	tasks, _ := filepath.Glob("/proc/self/task/*/status")
	for _, task := range tasks {
		text, _ := os.ReadFile(task)
		ids := ""
		for line := range strings.Lines(string(text)) {
			fields := strings.Fields(line)
			switch fields[0] {
			case "Uid:", "Gid:", "Groups:":
				ids += strings.Join(fields, " ") + " "
			case "Umask:":
				f.Umask = fields[1]
			}
		}
		f.Threads = append(f.Threads, ids)
	}
	f.FDs = Inherited(3)
	for fd := range 3 {
		name, _ := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", fd))
		f.Standard = append(f.Standard, name)
	}
	f.Env = os.Environ()
	_ = syscall.Getrlimit(syscall.RLIMIT_CORE, &f.Core)
	return f
}

// run does a probe, as root if credential is nil.
func run(t *testing.T, what string, credential *syscall.Credential) finding {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("/proc/self/exe", "probe", what)
	cmd.ExtraFiles = []*os.File{w}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: credential}
	out, err := cmd.CombinedOutput()
	w.Close()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	var f finding
	if err := json.NewDecoder(r).Decode(&f); err != nil {
		t.Fatal(err)
	}
	return f
}

func TestInheritNothing(t *testing.T) {
	f := run(t, "inherit nothing", nil)
	if f.Err != "" || len(f.FDs) != 0 || f.Umask != "0077" || f.Core != (syscall.Rlimit{}) {
		t.Errorf("%+v", f)
	}
	if fmt.Sprint(f.Env) != "[KEEP=this]" {
		t.Errorf("environment %q", f.Env)
	}
	if f := run(t, "inherit nothing, slowly", nil); len(f.FDs) != 0 {
		t.Errorf("descriptors %v", f.FDs)
	}
}

func TestHelperStart(t *testing.T) {
	f := run(t, "helper start", nil)
	if len(f.FDs) != 0 || f.Umask != "0077" || len(f.Env) != 0 || f.Core != (syscall.Rlimit{}) {
		t.Errorf("%+v", f)
	}
	for _, want := range []string{"descriptor 200 was open", "environment had"} {
		if !strings.Contains(f.Err, want) {
			t.Errorf("error %q, want %q", f.Err, want)
		}
	}
	// What dma-spawn leaves is no reason to complain.
	if f := run(t, "clean helper start", nil); strings.Contains(f.Err, "environment") {
		t.Errorf("error %q", f.Err)
	}
}

func TestDrop(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root")
	}
	want := fmt.Sprintf("Uid: %[1]d %[1]d %[1]d %[1]d Gid: %[2]d %[2]d %[2]d %[2]d Groups: %[2]d ", testUID, testGID)
	for _, what := range []string{"drop", "for exec"} {
		t.Run(what, func(t *testing.T) {
			f := run(t, what, nil)
			if f.Err != "" || len(f.Threads) < 4 {
				t.Fatalf("%+v", f)
			}
			for _, ids := range f.Threads {
				if ids != want {
					t.Errorf("a thread has %s, want %s", ids, want)
				}
			}
		})
	}
	if f := run(t, "drop to root", nil); f.Err == "" {
		t.Error("root is nobody to drop to")
	}
}

func TestCheck(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root")
	}
	is := func(groups ...uint32) *syscall.Credential {
		return &syscall.Credential{Uid: testUID, Gid: testGID, Groups: groups}
	}
	tests := []struct {
		name, probe string
		as          *syscall.Credential
		want        string
	}{
		{"right", "check", is(testGID), ""},
		{"right, for anybody", "check for anybody", is(testGID), ""},
		{"another uid", "check for another", is(testGID), "uid is 64001, not 64002"},
		{"another group", "check", is(testGID, testUID), "supplementary groups"},
		{"root", "check for anybody", nil, "uid is 0"},
		{"saved uid", "saved uid", nil, "real, effective and saved uid"},
		{"capabilities", "capabilities", nil, "capabilities are left"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := run(t, tt.probe, tt.as)
			if (f.Err == "") != (tt.want == "") || !strings.Contains(f.Err, tt.want) {
				t.Errorf("error %q, want %q", f.Err, tt.want)
			}
		})
	}
}

// A program that is started with 0 to 2 closed must not get its files there.
// The runtime sees to that; this is where it would be missed.
func TestStandardDescriptors(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("/bin/sh", "-c", `exec "$0" probe "inherit nothing" <&- >&- 2>&-`, self)
	cmd.ExtraFiles = []*os.File{w}
	if err := cmd.Run(); err != nil {
		t.Fatal(err)
	}
	w.Close()
	var f finding
	if err := json.NewDecoder(r).Decode(&f); err != nil || f.Err != "" {
		t.Fatal(err, f.Err)
	}
	if fmt.Sprint(f.Standard) != "[/dev/null /dev/null /dev/null]" {
		t.Errorf("descriptors 0 to 2 are %v", f.Standard)
	}
}
