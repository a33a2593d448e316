package schedule

import (
	"errors"
	"fmt"
	"time"

	"dma/dma-queue/internal/queue"
	"dma/dma-queue/internal/spool"
	"dma/proto"
)

// removalLimit is how long whoever removes a message waits for what is under way
// to stop. Front ends wait longer.
const removalLimit = 20 * time.Second

// dismissal is somebody's wish that a message goes.
type dismissal struct {
	caller Caller
	until  time.Time   // who waits is told then that it takes longer
	over   []func(end) // those who wait
}

// Remove drops messages without telling their senders. What is under way is
// stopped first: what Remove counts as done is gone from the disk, also after a
// power cut, and no helper delivers it any more.
func (s *Scheduler) Remove(c Caller, sel proto.Selection) (Tally, error) {
	remove := func(r *ref, over func(end)) { s.remove(r, c, over) }
	tally, err := s.operate(c, sel, action{
		queued: remove,
		submitted: func(id spool.ID, over func(end)) {
			if s.picking[id] {
				s.order(id, remove, over)
				return
			}
			s.dropped(id, c, s.queue.RemoveSubmitted(id), over)
		},
	})
	if err == nil && sel.By == proto.ByID && tally == (Tally{}) {
		return s.removeDead(c, sel.Value)
	}
	return tally, err
}

// removeDead removes a dead letter. They are of no concern to the loop.
func (s *Scheduler) removeDead(c Caller, value string) (Tally, error) {
	id, err := spool.ParseID(value)
	if err != nil {
		return Tally{}, nil
	}
	m, there := s.deadLetter(id)
	switch {
	case !there:
		return Tally{}, nil
	case !c.may(m.UID):
		return Tally{Denied: 1}, nil
	}
	if err := s.queue.RemoveDead(id); err != nil {
		s.log.Message(string(id)).Problem("remove", err)
		return Tally{}, nil
	}
	s.log.Message(string(id)).Operated("removed", c.UID)
	return Tally{Done: 1}, nil
}

// remove drops the message of r, now if it is at rest, else when nothing is under
// way any more.
func (s *Scheduler) remove(r *ref, c Caller, over func(end)) {
	s.leaveLanes(r)
	s.resting.remove(r)
	if r.msg == nil {
		err := s.drop(r.id)
		if err == nil {
			s.forget(r)
		} else {
			s.resting.wakeAt(r, s.now().Add(retryDisk))
		}
		s.dropped(r.id, c, err, over)
		return
	}
	m := r.msg
	if m.removal == nil {
		m.removal = &dismissal{caller: c}
		s.removals[r] = true
		s.recall(r)
		s.cancel(r)
	}
	m.removal.until = s.now().Add(removalLimit)
	m.removal.over = append(m.removal.over, over)
	s.settle(r)
}

// removeStopped drops the message of r, that is to go, if nothing is under way.
func (s *Scheduler) removeStopped(r *ref) {
	m := r.msg
	if m.jobs > 0 || m.committing {
		return
	}
	v := m.removal
	delete(s.removals, r)
	err := s.drop(r.id)
	if err == nil {
		s.forget(r)
	}
	s.dropped(r.id, v.caller, err, func(e end) {
		for _, over := range v.over {
			over(e)
		}
	})
	if err != nil {
		m.removal = nil
		m.distrust() // part of it may be gone: what is there counts
		s.resting.wakeAt(r, s.now().Add(retryDisk))
	}
}

func (s *Scheduler) drop(id spool.ID) error {
	err := s.queue.Drop(id)
	if errors.Is(err, queue.ErrLeft) {
		s.log.Message(string(id)).Problem("remove", err)
		return nil
	}
	return err
}

// dropped is called when the files of a message are removed, or could not be. Who
// waits hears of it when the removal will survive a power cut.
func (s *Scheduler) dropped(id spool.ID, c Caller, err error, over func(end)) {
	if err != nil {
		s.log.Message(string(id)).Problem("remove", err)
		over(skipped)
		return
	}
	s.write(work{done: func(err error) {
		if err != nil {
			s.log.Message(string(id)).Problem("sync removal", err)
			over(skipped)
			return
		}
		s.log.Message(string(id)).Operated("removed", c.UID)
		over(done)
	}})
}

// checkRemovals lets those go who have waited long enough. The messages go as soon
// as they can.
func (s *Scheduler) checkRemovals() {
	for r := range s.removals {
		v := r.msg.removal
		if len(v.over) == 0 || s.now().Before(v.until) {
			continue
		}
		s.log.Message(string(r.id)).Problem("remove", fmt.Errorf("what is under way does not stop within %v; the message goes when it has ended", removalLimit))
		for _, over := range v.over {
			over(busy)
		}
		v.over = nil
	}
}

// recall takes back the jobs of r that no helper has yet, and lets go of questions
// for a .forward, whose answers deliver nothing.
func (s *Scheduler) recall(r *ref) {
	for _, j := range s.jobsOf(r) {
		if j.state.CompareAndSwap(jobWaiting, jobRecalled) || j.lane.key.role == proto.RoleForward {
			j.disown()
		}
	}
}

// cancel asks helpers to give up what they have of r. They answer as ever.
func (s *Scheduler) cancel(r *ref) {
	for _, j := range s.jobsOf(r) {
		request := j.request
		stop := &job{request: request, send: func(c *proto.Conn) error { return c.Send(request, &proto.Cancel{}, nil) }}
		select {
		case j.worker.out <- stop: // has room for one a job
		default:
			s.log.Message(string(r.id)).Problem("remove", errors.New("the helper takes no messages"))
		}
	}
}

func (s *Scheduler) jobsOf(r *ref) (list []*job) {
	if r.msg == nil || r.msg.jobs == 0 {
		return nil
	}
	for _, workers := range s.workers {
		for _, w := range workers {
			for _, j := range w.jobs {
				if j.ref == r {
					list = append(list, j)
				}
			}
		}
	}
	return list
}
