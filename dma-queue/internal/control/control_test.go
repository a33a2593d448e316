package control

import (
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"dma/common/maillog"
	"dma/dma-queue/internal/schedule"
	"dma/dma-queue/internal/spool"
	"dma/proto"
)

// patience is for what must happen at once.
const patience = 5 * time.Second

// fakeQueue counts what it is asked, and answers what it was told to.
type fakeQueue struct {
	wakes, flushes, broken atomic.Int64
	ending                 bool
	listings               []schedule.Listing
	err                    error

	mu      sync.Mutex
	asked   []string // who asked for what
	tally   schedule.Tally
	file    string // that Show hands over, if not empty
	stream  func() (*schedule.Stream, error)
	verdict []proto.Verdict
}

func (q *fakeQueue) Wake() { q.wakes.Add(1) }

func (q *fakeQueue) heard(c schedule.Caller, format string, args ...any) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.asked = append(q.asked, fmt.Sprintf("%d ", c.UID)+fmt.Sprintf(format, args...))
}

func (q *fakeQueue) operate(c schedule.Caller, what string, sel proto.Selection) (schedule.Tally, error) {
	q.heard(c, "%s %d %s", what, sel.By, sel.Value)
	if q.ending {
		return schedule.Tally{}, schedule.ErrEnding
	}
	return q.tally, q.err
}

func (q *fakeQueue) Flush(c schedule.Caller, sel proto.Selection) (schedule.Tally, error) {
	q.flushes.Add(1)
	return q.operate(c, "flush", sel)
}

func (q *fakeQueue) Hold(c schedule.Caller, sel proto.Selection) (schedule.Tally, error) {
	return q.operate(c, "hold", sel)
}

func (q *fakeQueue) Release(c schedule.Caller, sel proto.Selection) (schedule.Tally, error) {
	return q.operate(c, "release", sel)
}

func (q *fakeQueue) Remove(c schedule.Caller, sel proto.Selection) (schedule.Tally, error) {
	return q.operate(c, "remove", sel)
}

func (q *fakeQueue) Show(c schedule.Caller, id spool.ID) (schedule.Listing, *os.File, error) {
	q.heard(c, "show %s", id)
	if len(q.listings) == 0 {
		return schedule.Listing{}, nil, os.ErrNotExist
	}
	if q.file == "" {
		return q.listings[0], nil, nil
	}
	f, err := os.Open(q.file)
	return q.listings[0], f, err
}

func (q *fakeQueue) Watch(c schedule.Caller, id spool.ID) (*schedule.Stream, error) {
	q.heard(c, "watch %s", id)
	return q.stream()
}

func (q *fakeQueue) Probe(c schedule.Caller, m *proto.Probe) (*schedule.Stream, error) {
	q.heard(c, "probe %s %s", m.Sender, m.Domain)
	return q.stream()
}

func (q *fakeQueue) Verify(c schedule.Caller, sender, address string, yield func(*proto.Verdict) error) error {
	q.heard(c, "verify %s %s", sender, address)
	for i := range q.verdict {
		if err := yield(&q.verdict[i]); err != nil {
			return err
		}
	}
	return q.err
}

func (q *fakeQueue) List(c schedule.Caller, sel proto.Selection, yield func(schedule.Listing) error) error {
	q.heard(c, "list %d %s", sel.By, sel.Value)
	for _, l := range q.listings {
		if err := yield(l); err != nil {
			q.broken.Add(1)
			return err
		}
	}
	return q.err
}

// fixture is a Server with a socket.
type fixture struct {
	*Server
	path     string
	listener *proto.Listener
	fds      int // open before
	routines int
}

