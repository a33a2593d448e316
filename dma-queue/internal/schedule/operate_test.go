package schedule

import (
	"errors"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"dma/common/durable"
	"dma/common/outcome"
	"dma/dma-queue/internal/queue"
	"dma/dma-queue/internal/spool"
	"dma/proto"
)

// Callers who are not root.
func submitter() Caller { return Caller{Known: true, UID: uint32(os.Getuid())} }
func stranger() Caller  { return Caller{Known: true, UID: uint32(os.Getuid()) + 4711} }

func byID(id spool.ID) proto.Selection { return proto.Selection{By: proto.ByID, Value: string(id)} }

// operations by name.
func (w *world) operation(name string) func(Caller, proto.Selection) (Tally, error) {
	switch name {
	case "hold":
		return w.s.Hold
	case "release":
		return w.s.Release
	case "remove":
		return w.s.Remove
	}
	return w.s.Flush
}

// operate carries out an operation and checks what it counts.
func (w *world) operate(name string, c Caller, sel proto.Selection, want Tally) {
	w.t.Helper()
	if got, err := w.operation(name)(c, sel); err != nil || got != want {
		w.t.Errorf("%s: %+v, %v, want %+v", name, got, err, want)
	}
}

func (w *world) listing(c Caller, sel proto.Selection) (list []Listing) {
	w.t.Helper()
	if err := w.s.List(c, sel, func(l Listing) error {
		list = append(list, l)
		return nil
	}); err != nil {
		w.t.Fatal(err)
	}
	return list
}

// deferring lets every delivery wait until there is nothing to wait for any more.
func (w *world) deferring(remote, local *bool) {
	w.send = func(_ *proto.Send, rcpts []string) (list []*proto.Result) {
		w.mu.Lock()
		defer w.mu.Unlock()
		for range rcpts {
			if *remote {
				list = append(list, result(outcome.Defer("4.2.0", "later")))
			} else {
				list = append(list, result(outcome.Success("ok")))
			}
		}
		return list
	}
	w.deliver = func(*proto.Deliver, string) *proto.Result {
		w.mu.Lock()
		defer w.mu.Unlock()
		if *local {
			return result(outcome.Defer("4.2.0", "later"))
		}
		return result(outcome.Success("ok"))
	}
}

// rests waits until n messages are at rest and nothing else is.
func (w *world) rests(n int) {
	w.t.Helper()
	w.inLoop("all at rest", func() bool {
		return len(w.s.refs) == n && len(w.s.active) == 0 && len(w.s.pending)+len(w.s.picking) == 0 && !w.s.look && len(w.dir("incoming")) == 0
	})
}

// A message that is held is not tried, whatever happens, and does not bounce.
func TestHold(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	later := true
	w.deferring(&later, &later)
	id := w.submit("carol@host.example", "x@remote.example", "alice")
	other := w.submit("carol@host.example", "y@remote.example")
	w.start()
	w.rests(2)
	w.operate("release", root, proto.All(), Tally{})
	w.operate("hold", submitter(), byID(id), Tally{Done: 1})
	w.operate("hold", submitter(), byID(id), Tally{Done: 1})
	w.operate("flush", root, byID(id), Tally{})
	for _, l := range w.listing(root, proto.All()) {
		held := l.Item.ID == string(id)
		if l.Item.Held != held || held && l.States[0].Next != 0 {
			t.Errorf("listing %+v", l)
		}
	}
	w.stop()
	w.start()
	w.mu.Lock()
	tried := len(w.sent)
	later = false
	w.mu.Unlock()
	w.operate("flush", root, proto.All(), Tally{Done: 1})
	w.rests(1)
	w.advance(30 * 24 * time.Hour)
	w.rests(1)
	if sent := w.sent[tried:]; !slices.Equal(sent, []string{"y@remote.example"}) || len(w.bounces) > 0 {
		t.Errorf("%s: tried %q, %d bounces", other, sent, len(w.bounces))
	}
	w.operate("release", submitter(), proto.All(), Tally{Done: 1})
	w.finish()
	if got, want := sorted(w.got), []string{"1 alice@host.example", "R x@remote.example", "R y@remote.example"}; !slices.Equal(got, want) {
		t.Errorf("delivered %q", got)
	}
	w.empty()
}

