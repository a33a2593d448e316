// Package courier brings a message to a destination: it chooses the servers to
// try, keeps connections for the next message, and has an end for each recipient.
package courier

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"strings"
	"time"

	"dma/common/conf"
	"dma/common/outcome"
	"dma/dma-remote/internal/content"
	"dma/dma-remote/internal/resolve"
	"dma/dma-remote/internal/session"
)

// Limits.
const (
	smtpPort       = 25               // of MX hosts (RFC 5321 4.5.4.2)
	connectTime    = 30 * time.Second // for one address (RULES E1)
	requestTime    = 2 * time.Hour    // for one Deliver, all addresses together
	smarthostConns = 20               // at a time (DESIGN 6)
	domainConns    = 2                // at a time to any other destination (DESIGN 6)
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
	RemoteDeferred(host, ip, stage, reply string)
	RemoteFailed(host, ip, stage, reply string)
	Problem(operation string, err error)
}

// Config is where mail goes, and how. It does not change.
type Config struct {
	Broken    error  // why nothing can be sent: a file that cannot be read
	Smarthost string // empty: there is none
	Port      int    // of the smarthost
	Auth      *conf.Auth

	Transport       conf.Transport // to the smarthost
	DomainTransport conf.Transport // to MX hosts
	Roots           *x509.CertPool
	Certificate     *tls.Certificate // for the smarthost to know us by; may be nil

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
func New(cfg Config) *Courier { return &Courier{cfg, newPool(cfg.Now)} }

// Close ends all connections that wait for more mail. Deliver must have returned.
func (c *Courier) Close() { c.pool.close() }

// Request is one message for one destination.
type Request struct {
	Domain     string // whose MX to ask; empty: the smarthost
	Sender     string
	Recipients []string
	Body       *content.Message
	Log        Log
	// Report is called once for each recipient, by the goroutine that called Deliver.
	Report func(recipient int, r Result)
}

// Result is the end of one recipient.
type Result struct {
	outcome.Outcome
	Destination bool   // deferred because of the destination, whose other mail can wait, too
	Remote      string // the server whose word it is: "host [address]", or empty
}

// route is what Domain of a request comes to.
type route struct {
	key       string // of the pool
	conns     int
	port      int
	transport conf.Transport
	auth      *conf.Auth
	hosts     func(context.Context) ([]resolve.Host, error)
}

// Deliver tries to send a message to all its recipients and reports on each.
func (c *Courier) Deliver(ctx context.Context, req *Request) {
	d := &delivery{c: c, req: req, mail: session.Mail{Sender: req.Sender, Recipients: req.Recipients, Body: req.Body}}
	for i := range req.Recipients {
		d.pending = append(d.pending, i)
	}
	if !d.inspect() {
		return
	}
	rt, err := c.route(req)
	if err != nil {
		d.end(Result{Outcome: outcome.Defer("4.3.5", "configuration: %v", err), Destination: true})
		return
	}
	ctx, cancel := context.WithTimeout(ctx, requestTime)
	defer cancel()
	lane, err := c.pool.enter(ctx, rt.key, rt.conns)
	if err != nil {
		d.end(Result{Outcome: outcome.Defer("4.3.2", "wait for a connection: %v", err)})
		return
	}
	defer lane.leave()
	d.route, d.lane = rt, lane
	d.run(ctx)
}

// route says where req goes, or why it cannot go there: by no fault of the mail's.
func (c *Courier) route(req *Request) (route, error) {
	switch {
	case c.cfg.Broken != nil:
		return route{}, c.cfg.Broken
	case req.Domain == "" && c.cfg.Smarthost == "":
		return route{}, errors.New("there is no SMARTHOST")
	case req.Domain != "":
		domain := strings.ToLower(req.Domain)
		return route{
			key: domain, conns: domainConns, port: smtpPort, transport: c.cfg.DomainTransport,
			hosts: func(ctx context.Context) ([]resolve.Host, error) { return c.cfg.Resolver.Domain(ctx, domain) },
		}, nil
	}
	return route{
		conns: smarthostConns, port: c.cfg.Port, transport: c.cfg.Transport, auth: c.cfg.Auth,
		hosts: func(ctx context.Context) ([]resolve.Host, error) {
			return c.cfg.Resolver.Smarthost(ctx, c.cfg.Smarthost)
		},
	}, nil
}

// tls makes the TLS configuration for one server. Its name is what the
// administrator or the MX record says, never what the server says.
func (c *Courier) tls(rt route, server string) *tls.Config {
	t := &tls.Config{
		ServerName:         server,
		RootCAs:            c.cfg.Roots,
		InsecureSkipVerify: !rt.transport.Verify, // what conf.Transport says; encrypted is better than not
		MinVersion:         tls.VersionTLS12,     // RULES E8
	}
	if rt.key == "" && c.cfg.Certificate != nil {
		t.Certificates = []tls.Certificate{*c.cfg.Certificate}
	}
	return t
}
