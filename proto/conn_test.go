package proto

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

// TestExchange sends every message both ways, each with what it carries.
func TestExchange(t *testing.T) {
	a, b := newPair(t)
	file := messageFile(t, "Subject: hello\n")
	for i, m := range samples() {
		for _, ends := range [][2]*Conn{{a, b}, {b, a}} {
			var send *os.File
			if m.Type().carriesFile() {
				send = file
			}
			if err := ends[0].Send(uint32(i), m, send); err != nil {
				t.Fatal(err)
			}
			p, err := ends[1].Recv(testTimeout, m.Type())
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(m, p.Message); diff != "" || p.Request != uint32(i) {
				t.Errorf("request %d for %d, message (-sent +received):\n%s", p.Request, i, diff)
			}
			if (p.File != nil) != (send != nil) {
				t.Errorf("type %d came with file %v", m.Type(), p.File)
			}
			if p.File != nil {
				checkPassed(t, p.File, "Subject: hello\n")
			}
		}
	}
}

// checkPassed: the descriptor is the file that was sent, and no child inherits it.
func checkPassed(t *testing.T, f *os.File, want string) {
	t.Helper()
	defer f.Close()
	got := make([]byte, len(want)+1)
	n, err := f.ReadAt(got, 0)
	if !errors.Is(err, io.EOF) || string(got[:n]) != want {
		t.Errorf("read %q, %v through the descriptor", got[:n], err)
	}
	flags, err := unix.FcntlInt(f.Fd(), unix.F_GETFD, 0)
	if err != nil || flags&unix.FD_CLOEXEC == 0 {
		t.Errorf("descriptor flags %#x, %v: not close-on-exec", flags, err)
	}
}

// TestSendChecks: what the receiver would refuse is not sent at all.
func TestSendChecks(t *testing.T) {
	a, b := newPair(t)
	file := messageFile(t, "x")
	if a.Send(1, &Wake{}, file) == nil {
		t.Error("a descriptor went with a Wake")
	}
	if a.Send(1, &Started{}, nil) == nil {
		t.Error("a Started went without a descriptor")
	}
	if err := a.Send(1, &Rcpt{Address: "a\nb"}, nil); !errors.Is(err, ErrProtocol) {
		t.Errorf("a line end was sent: error %v", err)
	}
	file.Close()
	if a.Send(1, &Started{}, file) == nil {
		t.Error("a closed file was sent")
	}
	if p, err := b.Recv(time.Millisecond, allTypes()...); err == nil {
		t.Errorf("received %+v", p.Message)
	}
}

func TestRecvDeadline(t *testing.T) {
	a, b := newPair(t)
	start := time.Now()
	if _, err := b.Recv(20*time.Millisecond, TypeWake); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("error %v", err)
	}
	if d := time.Since(start); d < 20*time.Millisecond {
		t.Errorf("gave up after %v", d)
	}
	// The next Recv has a time of its own; 0 waits until something comes.
	if err := a.Send(1, &Wake{}, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Recv(testTimeout, TypeWake); err != nil {
		t.Fatal(err)
	}
	time.AfterFunc(50*time.Millisecond, func() { _ = a.Send(2, &Wake{}, nil) })
	if p, err := b.Recv(0, TypeWake); err != nil || p.Request != 2 {
		t.Fatalf("request %d, error %v", p.Request, err)
	}
}

func TestEndOfFile(t *testing.T) {
	tests := map[string]func(a, b *Conn) error{
		"closed": func(a, _ *Conn) error { a.Close(); return nil },
		// Its death is seen as a reset where messages to it are lost with it.
		"closed with our message unread": func(a, b *Conn) error {
			err := b.Send(1, &Wake{}, nil)
			a.Close()
			return err
		},
		"zero length": func(a, _ *Conn) error { return sendRaw(a, nil, nil, 0) },
	}
	for name, end := range tests {
		t.Run(name, func(t *testing.T) {
			a, b := newPair(t)
			if err := end(a, b); err != nil {
				t.Fatal(err)
			}
			if _, err := b.Recv(testTimeout, TypeWake); !errors.Is(err, io.EOF) {
				t.Errorf("error %v", err)
			}
		})
	}
}

// TestLastWords: what was sent before the end arrives before the end.
func TestLastWords(t *testing.T) {
	a, b := newPair(t)
	if err := a.Send(1, &Wake{}, nil); err != nil {
		t.Fatal(err)
	}
	a.Close()
	if _, err := b.Recv(testTimeout, TypeWake); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Recv(testTimeout, TypeWake); !errors.Is(err, io.EOF) {
		t.Fatalf("error %v", err)
	}
	if err := b.Send(1, &Wake{}, nil); !errors.Is(err, unix.EPIPE) {
		t.Fatalf("send to nobody: error %v", err)
	}
}

