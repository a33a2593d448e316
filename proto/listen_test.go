package proto

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// socketPath is a short name: what a socket may be called is limited to 104 bytes or so.
func socketPath(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "proto")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return filepath.Join(dir, "control")
}

func listenAt(t *testing.T, path string) *Listener {
	t.Helper()
	l, err := Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.Close)
	return l
}

func TestListen(t *testing.T) {
	path := socketPath(t)
	l := listenAt(t, path)
	if st, err := os.Stat(path); err != nil || st.Mode() != os.ModeSocket|0o666 {
		t.Errorf("socket %v, error %v", st.Mode(), err)
	}
	var clients sync.WaitGroup
	defer clients.Wait()
	for i := range 3 {
		clients.Go(func() {
			c, err := Dial(path, testTimeout)
			if err != nil {
				t.Error(err)
				return
			}
			defer c.Close()
			if _, err := c.Greet(); err != nil {
				t.Error(err)
			}
			if err := c.Send(uint32(i), &Wake{}, nil); err != nil {
				t.Error(err)
			}
		})
	}
	seen := make(map[uint32]bool)
	for range 3 {
		c, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if _, err := c.Greet(); err != nil {
			t.Fatal(err)
		}
		p, err := c.Recv(testTimeout, TypeWake)
		if err != nil {
			t.Fatal(err)
		}
		seen[p.Request] = true
		for _, conn := range []uintptr{c.File().Fd(), l.file.Fd()} {
			if flags, err := unix.FcntlInt(conn, unix.F_GETFD, 0); err != nil || flags&unix.FD_CLOEXEC == 0 {
				t.Errorf("descriptor flags %#x, %v: not close-on-exec", flags, err)
			}
		}
	}
	if len(seen) != 3 {
		t.Errorf("clients %v", seen)
	}
}

// TestListenerEnds: whoever connects in time but is not accepted sees the end;
// whoever comes later hears that nobody listens; Accept comes back.
func TestListenerEnds(t *testing.T) {
	path := socketPath(t)
	if _, err := Dial(path, time.Second); !errors.Is(err, unix.ENOENT) {
		t.Errorf("before: error %v", err)
	}
	l := listenAt(t, path)
	waiting, err := Dial(path, testTimeout)
	if err != nil {
		t.Fatal(err)
	}
	defer waiting.Close()
	c, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
	ended := make(chan error, 1)
	go func() {
		_, err := l.Accept()
		ended <- err
	}()
	time.Sleep(10 * time.Millisecond)
	l.Close()
	select {
	case err := <-ended:
		if err == nil {
			t.Error("accepted a connection that nobody made")
		}
	case <-time.After(testTimeout):
		t.Fatal("Accept still waits")
	}
	if _, err := Dial(path, time.Second); !errors.Is(err, unix.ECONNREFUSED) {
		t.Errorf("after: error %v", err)
	}
	if _, err := waiting.Recv(testTimeout, TypeHello); !errors.Is(err, io.EOF) {
		t.Errorf("connection: error %v", err)
	}

	// The next listener takes over what is left at the path.
	next := listenAt(t, path)
	unaccepted, err := Dial(path, testTimeout)
	if err != nil {
		t.Fatal(err)
	}
	defer unaccepted.Close()
	if err := unaccepted.Send(1, &Wake{}, nil); err != nil {
		t.Fatal(err)
	}
	next.Close()
	if _, err := unaccepted.Recv(testTimeout, TypeHello); !errors.Is(err, io.EOF) {
		t.Errorf("connection never accepted: error %v", err)
	}
}

// TestDialWaits: where as many wait as may, a further one waits no longer than it said.
func TestDialWaits(t *testing.T) {
	path := socketPath(t)
	listenAt(t, path)
	start := time.Now()
	for range 2*backlog + 10 {
		c, err := Dial(path, 50*time.Millisecond)
		if err != nil {
			if !errors.Is(err, unix.EAGAIN) {
				t.Errorf("error %v", err)
			}
			if d := time.Since(start); d > testTimeout {
				t.Errorf("waited for %v", d)
			}
			return
		}
		defer c.Close()
	}
	t.Error("no end to those who may wait")
}

func TestListenFails(t *testing.T) {
	for name, path := range map[string]string{
		"no directory": socketPath(t) + "/a/b",
		"too long":     socketPath(t) + strings.Repeat("x", 200),
	} {
		before := descriptors()
		if _, err := Listen(path); err == nil {
			t.Errorf("%s: listens", name)
		}
		if _, err := Dial(path, time.Second); err == nil {
			t.Errorf("%s: connected", name)
		}
		if after := descriptors(); after != before {
			t.Errorf("%s: %d descriptors before, %d after", name, before, after)
		}
	}
}
