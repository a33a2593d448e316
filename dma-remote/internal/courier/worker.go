package courier

import (
	"context"
	"slices"
	"time"

	"dma/common/outcome"
	"dma/dma-remote/internal/session"
)

// A worker is a connection at work. It is the session's Source.
type worker struct {
	lane    *lane
	conn    *session.Conn
	place   place
	born    time.Time
	sent    int
	busy    int       // messages that it has
	opened  *delivery // the message that it was opened for
	resting bool
	notify  chan struct{} // closed when there is something, while the worker is hungry
}

// serve brings messages away as long as there are any.
func (w *worker) serve() {
	l := w.lane
	w.conn.Serve(context.Background(), w)
	l.pool.mu.Lock()
	w.leave()
	l.pool.mu.Unlock()
	w.conn.Quit()
	l.pool.mu.Lock()
	defer l.pool.mu.Unlock()
	l.leaving--
	l.grow()
	l.drop()
}

// leave lets another connection take the worker's place: it takes no more messages.
// The caller holds the lock.
func (w *worker) leave() {
	l := w.lane
	if l.live[w] {
		delete(l.live, w)
		l.leaving++
		l.grow()
	}
}

// Next is for session.Source.
func (w *worker) Next(wake <-chan struct{}, resting bool) (*session.Task, bool) {
	p := w.lane.pool
	for {
		d, more := w.take(resting)
		switch {
		case d != nil:
			return d.task(w), true
		case !more:
			return nil, false
		}
		var idle <-chan time.Time
		if resting {
			timer := time.NewTimer(maxIdle)
			defer timer.Stop()
			idle = timer.C
		}
		select {
		case <-w.notify:
			continue
		case <-wake:
		case <-idle:
			more = false
		}
		p.mu.Lock()
		i := slices.Index(w.lane.hungry, w)
		if i >= 0 {
			w.lane.hungry = slices.Delete(w.lane.hungry, i, i+1)
		}
		p.mu.Unlock()
		if i >= 0 { // else there is something after all
			return nil, more
		}
	}
}

// take takes a message, or makes the worker hungry.
func (w *worker) take(resting bool) (d *delivery, more bool) {
	l := w.lane
	l.pool.mu.Lock()
	defer l.pool.mu.Unlock()
	if w.sent >= maxMessages || l.pool.c.cfg.Now().Sub(w.born) >= maxAge {
		w.leave()
		return nil, false
	}
	for i, d := range l.waiting {
		if d.mayUse(w.place) {
			l.waiting = slices.Delete(l.waiting, i, i+1)
			w.sent++
			w.busy++
			d.on = w
			d.begun = l.pool.c.cfg.Now()
			if len(l.waiting) > 0 {
				l.grow()
			}
			return d, true
		}
	}
	if l.pool.closing {
		return nil, false
	}
	w.resting, w.notify = resting, make(chan struct{})
	l.hungry = append(l.hungry, w)
	return nil, true
}

// done is for session.Task: what was not brought away is given back.
func (w *worker) done(d *delivery, rest []int, v *session.Verdict, own bool) {
	l := w.lane
	if v == nil {
		l.delivered(d, w)
		close(d.done)
		return
	}
	d.returned++
	if own = own || d.returned > maxReturns; own && len(rest) > 0 {
		d.log(w.place, v)
	}
	if len(rest) == 0 {
		close(d.done)
	} else if !l.back(d, w, v, own) {
		d.end(Result{Outcome: outcome.Defer("4.3.2", "given up: %s", v.Text)})
	}
}

// delivered notes that d was brought away.
func (l *lane) delivered(d *delivery, w *worker) {
	p := l.pool
	p.mu.Lock()
	defer p.mu.Unlock()
	d.on = nil
	w.busy--
	l.pace.ended(d.begun, p.c.cfg.Now())
	if l.good++; l.good >= l.limit {
		l.limit, l.good = min(l.limit+1, l.path.conns), 0
	}
	l.grow()
}

// back lets d wait again, in front, after the connection of w has failed. False:
// nobody waits for its end any more.
func (l *lane) back(d *delivery, w *worker, v *session.Verdict, own bool) bool {
	p := l.pool
	p.mu.Lock()
	defer p.mu.Unlock()
	d.on = nil
	w.busy--
	if len(l.live) > 1 {
		l.halve()
	}
	if d.ctx.Err() != nil || d.cancelled() {
		return false
	}
	if own {
		d.trouble = result(v, w.place.peer())
		d.tried = append(d.tried, w.place.id())
	}
	l.waiting = slices.Insert(l.waiting, 0, d)
	l.feed(d)
	return true
}
