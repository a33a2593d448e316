package schedule

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"dma/common/outcome"
	"dma/dma-queue/internal/expand"
	"dma/dma-queue/internal/queue"
	"dma/dma-queue/internal/spool"
	"dma/proto"
)

// nextLook is when a resting message is to be looked at although no lane calls
// it; own reports that one of its targets wants that, not its age.
func (s *Scheduler) nextLook(r *ref, m *queue.Message) (next time.Time, own bool) {
	now := s.now()
	latest := now.Add(s.site.Backoff.Max)
	if next = m.Arrived.Add(s.site.MaxAge); next.Before(now) || m.Arrived.After(now) {
		next = latest // too few tries yet to be given up, or the clock was set back
	}
	warn := m.Arrived.Add(s.site.DelayWarn)
	for i := range m.Targets {
		t := &m.Targets[i]
		if t.State != queue.Open {
			continue
		}
		if s.site.DelayWarn > 0 && m.Sender != "" && late(t) && warn.Before(next) && warn.After(now) {
			next = warn
		}
		if key, ok := s.site.laneOf(m.Sender, t); ok && s.due(t) && s.lanes[key] != nil && s.lanes[key].waits[r] {
			continue // the lane calls
		}
		own = true
		if s.due(t) {
			next = now
		} else if t.Next.Before(next) {
			next = t.Next
		}
	}
	if s.hopeless(m) {
		next, own = now, true
	}
	return next, own
}

// hopeless reports whether m has news that something can be done about now: the
// sender told, or the whole message set aside.
func (s *Scheduler) hopeless(m *queue.Message) bool {
	return len(news(m)) > 0 && (m.Sender != "" || !slices.ContainsFunc(m.Targets, isOpen))
}

func isOpen(t queue.Target) bool { return t.State == queue.Open }

// load has the message of r in memory; nil if it cannot be had, which is then
// taken care of.
func (s *Scheduler) load(r *ref) *message {
	if r.msg == nil {
		m, err := s.queue.Load(r.id)
		if err == nil {
			err = s.queue.Verify(m)
		}
		switch {
		case errors.Is(err, queue.ErrJournal), errors.Is(err, queue.ErrMessage):
			s.forget(r)
			s.setAside(r.id, err)
			return nil
		case err != nil:
			s.notLoaded(r, err)
			return nil
		}
		s.hold(r, m)
	}
	s.resting.remove(r)
	if r.flush {
		r.flush, r.msg.called = false, s.now()
		for i := range r.msg.Targets {
			if t := &r.msg.Targets[i]; t.State == queue.Open && !t.Next.IsZero() {
				t.Next = time.Time{}
				r.msg.Touch(i) // it may have to rest once more before its turn comes
			}
		}
	}
	return r.msg
}

// notLoaded has r, of which nothing is known now, tried again.
func (s *Scheduler) notLoaded(r *ref, err error) {
	s.log.Message(string(r.id)).Problem("load", err)
	r.own = true
	s.resting.wakeAt(r, s.now().Add(retryDisk))
}

// route sends every target that is due on its way.
func (s *Scheduler) route(r *ref) {
	m := s.load(r)
	if m == nil {
		return
	}
	m.since = s.now()
	if m.stopped() {
		s.settle(r)
		return
	}
	var run *expand.Run
	for i := 0; i < len(m.Targets); i++ { // Resolve adds targets at the end
		t := &m.Targets[i]
		if t.State != queue.Open || m.flying[i] {
			continue
		}
		if m.Hops > expand.MaxHops {
			s.refuse(m, i, outcome.Fail("5.4.6", "the message has gone through more than %d hosts: it runs in a circle", expand.MaxHops))
			continue
		}
		if t.Kind == queue.Recipient && s.due(t) {
			if run == nil {
				run = s.site.Expand.Begin(m.Message)
			}
			was, before := *t, len(m.Targets)
			if o := run.Resolve(i); o.Class != 0 {
				s.refuse(m, i, o)
				continue
			}
			s.tellForwarded(m, i, was, before)
			t = &m.Targets[i]
		}
		if key, ok := s.site.laneOf(m.Sender, t); ok && t.State == queue.Open && s.due(t) {
			s.enqueue(s.lane(key), r)
		}
	}
	s.settle(r)
}