// begin starts a Server. At the end of the test all clients must be gone, and
// nothing of them left.
func begin(t *testing.T, q Queue) *fixture {
	t.Helper()
	f := &fixture{path: t.TempDir() + "/control", fds: descriptors(t), routines: runtime.NumGoroutine()}
	f.Server = New(q, maillog.Open(t.TempDir()+"/no log", "dma", nil, time.Now), func(*proto.Conn) schedule.Caller {
		return schedule.Caller{Known: true, UID: 1007}
	})
	l, err := proto.Listen(f.path)
	must(t, err)
	f.listener = l
	f.Start(l)
	t.Cleanup(func() { f.end(t) })
	return f
}

// end closes the listener and waits for the clients, which have left.
func (f *fixture) end(t *testing.T) {
	t.Helper()
	f.listener.Close()
	ended := make(chan struct{})
	go func() {
		f.Wait()
		close(ended)
	}()
	select {
	case <-ended:
	case <-time.After(patience):
		t.Fatal("a client is still served")
	}
	eventually(t, "descriptors as before", func() bool { return descriptors(t) == f.fds })
	eventually(t, "goroutines as before", func() bool { return runtime.NumGoroutine() <= f.routines })
}

// descriptors counts the open descriptors of this process.
func descriptors(t *testing.T) int {
	t.Helper()
	n := 0
	for fd := range uintptr(1024) {
		if _, err := unix.FcntlInt(fd, unix.F_GETFD, 0); err == nil {
			n++
		}
	}
	return n
}

func (f *fixture) dial(t *testing.T) *proto.Conn {
	t.Helper()
	c, err := proto.Dial(f.path, patience)
	must(t, err)
	t.Cleanup(c.Close)
	return c
}

// greet connects as a front end that wants an answer does.
func (f *fixture) greet(t *testing.T) *proto.Conn {
	t.Helper()
	c := f.dial(t)
	hello, err := c.Greet()
	must(t, err)
	if hello.Version != proto.Version {
		t.Errorf("the runner speaks version %d", hello.Version)
	}
	return c
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("never: " + what)
		}
	}
}

// over waits for the end of file of c.
func over(t *testing.T, c *proto.Conn) {
	t.Helper()
	if p, err := c.Recv(patience, proto.TypeAck, proto.TypeItem, proto.TypeEnd); !errors.Is(err, io.EOF) {
		t.Errorf("received %v, %v where the end should be", p.Message, err)
	}
}

// leave makes sure that nothing more is said, and goes. The server waits for that:
// there may be more to ask.
func leave(t *testing.T, c *proto.Conn) {
	t.Helper()
	p, err := c.Recv(20*time.Millisecond, proto.TypeAck, proto.TypeItem, proto.TypeEnd)
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("received %v, %v", p.Message, err)
	}
	c.Close()
}

// TestConnectWakes: a client that dies before it says a word has committed its
// message nevertheless.
func TestConnectWakes(t *testing.T) {
	q := new(fakeQueue)
	f := begin(t, q)
	f.dial(t).Close()
	eventually(t, "woken", func() bool { return q.wakes.Load() == 1 })
}

// TestWake: as a front end does it, which waits for no answer.
func TestWake(t *testing.T) {
	q := new(fakeQueue)
	f := begin(t, q)
	c := f.dial(t)
	must(t, c.Send(0, &proto.Hello{Version: proto.Version}, nil))
	must(t, c.Send(1, &proto.Wake{}, nil))
	c.Close()
	eventually(t, "woken", func() bool { return q.wakes.Load() == 1 })
	if q.flushes.Load() != 0 {
		t.Error("flushed")
	}
}

func TestFlush(t *testing.T) {
	for name, ending := range map[string]bool{"acknowledged": false, "refused at the end": true} {
		t.Run(name, func(t *testing.T) {
			q := &fakeQueue{ending: ending}
			c := begin(t, q).greet(t)
			must(t, c.Send(7, &proto.Flush{Selection: proto.All()}, nil))
			if !ending {
				p, err := c.Recv(patience, proto.TypeAck)
				must(t, err)
				if p.Request != 7 {
					t.Errorf("request %d was answered", p.Request)
				}
				leave(t, c)
			} else {
				over(t, c)
			}
			if q.flushes.Load() != 1 || q.wakes.Load() != 1 {
				t.Errorf("%d flushes, %d wakes", q.flushes.Load(), q.wakes.Load())
			}
		})
	}
}

