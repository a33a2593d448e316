package schedule

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"dma/common/durable"
	"dma/common/outcome"
	"dma/dma-queue/internal/queue"
	"dma/dma-queue/internal/spool"
	"dma/proto"
)

// A submission that could not be picked up is tried again although nobody wakes
// the queue, and the run does not end before.
func TestPickIsTriedAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var tries atomic.Int32
	w.pickErr = func(spool.ID) error {
		if tries.Add(1) <= 2 {
			return syscall.ENOSPC
		}
		return nil
	}
	w.submit("carol@host.example", "alice")
	w.start()
	w.eventually("first try", func() bool { return tries.Load() == 1 })
	w.looksLater()
	select {
	case err := <-w.ended:
		t.Fatal("ended with mail waiting: ", err)
	case <-time.After(1500 * time.Millisecond):
	}
	if n := tries.Load(); n != 1 {
		t.Errorf("tried %d times in a second", n)
	}
	w.advance(2 * time.Minute)
	w.eventually("second try", func() bool { return tries.Load() == 2 })
	w.looksLater()
	w.advance(10 * time.Minute)
	w.finish()
	if !slices.Equal(w.got, []string{"1 alice@host.example"}) {
		t.Errorf("delivered %q", w.got)
	}
	w.empty()
}

// The same for incoming itself.
func TestScanIsTriedAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.submit("carol@host.example", "alice")
	failed := false
	w.start2(func() {
		w.fault = func(s durable.Step, name string) error {
			if s == durable.StepNames && !failed {
				failed = true
				return syscall.EMFILE
			}
			return nil
		}
	})
	w.looksLater()
	w.advance(2 * time.Minute)
	w.finish()
	if !slices.Equal(w.got, []string{"1 alice@host.example"}) {
		t.Errorf("delivered %q", w.got)
	}
}

// A flood of wakes is one look into incoming, or a few.
func TestWakesAreOne(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	scans := 0
	w.fault = func(s durable.Step, name string) error {
		if s == durable.StepNames {
			scans++
		}
		return nil
	}
	w.start()
	w.s.call(func() {
		for range 100000 {
			w.s.Wake() // from a client's goroutine; more than the loop has room for
		}
	})
	w.finish()
	if scans > 6 {
		t.Errorf("%d looks", scans)
	}
}

// One that is committed just after Pick looked at it is picked up.
func TestCommittedMeanwhile(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var locked atomic.Bool
	locked.Store(true)
	w.pickErr = func(spool.ID) error {
		if locked.Swap(false) {
			w.s.Wake() // the front end, after its commit
			return ErrSkip
		}
		return nil
	}
	w.submit("carol@host.example", "alice")
	w.start()
	w.finish()
	w.empty()
}

// What the alias file put off goes on when the file is right, without a wake.
func TestAliasesArePutRight(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	right := w.site.Load()
	wrong := *right
	wrong.Expand.AliasErr = errors.New("permission denied")
	w.site.Store(&wrong)
	w.submit("carol@host.example", "alice")
	w.start()
	w.eventually("at rest", func() bool { return len(w.dir("queue")) == 2 && len(w.dir("incoming")) == 0 })
	w.site.Store(right)
	w.advance(10 * time.Minute)
	w.finish()
	if !slices.Equal(w.got, []string{"1 alice@host.example"}) {
		t.Errorf("delivered %q", w.got)
	}
}

// The clock was years ahead, and is right when the queue is taken up again
// (RULES F4): nothing waits for years, nothing is given up.
func TestClockSetBack(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var tries atomic.Int32
	w.deliver = func(*proto.Deliver, string) *proto.Result {
		if tries.Add(1) == 1 {
			return result(outcome.Defer("4.2.0", "mailbox locked"))
		}
		return result(outcome.Success("ok"))
	}
	var up atomic.Bool
	w.send = func(*proto.Send, []string) []*proto.Result {
		if !up.Load() {
			return []*proto.Result{dead("connection refused")}
		}
		return []*proto.Result{result(outcome.Success("ok"))}
	}
	w.clock.Add(int64(10 * 365 * 24 * time.Hour))
	w.submit("carol@host.example", "alice", "x@remote.example")
	w.start()
	w.eventually("at rest", func() bool { return tries.Load() == 1 && len(w.dir("queue")) == 2 && len(w.dir("incoming")) == 0 })
	w.stop()
	w.clock.Store(0)
	up.Store(true)
	w.start()
	w.eventually("alice's mail", func() bool { return tries.Load() == 2 })
	w.eventuallyIdle()
	w.advance(4 * time.Hour)
	w.finish()
	if len(w.bounces) > 0 || len(w.got) != 2 {
		t.Errorf("%d bounces, delivered %q", len(w.bounces), w.got)
	}
	w.empty()
}

