package schedule

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"dma/common/durable"
	"dma/common/outcome"
	"dma/dma-queue/internal/queue"
	"dma/proto"
)

func result(o outcome.Outcome) *proto.Result {
	return &proto.Result{Scope: proto.ScopeTarget, Outcome: o}
}

func dead(text string) *proto.Result {
	return &proto.Result{Scope: proto.ScopeDestination, Outcome: outcome.Defer("4.4.1", "%s", text)}
}

// empty checks that the spool holds nothing.
func (w *world) empty() {
	w.t.Helper()
	for _, d := range []string{"incoming", "queue", "failed"} {
		if names := w.dir(d); len(names) > 0 {
			w.t.Errorf("left in %s: %v", d, names)
		}
	}
}

func sorted(s []string) []string { return slices.Sorted(slices.Values(s)) }

func TestMailbox(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.submit("carol@host.example", "alice", "bob@host.example", "alice")
	w.start()
	w.finish()
	if got, want := sorted(w.got), []string{"1 alice@host.example", "1 bob@host.example"}; !slices.Equal(got, want) {
		t.Errorf("delivered %q, want %q", got, want)
	}
	w.empty()
}

func TestForwardKinds(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.forwards["alice"] = []proto.Target{
		{Kind: proto.TargetMailbox, Address: "alice"},
		{Kind: proto.TargetCommand, Token: proto.Token{Index: 1, Entry: [32]byte{1}}},
		{Kind: proto.TargetAddress, Address: "far@remote.example"},
	}
	var chains [][]string
	w.deliver = func(d *proto.Deliver, _ string) *proto.Result {
		w.mu.Lock()
		defer w.mu.Unlock()
		chains = append(chains, d.DeliveredTo)
		return result(outcome.Success("ok"))
	}
	w.submit("carol@host.example", "alice", "x@remote.example", "y@remote.example")
	w.start()
	w.finish()
	want := []string{"1 alice@host.example", "3 alice@host.example", "R far@remote.example", "R x@remote.example", "R y@remote.example"}
	if got := sorted(w.got); !slices.Equal(got, want) {
		t.Errorf("delivered %q, want %q", got, want)
	}
	// One transaction for the original, one for the forwarded copy.
	if len(w.sends) != 2 || w.sends[0].Recipients+w.sends[1].Recipients != 3 {
		t.Errorf("%d transactions", len(w.sends))
	}
	for _, s := range w.sends {
		if forwarded := len(s.DeliveredTo) > 0; forwarded != (s.Recipients == 1) || forwarded && s.DeliveredTo[0] != "alice@host.example" {
			t.Errorf("%d recipients with Delivered-To %q", s.Recipients, s.DeliveredTo)
		}
	}
	for _, c := range chains {
		if !slices.Equal(c, []string{"alice@host.example"}) {
			t.Errorf("local delivery with Delivered-To %q", c)
		}
	}
	w.empty()
}

// Each recipient of a transaction ends on its own: one sent, one retried alone,
// one bounced, once.
func TestPerRecipient(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	tries := 0
	w.send = func(_ *proto.Send, rcpts []string) (list []*proto.Result) {
		tries++
		for _, r := range rcpts {
			switch {
			case strings.HasPrefix(r, "later") && tries == 1:
				list = append(list, result(outcome.Defer("4.2.1", "450 try later")))
			case strings.HasPrefix(r, "never"):
				list = append(list, result(outcome.Fail("5.1.1", "550 no such user")))
			default:
				list = append(list, result(outcome.Success("250 ok")))
			}
		}
		return list
	}
	w.submit("carol@host.example", "sent@remote.example", "later@remote.example", "never@remote.example")
	w.start()
	w.eventually("bounce to carol", func() bool { return slices.Contains(w.got, "1 carol@host.example") })
	w.eventually("no retry before it is due", func() bool { return len(w.sent) == 3 })
	w.advance(10 * time.Minute)
	w.finish()
	if got := w.sent[3:]; !slices.Equal(got, []string{"later@remote.example"}) {
		t.Errorf("retried %q", got)
	}
	if len(w.bounces) != 1 || len(w.bounces[0].About) != 1 || w.bounces[0].About[0].Original != "never@remote.example" {
		t.Errorf("bounces: %+v", w.bounces)
	}
	w.empty()
}