// What is given up is given up when it is not held any more.
func TestHoldBeyondMaxAge(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	later := true
	w.deferring(&later, new(bool))
	w.submit("carol@host.example", "x@remote.example")
	w.start()
	for tries := 1; tries <= minTries; tries++ {
		w.eventually("try", func() bool { return len(w.sent) == tries })
		w.rests(1)
		w.advance(4 * time.Hour)
	}
	w.operate("hold", root, proto.All(), Tally{Done: 1})
	w.advance(30 * 24 * time.Hour)
	w.rests(1)
	w.stop()
	w.start()
	w.rests(1)
	if len(w.bounces) > 0 {
		t.Fatal("bounced while held")
	}
	w.operate("release", root, proto.All(), Tally{Done: 1})
	w.finish()
	if len(w.bounces) != 1 {
		t.Errorf("%d bounces", len(w.bounces))
	}
}

// A try that is under way goes on; what it leaves is held.
func TestHoldInFlight(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	gate := make(chan struct{})
	w.deliver = func(d *proto.Deliver, _ string) *proto.Result {
		<-gate
		if strings.HasPrefix(d.Recipient, "bob") {
			return result(outcome.Defer("4.2.0", "later"))
		}
		return result(outcome.Success("ok"))
	}
	id := w.submit("carol@host.example", "team")
	done := w.submit("carol@host.example", "alice")
	w.start()
	w.inLoop("both are tried", func() bool { return w.flying() == 3 })
	w.inLoop("helpers have them", w.allSent)
	w.operate("hold", root, proto.All(), Tally{Done: 2})
	close(gate)
	w.rests(1)
	if got := sorted(w.got); !slices.Equal(got, []string{"1 alice@host.example", "1 alice@host.example"}) {
		t.Errorf("%s: delivered %q", done, got)
	}
	w.advance(time.Hour)
	w.rests(1)
	w.deliver = func(*proto.Deliver, string) *proto.Result { return result(outcome.Success("ok")) }
	w.operate("release", root, byID(id), Tally{Done: 1})
	w.finish()
	if got := sorted(w.got)[2:]; !slices.Equal(got, []string{"1 bob@host.example"}) {
		t.Errorf("delivered %q", got)
	}
	w.empty()
}

// inLoop waits for a condition of the loop's.
func (w *world) inLoop(what string, ok func() bool) {
	w.t.Helper()
	for end := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		yes := false
		w.s.call(func() { yes = ok() })
		if yes {
			return
		}
		if time.Now().After(end) {
			w.t.Fatalf("not in time: %s", what)
		}
	}
}

// allSent reports whether every job is with its helper. It is called in the loop.
func (w *world) allSent() bool {
	for _, list := range w.s.workers {
		for _, k := range list {
			for _, j := range k.jobs {
				if j.state.Load() == jobWaiting {
					return false
				}
			}
		}
	}
	return true
}

// flying counts the targets that jobs have, but those that ask for a .forward. It
// is called in the loop.
func (w *world) flying() (n int) {
	for r := range w.s.active {
		for i := range r.msg.flying {
			if r.msg.Targets[i].Kind != queue.User {
				n++
			}
		}
	}
	return n
}

// picksWait has submissions wait to be picked up until the channel is closed.
func (w *world) picksWait() chan struct{} {
	gate := make(chan struct{})
	w.mu.Lock()
	defer w.mu.Unlock()
	w.pickErr = func(spool.ID) error { <-gate; return nil }
	return gate
}

// A submission that nobody has picked up is held as soon as it is, and never tried.
func TestHoldSubmission(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	gate := w.picksWait()
	id := w.submit("carol@host.example", "alice")
	w.submit("carol@host.example", "bob")
	w.start()
	over := make(chan struct{})
	go func() {
		defer close(over)
		w.operate("hold", submitter(), byID(id), Tally{Done: 1})
	}()
	w.inLoop("ordered", func() bool { return len(w.s.orders) == 1 })
	close(gate)
	<-over
	w.rests(1)
	if !slices.Equal(w.got, []string{"1 bob@host.example"}) {
		t.Errorf("delivered %q", w.got)
	}
	w.stop()
	w.start()
	w.rests(1)
	w.operate("release", submitter(), byID(id), Tally{Done: 1})
	w.finish()
	w.empty()
}

