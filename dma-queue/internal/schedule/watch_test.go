package schedule

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"dma/common/outcome"
	"dma/dma-queue/internal/spool"
	"dma/proto"
)

// seen reads a stream to its end.
func seen(t *testing.T, s *Stream) (list []string) {
	t.Helper()
	defer s.Close()
	for {
		m, err := s.Next()
		if errors.Is(err, io.EOF) {
			return list
		}
		if err != nil {
			t.Fatal(err)
		}
		e := m.(*proto.Event)
		list = append(list, strings.TrimSpace(fmt.Sprintf("%d %s %s %s", e.Step, e.Recipient, e.Remote, e.Text)))
	}
}

func (w *world) watchIt(c Caller, id spool.ID) *Stream {
	w.t.Helper()
	s, err := w.s.Watch(c, id)
	if err != nil {
		w.t.Fatal(err)
	}
	return s
}

// The whole first try of a message, with all that can become of a recipient.
func TestWatch(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.forwards["bob"] = []proto.Target{
		{Kind: proto.TargetMailbox, Address: "bob"},
		{Kind: proto.TargetCommand},
		{Kind: proto.TargetAddress, Address: "bob@remote.example"},
	}
	w.refuse["gone"] = proto.RefusedUnknown
	w.deliver = func(d *proto.Deliver, _ string) *proto.Result {
		if d.Kind == proto.TargetCommand {
			return result(outcome.Defer("4.2.0", "later"))
		}
		return result(outcome.Success("ok"))
	}
	w.send = func(*proto.Send, []string) []*proto.Result {
		r := result(outcome.Success("250 kept"))
		r.Remote = "mx [192.0.2.1]"
		return []*proto.Result{r}
	}
	w.submit("carol@host.example", "dave") // somebody else's is not told
	gate := w.picksWait()
	id := w.submit("carol@host.example", "team", "gone")
	w.start()
	s := w.watchIt(submitter(), id)
	close(gate)
	got := seen(t, s)
	for _, want := range []string{
		"1 team  alice@host.example", "1 team  bob@host.example",
		"2 alice@host.example", "3 alice@host.example  ok",
		"1 bob@host.example  the mailbox of bob", "1 bob@host.example  a command of bob", "1 bob@host.example  bob@remote.example",
		"2 bob@host.example", "3 bob@host.example  ok", "4 bob@host.example  later",
		"2 bob@remote.example", "3 bob@remote.example mx [192.0.2.1] 250 kept",
		`5 gone@host.example  no user "gone" here`,
	} {
		i := slices.Index(got, want)
		if i < 0 {
			t.Errorf("%q is missing", want)
			continue
		}
		got = slices.Delete(got, i, i+1)
	}
	if !slices.Equal(got, []string{"2 bob@host.example"}) { // the command's
		t.Errorf("and there is %q", got)
	}
	w.stop()
}

// What waits for a destination that is known to be down is not tried, which is
// told with the reason.
func TestWatchWhatIsNotTried(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.send = func(_ *proto.Send, rcpts []string) []*proto.Result {
		return []*proto.Result{dead("connection refused")}
	}
	w.submit("carol@host.example", "x@remote.example")
	w.start()
	w.rests(1)
	id := w.submit("carol@host.example", "y@remote.example")
	s := w.watchIt(root, id)
	w.s.Wake()
	if got, want := seen(t, s), []string{"4 y@remote.example  connection refused"}; !slices.Equal(got, want) {
		t.Errorf("saw %q", got)
	}
	gate := w.picksWait()
	id = w.submit("carol@host.example", "y@other.example")
	s = w.watchIt(root, id)
	over := make(chan struct{})
	go func() {
		defer close(over)
		w.operate("hold", root, byID(id), Tally{Done: 1})
	}()
	w.inLoop("ordered", func() bool { return len(w.s.orders) == 1 })
	close(gate)
	<-over
	if got, want := seen(t, s), []string{"4 y@other.example  the message is held"}; !slices.Equal(got, want) {
		t.Errorf("saw %q", got)
	}
	w.stop()
}