// A destination that is down costs one try a back-off, however many messages
// wait for it, and a restart remembers it.
func TestDeadDestination(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var down atomic.Bool
	down.Store(true)
	w.send = func(_ *proto.Send, rcpts []string) (list []*proto.Result) {
		for range rcpts {
			if down.Load() {
				list = append(list, dead("connection refused"))
			} else {
				list = append(list, result(outcome.Success("250 ok")))
			}
		}
		return list
	}
	const n = maxActive + 20
	w.submitMany(n, "x@remote.example")
	w.start()
	w.eventually("all are at rest and durable", func() bool { return len(w.dir("incoming")) == 0 && len(w.dir("queue")) == 2*n })
	w.eventually("one try at a dead destination", func() bool { return len(w.sent) == 1 })
	w.s.call(func() {
		if len(w.s.active) != 0 || len(w.s.refs) != n {
			t.Errorf("%d of %d messages in memory", len(w.s.active), len(w.s.refs))
		}
	})
	w.advance(10 * time.Minute)
	w.eventually("one probe", func() bool { return len(w.sent) == 2 })
	w.eventually("at rest again", func() bool { return len(w.dir("queue")) == 2*n })
	w.stop()
	w.start()
	if !w.s.call(func() {}) {
		t.Error("ended after a restart")
	}
	w.eventually("no try after a restart", func() bool { return len(w.sent) == 2 })
	down.Store(false)
	if !w.flush() {
		t.Error("flush refused")
	}
	w.finish()
	if len(w.got) != n {
		t.Errorf("%d of %d delivered", len(w.got), n)
	}
	w.empty()
}

// What is done stays done after a crash of the runner (RULES D9).
func TestRestartRepeatsNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var first atomic.Bool
	first.Store(true)
	w.deliver = func(d *proto.Deliver, _ string) *proto.Result {
		if strings.HasPrefix(d.Recipient, "bob") && first.Load() {
			return result(outcome.Defer("4.2.0", "mailbox locked"))
		}
		return result(outcome.Success("ok"))
	}
	w.submit("carol@host.example", "team")
	w.start()
	w.eventually("alice", func() bool { return len(w.got) == 1 && len(w.dir("incoming")) == 0 })
	w.stop()
	first.Store(false)
	w.start()
	w.advance(time.Hour)
	w.finish()
	if !slices.Equal(w.got, []string{"1 alice@host.example", "1 bob@host.example"}) {
		t.Errorf("delivered %q", w.got)
	}
	w.empty()
}

func TestUnknownAndRefusedUsers(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.refuse["nobodyhere"] = proto.RefusedUnknown
	w.refuse["root"] = proto.RefusedForbidden
	w.submit("carol@host.example", "nobodyhere", "root")
	w.start()
	w.finish()
	if got, want := sorted(w.got), []string{"1 carol@host.example", "1 root@host.example"}; !slices.Equal(got, want) {
		t.Errorf("delivered %q, want %q", got, want)
	}
	if len(w.bounces) != 1 || w.bounces[0].About[0].Outcome.Code != "5.1.1" {
		t.Errorf("bounces: %+v", w.bounces)
	}
	w.empty()
}

// A mistyped name in a .forward is nothing that the sender can help: no bounce.
func TestUnknownUserInForward(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.refuse["allice"] = proto.RefusedUnknown
	w.forwards["bob"] = []proto.Target{{Kind: proto.TargetAddress, Address: "allice"}}
	w.submit("carol@host.example", "bob")
	w.start()
	w.eventually("deferral on disk", func() bool { return len(w.dir("queue")) == 2 && len(w.dir("incoming")) == 0 })
	w.stop()
	if len(w.bounces) > 0 {
		t.Errorf("bounced")
	}
}