// What is gone before it is picked up cannot be held.
func TestHoldNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	gate := w.picksWait()
	for range 2 {
		w.submit("carol@host.example", "alice")
	}
	w.start()
	over := make(chan struct{})
	go func() {
		defer close(over)
		w.operate("hold", root, proto.All(), Tally{})
	}()
	w.inLoop("ordered", func() bool { return len(w.s.orders) == 2 })
	for _, name := range w.dir("incoming") {
		if err := os.Remove(w.root + "/incoming/" + name); err != nil {
			t.Fatal(err)
		}
	}
	close(gate)
	<-over
	w.finish()
}

func TestRemove(t *testing.T) {
	t.Parallel()
	for _, restart := range []bool{false, true} {
		w := newWorld(t)
		later := true
		w.deferring(&later, &later)
		id := w.submit("carol@host.example", "x@remote.example", "alice")
		other := w.submit("carol@host.example", "x@remote.example")
		w.start()
		w.rests(2)
		if restart {
			w.operate("hold", root, byID(id), Tally{Done: 1})
			w.stop()
			w.start()
			w.rests(2)
		}
		w.operate("remove", submitter(), byID(id), Tally{Done: 1})
		w.operate("remove", submitter(), byID(id), Tally{})
		if got := w.dir("queue"); !slices.Equal(got, []string{string(other), string(other) + ".log"}) {
			t.Errorf("queue %q", got)
		}
		w.mu.Lock()
		later = false
		w.mu.Unlock()
		w.flush()
		w.finish()
		if !slices.Equal(w.got, []string{"R x@remote.example"}) || len(w.bounces) > 0 {
			t.Errorf("delivered %q, %d bounces", w.got, len(w.bounces))
		}
		w.empty()
	}
}

// Who submitted a message may change it, and nobody else but root.
func TestOthersMessages(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	later := true
	w.deferring(&later, &later)
	id := w.submit("carol@host.example", "x@remote.example")
	w.start()
	w.rests(1)
	gate := w.picksWait()
	fresh := w.submit("carol@host.example", "x@remote.example")
	for name, c := range map[string]Caller{"another": stranger(), "unknown": {}, "a known nobody": {Known: true, UID: noUID}} {
		if list := w.listing(c, proto.All()); len(list) > 0 {
			t.Errorf("%s sees %+v", name, list)
		}
		for _, op := range []string{"hold", "release", "remove", "flush"} {
			for _, k := range []spool.ID{id, fresh} {
				w.operate(op, c, byID(k), Tally{Denied: 1})
			}
			w.operate(op, c, proto.All(), Tally{})
			w.operate(op, c, proto.Selection{By: proto.ByRecipient, Value: "x@remote.example"}, Tally{})
			w.operate(op, c, proto.Selection{By: proto.BySender, Value: "carol"}, Tally{})
		}
		for _, k := range []spool.ID{id, fresh} {
			if _, f, err := w.s.Show(c, k); !errors.Is(err, os.ErrNotExist) || f != nil {
				t.Errorf("%s is shown %s: %v", name, k, err)
			}
		}
		if _, err := w.s.Probe(c, &proto.Probe{}); !errors.Is(err, ErrDenied) {
			t.Errorf("%s probes: %v", name, err)
		}
	}
	if got := len(w.listing(submitter(), proto.All())); got != 2 {
		t.Errorf("the submitter sees %d messages", got)
	}
	close(gate)
	w.rests(2)
	if len(w.dir("queue")) != 4 {
		t.Errorf("queue %v", w.dir("queue"))
	}
	w.operate("remove", submitter(), proto.All(), Tally{Done: 2})
	w.finish()
	w.empty()
}

