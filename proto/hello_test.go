package proto

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

func TestGreet(t *testing.T) {
	tests := map[string]struct {
		answer Message
		err    error // nil: greeted
	}{
		"this version":    {&Hello{Version: Version, Login: "alice"}, nil},
		"next version":    {&Hello{Version: Version + 1}, ErrProtocol},
		"version 0":       {&Hello{}, ErrProtocol},
		"another message": {&Wake{}, ErrProtocol},
		"end":             {nil, io.EOF},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			a, b := newPair(t)
			if tt.answer == nil {
				a.Close()
			} else if err := a.Send(0, tt.answer, nil); err != nil {
				t.Fatal(err)
			}
			hello, err := b.RecvHello()
			if !errors.Is(err, tt.err) {
				t.Fatalf("error %v", err)
			}
			if err == nil && hello.Login != "alice" {
				t.Errorf("hello %+v", hello)
			}
		})
	}
}

// TestFromParent: a program that is started with a channel greets its parent.
func TestFromParent(t *testing.T) {
	conn, end, err := Pair()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	defer end.Close()
	if err := conn.Send(0, &Hello{Version: Version, Login: "alice"}, nil); err != nil {
		t.Fatal(err)
	}
	runChild(t, "greet", end)
	if _, err := conn.RecvHello(); err != nil {
		t.Error(err)
	}
}

func childGreet() error {
	c, err := FromParent()
	if err != nil {
		return err
	}
	flags, err := unix.FcntlInt(ChildFD, unix.F_GETFD, 0)
	if err != nil || flags&unix.FD_CLOEXEC == 0 {
		return fmt.Errorf("descriptor flags %#x, %w: not close-on-exec", flags, err)
	}
	hello, err := c.Greet()
	if err == nil && hello.Login != "alice" {
		err = fmt.Errorf("hello %+v", hello)
	}
	return err
}

// TestNoParent: one that is started without a channel, by hand, says so.
func TestNoParent(t *testing.T) {
	runChild(t, "no parent", nil)
	runChild(t, "no parent", messageFile(t, "no channel"))
}

func childNoParent() error {
	if c, err := FromParent(); err == nil {
		return fmt.Errorf("channel %+v", c)
	}
	return nil
}

func TestCheckFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "message")
	if err := os.WriteFile(path, []byte("12345"), 0o600); err != nil {
		t.Fatal(err)
	}
	fifo := filepath.Join(dir, "fifo")
	if err := unix.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	me := uint32(os.Getuid())
	tests := map[string]struct {
		path  string
		flags int
		owner uint32
		size  int64
		ok    bool
	}{
		"message":         {path, os.O_RDONLY, me, 5, true},
		"another owner":   {path, os.O_RDONLY, me + 1, 5, false},
		"too small":       {path, os.O_RDONLY, me, 6, false},
		"too big":         {path, os.O_RDONLY, me, 4, false},
		"read and write":  {path, os.O_RDWR, me, 5, false},
		"write only":      {path, os.O_WRONLY, me, 5, false},
		"append":          {path, os.O_WRONLY | os.O_APPEND, me, 5, false},
		"FIFO":            {fifo, os.O_RDONLY | unix.O_NONBLOCK, me, 0, false},
		"directory":       {dir, os.O_RDONLY, me, 0, false},
		"device":          {"/dev/null", os.O_RDONLY, 0, 0, false},
		"another, closed": {path, -1, me, 5, false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			f := openFile(t, tt.path, max(tt.flags, 0))
			if tt.flags < 0 {
				f.Close()
			}
			err := CheckFile(f, tt.owner, tt.size)
			if (err == nil) != tt.ok {
				t.Errorf("error %v", err)
			}
			if err != nil && tt.flags >= 0 && !errors.Is(err, ErrProtocol) {
				t.Errorf("error %v is not the peer's fault", err)
			}
		})
	}
	conn, end, err := Pair()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	defer end.Close()
	if err := CheckFile(end, me, 0); !errors.Is(err, ErrProtocol) {
		t.Errorf("socket: error %v", err)
	}
}
