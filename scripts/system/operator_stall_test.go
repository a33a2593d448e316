//go:build system

package system

import (
	"bufio"
	"bytes"
	"net"
	"strings"
	"sync"
	"testing"
	"time"
)

// A staller is a smarthost that stops in the middle of a message: behind its end,
// which it leaves without an answer, or, if it drips, long before it.
type staller struct {
	listener net.Listener
	drips    bool
	stalled  chan struct{} // closed when it has stopped
	goOn     chan struct{} // closed by the test

	once     sync.Once
	sessions sync.WaitGroup
	mu       sync.Mutex
	conns    int
	messages int // that came up to their end
}

func newStaller(t *testing.T, drips bool) *staller {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &staller{listener: l, drips: drips, stalled: make(chan struct{}), goOn: make(chan struct{})}
	s.sessions.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			s.mu.Lock()
			s.conns++
			s.mu.Unlock()
			s.sessions.Go(func() { s.session(c) })
		}
	})
	t.Cleanup(func() {
		l.Close()
		s.sessions.Wait()
	})
	return s
}

func (s *staller) counts() (conns, messages int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.conns, s.messages
}

// stall stops until the test lets it go on.
func (s *staller) stall() {
	s.once.Do(func() { close(s.stalled) })
	<-s.goOn
}

func (s *staller) session(c net.Conn) {
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(time.Minute))
	r := bufio.NewReader(c)
	reply := func(text string) { _, _ = c.Write([]byte(text + "\r\n")) } // the client may be gone
	for reply("220 stall.example"); ; {
		line, err := r.ReadString('\n')
		if err != nil {
			return
		}
		switch verb := strings.ToUpper(strings.TrimSpace(line)); {
		case strings.HasPrefix(verb, "DATA"):
			reply("354 go ahead")
			if !s.data(r) {
				return
			}
			s.stall()
			reply("250 2.0.0 kept")
		case strings.HasPrefix(verb, "QUIT"):
			reply("221 bye")
			return
		default:
			reply("250 ok")
		}
	}
}

// data reads a message, and reports whether it came up to its end.
func (s *staller) data(r *bufio.Reader) bool {
	var last []byte
	for first := true; ; first = false {
		line, err := r.ReadSlice('\n')
		if err != nil {
			return false
		}
		if bytes.Equal(line, []byte(".\r\n")) && bytes.HasSuffix(last, []byte("\r\n")) {
			s.mu.Lock()
			s.messages++
			s.mu.Unlock()
			return true
		}
		last = append(last[:0], line...)
		if s.drips && first {
			s.stall()
		}
	}
}

// A message that is removed while it is being sent is sent no further, and never
// again; when the command ends nothing of it is left.
func TestOperatorRemoveInFlight(t *testing.T) {
	for name, drips := range map[string]bool{"behind the end": false, "in the middle": true} {
		t.Run(name, func(t *testing.T) {
			s := newStaller(t, drips)
			w := newWorld(t, quick)
			w.configure(quick + "SMARTHOST " + s.listener.Addr().String() + "\n")
			body := "hello\n"
			if drips { // more than sockets hold
				body = strings.Repeat(strings.Repeat("x", 70)+"\n", 400000)
			}
			id := w.submit("alice", body, "x@remote.example")
			select {
			case <-s.stalled:
			case <-time.After(10 * time.Second):
				t.Fatal("nothing comes to the smarthost")
			}
			if out := w.expect(0, "alice", "mailq").out; out != entry(id+"*", "alice@client.example.net", "x@remote.example") {
				t.Errorf("mailq:\n%s", out)
			}
			w.expect(exNoPerm, "bob", "dma-queue", "--remove", id)
			began := time.Now()
			if a := w.expect(0, "alice", "dma-queue", "--remove", id+"*"); a.out != "removed: 1 message\n" {
				t.Errorf("remove: %+v", a)
			}
			took := time.Since(began)
			if took > 5*time.Second {
				t.Errorf("remove took %v", took)
			}
			if left := queued(); len(left) > 0 {
				t.Errorf("left: %v", left)
			}
			if out := w.expect(0, "root", "mailq").out; out != "Mail queue is empty\n" {
				t.Errorf("mailq:\n%s", out)
			}
			close(s.goOn)
			w.must("alice", "", "sendmail", "-q")
			w.quiet()
			s.listener.Close()
			s.sessions.Wait()
			want := 1
			if drips {
				want = 0
			}
			if conns, messages := s.counts(); conns != 1 || messages != want {
				t.Errorf("%d connections, %d whole messages; want 1 and %d", conns, messages, want)
			}
			if box := w.read("/var/mail/alice"); box != "" {
				t.Errorf("a bounce:\n%s", box)
			}
			if !strings.Contains(w.log(), "dma["+id+"]: removed by uid=5001") {
				t.Error("the log does not say who removed it")
			}
		})
	}
}

// A message is removed before anybody has looked at it.
func TestOperatorRemoveSubmitted(t *testing.T) {
	w := newWorld(t, quick, "0|^RCPT|450 4.2.1 mailbox is busy")
	id := w.submit("alice", "hello\n", "-bq", "x@remote.example")
	if len(processes()) != 0 {
		t.Fatal("-bq wakes the runner")
	}
	w.expect(exNoPerm, "bob", "dma-queue", "--remove", id)
	if a := w.expect(0, "alice", "dma-queue", "--remove", id); a.out != "removed: 1 message\n" {
		t.Errorf("remove: %+v", a)
	}
	if left := queued(); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
	w.quiet()
}
