package schedule

import (
	"errors"
	"fmt"
	"io"
	"time"

	"dma/common/outcome"
	"dma/dma-queue/internal/queue"
	"dma/proto"
)

// Limits of questions.
const (
	questionWait  = 30 * time.Second // for a helper that has room
	probeDeadline = 10 * time.Minute // for dma-remote to try all hosts
	maxQuestions  = 64               // that wait for a helper
)

// Errors of Probe.
var (
	ErrDenied = errors.New("only root may do that")
	errAsked  = errors.New("too many questions at a time")
)

// A question is a request to a helper that is about no message.
type question struct {
	key    laneKey // role and login of the helper
	ask    proto.Message
	limit  time.Duration
	until  time.Time // for a helper to have room
	report func(*proto.Report)
	answer func(answer) // called once, in the loop
}

// answer is what a helper answered, or why it did not.
type answer struct {
	entries []proto.Target  // of a .forward
	unknown bool            // there is no such user
	trouble outcome.Outcome // zero if it did
}

// ask has q answered. It is called in the loop.
func (s *Scheduler) ask(q *question) {
	if len(s.questions) >= maxQuestions {
		q.answer(answer{trouble: outcome.Defer("4.3.2", "%v", errAsked)})
		return
	}
	q.until = s.now().Add(questionWait)
	s.questions = append(s.questions, q)
}

// pumpQuestions gives questions to helpers that have room. They wait in no lane: to
// ask is not to deliver, so one that is down is asked nevertheless.
func (s *Scheduler) pumpQuestions() {
	waiting := s.questions
	s.questions = nil
	for _, q := range waiting {
		w := s.workerFor(q.key)
		switch {
		case w == nil && s.now().After(q.until):
			q.answer(answer{trouble: outcome.Defer("4.3.2", "all programs that could tell are busy")})
		case w == nil:
			s.questions = append(s.questions, q)
		default:
			s.requests++
			j := &job{request: s.requests, worker: w, question: q, deadline: s.now().Add(q.limit)}
			j.send = func(c *proto.Conn) error { return c.Send(j.request, q.ask, nil) }
			w.allowLog()
			w.jobs[j.request] = j
			w.out <- j // has room for all jobs of a worker
		}
	}
}

// jobReports passes on what was found by a probe.
func (s *Scheduler) jobReports(j *job, m *proto.Report) {
	if j.question == nil || j.question.report == nil {
		s.workerEnded(j.worker, fmt.Errorf("%w: report that nobody asked for", proto.ErrProtocol))
		return
	}
	j.question.report(m)
}

// askForward has what the .forward of login says, for mail to login+extension,
// told to got.
func (s *Scheduler) askForward(login, extension string, got func(answer)) {
	s.ask(&question{
		key: laneKey{proto.RoleForward, login}, ask: &proto.Expand{Extension: extension},
		limit: forwardDeadline, answer: got,
	})
}

// Probe has dma-remote try the way out. Only who reaches all messages may do so.
// The stream ends with io.EOF when all is tried. The caller closes it.
func (s *Scheduler) Probe(c Caller, m *proto.Probe) (*Stream, error) {
	if !c.All {
		return nil, ErrDenied
	}
	t := NewStream(s.done)
	q := &question{
		key: laneKey{role: proto.RoleRemote}, ask: m, limit: probeDeadline,
		report: func(m *proto.Report) { t.Put(m) },
		answer: func(a answer) {
			if a.trouble.Class != 0 {
				t.Put(&proto.Report{Level: proto.LevelError, About: "dma-remote", Found: a.trouble.Text, Do: "look into the mail log"})
			}
			t.End(io.EOF)
		},
	}
	if !s.call(func() { s.ask(q) }) {
		return nil, ErrEnding
	}
	return t, nil
}

// unresolved makes a message of one recipient, to see where it would go.
func unresolved(sender, address string) *queue.Message {
	return &queue.Message{Sender: sender, Targets: []queue.Target{
		{Kind: queue.Recipient, State: queue.Open, Parent: queue.NoParent, Address: address, Original: address},
	}}
}
