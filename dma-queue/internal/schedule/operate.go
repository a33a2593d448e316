package schedule

import (
	"cmp"
	"errors"
	"slices"
	"time"

	"dma/dma-queue/internal/queue"
	"dma/dma-queue/internal/spool"
	"dma/proto"
)

// operateAtOnce is how many messages an operation takes in one turn of the loop,
// so that one on the whole queue holds up nobody for long.
const operateAtOnce = 64

// ErrEnding is the error of a request to a run that is over. The next one answers it.
var ErrEnding = errors.New("the runner is ending")

// Tally is what an operation came to: the numbers of an Ack.
type Tally struct{ Done, Denied, Busy uint32 }

// end is what an operation did to one message.
type end uint8

const (
	skipped end = iota // it is gone, or there was nothing to do
	done               // for good
	busy               // it will be done when what is under way has ended
)

// An action is what an operation does to a message. Both functions are called in
// the loop and call their last argument there once, now or later.
type action struct {
	reads     bool // looks into journals: they are read before, outside the loop
	queued    func(r *ref, over func(end))
	submitted func(id spool.ID, over func(end)) // nobody has picked it up yet
}

// Flush makes messages due that are not held.
func (s *Scheduler) Flush(c Caller, sel proto.Selection) (Tally, error) {
	all := c.All && sel.By == proto.ByAll
	if !s.call(func() {
		s.look = true
		for _, l := range s.lanes {
			if all {
				l.until = time.Time{}
				s.markReady(l)
			}
		}
	}) {
		return Tally{}, ErrEnding
	}
	return s.operate(c, sel, action{
		queued: func(r *ref, over func(end)) { over(s.flush(r, sel.By == proto.ByID)) },
		submitted: func(id spool.ID, over func(end)) {
			s.order(id, func(_ *ref, over func(end)) { over(done) }, func(end) {}) // to be picked up is to be tried
			over(done)
		},
	})
}

// flush makes r due. If first, no other message goes to its destinations before it.
func (s *Scheduler) flush(r *ref, first bool) end {
	if r.held {
		return skipped
	}
	for _, l := range r.in {
		l.until = time.Time{}
		if first {
			l.queue = slices.DeleteFunc(l.queue, func(o *ref) bool { return o == r })
			l.queue = slices.Insert(l.queue, 0, r)
		}
		s.markReady(l)
	}
	if r.msg != nil || r.own {
		r.flush = true
		s.resting.wakeAt(r, s.now())
	}
	return done
}

// Hold has messages rest until they are released. What is under way goes on. The
// journal says so before Hold returns, and is synced within a moment.
func (s *Scheduler) Hold(c Caller, sel proto.Selection) (Tally, error) {
	detain := func(r *ref, over func(end)) { over(s.detain(r, c)) }
	return s.operate(c, sel, action{
		reads: true, queued: detain,
		submitted: func(id spool.ID, over func(end)) { s.order(id, detain, over) },
	})
}

func (s *Scheduler) detain(r *ref, c Caller) end {
	if r.held {
		return done
	}
	if r.msg != nil && r.msg.removal != nil {
		return skipped
	}
	if s.setHeld(r, true) == nil {
		return skipped
	}
	s.log.Message(string(r.id)).Operated("held", c.UID)
	s.leaveLanes(r)
	s.resting.remove(r)
	r.own, r.flush = false, false
	if r.msg != nil {
		s.recall(r)
		s.settle(r)
	}
	return done
}

// Release undoes Hold. What has become due meanwhile is tried now.
func (s *Scheduler) Release(c Caller, sel proto.Selection) (Tally, error) {
	return s.operate(c, sel, action{
		reads:     true,
		queued:    func(r *ref, over func(end)) { over(s.free(r, c)) },
		submitted: func(_ spool.ID, over func(end)) { over(skipped) },
	})
}

func (s *Scheduler) free(r *ref, c Caller) end {
	if !r.held {
		return skipped
	}
	m := s.setHeld(r, false)
	if m == nil {
		return skipped
	}
	s.log.Message(string(r.id)).Operated("released", c.UID)
	if r.msg != nil {
		s.route(r)
	} else {
		s.restUntil(r, m)
	}
	return done
}

// setHeld writes into the journal of r that it is held, or not. It returns the
// message, or nil if that was not possible, which the log says.
func (s *Scheduler) setHeld(r *ref, held bool) *queue.Message {
	var m *queue.Message
	if r.msg != nil {
		m = r.msg.Message
	} else {
		var err error
		if m, err = s.queue.Load(r.id); err != nil {
			s.log.Message(string(r.id)).Problem("load", err)
			return nil
		}
	}
	m.Held = held
	if !s.save(m) {
		m.Held = !held
		return nil
	}
	r.held = held
	return m
}

