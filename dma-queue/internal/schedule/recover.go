package schedule

import (
	"errors"
	"os"
	"slices"

	"dma/dma-queue/internal/queue"
	"dma/dma-queue/internal/spool"
)

// recover takes over what an earlier run left in the queue.
func (s *Scheduler) recover() error {
	journaled, err := s.queue.Recover()
	if err != nil {
		return err
	}
	submitted, err := s.queue.Submitted()
	if err != nil {
		return err
	}
	for _, id := range journaled {
		m, err := s.queue.Load(id)
		_, again := slices.BinarySearch(submitted, id)
		if err == nil && again {
			// The journal may not have been synced when the power went: it counts
			// only if its message is whole, and else all is done anew.
			if err = s.queue.Verify(m); err == nil {
				m.Adopt()
			}
		}
		damaged := errors.Is(err, queue.ErrJournal) || errors.Is(err, queue.ErrMessage)
		switch {
		case err == nil:
			var bounced bool
			if bounced, err = s.bounceExists(m.Bounce, journaled); err == nil {
				s.register(m, bounced)
			}
		case damaged && again:
			err = s.queue.Discard(id)
		case damaged:
			s.setAside(id, err)
			err = nil
		case errors.Is(err, os.ErrNotExist) && !again: // a bounce that bounceExists removed
			err = nil
		case !again: // the others go on
			r := &ref{id: id, index: -1, uid: noUID}
			s.refs[id] = r
			s.notLoaded(r, err)
			err = nil
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// bounceExists reports whether the bounce that a journal announces is there and
// whole. What a crash left of one is removed: it is made again.
func (s *Scheduler) bounceExists(id spool.ID, journaled []spool.ID) (bool, error) {
	if _, found := slices.BinarySearch(journaled, id); !found {
		return false, nil
	}
	m, err := s.queue.Load(id)
	if err == nil {
		err = s.queue.Verify(m)
	}
	switch {
	case errors.Is(err, queue.ErrJournal), errors.Is(err, queue.ErrMessage):
		return false, s.queue.Discard(id)
	case errors.Is(err, os.ErrNotExist):
		return false, nil
	}
	return true, nil // if it cannot be read just now, it is tried again like any other
}

// register puts a message that was loaded to rest. bounced says that the bounce
// which its journal announces exists.
func (s *Scheduler) register(m *queue.Message, bounced bool) {
	r := &ref{id: m.ID, index: -1, uid: m.UID, held: m.Held}
	s.refs[m.ID] = r
	if m.Bounce != "" && bounced {
		s.told(m, news(m))
		s.save(m)
	}
	if m.Incoming() {
		s.hold(r, m)
		s.resting.wakeAt(r, s.now())
		return
	}
	latest := s.now().Add(s.site.Backoff.Max) // later only if the clock was set back since
	for i := range m.Targets {
		t := &m.Targets[i]
		if key, ok := s.site.laneOf(m.Sender, t); ok && t.State == queue.Open && t.Blocked && !m.Held {
			l := s.lane(key)
			if t.Next.After(l.until) && !t.Next.After(latest) {
				l.until = t.Next
			}
			if t.Tries > l.fails {
				l.fails, l.reason, l.window = t.Tries, t.Outcome, 1
			}
			s.enqueue(l, r)
		}
	}
	s.restUntil(r, m)
}
