package serve

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"dma/common/dsn"
	"dma/common/outcome"
	"dma/dma-remote/internal/courier"
	"dma/proto"
)

const soon = 5 * time.Second

// fake delivers to whom it likes. To "slow" it waits until it is told to stop.
type fake struct {
	mu   sync.Mutex
	seen []string
}

func (f *fake) Deliver(ctx context.Context, req *courier.Request) {
	text, err := io.ReadAll(io.NewSectionReader(req.Body.File, 0, req.Body.Size))
	if err != nil {
		text = []byte(err.Error())
	}
	var rcpts []string
	for _, r := range req.Recipients {
		rcpts = append(rcpts, strings.Trim(fmt.Sprintf("%s %s %s", r.Address, r.Notify, r.Original), " "))
	}
	f.mu.Lock()
	f.seen = append(f.seen, fmt.Sprintf("%s|%s%s%s|%s|%s%s", req.Domain, req.Sender, req.Ret, req.EnvID, strings.Join(rcpts, " "), req.Body.Header, text))
	f.mu.Unlock()
	for i, r := range req.Recipients {
		switch r.Address {
		case "slow":
			select {
			case <-ctx.Done():
			case <-req.Cancelled:
			}
			req.Report(i, courier.Result{Outcome: outcome.Defer("4.4.2", "aborted"), Destination: true})
		case "down":
			req.Report(i, courier.Result{Outcome: outcome.Defer("4.4.1", "no answer"), Destination: true, Remote: "h [192.0.2.1]"})
		case "bad":
			req.Report(i, courier.Result{Outcome: outcome.Fail("5.1.1", "nobody"), Remote: "h [192.0.2.1]"})
		default:
			req.Report(i, courier.Result{Outcome: outcome.Success("ok"), Reports: r.Notify != 0, Remote: "h [192.0.2.1]"})
		}
	}
}

func (f *fake) Probe(ctx context.Context, sender, domain string, report func(*proto.Report)) int {
	if domain == "slow" {
		<-ctx.Done()
	}
	report(&proto.Report{Level: proto.LevelOK, About: "route", Found: sender + " " + domain})
	report(&proto.Report{Level: proto.LevelError, About: "TLS", Found: "none", Do: "something"})
	return 69
}

type nolog struct{ courier.Log }

func (nolog) Problem(string, error) {}

// runner is the other end of a Server's channel.
type runner struct {
	t    *testing.T
	conn *proto.Conn
	done chan error // what Run returned
}

func start(t *testing.T, d Deliverer) *runner {
	t.Helper()
	conn, other, err := proto.Pair()
	if err != nil {
		t.Fatal(err)
	}
	mine, err := proto.NewConn(other)
	if err != nil {
		t.Fatal(err)
	}
	r := &runner{t, conn, make(chan error, 1)}
	s := &Server{Conn: mine, Owner: uint32(os.Getuid()), Courier: d, Log: func(string) courier.Log { return nolog{} }}
	go func() {
		r.done <- s.Run(context.Background())
		mine.Close()
	}()
	t.Cleanup(func() { conn.Close() })
	return r
}

// ended waits for Run to return.
func (r *runner) ended() error {
	r.t.Helper()
	select {
	case err := <-r.done:
		return err
	case <-time.After(soon):
		r.t.Fatal("still serving")
		return nil
	}
}

