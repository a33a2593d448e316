package courier

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"time"

	"dma/dma-remote/internal/session"
	"dma/dma-remote/internal/tlspolicy"
)

// Limits of making a connection.
const (
	connectTime = 30 * time.Second       // for one address (RULES E1)
	nextTry     = 300 * time.Millisecond // until the next address of a host is tried beside those before (RFC 8305 section 5 has 250)
)

// dialed is the end of one attempt.
type dialed struct {
	at   int // index of the place
	conn net.Conn
	err  error
}

// race connects to one of some addresses of a host, in their order: the next is
// tried when the last has failed, or takes long, as where one family leads nowhere.
// trying is told of each attempt, failed of each that did not work. It returns -1
// if none did.
func (c *Courier) race(ctx context.Context, places []place, trying func(int), failed func(int, error)) (net.Conn, int) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ends := make(chan dialed, len(places))
	begun, over := 0, 0
	begin := func() {
		trying(begun)
		at := begun
		begun++
		go func() {
			conn, err := c.dial(ctx, places[at])
			ends <- dialed{at, conn, err} // has room
		}()
	}
	timer := time.NewTimer(nextTry)
	defer timer.Stop()
	winner := dialed{at: -1}
	for winner.conn == nil && over < len(places) {
		if begun == over {
			begin()
			timer.Reset(nextTry)
		}
		select {
		case d := <-ends:
			over++
			if d.err == nil {
				winner = d
				break
			}
			failed(d.at, d.err)
		case <-timer.C:
			if begun < len(places) {
				begin()
				timer.Reset(nextTry)
			}
		}
	}
	cancel()
	for ; over < begun; over++ { // they end at once
		if d := <-ends; d.conn != nil {
			d.conn.Close()
		}
	}
	return winner.conn, winner.at
}

func (c *Courier) dial(ctx context.Context, p place) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, connectTime)
	defer cancel()
	network, address := p.dial()
	return c.cfg.Dialer.DialContext(ctx, network, address)
}

// policy is how the connection is secured.
func (p place) policy() tlspolicy.Policy {
	return tlspolicy.Decide(p.server.Transport, p.Name, tlspolicy.Records{})
}

// connect makes a connection that is ready for mail.
func (c *Courier) connect(ctx context.Context, p place, policy tlspolicy.Policy, observe func(what, text string)) (*session.Conn, *session.Verdict) {
	nc, err := c.dial(ctx, p)
	if err != nil {
		return nil, session.Unreachable(p.peer(), err)
	}
	return c.greet(ctx, nc, p, policy, observe)
}

// greet makes nc ready for mail.
func (c *Courier) greet(ctx context.Context, nc net.Conn, p place, policy tlspolicy.Policy, observe func(what, text string)) (*session.Conn, *session.Verdict) {
	var mine *tls.Certificate
	if p.routed {
		mine = c.cfg.Certificate
	}
	s, err := session.Open(ctx, nc, p.peer(), session.Config{
		Helo:     c.cfg.Helo,
		LMTP:     p.server.LMTP,
		Policy:   policy,
		TLS:      policy.Config(c.cfg.Roots, mine),
		Auth:     p.server.Auth,
		Port:     p.server.Port,
		Insecure: p.server.Transport.Insecure,
		Observe:  observe,
		Limits:   c.cfg.Limits,
	})
	var v *session.Verdict
	if errors.As(err, &v) {
		return nil, v
	}
	return s, nil
}
