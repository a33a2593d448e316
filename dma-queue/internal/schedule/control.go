package schedule

import (
	"errors"
	"slices"
	"time"

	"dma/dma-queue/internal/queue"
	"dma/dma-queue/internal/spool"
	"dma/proto"
)

// Wake looks for new submissions. Any number of wakes before the look are one.
func (s *Scheduler) Wake() {
	if s.woken.CompareAndSwap(false, true) {
		s.post(func() {
			s.woken.Store(false)
			s.look = true
		})
	}
}

// Flush makes everything due. It returns when that is so, false if the runner is ending.
func (s *Scheduler) Flush() bool {
	return s.call(func() {
		s.look = true
		for _, l := range s.lanes {
			l.until = time.Time{}
			s.markReady(l)
		}
		for _, r := range s.refs {
			if r.msg != nil || r.own {
				r.flush = true
				s.resting.wakeAt(r, s.now())
			}
		}
	})
}

// Listing is one message in a listing.
type Listing struct {
	Item   proto.Item
	States []proto.State
}

// List calls yield for every message that is queued, submitted or dead, oldest
// first. It reads resting messages from the disk, outside the loop; what ends
// meanwhile is left out.
func (s *Scheduler) List(yield func(Listing) error) error {
	memory := make(map[spool.ID]Listing)
	var all []spool.ID
	v := view{reasons: make(map[laneKey]string)}
	ok := s.call(func() {
		v.site = s.site
		for id, r := range s.refs {
			all = append(all, id)
			if r.msg != nil {
				memory[id] = v.listing(r.msg.Message, r.msg.jobs > 0)
			}
		}
		for k, l := range s.lanes {
			if l.down(s.now()) {
				v.reasons[k] = l.reason.Text
			}
		}
	})
	if !ok {
		return errors.New("list queue: the runner is ending")
	}
	submitted, err := s.queue.Submitted()
	if err != nil {
		return err
	}
	dead, err := s.queue.Dead()
	if err != nil {
		return err
	}
	all = append(append(all, submitted...), dead...)
	slices.Sort(all)
	for _, id := range slices.Compact(all) {
		l, ok := memory[id]
		if !ok {
			l, ok = s.read(id, v)
		}
		if !ok {
			continue
		}
		if err := yield(l); err != nil {
			return err
		}
	}
	return nil
}

// read makes the listing of a message that is not in memory.
func (s *Scheduler) read(id spool.ID, v view) (Listing, bool) {
	if m, err := s.queue.Load(id); err == nil {
		return v.listing(m, false), true
	}
	if sub, err := s.queue.LoadSubmitted(id); err == nil {
		return v.listing(sub, false), true
	}
	if m, err := s.queue.LoadDead(id); err == nil {
		l := v.listing(m, false)
		l.Item.Dead = true
		return l, true
	} else if dead, err := s.queue.Dead(); err == nil && slices.Contains(dead, id) {
		return Listing{Item: proto.Item{ID: string(id), Dead: true}}, true
	}
	return Listing{}, false
}

// view is what a listing says that is in no journal: why destinations are down.
type view struct {
	site    *Site
	reasons map[laneKey]string
}

func (v view) listing(m *queue.Message, active bool) Listing {
	l := Listing{Item: proto.Item{ID: string(m.ID), Sender: m.Sender, Arrived: max(m.Arrived.Unix(), 0), Size: m.Size, UID: m.UID, Active: active}}
	for i := range m.Targets {
		t := &m.Targets[i]
		if t.State != queue.Open && t.State != queue.Failed {
			continue
		}
		st := proto.State{Recipient: t.Address, Tries: uint32(t.Tries), Next: max(t.Next.Unix(), 0), Reason: t.Outcome.Text}
		if key, ok := v.site.laneOf(t); ok && t.Blocked && v.reasons[key] != "" {
			st.Reason = v.reasons[key]
		}
		l.States = append(l.States, st)
	}
	l.Item.States = uint32(len(l.States))
	return l
}