func message(t *testing.T, text string) *os.File {
	t.Helper()
	path := filepath.Join(t.TempDir(), "m")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

func (r *runner) send(number uint32, m *proto.Send, f *os.File, rcpts ...string) {
	r.t.Helper()
	if m.Recipients == 0 {
		m.Recipients = uint32(len(rcpts))
	}
	if err := r.conn.Send(number, m, f); err != nil {
		r.t.Fatal(err)
	}
	for i, a := range rcpts {
		if err := r.conn.Send(number, &proto.Rcpt{Index: uint32(i), Address: a}, nil); err != nil {
			r.t.Fatal(err)
		}
	}
}

func (r *runner) results(n int) string {
	r.t.Helper()
	var out []string
	for range n {
		p, err := r.conn.Recv(soon, proto.TypeResult)
		if err != nil {
			r.t.Fatal(err)
		}
		m := p.Message.(*proto.Result)
		out = append(out, fmt.Sprintf("%d.%d %s %s scope %d %q", p.Request, m.Index, m.Outcome.Class, m.Outcome.Code, m.Scope, m.Remote))
	}
	return strings.Join(out, "\n")
}

func TestServe(t *testing.T) {
	d := &fake{}
	r := start(t, d)
	r.send(7, &proto.Send{Domain: "d.example", Sender: "s@x", DeliveredTo: []string{"a@x", "b@x"}, Size: 3, ID: "1"}, message(t, "hi\n"), "good", "bad", "down")
	got := r.results(3)
	want := `7.0 done 2.0.0 scope 1 "h [192.0.2.1]"` + "\n" +
		`7.1 failed 5.1.1 scope 1 "h [192.0.2.1]"` + "\n" +
		`7.2 later 4.4.1 scope 2 "h [192.0.2.1]"`
	if got != want {
		t.Errorf("results:\n%s\nwant:\n%s", got, want)
	}
	r.conn.Close()
	if err := r.ended(); err != nil {
		t.Errorf("Run: %v", err)
	}
	if want := "d.example|s@x|good bad down|Delivered-To: a@x\nDelivered-To: b@x\nhi\n"; len(d.seen) != 1 || d.seen[0] != want {
		t.Errorf("delivered %q, want %q", d.seen, want)
	}
}

// What RFC 3461 lets a submitter ask for comes through, both ways.
func TestNotify(t *testing.T) {
	d := &fake{}
	r := start(t, d)
	if err := r.conn.Send(1, &proto.Send{Sender: "s@x", Recipients: 2, ID: "1", Ret: dsn.RetFull, EnvID: "e 1"}, message(t, "")); err != nil {
		t.Fatal(err)
	}
	for i, m := range []*proto.Rcpt{{Address: "good", Notify: dsn.Never, Original: "rfc822;o@x"}, {Index: 1, Address: "other"}} {
		if err := r.conn.Send(1, m, nil); err != nil {
			t.Fatal(i, err)
		}
	}
	for i := range 2 {
		p, err := r.conn.Recv(soon, proto.TypeResult)
		if err != nil {
			t.Fatal(err)
		}
		if m := p.Message.(*proto.Result); m.Reports != (i == 0) {
			t.Errorf("result %+v", m)
		}
	}
	d.mu.Lock() // the results come over a socket, which the race detector cannot see through
	defer d.mu.Unlock()
	if want := "|s@xFULLe 1|good NEVER rfc822;o@x other|"; len(d.seen) != 1 || d.seen[0] != want {
		t.Errorf("delivered %q, want %q", d.seen, want)
	}
}

func TestProbe(t *testing.T) {
	r := start(t, &fake{})
	f := message(t, "")
	r.send(4, &proto.Send{}, f, "slow")
	for number, domain := range map[uint32]string{1: "slow", 2: "d.example"} {
		if err := r.conn.Send(number, &proto.Probe{Sender: "s@x", Domain: domain}, nil); err != nil {
			t.Fatal(err)
		}
	}
	var got []string
	for range 3 {
		p, err := r.conn.Recv(soon, proto.TypeReport, proto.TypeEnd)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, fmt.Sprintf("%d %+v", p.Request, p.Message))
	}
	want := []string{"2 &{Level:ok About:route Found:s@x d.example Do:}", "2 &{Level:error About:TLS Found:none Do:something}", "2 &{Count:2}"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("answers (-want +got):\n%s", diff)
	}
}

// A request that is given up is answered, and holds up nobody else.
func TestCancel(t *testing.T) {
	r := start(t, &fake{})
	f := message(t, "")
	r.send(1, &proto.Send{}, f, "slow")
	r.send(2, &proto.Send{}, f, "slow")
	r.send(3, &proto.Send{Recipients: 2}, f, "slow")
	for _, number := range []uint32{7, 3, 2, 2} { // 7 is over, or never was; 3 is not complete
		if err := r.conn.Send(number, &proto.Cancel{}, nil); err != nil {
			t.Fatal(err)
		}
	}
	if got := r.results(1); got != `2.0 later 4.4.2 scope 2 ""` {
		t.Error(got)
	}
	r.conn.Close()
	if err := r.ended(); err != nil {
		t.Errorf("Run: %v", err)
	}
}

