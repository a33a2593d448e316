package courier

import (
	"context"
	"slices"
	"sync"
	"time"
)

// Limits of a connection (RULES E11).
const (
	maxMessages = 100             // it serves
	maxAge      = 5 * time.Minute // in which it may begin another message
	maxIdle     = 3 * time.Second // it waits for the next message; under what servers allow
)

// A pool has the lanes, one for each destination.
type pool struct {
	c       *Courier
	mu      sync.Mutex // of all that is in lanes, too
	lanes   map[string]*lane
	closing bool
	workers sync.WaitGroup
	ctx     context.Context // of connections in the making
	cancel  context.CancelFunc
}

// A lane is one destination: messages that wait, and the connections that take
// them. One destination's connections never serve another: policy and credentials
// belong to it.
type lane struct {
	pool    *pool
	path    path
	waiting []*delivery
	live    map[*worker]bool // that serve
	hungry  []*worker        // of those, that have room for a message
	opening int              // connections in the making
	leaving int              // that take no more messages
	limit   int              // of connections now; grows back after trouble
	good    int              // messages since limit has changed
	chunks  bool             // the servers have CHUNKING
	pace    pace
}

func newPool(c *Courier) *pool {
	p := &pool{c: c, lanes: make(map[string]*lane)}
	p.ctx, p.cancel = context.WithCancel(context.Background())
	return p
}

// submit puts d into the lane of its path.
func (p *pool) submit(path path, d *delivery) {
	p.mu.Lock()
	defer p.mu.Unlock()
	l := p.lanes[path.key]
	if l == nil {
		l = &lane{pool: p, path: path, live: make(map[*worker]bool), limit: path.conns}
		p.lanes[path.key] = l
	}
	d.lane = l
	l.waiting = append(l.waiting, d)
	l.feed(d)
}

// withdraw takes d out if it still waits.
func (p *pool) withdraw(d *delivery) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	l := d.lane
	i := slices.Index(l.waiting, d)
	if i < 0 {
		return false
	}
	l.waiting = slices.Delete(l.waiting, i, i+1)
	l.drop()
	return true
}

// abort ends the connection that d is on: there is nobody any more who wants to
// know how it ends. alone: only if it is there for d alone, as the server may have
// taken others, and would get them again.
func (p *pool) abort(d *delivery, alone bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if d.on != nil && (!alone || d.on.busy == 1) {
		d.on.conn.Abort()
	}
}

// feed lets somebody take d: a connection that has nothing else to do, or one that
// has room for it, or a new one. The caller holds the lock.
func (l *lane) feed(d *delivery) {
	best := -1
	for i, w := range l.hungry {
		if d.mayUse(w.place) && (best < 0 || w.resting || !l.hungry[best].resting) {
			best = i
		}
	}
	if best >= 0 {
		w := l.hungry[best]
		l.hungry = slices.Delete(l.hungry, best, best+1)
		close(w.notify)
		return
	}
	l.grow()
}

// max is how many connections there may be at a time.
func (l *lane) max() int {
	if l.chunks {
		return min(l.limit, chunkConns)
	}
	return l.limit
}

// grow opens connections for what waits. The caller holds the lock.
func (l *lane) grow() {
	if l.pool.closing || len(l.waiting) == 0 {
		return
	}
	stuck := len(l.live) > 0 && l.stuck() != nil
	more := chunkConns // what waits here has found no room in a whole window of messages
	if !l.chunks {
		more = l.pace.more(len(l.live), l.pool.c.cfg.Now())
	}
	for {
		full := len(l.live)+l.opening+l.leaving >= l.max()
		enough := len(l.waiting) <= l.opening+l.idle() || l.opening >= more
		if (full || enough) && (!stuck || l.opening > 0) {
			return
		}
		l.opening++
		l.pool.workers.Go(l.open)
	}
}

// idle is how many connections have nothing to do, and will come for something in a
// moment. The caller holds the lock.
func (l *lane) idle() int {
	n := 0
	for w := range l.live {
		if w.busy == 0 {
			n++
		}
	}
	return n
}

// stuck is a message that no connection may take, if there is one. The caller holds
// the lock.
func (l *lane) stuck() *delivery {
	for _, d := range l.waiting {
		if !l.served(d) {
			return d
		}
	}
	return nil
}

// served reports whether a connection may take d. The caller holds the lock.
func (l *lane) served(d *delivery) bool {
	if len(d.tried) == 0 {
		return len(l.live) > 0
	}
	for w := range l.live {
		if d.mayUse(w.place) {
			return true
		}
	}
	return false
}

// open makes a connection for the first message that needs one, and serves.
func (l *lane) open() {
	p := l.pool
	p.mu.Lock()
	d := l.stuck()
	if d == nil && len(l.waiting) > 0 {
		d = l.waiting[0]
	}
	if d == nil {
		l.opening--
		l.drop()
		p.mu.Unlock()
		return
	}
	skip, trouble := slices.Clone(d.tried), d.trouble
	p.mu.Unlock()
	// It is d that calls for it, but others may use it: so it does not end with d.
	conn, at, trouble := d.open(p.ctx, l.path, skip, trouble)
	var ended []*delivery
	p.mu.Lock()
	l.opening--
	var w *worker
	if conn != nil {
		w = &worker{lane: l, conn: conn, place: at, born: p.c.cfg.Now(), opened: d}
		l.live[w] = true
		l.pace.opened(w.born)
		l.chunks = conn.Chunks()
	} else {
		ended = l.openFailed(d, len(skip) > 0, trouble)
	}
	l.grow()
	l.drop()
	p.mu.Unlock()
	for _, d := range ended {
		d.end(trouble)
	}
	if w != nil {
		w.serve()
	}
}

// openFailed takes out what the failure ends: everything that waits, if there is no
// connection at all. d was not to use some places; what becomes of the others has
// to be seen then. The caller holds the lock.
func (l *lane) openFailed(d *delivery, choosy bool, trouble Result) []*delivery {
	if len(l.live) > 0 {
		l.halve()
	}
	alone := len(l.live) == 0 && l.opening == 0
	ended := func(o *delivery) bool {
		if choosy {
			return o == d && !l.served(o)
		}
		return alone
	}
	var out []*delivery
	for _, o := range l.waiting {
		if ended(o) {
			out = append(out, o)
		}
	}
	l.waiting = slices.DeleteFunc(l.waiting, ended)
	return out
}

// halve allows fewer connections: the server may be overloaded. The caller holds
// the lock.
func (l *lane) halve() { l.limit, l.good = max(1, len(l.live)/2), 0 }

// drop removes a lane that nobody needs. The caller holds the lock.
func (l *lane) drop() {
	if len(l.waiting) == 0 && len(l.live) == 0 && l.opening+l.leaving == 0 && l.pool.lanes[l.path.key] == l {
		delete(l.pool.lanes, l.path.key)
	}
}

// close ends every connection that waits, all at a time.
func (p *pool) close() {
	p.mu.Lock()
	p.closing = true
	p.cancel()
	for _, l := range p.lanes {
		for _, w := range l.hungry {
			close(w.notify)
		}
		l.hungry = nil
	}
	p.mu.Unlock()
	p.workers.Wait()
}
