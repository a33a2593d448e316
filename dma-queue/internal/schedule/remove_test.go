package schedule

import (
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"dma/common/outcome"
	"dma/dma-queue/internal/spool"
	"dma/proto"
)

// patient is a helper that works on many requests at a time, as dma-remote does.
// What goes to an address with "slow" in it takes until it is cancelled or told to
// go on; with "deaf", cancelling does nothing.
type patient struct {
	w  *world
	mu sync.Mutex

	cancelled []uint32
	under     map[uint32][]string // requests under way
	goOn      chan struct{}
}

// patient makes w's helpers of that role such ones.
func (w *world) patient(role proto.Role) *patient {
	h := &patient{w: w, under: make(map[uint32][]string), goOn: make(chan struct{})}
	w.hijack = func(r proto.Role, _ string, c *proto.Conn) bool {
		if r == role {
			h.serve(c)
		}
		return r == role
	}
	return h
}

func (h *patient) serve(c *proto.Conn) {
	_ = c.Send(0, &proto.Hello{Version: proto.Version}, nil)
	stops := make(map[uint32]chan struct{})
	var group sync.WaitGroup
	defer group.Wait()
	for {
		p, err := c.Recv(0, proto.TypeSend, proto.TypeDeliver, proto.TypeCancel)
		if err != nil {
			for _, stop := range stops {
				close(stop)
			}
			return
		}
		if p.Message.Type() == proto.TypeCancel {
			h.mu.Lock()
			h.cancelled = append(h.cancelled, p.Request)
			h.mu.Unlock()
			if stop := stops[p.Request]; stop != nil {
				delete(stops, p.Request)
				close(stop)
			}
			continue
		}
		p.File.Close()
		var rcpts []string
		switch m := p.Message.(type) {
		case *proto.Deliver:
			rcpts = []string{m.Recipient}
		case *proto.Send:
			for range m.Recipients {
				r, err := c.Recv(patience, proto.TypeRcpt)
				if err != nil {
					return
				}
				rcpts = append(rcpts, r.Message.(*proto.Rcpt).Address)
			}
		}
		stop := make(chan struct{})
		stops[p.Request] = stop
		h.mu.Lock()
		h.under[p.Request] = rcpts
		h.mu.Unlock()
		group.Go(func() { h.work(c, p.Request, rcpts, stop) })
	}
}

func (h *patient) work(c *proto.Conn, request uint32, rcpts []string, stop chan struct{}) {
	o := outcome.Success("ok")
	switch all := strings.Join(rcpts, " "); {
	case strings.Contains(all, "deaf"):
		<-h.goOn
	case strings.Contains(all, "slow"):
		select {
		case <-stop:
			o = outcome.Defer("4.3.2", "cancelled")
		case <-h.goOn:
		}
	}
	h.mu.Lock()
	delete(h.under, request)
	h.mu.Unlock()
	for i := range rcpts {
		r := &proto.Result{Index: uint32(i), Scope: proto.ScopeTarget, Outcome: o}
		if o.Class == outcome.Later {
			r.Scope = proto.ScopeDestination // as a connection that broke
		} else {
			h.w.mu.Lock()
			h.w.got = append(h.w.got, rcpts[i])
			h.w.mu.Unlock()
		}
		_ = c.Send(request, r, nil)
	}
}

func (h *patient) waitFor(n int) {
	h.w.t.Helper()
	h.w.eventually("requests under way", func() bool {
		h.mu.Lock()
		defer h.mu.Unlock()
		return len(h.under) == n
	})
}

// A message that is being delivered is stopped, and nothing of it is delivered
// after the answer. Others of the same helper go on, and their destination is not
// taken for down.
func TestRemoveInFlight(t *testing.T) {
	t.Parallel()
	for role, domain := range map[proto.Role]string{proto.RoleRemote: "@remote.example", proto.RoleMailbox: "@host.example"} {
		t.Run(role.String(), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			h := w.patient(role)
			id := w.submit("carol@host.example", "slow"+domain)
			w.submit("dave@host.example", "slow"+domain)
			w.start()
			h.waitFor(1 + map[proto.Role]int{proto.RoleMailbox: 1}[role]) // the first to a domain is alone
			w.operate("remove", submitter(), byID(id), Tally{Done: 1})
			h.mu.Lock()
			cancelled := len(h.cancelled)
			h.mu.Unlock()
			if cancelled != 1 || len(w.got) > 0 || slices.ContainsFunc(w.dir("queue"), func(n string) bool { return strings.HasPrefix(n, string(id)) }) {
				t.Errorf("%d cancelled, delivered %q, queue %v", cancelled, w.got, w.dir("queue"))
			}
			h.waitFor(1) // the other one is tried at once: nothing is down
			close(h.goOn)
			w.finish()
			if !slices.Equal(w.got, []string{"slow" + domain}) || len(w.bounces) > 0 {
				t.Errorf("delivered %q, %d bounces", w.got, len(w.bounces))
			}
			w.empty()
		})
	}
}

