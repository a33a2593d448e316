package proto

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// stranger is a uid that a process of root's may take.
const stranger = 65534

// TestPeerUID: who connects is told by the kernel, and stays who it was then.
func TestPeerUID(t *testing.T) {
	path := socketPath(t)
	l := listenAt(t, path)
	self := os.Geteuid()
	c, err := Dial(path, testTimeout)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	check := func(want int) {
		t.Helper()
		s, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		if uid, err := s.PeerUID(); err != nil || uid != uint32(want) {
			t.Errorf("uid %d, error %v, want %d", uid, err, want)
		}
		s.Close()
		if uid, err := s.PeerUID(); err == nil || uid != noUID {
			t.Errorf("uid %d of a closed connection, error %v", uid, err)
		}
	}
	check(self)

	if err := os.Chmod(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PROTO_TEST_SOCKET", path)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		runChild(t, "peer", nil)
	}()
	if self == 0 {
		self = stranger
	}
	check(self)
	<-ended
}

// childPeer connects, as somebody else if it can.
func childPeer() error {
	if os.Geteuid() == 0 {
		if err := syscall.Setuid(stranger); err != nil {
			return err
		}
	}
	c, err := Dial(os.Getenv("PROTO_TEST_SOCKET"), testTimeout)
	if err != nil {
		return err
	}
	defer c.Close()
	if _, err := c.Recv(testTimeout, TypeHello); !errors.Is(err, io.EOF) {
		return err
	}
	return nil
}
