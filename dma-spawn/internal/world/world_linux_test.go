package world

import (
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"

	"dma/common/priv"

	"golang.org/x/sys/unix"
)

// The test binary also plays a process that makes its world dirty in one way and
// becomes one that looks at it.
func TestMain(m *testing.M) {
	if len(os.Args) == 4 && os.Args[1] == "make" {
		runtime.LockOSThread()
		_ = priv.InheritNothing() // what whoever runs the tests left open
		soil(os.Args[2])
		// glibc's posix_spawn, which make uses, leaves the C library's own signals
		// ignored. Go uses one of them until here.
		for sig := 32; sig <= 34; sig++ {
			sigaction(sig, new(action), nil)
		}
		env := []string{}
		if os.Args[2] == "environment" {
			env = append(env, "TZ=")
		}
		_ = syscall.Exec("/proc/self/exe", []string{"world", "look", os.Args[3]}, env)
		os.Exit(1)
	}
	if len(os.Args) == 3 && os.Args[1] == "look" {
		if os.WriteFile(os.Args[2], []byte(Dirt()), 0o600) != nil {
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func soil(what string) {
	switch what {
	case "cwd":
		_ = os.Chdir("/tmp")
	case "stdin":
		unix.Close(0)
		_, _ = unix.Open("/etc/passwd", unix.O_RDONLY, 0)
	case "stderr":
		unix.Close(2)
		_, _ = unix.Open("/etc/passwd", unix.O_RDONLY, 0)
	case "stderr pipe":
		var p [2]int
		_ = unix.Pipe2(p[:], unix.O_CLOEXEC)
		_ = unix.Dup2(p[1], 2)
	case "descriptor":
		_, _ = unix.Open("/etc/passwd", unix.O_RDONLY, 0)
	case "mask":
		var set unix.Sigset_t
		set.Val[0] = 1 << (syscall.SIGUSR1 - 1)
		_ = unix.PthreadSigmask(unix.SIG_SETMASK, &set, nil)
	case "SIGHUP":
		signal.Ignore(syscall.SIGHUP)
	case "SIGTSTP":
		signal.Ignore(syscall.SIGTSTP)
	case "timer":
		_, _ = unix.Setitimer(unix.ItimerReal, unix.Itimerval{Value: unix.Timeval{Sec: 1000}})
	case "cpu timer":
		_, _ = unix.Setitimer(unix.ItimerVirtual, unix.Itimerval{Value: unix.Timeval{Sec: 1000}})
	case "uid":
		_ = syscall.Setresuid(64001, 0, 0)
	case "gid":
		_ = syscall.Setresgid(64001, 0, 0)
	case "egid":
		_ = syscall.Setresgid(0, 64001, 0)
	case "group":
		_ = syscall.Setgroups([]int{0, 64001})
	}
}

// Each thing alone must be noticed: what is not, stays when root starts
// dma-spawn in a world that is clean but for that.
func TestDirt(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root, as which CI runs it")
	}
	tests := []struct{ soiled, want string }{
		{"nothing", ""},
		{"environment", "environment"},
		{"uid", "identity"},
		{"gid", "identity"},
		{"egid", "identity"},
		{"group", "identity"},
		{"cwd", "working directory"},
		{"stdin", "descriptors"},
		{"stderr", "descriptors"},
		{"stderr pipe", ""},
		{"descriptor", "descriptors"},
		{"mask", "signal mask"},
		{"SIGHUP", "disposition of signal 1"},
		{"SIGTSTP", "disposition of signal 20"},
		{"timer", "timer"},
		{"cpu timer", "timer"},
		{"session", "session"},
	}
	for _, tt := range tests {
		t.Run(tt.soiled, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "dirt")
			cmd := exec.Command("/proc/self/exe", "make", tt.soiled, file)
			cmd.Env, cmd.Dir = []string{}, "/"
			cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: tt.soiled != "session", Credential: &syscall.Credential{}}
			if err := cmd.Run(); err != nil {
				t.Fatal(err)
			}
			got, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if string(got) != tt.want {
				t.Errorf("%q, want %q", got, tt.want)
			}
		})
	}
}
