package courier

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"dma/common/conf"
	"dma/common/outcome"
	"dma/dma-remote/internal/resolve"
	"dma/dma-remote/internal/session"
)

// A delivery is one Request under way.
type delivery struct {
	c       *Courier
	req     *Request
	mail    session.Mail
	route   route
	lane    *lane
	pending []int  // recipients without an end
	trouble Result // why they have none: what the last server, or the DNS, said
}

// report gives one recipient its end.
func (d *delivery) report(i int, r Result) {
	d.pending = slices.DeleteFunc(d.pending, func(p int) bool { return p == i })
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

// run tries a connection that is open already, and then host after host. Only
// recipients whom no server took responsibility for are offered to the next.
func (d *delivery) run(ctx context.Context) {
	if d.req.Domain == "" {
		d.req.Log.UsingSmarthost(d.c.cfg.Smarthost, d.c.cfg.Port)
	}
	if idle := d.lane.take(); idle != nil {
		// That it is no more is nothing to write home about: servers may close
		// what is idle (RFC 5321 4.5.3.2.7).
		d.send(ctx, idle, func(*session.Verdict) {})
	}
	if len(d.pending) == 0 {
		return
	}
	hosts, err := d.route.hosts(ctx)
	if err != nil {
		d.lookupFailed(err)
		return
	}
	for _, h := range hosts {
		d.try(ctx, h)
		if len(d.pending) == 0 || ctx.Err() != nil {
			break
		}
	}
	d.end(d.trouble)
}

func (d *delivery) lookupFailed(err error) {
	var f *resolve.Failure
	if !errors.As(err, &f) {
		f = &resolve.Failure{Outcome: outcome.Defer("4.4.3", "DNS lookup failure: %v", err)}
	}
	d.end(Result{Outcome: f.Outcome, Destination: f.Class == outcome.Later})
}

// try offers the message to one host.
func (d *delivery) try(ctx context.Context, h resolve.Host) {
	name, ip := h.Name, h.Addr.String()
	log := func(v *session.Verdict) {
		if v.Class == outcome.Failed {
			d.req.Log.RemoteFailed(name, ip, v.Stage, v.Reason)
		} else {
			d.req.Log.RemoteDeferred(name, ip, v.Stage, v.Reason)
		}
	}
	d.req.Log.TryingRemote(name, ip, h.Pref)
	conn, v := d.open(ctx, h, d.route.transport)
	if v != nil && v.BadTLS && d.route.transport.StartTLS == conf.TLSMay {
		d.req.Log.Problem(fmt.Sprintf("TLS with %s [%s], going on in plain text", name, ip), v)
		plain := d.route.transport
		plain.StartTLS = conf.TLSNone
		conn, v = d.open(ctx, h, plain)
	}
	if v != nil {
		log(v)
		d.trouble = result(v, session.Peer(h.Name, h.Addr))
		return
	}
	d.send(ctx, conn, log)
}

// open connects to a host and makes the connection ready for mail.
func (d *delivery) open(ctx context.Context, h resolve.Host, transport conf.Transport) (*connection, *session.Verdict) {
	dctx, cancel := context.WithTimeout(ctx, connectTime)
	defer cancel()
	peer := session.Peer(h.Name, h.Addr)
	nc, err := d.c.cfg.Dialer.DialContext(dctx, "tcp", netip.AddrPortFrom(h.Addr, uint16(d.route.port)).String())
	if err != nil {
		return nil, session.Unreachable(peer, err)
	}
	if d.route.auth != nil {
		d.req.Log.UsingAuth(d.route.auth.User)
	}
	s, err := session.Open(ctx, nc, peer, session.Config{
		Helo:      d.c.cfg.Helo,
		Transport: transport,
		TLS:       d.c.tls(d.route, h.Name),
		Auth:      d.route.auth,
		Limits:    d.c.cfg.Limits,
	})
	var v *session.Verdict
	if errors.As(err, &v) {
		return nil, v
	}
	return d.lane.adopt(s, peer), nil
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
			d.trouble = result(v, conn.peer)
			return
		}
		d.report(i, result(v, conn.peer))
	})
	d.lane.put(conn)
}

func result(v *session.Verdict, peer string) Result {
	return Result{Outcome: v.Outcome, Destination: v.Trouble, Remote: peer}
}