// refuse ends a try that needed no helper.
func (s *Scheduler) refuse(m *message, i int, o outcome.Outcome) {
	t := &m.Targets[i]
	t.Outcome = o
	m.Touch(i)
	s.tell(m.ID, i, proto.Event{Step: step(o.Class), Recipient: t.Address, Text: o.Text})
	if o.Class == outcome.Failed {
		t.State = queue.Failed
		hushed(m.Message, t)
		s.log.Message(string(m.ID)).Failed(t.Address, o.Text)
		return
	}
	t.Tries++
	t.Next = s.now().Add(s.site.Backoff.wait(t.Tries, s.rand))
	s.deferred(m, t)
}

// settle looks whether the run of r's message is over: nothing under way, and
// nothing waiting but for destinations that are down. Then it is finished,
// bounced or put to rest.
func (s *Scheduler) settle(r *ref) {
	m := r.msg
	switch {
	case m == nil || m.bouncing:
		return
	case m.removal != nil:
		s.removeStopped(r)
		return
	}
	if m.jobs > 0 || m.committing || slices.ContainsFunc(r.in, func(l *lane) bool { return !l.down(s.now()) }) {
		s.checkpoint(m)
		return
	}
	s.triedOnce(r)
	if !m.Held {
		s.expire(m)
		s.warn(m)
	}
	switch {
	case m.Held && !m.Finished():
		s.rest(r)
	case s.hopeless(m.Message) && m.Sender != "":
		s.bounce(r, news(m.Message))
	case s.hopeless(m.Message):
		s.bury(r)
	case m.Finished():
		s.finish(r)
	default:
		s.rest(r)
	}
}

// checkpoint writes down what was done of a message that goes on (RULES D9).
func (s *Scheduler) checkpoint(m *message) {
	if m.Journaled() || slices.ContainsFunc(m.Targets, func(t queue.Target) bool { return t.State == queue.Done }) {
		s.save(m.Message)
	}
}

// save journals m. The sync follows within a tick; see lazy. On trouble the old
// journal, or the submission, still stands for the message.
func (s *Scheduler) save(m *queue.Message) bool {
	if err := s.queue.Save(m); err != nil {
		s.log.Message(string(m.ID)).Problem("write down progress", err)
		return false
	}
	s.unsynced[m.ID] = m.Incoming()
	return true
}

// expire gives up what has been tried for long enough (RULES F3, F4).
func (s *Scheduler) expire(m *message) {
	age := s.now().Sub(m.Arrived)
	if age < s.site.MaxAge {
		return
	}
	for i := range m.Targets {
		t := &m.Targets[i]
		if t.State != queue.Open {
			continue
		}
		tries, last := t.Tries, t.Outcome.Text
		if key, ok := s.site.laneOf(m.Sender, t); ok && t.Blocked {
			if l := s.lanes[key]; l != nil && l.fails > tries {
				tries, last = l.fails, l.reason.Text
			}
		}
		if tries < minTries {
			continue
		}
		t.State = queue.Failed
		hushed(m.Message, t)
		t.Outcome = outcome.Fail(GaveUp, "%s", last)
		m.Touch(i)
		s.log.Message(string(m.ID)).Failed(t.Address, t.Outcome.Text)
	}
}

// rest writes the message down, for good if it is new, and lets go of it.
func (s *Scheduler) rest(r *ref) {
	m := r.msg
	if !s.save(m.Message) {
		s.resting.wakeAt(r, s.now().Add(retryDisk))
		return
	}
	if m.Incoming() {
		s.commit(r, func() { s.settle(r) })
		return
	}
	s.release(r)
}

