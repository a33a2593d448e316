package front

import (
	"errors"
	"io"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"dma/common/outcome"
	"dma/common/sysexits"
	"dma/dma-queue/internal/spool"
	"dma/proto"
)

// peer makes a channel whose other end sends these messages, with a Hello first
// if hello is set, and hangs up when it was sent two messages or ours is closed.
func peer(t *testing.T, hello bool, messages ...proto.Message) *proto.Conn {
	t.Helper()
	ours, f, err := proto.Pair()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(ours.Close)
	other, err := proto.NewConn(f)
	if err != nil {
		t.Fatal(err)
	}
	if hello {
		messages = append([]proto.Message{&proto.Hello{Version: proto.Version}}, messages...)
	}
	for _, m := range messages {
		if err := other.Send(1, m, nil); err != nil {
			t.Fatal(err)
		}
	}
	go func() {
		defer other.Close()
		other.Recv(0, proto.TypeHello, proto.TypeVerify, proto.TypeWake)
	}()
	return ours
}

// TestRootLeavesFirst: root reads nothing; a runner that hangs up leaves it root,
// for the next try.
func TestRootLeavesFirst(t *testing.T) {
	left := 0
	c := &caller{leave: func() error { left++; return nil }}
	if err := c.greet(peer(t, false)); !errors.Is(err, io.EOF) || left != 0 || c.left {
		t.Errorf("nothing was said: %v, left %d times", err, left)
	}
	if err := c.greet(peer(t, true)); err != nil || left != 1 || !c.left {
		t.Errorf("Hello: %v, left %d times", err, left)
	}
	if err := c.greet(peer(t, true)); err != nil || left != 1 {
		t.Errorf("once more: %v, left %d times", err, left)
	}
	refuse := errors.New("no")
	c = &caller{leave: func() error { return refuse }}
	if err := c.greet(peer(t, true)); !errors.Is(err, refuse) || c.left {
		t.Errorf("root stays root: %v", err)
	}
}

func TestVerify(t *testing.T) {
	verdict := func(depth uint8, address string, o outcome.Outcome) *proto.Verdict {
		return &proto.Verdict{Depth: depth, Address: address, Outcome: o}
	}
	end := &proto.End{}
	for name, c := range map[string]struct {
		messages []proto.Message
		want     string
		err      error
		started  bool
		code     int
	}{
		"tree": {[]proto.Message{
			verdict(0, "staff", outcome.Success("alias")), verdict(1, "alice@host", outcome.Success("mailbox")),
			verdict(1, "bob@host", outcome.Success("~/.forward")), verdict(2, "b@far", outcome.Success("smarthost relay:25")), end,
		}, "staff: alias\n  alice@host: mailbox\n  bob@host: ~/.forward\n    b@far: smarthost relay:25\n", nil, false, 0},
		"fails":     {[]proto.Message{verdict(0, "x", outcome.Fail("5.1.1", "no such user")), end}, "x: would fail: no such user\n", nil, false, sysexits.NoUser},
		"waits":     {[]proto.Message{verdict(0, "x", outcome.Defer("4.3.5", "bad list")), end}, "x: would wait: bad list\n", nil, false, sysexits.TempFail},
		"terminal":  {[]proto.Message{verdict(0, "x\u009b", outcome.Success("y")), end}, "x?: y\n", nil, false, 0},
		"nothing":   {[]proto.Message{end}, "", proto.ErrProtocol, false, 0},
		"hung up":   {nil, "", io.EOF, false, 0},
		"cut":       {[]proto.Message{verdict(0, "x", outcome.Success("y"))}, "x: y\n", io.EOF, true, 0},
		"not asked": {[]proto.Message{&proto.Ack{}}, "", proto.ErrProtocol, false, 0},
	} {
		var out strings.Builder
		v := newVerifier(&out, "")
		v.addresses = []string{"x"}
		err := v.talk(peer(t, false, c.messages...))
		if !errors.Is(err, c.err) || c.err == nil && err != nil || errors.Is(err, ErrStarted) != c.started {
			t.Errorf("%s: %v", name, err)
		}
		v.w.Flush()
		if out.String() != c.want {
			t.Errorf("%s: printed %q, want %q", name, out.String(), c.want)
		}
		if c.err == nil && code(v.verdict()) != c.code {
			t.Errorf("%s: %v", name, v.verdict())
		}
	}
}

func TestFollow(t *testing.T) {
	done := event(proto.StepDone, "a")
	for name, c := range map[string]struct {
		messages []proto.Message
		want     string
		gone     bool
	}{
		"over":          {[]proto.Message{done, &proto.End{}}, "a: delivered\n", false},
		"runner died":   {[]proto.Message{done}, "a: delivered\n", true},
		"wrong message": {[]proto.Message{done, &proto.Ack{}}, "a: delivered\n", true},
	} {
		var out strings.Builder
		w := &Watch{peer(t, false, c.messages...), "id"}
		err := w.Follow(NewProgress(&out, 0, time.Now), nil)
		if (code(err) == sysexits.TempFail) != c.gone || !c.gone && err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if out.String() != c.want {
			t.Errorf("%s: shown %q, want %q", name, out.String(), c.want)
		}
	}
}

// TestFollowIsLeft: a signal and a reader that has gone away end the watch, not the delivery.
func TestFollowIsLeft(t *testing.T) {
	quiet := func() *Watch { // a runner that takes its time
		ours, f, err := proto.Pair()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { f.Close() })
		return &Watch{ours, spool.ID("id")}
	}
	stop := make(chan os.Signal, 1)
	stop <- syscall.SIGINT
	if err := quiet().Follow(nil, stop); err == nil || code(err) != 0 || !strings.Contains(err.Error(), "interrupt: message id is accepted") {
		t.Errorf("signal: %v", err)
	}
	w := &Watch{peer(t, false, event(proto.StepTrying, "a"), event(proto.StepTrying, "b")), "id"}
	if err := w.Follow(NewProgress(brokenPipe{}, 0, time.Now), nil); err != nil {
		t.Errorf("nobody looks: %v", err)
	}
}
