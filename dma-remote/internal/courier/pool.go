package courier

import (
	"context"
	"sync"
	"time"

	"dma/dma-remote/internal/session"
)

// Limits of a connection (RULES E11).
const (
	maxMessages = 100             // it serves
	maxAge      = 5 * time.Minute // in which it may begin another message
	maxIdle     = 3 * time.Second // it waits for the next message; under what servers allow
)

// A pool keeps connections that are good for another message. One destination's
// connections never serve another: policy and credentials belong to it.
type pool struct {
	now     func() time.Time
	mu      sync.Mutex
	lanes   map[string]*lane
	closing bool
	quits   sync.WaitGroup // connections that say QUIT after their idle time
}

// A lane is one destination: at most so many deliveries at a time, and the
// connections that wait between them. Since a delivery first takes one that
// waits, there are never more connections than there may be deliveries.
type lane struct {
	pool  *pool
	key   string
	slots chan struct{}
	users int // deliveries inside, or waiting to be
	idle  []*connection
}

// A connection is a session and what decides how long it is kept.
type connection struct {
	session *session.Conn
	place   place
	born    time.Time
	sent    int
	timer   *time.Timer // while it waits
}

func newPool(now func() time.Time) *pool {
	return &pool{now: now, lanes: make(map[string]*lane)}
}

// enter waits for a place in the lane for key, which leave gives back.
func (p *pool) enter(ctx context.Context, key string, conns int) (*lane, error) {
	p.mu.Lock()
	l := p.lanes[key]
	if l == nil {
		l = &lane{pool: p, key: key, slots: make(chan struct{}, conns)}
		p.lanes[key] = l
	}
	l.users++
	p.mu.Unlock()
	select {
	case l.slots <- struct{}{}:
		return l, nil
	case <-ctx.Done():
		l.forget()
		return nil, ctx.Err()
	}
}

func (l *lane) leave() {
	<-l.slots
	l.forget()
}

func (l *lane) forget() {
	l.pool.mu.Lock()
	defer l.pool.mu.Unlock()
	l.users--
	l.pool.drop(l)
}

// drop removes a lane that nobody needs. The caller holds the lock.
func (p *pool) drop(l *lane) {
	if l.users == 0 && len(l.idle) == 0 {
		delete(p.lanes, l.key)
	}
}

// adopt makes a connection of a session.
func (l *lane) adopt(s *session.Conn, p place) *connection {
	return &connection{session: s, place: p, born: l.pool.now()}
}

// take returns the connection that has waited least, nil if there is none.
func (l *lane) take() *connection {
	l.pool.mu.Lock()
	defer l.pool.mu.Unlock()
	if len(l.idle) == 0 {
		return nil
	}
	c := l.idle[len(l.idle)-1]
	l.idle = l.idle[:len(l.idle)-1]
	if c.timer.Stop() {
		l.pool.quits.Done()
	}
	return c
}

// put gives a connection back after a message. One that has served its time says
// QUIT; one in trouble is closed already.
func (l *lane) put(c *connection) {
	p := l.pool
	c.sent++
	p.mu.Lock()
	keep := c.session.Ready() && !p.closing && c.sent < maxMessages && p.now().Sub(c.born) < maxAge
	if keep {
		p.quits.Add(1)
		c.timer = time.AfterFunc(maxIdle, func() {
			defer p.quits.Done()
			l.expire(c)
		})
		l.idle = append(l.idle, c)
	}
	p.mu.Unlock()
	if !keep {
		c.session.Quit()
	}
}

// expire ends a connection that has waited long enough, unless it has just been taken.
func (l *lane) expire(c *connection) {
	if l.remove(c) {
		c.session.Quit()
	}
}

func (l *lane) remove(c *connection) bool {
	l.pool.mu.Lock()
	defer l.pool.mu.Unlock()
	for i, other := range l.idle {
		if other == c {
			l.idle = append(l.idle[:i], l.idle[i+1:]...)
			l.pool.drop(l)
			return true
		}
	}
	return false
}

// close ends every connection that waits, all at a time.
func (p *pool) close() {
	p.mu.Lock()
	p.closing = true
	var wg sync.WaitGroup
	for _, l := range p.lanes {
		for _, c := range l.idle {
			if c.timer.Stop() {
				p.quits.Done()
			}
			wg.Go(c.session.Quit)
		}
		l.idle = nil
	}
	p.mu.Unlock()
	wg.Wait()
	p.quits.Wait()
}
