package session

import (
	"bufio"
	"context"
	"net"
	"sync"
	"time"

	"dma/common/outcome"
	"dma/dma-remote/internal/content"
)

// Limits of what is under way on a connection without having been confirmed. A
// drop costs what is in it a wait, see engine.abandon.
const (
	maxFlying = 100         // transactions, where the server has CHUNKING
	maxBytes  = 1 << 20     // in BDAT, but one message at least
	maxBlind  = 64 << 10    // bytes of a message that is sent before its recipients are confirmed
	maxRest   = time.Second // a server that was left alone for longer may have gone
	writeSize = 32 << 10    // bytes written at once: what a data block time limit is about (RULES E1)
)

// Task is a message to bring away over one connection.
type Task struct {
	Mail    *Mail
	Pending []int // indexes of the recipients to send it to
	// Cancelled, once closed, stops a message whose end was not sent. It may be nil.
	Cancelled <-chan struct{}
	// Report is called once for each recipient whose end this connection brought.
	Report func(i int, v *Verdict)
	// Done is called once, after all Reports. rest are the recipients without an
	// end, because of v, which is trouble: the server has not taken the message for
	// them, so another may be asked at once. own: the message was the first on
	// the connection, so the trouble may be of its making.
	Done func(rest []int, v *Verdict, own bool)
}

// Source has the tasks of a connection.
type Source interface {
	// Next returns a task as soon as there is one, or nil when wake can be received
	// from. resting: nothing is under way. more is false if the connection is to
	// end: it has served long enough, or was not needed.
	Next(wake <-chan struct{}, resting bool) (t *Task, more bool)
}

// A job is a Task under way.
type job struct {
	*Task
	first bool         // of the connection
	plan  content.Plan // of the message for this server
	open  map[int]bool // recipients without an end
	rest  []int        // those of them that no transaction has taken yet
}

// An engine has messages under way on a connection: one goroutine writes, another
// reads, and every reply is matched to what it answers by its order alone.
type engine struct {
	c    *Conn
	src  Source
	w    *bufio.Writer
	wake chan struct{} // room for one: a transaction has ended
	gone chan struct{} // closed with failed

	mu       sync.Mutex
	expected []*expectation
	flying   []*transaction // begun and not ended, in order
	bytes    int64          // of their messages
	again    []*job         // that need another transaction
	rested   time.Time      // since when nothing has been under way
	closing  bool           // the reader is to end
	failed   *Verdict       // why the connection is of no use any more
	late     *time.Timer    // ends a writer that hangs after a refusal
}

// Serve brings away what src has until that wants no more, or the connection
// fails. It can be called again as long as Ready says so.
func (c *Conn) Serve(ctx context.Context, src Source) {
	defer c.watch(ctx)()
	e := &engine{
		c: c, src: src, w: bufio.NewWriterSize(blockWriter{c, c.cfg.Limits.Block}, writeSize),
		wake: make(chan struct{}, 1), gone: make(chan struct{}), rested: time.Now(),
	}
	_ = c.conn.SetReadDeadline(c.end) // fails only on a closed connection, and then so does the rest
	var reader sync.WaitGroup
	reader.Go(func() {
		if v := e.read(); v != nil {
			e.fail(v)
		}
	})
	if err := e.write(); err != nil {
		// A reply that explains it may be on its way.
		defer time.AfterFunc(c.cfg.Limits.Linger, c.abort).Stop()
	}
	reader.Wait()
	if e.late != nil {
		e.late.Stop()
	}
	if e.failed != nil {
		c.hangUp(e.failed)
		e.abandon()
	}
}

// write begins transactions as long as there are tasks and then waits for the last
// replies. An error is one of writing, or why the reader has ended.
func (e *engine) write() error {
	for {
		j, more := e.next()
		if !more {
			return e.finish()
		}
		if j == nil {
			continue
		}
		if err := e.transact(j); err != nil {
			return err
		}
	}
}

// next waits for a job, and for room for it.
func (e *engine) next() (j *job, more bool) {
	if e.dead() {
		return nil, false
	}
	if !e.hasRoom() {
		return nil, e.await()
	}
	if j = e.takeAgain(); j != nil {
		return j, true
	}
	// What waits in the buffer may wait on while there is more to put behind it.
	ready := make(chan struct{})
	close(ready)
	t, more := e.src.Next(ready, e.resting())
	if t == nil && more {
		if e.w.Flush() != nil {
			return nil, false
		}
		t, more = e.src.Next(e.wake, e.resting())
	}
	switch {
	case t != nil:
		return e.begin(t), true
	case more:
		return nil, true
	case e.underWay():
		return nil, e.await()
	}
	return nil, false
}