// order has do called for the submission id as soon as it is picked up, before
// anything else happens to it.
func (s *Scheduler) order(id spool.ID, do func(*ref, func(end)), over func(end)) {
	s.look = true
	s.orders[id] = append(s.orders[id], func(r *ref) {
		if r == nil || s.refs[id] != r {
			over(skipped)
			return
		}
		do(r, over)
	})
}

// carryOut does what was ordered for id; r is nil if it was not picked up.
func (s *Scheduler) carryOut(id spool.ID, r *ref) {
	list := s.orders[id]
	delete(s.orders, id)
	for _, f := range list {
		f(r)
	}
}

// candidate is a message that an operation may be about.
type candidate struct {
	id       spool.ID
	queued   bool   // there is a ref
	loads    uint32 // of the ref: what the journal says holds as long as that is the same
	selected bool   // says the journal
}

// operate does a to all messages of c's that are selected, and returns when that
// is over.
func (s *Scheduler) operate(c Caller, sel proto.Selection, a action) (Tally, error) {
	var tally Tally
	list, f, err := s.candidates(c, sel, &tally)
	if err != nil {
		return tally, err
	}
	for chunk := range slices.Chunk(list, operateAtOnce) {
		if a.reads || f.reads() {
			s.readAll(chunk, f)
		}
		ends := make(chan end, len(chunk))
		if !s.call(func() {
			for _, k := range chunk {
				s.operateOn(k, c, f, a, func(e end) { ends <- e })
			}
		}) {
			return tally, ErrEnding
		}
		for range chunk {
			select {
			case e := <-ends:
				tally.add(e)
			case <-s.done:
				return tally, ErrEnding
			}
		}
	}
	return tally, nil
}

func (t *Tally) add(e end) {
	switch e {
	case done:
		t.Done++
	case busy:
		t.Busy++
	}
}

// candidates lists the messages that c may reach and that may be selected: a few
// words each, however many there are.
func (s *Scheduler) candidates(c Caller, sel proto.Selection, tally *Tally) (list []candidate, f filter, err error) {
	var submitted []spool.ID
	if sel.By != proto.ByID {
		submitted, err = s.queue.Submitted()
	} else if id, perr := spool.ParseID(sel.Value); perr == nil {
		submitted = []spool.ID{id}
	}
	if err != nil {
		return nil, f, err
	}
	fresh := make([]spool.ID, 0, len(submitted))
	if !s.call(func() {
		f = s.site.filter(sel)
		for _, id := range submitted {
			if s.refs[id] == nil {
				fresh = append(fresh, id)
			}
		}
		for id, r := range s.refs {
			switch {
			case sel.By == proto.ByID && string(id) != sel.Value:
			case c.may(r.uid):
				list = append(list, candidate{id: id, queued: true, loads: r.loads})
			case sel.By == proto.ByID:
				tally.Denied++
			}
		}
	}) {
		return nil, f, ErrEnding
	}
	for _, id := range fresh {
		m, err := s.queue.LoadSubmitted(id)
		switch {
		case err != nil:
		case c.may(m.UID):
			if f.selects(m) {
				list = append(list, candidate{id: id})
			}
		case sel.By == proto.ByID:
			tally.Denied++
		}
	}
	slices.SortFunc(list, func(a, b candidate) int { return cmp.Compare(a.id, b.id) })
	return list, f, nil
}

// readAll looks into the journals of messages in the queue. It does so outside the
// loop, where a slow disk holds up nobody.
func (s *Scheduler) readAll(list []candidate, f filter) {
	for i := range list {
		if k := &list[i]; k.queued {
			m, err := s.queue.Load(k.id)
			k.selected = err == nil && f.selects(m)
		}
	}
}

// stillSelected reports whether f selects the message of r as it is now.
func (s *Scheduler) stillSelected(r *ref, k candidate, f filter) bool {
	switch {
	case r.msg != nil:
		return f.selects(r.msg.Message)
	case r.loads == k.loads:
		return k.selected
	}
	m, err := s.queue.Load(r.id) // it was tried in between
	return err == nil && f.selects(m)
}

// operateOn does a to one message, if it is there and still selected.
func (s *Scheduler) operateOn(k candidate, c Caller, f filter, a action, over func(end)) {
	r := s.refs[k.id]
	switch {
	case r == nil && k.queued, r != nil && !c.may(r.uid):
		over(skipped)
	case r == nil:
		a.submitted(k.id, over)
	case !f.reads(), s.stillSelected(r, k, f):
		a.queued(r, over)
	default:
		over(skipped)
	}
}
