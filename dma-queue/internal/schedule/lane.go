package schedule

import (
	"slices"
	"strings"
	"time"

	"dma/common/outcome"
	"dma/dma-queue/internal/queue"
	"dma/proto"
)

// Limits of concurrency (DESIGN 6, RULES B7).
const (
	smarthostJobs = 200 // messages in dma-remote's hands for one route, which has several under way on a connection
	domainJobs    = 50  // the same for any other domain
	userCommands  = 2   // commands of one user running, or files being written, at a time
	mailboxJobs   = 50  // messages handed to the one worker of a mailbox, which may share a sync
	forwardJobs   = 10  // questions handed to the one dma-forward of a user
	localWorkers  = 20  // processes for local delivery at a time
	remoteJobs    = 240 // messages in dma-remote's hands, which takes 256 and probes
)

// laneKey is a destination: what fails together and is tried together.
type laneKey struct {
	role proto.Role
	name string // a login, a domain, or the name of a route out (see Site.Route)
}

// A lane is the way to one destination. Messages wait in it by reference only.
type lane struct {
	key    laneKey
	queue  []*ref
	waits  map[*ref]bool // those in queue
	jobs   int           // under way
	window int           // how many may be

	stillborn bool  // the last helper for it died before it had said anything
	heard     heard // of a dma-forward

	fails  int             // failures of the destination in a row
	until  time.Time       // down until then
	reason outcome.Outcome // of the last failure
	ready  bool            // is in Scheduler.ready
}

// heard is what a .forward says, of mail to one extension. It counts for all messages
// that were there before it was read, so that many to one user cost one question,
// and whoever has changed the file is right from the next message on (DESIGN 6).
type heard struct {
	asked     time.Time
	extension string
	entries   []proto.Target
}

// heardLife is how long that counts: then what was edited does for those that wait, too.
const heardLife = time.Second

func (h *heard) fresh(now time.Time) bool { return now.Sub(h.asked) < heardLife }

// tells reports whether h counts for target t of m.
func (h *heard) tells(m *message, t *queue.Target, now time.Time) bool {
	return t.Kind == queue.User && h.extension == t.Extension && h.asked.After(m.called) && h.fresh(now)
}

func (k laneKey) limit() int {
	switch {
	case k.role == proto.RoleForward:
		return forwardJobs
	case k.role == proto.RoleMailbox:
		return mailboxJobs
	case k.runs():
		return userCommands
	case k.domain() == "":
		return smarthostJobs
	}
	return domainJobs
}

// domain is whose hosts a lane of dma-remote leads to; empty for a route out,
// which dma-remote finds itself: it knows sender and configuration.
func (k laneKey) domain() string {
	if strings.HasPrefix(k.name, RoutePrefix) {
		return ""
	}
	return k.name
}

// runs reports whether commands are run there, and files of users written.
func (k laneKey) runs() bool { return k.role == proto.RoleUser || k.role == proto.RoleAlias }

// perWorker is how many jobs one process of the lane takes at a time. A command
// worker runs one command; dma-remote serves all lanes together.
func (k laneKey) perWorker() int {
	switch {
	case k.runs():
		return 1
	case k.role == proto.RoleRemote:
		return remoteJobs
	}
	return k.limit()
}

// workerKey is the kind of process that serves the lane.
func (k laneKey) workerKey() laneKey {
	if k.role == proto.RoleRemote {
		return laneKey{role: proto.RoleRemote}
	}
	return k
}

// laneOf is the lane that target t of a message of sender takes; ok is false for
// one that no helper is needed for.
func (c *Site) laneOf(sender string, t *queue.Target) (key laneKey, ok bool) {
	switch t.Kind {
	case queue.User:
		return laneKey{proto.RoleForward, t.Login}, true
	case queue.Mailbox:
		if c.MailboxByUser && t.Login != "root" { // root's is written by nobody with the group mail (RULES C9)
			return laneKey{proto.RoleUser, t.Login}, true
		}
		return laneKey{proto.RoleMailbox, t.Login}, true
	case queue.Command, queue.File:
		if t.OfAlias() {
			return laneKey{role: proto.RoleAlias}, true
		}
		return laneKey{proto.RoleUser, t.Login}, true
	case queue.Remote:
		return laneKey{proto.RoleRemote, c.Route(sender, t.Address)}, true
	}
	return laneKey{}, false
}

// lane finds or makes the lane of key. An unknown destination is tried with one
// job, and each success allows one more: a dead one costs a single attempt.
func (s *Scheduler) lane(key laneKey) *lane {
	l := s.lanes[key]
	if l == nil {
		l = &lane{key: key, window: 1, waits: make(map[*ref]bool)}
		if key.role != proto.RoleRemote {
			l.window = key.limit() // nothing is far away: all at once costs little
		}
		s.lanes[key] = l
	}
	return l
}

func (l *lane) down(now time.Time) bool { return l.until.After(now) }

// enqueue lets r wait in l, if it does not already.
func (s *Scheduler) enqueue(l *lane, r *ref) {
	if l.waits[r] {
		return
	}
	l.queue = append(l.queue, r)
	l.waits[r] = true
	r.in = append(r.in, l)
	s.markReady(l)
}

// requeue lets r, which was the first in l, be that again.
func (l *lane) requeue(r *ref) {
	l.queue = slices.Insert(l.queue, 0, r)
	l.waits[r] = true
	r.in = append(r.in, l)
}

// dequeue takes the first one waiting out of l.
func (l *lane) dequeue() *ref {
	r := l.queue[0]
	l.queue[0] = nil
	l.queue = l.queue[1:]
	delete(l.waits, r)
	r.in = slices.DeleteFunc(r.in, func(o *lane) bool { return o == l })
	return r
}

// leaveLanes lets r wait nowhere any more.
func (s *Scheduler) leaveLanes(r *ref) {
	for _, l := range r.in {
		l.queue = slices.DeleteFunc(l.queue, func(o *ref) bool { return o == r })
		delete(l.waits, r)
	}
	r.in = nil
}

func (s *Scheduler) markReady(l *lane) {
	if !l.ready && len(l.queue) > 0 && l.jobs < l.window && !l.down(s.now()) {
		l.ready = true
		s.ready = append(s.ready, l)
	}
}

// laneFailed says that the destination itself does not work. Jobs that were
// under way together fail together, and count once.
func (s *Scheduler) laneFailed(l *lane, o outcome.Outcome) {
	if l.down(s.now()) {
		return
	}
	l.fails++
	l.reason = o
	l.until = s.now().Add(s.site.Backoff.wait(l.fails, s.rand))
	l.window = 1 // one probe when the time has come
	s.fallen = append(s.fallen, l)
}

// laneWorked says that the destination works.
func (s *Scheduler) laneWorked(l *lane) {
	l.fails, l.until, l.reason, l.stillborn = 0, time.Time{}, outcome.Outcome{}, false
	l.window = min(l.window+1, l.key.limit())
}

// restFallen puts to rest what waits in memory for destinations that have gone down.
func (s *Scheduler) restFallen() {
	for _, l := range s.fallen {
		for _, r := range slices.Clone(l.queue) {
			s.settle(r)
		}
	}
	s.fallen = nil
}

// dropIdleLanes forgets lanes that say nothing any more. One that has been down
// and for which nobody waits may begin anew.
func (s *Scheduler) dropIdleLanes() {
	for k, l := range s.lanes {
		if len(l.queue) == 0 && l.jobs == 0 && !l.down(s.now()) && !l.heard.fresh(s.now()) {
			delete(s.lanes, k)
		}
	}
}
