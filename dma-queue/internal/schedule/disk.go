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