// Requests may be told in any mixture, and one that takes long holds up no other.
func TestManyRequests(t *testing.T) {
	r := start(t, &fake{})
	f := message(t, "")
	r.send(1, &proto.Send{}, f, "slow")
	r.send(2, &proto.Send{Recipients: 2}, f)
	r.send(3, &proto.Send{Recipients: 2}, f)
	for i := range uint32(2) {
		for _, number := range []uint32{3, 2} {
			if err := r.conn.Send(number, &proto.Rcpt{Index: i, Address: "good"}, nil); err != nil {
				t.Fatal(err)
			}
		}
	}
	if got := r.results(4); strings.Count(got, "done") != 4 {
		t.Errorf("results:\n%s", got)
	}
	r.conn.Close() // with 1 under way
	if err := r.ended(); err != nil {
		t.Errorf("Run: %v", err)
	}
}

// A descriptor that is not the message defers this message, not all mail.
func TestBadDescriptor(t *testing.T) {
	r := start(t, &fake{})
	writable, err := os.OpenFile(message(t, "").Name(), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer writable.Close()
	dir, err := os.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	for i, f := range []*os.File{writable, dir, message(t, "too long")} {
		number := uint32(i + 1)
		r.send(number, &proto.Send{}, f, "good", "good")
		want := fmt.Sprintf("%d.0 later 4.3.0 scope 1 \"\"\n%d.1 later 4.3.0 scope 1 \"\"", number, number)
		if got := r.results(2); got != want {
			t.Errorf("%s: results:\n%s", f.Name(), got)
		}
	}
	r.send(9, &proto.Send{}, message(t, ""), "good")
	if got := r.results(1); !strings.Contains(got, "done") {
		t.Errorf("after that: %s", got)
	}
}

// What no runner sends ends the channel, and what was under way with it.
func TestViolations(t *testing.T) {
	rcpt := func(i uint32) *proto.Rcpt { return &proto.Rcpt{Index: i, Address: "slow"} }
	tests := []struct {
		name string
		send func(r *runner, f *os.File)
	}{
		{"RCPT first", func(r *runner, _ *os.File) { _ = r.conn.Send(1, rcpt(0), nil) }},
		{"RCPT out of order", func(r *runner, f *os.File) {
			r.send(1, &proto.Send{Recipients: 2}, f)
			_ = r.conn.Send(1, rcpt(1), nil)
		}},
		{"RCPT twice", func(r *runner, f *os.File) {
			r.send(1, &proto.Send{Recipients: 2}, f, "slow")
			_ = r.conn.Send(1, rcpt(0), nil)
		}},
		{"RCPT too many", func(r *runner, f *os.File) {
			r.send(1, &proto.Send{}, f, "slow")
			_ = r.conn.Send(1, rcpt(1), nil)
		}},
		{"request twice", func(r *runner, f *os.File) {
			r.send(1, &proto.Send{}, f, "slow")
			r.send(1, &proto.Send{Recipients: 1}, f)
		}},
		{"RCPT for a probe", func(r *runner, _ *os.File) {
			_ = r.conn.Send(1, &proto.Probe{Domain: "slow"}, nil)
			_ = r.conn.Send(1, rcpt(0), nil)
		}},
		{"probe with the number of a request", func(r *runner, f *os.File) {
			r.send(1, &proto.Send{}, f, "slow")
			_ = r.conn.Send(1, &proto.Probe{}, nil)
		}},
		{"another type", func(r *runner, _ *os.File) { _ = r.conn.Send(1, &proto.Wake{}, nil) }},
		{"too many requests", func(r *runner, f *os.File) {
			for i := range uint32(MaxRequests) {
				r.send(i, &proto.Send{Recipients: 2}, f, "slow")
			}
			_ = r.conn.Send(MaxRequests, &proto.Send{Recipients: 1}, f)
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := start(t, &fake{})
			before := descriptors(t)
			tt.send(r, message(t, ""))
			if err := r.ended(); !errors.Is(err, proto.ErrProtocol) {
				t.Errorf("Run: %v, want a protocol violation", err)
			}
			if after := descriptors(t); after > before+1 { // the message itself
				t.Errorf("%d descriptors, %d before", after, before)
			}
		})
	}
}

// descriptors counts those of this process that are open on a message.
func descriptors(t *testing.T) int {
	t.Helper()
	n := 0
	for fd := range 4 * MaxRequests {
		if path, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", fd)); err == nil && strings.HasSuffix(path, "/m") {
			n++
		}
	}
	return n
}
