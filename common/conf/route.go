package conf

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"dma/common/mailaddr"
)

// Limits and defaults of routes.
const (
	maxHosts        = 20  // servers of one route
	maxSenderRoutes = 500 // lines of SENDERMAP
	defaultPort     = 25  // RFC 5321 4.5.4.2
	defaultLMTPPort = 24  // IANA: any private mail system. RFC 2033 5 forbids 25
)

// Delivery is what this host delivers.
type Delivery uint8

// The values of DELIVERY.
const (
	DeliverBoth   Delivery = 0
	DeliverLocal  Delivery = 1 // mail for other hosts is refused
	DeliverRemote Delivery = 2 // nothing is put into mailboxes here
)

func (d Delivery) String() string {
	switch d {
	case DeliverBoth:
		return "both"
	case DeliverLocal:
		return "local"
	case DeliverRemote:
		return "remote"
	}
	return "invalid"
}

// Host is a server.
type Host struct {
	Name string // or address, without brackets; or the path of a unix socket
	Port int    // 0 for a socket
	LMTP bool   // it speaks LMTP (RFC 2033), as all sockets do
}

// Socket reports whether h is a unix socket.
func (h Host) Socket() bool { return strings.HasPrefix(h.Name, "/") }

func (h Host) String() string {
	switch {
	case h.Socket():
		return h.Name
	case strings.Contains(h.Name, ":"):
		return "[" + h.Name + "]:" + strconv.Itoa(h.Port)
	}
	return h.Name + ":" + strconv.Itoa(h.Port)
}

// Route is a way out: where mail goes that is neither local nor sent to MX hosts.
type Route struct {
	Name  string // of the route: empty for SMARTHOST, else the pattern of SENDERMAP
	Hosts []Host // in the order in which they are tried
	User  string // whose password in auth.conf is used; empty: the first one for the host
}

// SenderRoute is a line of SENDERMAP: mail of senders that fit Pattern takes Route.
type SenderRoute struct {
	Pattern string // user@domain, @domain or user@
	Route   Route
}

// fits: names are compared in any case, as people write them in any.
func (r *SenderRoute) fits(local, domain string) bool {
	l, d, _ := mailaddr.Split(r.Pattern)
	return (l == "" || strings.EqualFold(l, local)) && (d == "" || strings.EqualFold(d, domain))
}

// RouteFor says where mail of sender goes that is not local; false: to the MX
// hosts of its domain. The null sender fits no pattern.
func (c *Config) RouteFor(sender string) (Route, bool) {
	if sender != "" && len(c.SenderMap) > 0 {
		local, domain, qualified := mailaddr.Split(sender)
		if !qualified {
			domain = c.Hostname()
		}
		domain = strings.TrimSuffix(domain, ".")
		for i := range c.SenderMap {
			if r := &c.SenderMap[i]; r.fits(local, domain) {
				return r.Route, true
			}
		}
	}
	return Route{Hosts: c.Smarthosts}, len(c.Smarthosts) > 0
}

// Routes are all routes that RouteFor may give.
func (c *Config) Routes() []Route {
	var all []Route
	if len(c.Smarthosts) > 0 {
		all = append(all, Route{Hosts: c.Smarthosts})
	}
	for _, r := range c.SenderMap {
		all = append(all, r.Route)
	}
	return all
}

// setDelivery reads the value of DELIVERY.
func setDelivery(p *parser, value string) error {
	for d := DeliverBoth; d <= DeliverRemote; d++ {
		if strings.EqualFold(value, d.String()) {
			p.config.Delivery = d
			return nil
		}
	}
	return errors.New("write both, local or remote")
}

func setSmarthost(p *parser, value string) (err error) {
	p.config.Smarthosts, err = parseHosts(value)
	return err
}

// setLMTP: without a value it is about the smarthost, as in dma.
func setLMTP(p *parser, value string) (err error) {
	p.lmtp = nil
	p.config.LMTP = true
	if v, ok := truth(value); ok {
		p.config.LMTP, value = v != off, ""
	}
	if value != "" {
		p.lmtp, err = parseHosts(value)
	}
	return err
}