// A .forward is read once for the messages that were there before, and again for
// those that came after.
func TestForwardAskedOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const each = 3 * forwardJobs
	for range each {
		w.submit("carol@host.example", "alice")
		w.submit("carol@host.example", "bob+lists")
	}
	began := time.Now()
	w.start()
	w.eventually("delivery", func() bool { return len(w.got) == 2*each && len(w.dir("queue")) == 0 })
	seconds := int(time.Since(began)/heardLife) + 1 // on a machine that does other things too
	w.mu.Lock()
	asked, got := len(w.extensions), len(w.got)
	w.forwards["alice"] = []proto.Target{{Kind: proto.TargetAddress, Address: "far@remote.example"}}
	w.mu.Unlock()
	if asked > 2*forwardJobs*seconds || !slices.Contains(w.extensions, "") || !slices.Contains(w.extensions, "lists") {
		t.Errorf("asked %d times, of %q", asked, w.extensions)
	}
	w.submit("carol@host.example", "alice")
	w.submit("carol@host.example", "bob+other")
	w.s.Wake()
	w.finish()
	if got, want := sorted(w.got[got:]), []string{"1 bob@host.example", "R far@remote.example"}; !slices.Equal(got, want) {
		t.Errorf("then delivered %q, want %q", got, want)
	}
	if !slices.Contains(w.extensions, "other") {
		t.Errorf("asked of %q", w.extensions)
	}
	w.empty()
}

// Whoever corrects a .forward and flushes gets it read again, though it was read just
// now and another delivery keeps the message in memory.
func TestForwardReadByFlush(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.forwards["bob"] = []proto.Target{{Kind: proto.TargetMailbox, Address: "../x"}}
	gate := make(chan struct{})
	w.deliver = func(d *proto.Deliver, _ string) *proto.Result {
		if strings.HasPrefix(d.Recipient, "alice") {
			<-gate
		}
		return result(outcome.Success("ok"))
	}
	id := w.submit("carol@host.example", "alice", "bob")
	w.start()
	w.inLoop("alice is tried, bob deferred", func() bool {
		r := w.s.refs[id]
		return r != nil && r.msg != nil && w.flying() == 1 && slices.ContainsFunc(r.msg.Targets, func(t queue.Target) bool { return t.Tries == 1 })
	})
	w.mu.Lock()
	delete(w.forwards, "bob")
	w.mu.Unlock()
	w.flush()
	w.eventually("bob's mail", func() bool { return slices.Contains(w.got, "1 bob@host.example") })
	close(gate)
	w.finish()
	w.empty()
}

