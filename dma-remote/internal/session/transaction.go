package session

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"sync/atomic"
	"time"

	"dma/common/outcome"
	"dma/dma-remote/internal/content"
)

// A transaction is MAIL, RCPTs and the message (RFC 5321 3.3). The writer's methods
// say it; those called on... are the reader's. Where the writer goes by what the
// reader has found, it has waited at the gate.
type transaction struct {
	e     *engine
	job   *job
	batch []int // indexes of recipients
	size  int64 // of the message, if it counts for the engine's bytes
	gate  chan struct{}

	mailSaid bool  // MAIL was answered
	mailOK   bool  // and accepted
	accepted []int // recipients that the server took
	refused  []int // and did not take
	again    []int // recipients over the server's limit: for the next transaction
	goAhead  bool  // the server waits for the message
	told     bool  // the message was answered
	over     bool  // nothing more is to come

	dot atomic.Bool // the end of the message may have reached the server
	// broken is why the message ended in the middle: nobody else's fault.
	broken *Verdict
}

// transact begins a transaction for what is left of j. The error is why nothing
// more can be written.
func (e *engine) transact(j *job) error {
	t := &transaction{e: e, job: j, gate: make(chan struct{}, 1)}
	if e.c.chunks() {
		t.size = j.plan.Size
	}
	e.mu.Lock()
	n := min(len(j.rest), maxBatch)
	if e.c.limit > 0 && e.c.caps.pipelining {
		n = min(n, e.c.limit) // more would be said in vain
	}
	t.batch, j.rest = j.rest[:n:n], j.rest[n:]
	rested := len(e.flying) == 0 && time.Since(e.rested) > maxRest
	e.flying = append(e.flying, t)
	e.bytes += t.size
	reset := e.c.doubt
	e.c.doubt = true
	e.mu.Unlock()
	if reset {
		if err := t.say(&expectation{stage: stageRSET, limit: e.c.cfg.Limits.Command, sync: !e.c.caps.pipelining}, "RSET"); err != nil {
			return err
		}
	}
	switch {
	case !e.c.caps.pipelining:
		return t.lockstep()
	case e.c.chunks():
		return t.chunked(rested || t.size > maxBlind)
	}
	return t.pipelined()
}

// say writes a command, and waits for its reply if x says so.
func (t *transaction) say(x *expectation, line string) error {
	x.t = t
	t.e.expect(x)
	if _, err := t.e.w.WriteString(line + "\r\n"); err != nil {
		return err
	}
	if !x.sync {
		return nil
	}
	return t.wait()
}

func (t *transaction) wait() error {
	if err := t.e.w.Flush(); err != nil {
		return err
	}
	select {
	case <-t.gate:
		return nil
	case <-t.e.gone:
		return net.ErrClosed
	}
}

// lockstep says nothing that the replies so far have made useless.
func (t *transaction) lockstep() error {
	limits := t.e.c.cfg.Limits
	if err := t.say(&expectation{stage: stageMAIL, limit: limits.Command, sync: true}, t.mailLine()); err != nil {
		return err
	}
	if t.over {
		return nil
	}
	for n, i := range t.batch {
		if err := t.say(&expectation{stage: stageRCPT, rcpt: i, limit: limits.Command, sync: true}, t.rcptLine(i)); err != nil {
			return err
		}
		if len(t.again) > 0 {
			t.again = append(t.again, t.batch[n+1:]...)
			break
		}
	}
	if len(t.accepted) == 0 {
		t.e.ended(t)
		return nil
	}
	if err := t.say(&expectation{stage: stageDATA, limit: limits.Data, sync: true}, "DATA"); err != nil {
		return err
	}
	return t.data()
}

// envelope says MAIL and RCPTs at once (RFC 2920 3.1).
func (t *transaction) envelope(sync bool) error {
	limit := t.e.c.cfg.Limits.Command
	if err := t.say(&expectation{stage: stageMAIL, limit: limit}, t.mailLine()); err != nil {
		return err
	}
	for n, i := range t.batch {
		last := n == len(t.batch)-1
		if err := t.say(&expectation{stage: stageRCPT, rcpt: i, limit: limit, sync: sync && last}, t.rcptLine(i)); err != nil {
			return err
		}
	}
	return nil
}