// setSenderMap adds a line of SENDERMAP.
func setSenderMap(p *parser, value string) error {
	words := strings.Fields(value)
	if len(words) < 2 || len(words) > 3 {
		return errors.New("write SENDERMAP pattern host[,host...] [user]")
	}
	pattern, err := parsePattern(words[0])
	if err != nil {
		return err
	}
	if len(p.config.SenderMap) == maxSenderRoutes {
		return fmt.Errorf("more than %d lines of SENDERMAP", maxSenderRoutes)
	}
	hosts, err := parseHosts(words[1])
	if err != nil {
		return err
	}
	r := SenderRoute{pattern, Route{Name: pattern, Hosts: hosts}}
	if len(words) == 3 {
		r.Route.User = words[2]
	}
	for _, before := range p.config.SenderMap {
		if before.Pattern == pattern {
			p.warn("SENDERMAP %s stands in an earlier line, which counts; remove one of them", pattern)
		}
	}
	p.config.SenderMap = append(p.config.SenderMap, r)
	return nil
}

// parsePattern checks user@domain, @domain and user@. The domain comes in lower
// case and without a final dot.
func parsePattern(s string) (string, error) {
	local, domain, qualified := mailaddr.Split(s)
	domain = strings.ToLower(strings.TrimSuffix(domain, "."))
	good := qualified && local+domain != "" && (domain == "" || validHost(domain))
	if !good || local != "" && !validLocal(local) {
		return "", fmt.Errorf("%q is no pattern; write user@domain, @domain or user@", s)
	}
	return local + "@" + domain, nil
}

// parseHosts reads servers with blanks or commas between. A port that is not
// given is 0.
func parseHosts(s string) ([]Host, error) {
	var hosts []Host
	for _, word := range fields(s) {
		h, err := parseHost(word)
		if err != nil {
			return nil, fmt.Errorf("%q: %w", word, err)
		}
		hosts = append(hosts, h)
	}
	switch {
	case len(hosts) == 0:
		return nil, errors.New(writeHost)
	case len(hosts) > maxHosts:
		return nil, fmt.Errorf("more than %d servers", maxHosts)
	}
	return hosts, nil
}

// fields are the words of a list, with blanks or commas between.
func fields(s string) []string {
	return strings.FieldsFunc(s, func(r rune) bool { return r == ',' || r == ' ' || r == '\t' })
}

const writeHost = "not a host; write name, name:port or [address]:port"

// parseHost takes host, host:port, [v6], [v6]:port, a bare v6 address, and the
// path of a socket.
func parseHost(s string) (Host, error) {
	if s[0] == '/' {
		return Host{Name: s, LMTP: true}, nil
	}
	host, port := s, ""
	if rest, ok := strings.CutPrefix(s, "["); ok {
		host, port, ok = strings.Cut(rest, "]")
		if !ok || port != "" && port[0] != ':' {
			return Host{}, errors.New("write [address] or [address]:port")
		}
		if !isIPv6(host) && !isIPv4(host) {
			return Host{}, errors.New("no IP address between the brackets; write a name without them")
		}
	} else if !isIPv6(s) {
		if i := strings.IndexByte(s, ':'); i >= 0 {
			host, port = s[:i], s[i:]
		}
		if host = strings.TrimSuffix(host, "."); !validHost(host) {
			return Host{}, errors.New(writeHost)
		}
	}
	if port == "" {
		return Host{Name: host}, nil
	}
	n, err := parsePort(port[1:])
	if err != nil {
		return Host{}, errors.New("no port number behind the colon; write a number from 1 to 65535")
	}
	return Host{Name: host, Port: n}, nil
}

func parsePort(s string) (int, error) {
	n, err := strconv.ParseUint(s, 10, 16)
	if err == nil && n == 0 {
		err = errors.New("port 0")
	}
	return int(n), err
}

// isIPv6 and isIPv4 tell addresses from names and ports, no more: whoever connects
// takes the address apart. (net/netip would do both, and make the front end start slower.)
func isIPv6(s string) bool {
	colons := strings.Count(s, ":")
	return strings.Trim(s, "0123456789abcdefABCDEF:.") == "" &&
		(strings.Count(s, "::") == 1 || colons == 7 || colons == 6 && strings.Contains(s, "."))
}

func isIPv4(s string) bool {
	return strings.Count(s, ".") == 3 && strings.Trim(s, "0123456789.") == ""
}

func validHost(s string) bool {
	a, err := mailaddr.Parse("x@" + s)
	return err == nil && a.Domain == s && s[0] != '['
}

// validLocal reports whether s may stand before the @ of an address.
func validLocal(s string) bool {
	a, err := mailaddr.Parse(s)
	return err == nil && a.Local == s && a.Domain == ""
}
