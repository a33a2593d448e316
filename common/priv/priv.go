// Package priv is where a program takes leave of what it inherited and of the
// rights it was started with, and makes sure that both are gone (RULES A1, B2).
//
// Only package syscall changes the identity of all threads of a process; the
// functions of x/sys/unix with the same names change one thread on Linux, which
// is right in ForExec and nowhere else.
package priv

import (
	"errors"
	"fmt"
	"os"
	"syscall"

	"dma/common/site"

	"golang.org/x/sys/unix"
)

// Limits of the descriptor table.
const (
	firstInherited = 3       // 0 to 2 are in use: the Go runtime opens /dev/null for those that are closed
	helperFDs      = 4       // a helper has 0 to 2 and its channel
	probeMost      = 256     // descriptors that Inherited looks at: more than dma-spawn ever has open
	markMost       = 1 << 16 // descriptors marked one by one where close_range is missing
)

// InheritNothing is for the first line of main in a program that anybody may
// start: descriptors from 3 up do not reach programs that this one starts, files
// are created for the owner alone, there are no core dumps, and of the
// environment only the named variables are left. Descriptors 0 to 2 are open:
// the Go runtime saw to that before main.
func InheritNothing(keep ...string) error {
	closeOnExecFrom(firstInherited)
	if err := ownFilesOnly(); err != nil {
		return err
	}
	kept := make(map[string]string, len(keep))
	for _, name := range keep {
		if value, ok := os.LookupEnv(name); ok {
			kept[name] = value
		}
	}
	os.Clearenv()
	for name, value := range kept {
		if err := os.Setenv(name, value); err != nil {
			return fmt.Errorf("keep environment variable: %w", err)
		}
	}
	return nil
}

// HelperStart is for the first line of main in a program that dma-spawn starts.
// The error names what was not as dma-spawn leaves it: somebody else started the
// program, or there is a bug. It is put right by then; log the error and go on.
func HelperStart() error {
	err := ownFilesOnly()
	for _, fd := range Inherited(helperFDs) {
		unix.Close(fd)
		err = errors.Join(err, fmt.Errorf("descriptor %d was open at start", fd))
	}
	if env := os.Environ(); len(env) != 0 {
		os.Clearenv()
		err = errors.Join(err, fmt.Errorf("environment had %d variables at start", len(env)))
	}
	return err
}

// Inherited lists the open descriptors from first up that came through exec.
// They have no close-on-exec flag; what the Go runtime opened for itself has one.
func Inherited(first int) []int {
	var fds []int
	for fd := first; fd < probeMost; fd++ {
		flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0)
		if err == nil && flags&unix.FD_CLOEXEC == 0 {
			fds = append(fds, fd)
		}
	}
	return fds
}

func ownFilesOnly() error {
	unix.Umask(0o077)
	if err := SetLimit(syscall.RLIMIT_CORE, 0, 0); err != nil {
		return fmt.Errorf("forbid core dumps: %w", err)
	}
	return nil
}

// SetLimit sets a soft and a hard resource limit. Package syscall then leaves
// them as they are for programs that this one starts.
func SetLimit(resource int, soft, hard uint64) error {
	var l syscall.Rlimit
	assign(&l.Cur, soft)
	assign(&l.Max, hard)
	return syscall.Setrlimit(resource, &l)
}

// assign is there because limits are signed numbers on some systems.
func assign[N int64 | uint64](to *N, value uint64) { *to = N(value) }

// closeOnExecSlowly marks descriptors one by one. Where the table ends is no
// limit's business: the caller may have lowered the limit after opening them.
func closeOnExecSlowly(first int) {
	for fd := first; fd < markMost; fd++ {
		unix.CloseOnExec(fd)
	}
}

// Drop makes a program that runs as root the account uid with group gid alone,
// and checks that there is no way back.
func Drop(uid, gid uint32) error {
	if err := syscall.Setgroups([]int{int(gid)}); err != nil {
		return fmt.Errorf("set groups: %w", err)
	}
	if err := syscall.Setgid(int(gid)); err != nil {
		return fmt.Errorf("set gid %d: %w", gid, err)
	}
	if err := syscall.Setuid(int(uid)); err != nil {
		return fmt.Errorf("set uid %d: %w", uid, err)
	}
	return Check(uid)
}

// LeaveGroup gives up, for good, the group that a set-gid bit gave.
func LeaveGroup() error {
	group, own := os.Getegid(), os.Getgid()
	if err := syscall.Setregid(own, own); err != nil {
		return fmt.Errorf("give up group %d: %w", group, err)
	}
	if os.Getegid() != own || group != own && syscall.Setgid(group) == nil {
		return fmt.Errorf("give up group %d: it could be regained", group)
	}
	return nil
}

// ForExec makes the calling thread the account uid with group gid alone, on the
// BSDs the whole process. It is for a goroutine locked to its thread that calls
// exec next, which leaves no other thread. To change all threads the Go runtime
// sends signals, and waits for ever if a hostile caller's limit forbids those.
func ForExec(uid, gid uint32) error {
	if err := setIDs(int(uid), int(gid)); err != nil {
		return fmt.Errorf("set uid %d and gid %d: %w", uid, gid, err)
	}
	return nil
}

// Check makes sure that this process is uid, real, effective and saved, that it
// has one group and no capabilities, and that it cannot become root again. A uid
// of 0 stands for "anybody but root": so Hello.UID can be passed as it is. A
// private build, where nobody has privileges, is only checked for a set-uid bit.
// Call it before the sandbox: it tries what the sandbox may punish.
func Check(uid uint32) error {
	if site.Private() {
		return checkPrivate(uid)
	}
	ids, err := currentIDs()
	if err != nil {
		return fmt.Errorf("check identity: %w", err)
	}
	groups, err := syscall.Getgroups()
	if err != nil {
		return fmt.Errorf("check groups: %w", err)
	}
	if err := ids.check(uid, groups); err != nil {
		return fmt.Errorf("check identity: %w", err)
	}
	if syscall.Setuid(0) == nil || syscall.Setgid(0) == nil || syscall.Setgroups([]int{0}) == nil {
		return errors.New("check identity: root could be regained")
	}
	return nil
}

func checkPrivate(uid uint32) error {
	switch {
	case os.Getuid() != os.Geteuid(), os.Getgid() != os.Getegid():
		return errors.New("check identity: a private build must not be installed set-uid or set-gid")
	case uid != 0 && int(uid) != os.Getuid():
		return fmt.Errorf("check identity: uid is %d, not %d", os.Getuid(), uid)
	}
	return nil
}

// identity is what the kernel says a process is: real, effective, saved.
type identity struct {
	uid, gid     [3]int
	capabilities bool // has any
}

// check is Check without the system calls.
func (id identity) check(uid uint32, groups []int) error {
	u, g := id.uid[0], id.gid[0]
	switch {
	case u == 0 || g == 0:
		return fmt.Errorf("uid is %d and gid %d", u, g)
	case uid != 0 && u != int(uid):
		return fmt.Errorf("uid is %d, not %d", u, uid)
	case id.uid != [3]int{u, u, u}:
		return fmt.Errorf("real, effective and saved uid are %v", id.uid)
	case id.gid != [3]int{g, g, g}:
		return fmt.Errorf("real, effective and saved gid are %v", id.gid)
	case id.capabilities:
		return errors.New("capabilities are left")
	}
	for _, group := range groups {
		if group != g {
			return fmt.Errorf("gid is %d, supplementary groups are %v", g, groups)
		}
	}
	return nil
}
