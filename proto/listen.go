package proto

import (
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// backlog is how many front ends may wait for the runner to accept them; more
// wait in connect.
const backlog = 128

// Listener is the runner's control socket.
type Listener struct {
	file *os.File
	raw  syscall.RawConn
}

// Listen makes a socket at path, in place of what a dead process left there.
// Who may connect is up to the directory; the socket itself is open to all, and
// it is from the moment that it has its name: one that a process left behind
// which died in between would shut everybody out.
// The caller holds a lock that nobody else listens without.
func Listen(path string) (*Listener, error) {
	l, err := listen(path+"~", path)
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", path, err)
	}
	return l, nil
}

func listen(name, path string) (*Listener, error) {
	if err := os.Remove(name); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(fd), path)
	var raw syscall.RawConn
	for _, step := range []func() error{
		func() error { return unix.Bind(fd, &unix.SockaddrUnix{Name: name}) },
		func() error { return os.Chmod(name, 0o666) },
		func() error { return unix.Listen(fd, backlog) },
		func() error { return os.Rename(name, path) },
		func() (err error) { raw, err = f.SyscallConn(); return err },
	} {
		if err := step(); err != nil {
			f.Close()
			return nil, err
		}
	}
	return &Listener{f, raw}, nil
}

// Accept waits for the next connection. After Close it fails.
func (l *Listener) Accept() (*Conn, error) {
	fd := -1
	var aerr error
	err := l.raw.Read(func(lfd uintptr) bool {
		for {
			fd, _, aerr = unix.Accept(int(lfd))
			if !errors.Is(aerr, unix.EINTR) && !errors.Is(aerr, unix.ECONNABORTED) {
				return !errors.Is(aerr, unix.EAGAIN)
			}
		}
	})
	if err == nil {
		err = aerr
	}
	if err != nil {
		return nil, fmt.Errorf("accept on %s: %w", l.file.Name(), err)
	}
	unix.CloseOnExec(fd) // nobody forks here, so a moment without it does no harm
	if err := unix.SetNonblock(fd, true); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("accept on %s: %w", l.file.Name(), err)
	}
	return NewConn(os.NewFile(uintptr(fd), "control"))
}

// Close stops listening. Connections that were not accepted see end of file.
func (l *Listener) Close() { l.file.Close() }

// Dial connects to the socket at path. It waits at most timeout for room in the
// queue of connections. The error wraps ENOENT or ECONNREFUSED if nobody listens.
func Dial(path string, timeout time.Duration) (*Conn, error) {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("connect to %s: %w", path, err)
	}
	tv := unix.NsecToTimeval(timeout.Nanoseconds())
	if err = unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_SNDTIMEO, &tv); err == nil {
		for err = unix.EINTR; errors.Is(err, unix.EINTR); {
			err = unix.Connect(fd, &unix.SockaddrUnix{Name: path})
		}
	}
	if err == nil {
		err = unix.SetNonblock(fd, true)
	}
	if err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("connect to %s: %w", path, err)
	}
	return NewConn(os.NewFile(uintptr(fd), "control"))
}