// many makes n listings, each with two states.
func many(n int) []schedule.Listing {
	list := make([]schedule.Listing, n)
	for i := range list {
		list[i].Item = proto.Item{ID: fmt.Sprintf("id%d", i), Sender: "a@b.example", Arrived: 5, Size: 6, UID: 7, States: 2}
		list[i].States = []proto.State{{Recipient: "x", Tries: 3, Next: 9, Reason: "slow"}, {Recipient: "y"}}
	}
	return list
}

func TestList(t *testing.T) {
	for _, n := range []int{0, 1, 500} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			q := &fakeQueue{listings: many(n)}
			if n > 0 {
				q.listings[0].Item.States, q.listings[0].States = 0, nil // as that of a dead letter
				q.listings[0].Item.Dead = true
			}
			c := begin(t, q).greet(t)
			must(t, c.Send(3, &proto.List{Selection: proto.All()}, nil))
			recv := func(of proto.Type) proto.Message {
				p, err := c.Recv(patience, of)
				must(t, err)
				if p.Request != 3 {
					t.Fatalf("request %d was answered", p.Request)
				}
				return p.Message
			}
			for _, l := range q.listings {
				if got := *recv(proto.TypeItem).(*proto.Item); got != l.Item {
					t.Fatalf("item %+v, not %+v", got, l.Item)
				}
				for _, s := range l.States {
					if got := *recv(proto.TypeState).(*proto.State); got != s {
						t.Fatalf("state %+v, not %+v", got, s)
					}
				}
			}
			if got := recv(proto.TypeEnd).(*proto.End).Count; got != uint32(n) {
				t.Errorf("%d items are said to be there", got)
			}
			leave(t, c)
		})
	}
}

// TestListBroken: half a listing must not look like a whole one.
func TestListBroken(t *testing.T) {
	q := &fakeQueue{listings: many(1), err: errors.New("no disk")}
	c := begin(t, q).greet(t)
	must(t, c.Send(3, &proto.List{Selection: proto.All()}, nil))
	_, err := c.Recv(patience, proto.TypeItem)
	must(t, err)
	for range 2 {
		_, err = c.Recv(patience, proto.TypeState)
		must(t, err)
	}
	over(t, c)
}

// TestHostileClients: each wakes, hears nothing it should not, and keeps no other
// from being served, even while it is there.
func TestHostileClients(t *testing.T) {
	write := func(b []byte) func(*testing.T, *proto.Conn) {
		return func(t *testing.T, c *proto.Conn) {
			_, err := c.File().Write(b)
			must(t, err)
		}
	}
	send := func(list ...proto.Message) func(*testing.T, *proto.Conn) {
		return func(t *testing.T, c *proto.Conn) {
			for _, m := range list {
				must(t, c.Send(1, m, nil))
			}
		}
	}
	hello := &proto.Hello{Version: proto.Version}
	for _, c := range []struct {
		name  string
		act   func(*testing.T, *proto.Conn)
		ended bool // the server ends it by itself, at once
	}{
		{"says nothing", func(*testing.T, *proto.Conn) {}, false},
		{"hello and no more", send(hello), false},
		{"wrong type first", send(&proto.Flush{Selection: proto.All()}), true},
		{"wrong version", send(&proto.Hello{Version: proto.Version + 1}), true},
		{"hello twice", send(hello, hello), true},
		{"an answer for a request", send(hello, &proto.Ack{}), true},
		{"what helpers are asked", send(hello, &proto.Start{Role: proto.RoleRemote}), true},
		{"garbage", write([]byte("GET / HTTP/1.0\r\n\r\n")), true},
		{"a byte", write([]byte{0}), true},
		{"a long message", write(make([]byte, 100000)), true},
		{"list, and takes nothing", send(hello, &proto.List{Selection: proto.All()}), false},
	} {
		t.Run(c.name, func(t *testing.T) {
			q := &fakeQueue{listings: many(2000)} // more than a socket holds
			f := begin(t, q)
			bad := f.dial(t)
			c.act(t, bad)
			eventually(t, "woken", func() bool { return q.wakes.Load() == 1 })
			good := f.greet(t)
			must(t, good.Send(2, &proto.Flush{Selection: proto.All()}, nil))
			_, err := good.Recv(patience, proto.TypeAck)
			must(t, err)
			if q.wakes.Load() != 2 || q.flushes.Load() != 1 {
				t.Errorf("%d wakes, %d flushes", q.wakes.Load(), q.flushes.Load())
			}
			if c.ended {
				// The Hello of the server may have come before.
				for err = nil; err == nil; {
					_, err = bad.Recv(patience, proto.TypeHello)
				}
				if !errors.Is(err, io.EOF) {
					t.Errorf("ended with %v", err)
				}
			}
			bad.Close()
			good.Close()
		})
	}
}

