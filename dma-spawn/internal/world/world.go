// Package world replaces what dma-spawn inherited from its caller, who may be
// hostile, by a world of its own (DESIGN 1, RULES B1).
package world

import (
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"dma/common/priv"
	"dma/common/site"

	"golang.org/x/sys/unix"
)

// Resource limits of dma-spawn and all its children.
const (
	softFiles = 1024    // descriptors
	hardFiles = 4096    // descriptors; a Go program raises its soft limit to this
	stack     = 8 << 20 // bytes
	infinite  = unix.RLIM_INFINITY

	leastFiles  = 256
	leastStack  = 1 << 20
	leastMemory = 1 << 30
)

// Dirt names something in the state of this process that its caller may have
// chosen. It is empty if there is nothing of the kind.
func Dirt() string {
	switch {
	case !site.Private() && !OnlyRoot():
		return "identity"
	case len(os.Environ()) > 0:
		return "environment"
	case !leadsSession():
		return "session"
	case cwd() != "/":
		return "working directory"
	case !quietStandard() || len(priv.Inherited(3)) > 0:
		return "descriptors"
	}
	return systemDirt()
}

// Renew makes the world clean and runs the program self anew in it, so that its
// Go runtime starts in it too. It returns only if that failed. The calling
// goroutine must be locked to its thread: some of the state is the thread's.
func Renew(self string) error {
	if err := clean(); err != nil {
		return err
	}
	if dirt := Dirt(); dirt != "" { // without this, an endless loop
		return fmt.Errorf("make own world: %s is still not clean", dirt)
	}
	return fmt.Errorf("run %s: %w", self, syscall.Exec(self, []string{"dma-spawn"}, nil))
}

func clean() error {
	trusted := site.Private() || OnlyRoot()
	for _, fd := range priv.Inherited(3) { // or there may be none left for us
		unix.Close(fd)
	}
	if err := setLimits(); err != nil {
		return err
	}
	if !site.Private() {
		if err := priv.ForExec(0, 0); err != nil {
			return fmt.Errorf("become root alone: %w", err)
		}
	}
	if err := replaceStandard(trusted); err != nil {
		return fmt.Errorf("open standard descriptors: %w", err)
	}
	if err := priv.InheritNothing(); err != nil {
		return err
	}
	if err := leadSession(); err != nil {
		return fmt.Errorf("start session: %w", err)
	}
	if err := os.Chdir("/"); err != nil {
		return err
	}
	// An error means that root has only some of its powers, in a container
	// perhaps, or that this is a private build. Mail goes on at another priority.
	_ = unix.Setpriority(unix.PRIO_PROCESS, 0, 0)
	// Handlers end with exec; without one, an inherited "ignore" would stay. A
	// signal that is pending when cleanSystem unblocks it ends in the channel.
	signal.Notify(make(chan os.Signal, 1))
	return cleanSystem()
}

// OnlyRoot reports whether this process is root and in no group but root's.
// Nobody but root can have started it then.
func OnlyRoot() bool {
	groups, err := os.Getgroups()
	if err != nil {
		return false
	}
	for _, id := range append(groups, os.Getuid(), os.Geteuid(), os.Getgid(), os.Getegid()) {
		if id != 0 {
			return false
		}
	}
	return true
}

func leadsSession() bool {
	sid, err := unix.Getsid(0)
	return err == nil && sid == os.Getpid()
}

// leadSession makes this process the leader of a session of its own, out of the
// reach of terminals. The leader of a group cannot start one: started by a shell
// with job control it goes into the shell's group first.
func leadSession() error {
	if leadsSession() {
		return nil
	}
	_, err := unix.Setsid()
	if err != nil {
		group, gerr := unix.Getpgid(os.Getppid())
		if gerr == nil && unix.Setpgid(0, group) == nil {
			_, err = unix.Setsid()
		}
	}
	return err
}

func cwd() string {
	dir, err := syscall.Getwd()
	if err != nil {
		return ""
	}
	return dir
}

// replaceStandard makes 0 to 2 /dev/null. Root's init, or whoever in a private
// build, may leave a pipe or socket at 2 for the log (LOG in dma.conf(5)).
func replaceStandard(trusted bool) error {
	null, err := unix.Open(os.DevNull, unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(null)
	for fd := range 3 {
		if fd == 2 && trusted && isPipe(fd) {
			continue
		}
		if err := unix.Dup2(null, fd); err != nil {
			return err
		}
	}
	return nil
}

// quietStandard reports whether 0 to 2 are /dev/null, and 2 perhaps a pipe.
func quietStandard() bool {
	var null, st unix.Stat_t
	if unix.Stat(os.DevNull, &null) != nil {
		return false
	}
	for fd := range 3 {
		if fd == 2 && isPipe(fd) {
			continue
		}
		if unix.Fstat(fd, &st) != nil || st.Mode&unix.S_IFMT != unix.S_IFCHR || st.Rdev != null.Rdev {
			return false
		}
	}
	return true
}

// isPipe reports whether fd is a pipe or a socket: something that can be written
// to and nothing else. A file could be cut, a terminal given orders.
func isPipe(fd int) bool {
	var st unix.Stat_t
	if unix.Fstat(fd, &st) != nil {
		return false
	}
	kind := st.Mode & unix.S_IFMT
	return kind == unix.S_IFIFO || kind == unix.S_IFSOCK
}

// A resourceLimit is what a limit ought to be, and the least that it has to be
// for mail to work.
type resourceLimit struct {
	name              string
	resource          int
	soft, hard, least uint64
}

func commonLimits() []resourceLimit {
	return []resourceLimit{
		{"descriptors", unix.RLIMIT_NOFILE, softFiles, hardFiles, leastFiles},
		{"stack", unix.RLIMIT_STACK, stack, infinite, leastStack},
		{"processor time", unix.RLIMIT_CPU, infinite, infinite, infinite},
		{"file size", unix.RLIMIT_FSIZE, infinite, infinite, infinite},
		{"data", unix.RLIMIT_DATA, infinite, infinite, leastMemory},
	}
}

// setLimits undoes limits that the caller lowered. Root in a container may be
// unable to raise hard limits: then the soft ones go as near as they can. Where
// that is too little, mail waits for a better caller; running for days under
// such limits it would wait longer. In a private build they are the user's own.
func setLimits() error {
	for _, l := range append(commonLimits(), systemLimits()...) {
		if priv.SetLimit(l.resource, l.soft, l.hard) == nil {
			continue
		}
		var old syscall.Rlimit
		if err := syscall.Getrlimit(l.resource, &old); err != nil {
			return fmt.Errorf("get limit on %s: %w", l.name, err)
		}
		hard := uint64(old.Max)
		if err := priv.SetLimit(l.resource, min(l.soft, hard), hard); err != nil {
			return fmt.Errorf("set limit on %s: %w", l.name, err)
		}
		if hard < l.least && !site.Private() {
			return fmt.Errorf("raise limit on %s from %d: not permitted", l.name, hard)
		}
	}
	return nil
}
