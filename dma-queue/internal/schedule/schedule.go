// Package schedule is the queue in motion: what is tried when, by which helper,
// and what becomes of it (DESIGN 6).
//
// One goroutine, in Run, owns all state. Everybody else, the readers of helper
// channels, the disk worker, the control socket, hands it functions to call.
// Nothing that it does waits: helpers answer when they answer, syncs happen in
// the disk worker, and what it sends fits into buffers made for it.
//
// Messages rest as a small ref each. They wait in lanes, one per destination, so
// that a destination that is down costs one probe and not one try per message,
// and one that is slow holds up nobody but itself.
package schedule

import (
	"errors"
	"math/rand/v2"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"dma/common/maillog"
	"dma/dma-queue/internal/queue"
	"dma/dma-queue/internal/spool"
	"dma/proto"
)

// Limits of the loop.
const (
	maxActive = 256                    // messages in memory at a time
	tick      = 250 * time.Millisecond // between looks at idle workers, deadlines and lazy syncs
	linger    = time.Second            // without work before the run ends
	removal   = time.Second            // after it, at most, a removal is synced (DESIGN 4)
	hurry     = time.Second            // in memory without getting anywhere, before it makes room
	retryDisk = time.Minute            // before trouble with the spool is tried again
)

// Config is what a Scheduler needs from its surroundings.
type Config struct {
	Queue *queue.Queue
	Spawn *proto.Conn // to dma-spawn, greeted
	Log   *maillog.Log
	Site  func() *Site // the configuration as it is now; read at every wake
	// Pick makes a message of a submission. It runs in a goroutine of its own.
	Pick func(spool.ID) (*queue.Message, error)
	// Bounce writes a bounce for the failed targets of m. It runs in the disk worker.
	Bounce func(b *Bounce) error
	Now    func() time.Time
	Rand   *rand.Rand
	NewID  func() (spool.ID, error)
}

// Scheduler is the queue in motion. Make it with New.
type Scheduler struct {
	queue  *queue.Queue
	spawn  *proto.Conn
	log    *maillog.Log
	conf   Config
	site   *Site
	now    func() time.Time
	rand   *rand.Rand
	events chan func()
	done   chan struct{} // closed when Run is over: nobody listens to events
	group  sync.WaitGroup

	refs    map[spool.ID]*ref
	active  map[*ref]bool // those with a message in memory
	resting resting
	lanes   map[laneKey]*lane
	ready   []*lane
	starved map[*lane]bool
	fallen  []*lane // gone down since the last turn

	workers  map[laneKey][]*worker
	starting map[uint32]*worker
	requests uint32

	woken   atomic.Bool // a Wake is on its way to the loop
	look    bool        // there may be new submissions
	scanned time.Time   // when they were looked for
	lookAt  time.Time   // when to look again after trouble; zero if there was none
	trouble int         // times in a row
	pending []spool.ID  // submissions seen and not taken yet
	pick    chan spool.ID
	picking map[spool.ID]bool         // handed to pickLoop
	orders  map[spool.ID][]func(*ref) // what to do with a submission once it is picked up; with nil if it is not

	questions []*question           // that no helper has yet
	watches   map[spool.ID][]*watch // by message, which may be still to come
	removals  map[*ref]bool         // with a removal

	works    []work // waiting for the disk worker
	disk     chan []work
	writing  bool
	unsynced map[spool.ID]bool // journals; true: with the message
	synced   time.Time

	last    time.Time // of something happening
	trimmed bool
	fatal   error
}

// New makes a Scheduler of the queue on disk.
func New(c Config) (*Scheduler, error) {
	s := &Scheduler{
		queue: c.Queue, spawn: c.Spawn, log: c.Log, conf: c, site: c.Site(), now: c.Now, rand: c.Rand,
		events: make(chan func(), 64), done: make(chan struct{}),
		refs: make(map[spool.ID]*ref), active: make(map[*ref]bool), lanes: make(map[laneKey]*lane), starved: make(map[*lane]bool),
		workers: make(map[laneKey][]*worker), starting: make(map[uint32]*worker),
		pick: make(chan spool.ID, maxActive), disk: make(chan []work, 1), unsynced: make(map[spool.ID]bool),
		picking: make(map[spool.ID]bool), orders: make(map[spool.ID][]func(*ref)),
		watches: make(map[spool.ID][]*watch), removals: make(map[*ref]bool),
	}
	return s, s.recover()
}

