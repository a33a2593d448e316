package courier

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"time"

	"dma/common/outcome"
	"dma/dma-remote/internal/resolve"
	"dma/dma-remote/internal/session"
	"dma/dma-remote/internal/tlspolicy"
)

// maxReturns is how often a message is given back by a connection that failed for
// another's sake before it is taken for the cause.
const maxReturns = 10

// A delivery is one Request under way.
type delivery struct {
	c        *Courier
	req      *Request
	ctx      context.Context // of the request
	mail     session.Mail
	pending  []int         // recipients without an end
	done     chan struct{} // closed when all recipients have their end
	returned int           // how often a connection has given it back

	// The pool's lock is for these.
	lane    *lane
	on      *worker // that has it
	begun   time.Time
	tried   []string // ids of places that are not to be tried again
	trouble Result   // of the last of them
}

// report gives one recipient its end.
func (d *delivery) report(i int, r Result) {
	d.pending = slices.DeleteFunc(d.pending, func(p int) bool { return p == i })
	if d.ctx.Err() != nil || d.cancelled() {
		r.Destination = false // it was given up, by no fault of the destination's
	}
	d.req.Report(i, r)
}

// end gives all recipients left the same end.
func (d *delivery) end(r Result) {
	for _, i := range slices.Clone(d.pending) {
		d.report(i, r)
	}
	close(d.done)
}

func (d *delivery) cancelled() bool {
	select {
	case <-d.req.Cancelled:
		return true
	default:
		return false
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

// mayUse reports whether the message may be given to a server at p. The caller
// holds the pool's lock.
func (d *delivery) mayUse(p place) bool {
	return len(d.tried) == 0 || !slices.Contains(d.tried, p.id())
}

// open tries place after place until a connection is ready for mail.
func (d *delivery) open(ctx context.Context, path path, skip []string, trouble Result) (*session.Conn, place, Result) {
	if trouble.Class == 0 {
		trouble.Outcome = outcome.Defer("4.3.2", "interrupted")
	}
	for _, find := range path.steps {
		places, err := find(ctx)
		if err != nil {
			trouble = lookupFailed(err)
			continue
		}
		for i := 0; i < len(places); {
			if i == 0 {
				d.announce(places[0])
			}
			host := sameHost(places[i:])
			i += len(host)
			host = slices.DeleteFunc(host, func(p place) bool { return slices.Contains(skip, p.id()) })
			conn, at, v := d.openHost(ctx, host)
			if conn != nil {
				return conn, at, Result{}
			}
			if v != nil {
				trouble = result(v, at.peer())
			}
			if ctx.Err() != nil {
				return nil, place{}, trouble
			}
		}
	}
	return nil, place{}, trouble
}

// sameHost is those of the first places that belong to one server.
func sameHost(places []place) []place {
	n := 1
	for n < len(places) && places[n].Name == places[0].Name {
		n++
	}
	return slices.Clone(places[:n])
}

// openHost tries the addresses of one host. The verdict is the last one.
func (d *delivery) openHost(ctx context.Context, host []place) (*session.Conn, place, *session.Verdict) {
	var at place
	var v *session.Verdict
	for len(host) > 0 && ctx.Err() == nil {
		gone := make(map[string]bool)
		nc, i := d.c.race(ctx, host, func(i int) {
			d.req.Log.TryingRemote(host[i].Name, host[i].ip(), host[i].Pref)
		}, func(i int, err error) {
			at, v = host[i], session.Unreachable(host[i].peer(), err)
			gone[at.id()] = true
			d.log(at, v)
		})
		if nc == nil {
			break
		}
		at = host[i]
		gone[at.id()] = true
		var conn *session.Conn
		if conn, v = d.greet(ctx, nc, at); v == nil {
			return conn, at, nil
		}
		d.log(at, v)
		host = slices.DeleteFunc(host, func(p place) bool { return gone[p.id()] })
	}
	return nil, at, v
}

// announce logs which server of a route is tried.
func (d *delivery) announce(p place) {
	if p.routed {
		d.req.Log.UsingSmarthost(p.server.Name, p.server.Port)
	}
}

// lookupFailed is trouble with the DNS, or the end: the domain takes no mail.
func lookupFailed(err error) Result {
	var f *resolve.Failure
	if !errors.As(err, &f) {
		f = &resolve.Failure{Outcome: outcome.Defer("4.4.3", "DNS lookup failure: %v", err)}
	}
	return Result{Outcome: f.Outcome, Destination: f.Class == outcome.Later}
}

// log tells of a verdict that this message has had, or caused.
func (d *delivery) log(p place, v *session.Verdict) {
	if v.Class == outcome.Failed {
		d.req.Log.RemoteFailed(p.Name, p.ip(), v.Stage, v.Reason)
	} else {
		d.req.Log.RemoteDeferred(p.Name, p.ip(), v.Stage, v.Reason)
	}
}

// greet makes a connection ready for mail, or another one in plain text where that
// will do.
func (d *delivery) greet(ctx context.Context, nc net.Conn, p place) (*session.Conn, *session.Verdict) {
	if a := p.server.Auth; a != nil {
		d.req.Log.UsingAuth(a.User)
	}
	observe := func(what, text string) {
		if what == session.TLS {
			d.req.Log.UsingTLS(p.Name, p.ip(), text)
		}
	}
	policy := p.policy()
	conn, v := d.c.greet(ctx, nc, p, policy, observe)
	if v != nil && v.BadTLS && policy.Level == tlspolicy.May {
		d.req.Log.Problem(fmt.Sprintf("TLS with %s, going on in plain text", p.peer()), v)
		conn, v = d.c.connect(ctx, p, tlspolicy.Policy{}, observe)
	}
	return conn, v
}

// task is the delivery over the connection of w.
func (d *delivery) task(w *worker) *session.Task {
	if w.opened != d {
		d.announce(w.place)
	}
	var logged *session.Verdict
	return &session.Task{
		Mail:      &d.mail,
		Pending:   slices.Clone(d.pending),
		Cancelled: d.req.Cancelled,
		Report: func(i int, v *session.Verdict) {
			if v != logged && v.Class != outcome.Done {
				logged = v // many recipients may share one verdict: one event
				d.log(w.place, v)
			}
			d.report(i, result(v, w.place.peer()))
		},
		Done: func(rest []int, v *session.Verdict, own bool) { w.done(d, rest, v, own) },
	}
}

func result(v *session.Verdict, peer string) Result {
	return Result{Outcome: v.Outcome, Destination: v.Trouble, Reports: v.Reports, Remote: peer}
}
