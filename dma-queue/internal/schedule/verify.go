package schedule

import (
	"time"

	"dma/common/aliases/token"
	"dma/common/mailaddr"
	"dma/common/outcome"
	"dma/dma-queue/internal/queue"
	"dma/proto"
)

// verifyDepth bounds how deep the stations of an address lie below each other:
// aliases and users in a row, each of which is bounded where it is resolved.
const verifyDepth = 100

// verifier finds out where mail for an address would go, by doing with a message
// that nobody sent what the queue does with one. It is one client's goroutine.
type verifier struct {
	s      *Scheduler
	caller Caller
	m      *queue.Message // the loop's while it looks
	yield  func(*proto.Verdict) error
}

// Verify calls yield for each station of address, depth first.
func (s *Scheduler) Verify(c Caller, sender, address string, yield func(*proto.Verdict) error) error {
	v := &verifier{s: s, caller: c, yield: yield}
	if !s.call(func() {
		s.site = s.conf.Site()
		if a, err := mailaddr.ParseSender(sender); err == nil && sender != "" {
			sender = a.In(s.site.Expand.Host).String()
		}
		v.m = unresolved(sender, address)
	}) {
		return ErrEnding
	}
	return v.visit(0, 0)
}

func (v *verifier) say(depth int, address string, o outcome.Outcome) error {
	return v.yield(&proto.Verdict{Depth: uint8(min(depth, verifyDepth)), Address: address, Outcome: o})
}

// visit is for target i, which others may have replaced already.
func (v *verifier) visit(i, depth int) error {
	t := v.m.Targets[i]
	if depth > verifyDepth {
		return v.say(depth, t.Address, outcome.Defer("4.4.6", "goes through too many others"))
	}
	switch t.Kind {
	case queue.Recipient:
		return v.recipient(i, depth)
	case queue.User, queue.Mailbox:
		return v.user(i, depth)
	case queue.Command, queue.File:
		if t.OfAlias() {
			return v.ofAlias(&t, depth)
		}
	}
	switch t.Kind {
	case queue.Command:
		return v.say(depth, t.Address, outcome.Success("command, entry %d of the .forward", t.Token.Index+1))
	case queue.File:
		return v.say(depth, t.Address, outcome.Success("file, entry %d of the .forward", t.Token.Index+1))
	}
	var o outcome.Outcome
	if !v.s.call(func() { o = v.s.wayOut(v.m.Sender, &t) }) {
		return ErrEnding
	}
	return v.say(depth, t.Address, o)
}

// ofAlias shows what the alias file says, which is no secret: an account without
// rights has to be able to read it.
func (v *verifier) ofAlias(t *queue.Target, depth int) error {
	o := outcome.Success("it was taken out of the alias file just now")
	if !v.s.call(func() {
		table := v.s.site.Expand.Aliases
		if table == nil {
			return
		}
		target, found := token.Find(table, t.Token.Entry)
		switch {
		case found && table.Unsafe != nil:
			o = outcome.Defer("4.3.5", "%v", table.Unsafe)
		case found && t.Kind == queue.Command:
			o = outcome.Success("command: %s", target.Text)
		case found:
			o = outcome.Success("file: %s", target.Text)
		}
	}) {
		return ErrEnding
	}
	return v.say(depth, t.Address, o)
}

// wayOut says how mail leaves this host.
func (s *Scheduler) wayOut(sender string, t *queue.Target) outcome.Outcome {
	text := s.site.wayName(sender, t.Address)
	if key, ok := s.site.laneOf(sender, t); ok {
		if l := s.lanes[key]; l != nil && l.down(s.now()) {
			return outcome.Defer("4.4.1", "%s, not before %s: %s", text, l.until.UTC().Format(time.RFC3339), l.reason.Text)
		}
	}
	return outcome.Success("%s", text)
}

// wayName names the way to a remote address for people.
func (c *Site) wayName(sender, address string) string {
	if c.Via != nil {
		return c.Via(sender, address)
	}
	if key := (laneKey{proto.RoleRemote, c.Route(sender, address)}); key.domain() != "" {
		return "mail hosts of " + key.domain()
	}
	return "smarthost"
}

// recipient looks an address up in the aliases.
func (v *verifier) recipient(i, depth int) error {
	was, before := v.m.Targets[i], len(v.m.Targets)
	var o outcome.Outcome
	same := false
	if !v.s.call(func() {
		e := &v.s.site.Expand
		o = e.Begin(v.m).Resolve(i)
		same = e.Fold(v.m.Targets[i].Address) == e.Fold(was.Address)
	}) {
		return ErrEnding
	}
	now := v.m.Targets[i]
	switch {
	case o.Class != 0:
		return v.say(depth, was.Address, o)
	case now.State == queue.Done:
		return v.say(depth, was.Address, now.Outcome)
	case now.State == queue.Open && same:
		return v.visit(i, depth)
	case now.State == queue.Open:
		if err := v.say(depth, was.Address, outcome.Success("alias")); err != nil {
			return err
		}
		return v.visit(i, depth+1)
	}
	return v.children(was.Address, "alias", before, depth)
}

// children visits what a target was replaced by.
func (v *verifier) children(address, what string, before, depth int) error {
	after := len(v.m.Targets)
	if after == before {
		what += "; the mail goes there already"
	}
	if err := v.say(depth, address, outcome.Success("%s", what)); err != nil {
		return err
	}
	for k := before; k < after; k++ {
		if err := v.visit(k, depth+1); err != nil {
			return err
		}
	}
	return nil
}

// user asks dma-forward, even for a mailbox: it takes dma-spawn to know whether
// there is such a user.
func (v *verifier) user(i, depth int) error {
	t := v.m.Targets[i]
	a, err := v.forward(t)
	switch {
	case err != nil:
		return err
	case a.unknown && t.Parent == queue.NoParent && depth == 0:
		return v.say(depth, t.Address, outcome.Fail("5.1.1", "no user %q here", t.Login))
	case a.unknown:
		return v.say(depth, t.Address, outcome.Defer("4.1.1", "no user %q here; correct the alias or .forward that names it", t.Login))
	case t.Kind == queue.Mailbox:
		return v.say(depth, t.Address, outcome.Success("mailbox"))
	case !v.caller.All && (!v.caller.Known || v.caller.Login != t.Login):
		return v.say(depth, t.Address, outcome.Success("user; what this user's .forward says is not shown to others"))
	case a.trouble.Class != 0:
		return v.say(depth, t.Address, a.trouble)
	case len(a.entries) == 0:
		return v.say(depth, t.Address, outcome.Success("mailbox"))
	}
	before := len(v.m.Targets)
	var o outcome.Outcome
	if !v.s.call(func() { o = v.s.site.Expand.Begin(v.m).Forwarded(i, a.entries) }) {
		return ErrEnding
	}
	switch {
	case o.Class != 0:
		return v.say(depth, t.Address, o)
	case v.m.Targets[i].State == queue.Open: // one entry, a mailbox, takes its place
		if err := v.say(depth, t.Address, outcome.Success(".forward")); err != nil {
			return err
		}
		return v.visit(i, depth+1)
	}
	return v.children(t.Address, ".forward", before, depth)
}

// forward asks for a user's .forward and waits for the answer.
func (v *verifier) forward(t queue.Target) (answer, error) {
	got := make(chan answer, 1)
	if !v.s.call(func() { v.s.askForward(t.Login, t.Extension, func(a answer) { got <- a }) }) {
		return answer{}, ErrEnding
	}
	select {
	case a := <-got:
		return a, nil
	case <-v.s.done:
		return answer{}, ErrEnding
	}
}
