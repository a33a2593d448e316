// Package child starts the programs that dma-spawn starts, each as an account
// and with nothing but what it is given (RULES B2, B3).
//
// A Go program that starts another waits, all of it if the processors are few,
// until the child has called exec. From the moment the child has a user's uid
// that user may stop it. So a child does not change its uid before exec: it
// becomes dma-spawn once more, still root, which changes its own uid, checks
// that, and becomes the program. Who stops it then stops nothing else.
package child

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"syscall"

	"dma/common/priv"
	"dma/common/site"
)

// become is the word after which dma-spawn's arguments say who it is to be:
// uid, gid, path and arguments of the program.
const become = "become"

// Start starts the program at path as uid with gid as its only group, in a
// session of its own, in /, without environment, with files as its descriptors.
// In a private build the child is who this process is. The rest of its world is
// that of dma-spawn: umask, limits, priority, signals.
func Start(path string, args []string, uid, gid uint32, files []*os.File) (*os.Process, error) {
	attr := &os.ProcAttr{Dir: "/", Env: []string{}, Files: files, Sys: &syscall.SysProcAttr{Setsid: true}}
	if site.Private() {
		return os.StartProcess(path, args, attr)
	}
	first := []string{"dma-spawn", become, strconv.Itoa(int(uid)), strconv.Itoa(int(gid)), path}
	return os.StartProcess(site.Libexec+"/dma-spawn", append(first, args...), attr)
}

// Wanted reports whether this process was started by Start to become something
// else. The caller makes sure that only root can have started it like that.
func Wanted(args []string) bool { return len(args) > 5 && args[1] == become }

// Become makes this process the program that Start was asked for. It returns
// only if that failed. The calling goroutine must be locked to its thread.
func Become(args []string) error {
	uid, err := strconv.ParseUint(args[2], 10, 32)
	gid, gerr := strconv.ParseUint(args[3], 10, 32)
	if err = errors.Join(err, gerr); err != nil {
		return err
	}
	if err := priv.ForExec(uint32(uid), uint32(gid)); err != nil {
		return err
	}
	if err := priv.Check(uint32(uid)); err != nil {
		return err
	}
	return fmt.Errorf("run %s: %w", args[4], syscall.Exec(args[4], args[5:], nil))
}
