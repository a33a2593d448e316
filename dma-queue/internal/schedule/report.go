package schedule

import (
	"time"

	"dma/common/dsn"
	"dma/dma-queue/internal/queue"
)

// Bounce is a report to be written: of failed targets, and of those that are late
// or done where the submitter asked to hear of it (RFC 3461).
type Bounce struct {
	Message    *queue.Message // the bounce itself: ID, Arrived and recipient are set
	Original   queue.Message  // copy of the envelope
	About      []queue.Target // copies
	Full       bool           // it gives the whole original back
	RetryUntil time.Time      // when late ones are given up
}

// bounce tells the sender the news (RULES F2): the journal names the bounce, the
// bounce is made durable, its targets are closed, also durably, and only then the
// bounce goes on its way. A crash anywhere in between leads to the same bounce, once.
func (s *Scheduler) bounce(r *ref, about []int) {
	m := r.msg
	if m.Bounce == "" {
		id, err := s.conf.NewID()
		if err != nil {
			s.bounceFailed(r, err)
			return
		}
		m.Bounce = id
	}
	if !s.save(m.Message) {
		s.resting.wakeAt(r, s.now().Add(retryDisk))
		return
	}
	b := &Bounce{Message: &queue.Message{ID: m.Bounce, Arrived: s.now()}, RetryUntil: m.Arrived.Add(s.site.MaxAge)}
	b.Message.Targets = []queue.Target{{Kind: queue.Recipient, State: queue.Open, Parent: queue.NoParent, Address: m.Sender, Original: m.Sender}}
	b.Original = queue.Message{ID: m.ID, Arrived: m.Arrived, UID: m.UID, Sender: m.Sender, Size: m.Size, EnvID: m.EnvID}
	for _, i := range about {
		b.About = append(b.About, m.Targets[i])
		if m.Targets[i].State == queue.Failed { // RFC 3461 6.2: other news come with the header at most
			b.Full = m.Ret == dsn.RetFull || m.Ret == dsn.RetDefault && s.site.FullSize
		}
	}
	original := []queue.Unsynced{{ID: m.ID, Message: m.Incoming()}}
	m.bouncing = true
	s.write(work{
		do: func() error {
			if err := s.queue.Commit(original); err != nil {
				return err
			}
			return s.conf.Bounce(b)
		},
		sync: []queue.Unsynced{{ID: b.Message.ID, Message: true}},
		done: func(err error) { s.bounced(r, b, about, err) },
	})
}

// bounced is called when the bounce is durable, or could not be made so.
func (s *Scheduler) bounced(r *ref, b *Bounce, about []int, err error) {
	if err != nil {
		s.bounceFailed(r, err)
		return
	}
	m := r.msg
	for _, t := range b.About {
		if t.State == queue.Failed {
			s.log.Message(string(m.ID)).Bouncing(t.Address, string(b.Message.ID))
		} else {
			s.log.Message(string(m.ID)).Reporting(t.Address, string(b.Message.ID))
		}
	}
	s.told(m.Message, about)
	over := func(err error) {
		if err != nil {
			s.log.Message(string(m.ID)).Problem("sync", err)
			m.distrust()
		}
		m.bouncing = false
		s.adopt(b.Message)
		s.route(r) // lanes may have called meanwhile
	}
	if !s.save(m.Message) {
		over(nil) // the journal still announces the bounce, and it is there: that suffices
		return
	}
	s.write(work{sync: []queue.Unsynced{{ID: m.ID}}, done: over})
}

// bounceFailed keeps the original until the bounce can be written.
func (s *Scheduler) bounceFailed(r *ref, err error) {
	r.msg.bouncing = false
	r.msg.distrust()
	s.log.Message(string(r.id)).Problem("write bounce", err)
	s.resting.wakeAt(r, s.now().Add(retryDisk))
}

// told closes the news that a bounce has.
func (s *Scheduler) told(m *queue.Message, about []int) {
	for _, i := range about {
		t := &m.Targets[i]
		if t.State == queue.Failed {
			t.State = queue.Bounced
		}
		t.Tell = 0
		m.Touch(i)
	}
	m.Bounce = ""
}

// news lists the targets that the sender is still to be told of.
func news(m *queue.Message) (list []int) {
	for i := range m.Targets {
		if m.Targets[i].News() {
			list = append(list, i)
		}
	}
	return list
}

// hushed closes a failed target of which the submitter wants to hear nothing
// (NOTIFY=NEVER); of a message with a null sender nobody ever hears anything but
// by its coming to rest in failed.
func hushed(m *queue.Message, t *queue.Target) {
	if m.Sender != "" && !t.Notify.Wants(dsn.Failure) {
		t.State = queue.Bounced
	}
}

// delivered closes target i. The sender is told if that was asked for and the
// server that took it will not do so itself (RFC 3461 5.2.2, 5.2.3).
func (s *Scheduler) delivered(m *message, i int, reports bool) {
	t := &m.Targets[i]
	t.State = queue.Done
	t.Tell = 0
	if m.Sender != "" && t.Notify&dsn.Success != 0 && !reports {
		t.Tell = dsn.Success
	}
	m.Touch(i)
}

// warn has the sender told that open targets are late (DELAYWARN).
func (s *Scheduler) warn(m *message) {
	if m.Sender == "" || s.site.DelayWarn == 0 || s.now().Before(m.Arrived.Add(s.site.DelayWarn)) {
		return
	}
	for i := range m.Targets {
		if t := &m.Targets[i]; late(t) {
			t.Tell, t.Warned = dsn.Delay, true
			m.Touch(i)
		}
	}
}

// late reports whether a target is one to warn of, once it is time.
func late(t *queue.Target) bool {
	return t.State == queue.Open && t.Tries > 0 && !t.Warned && t.Notify.Wants(dsn.Delay)
}
