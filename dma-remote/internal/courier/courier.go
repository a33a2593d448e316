// Package courier brings a message to a destination: it chooses the servers to
// try, keeps connections for the next message, and has an end for each recipient.
package courier

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"time"

	"dma/common/conf"
	"dma/common/dsn"
	"dma/common/outcome"
	"dma/dma-remote/internal/content"
	"dma/dma-remote/internal/resolve"
	"dma/dma-remote/internal/session"
)

// Limits.
const (
	requestTime    = 2 * time.Hour   // for one Deliver, all addresses together
	cancelGrace    = 2 * time.Second // from Cancelled until the connection of the message is ended for it
	smarthostConns = 20              // at a time, to the servers of one route (DESIGN 6)
	chunkConns     = 5               // at a time, where CHUNKING makes one as good as many (DESIGN 6)
	domainConns    = 2               // at a time to any other destination (DESIGN 6)
)

// Dialer is what of net.Dialer is used.
type Dialer interface {
	DialContext(ctx context.Context, network, address string) (net.Conn, error)
}

// Log has the events that the courier logs; maillog.Entry implements it. What
// became of each recipient the runner logs.
type Log interface {
	UsingSmarthost(host string, port int)
	TryingRemote(host, ip string, pref int)
	UsingAuth(user string)
	UsingTLS(host, ip, how string)
	RemoteDeferred(host, ip, stage, reply string)
	RemoteFailed(host, ip, stage, reply string)
	Problem(operation string, err error)
}

// Config is where mail goes, and how. It does not change.
type Config struct {
	Broken      error                             // why nothing can be sent: a file that cannot be read
	Route       func(sender string) (Route, bool) // for mail that names no domain; false: there is none
	Direct      conf.Transport                    // to MX hosts
	Roots       *x509.CertPool
	Certificate *tls.Certificate // for servers of routes to know us by; may be nil

	Helo     string
	Resolver *resolve.Resolver
	Dialer   Dialer
	Limits   session.Limits
	Now      func() time.Time
}

// Courier delivers for any number of goroutines at a time.
type Courier struct {
	cfg  Config
	pool *pool
}

// New makes a courier. Close ends it.
func New(cfg Config) *Courier {
	c := &Courier{cfg: cfg}
	c.pool = newPool(c)
	return c
}

// Close ends all connections that wait for more mail. Deliver must have returned.
func (c *Courier) Close() { c.pool.close() }

// Request is one message for one destination.
type Request struct {
	Domain     string // whose MX to ask; empty: the sender's route
	Sender     string
	Recipients []session.Recipient
	Ret        dsn.Ret // see proto.Send
	EnvID      string
	Body       *content.Message
	Log        Log
	// Cancelled, once closed, asks to give up what was not sent yet. It may be nil.
	Cancelled <-chan struct{}
	// Report is called once for each recipient, one call at a time.
	Report func(recipient int, r Result)
}

// Result is the end of one recipient.
type Result struct {
	outcome.Outcome
	Destination bool   // deferred because of the destination, whose other mail can wait, too
	Reports     bool   // the server does what the recipient's Notify asks for
	Remote      string // the server whose word it is: "host [address]", or empty
}

// Deliver tries to send a message to all its recipients and reports on each.
func (c *Courier) Deliver(ctx context.Context, req *Request) {
	ctx, cancel := context.WithTimeout(ctx, requestTime)
	defer cancel()
	d := &delivery{
		c: c, req: req, ctx: ctx, done: make(chan struct{}),
		mail: session.Mail{Sender: req.Sender, Recipients: req.Recipients, Ret: req.Ret, EnvID: req.EnvID, Body: req.Body},
	}
	for i := range req.Recipients {
		d.pending = append(d.pending, i)
	}
	if !d.inspect() {
		return
	}
	path, err := c.path(req)
	if err != nil {
		d.end(Result{Outcome: outcome.Defer("4.3.5", "configuration: %v", err), Destination: true})
		return
	}
	c.pool.submit(path, d)
	select {
	case <-d.done:
		return
	case <-req.Cancelled:
		// On a connection already, the session stops it before its next step.
	case <-ctx.Done():
	}
	if c.pool.withdraw(d) {
		d.end(Result{Outcome: outcome.Defer("4.3.2", "given up before it was sent")})
		return
	}
	grace := time.NewTimer(cancelGrace)
	defer grace.Stop()
	for {
		select {
		case <-d.done:
			return
		case <-grace.C:
			c.pool.abort(d, true)
		case <-ctx.Done():
			c.pool.abort(d, false)
			<-d.done
			return
		}
	}
}