func TestSelections(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	later := true
	w.deferring(&later, &later)
	w.forwards["bob"] = []proto.Target{{Kind: proto.TargetAddress, Address: "bob@far.example"}}
	ids := []spool.ID{
		w.submit("carol@host.example", "alice", "x@remote.example"),
		w.submit("dave@far.example", "bob"),
		w.submit("", "X@Remote.example"),
	}
	w.start()
	w.rests(3)
	for _, tt := range []struct {
		by    proto.By
		value string
		want  []int
	}{
		{proto.ByAll, "", []int{0, 1, 2}},
		{proto.ByID, string(ids[1]), []int{1}},
		{proto.ByID, "", nil},
		{proto.ByID, "../x", nil},
		{proto.BySender, "carol@HOST.example", []int{0}},
		{proto.BySender, "carol", []int{0}},
		{proto.BySender, "dave", nil},
		{proto.BySender, "", []int{2}},
		{proto.ByRecipient, "alice@host.example", []int{0}},
		{proto.ByRecipient, "Alice", nil},
		{proto.ByRecipient, "x@REMOTE.example", []int{0}},
		{proto.ByRecipient, "X@remote.example", []int{2}},
		{proto.ByRecipient, "bob", []int{1}},
		{proto.ByRecipient, "bob@far.example", []int{1}},
		{proto.ByRecipient, "nobody", nil},
		{proto.ByRecipient, "no address at all", nil},
	} {
		sel := proto.Selection{By: tt.by, Value: tt.value}
		var want, got []string
		for _, i := range tt.want {
			want = append(want, string(ids[i]))
		}
		for _, l := range w.listing(root, sel) {
			got = append(got, l.Item.ID)
		}
		if !slices.Equal(got, want) {
			t.Errorf("%+v lists %q, want %q", sel, got, want)
		}
		w.operate("hold", root, sel, Tally{Done: uint32(len(want))})
		w.operate("release", root, sel, Tally{Done: uint32(len(want))})
		w.rests(3)
	}
	w.stop()
}

// A recipient who has the message already does not select it.
func TestSelectionByOpenRecipients(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	later := true
	w.deferring(&later, new(bool))
	w.submit("carol@host.example", "alice", "x@remote.example")
	w.start()
	w.rests(1)
	w.operate("remove", root, proto.Selection{By: proto.ByRecipient, Value: "alice"}, Tally{})
	w.operate("remove", root, proto.Selection{By: proto.ByRecipient, Value: "x@remote.example"}, Tally{Done: 1})
	w.finish()
}

// Between the look into the journal and the operation a message may have been
// tried, and be another then.
func TestSelectionIsLookedAtAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	remote, local := true, true
	w.deferring(&remote, &local)
	id := w.submit("carol@host.example", "alice", "x@remote.example")
	w.start()
	w.rests(1)
	sel := proto.Selection{By: proto.ByRecipient, Value: "alice"}
	list, f, err := w.s.candidates(root, sel, new(Tally))
	if err != nil || len(list) != 1 {
		t.Fatal(list, err)
	}
	w.s.readAll(list, f)
	w.mu.Lock()
	local = false
	w.mu.Unlock()
	w.flush()
	w.eventually("alice has it", func() bool { return len(w.got) == 1 })
	w.rests(1)
	var got []end
	w.s.call(func() {
		w.s.operateOn(list[0], root, f, action{queued: func(*ref, func(end)) { t.Errorf("%s is removed", id) }}, func(e end) { got = append(got, e) })
	})
	if !slices.Equal(got, []end{skipped}) {
		t.Errorf("ended with %v", got)
	}
	w.stop()
}

// Flush by id tries that message, not another that waits for the same destination.
func TestFlushOne(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.send = func(_ *proto.Send, rcpts []string) []*proto.Result {
		return []*proto.Result{dead("connection refused")}
	}
	w.submitMany(20, "x@remote.example")
	id := w.submit("carol@host.example", "mine@remote.example")
	w.start()
	w.rests(21)
	before := len(w.sent)
	w.operate("flush", submitter(), byID(id), Tally{Done: 1})
	w.eventually("a try", func() bool { return len(w.sent) > before })
	w.rests(21)
	if sent := w.sent[before:]; !slices.Equal(sent, []string{"mine@remote.example"}) {
		t.Errorf("tried %q", sent)
	}
	w.stop()
}

func TestShow(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	later := true
	w.deferring(&later, &later)
	id := w.submit("carol@host.example", "alice")
	gate := w.picksWait()
	w.start()
	go func() {
		w.inLoop("ordered", func() bool { return len(w.s.orders) == 1 })
		close(gate)
	}()
	for range 2 { // first as it is picked up, then at rest
		l, f, err := w.s.Show(submitter(), id)
		if err != nil {
			t.Fatal(err)
		}
		b := make([]byte, 100)
		n, err := f.Read(b)
		f.Close()
		if err != nil || string(b[:n]) != "Subject: x\n\nbody of "+string(id)+"\n" || l.Item.ID != string(id) {
			t.Errorf("%q, %v, %+v", b[:n], err, l)
		}
		w.rests(1)
	}
	w.stop()
}

