package schedule

import (
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"dma/common/durable"
	"dma/common/outcome"
	"dma/proto"
)

// The disk is full with as many messages in memory as may be, and a resting one is
// due before all of them: it must not keep them from going on, nor the log be flooded.
func TestFullMemoryFullDisk(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var open atomic.Bool
	w.send = func(_ *proto.Send, rcpts []string) (list []*proto.Result) {
		for range rcpts {
			if open.Load() {
				list = append(list, result(outcome.Success("250 ok")))
			} else {
				list = append(list, result(outcome.Defer("4.2.0", "450 greylisted")))
			}
		}
		return list
	}
	w.submit("carol@host.example", "first@remote.example")
	w.start()
	w.eventually("one is at rest", func() bool { return len(w.dir("queue")) == 2 && len(w.dir("incoming")) == 0 })
	w.mu.Lock()
	w.fault = func(s durable.Step, name string) error {
		if s == durable.StepCreate && strings.HasSuffix(name, ".log") {
			return syscall.ENOSPC
		}
		return nil
	}
	w.mu.Unlock()
	w.submitMany(maxActive+10, "x@remote.example")
	w.s.Wake()
	w.eventually("memory is full", func() bool { return len(w.sent) == maxActive+1 })
	w.eventuallyIdle()
	w.mu.Lock()
	lines := len(w.lines)
	w.mu.Unlock()
	for range 100 {
		w.s.call(func() {}) // events, as in a busy queue
	}
	time.Sleep(1500 * time.Millisecond)
	w.mu.Lock()
	if n := len(w.lines) - lines; n > maxActive/2 {
		t.Errorf("%d lines in the log while nothing happens", n)
	}
	w.fault = nil
	w.mu.Unlock()
	open.Store(true)
	w.advance(10 * time.Minute) // the first is due now, and so are the others
	for range 20 {
		select {
		case err := <-w.ended:
			if err != nil {
				t.Fatal(err)
			}
			w.empty()
			return
		case <-time.After(500 * time.Millisecond):
			if len(w.dir("queue"))+len(w.dir("incoming")) > 0 && w.idle() {
				w.advance(10 * time.Minute)
			}
		}
	}
	t.Error("stuck")
}

// Messages that are to make room but cannot be written down are not tried again
// at every turn.
func TestFullDiskIsQuiet(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	gate := make(chan struct{})
	w.deliver = func(*proto.Deliver, string) *proto.Result {
		<-gate
		return result(outcome.Success("ok"))
	}
	tries := 0
	w.fault = func(s durable.Step, name string) error {
		if s == durable.StepCreate && strings.HasSuffix(name, ".log") {
			tries++
			return syscall.ENOSPC
		}
		return nil
	}
	w.forwards["slow"] = []proto.Target{{Kind: proto.TargetCommand, Token: proto.Token{Entry: [32]byte{9}}}}
	w.submitMany(maxActive+10, "slow")
	w.start()
	w.eventually("no room", func() bool { return tries > maxActive/2 })
	for end := time.Now().Add(time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		w.s.call(func() {}) // events, as in a busy queue
	}
	w.mu.Lock()
	if tries > 2*maxActive {
		t.Errorf("%d tries to write to a full disk", tries)
	}
	w.fault = nil
	w.mu.Unlock()
	close(gate)
	for done := false; !done; {
		select {
		case err := <-w.ended:
			if err != nil {
				t.Fatal(err)
			}
			done = true
		case <-time.After(200 * time.Millisecond):
			if len(w.dir("queue"))+len(w.dir("incoming")) > 0 && w.idle() {
				w.advance(2 * retryDisk)
			}
		}
	}
	w.empty()
}
