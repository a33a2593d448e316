package schedule

import (
	"cmp"
	"errors"
	"os"
	"slices"

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

// Listing is one message in a listing.
type Listing struct {
	Item   proto.Item
	States []proto.State
}

// List calls yield for every message that is queued, submitted or dead, selected,
// and one that c may see, oldest first. It reads resting messages from the disk,
// outside the loop; what ends meanwhile is left out.
func (s *Scheduler) List(c Caller, sel proto.Selection, yield func(Listing) error) error {
	v := view{caller: c, reasons: make(map[laneKey]string), memory: make(map[spool.ID]Listing)}
	var all []spool.ID
	if !s.call(func() {
		v.site, v.filter = s.site, s.site.filter(sel)
		for id, r := range s.refs {
			if sel.By == proto.ByID && string(id) != sel.Value || r.uid != noUID && !c.may(r.uid) {
				continue
			}
			all = append(all, id)
			if r.msg != nil && v.filter.selects(r.msg.Message) {
				v.memory[id] = v.listing(r.msg.Message, r.msg.jobs > 0)
			}
		}
		for k, l := range s.lanes {
			if l.down(s.now()) {
				v.reasons[k] = l.reason.Text
			}
		}
	}) {
		return ErrEnding
	}
	others, err := s.elsewhere(sel)
	if err != nil {
		return err
	}
	all = append(all, others...)
	slices.Sort(all)
	for _, id := range slices.Compact(all) {
		l, ok := v.memory[id]
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

// elsewhere lists what may be selected and is not in the queue proper.
func (s *Scheduler) elsewhere(sel proto.Selection) ([]spool.ID, error) {
	if sel.By == proto.ByID {
		if id, err := spool.ParseID(sel.Value); err == nil {
			return []spool.ID{id}, nil
		}
		return nil, nil
	}
	submitted, err := s.queue.Submitted()
	if err != nil {
		return nil, err
	}
	dead, err := s.queue.Dead()
	return append(submitted, dead...), err
}

// read makes the listing of a message that is not in memory.
func (s *Scheduler) read(id spool.ID, v view) (l Listing, ok bool) {
	m, err := s.queue.Load(id)
	if err != nil {
		m, err = s.queue.LoadSubmitted(id)
	}
	dead := false
	if err != nil {
		m, dead = s.deadLetter(id)
	}
	if m == nil || !v.caller.may(m.UID) || !v.filter.selects(m) {
		return Listing{}, false
	}
	l = v.listing(m, false)
	l.Item.Dead = dead
	return l, true
}

// deadLetter reads the envelope of a dead letter. Of a damaged one there is only
// the id, and only root may see it.
func (s *Scheduler) deadLetter(id spool.ID) (m *queue.Message, there bool) {
	m, err := s.queue.LoadDead(id)
	switch {
	case err == nil:
		return m, true
	case errors.Is(err, os.ErrNotExist):
		return nil, false
	}
	return &queue.Message{ID: id, UID: noUID}, true
}

// view is what a listing says that is in no journal: why destinations are down.
type view struct {
	caller  Caller
	filter  filter
	site    *Site
	memory  map[spool.ID]Listing // of messages in memory
	reasons map[laneKey]string
}

func (v view) listing(m *queue.Message, active bool) Listing {
	l := Listing{Item: proto.Item{
		ID: string(m.ID), Sender: m.Sender, Arrived: max(m.Arrived.Unix(), 0), Size: m.Size, UID: m.UID, Active: active, Held: m.Held,
	}}
	for i := range m.Targets {
		t := &m.Targets[i]
		if !listed(t) {
			continue
		}
		st := proto.State{Recipient: cmp.Or(t.Login, t.Address), Original: t.Original, Tries: uint32(t.Tries), Next: max(t.Next.Unix(), 0), Reason: t.Outcome.Text}
		if m.Held {
			st.Next = 0
		}
		if key, ok := v.site.laneOf(m.Sender, t); ok && t.Blocked && v.reasons[key] != "" {
			st.Reason = v.reasons[key]
		}
		l.States = append(l.States, st)
	}
	l.Item.States = uint32(len(l.States))
	return l
}

// Show gives one message and its file, which may be missing. The error is
// os.ErrNotExist if there is none that c may see. A submission is picked up before.
func (s *Scheduler) Show(c Caller, id spool.ID) (Listing, *os.File, error) {
	if err := s.pickedUp(c, id); err != nil {
		return Listing{}, nil, err
	}
	var found *Listing
	err := s.List(c, proto.Selection{By: proto.ByID, Value: string(id)}, func(l Listing) error {
		found = &l
		return nil
	})
	if err == nil && found == nil {
		err = os.ErrNotExist
	}
	if err != nil {
		return Listing{}, nil, err
	}
	open := s.queue.OpenMessage
	if found.Item.Dead {
		open = s.queue.OpenDead
	}
	f, err := open(id)
	if err != nil {
		s.log.Message(string(id)).Problem("show", err)
		return *found, nil, nil
	}
	return *found, f, nil
}

// pickedUp returns when id is in the queue, or is no submission of c's. Only then it
// has a file that holds the message alone.
func (s *Scheduler) pickedUp(c Caller, id spool.ID) error {
	sub, err := s.queue.LoadSubmitted(id)
	if err != nil || !c.may(sub.UID) {
		return nil
	}
	over := make(chan struct{})
	if !s.call(func() {
		if s.refs[id] != nil {
			close(over)
			return
		}
		s.order(id, func(_ *ref, over func(end)) { over(done) }, func(end) { close(over) })
	}) {
		return ErrEnding
	}
	select {
	case <-over:
		return nil
	case <-s.done:
		return ErrEnding
	}
}
