package schedule

import (
	"errors"
	"fmt"
	"io"
	"sync/atomic"
	"time"

	"dma/common/outcome"
	"dma/proto"
)

// idleLimit is how long a helper without work is kept: a little, so that mail
// that comes one by one does not start a process each.
const idleLimit = time.Second

// startLimit is how long dma-spawn may take to answer.
const startLimit = 30 * time.Second

// workerLife is how long a helper gets jobs. Then another one does, long before
// dma-spawn, which grants no helper an endless life, ends it in the middle of one.
const workerLife = 5 * time.Minute

// A worker is a helper process, from the request to dma-spawn until its channel
// is closed.
type worker struct {
	key      laneKey
	number   uint32          // of the Start request
	conn     *proto.Conn     // nil until started
	out      chan *job       // to the goroutine that writes; closed to end it
	jobs     map[uint32]*job // by request number
	asked    time.Time       // when dma-spawn was asked
	greeted  bool            // has shown that it works
	idle     time.Time       // since when without jobs
	lines    atomic.Int64    // for the log that it may still say; below 0: that were dropped
	finished bool
}

// A job is one request to a helper.
type job struct {
	request  uint32
	worker   *worker
	lane     *lane     // nil for a question
	ref      *ref      // nil if no message waits for it, any more
	question *question // nil if it is about a message
	targets  []int     // of the message; the index of a Result counts in these
	answered []bool
	entries  []proto.Target // of an Expand, as they come
	began    time.Time
	deadline time.Time
	send     func(*proto.Conn) error // writes the request; runs outside the loop
	state    atomic.Int32            // of the following
}

// States of a job. Who takes it out of the first is the writer, or somebody who
// does not want it done any more.
const (
	jobWaiting  = 0 // to be written
	jobSent     = 1 // is being written, or was: may be answered
	jobRecalled = 2 // is not going to be written
)

// Deadlines of jobs: the helper's own limits (RULES B6, E1) and some grace. Who
// goes over them is out of order and loses its channel.
const (
	forwardDeadline = 30 * time.Second
	mailboxDeadline = 5 * time.Minute
	commandDeadline = 6 * time.Minute
	remoteDeadline  = 3 * time.Hour
)

func (k laneKey) deadline() time.Duration {
	switch k.role {
	case proto.RoleForward:
		return forwardDeadline
	case proto.RoleMailbox:
		return mailboxDeadline
	case proto.RoleUser, proto.RoleAlias:
		return commandDeadline
	}
	return remoteDeadline
}

// workerFor finds a worker of a lane with room, or has one started; nil if there may
// be no more at the moment.
func (s *Scheduler) workerFor(lane laneKey) *worker {
	key := lane.workerKey()
	list := s.workers[key]
	for _, w := range list {
		switch {
		case s.now().Sub(w.asked) > workerLife:
		case len(w.jobs) < lane.perWorker():
			return w
		case !lane.runs():
			return nil
		}
	}
	if key.role != proto.RoleRemote && s.localWorkers() >= localWorkers && !s.endIdleWorker() {
		return nil
	}
	s.requests++
	w := &worker{key: key, number: s.requests, out: make(chan *job, 2*lane.perWorker()), jobs: make(map[uint32]*job), asked: s.now()}
	w.allowLog()
	s.workers[key] = append(s.workers[key], w) // not list: endIdleWorker may have shortened it
	s.starting[w.number] = w
	if err := s.spawn.Send(w.number, &proto.Start{Role: key.role, Login: key.name}, nil); err != nil {
		s.spawnGone(err)
	}
	return w
}

func (s *Scheduler) localWorkers() int {
	n := 0
	for k, list := range s.workers {
		if k.role != proto.RoleRemote {
			n += len(list)
		}
	}
	return n
}

// endIdleWorker makes room for another worker.
func (s *Scheduler) endIdleWorker() bool {
	for k, list := range s.workers {
		for _, w := range list {
			if k.role != proto.RoleRemote && len(w.jobs) == 0 && w.conn != nil {
				s.endWorker(w)
				return true
			}
		}
	}
	return false
}

// readSpawn passes on what dma-spawn says. It is a goroutine of Run's.
func (s *Scheduler) readSpawn() {
	for {
		p, err := s.spawn.Recv(0, proto.TypeStarted, proto.TypeRefused)
		if err != nil {
			s.post(func() { s.spawnGone(err) })
			return
		}
		if !s.call(func() { s.spawnAnswered(p) }) && p.File != nil {
			p.File.Close() // too late: the helper is to end
		}
	}
}

// spawnGone ends the run: without dma-spawn nothing can be started, and whoever
// starts it anew starts a new runner.
func (s *Scheduler) spawnGone(err error) {
	if s.fatal == nil {
		if errors.Is(err, io.EOF) {
			err = errors.New("dma-spawn is gone")
		}
		s.fatal = err
	}
}

func (s *Scheduler) spawnAnswered(p proto.Packet) {
	w := s.starting[p.Request]
	delete(s.starting, p.Request)
	if w == nil {
		if p.File != nil {
			p.File.Close()
		}
		return // it took so long that nobody waits any more
	}
	switch m := p.Message.(type) {
	case *proto.Started:
		conn, err := proto.NewConn(p.File)
		if err != nil {
			s.workerEnded(w, err)
			return
		}
		w.conn, w.idle = conn, s.now()
		s.group.Go(func() { s.readWorker(w, conn) })
		s.group.Go(func() { s.writeWorker(w, conn) })
	case *proto.Refused:
		s.workerRefused(w, m)
	}
}

