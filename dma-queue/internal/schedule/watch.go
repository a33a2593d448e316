package schedule

import (
	"errors"
	"io"
	"time"

	"dma/common/outcome"
	"dma/dma-queue/internal/queue"
	"dma/dma-queue/internal/spool"
	"dma/proto"
)

// Limits of watching.
const (
	maxWatches = 32               // at a time
	watchLimit = 10 * time.Minute // for a message to appear: the run does not end meanwhile
)

// errWatches is the error of one watch too many.
var errWatches = errors.New("too many messages are being watched")

// watch is somebody who wants to see the first try of a message.
type watch struct {
	caller Caller
	stream *Stream
	until  time.Time    // for its message to come; zero when it is there
	told   map[int]bool // targets of which it has heard what became of them
}

// Watch tells of the first try of message id, that is about to be submitted. The
// stream ends with io.EOF when that is over. The caller closes it.
func (s *Scheduler) Watch(c Caller, id spool.ID) (*Stream, error) {
	w := &watch{caller: c, stream: NewStream(s.done), told: make(map[int]bool)}
	var err error
	if !s.call(func() { err = s.watch(id, w) }) {
		return nil, ErrEnding
	}
	if err != nil {
		return nil, err
	}
	w.stream.stop = func() { s.post(func() { s.unwatch(id, w) }) }
	return w.stream, nil
}

func (s *Scheduler) watch(id spool.ID, w *watch) error {
	n := 0
	for _, list := range s.watches {
		n += len(list)
	}
	r := s.refs[id]
	switch {
	case n >= maxWatches:
		return errWatches
	case r != nil && (!w.caller.may(r.uid) || r.msg == nil):
		w.stream.End(io.EOF) // not theirs, or tried already: nothing to tell
		return nil
	case r == nil:
		w.until = s.now().Add(watchLimit)
	}
	s.watches[id] = append(s.watches[id], w)
	return nil
}

func (s *Scheduler) unwatch(id spool.ID, w *watch) {
	for i, o := range s.watches[id] {
		if o == w {
			s.setWatches(id, append(s.watches[id][:i:i], s.watches[id][i+1:]...))
			return
		}
	}
}

func (s *Scheduler) setWatches(id spool.ID, list []*watch) {
	if len(list) == 0 {
		delete(s.watches, id)
	} else {
		s.watches[id] = list
	}
}

// watched is called when a message comes into the queue. Who watches what is not
// theirs sees nothing of it.
func (s *Scheduler) watched(r *ref) {
	for _, w := range s.watches[r.id] {
		if w.until = (time.Time{}); !w.caller.may(r.uid) {
			w.stream.End(io.EOF)
			s.unwatch(r.id, w)
		}
	}
}

// checkWatches ends watches for messages that do not come.
func (s *Scheduler) checkWatches() {
	for id, list := range s.watches {
		for _, w := range list {
			if !w.until.IsZero() && s.now().After(w.until) {
				w.stream.End(io.EOF)
				s.unwatch(id, w)
			}
		}
	}
}

// tell tells who watches message id what has happened to its target i.
func (s *Scheduler) tell(id spool.ID, i int, event proto.Event) {
	for _, w := range s.watches[id] {
		w.told[i] = event.Step == proto.StepDone || event.Step == proto.StepLater || event.Step == proto.StepFailed
		w.stream.Put(&event)
	}
}

// step is what an outcome is in an Event.
func step(c outcome.Class) proto.Step {
	switch c {
	case outcome.Done:
		return proto.StepDone
	case outcome.Failed:
		return proto.StepFailed
	}
	return proto.StepLater
}

// tellForwarded tells what target i, that was this, has become. Targets from
// before on are new.
func (s *Scheduler) tellForwarded(m *message, i int, was queue.Target, before int) {
	if len(s.watches[m.ID]) == 0 {
		return
	}
	forwarded := func(t *queue.Target) {
		s.tell(m.ID, i, proto.Event{Step: proto.StepForwarded, Recipient: was.Address, Text: outcome.Clean(destination(t))})
	}
	switch t := &m.Targets[i]; t.State {
	case queue.Done:
		s.tell(m.ID, i, proto.Event{Step: proto.StepDone, Recipient: was.Address, Text: t.Outcome.Text})
	case queue.Open:
		fold := s.site.Expand.Fold
		if fold(t.Address) != fold(was.Address) {
			forwarded(t)
		}
	case queue.Expanded:
		for k := before; k < len(m.Targets); k++ {
			forwarded(&m.Targets[k])
		}
	}
}

// destination names a target for people.
func destination(t *queue.Target) string {
	of := t.Login
	if t.OfAlias() {
		of = "the alias file"
	}
	switch t.Kind {
	case queue.Mailbox:
		return "the mailbox of " + of
	case queue.Command:
		return "a command of " + of
	case queue.File:
		return "a file of " + of
	}
	return t.Address
}

// triedOnce ends the watches of r: nothing of it is under way. What waits without
// having been tried waits for something that is known to be down.
func (s *Scheduler) triedOnce(r *ref) {
	if len(s.watches[r.id]) == 0 || r.msg == nil {
		return
	}
	m := r.msg
	for i := range m.Targets {
		t := &m.Targets[i]
		if t.State != queue.Open {
			continue
		}
		text := s.whyWaiting(m, t)
		for _, w := range s.watches[r.id] {
			if !w.told[i] {
				w.stream.Put(&proto.Event{Step: proto.StepLater, Recipient: t.Address, Text: text})
			}
		}
	}
	s.endWatches(r.id)
}

// whyWaiting is why an open target is not under way.
func (s *Scheduler) whyWaiting(m *message, t *queue.Target) string {
	if m.Held {
		return "the message is held"
	}
	if key, ok := s.site.laneOf(m.Sender, t); ok {
		if l := s.lanes[key]; l != nil && l.down(s.now()) {
			return l.reason.Text
		}
	}
	return t.Outcome.Text
}

// endWatches tells who watches message id that there is nothing more to see.
func (s *Scheduler) endWatches(id spool.ID) {
	for _, w := range s.watches[id] {
		w.stream.End(io.EOF)
	}
	delete(s.watches, id)
}