// A destination that was down and that nobody waits for is forgotten.
func TestLanesAreForgotten(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.forwards["bob"] = []proto.Target{{Address: "unsafe"}}
	w.submit("carol@host.example", "bob") // keeps the run going
	w.start()
	w.eventually("bob waits", func() bool { return len(w.dir("queue")) == 2 && len(w.dir("incoming")) == 0 })
	w.s.call(func() {
		for i := range 1000 {
			l := w.s.lane(laneKey{proto.RoleRemote, fmt.Sprint(i)})
			w.s.laneFailed(l, outcome.Defer("4.4.1", "down"))
		}
	})
	w.s.call(func() {
		if len(w.s.lanes) < 1000 {
			t.Errorf("%d lanes: what is down is forgotten too early", len(w.s.lanes))
		}
	})
	w.advance(6 * time.Minute)
	for n, end := 0, time.Now().Add(patience); n != 1; {
		w.s.call(func() { n = len(w.s.lanes) })
		if time.Now().After(end) {
			t.Fatalf("%d lanes are left", n)
		}
	}
	w.stop()
}

// A queue of thousands at rest is tried as a whole, with few in memory at a time.
func TestFlushThousands(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var open atomic.Bool
	slow := make(chan struct{}) // until some have to rest once more before their turn comes
	w.send = func(_ *proto.Send, rcpts []string) (list []*proto.Result) {
		<-slow
		for range rcpts {
			if open.Load() {
				list = append(list, result(outcome.Success("250 ok")))
			} else {
				list = append(list, result(outcome.Defer("4.2.0", "450 greylisted")))
			}
		}
		return list
	}
	n := 600
	if testing.Short() { // with the race detector
		n = 300
	}
	w.queued(n, func(i int, m *queue.Message) {
		m.Targets[0].Kind, m.Targets[0].Tries, m.Targets[0].Next = queue.Remote, 1, w.now().Add(time.Hour)
		m.Targets[0].Address = fmt.Sprintf("u%d@remote.example", i)
	})
	w.start()
	time.AfterFunc(hurry+2*tick, func() { close(slow) })
	for try := range 2 {
		if !w.flush() {
			t.Fatal("the run has ended")
		}
		w.eventually("all tried", func() bool { return len(w.sent) == n*(try+1) })
		w.eventuallyIdle()
		open.Store(true)
	}
	w.finish()
	if len(w.got) != n {
		t.Errorf("%d of %d delivered", len(w.got), n)
	}
	w.empty()
}

// Nothing of a run is left in the process: goroutines, descriptors.
func TestNothingLeaks(t *testing.T) { // not parallel: it counts
	w := newWorld(t)
	w.start()
	w.finish()
	fds := countFDs(t)
	for i := range 10 {
		w.submit("carol@host.example", "team", fmt.Sprintf("x@r%d.example", i))
	}
	w.dieOnce[proto.RoleMailbox] = true
	w.start()
	w.finish()
	w.stopAt(5)
	// A queue keeps its directories open for the life of the process.
	if after := countFDs(t); after > fds+2*3 {
		t.Errorf("%d descriptors, %d before", after, fds)
	}
}

// stopAt ends a run in the middle of n messages.
func (w *world) stopAt(n int) {
	for range n {
		w.submit("carol@host.example", "team", "x@remote.example")
	}
	w.start()
	w.eventually("some mail", func() bool { return len(w.got) > 0 })
	w.stop()
}

func countFDs(t *testing.T) int {
	t.Helper()
	runtime.GC() // closes what was under way when a run ended
	entries, err := os.ReadDir("/dev/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}

// The phrases that people grep for (COMPAT 1).
func TestLogLines(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.refuse["nobodyhere"] = proto.RefusedUnknown
	var tries atomic.Int32
	w.deliver = func(d *proto.Deliver, _ string) *proto.Result {
		if strings.HasPrefix(d.Recipient, "bob") && tries.Add(1) == 1 {
			return result(outcome.Defer("4.2.0", "mailbox locked"))
		}
		return result(outcome.Success("ok"))
	}
	w.send = func(*proto.Send, []string) []*proto.Result {
		r := result(outcome.Success("250 ok"))
		r.Remote = "mx.remote.example [192.0.2.1]"
		return []*proto.Result{r}
	}
	id := string(w.submit("carol@host.example", "bob", "nobodyhere", "x@remote.example"))
	w.start()
	w.eventually("first tries", func() bool { return len(w.got) == 2 })
	w.eventuallyIdle()
	w.advance(10 * time.Minute)
	w.finish()
	tag := "dma[" + id + "]: "
	for _, want := range []string{
		tag + "<bob@host.example> trying delivery",
		tag + "local delivery deferred: <bob@host.example>: mailbox locked",
		tag + "<bob@host.example> delivery successful",
		tag + `<x@remote.example> delivery successful detail="mx.remote.example [192.0.2.1] 250 ok"`,
		tag + "<nobodyhere@host.example> delivery failed reason=",
		tag + "delivery failed, bouncing as " + string(w.bounces[0].Message.ID) + " to=<nobodyhere@host.example>",
		"dma[" + string(w.bounces[0].Message.ID) + "]: <carol@host.example> delivery successful",
	} {
		n := 0
		for _, l := range w.lines {
			if strings.HasPrefix(l, want) {
				n++
			}
		}
		if n == 0 || n > 2 {
			t.Errorf("%d lines begin with %q", n, want)
		}
	}
}
