package schedule

import (
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"dma/common/outcome"
	"dma/dma-queue/internal/queue"
	"dma/proto"
)

// A user's helper is the user (RULES B3): it answers requests before it got them,
// and takes none, so that they pile up. That may hold up that user's mail only.
func TestHelperAnswersUnasked(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.hijack = func(role proto.Role, login string, c *proto.Conn) bool {
		if role != proto.RoleMailbox || login != "mallory" {
			return false
		}
		_ = c.Send(0, &proto.Hello{Version: proto.Version}, nil)
		for last := uint32(0); ; {
			var requests []uint32
			if !w.s.call(func() {
				for _, v := range w.s.workers[laneKey{proto.RoleMailbox, "mallory"}] {
					for n := range v.jobs {
						requests = append(requests, n)
					}
				}
			}) {
				return true
			}
			slices.Sort(requests)
			for _, n := range requests {
				if n <= last {
					continue
				}
				if last = n; c.Send(n, &proto.Result{Scope: proto.ScopeTarget, Outcome: outcome.Success("ok")}, nil) != nil {
					return true
				}
			}
		}
	}
	const n = 800 // more than the channel has room for
	w.queued(n, func(_ int, m *queue.Message) {
		m.Targets[0].Kind, m.Targets[0].Login, m.Targets[0].Address = queue.Mailbox, "mallory", "mallory@host.example"
	})
	w.start()
	for range 5 {
		w.submit("carol@host.example", "alice")
		start := time.Now()
		w.s.Wake()
		w.eventually("alice's mail", func() bool { return len(w.dir("incoming")) == 0 })
		if d := time.Since(start); d > 5*time.Second {
			t.Errorf("alice's mail took %v", d)
		}
	}
	w.mu.Lock()
	w.hijack = nil
	w.mu.Unlock()
	w.stop()
}

// What a .forward is said to name must be a login where one is due: dma-spawn
// and the journal would take nothing else.
func TestForwardNamesNoLogin(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"", "../x", "a b", strings.Repeat("x", 900)} {
		t.Run(name[:min(len(name), 8)], func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.forwards["bob"] = []proto.Target{{Kind: proto.TargetMailbox, Address: name}}
			w.submit("carol@host.example", "bob")
			w.start()
			w.eventually("deferral on disk", func() bool { return len(w.dir("queue")) == 2 && len(w.dir("incoming")) == 0 })
			w.stop()
			delete(w.forwards, "bob")
			w.start()
			w.flush()
			w.finish()
			if !slices.Equal(w.got, []string{"1 bob@host.example"}) || len(w.bounces) > 0 {
				t.Errorf("delivered %q, %d bounces", w.got, len(w.bounces))
			}
			w.empty()
		})
	}
}

// A helper that cannot even start takes its destination down, not one message
// after the other.
func TestHelperCannotStart(t *testing.T) {
	t.Parallel()
	for _, role := range []proto.Role{proto.RoleForward, proto.RoleRemote} {
		t.Run(role.String(), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			var starts atomic.Int32
			w.hijack = func(r proto.Role, _ string, _ *proto.Conn) bool {
				if r == role {
					starts.Add(1)
				}
				return r == role
			}
			w.submitMany(100, map[proto.Role]string{proto.RoleForward: "alice", proto.RoleRemote: "x@remote.example"}[role])
			w.start()
			w.eventually("all at rest", func() bool { return len(w.dir("queue")) == 200 && len(w.dir("incoming")) == 0 })
			if n := starts.Load(); n > 30 {
				t.Errorf("started %d times", n)
			}
			w.mu.Lock()
			w.hijack = nil
			w.mu.Unlock()
			w.flush()
			w.finish()
			if len(w.got) != 100 {
				t.Errorf("%d delivered", len(w.got))
			}
			w.empty()
		})
	}
}

// An account that takes no mail: final if the submitter named it, else a mistake
// in an alias that the sender cannot help.
func TestForbiddenUser(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.refuse["_dmar"] = proto.RefusedForbidden
	w.hijack = nil
	w.forbidMailbox = true
	w.forwards["bob"] = []proto.Target{{Kind: proto.TargetAddress, Address: "_dmar"}}
	w.submit("carol@host.example", "bob")
	w.start()
	w.eventually("deferral on disk", func() bool { return len(w.dir("queue")) == 2 && len(w.dir("incoming")) == 0 })
	if len(w.bounces) > 0 {
		t.Error("bounced")
	}
	w.submit("carol@host.example", "_dmar")
	w.s.Wake()
	w.eventually("bounce", func() bool { return len(w.bounces) == 1 && slices.Contains(w.got, "1 carol@host.example") })
	w.stop()
}

// No helper gets work for ever, so that none is ended by dma-spawn in the middle of it.
func TestHelperIsReplaced(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	gate := make(chan struct{})
	w.send = func(d *proto.Send, _ []string) []*proto.Result {
		if d.Domain == "slow.example" {
			<-gate
		}
		return []*proto.Result{result(outcome.Success("ok"))}
	}
	w.submit("carol@host.example", "x@slow.example")
	w.start()
	w.eventually("first", func() bool { return len(w.sent) == 1 })
	w.advance(workerLife + time.Second)
	w.submit("carol@host.example", "y@remote.example")
	w.s.Wake()
	w.eventually("second, by another helper", func() bool {
		return len(w.got) == 1 && slices.Equal(w.starts, []string{"remote", "remote"})
	})
	close(gate)
	w.finish()
	w.empty()
}

// To make room for a worker, one of the same lane may be ended that is too old
// for work. It must not come back with the new one: nothing would ever end it,
// and the run with it.
func TestEndedWorkerStaysAway(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.start()
	w.s.call(func() {
		key := laneKey{proto.RoleMailbox, "alice"}
		for range localWorkers {
			conn, file, err := proto.Pair()
			if err != nil {
				t.Error(err)
				return
			}
			t.Cleanup(func() { file.Close() })
			old := &worker{key: key, conn: conn, out: make(chan *job), asked: w.now().Add(-2 * workerLife), idle: w.now()}
			w.s.workers[key] = append(w.s.workers[key], old)
		}
		if w.s.workerFor(key) == nil {
			t.Error("no room was made")
		}
		for _, o := range w.s.workers[key] {
			if o.finished {
				t.Error("a worker that was ended is still listed")
			}
		}
	})
	w.finish()
}
