package session

import (
	"errors"
	"os"
	"time"
)

// An expectation is a reply that is due.
type expectation struct {
	t     *transaction
	stage string
	rcpt  int           // index of the recipient that it is about
	limit time.Duration // for the wait, from when it is the next one; 0: to the end of the session
	sync  bool          // the writer waits for it
}

// read matches replies to what is expected, until the connection is of no more use.
func (e *engine) read() *Verdict {
	for {
		_, err := e.c.r.Peek(1)
		x, over := e.head()
		switch {
		case over && errors.Is(err, os.ErrDeadlineExceeded):
			return nil
		case x == nil && err == nil:
			return e.c.lost(StageConnect, errUnasked)
		case x == nil:
			return e.c.lost(StageConnect, err)
		}
		r, err := readReply(e.c.r)
		v := e.answered(x, r, err)
		if v != nil {
			return v
		}
	}
}

// answered deals with the reply to x.
func (e *engine) answered(x *expectation, r reply, err error) *Verdict {
	t := x.t
	switch {
	case err != nil:
		return e.c.lost(x.stage, err)
	case r.closing():
		return e.c.refusal(x.stage, r)
	}
	if v := t.on(x, r); v != nil {
		return v
	}
	e.mu.Lock()
	e.expected = e.expected[1:]
	idle := len(e.expected) == 0
	unasked := idle && e.c.r.Buffered() > 0
	e.arm()
	e.mu.Unlock()
	if unasked { // RULES E5
		return e.c.lost(x.stage, errUnasked)
	}
	if t.over {
		e.ended(t)
	}
	if x.sync {
		t.gate <- struct{}{} // has room
	}
	return nil
}

func (e *engine) head() (x *expectation, over bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.expected) > 0 {
		x = e.expected[0]
	}
	return x, e.closing
}

// expect notes that a reply will be due for what is written next.
func (e *engine) expect(x *expectation) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.expected = append(e.expected, x)
	if len(e.expected) == 1 {
		e.arm()
	}
}

// relimit gives x its limit when what it is the answer to has been written.
func (e *engine) relimit(x *expectation, limit time.Duration) {
	e.mu.Lock()
	defer e.mu.Unlock()
	x.limit = limit
	if len(e.expected) > 0 && e.expected[0] == x {
		e.arm()
	}
}

// arm sets the time limit for the next reply. The caller holds the lock.
func (e *engine) arm() {
	until := e.c.end
	if len(e.expected) > 0 && e.expected[0].limit > 0 {
		until = e.c.until(e.expected[0].limit)
	}
	_ = e.c.conn.SetReadDeadline(until) // fails only on a closed connection, and then so does the next read
}
