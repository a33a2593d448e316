package proto

import (
	"errors"
	"fmt"
	"os"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// TestInFlight: where too many descriptors are under way to readers that do not
// read, Send fails at once with ETOOMANYREFS, and works again when they have read.
func TestInFlight(t *testing.T) { runChild(t, "in-flight", nil) }

func childInFlight() error {
	const limit = 64
	if os.Getuid() == 0 { // root may exceed the limit
		const nobody = 65534
		if err := syscall.Setgid(nobody); err != nil {
			return err
		}
		if err := syscall.Setuid(nobody); err != nil {
			return err
		}
	}
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: limit, Max: limit}); err != nil {
		return err
	}
	a, f, err := Pair()
	if err != nil {
		return err
	}
	b, err := NewConn(f)
	if err != nil {
		return err
	}
	file, err := os.Open("/dev/null")
	if err != nil {
		return err
	}
	before := descriptors()
	sent := 0
	for ; err == nil; sent++ {
		if sent > 4*limit {
			return errors.New("no limit on what is under way")
		}
		err = a.Send(1, &Started{}, file)
	}
	if !errors.Is(err, unix.ETOOMANYREFS) {
		return fmt.Errorf("after %d messages: error %w", sent, err)
	}
	for range sent - 1 {
		p, err := b.Recv(testTimeout, TypeStarted)
		if err != nil {
			return err
		}
		p.File.Close()
	}
	if after := descriptors(); after != before {
		return fmt.Errorf("%d descriptors before, %d after", before, after)
	}
	return a.Send(1, &Started{}, file)
}