// post hands f to the loop. After the end of Run it does nothing.
func (s *Scheduler) post(f func()) {
	select {
	case s.events <- f:
	case <-s.done:
	}
}

// call is post for callers that wait until f was called; false after the end.
func (s *Scheduler) call(f func()) bool {
	ran := make(chan struct{})
	s.post(func() { f(); close(ran) })
	select {
	case <-ran:
		return true
	case <-s.done:
		return false
	}
}

// Start begins the goroutines that Run's loop works with. End stops them.
func (s *Scheduler) Start() {
	s.group.Go(s.readSpawn)
	s.group.Go(s.pickLoop)
	s.group.Go(s.diskLoop)
}

// End closes all channels to helpers, waits for the goroutines and syncs what is
// not yet synced.
func (s *Scheduler) End() error {
	close(s.done)
	s.spawn.Close()
	for _, list := range s.workers {
		for _, w := range list {
			w.finished = true
			close(w.out)
			if w.conn != nil {
				w.conn.Close()
			}
		}
	}
	close(s.pick)
	close(s.disk)
	s.group.Wait()
	return s.queue.Commit(s.lazy())
}

// Run works until nothing is left to do and returns nil, or until it cannot go
// on. It may be called again after nil.
func (s *Scheduler) Run() error {
	s.last = s.now()
	s.look = true
	timer := time.NewTimer(0)
	defer timer.Stop()
	for s.fatal == nil {
		select {
		case f := <-s.events:
			f()
			for range len(s.events) { // all that is there, before the housekeeping
				(<-s.events)()
			}
			s.last = s.now()
		case <-timer.C:
		}
		s.turn()
		if s.over() {
			return nil
		}
		timer.Reset(s.wait())
	}
	return s.fatal
}

// turn does everything that is due.
func (s *Scheduler) turn() {
	now := s.now()
	if !s.lookAt.IsZero() && !s.lookAt.After(now) {
		s.lookAt, s.look = time.Time{}, true
	}
	// What comes while there are enough to do waits in incoming as well as here.
	if s.look && len(s.pending)+len(s.picking) == 0 {
		s.scan()
	}
	for _, l := range s.lanes {
		s.markReady(l) // whose time has come
	}
	s.wakeResting(now)
	for len(s.pending) > 0 && len(s.active)+len(s.picking) < maxActive {
		s.picking[s.pending[0]] = true
		s.pick <- s.pending[0]
		s.pending = s.pending[1:]
	}
	s.pump()
	s.pumpQuestions()
	s.restFallen()
	s.checkWorkers()
	s.checkRemovals()
	s.checkWatches()
	s.makeRoom()
	s.flushWorks()
	s.dropIdleLanes()
}

// wakeResting looks at the resting messages that are due.
func (s *Scheduler) wakeResting(now time.Time) {
	if len(s.resting) == 0 || s.resting[0].due > now.UnixNano() {
		return
	}
	s.site = s.conf.Site() // what made them wait may have been put right
	for len(s.resting) > 0 && s.resting[0].due <= now.UnixNano() && len(s.active) < maxActive {
		r := s.resting[0]
		s.resting.remove(r)
		s.route(r)
	}
	// Without room for others, those in memory must go on nevertheless: they make it.
	for r := range s.active {
		if r.index >= 0 && r.due <= now.UnixNano() {
			s.resting.remove(r)
			s.route(r)
		}
	}
}

// busy reports whether anything is to be looked after before the next due time.
func (s *Scheduler) busy() bool {
	return len(s.active)+len(s.workers)+len(s.starting)+len(s.pending)+len(s.picking)+len(s.works)+len(s.unsynced)+
		len(s.questions)+len(s.watches)+len(s.orders) > 0 ||
		s.writing || s.queue.Changed()
}

