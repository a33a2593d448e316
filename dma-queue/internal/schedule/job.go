package schedule

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"dma/common/mailaddr"
	"dma/common/outcome"
	"dma/dma-queue/internal/queue"
	"dma/proto"
)

// pump starts jobs as long as lanes have work and room, a job a lane in turn, so
// that no destination waits for another's queue.
func (s *Scheduler) pump() {
	for len(s.ready) > 0 && s.fatal == nil {
		l := s.ready[0]
		s.ready = s.ready[1:]
		l.ready = false
		if l.jobs >= l.window || len(l.queue) == 0 || l.down(s.now()) {
			continue // comes back when something has ended
		}
		w := s.workerFor(l.key)
		if w == nil {
			s.starved[l] = true // comes back when a worker has room
			continue
		}
		s.start(l, w, l.dequeue())
		s.markReady(l)
	}
}

// retryStarved lets lanes try again that found no worker.
func (s *Scheduler) retryStarved() {
	for l := range s.starved {
		delete(s.starved, l)
		s.markReady(l)
	}
}

// start gives w what r has for lane l. A remote job takes the recipients that
// get the same bytes; if there are others, r waits again, in front.
func (s *Scheduler) start(l *lane, w *worker, r *ref) {
	m := s.load(r)
	if m == nil || m.stopped() {
		return
	}
	var mine []int
	more := false
	for i := range m.Targets {
		t := &m.Targets[i]
		key, ok := s.site.laneOf(m.Sender, t)
		if t.State != queue.Open || m.flying[i] || !ok || key != l.key || !s.due(t) {
			continue
		}
		switch {
		case len(mine) == 0:
			mine = append(mine, i)
		case t.Kind == queue.Remote && len(mine) < proto.MaxRecipients && slices.Equal(t.Chain, m.Targets[mine[0]].Chain):
			mine = append(mine, i)
		default:
			more = true
		}
	}
	if more {
		l.requeue(r)
	}
	if len(mine) == 0 {
		s.settle(r)
		return
	}
	j := &job{worker: w, lane: l, ref: r, targets: mine, answered: make([]bool, len(mine)), began: s.now()}
	if l.heard.tells(m, &m.Targets[mine[0]], s.now()) {
		s.expanded(j, l.heard.entries)
		s.route(r)
		return
	}
	s.requests++
	j.request, j.deadline = s.requests, j.began.Add(l.key.deadline())
	w.allowLog()
	for _, i := range mine {
		m.flying[i] = true
		if m.Targets[i].Kind != queue.User {
			s.log.Message(string(m.ID)).Trying(m.Targets[i].Address)
			s.tell(r.id, i, proto.Event{Step: proto.StepTrying, Recipient: m.Targets[i].Address})
		}
	}
	j.send = s.request(j, m)
	m.jobs++
	l.jobs++
	w.jobs[j.request] = j
	w.out <- j // has room for all jobs of a worker
}

// due reports whether an open target may be tried: its own time has come, or it
// only waits for its destination.
func (s *Scheduler) due(t *queue.Target) bool {
	return t.Blocked || !t.Next.After(s.now()) || t.Next.After(s.horizon())
}

// horizon is later than any time to wait for: what has a later one got it before
// the clock was set back (RULES F4).
func (s *Scheduler) horizon() time.Time { return s.now().Add(2 * s.site.Backoff.Max) }