// pipelined says everything up to DATA at once, behind the dot of the transaction
// before, and then waits for the server to go ahead.
func (t *transaction) pipelined() error {
	if err := t.envelope(false); err != nil {
		return err
	}
	if err := t.say(&expectation{stage: stageDATA, limit: t.e.c.cfg.Limits.Data, sync: true}, "DATA"); err != nil {
		return err
	}
	return t.data()
}

// data sends the message after the reply to DATA.
func (t *transaction) data() error {
	e := t.e
	switch {
	case t.over:
		return nil
	case len(t.accepted) == 0:
		// The server said 354 to a pipelined DATA though it took no recipient (RFC
		// 2920 3.1): a message that nobody is to get is ended at once.
		x := &expectation{stage: stageDot, limit: e.c.cfg.Limits.Final, sync: true}
		return t.say(x, ".")
	case t.job.cancelled():
		return t.giveUp(outcome.Defer("4.3.2", "given up before it was sent"))
	}
	// Each recipient of LMTP has an answer of its own (RFC 2033 4.2).
	var due []*expectation
	for _, i := range t.accepted {
		due = append(due, &expectation{t: t, stage: stageDot, rcpt: i})
		if !e.c.cfg.LMTP {
			break
		}
	}
	for _, x := range due {
		e.expect(x) // before it is written: a refusal may come early
	}
	if err := t.job.Mail.Body.Send(e.w, &t.job.plan, &t.dot); err != nil {
		return t.failed(err)
	}
	e.mu.Lock()
	e.c.doubt = false // the dot ends a transaction whatever comes of it (RFC 5321 4.1.1.4)
	e.mu.Unlock()
	for _, x := range due {
		e.relimit(x, e.c.cfg.Limits.Final)
	}
	return nil
}

// chunked says everything at once, the message included (RFC 3030 section 2). A
// careful one waits with the message until a recipient was accepted.
func (t *transaction) chunked(careful bool) error {
	e := t.e
	if err := t.envelope(careful); err != nil {
		return err
	}
	switch {
	case careful && len(t.accepted) == 0:
		e.ended(t)
		return nil
	case careful && t.job.cancelled():
		return t.giveUp(outcome.Defer("4.3.2", "given up before it was sent"))
	}
	x := &expectation{t: t, stage: stageDot}
	e.expect(x)
	if _, err := fmt.Fprintf(e.w, "BDAT %d LAST\r\n", t.size); err != nil {
		return err
	}
	if err := t.job.Mail.Body.SendChunk(e.w, &t.job.plan, &t.dot); err != nil {
		return t.failed(err)
	}
	e.relimit(x, e.c.cfg.Limits.Final)
	return nil
}

// failed deals with a message that was not written to its end.
func (t *transaction) failed(err error) error {
	if errors.Is(err, content.ErrRead) {
		return t.giveUp(outcome.Defer("4.3.0", "%v", err))
	}
	return err
}

// giveUp ends a message in the middle: without its end, and so with the connection
// (RULES E6). What was sent before it is waited for.
func (t *transaction) giveUp(o outcome.Outcome) error {
	for t.e.first() != t {
		if !t.e.await() {
			return net.ErrClosed
		}
	}
	t.e.mu.Lock()
	t.broken = &Verdict{Outcome: o, Stage: stageDot, Reason: o.Text}
	t.e.mu.Unlock()
	t.e.c.abort()
	return net.ErrClosed
}

func (e *engine) first() *transaction {
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.flying) == 0 {
		return nil
	}
	return e.flying[0]
}

// abandon ends the recipients that may have been served when v ended the
// connection, or for whom the message could not be read.
func (t *transaction) abandon(v *Verdict) {
	unconfirmed := t.e.c.unconfirmed(v)
	unknown := t.dot.Load() && !v.closing && !t.told && (t.mailOK || !t.mailSaid)
	for _, i := range t.batch {
		switch {
		case !t.job.open[i] || slices.Contains(t.refused, i) || slices.Contains(t.again, i):
		case t.broken != nil:
			t.job.end(i, t.broken)
		case unknown:
			t.job.end(i, unconfirmed)
		}
	}
}