// A watch ends when its message is removed, is not the watcher's, was tried before,
// or does not come.
func TestWatchEnds(t *testing.T) {
	t.Parallel()
	for name, act := range map[string]func(w *world) *Stream{
		"removed": func(w *world) *Stream {
			gate := w.picksWait()
			defer close(gate)
			id := w.submit("carol@host.example", "alice")
			s := w.watchIt(root, id)
			w.s.Wake()
			w.inLoop("being picked up", func() bool { return len(w.s.picking) == 1 })
			go w.operate("remove", root, byID(id), Tally{Done: 1})
			w.inLoop("ordered", func() bool { return len(w.s.orders) == 1 })
			return s
		},
		"another's": func(w *world) *Stream {
			id := w.submit("carol@host.example", "alice")
			s := w.watchIt(stranger(), id)
			w.s.Wake()
			return s
		},
		"another's, there already": func(w *world) *Stream {
			gate := make(chan struct{})
			w.mu.Lock()
			w.spawning = func(proto.Role) { <-gate }
			w.mu.Unlock()
			defer close(gate)
			id := w.submit("carol@host.example", "alice")
			w.s.Wake()
			w.inLoop("there", func() bool { return len(w.s.active) == 1 })
			return w.watchIt(stranger(), id)
		},
		"does not come": func(w *world) *Stream {
			s := w.watchIt(submitter(), "0123456789abc.0123456789ab")
			w.advance(watchLimit - time.Minute)
			w.s.call(func() {})
			w.advance(2 * time.Minute)
			return s
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.start()
			w.rests(0) // what is being submitted is not looked at before it is complete
			if got := seen(t, act(w)); len(got) > 0 {
				t.Errorf("saw %q", got)
			}
			w.finish()
		})
	}
	t.Run("tried before", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		later := true
		w.deferring(&later, &later)
		id := w.submit("carol@host.example", "alice")
		w.start()
		w.rests(1)
		if got := seen(t, w.watchIt(root, id)); len(got) > 0 {
			t.Errorf("saw %q", got)
		}
		w.stop()
	})
	t.Run("the run ends", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		w.start()
		s := w.watchIt(root, "0123456789abc.0123456789ab")
		w.stop()
		if _, err := s.Next(); !errors.Is(err, ErrEnding) {
			t.Errorf("ended with %v", err)
		}
		s.Close()
		if _, err := w.s.Watch(root, "0123456789abc.0123456789ab"); !errors.Is(err, ErrEnding) {
			t.Errorf("watched afterwards: %v", err)
		}
	})
}

// While somebody watches, the run does not end; nobody may keep it for ever, or
// have it remember more and more.
func TestWatchesAreBounded(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.start()
	var all []*Stream
	for i := range maxWatches {
		all = append(all, w.watchIt(root, spool.ID(fmt.Sprintf("%013x.0123456789ab", i/2))))
	}
	if _, err := w.s.Watch(root, "0123456789abc.0123456789ab"); !errors.Is(err, errWatches) {
		t.Errorf("one too many: %v", err)
	}
	w.advance(2 * linger)
	w.s.call(func() {
		if w.s.over() {
			t.Error("the run ends while somebody watches")
		}
	})
	for _, s := range all {
		s.Close()
		s.Close()
	}
	w.finish()
}

// Who does not read loses the stream, and nothing is kept.
func TestSlowReader(t *testing.T) {
	s := NewStream(nil)
	for range maxStream + 1 {
		s.Put(&proto.Event{})
	}
	s.End(io.EOF)
	if _, err := s.Next(); !errors.Is(err, errSlow) {
		t.Errorf("ended with %v", err)
	}
	if len(s.list) > 0 {
		t.Errorf("%d events are kept", len(s.list))
	}
}