// workerAnswered takes one answer. One that fits no request ends the worker.
func (s *Scheduler) workerAnswered(w *worker, p proto.Packet) {
	j := w.jobs[p.Request]
	if j == nil || j.state.Load() != jobSent {
		s.workerEnded(w, fmt.Errorf("%w: answer to request %d, which was not made", proto.ErrProtocol, p.Request))
		return
	}
	switch m := p.Message.(type) {
	case *proto.Target:
		if j.entries = append(j.entries, *m); len(j.entries) > proto.MaxRecipients {
			s.workerEnded(w, fmt.Errorf("%w: more targets than a .forward may have", proto.ErrProtocol))
		}
	case *proto.Report:
		s.jobReports(j, m)
	case *proto.End:
		switch {
		case w.key.role == proto.RoleRemote && j.question == nil:
			s.workerEnded(w, fmt.Errorf("%w: end of what is no list", proto.ErrProtocol))
			return
		case w.key.role != proto.RoleRemote && int(m.Count) != len(j.entries):
			s.workerEnded(w, fmt.Errorf("%w: %d targets announced, %d sent", proto.ErrProtocol, m.Count, len(j.entries)))
			return
		}
		s.jobExpanded(j, j.entries)
	case *proto.Fail:
		s.jobDone(j, proto.ScopeDestination, outcome.Defer("4.3.0", "%s", m.Outcome.Text))
	case *proto.Result:
		s.jobResult(j, m)
	}
}

func (s *Scheduler) jobResult(j *job, m *proto.Result) {
	if int(m.Index) >= len(j.targets) || j.answered[m.Index] {
		s.workerEnded(j.worker, fmt.Errorf("%w: result for recipient %d, which is not expected", proto.ErrProtocol, m.Index))
		return
	}
	j.answered[m.Index] = true
	if j.ref != nil {
		s.apply(j, j.targets[m.Index], m.Scope, m.Outcome, m.Remote, m.Reports)
	}
	if !slices.Contains(j.answered, false) {
		s.endJob(j)
	}
}

// jobDone gives all targets of j that have no result yet the same one.
func (s *Scheduler) jobDone(j *job, scope proto.Scope, o outcome.Outcome) {
	if j.ref == nil {
		s.unowned(j, answer{trouble: o})
		return
	}
	for k, i := range j.targets {
		if !j.answered[k] {
			j.answered[k] = true
			s.apply(j, i, scope, o, "", false)
		}
	}
	s.endJob(j)
}

// jobCrashed is for a job whose helper is gone without an answer. The first time
// that happens to a message it is simply tried again: somebody killed a process.
// A message that takes helpers down with it waits like any other deferral.
func (s *Scheduler) jobCrashed(j *job) {
	why := outcome.Defer("4.3.0", "the program that delivers it (%s) ended without an answer", j.worker.key.role)
	if j.ref == nil {
		s.unowned(j, answer{trouble: why})
		return
	}
	m := j.ref.msg
	m.crashes++
	switch {
	case !j.worker.greeted && j.lane.stillborn:
		s.jobDone(j, proto.ScopeDestination, why) // it cannot work at all
	case m.crashes > 1:
		s.jobDone(j, scopeHelper, why)
	default:
		s.endJob(j)
	}
}

// scopeHelper is the scope of a deferral that says nothing about the destination.
const scopeHelper proto.Scope = 0

// jobLost is for a job whose message file cannot be opened.
func (s *Scheduler) jobLost(j *job, err error) {
	if _, mine := j.worker.jobs[j.request]; mine {
		s.jobDone(j, scopeHelper, outcome.Defer("4.3.0", "%v", err))
	}
}

// jobNoUser is for a login that does not exist or may have no mail. If the
// submitter wrote it, that is final; if an alias or a .forward did, somebody
// mistyped it there, and the sender cannot help that: the mail waits.
func (s *Scheduler) jobNoUser(j *job) {
	if j.ref == nil {
		s.unowned(j, answer{unknown: true})
		return
	}
	t := &j.ref.msg.Targets[j.targets[0]]
	original := t.Original
	if a, err := mailaddr.Parse(original); err == nil {
		original, _, _ = strings.Cut(a.Local, "+")
	}
	if original == t.Login {
		s.jobDone(j, proto.ScopeTarget, outcome.Fail("5.1.1", "no user %q here", t.Login))
		return
	}
	s.jobDone(j, proto.ScopeTarget, outcome.Defer("4.1.1", "%s is forwarded to %q, and there is no such user; correct the alias or .forward", t.Original, t.Login))
}

// jobExpanded puts what a .forward says in place of the user.
func (s *Scheduler) jobExpanded(j *job, entries []proto.Target) {
	if j.ref == nil {
		s.unowned(j, answer{entries: entries})
		return
	}
	j.lane.heard = heard{j.began, j.ref.msg.Targets[j.targets[0]].Extension, entries}
	s.expanded(j, entries)
	s.endJob(j)
}