// await waits until something has changed, with all written.
func (e *engine) await() (alive bool) {
	if e.w.Flush() != nil {
		return false
	}
	select {
	case <-e.wake:
		return true
	case <-e.gone:
		return false
	}
}

func (e *engine) dead() bool {
	select {
	case <-e.gone:
		return true
	default:
		return false
	}
}

// hasRoom reports whether another transaction may begin. Without PIPELINING one is
// under way at a time; with it the next begins behind the dot of the one before.
func (e *engine) hasRoom() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	switch {
	case e.c.chunks():
		return len(e.flying) < maxFlying && e.bytes < maxBytes
	case e.c.caps.pipelining:
		return len(e.flying) < 2
	}
	return len(e.flying) == 0
}

func (e *engine) resting() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return len(e.flying) == 0
}

func (e *engine) underWay() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return len(e.flying) > 0 || len(e.again) > 0
}

func (e *engine) takeAgain() *job {
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.again) == 0 {
		return nil
	}
	j := e.again[0]
	e.again = e.again[1:]
	return j
}

// begin takes a task, and fails the recipients that this server cannot be told
// about at all.
func (e *engine) begin(t *Task) *job {
	j := &job{Task: t, first: !e.c.used, open: make(map[int]bool, len(t.Pending))}
	e.c.used = true
	for _, i := range t.Pending {
		j.open[i] = true
	}
	var err error
	if j.plan, err = t.Mail.Body.Plan(&t.Mail.Facts, e.c.caps.eightBit); err != nil {
		o := outcome.Defer("4.3.0", "%v", err)
		for _, i := range t.Pending {
			j.end(i, &Verdict{Outcome: o, Stage: stageMAIL, Reason: o.Text})
		}
	} else {
		j.rest = e.c.screen(t.Mail, &j.plan, t.Pending, j.end)
	}
	if len(j.rest) == 0 {
		t.Done(nil, nil, false)
		return nil
	}
	return j
}

// end gives a recipient its end.
func (j *job) end(i int, v *Verdict) {
	delete(j.open, i)
	j.Report(i, v)
}

func (j *job) cancelled() bool {
	select {
	case <-j.Cancelled:
		return true
	default:
		return false
	}
}

// finish has the reader end, when there is nothing to wait for.
func (e *engine) finish() error {
	if e.dead() {
		return net.ErrClosed
	}
	if err := e.w.Flush(); err != nil {
		return err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.closing = true
	return e.c.conn.SetReadDeadline(time.Now()) // ends the wait for nothing
}

// ended takes a transaction out and lets its job go on.
func (e *engine) ended(t *transaction) {
	j := t.job
	e.mu.Lock()
	for i, other := range e.flying {
		if other == t {
			e.flying = append(e.flying[:i:i], e.flying[i+1:]...)
			break
		}
	}
	e.bytes -= t.size
	if len(e.flying) == 0 {
		e.rested = time.Now()
	}
	j.rest = append(t.again, j.rest...)
	more := len(j.rest) > 0
	if more {
		e.again = append(e.again, j)
	}
	e.mu.Unlock()
	if !more {
		j.Done(nil, nil, false)
	}
	e.signal()
}

func (e *engine) signal() {
	select {
	case e.wake <- struct{}{}:
	default: // the writer has not even noticed the last one
	}
}

// fail ends everything because of v. The first one counts.
func (e *engine) fail(v *Verdict) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.failed != nil {
		return
	}
	e.failed = v
	close(e.gone)
	e.signal()
	if !v.reply {
		e.c.abort()
		return
	}
	_ = e.c.conn.SetWriteDeadline(time.Now()) // the writer may hang; QUIT sets another
	e.late = time.AfterFunc(e.c.cfg.Limits.Linger, e.c.abort)
}

// abandon ends what was under way when the connection failed. What the server may
// have taken, for all that is known, waits: to give it to another at once could
// make two of it (RULES E4). The rest is given back.
func (e *engine) abandon() {
	jobs := make(map[*job]bool)
	var order []*job
	note := func(j *job) {
		if !jobs[j] {
			jobs[j] = true
			order = append(order, j)
		}
	}
	for _, t := range e.flying {
		note(t.job)
		t.abandon(e.failed)
	}
	for _, j := range e.again {
		note(j)
	}
	for _, j := range order {
		var rest []int
		for _, i := range j.Pending {
			if j.open[i] {
				rest = append(rest, i)
			}
		}
		j.Done(rest, e.failed, j.first)
	}
	e.flying, e.again = nil, nil
}
