package session

import "dma/common/outcome"

// on deals with one reply. The verdict is why there can be no more on this
// connection.
func (t *transaction) on(x *expectation, r reply) *Verdict {
	switch x.stage {
	case stageRSET:
		if r.class() != 2 {
			return t.e.c.refusal(stageRSET, r)
		}
		return nil
	case stageMAIL:
		return t.onMail(r)
	case stageRCPT:
		return t.onRcpt(x.rcpt, r)
	case stageDATA:
		return t.onData(r)
	}
	return t.onDot(x.rcpt, r)
}

func (t *transaction) onMail(r reply) *Verdict {
	t.mailSaid = true
	if r.class() == 2 {
		t.mailOK = true
		return nil
	}
	t.over = !t.e.c.caps.pipelining
	return t.settle(t.batch, t.e.c.refusal(stageMAIL, r))
}

func (t *transaction) onRcpt(i int, r reply) *Verdict {
	switch {
	case !t.mailOK:
		return nil // "503 need MAIL first", or whatever: said for all already
	case r.class() == 2:
		t.accepted = append(t.accepted, i)
		return nil
	case tooMany(r) && len(t.accepted) > 0:
		t.again = append(t.again, i)
		return nil
	}
	t.refused = append(t.refused, i)
	return t.settle([]int{i}, t.e.c.refusal(stageRCPT, r))
}

// tooMany reports whether a reply to RCPT is about the number of recipients. With
// a status code that says otherwise, it is a full mailbox or disk.
func tooMany(r reply) bool {
	if r.code != 452 && r.code != 552 {
		return false
	}
	e := r.enhanced()
	return e == "" || e[1:] == ".5.3"
}

func (t *transaction) onData(r reply) *Verdict {
	t.learn()
	if r.code == 354 {
		t.goAhead = true
		return nil
	}
	t.over = true
	if len(t.accepted) == 0 {
		return nil // as it should be: "554 no valid recipients"
	}
	return t.settle(t.accepted, t.e.c.refusal(stageDATA, r))
}

// learn notes how many recipients the server takes.
func (t *transaction) learn() {
	t.e.mu.Lock()
	defer t.e.mu.Unlock()
	if len(t.again) > 0 {
		t.e.c.limit = len(t.accepted)
	}
}

// onDot gives the accepted recipients, or the one that an answer in LMTP is for,
// the verdict on the message.
func (t *transaction) onDot(i int, r reply) *Verdict {
	c := t.e.c
	who := t.accepted
	if c.cfg.LMTP {
		who = []int{i}
	}
	early := !t.dot.Load()
	switch {
	case len(t.accepted) == 0: // nobody was to get it
		t.over = true
		return nil
	case r.class() == 2 && early:
		return c.lost(stageDot, errUnasked)
	case r.class() == 2:
		t.confirm(who, r)
		return nil
	case r.class() < 4:
		return c.refusal(stageDot, r)
	}
	t.told = t.told || !c.cfg.LMTP || early
	if v := t.settle(who, c.refusal(stageDot, r)); v != nil {
		return v
	}
	if early {
		// What the server makes of the rest of the message is its secret: it may
		// take lines of it for commands.
		return c.lost(stageDot, errEarly)
	}
	t.finished(i)
	return nil
}

// confirm notes that the server has taken responsibility.
func (t *transaction) confirm(who []int, r reply) {
	c := t.e.c
	v := &Verdict{Outcome: outcome.Success("%s", c.clean(r.text())), Stage: stageDot, Reason: c.clean(r.text()), Reports: c.caps.dsn}
	if e := r.enhanced(); e != "" {
		v.Code = e
	}
	for _, w := range who {
		t.job.end(w, v)
	}
	t.finished(who[len(who)-1])
	// After a BDAT that was refused some servers believe that the transaction goes on.
	t.e.mu.Lock()
	defer t.e.mu.Unlock()
	if c.chunks() && t.e.flying[len(t.e.flying)-1] == t {
		c.doubt = false // nothing is behind it
	}
}

// finished notes the answer to the end of the message for recipient i.
func (t *transaction) finished(i int) {
	c := t.e.c
	t.over = !c.cfg.LMTP || i == t.accepted[len(t.accepted)-1]
	t.told = t.over
	t.learn()
}

// settle gives all of who the verdict, unless it is trouble and ends everything.
func (t *transaction) settle(who []int, v *Verdict) *Verdict {
	if v.Trouble {
		return v
	}
	for _, i := range who {
		t.job.end(i, v)
	}
	return nil
}