// A helper that cannot be stopped: whoever removes is told so, and the message goes
// when it has ended.
func TestRemoveTakesLonger(t *testing.T) {
	t.Parallel()
	for _, ok := range []bool{false, true} { // how the delivery ends
		w := newWorld(t)
		h := w.patient(proto.RoleRemote)
		w.submit("carol@host.example", "deaf@remote.example", "later@other.example")
		w.start()
		h.waitFor(1)
		w.eventually("the other recipient has it", func() bool { return slices.Equal(w.got, []string{"later@other.example"}) })
		over := make(chan struct{})
		go func() {
			defer close(over)
			w.operate("remove", root, proto.All(), Tally{Busy: 1})
		}()
		w.inLoop("removal begun", func() bool { return len(w.s.removals) == 1 })
		w.advance(removalLimit + time.Second)
		<-over
		// Whoever asks again waits again.
		again := make(chan struct{})
		go func() {
			defer close(again)
			w.operate("remove", root, proto.All(), Tally{Done: 1})
		}()
		w.inLoop("asked again", func() bool {
			for r := range w.s.removals {
				return len(r.msg.removal.over) == 1
			}
			return false
		})
		if ok {
			close(h.goOn)
		} else {
			w.s.call(func() {
				for _, list := range w.s.workers {
					for _, k := range slices.Clone(list) {
						w.s.endWorker(k) // as if it had died
					}
				}
			})
			defer close(h.goOn)
		}
		<-again
		if !ok {
			w.stopHelpers(h)
		}
		w.finish()
		w.empty()
	}
}

// stopHelpers lets what is stuck go.
func (w *world) stopHelpers(h *patient) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.under) > 0 {
		go func() { h.goOn <- struct{}{} }()
	}
}

// What no helper has seen yet is taken back: it never gets there.
func TestRemoveBeforeItIsSent(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	gate := make(chan struct{})
	w.spawning = func(role proto.Role) {
		if role == proto.RoleRemote {
			<-gate
		}
	}
	id := w.submit("carol@host.example", "x@remote.example")
	w.start()
	w.inLoop("a helper is asked for", func() bool { return w.flying() == 1 })
	w.operate("remove", root, byID(id), Tally{Done: 1})
	other := w.submit("carol@host.example", "y@remote.example")
	w.s.Wake()
	w.inLoop("the other waits", func() bool { return w.s.refs[other] != nil })
	close(gate)
	w.finish()
	if !slices.Equal(w.got, []string{"R y@remote.example"}) {
		t.Errorf("delivered %q", w.got)
	}
	w.empty()
}

// A hold takes back what no helper has seen, too, and it is tried when released.
func TestHoldBeforeItIsSent(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	gate := make(chan struct{})
	w.spawning = func(proto.Role) { <-gate }
	id := w.submit("carol@host.example", "alice", "x@remote.example")
	w.start()
	w.inLoop("helpers are asked for", func() bool { return len(w.s.starting) == 2 })
	w.operate("hold", root, byID(id), Tally{Done: 1})
	w.rests(1)
	close(gate)
	w.inLoop("helpers have nothing to do", func() bool { return len(w.s.workers) == 0 })
	if len(w.got) > 0 {
		t.Errorf("delivered %q", w.got)
	}
	w.operate("release", root, byID(id), Tally{Done: 1})
	w.finish()
	if got := sorted(w.got); !slices.Equal(got, []string{"1 alice@host.example", "R x@remote.example"}) {
		t.Errorf("delivered %q", got)
	}
	w.empty()
}

// While its .forward is asked for nothing is delivered, so nothing is waited for.
func TestRemoveWhileExpanding(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	gate := make(chan struct{})
	asked := make(chan struct{}, 1)
	w.hijack = func(role proto.Role, _ string, c *proto.Conn) bool {
		if role != proto.RoleForward {
			return false
		}
		_ = c.Send(0, &proto.Hello{Version: proto.Version}, nil)
		p, err := c.Recv(0, proto.TypeExpand)
		if err != nil {
			return true
		}
		asked <- struct{}{}
		<-gate
		_ = c.Send(p.Request, &proto.End{}, nil)
		_, _ = c.Recv(0, proto.TypeExpand)
		return true
	}
	w.submit("carol@host.example", "alice")
	w.start()
	<-asked
	w.operate("remove", root, proto.All(), Tally{Done: 1})
	close(gate)
	w.finish()
	if len(w.got) > 0 {
		t.Errorf("delivered %q", w.got)
	}
	w.empty()
}

// A message that is removed while it is made durable, or bounces, goes all the same.
func TestRemoveWhileBouncing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.refuse["gone"] = proto.RefusedUnknown
	bouncing, gate := make(chan struct{}), make(chan struct{})
	w.bouncing = func() {
		bouncing <- struct{}{}
		<-gate
	}
	id := w.submit("carol@host.example", "gone")
	w.start()
	<-bouncing
	over := make(chan struct{})
	go func() {
		defer close(over)
		w.operate("remove", root, byID(id), Tally{Done: 1})
	}()
	w.inLoop("removal begun", func() bool { return len(w.s.removals) == 1 })
	close(gate)
	<-over
	w.finish()
	w.empty()
}

// A submission that is just being picked up, and one that cannot be.
func TestRemoveSubmission(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	gate := w.picksWait()
	w.submit("carol@host.example", "alice")
	w.submit("carol@host.example", "alice")
	w.start()
	w.inLoop("being picked up", func() bool { return len(w.s.picking) == 2 })
	over := make(chan struct{})
	go func() {
		defer close(over)
		w.operate("remove", submitter(), proto.All(), Tally{Done: 2})
	}()
	w.inLoop("ordered", func() bool { return len(w.s.orders) == 2 })
	close(gate)
	<-over
	w.mu.Lock()
	w.pickErr = func(spool.ID) error { return errStopped }
	w.mu.Unlock()
	w.submit("carol@host.example", "alice")
	w.s.Wake()
	w.looksLater()
	w.operate("remove", submitter(), proto.All(), Tally{Done: 1})
	w.advance(time.Hour)
	w.finish()
	if len(w.got) > 0 {
		t.Errorf("delivered %q", w.got)
	}
	w.empty()
}