// idle reports whether there is nothing to do, now or later.
func (s *Scheduler) idle() bool { return !s.busy() && len(s.refs) == 0 && s.lookAt.IsZero() }

// over reports whether nothing is left, and has not been for a while.
func (s *Scheduler) over() bool {
	return s.idle() && s.now().Sub(s.last) >= linger
}

// wait is how long the loop may sleep if nothing happens.
func (s *Scheduler) wait() time.Duration {
	if s.busy() || s.idle() || s.now().Sub(s.last) <= linger {
		s.trimmed = false
		return tick
	}
	if !s.trimmed {
		s.trimmed = true
		debug.FreeOSMemory() // only deferred mail is left: this may be a long sleep
	}
	next := s.now().Add(time.Hour)
	if !s.lookAt.IsZero() && s.lookAt.Before(next) {
		next = s.lookAt
	}
	if len(s.resting) > 0 {
		if due := time.Unix(0, s.resting[0].due); due.Before(next) {
			next = due
		}
	}
	for _, l := range s.lanes {
		if len(l.queue) > 0 && l.until.Before(next) {
			next = l.until
		}
	}
	return max(next.Sub(s.now()), time.Millisecond)
}

// scan looks for new submissions.
func (s *Scheduler) scan() {
	s.look, s.scanned = false, s.now()
	s.site = s.conf.Site()
	list, err := s.queue.Submitted()
	if err != nil {
		s.log.Problem("scan for new mail", err)
		s.lookLater()
		return
	}
	for _, id := range list {
		// With DEFER, a runner that was started to list the queue tries nothing.
		if s.refs[id] == nil && (!s.site.Defer || len(s.orders[id]) > 0) {
			s.pending = append(s.pending, id)
		}
	}
	for id := range s.orders {
		if _, there := slices.BinarySearch(list, id); !there {
			s.carryOut(id, nil)
		}
	}
}

// lookLater has what could not be picked up tried again, though nobody wakes us.
func (s *Scheduler) lookLater() {
	if s.lookAt.IsZero() {
		s.trouble++
		s.lookAt = s.now().Add(Backoff{retryDisk, s.site.Backoff.Max}.wait(s.trouble, s.rand))
	}
}

// pickLoop makes messages of submissions, one at a time.
func (s *Scheduler) pickLoop() {
	for id := range s.pick {
		select {
		case <-s.done:
			return
		default:
		}
		m, err := s.conf.Pick(id)
		s.post(func() { s.picked(id, m, err) })
	}
}

// ErrSkip is the error of Pick for a submission that is not ready or not there any
// more. Whoever makes it ready wakes the queue.
var ErrSkip = errors.New("nothing to pick up")

func (s *Scheduler) picked(id spool.ID, m *queue.Message, err error) {
	delete(s.picking, id)
	var r *ref
	switch {
	case err == nil:
		s.trouble = 0
		r = s.enlist(m)
	case !errors.Is(err, ErrSkip):
		s.log.Message(string(id)).Problem("pick up", err)
		s.lookLater()
	}
	if r != nil {
		r.msg.called = s.scanned
	}
	s.carryOut(id, r)
	if r != nil && s.refs[id] == r {
		s.route(r)
	}
}

// adopt takes a new message into the queue and starts on it.
func (s *Scheduler) adopt(m *queue.Message) { s.route(s.enlist(m)) }

// enlist takes a message into the queue.
func (s *Scheduler) enlist(m *queue.Message) *ref {
	r := &ref{id: m.ID, index: -1}
	s.refs[m.ID] = r
	s.hold(r, m)
	s.watched(r)
	return r
}

// hold keeps the message of r in memory.
func (s *Scheduler) hold(r *ref, m *queue.Message) {
	r.msg = &message{Message: m, flying: make(map[int]bool), since: s.now(), called: s.now()}
	r.uid, r.held = m.UID, m.Held
	r.loads++
	s.active[r] = true
}