// TestLeavesListing: the queue is not read on for somebody who has gone.
func TestLeavesListing(t *testing.T) {
	q := &fakeQueue{listings: many(2000)}
	c := begin(t, q).greet(t)
	must(t, c.Send(1, &proto.List{Selection: proto.All()}, nil))
	_, err := c.Recv(patience, proto.TypeItem)
	must(t, err)
	c.Close()
	eventually(t, "listing broken off", func() bool { return q.broken.Load() == 1 })
}

// TestDescriptor: a descriptor that comes along is closed (end looks).
func TestDescriptor(t *testing.T) {
	q := new(fakeQueue)
	f := begin(t, q)
	c := f.dial(t)
	null, err := os.Open("/dev/null")
	must(t, err)
	defer null.Close()
	must(t, c.Send(0, &proto.Started{PID: 1}, null))
	over(t, c)
}

// TestManyClients: of more clients than are served all wake.
func TestManyClients(t *testing.T) {
	const n = 200
	q := new(fakeQueue)
	f := begin(t, q)
	var group sync.WaitGroup
	conns := make([]*proto.Conn, n)
	errs := make([]error, n)
	for i := range n {
		group.Go(func() { conns[i], errs[i] = proto.Dial(f.path, patience) })
	}
	group.Wait()
	must(t, errors.Join(errs...))
	eventually(t, "all have woken", func() bool { return q.wakes.Load() == n })
	if got := len(f.room); got != maxClients {
		t.Errorf("%d clients are served", got)
	}
	for _, c := range conns {
		c.Close()
	}
	eventually(t, "room again", func() bool { return len(f.room) == 0 })
	c := f.greet(t)
	must(t, c.Send(1, &proto.Flush{Selection: proto.All()}, nil))
	_, err := c.Recv(patience, proto.TypeAck)
	must(t, err)
}

// TestListenAgain: a Server serves one listener after the other, and clients of
// the first while it listens on the second.
func TestListenAgain(t *testing.T) {
	q := new(fakeQueue)
	f := begin(t, q)
	first := f.greet(t)
	f.listener.Close()
	l, err := proto.Listen(f.path)
	must(t, err)
	f.listener = l
	f.Start(l)
	for _, c := range []*proto.Conn{f.greet(t), first} {
		must(t, c.Send(1, &proto.Flush{Selection: proto.All()}, nil))
		_, err := c.Recv(patience, proto.TypeAck)
		must(t, err)
		leave(t, c)
	}
}

func TestNoRoom(t *testing.T) {
	for err, want := range map[error]bool{unix.EMFILE: true, unix.ENFILE: true, unix.ENOMEM: true, os.ErrClosed: false, unix.EBADF: false} {
		if got := noRoom(fmt.Errorf("accept: %w", err)); got != want {
			t.Errorf("%v: %v", err, got)
		}
	}
}
