package courier

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"dma/common/outcome"
	"dma/dma-remote/internal/resolve"
	"dma/dma-remote/internal/session"
	"dma/dma-remote/internal/tlspolicy"
)

// A delivery is one Request under way.
type delivery struct {
	c       *Courier
	req     *Request
	ctx     context.Context // of the request
	mail    session.Mail
	path    path
	lane    *lane
	pending []int  // recipients without an end
	trouble Result // why they have none: what the last server, or the DNS, said
}

// report gives one recipient its end.
func (d *delivery) report(i int, r Result) {
	d.pending = slices.DeleteFunc(d.pending, func(p int) bool { return p == i })
	if d.ctx.Err() != nil {
		r.Destination = false // it was given up, by no fault of the destination's
	}
	d.req.Report(i, r)
}

// end gives all recipients left the same end.
func (d *delivery) end(r Result) {
	for _, i := range slices.Clone(d.pending) {
		d.report(i, r)
	}
}

// inspect finds out what is to be known of the message before it is sent. False:
// there is no need to try.
func (d *delivery) inspect() bool {
	facts, err := d.mail.Body.Inspect()
	switch {
	case err != nil:
		d.end(Result{Outcome: outcome.Defer("4.3.0", "%v", err)})
		return false
	case facts.Changed && facts.Signed: // RULES E6
		d.end(Result{Outcome: outcome.Fail("5.6.3", "message is signed and has lines or characters that SMTP cannot carry as they are")})
		return false
	}
	d.mail.Facts = facts
	return true
}

// run tries a connection that is open already, and then place after place. Only
// recipients whom no server took responsibility for are offered to the next.
func (d *delivery) run(ctx context.Context) {
	d.trouble = Result{Outcome: outcome.Defer("4.3.2", "interrupted")}
	if idle := d.lane.take(); idle != nil {
		d.announce(idle.place)
		// That it is no more is nothing to write home about: servers may close
		// what is idle (RFC 5321 4.5.3.2.7).
		d.send(ctx, idle, func(*session.Verdict) {})
	}
	for _, find := range d.path.steps {
		if len(d.pending) == 0 || ctx.Err() != nil {
			break
		}
		places, err := find(ctx)
		if err != nil {
			d.lookupFailed(err)
			continue
		}
		for i, p := range places {
			if i == 0 {
				d.announce(p)
			}
			d.try(ctx, p)
			if len(d.pending) == 0 || ctx.Err() != nil {
				break
			}
		}
	}
	d.end(d.trouble)
}

// announce logs which server of a route is tried.
func (d *delivery) announce(p place) {
	if p.routed {
		d.req.Log.UsingSmarthost(p.server.Name, p.server.Port)
	}
}

// lookupFailed notes trouble with the DNS; a domain that takes no mail is an end.
func (d *delivery) lookupFailed(err error) {
	var f *resolve.Failure
	if !errors.As(err, &f) {
		f = &resolve.Failure{Outcome: outcome.Defer("4.4.3", "DNS lookup failure: %v", err)}
	}
	d.trouble = Result{Outcome: f.Outcome, Destination: f.Class == outcome.Later}
	if f.Class == outcome.Failed {
		d.end(d.trouble)
	}
}

// try offers the message at one place.
func (d *delivery) try(ctx context.Context, p place) {
	name, ip := p.Name, p.ip()
	log := func(v *session.Verdict) {
		if v.Class == outcome.Failed {
			d.req.Log.RemoteFailed(name, ip, v.Stage, v.Reason)
		} else {
			d.req.Log.RemoteDeferred(name, ip, v.Stage, v.Reason)
		}
	}
	d.req.Log.TryingRemote(name, ip, p.Pref)
	policy := p.policy()
	conn, v := d.open(ctx, p, policy)
	if v != nil && v.BadTLS && policy.Level == tlspolicy.May {
		d.req.Log.Problem(fmt.Sprintf("TLS with %s, going on in plain text", p.peer()), v)
		conn, v = d.open(ctx, p, tlspolicy.Policy{})
	}
	if v != nil {
		log(v)
		d.trouble = result(v, p.peer())
		return
	}
	d.send(ctx, conn, log)
}

// open connects and makes the connection ready for mail.
func (d *delivery) open(ctx context.Context, p place, policy tlspolicy.Policy) (*connection, *session.Verdict) {
	if a := p.server.Auth; a != nil {
		d.req.Log.UsingAuth(a.User)
	}
	s, v := d.c.connect(ctx, p, policy, func(what, text string) {
		if what == session.TLS {
			d.req.Log.UsingTLS(p.Name, p.ip(), text)
		}
	})
	if v != nil {
		return nil, v
	}
	return d.lane.adopt(s, p), nil
}

// send offers the message over a connection, and keeps that if it is still good.
func (d *delivery) send(ctx context.Context, conn *connection, log func(*session.Verdict)) {
	var logged *session.Verdict
	conn.session.Send(ctx, &d.mail, slices.Clone(d.pending), func(i int, v *session.Verdict) {
		if v != logged && v.Class != outcome.Done {
			logged = v // many recipients may share one verdict: one event
			log(v)
		}
		if v.Trouble {
			d.trouble = result(v, conn.place.peer())
			return
		}
		d.report(i, result(v, conn.place.peer()))
	})
	d.lane.put(conn)
}

func result(v *session.Verdict, peer string) Result {
	return Result{Outcome: v.Outcome, Destination: v.Trouble, Reports: v.Reports, Remote: peer}
}
