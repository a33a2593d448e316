package proto

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// Greet sends this program's version and receives the peer's Hello.
func (c *Conn) Greet() (*Hello, error) {
	if err := c.Send(0, &Hello{Version: Version}, nil); err != nil {
		return nil, err
	}
	return c.RecvHello()
}

// RecvHello receives the peer's Hello, which must be the next message.
func (c *Conn) RecvHello() (*Hello, error) {
	p, err := c.Recv(HelloTimeout, TypeHello)
	if err != nil {
		return nil, err
	}
	hello := p.Message.(*Hello)
	if hello.Version != Version {
		return nil, violation("peer speaks version %d, this program %d; install all programs of one version", hello.Version, Version)
	}
	return hello, nil
}

// CheckFile checks a descriptor that is said to be a message (RULES B5): a
// regular file of the queue account's, open for reading only, of the given size.
// Whoever passes it may be hostile, and so may what it names.
func CheckFile(f *os.File, owner uint32, size int64) error {
	raw, err := f.SyscallConn()
	if err != nil {
		return fmt.Errorf("check descriptor: %w", err)
	}
	var st unix.Stat_t
	var flags int
	cerr := raw.Control(func(fd uintptr) {
		if err = unix.Fstat(int(fd), &st); err == nil {
			flags, err = unix.FcntlInt(fd, unix.F_GETFL, 0)
		}
	})
	if err == nil {
		err = cerr
	}
	switch {
	case err != nil:
		return fmt.Errorf("check descriptor: %w", err)
	case st.Mode&unix.S_IFMT != unix.S_IFREG:
		return violation("descriptor of a file that is not regular")
	case st.Uid != owner:
		return violation("descriptor of a file of uid %d", st.Uid)
	case flags&unix.O_ACCMODE != unix.O_RDONLY || flags&badFlags != 0:
		return violation("descriptor with flags %#x", flags)
	case st.Size != size:
		return violation("message of %d bytes said to have %d", st.Size, size)
	}
	return nil
}
