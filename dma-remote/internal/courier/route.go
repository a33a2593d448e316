package courier

import (
	"context"
	"errors"
	"net/netip"
	"strconv"
	"strings"

	"dma/common/conf"
	"dma/dma-remote/internal/resolve"
)

const smtpPort = 25 // of MX hosts (RFC 5321 4.5.4.2)

// Server is one server of a Route, and how it is spoken to.
type Server struct {
	conf.Host
	Transport conf.Transport
	Auth      *conf.Auth // nil: mail goes unauthenticated
}

// Route is a way out that the administrator has named.
type Route struct {
	// Key tells routes apart. Those that have the same servers and credentials
	// have the same key, and share connections (RULES E11).
	Key     string
	Broken  error // why it cannot be taken
	Servers []Server
}

// A path is what a request's destination comes to.
type path struct {
	key   string // of the lane
	conns int
	// steps find places to try, and are taken one after the other.
	steps []func(context.Context) ([]place, error)
}

// A place is one address to try.
type place struct {
	resolve.Host
	server Server
	socket string // path of a unix socket, which has no address
	routed bool   // by the administrator's choice, not by MX
}

// path says where req goes, or why it cannot go there: by no fault of the mail's.
func (c *Courier) path(req *Request) (path, error) {
	switch {
	case c.cfg.Broken != nil:
		return path{}, c.cfg.Broken
	case req.Domain != "":
		return c.direct(strings.ToLower(req.Domain)), nil
	}
	rt, ok := c.cfg.Route(req.Sender)
	switch {
	case !ok:
		return path{}, errors.New("there is no SMARTHOST")
	case rt.Broken != nil:
		return path{}, rt.Broken
	}
	return c.routed(rt), nil
}

func (c *Courier) direct(domain string) path {
	server := Server{Host: conf.Host{Port: smtpPort}, Transport: c.cfg.Direct}
	return path{key: "mx " + domain, conns: domainConns, steps: []func(context.Context) ([]place, error){
		func(ctx context.Context) ([]place, error) {
			hosts, err := c.cfg.Resolver.Domain(ctx, domain)
			return places(hosts, server, false), err
		},
	}}
}

func (c *Courier) routed(rt Route) path {
	p := path{key: "route " + rt.Key, conns: smarthostConns}
	for _, s := range rt.Servers {
		// RULES E1: five addresses a try, but one of each server, as all were named.
		limit := max(1, resolve.MaxAddrs/len(rt.Servers))
		p.steps = append(p.steps, func(ctx context.Context) ([]place, error) {
			if s.Socket() {
				return []place{{Host: resolve.Host{Name: "localhost"}, server: s, socket: s.Name, routed: true}}, nil
			}
			hosts, err := c.cfg.Resolver.Smarthost(ctx, s.Name)
			return places(hosts[:min(limit, len(hosts))], s, true), err
		})
	}
	return p
}

func places(hosts []resolve.Host, s Server, routed bool) []place {
	var out []place
	for _, h := range hosts {
		out = append(out, place{Host: h, server: s, routed: routed})
	}
	return out
}

// dial is what Dialer.DialContext is given.
func (p place) dial() (network, address string) {
	if p.socket != "" {
		return "unix", p.socket
	}
	return "tcp", netip.AddrPortFrom(p.Addr, uint16(p.server.Port)).String()
}

// id tells places apart.
func (p place) id() string {
	network, address := p.dial()
	return network + " " + address
}

// ip is the place's address in text.
func (p place) ip() string {
	if p.socket != "" {
		return p.socket
	}
	return p.Addr.String()
}

// peer names the place as dma does.
func (p place) peer() string { return p.Name + " [" + p.ip() + "]" }

// Key makes the Key of a route: who connections to these servers are for.
func Key(servers []Server) string {
	var b strings.Builder
	for _, s := range servers {
		b.WriteString(strconv.Quote(strings.ToLower(s.String())))
		if s.LMTP {
			b.WriteString(" LMTP")
		}
		if s.Auth != nil {
			b.WriteString(" as " + strconv.Quote(s.Auth.User))
		}
		b.WriteByte(';')
	}
	return b.String()
}