// Dead letters are removed by id alone, by who submitted them.
func TestRemoveDead(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	put := func(name, text string) {
		if err := os.WriteFile(w.root+"/failed/"+name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	const id, damaged = "0123456789abc.0123456789ab", "0123456789abd.0123456789ab"
	put(id, "x")
	put(damaged, "x")
	put(damaged+".log", "x")
	w.submit("carol@host.example", "alice")
	w.start()
	if list := w.listing(submitter(), proto.All()); len(list) < 1 || !list[0].Item.Dead || list[0].Item.ID != id {
		t.Errorf("listed %+v", list)
	}
	if list := w.listing(stranger(), proto.All()); len(list) > 0 {
		t.Errorf("listed %+v to others", list)
	}
	if l, f, err := w.s.Show(submitter(), id); err != nil || f == nil || !l.Item.Dead {
		t.Errorf("shown %+v, %v", l, err)
	} else {
		f.Close()
	}
	w.operate("remove", root, proto.Selection{By: proto.BySender}, Tally{})
	w.operate("remove", stranger(), byID(id), Tally{Denied: 1})
	w.operate("remove", submitter(), byID(damaged), Tally{Denied: 1})
	w.operate("hold", root, byID(id), Tally{})
	w.operate("flush", root, byID(id), Tally{})
	w.operate("remove", submitter(), byID(id), Tally{Done: 1})
	w.operate("remove", root, byID(damaged), Tally{Done: 1})
	w.finish()
	w.empty()
}

// Every step on the disk is made to fail while a message is removed: either it is
// gone, or it is there and goes on.
func TestRemoveFaults(t *testing.T) {
	t.Parallel()
	for step := durable.Step(1); int(step) <= durable.Steps; step++ {
		if step == durable.StepOpen {
			continue
		}
		for nth := range 3 {
			t.Run(step.String()+" "+string(rune('1'+nth)), func(t *testing.T) {
				t.Parallel()
				w := newWorld(t)
				later := true
				w.deferring(&later, &later)
				id := w.submit("carol@host.example", "x@remote.example", "alice")
				w.start()
				w.rests(1)
				n := 0
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
				tally, err := w.s.Remove(root, byID(id))
				if err != nil {
					t.Fatal(err)
				}
				if there := w.dir("queue"); tally.Done == 1 && len(there) > 0 && !slices.Equal(there, []string{string(id)}) {
					t.Errorf("%+v, but the queue has %v", tally, there)
				}
				w.mu.Lock()
				w.fault, later = nil, false
				w.mu.Unlock()
				w.advance(time.Hour)
				w.flush()
				w.finish()
				if len(w.got) != 0 && tally.Done == 1 {
					t.Errorf("delivered %q after the removal", w.got)
				}
				w.start() // which removes what is left
				w.finish()
				w.empty()
			})
		}
	}
}

// Operations on thousands of messages at rest take a few words of memory for each,
// and leave the loop free for others.
func TestOperateOnThousands(t *testing.T) { // not parallel: it measures
	const n, most = 10000, 10 << 20
	w := newWorld(t)
	w.queued(n, func(i int, m *queue.Message) {
		m.UID = uint32(i % 2)
		m.Targets[0].Kind, m.Targets[0].Address, m.Targets[0].Blocked = queue.Remote, "x@remote.example", i%2 == 0
		m.Targets[0].Tries, m.Targets[0].Next = 1, w.now().Add(time.Hour)
	})
	w.send = func(_ *proto.Send, rcpts []string) []*proto.Result {
		return []*proto.Result{dead("connection refused")}
	}
	w.start()
	w.rests(n)
	one := Caller{Known: true, UID: 1}
	rcpt := proto.Selection{By: proto.ByRecipient, Value: "x@remote.example"}
	all := []spool.ID{}
	for _, step := range []struct {
		name string
		do   func()
	}{
		{"list", func() {
			if err := w.s.List(root, rcpt, func(l Listing) error { all = append(all, spool.ID(l.Item.ID)); return nil }); err != nil || len(all) != n {
				t.Errorf("listed %d: %v", len(all), err)
			}
		}},
		{"hold", func() { w.operate("hold", root, rcpt, Tally{Done: n}) }},
		{"flush held", func() { w.operate("flush", root, proto.All(), Tally{}) }},
		{"release one's own", func() { w.operate("release", one, proto.All(), Tally{Done: n / 2}) }},
		{"remove one's own", func() { w.operate("remove", one, rcpt, Tally{Done: n / 2}) }},
		{"remove the rest", func() {
			w.operate("remove", root, proto.Selection{By: proto.BySender, Value: "carol"}, Tally{Done: n / 2})
		}},
	} {
		begun, worst := time.Now(), w.measure(step.do)
		t.Logf("%s: %v, %d KiB, others waited %v at most", step.name, time.Since(begun).Round(time.Millisecond), worst.memory>>10, worst.wait.Round(time.Millisecond))
		if worst.memory > most {
			t.Errorf("%s: more than %d bytes", step.name, most)
		}
		if worst.wait > 5*time.Second {
			t.Errorf("%s: the loop was busy for %v", step.name, worst.wait)
		}
	}
	w.finish()
	w.empty()
}

type worst struct {
	memory uint64
	wait   time.Duration
}

// measure tells how much memory do takes, and how long others wait for the loop.
func (w *world) measure(do func()) (most worst) {
	heap := func() uint64 {
		var s runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&s)
		return s.HeapAlloc
	}
	before := heap()
	over := make(chan struct{})
	go func() {
		defer close(over)
		do()
	}()
	for ticker := time.NewTicker(100 * time.Millisecond); ; {
		begun := time.Now()
		w.s.call(func() {})
		most.wait = max(most.wait, time.Since(begun))
		if now := heap(); now > before {
			most.memory = max(most.memory, now-before)
		}
		select {
		case <-over:
			ticker.Stop()
			return most
		case <-ticker.C:
		}
	}
}

// With DEFER nothing is tried but what somebody has flushed.
func TestDefer(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	site := *w.site.Load()
	site.Defer = true
	w.site.Store(&site)
	one, two := w.submit("carol@host.example", "alice"), w.submit("carol@host.example", "bob")
	w.start()
	w.s.Wake()
	if list := w.listing(submitter(), proto.All()); len(list) != 2 {
		t.Errorf("listed %+v", list)
	}
	w.finish() // there is nothing to do
	if len(w.got) > 0 || len(w.dir("incoming")) != 2 {
		t.Fatalf("delivered %q", w.got)
	}
	w.start()
	if tally, err := w.s.Flush(submitter(), proto.Selection{By: proto.ByID, Value: string(one)}); err != nil || tally.Done != 1 {
		t.Errorf("%+v, %v", tally, err)
	}
	w.finish()
	if got := w.dir("incoming"); len(w.got) != 1 || len(got) != 1 || got[0] != string(two) {
		t.Fatalf("delivered %q, left %q", w.got, got)
	}
	w.start()
	if tally, err := w.s.Flush(submitter(), proto.All()); err != nil || tally.Done != 1 {
		t.Errorf("%+v, %v", tally, err)
	}
	w.finish()
	w.empty()
}

// Mail into homes and to an MDA is delivered with the user's own group, but root's.
func TestMailboxByUser(t *testing.T) {
	for _, c := range []struct {
		byUser bool
		login  string
		want   proto.Role
	}{{false, "alice", proto.RoleMailbox}, {true, "alice", proto.RoleUser}, {true, "root", proto.RoleMailbox}} {
		site := Site{MailboxByUser: c.byUser}
		key, ok := site.laneOf("", &queue.Target{Kind: queue.Mailbox, Login: c.login})
		if want := (laneKey{c.want, c.login}); !ok || key != want {
			t.Errorf("%+v: %+v", c, key)
		}
	}
}

// An account with uid 0 that is not root gets no process of its own group. Its mail
// waits for somebody to see that, and does not bounce.
func TestForbiddenUserWaits(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	site := *w.site.Load()
	site.MailboxByUser = true
	w.site.Store(&site)
	w.refuse["toor"] = proto.RefusedForbidden
	w.submit("carol@host.example", "toor")
	w.start()
	w.eventually("at rest", func() bool { return len(w.dir("incoming")) == 0 && len(w.dir("queue")) == 2 })
	list := w.listing(submitter(), proto.All())
	if len(list) != 1 || len(list[0].States) != 1 || !strings.Contains(list[0].States[0].Reason, "let an alias send mail for toor") || len(w.news()) > 0 {
		t.Errorf("%+v, told of %q", list, w.news())
	}
	w.stop()
}
