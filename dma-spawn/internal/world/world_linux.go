package world

import (
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// signals is how many there are. MIPS has more, and a larger set than the
// calls below say, which fail there; what Go does by itself has to do.
const signals = 64

// action has room for the kernel's sigaction. The first word is the handler,
// 0 the default and 1 to ignore; the rest may be 0.
type action [8]uintptr

func sigaction(sig int, change, old *action) unix.Errno {
	_, _, errno := unix.RawSyscall6(unix.SYS_RT_SIGACTION, uintptr(sig),
		uintptr(unsafe.Pointer(change)), uintptr(unsafe.Pointer(old)), signals/8, 0, 0)
	return errno
}

// systemDirt finds what Linux keeps over exec: the mask of blocked signals,
// ignored signals and running timers. The Go runtime has unblocked some of the
// signals, SIGTERM for one, and handles others that were ignored: those are the
// default again in all that this process starts, so they do no harm.
func systemDirt() string {
	var mask unix.Sigset_t
	if unix.PthreadSigmask(unix.SIG_SETMASK, nil, &mask) != nil || mask != (unix.Sigset_t{}) {
		return "signal mask"
	}
	for sig := 1; sig <= signals; sig++ {
		var a action
		if sigaction(sig, nil, &a) == 0 && a[0] == 1 {
			return fmt.Sprintf("disposition of signal %d", sig)
		}
	}
	for _, timer := range timers() {
		if it, err := unix.Getitimer(timer); err != nil || it != (unix.Itimerval{}) {
			return "timer"
		}
	}
	return ""
}

func timers() []unix.ItimerWhich {
	return []unix.ItimerWhich{unix.ItimerReal, unix.ItimerVirtual, unix.ItimerProf}
}

func cleanSystem() error {
	// Scheduling class and priority of input and output are those of this thread,
	// which will be the only one after exec. Errors as for Setpriority.
	_ = unix.SchedSetAttr(0, &unix.SchedAttr{}, 0)
	_, _, _ = unix.RawSyscall(unix.SYS_IOPRIO_SET, ioprioProcess, 0, 0)
	_ = os.WriteFile("/proc/self/oom_score_adj", []byte("0"), 0)

	for _, timer := range timers() {
		if _, err := unix.Setitimer(timer, unix.Itimerval{}); err != nil {
			return fmt.Errorf("stop timers: %w", err)
		}
	}
	if err := unix.PthreadSigmask(unix.SIG_SETMASK, &unix.Sigset_t{}, nil); err != nil {
		return fmt.Errorf("unblock signals: %w", err)
	}
	// The Go runtime keeps 32 to 34 to itself; the others have its handlers now.
	// Exec follows, so that nothing misses those.
	for sig := 1; sig <= signals; sig++ {
		sigaction(sig, new(action), nil)
	}
	return nil
}

// Limits that Linux has beyond those of world.go; the values are the kernel's own.
const (
	lockedMemory  = 8 << 20 // bytes
	messageQueues = 819200  // bytes

	leastProcesses = 256 // and threads, of one user
	leastSignals   = 256 // the Go runtime needs one per thread
)

// ioprioProcess is IOPRIO_WHO_PROCESS of <linux/ioprio.h>.
const ioprioProcess = 1

func systemLimits() []resourceLimit {
	return []resourceLimit{
		{"address space", unix.RLIMIT_AS, infinite, infinite, leastMemory},
		{"resident memory", unix.RLIMIT_RSS, infinite, infinite, 0}, // without effect
		{"processes", unix.RLIMIT_NPROC, infinite, infinite, leastProcesses},
		{"locked memory", unix.RLIMIT_MEMLOCK, lockedMemory, lockedMemory, 0},
		{"file locks", unix.RLIMIT_LOCKS, infinite, infinite, 0}, // without effect
		{"pending signals", unix.RLIMIT_SIGPENDING, infinite, infinite, leastSignals},
		{"message queues", unix.RLIMIT_MSGQUEUE, messageQueues, messageQueues, 0},
		{"nice", unix.RLIMIT_NICE, 0, 0, 0},
		{"real-time priority", unix.RLIMIT_RTPRIO, 0, 0, 0},
		{"real-time processor time", unix.RLIMIT_RTTIME, infinite, infinite, 0},
	}
}