// TestCloseWakes: closing a channel ends a Recv that waits on it, and can be repeated.
func TestCloseWakes(t *testing.T) {
	a, _ := newPair(t)
	got := make(chan error, 1)
	go func() {
		_, err := a.Recv(0, TypeWake)
		got <- err
	}()
	time.Sleep(10 * time.Millisecond)
	a.Close()
	a.Close()
	select {
	case err := <-got:
		if err == nil || errors.Is(err, ErrProtocol) || errors.Is(err, io.EOF) {
			t.Errorf("error %v", err) // the peer has done nothing
		}
	case <-time.After(testTimeout):
		t.Fatal("Recv still waits")
	}
}

// TestSlowPeer: a peer that takes nothing costs the sender no more than its
// time-out, however many goroutines send; the messages taken are whole.
func TestSlowPeer(t *testing.T) {
	a, b := newPair(t)
	a.timeout = 50 * time.Millisecond
	m := &State{Recipient: strings.Repeat("x", MaxAddress)}
	sent := uint32(0)
	start := time.Now()
	for {
		err := a.Send(sent, m, nil)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		sent++
		if sent > 1<<20 {
			t.Fatal("a peer that reads nothing takes everything")
		}
	}
	if d := time.Since(start); d > testTimeout {
		t.Errorf("waited for %v", d)
	}
	for want := range sent {
		p, err := b.Recv(testTimeout, TypeState)
		if err != nil || p.Request != want {
			t.Fatalf("request %d for %d, error %v", p.Request, want, err)
		}
	}
	if err := a.Send(sent, m, nil); err != nil {
		t.Errorf("after the peer has read all: %v", err)
	}
}

// TestSlowPeerManySenders: those that come later do not put off the time-out of
// the one that waits.
func TestSlowPeerManySenders(t *testing.T) {
	a, _ := newPair(t)
	a.timeout = 100 * time.Millisecond
	m := &State{Recipient: strings.Repeat("x", MaxAddress)}
	first := make(chan error, 1)
	go func() {
		for {
			if err := a.Send(1, m, nil); err != nil {
				first <- err
				return
			}
		}
	}()
	var others sync.WaitGroup
	defer others.Wait()
	defer a.Close()
	stop := time.After(2 * time.Second)
	for {
		select {
		case err := <-first:
			if !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("error %v", err)
			}
			return
		case <-stop:
			t.Error("the first sender still waits")
			return
		case <-time.After(20 * time.Millisecond):
			others.Go(func() { _ = a.Send(2, m, nil) })
		}
	}
}

// TestConcurrentSenders: messages of many goroutines arrive whole, each
// goroutine's in its order, each descriptor with its message.
func TestConcurrentSenders(t *testing.T) {
	const senders, each = 8, 200
	a, b := newPair(t)
	var group sync.WaitGroup
	defer group.Wait()
	for s := range senders {
		file := messageFile(t, fmt.Sprint("from ", s))
		group.Go(func() {
			for i := range each {
				err := a.Send(uint32(s), &Deliver{Kind: TargetMailbox, Sender: fmt.Sprint(s), Size: int64(i)}, file)
				if err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	next := make([]int64, senders)
	for range senders * each {
		p, err := b.Recv(testTimeout, TypeDeliver)
		if err != nil {
			t.Fatal(err)
		}
		d := p.Message.(*Deliver)
		if fmt.Sprint(p.Request) != d.Sender || d.Size != next[p.Request] {
			t.Fatalf("request %d, expected its message %d: %+v", p.Request, next[p.Request], d)
		}
		next[p.Request]++
		checkPassed(t, p.File, fmt.Sprint("from ", p.Request))
	}
}

func TestNewConn(t *testing.T) {
	var stream [2]*os.File
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	for i, fd := range fds {
		stream[i] = os.NewFile(uintptr(fd), "stream")
		defer stream[i].Close()
	}
	if _, err := NewConn(stream[0]); !errors.Is(err, unix.EPROTOTYPE) {
		t.Errorf("of a stream socket: error %v", err)
	}
	file := messageFile(t, "")
	if _, err := NewConn(file); !errors.Is(err, unix.ENOTSOCK) {
		t.Errorf("of a file: error %v", err)
	}
	if err := file.Close(); !errors.Is(err, os.ErrClosed) {
		t.Errorf("NewConn has not closed what it could not use: %v", err)
	}
}