func (s *Scheduler) expanded(j *job, entries []proto.Target) {
	i, m := j.targets[0], j.ref.msg
	j.answered[0] = true
	user, before := m.Targets[i], len(m.Targets)
	o := s.site.Expand.Begin(m.Message).Forwarded(i, entries)
	s.tellForwarded(m, i, user, before)
	if o.Class != 0 {
		s.apply(j, i, proto.ScopeTarget, o, "", false)
	} else {
		s.laneWorked(j.lane)
	}
}

// apply is what an outcome does to target i. reports says that a server has taken
// over to tell the sender.
func (s *Scheduler) apply(j *job, i int, scope proto.Scope, o outcome.Outcome, remote string, reports bool) {
	m := j.ref.msg
	t := &m.Targets[i]
	log := s.log.Message(string(m.ID))
	t.Outcome, t.Remote, t.Blocked = o, remote, false
	m.Touch(i)
	s.tell(m.ID, i, proto.Event{Step: step(o.Class), Recipient: t.Address, Remote: remote, Text: o.Text})
	switch {
	case o.Class == outcome.Done:
		s.delivered(m, i, reports)
		s.laneWorked(j.lane)
		log.Delivered(t.Address, strings.TrimSpace(remote+" "+o.Text))
		return
	case o.Class == outcome.Failed:
		t.State = queue.Failed
		hushed(m.Message, t)
		s.laneWorked(j.lane) // it answers, if only to say no
		log.Failed(t.Address, o.Text)
		return
	case m.removal != nil: // whatever it says, it says that it was stopped
		log.Problem("remove while <"+t.Address+"> is tried", errors.New(o.Text))
		return
	case scope == proto.ScopeStale:
		s.site = s.conf.Site() // the alias file, if it was that, is read anew
		if user := s.site.Expand.Stale(m.Message, i, m.flying); user >= 0 {
			u := &m.Targets[user]
			u.Outcome, u.Tries = o, u.Tries+1
			m.called = s.now()
			// Once at once, since somebody has just edited the file; then like any other.
			if u.Tries > 1 {
				u.Next = s.now().Add(s.site.Backoff.wait(u.Tries-1, s.rand))
			}
			log.Deferred(t.Address, o.Text, s.now())
			return
		}
	case scope == proto.ScopeDestination:
		s.laneFailed(j.lane, o)
		t.Blocked = true
	case scope == proto.ScopeTarget:
		s.laneWorked(j.lane)
	}
	t.Tries++
	t.Next = s.now().Add(s.site.Backoff.wait(t.Tries, s.rand))
	if t.Blocked {
		t.Next = j.lane.until
	}
	s.deferred(m, t)
}

func (s *Scheduler) deferred(m *message, t *queue.Target) {
	log := s.log.Message(string(m.ID))
	if t.Kind == queue.Remote {
		log.Deferred(t.Address, t.Outcome.Text, t.Next)
		return
	}
	log.LocalDeferred(t.Address, t.Outcome.Text)
}

// endJob takes j out of all tables and lets its message go on.
func (s *Scheduler) endJob(j *job) {
	w := j.worker
	if _, mine := w.jobs[j.request]; !mine {
		return
	}
	delete(w.jobs, j.request)
	w.idle = s.now()
	if j.lane != nil {
		j.lane.jobs--
		s.markReady(j.lane)
	}
	s.retryStarved()
	if r := j.ref; r != nil {
		j.disown()
		s.route(r)
	}
}

// disown takes j from its message, whose targets others may have from now on.
func (j *job) disown() {
	m := j.ref.msg
	m.jobs--
	for _, i := range j.targets {
		delete(m.flying, i)
	}
	j.ref = nil
}

// unowned ends a job that no message waits for: a question, or one whose message
// has gone.
func (s *Scheduler) unowned(j *job, a answer) {
	if j.question != nil {
		j.question.answer(a)
	}
	s.endJob(j)
}
