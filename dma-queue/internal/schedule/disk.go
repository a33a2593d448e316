package schedule

import "dma/dma-queue/internal/queue"

// work is for the disk worker: something to do, what to sync after it, and what
// to call in the loop then. The error of one is not that of another.
type work struct {
	do   func() error // may be nil
	sync []queue.Unsynced
	done func(error)
	err  error
}

// maxBatch bounds how many works share a sync of the directory.
const maxBatch = 64

// write hands w to the disk worker as soon as that is free.
func (s *Scheduler) write(w work) { s.works = append(s.works, w) }

// flushWorks gives the disk worker what there is. It has one batch at a time, so
// that nobody ever waits for it, and what comes meanwhile makes the next.
func (s *Scheduler) flushWorks() {
	if s.writing {
		return
	}
	now := s.now()
	if len(s.unsynced) > 0 || s.queue.Changed() && now.Sub(s.synced) >= removal {
		list := s.lazy()
		s.write(work{sync: list, done: func(err error) { s.lazilySynced(list, err) }})
	}
	if len(s.works) == 0 {
		return
	}
	n := min(len(s.works), maxBatch)
	s.disk <- s.works[:n:n]
	s.works, s.writing, s.synced = s.works[n:], true, now
}

// diskLoop does works in batches that share the sync of the directory (DESIGN 4,
// group commit). Nobody hears of a work before the sync it needs.
func (s *Scheduler) diskLoop() {
	for batch := range s.disk {
		for i := range batch {
			w := &batch[i]
			if w.do != nil {
				w.err = w.do()
			}
			if w.err == nil {
				w.err = s.queue.Sync(w.sync)
			}
		}
		err := s.queue.SyncNames()
		s.post(func() {
			s.writing = false
			for _, w := range batch {
				if w.err == nil {
					w.err = err
				}
				w.done(w.err)
			}
		})
	}
}

// lazy takes the journals that were written and not synced. Where the submission
// still stands for the message, the journal will count only with the message.
func (s *Scheduler) lazy() []queue.Unsynced {
	list := make([]queue.Unsynced, 0, len(s.unsynced))
	for id, message := range s.unsynced {
		list = append(list, queue.Unsynced{ID: id, Message: message})
	}
	clear(s.unsynced)
	return list
}

// lazilySynced is called after a sync that nothing waits for. What was to be
// synced may be lost in a power cut, and is then done again, or not lost.
func (s *Scheduler) lazilySynced(list []queue.Unsynced, err error) {
	if err == nil {
		return
	}
	s.log.Problem("sync the queue", err)
	s.synced = s.now().Add(retryDisk)
	for _, u := range list {
		if r := s.refs[u.ID]; r != nil && r.msg != nil {
			r.msg.distrust()
		}
	}
}

// Bounce is a bounce to be written: for the failed targets of an original.
type Bounce struct {
	Message  *queue.Message // the bounce itself: ID, Arrived and recipient are set
	Original queue.Message  // copy of the envelope
	Failed   []queue.Target // copies
	Full     bool
}

// bounce tells the sender what failed (RULES F2): the journal names the bounce,
// the bounce is made durable, the failed targets are closed, also durably, and
// only then the bounce goes on its way. A crash anywhere in between leads to the
// same bounce, once.
func (s *Scheduler) bounce(r *ref, failed []int) {
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
	b := &Bounce{Full: s.site.FullSize, Message: &queue.Message{ID: m.Bounce, Arrived: s.now()}}
	b.Message.Targets = []queue.Target{{Kind: queue.Recipient, State: queue.Open, Parent: queue.NoParent, Address: m.Sender, Original: m.Sender}}
	b.Original = queue.Message{ID: m.ID, Arrived: m.Arrived, UID: m.UID, Sender: m.Sender, Size: m.Size}
	for _, i := range failed {
		b.Failed = append(b.Failed, m.Targets[i])
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
		done: func(err error) { s.bounced(r, b, failed, err) },
	})
}

// bounced is called when the bounce is durable, or could not be made so.
func (s *Scheduler) bounced(r *ref, b *Bounce, failed []int, err error) {
	if err != nil {
		s.bounceFailed(r, err)
		return
	}
	m := r.msg
	for _, t := range b.Failed {
		s.log.Message(string(m.ID)).Bouncing(t.Address, string(b.Message.ID))
	}
	s.closeFailed(m.Message, failed)
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

// closeFailed marks the failed targets of m that a bounce tells of as bounced.
func (s *Scheduler) closeFailed(m *queue.Message, failed []int) {
	for _, i := range failed {
		m.Targets[i].State = queue.Bounced
		m.Touch(i)
	}
	m.Bounce = ""
}