// commit makes a message and its journal durable, removes the submission and
// calls done.
func (s *Scheduler) commit(r *ref, done func()) {
	m := r.msg
	m.committing = true
	delete(s.unsynced, m.ID)
	w := work{sync: []queue.Unsynced{{ID: m.ID, Message: m.Incoming()}}}
	if m.doubtful {
		w.do = func() error { return s.queue.Renew(m.Message) }
	}
	w.done = func(err error) {
		m.committing = false
		if m.removal != nil {
			s.settle(r)
			return
		}
		if err == nil {
			m.doubtful = false
			err = s.queue.Release(m.Message)
		} else {
			m.distrust()
		}
		switch {
		case err == nil:
			done()
		case errors.Is(err, queue.ErrMessage) && m.Incoming() && m.jobs == 0:
			s.anew(r, err)
		default:
			s.log.Message(string(r.id)).Problem("commit", err)
			s.resting.wakeAt(r, s.now().Add(retryDisk))
		}
	}
	s.write(w)
}

// anew drops what was made of a submission, because it is damaged.
func (s *Scheduler) anew(r *ref, why error) {
	s.log.Message(string(r.id)).Problem("begin anew", why)
	if err := s.queue.Discard(r.id); err != nil {
		s.log.Message(string(r.id)).Problem("begin anew", err)
	}
	s.forget(r)
	s.lookLater()
}

// release lets the memory of a message go that is written down.
func (s *Scheduler) release(r *ref) {
	s.triedOnce(r)
	m := r.msg.Message
	r.msg = nil
	delete(s.active, r)
	s.restUntil(r, m)
}

func (s *Scheduler) restUntil(r *ref, m *queue.Message) {
	if m.Held {
		r.own = false // until somebody releases it
		return
	}
	var next time.Time
	next, r.own = s.nextLook(r, m)
	s.resting.wakeAt(r, next)
}

// finish removes a message of which everything is done.
func (s *Scheduler) finish(r *ref) {
	if err := s.queue.Finish(r.msg.Message); err != nil {
		s.log.Message(string(r.id)).Problem("remove", err)
		s.resting.wakeAt(r, s.now().Add(retryDisk))
		return
	}
	s.forget(r)
}

// forget drops r from all tables.
func (s *Scheduler) forget(r *ref) {
	s.leaveLanes(r)
	r.msg = nil
	s.resting.remove(r)
	delete(s.active, r)
	delete(s.refs, r.id)
	delete(s.unsynced, r.id)
	delete(s.removals, r)
	s.endWatches(r.id)
}

// bury sets a message aside that nobody can be told about (RULES F2).
func (s *Scheduler) bury(r *ref) {
	m := r.msg
	text := m.Targets[news(m.Message)[0]].Outcome.Text
	if !s.save(m.Message) {
		s.resting.wakeAt(r, s.now().Add(retryDisk))
		return
	}
	s.commit(r, func() {
		if err := s.queue.SetAside(m.ID); err != nil {
			s.log.Message(string(m.ID)).Problem("set aside", err)
			s.resting.wakeAt(r, s.now().Add(s.site.Backoff.Max))
			return
		}
		s.forget(r)
		s.log.SetAside(string(m.ID), fmt.Sprintf("a bounce that bounced: %s", text))
	})
}

// setAside moves a damaged message out of the way (RULES F4).
func (s *Scheduler) setAside(id spool.ID, why error) {
	if err := s.queue.SetAside(id); err != nil {
		s.log.Message(string(id)).Problem("set aside", err)
		return
	}
	s.log.SetAside(string(id), why.Error())
}

// makeRoom puts messages to rest that wait in lanes without getting anywhere,
// when so many are in memory that others could not come in.
func (s *Scheduler) makeRoom() {
	if len(s.active) < maxActive {
		return
	}
	for r := range s.active {
		m := r.msg
		if m.jobs == 0 && !m.committing && !m.bouncing && s.now().Sub(m.since) > hurry && len(r.in) > 0 && r.index < 0 {
			s.rest(r)
		}
	}
}