// errOpen is the error of a job whose message could not be opened: nothing was sent.
var errOpen = errors.New("open message")

// answers are what a helper may say.
func (k laneKey) answers() []proto.Type {
	switch k.role {
	case proto.RoleForward:
		return []proto.Type{proto.TypeTarget, proto.TypeEnd, proto.TypeFail, proto.TypeLog}
	case proto.RoleRemote:
		return []proto.Type{proto.TypeResult, proto.TypeReport, proto.TypeEnd, proto.TypeLog}
	}
	return []proto.Type{proto.TypeResult, proto.TypeLog}
}

// writeWorker sends the jobs of one worker. A helper that takes no message holds
// up nobody else.
func (s *Scheduler) writeWorker(w *worker, conn *proto.Conn) {
	for j := range w.out {
		if !j.state.CompareAndSwap(jobWaiting, jobSent) {
			s.post(func() { s.endJob(j) })
			continue
		}
		err := j.send(conn)
		switch {
		case errors.Is(err, errOpen):
			s.post(func() { s.jobLost(j, err) })
		case err != nil:
			s.post(func() { s.workerEnded(w, err) })
			return
		}
	}
}

// readWorker receives what one worker answers.
func (s *Scheduler) readWorker(w *worker, conn *proto.Conn) {
	if _, err := conn.RecvHello(); err != nil {
		s.post(func() { s.workerEnded(w, err) })
		return
	}
	s.post(func() { w.greeted = true })
	accept := w.key.answers()
	for {
		p, err := conn.Recv(0, accept...)
		if m, ok := p.Message.(*proto.Log); err == nil && ok {
			if err = s.relay(w, m); err == nil {
				continue
			}
		}
		if err != nil {
			s.post(func() { s.workerEnded(w, err) })
			return
		}
		s.post(func() { s.workerAnswered(w, p) })
	}
}

// endWorker closes the channel of a worker; it ends when it notices. What it was
// doing is deferred.
func (s *Scheduler) endWorker(w *worker) { s.workerEnded(w, nil) }

// workerEnded drops a worker whose channel is of no more use, for whatever
// reason. Its jobs are tried again.
func (s *Scheduler) workerEnded(w *worker, err error) {
	if !s.dropWorker(w) {
		return
	}
	if err != nil && (!errors.Is(err, io.EOF) || len(w.jobs) > 0) {
		s.log.Problem(fmt.Sprintf("helper %s %s", w.key.role, w.key.name), err)
	}
	lanes := make(map[*lane]bool)
	for _, j := range w.jobs {
		if j.lane != nil {
			lanes[j.lane] = true
		}
		s.jobCrashed(j)
	}
	for l := range lanes {
		l.stillborn = !w.greeted
	}
}

// dropWorker takes w out of the tables; false if it was out already.
func (s *Scheduler) dropWorker(w *worker) bool {
	if w.finished {
		return false
	}
	w.finished = true
	delete(s.starting, w.number)
	close(w.out)
	if w.conn != nil {
		w.conn.Close()
	}
	list := s.workers[w.key]
	for i := range list {
		if list[i] == w {
			list = append(list[:i:i], list[i+1:]...)
			break
		}
	}
	if len(list) == 0 {
		delete(s.workers, w.key)
	} else {
		s.workers[w.key] = list
	}
	s.retryStarved()
	return true
}

// workerRefused ends the jobs that waited for a worker which cannot be.
func (s *Scheduler) workerRefused(w *worker, m *proto.Refused) {
	s.dropWorker(w)
	for _, j := range w.jobs {
		switch {
		case m.Why == proto.RefusedForbidden && w.key.role == proto.RoleForward:
			// root and the like have a mailbox but no .forward (RULES C9).
			s.jobExpanded(j, nil)
		case m.Why == proto.RefusedForbidden && w.key.role == proto.RoleUser:
			// uid 0 under another name than root: nothing is delivered as it (RULES
			// C9), and MDA or MAILBOX, which ask for that, are not the sender's fault.
			s.jobDone(j, proto.ScopeTarget, outcome.Defer("4.3.5", "%s; let an alias send mail for %s to a person", m.Text, w.key.name))
		case w.key.name != "" && m.Why != proto.RefusedLater:
			s.jobNoUser(j)
		default:
			s.jobDone(j, proto.ScopeDestination, outcome.Defer("4.3.0", "%s", m.Text))
		}
	}
}

// checkWorkers ends workers that are idle or overdue.
func (s *Scheduler) checkWorkers() {
	now := s.now()
	for _, list := range s.workers {
		for _, w := range list {
			late := w.conn == nil && now.Sub(w.asked) > startLimit
			for _, j := range w.jobs {
				late = late || w.conn != nil && now.After(j.deadline)
			}
			switch {
			case late:
				s.workerEnded(w, errors.New("no answer in time"))
			case w.conn != nil && len(w.jobs) == 0 && now.Sub(w.idle) > idleLimit:
				s.endWorker(w)
			}
		}
	}
}