// What a .forward says counts for a moment, for who was there before and asks the same.
func TestHeardTells(t *testing.T) {
	asked := time.Now()
	h := heard{asked: asked, extension: "lists"}
	for _, c := range []struct {
		name   string
		target queue.Target
		called time.Duration // after it was asked
		later  time.Duration // when somebody wants to know
		want   bool
	}{
		{"was there", queue.Target{Kind: queue.User, Extension: "lists"}, -time.Second, 0, true},
		{"came later", queue.Target{Kind: queue.User, Extension: "lists"}, time.Millisecond, time.Millisecond, false},
		{"came then", queue.Target{Kind: queue.User, Extension: "lists"}, 0, 0, false},
		{"another extension", queue.Target{Kind: queue.User}, -time.Second, 0, false},
		{"no user", queue.Target{Kind: queue.Mailbox, Extension: "lists"}, -time.Second, 0, false},
		{"just fresh", queue.Target{Kind: queue.User, Extension: "lists"}, -time.Second, heardLife - 1, true},
		{"old", queue.Target{Kind: queue.User, Extension: "lists"}, -time.Second, heardLife, false},
	} {
		if got := h.tells(&message{called: asked.Add(c.called)}, &c.target, asked.Add(c.later)); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
}

func TestForwardTroubleWaits(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.forwards["bob"] = []proto.Target{{Address: "/home/bob/.forward: writable by group"}}
	w.submit("carol@host.example", "bob")
	w.start()
	w.eventually("deferral on disk", func() bool { return len(w.dir("queue")) == 2 && len(w.dir("incoming")) == 0 })
	var reasons []string
	if err := w.s.List(root, proto.All(), func(l Listing) error {
		for _, s := range l.States {
			reasons = append(reasons, s.Reason)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if len(reasons) != 1 || !strings.Contains(reasons[0], "writable by group") {
		t.Errorf("reasons %q", reasons)
	}
	w.mu.Lock()
	delete(w.forwards, "bob")
	w.mu.Unlock()
	w.flush()
	w.finish()
	if !slices.Equal(w.got, []string{"1 bob@host.example"}) {
		t.Errorf("delivered %q", w.got)
	}
	w.empty()
}

// RULES C7: the user edits the file between expansion and delivery.
func TestStaleToken(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	old := proto.Token{Index: 1, File: [32]byte{1}, Entry: [32]byte{1}}
	fresh := proto.Token{Index: 1, File: [32]byte{2}, Entry: [32]byte{2}}
	mailbox := proto.Target{Kind: proto.TargetMailbox, Address: "alice"}
	w.forwards["alice"] = []proto.Target{mailbox, {Kind: proto.TargetCommand, Token: old}}
	w.deliver = func(d *proto.Deliver, _ string) *proto.Result {
		if d.Kind == proto.TargetCommand && d.Token == old {
			w.mu.Lock()
			w.forwards["alice"] = []proto.Target{mailbox, {Kind: proto.TargetCommand, Token: fresh}}
			w.mu.Unlock()
			return &proto.Result{Scope: proto.ScopeStale, Outcome: outcome.Defer("4.3.5", "the file has changed")}
		}
		return result(outcome.Success("ok"))
	}
	w.submit("carol@host.example", "alice")
	w.start()
	w.finish()
	if got, want := sorted(w.got), []string{"1 alice@host.example", "3 alice@host.example"}; !slices.Equal(got, want) {
		t.Errorf("delivered %q, want %q", got, want)
	}
	w.empty()
}

func TestHelperDies(t *testing.T) {
	t.Parallel()
	for _, role := range []proto.Role{proto.RoleForward, proto.RoleMailbox, proto.RoleRemote} {
		t.Run(role.String(), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.dieOnce[role] = true
			w.submit("carol@host.example", "alice", "x@remote.example")
			w.start()
			w.finish()
			if got, want := sorted(w.got), []string{"1 alice@host.example", "R x@remote.example"}; !slices.Equal(got, want) {
				t.Errorf("delivered %q, want %q", got, want)
			}
			w.empty()
		})
	}
}

// A helper that breaks the protocol defers its own deliveries and nothing else.
func TestHelperBabbles(t *testing.T) {
	t.Parallel()
	for _, role := range []proto.Role{proto.RoleForward, proto.RoleMailbox, proto.RoleRemote} {
		t.Run(role.String(), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.babble = role
			w.submit("carol@host.example", "alice")
			w.submit("carol@host.example", "x@remote.example")
			w.start()
			w.eventually("deferral and delivery", func() bool {
				return len(w.got) == 1 && len(w.dir("queue")) == 2 && len(w.dir("incoming")) == 0
			})
			w.mu.Lock()
			w.babble = 0
			w.mu.Unlock()
			w.flush()
			w.finish()
			w.empty()
		})
	}
}

func TestGiveUp(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.send = func(_ *proto.Send, rcpts []string) []*proto.Result {
		return []*proto.Result{dead("connection refused")}
	}
	w.submit("carol@host.example", "x@remote.example")
	w.start()
	w.eventually("first try", func() bool { return len(w.sent) == 1 })
	w.eventuallyIdle()
	w.advance(30 * 24 * time.Hour) // the clock jumps
	for tries := 2; tries <= minTries; tries++ {
		w.eventually("try", func() bool { return len(w.sent) == tries && (len(w.bounces) == 0 || tries == minTries) })
		if w.eventuallyIdle(); tries < minTries {
			w.advance(4 * time.Hour)
		}
	}
	w.finish()
	if len(w.bounces) != 1 || w.bounces[0].About[0].Outcome.Code != GaveUp || w.bounces[0].About[0].Outcome.Text != "connection refused" {
		t.Errorf("bounces %+v after %d tries", w.bounces, len(w.sent))
	}
	if len(w.sent) < minTries {
		t.Errorf("given up after %d tries", len(w.sent))
	}
	w.empty()
}

// RULES F2: a bounce that bounces is kept, not lost, and nobody is told.
func TestDoubleBounce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.refuse["gone"] = proto.RefusedUnknown
	w.submit("gone@host.example", "gone")
	w.start()
	w.finish()
	if got := w.dir("failed"); len(got) != 2 {
		t.Errorf("failed holds %v", got)
	}
	if len(w.bounces) != 1 || len(w.dir("queue"))+len(w.dir("incoming")) > 0 {
		t.Errorf("%d bounces, queue %v, incoming %v", len(w.bounces), w.dir("queue"), w.dir("incoming"))
	}
	w.start()
	n := 0
	if err := w.s.List(root, proto.All(), func(l Listing) error {
		n++
		if !l.Item.Dead {
			t.Errorf("%+v is not dead", l.Item)
		}
		return nil
	}); err != nil || n != 1 {
		t.Errorf("listed %d: %v", n, err)
	}
	w.finish()
}

// Every step on the disk is made to fail, one at a time; nothing is lost, and
// nothing is delivered twice but what was in flight.
func TestFaults(t *testing.T) {
	t.Parallel()
	for step := durable.Step(1); int(step) <= durable.Steps; step++ {
		if step == durable.StepOpen {
			continue // the message file itself: TestMessageFileGone
		}
		for nth := range 4 {
			t.Run(fmt.Sprintf("%v %d", step, nth), func(t *testing.T) {
				t.Parallel()
				w := newWorld(t)
				first := true
				w.deliver = func(d *proto.Deliver, _ string) *proto.Result {
					w.mu.Lock()
					defer w.mu.Unlock()
					if strings.HasPrefix(d.Recipient, "bob") && first {
						first = false
						return result(outcome.Defer("4.2.0", "mailbox locked"))
					}
					return result(outcome.Success("ok"))
				}
				w.send = func(_ *proto.Send, rcpts []string) []*proto.Result {
					return []*proto.Result{result(outcome.Fail("5.1.1", "no"))}
				}
				w.submit("carol@host.example", "alice", "bob", "x@remote.example")
				n := 0
				w.start()
				w.mu.Lock()
				w.fault = func(s durable.Step, _ string) error {
					if s == step {
						if n++; n == nth+1 {
							return errors.New("injected")
						}
					}
					return nil
				}
				w.mu.Unlock()
				w.s.Wake()
				ended := false
				for range 400 {
					select {
					case err := <-w.ended:
						if err != nil {
							t.Logf("run ended: %v", err)
							w.start()
							continue
						}
						ended = true
					case <-time.After(10 * time.Millisecond):
						if len(w.dir("queue"))+len(w.dir("incoming")) > 0 && w.idle() {
							w.s.Wake()
							w.advance(20 * time.Second)
						}
					}
					if ended {
						break
					}
				}
				if !ended {
					t.Fatalf("not done: got %v queue %v incoming %v failed %v", w.got, w.dir("queue"), w.dir("incoming"), w.dir("failed"))
				}
				want := []string{"1 alice@host.example", "1 bob@host.example", "1 carol@host.example"}
				if got := sorted(w.got); !slices.Equal(got, want) {
					t.Errorf("delivered %q, want %q", got, want)
				}
				w.empty()
			})
		}
	}
}

// A journal that is damaged is set aside, the rest of the queue goes on (RULES F4).
func TestDamagedJournal(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.forwards["bob"] = []proto.Target{{Address: "unsafe"}}
	bad := w.submit("carol@host.example", "bob")
	w.start()
	w.eventually("bob waits", func() bool { return len(w.dir("queue")) == 2 && len(w.dir("incoming")) == 0 })
	w.stop()
	if err := os.WriteFile(w.root+"/queue/"+string(bad)+".log", []byte("dma-queue 1\ngarbage\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	w.submit("carol@host.example", "alice")
	w.start()
	w.finish()
	if !slices.Equal(w.got, []string{"1 alice@host.example"}) {
		t.Errorf("delivered %q", w.got)
	}
	if got := w.dir("failed"); len(got) != 2 || got[0] != string(bad) {
		t.Errorf("failed holds %v", got)
	}
}

// Crash between the bounce and the closing of what it is about: one bounce.
func TestBounceOnceAfterCrash(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		damage string // suffix of the bounce's file that a crash cut off; "-" for none
		made   int    // how often the bounce is made
	}{
		"whole":        {"-", 1},
		"journal torn": {".log", 2},
		"message torn": {"", 2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.refuse["nobodyhere"] = proto.RefusedUnknown
			w.submit("carol@host.example", "nobodyhere", "alice")
			w.forwards["alice"] = []proto.Target{{Address: "unsafe"}}
			w.forwards["carol"] = []proto.Target{{Address: "unsafe"}}
			w.start()
			w.eventually("bounce in the queue", func() bool { return len(w.bounces) == 1 && len(w.dir("queue")) == 4 && len(w.dir("incoming")) == 0 })
			w.stop()
			w.reopenFailed(w.bounces[0])
			if c.damage != "-" {
				if err := os.Truncate(w.root+"/queue/"+string(w.bounces[0].Message.ID)+c.damage, 3); err != nil {
					t.Fatal(err)
				}
			}
			clear(w.forwards)
			w.start()
			w.flush()
			w.finish()
			if len(w.bounces) != c.made {
				t.Errorf("%d bounces made", len(w.bounces))
			}
			if got, want := sorted(w.got), []string{"1 alice@host.example", "1 carol@host.example"}; !slices.Equal(got, want) {
				t.Errorf("delivered %q, want %q", got, want)
			}
			w.empty()
		})
	}
}

// reopenFailed undoes the closing of what b is about, as if the crash had come before it.
func (w *world) reopenFailed(b *Bounce) {
	w.t.Helper()
	q, err := queue.OpenQueue(w.root)
	if err != nil {
		w.t.Fatal(err)
	}
	m, err := q.Load(b.Original.ID)
	if err != nil {
		w.t.Fatal(err)
	}
	for i := range m.Targets {
		if m.Targets[i].State == queue.Bounced {
			m.Targets[i].State = queue.Failed
			m.Touch(i)
		}
	}
	m.Bounce = b.Message.ID
	if err := q.Save(m); err != nil {
		w.t.Fatal(err)
	}
}

// A user whose command sleeps delays only that user (RULES B7).
func TestSlowUserDelaysNobodyElse(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.forwards["slow"] = []proto.Target{{Kind: proto.TargetCommand, Token: proto.Token{Entry: [32]byte{9}}}}
	gate := make(chan struct{})
	running, most := 0, 0
	w.deliver = func(d *proto.Deliver, _ string) *proto.Result {
		if d.Kind == proto.TargetCommand {
			w.mu.Lock()
			running++
			most = max(most, running)
			w.mu.Unlock()
			<-gate
			w.mu.Lock()
			running--
			w.mu.Unlock()
		}
		return result(outcome.Success("ok"))
	}
	w.submitMany(maxActive+10, "slow")
	w.submit("carol@host.example", "alice")
	w.start()
	w.eventually("alice's mail", func() bool { return slices.Contains(w.got, "1 alice@host.example") })
	close(gate)
	w.finish()
	if most != userCommands {
		t.Errorf("%d commands of one user at a time, want %d", most, userCommands)
	}
	if len(w.got) != maxActive+11 {
		t.Errorf("%d delivered", len(w.got))
	}
	w.empty()
}

func TestManyRecipients(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var rcpts []string
	for i := range 2500 {
		rcpts = append(rcpts, fmt.Sprintf("u%d@remote.example", i))
	}
	w.submit("carol@host.example", rcpts...)
	w.start()
	w.finish()
	if len(w.got) != len(rcpts) || len(w.sends) != 3 {
		t.Errorf("%d delivered in %d requests", len(w.got), len(w.sends))
	}
	w.empty()
}

// Draining starts no process per message.
func TestDrainReusesHelpers(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.submitMany(300, "alice", "x@remote.example", "y@other.example")
	w.start()
	w.finish()
	if len(w.got) != 900 {
		t.Errorf("%d delivered", len(w.got))
	}
	if len(w.starts) > 8 { // 3, but on a machine that has other things to do for a second
		t.Errorf("started %q", w.starts)
	}
	w.empty()
}

func TestBackoff(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.start()
	w.s.call(func() {
		b := w.site.Load().Backoff
		last := time.Duration(0)
		for tries := 1; tries < 12; tries++ {
			d := b.wait(tries, w.s.rand)
			if d < b.Min*9/10 || d > b.Max*11/10 {
				t.Errorf("after %d tries %v", tries, d)
			}
			if tries < 4 && d < last {
				t.Errorf("after %d tries %v, before it %v", tries, d, last)
			}
			last = d
		}
		if last < b.Max*9/10 {
			t.Errorf("never reaches the maximum: %v", last)
		}
	})
	w.finish()
}
