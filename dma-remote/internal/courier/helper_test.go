package courier

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"dma/common/conf"
	"dma/dma-remote/internal/content"
	"dma/dma-remote/internal/resolve"
	"dma/dma-remote/internal/session"
	"dma/dma-remote/internal/smtptest"
)

type peer = smtptest.Peer

// network is DNS and wires of a test: each name has addresses, each address a
// server, or nothing that answers.
type network struct {
	mx    map[string][]string // domain to hosts, in order of preference
	addrs map[string][]string // host to addresses
	dial  func(addr netip.AddrPort) (net.Conn, error)
	wait  func(ctx context.Context, addr netip.AddrPort) (net.Conn, error) // in the place of dial
}

func (n network) LookupMX(_ context.Context, name string) ([]*net.MX, error) {
	var out []*net.MX
	for i, h := range n.mx[strings.TrimSuffix(name, ".")] {
		out = append(out, &net.MX{Host: h + ".", Pref: uint16(10 * i)})
	}
	if out == nil {
		return nil, &net.DNSError{Err: "no such host", IsNotFound: true}
	}
	return out, nil
}

func (n network) LookupNetIP(_ context.Context, family, name string) ([]netip.Addr, error) {
	list := n.addrs[strings.TrimSuffix(name, ".")]
	if slices.Contains(list, "trouble") {
		return nil, &net.DNSError{Err: "server misbehaving", IsTemporary: true}
	}
	if list == nil || family == "ip6" {
		return nil, &net.DNSError{Err: "no such host", IsNotFound: true}
	}
	var out []netip.Addr
	for _, a := range list {
		out = append(out, netip.MustParseAddr(a))
	}
	return out, nil
}

func (n network) DialContext(ctx context.Context, _, address string) (net.Conn, error) {
	if n.wait != nil {
		return n.wait(ctx, netip.MustParseAddrPort(address))
	}
	return n.dial(netip.MustParseAddrPort(address))
}

// servers makes a dial function: address and port to server.
func servers(s map[string]*smtptest.Server) func(netip.AddrPort) (net.Conn, error) {
	return func(a netip.AddrPort) (net.Conn, error) {
		if s[a.String()] == nil {
			return nil, fmt.Errorf("dial: %w", context.DeadlineExceeded)
		}
		return net.Dial("tcp", s[a.String()].Addr().String())
	}
}

const soon = 5 * time.Second

func config(n network) Config {
	cfg := Config{
		Helo: "client.example",
		Resolver: &resolve.Resolver{
			DNS:     n,
			Local:   func() ([]netip.Addr, error) { return nil, nil },
			Shuffle: func(int, func(int, int)) {},
		},
		Dialer: n, Now: time.Now,
		Limits: session.Limits{
			Greeting: soon, Command: soon, TLS: soon, Data: soon, Block: soon, Final: soon,
			Quit: time.Second / 2, Linger: time.Second / 2, Session: 4 * soon,
		},
	}
	smarthost(&cfg, conf.Transport{}, nil)
	return cfg
}

// smarthost makes relay.example, port 587, everybody's route.
func smarthost(cfg *Config, transport conf.Transport, auth *conf.Auth) {
	routes(cfg, Route{Servers: []Server{{conf.Host{Name: "relay.example", Port: 587}, transport, auth}}})
}

// routes makes rt everybody's route.
func routes(cfg *Config, rt Route) {
	rt.Key = Key(rt.Servers)
	cfg.Route = func(string) (Route, bool) { return rt, len(rt.Servers) > 0 }
}

// relay is a network whose smarthost is s.
func relay(s *smtptest.Server) network {
	return network{
		addrs: map[string][]string{"relay.example": {"192.0.2.1"}},
		dial:  servers(map[string]*smtptest.Server{"192.0.2.1:587": s}),
	}
}

// journal is a Log that keeps its lines.
type journal struct {
	mu    sync.Mutex
	lines []string
}

func (j *journal) add(format string, args ...any) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.lines = append(j.lines, fmt.Sprintf(format, args...))
}

func (j *journal) UsingSmarthost(host string, port int) { j.add("smarthost %s:%d", host, port) }

func (j *journal) TryingRemote(host, ip string, pref int) { j.add("trying %s [%s] %d", host, ip, pref) }
func (j *journal) UsingAuth(user string)                  { j.add("auth %s", user) }
func (j *journal) UsingTLS(_, ip, how string)             { j.add("TLS %s %s", ip, how) }
func (j *journal) RemoteDeferred(host, ip, stage, say string) {
	j.add("deferred %s %s: %s", ip, stage, say)
}

func (j *journal) RemoteFailed(host, ip, stage, say string) {
	j.add("failed %s %s: %s", ip, stage, say)
}

func (j *journal) Problem(operation string, err error) { j.add("problem %s: %v", operation, err) }

func (j *journal) text() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return strings.Join(j.lines, "\n")
}

// tried are the addresses that were tried.
func (j *journal) tried() string {
	var tried []string
	for line := range strings.SplitSeq(j.text(), "\n") {
		if _, rest, ok := strings.Cut(line, "["); ok && strings.HasPrefix(line, "trying ") {
			ip, _, _ := strings.Cut(rest, "]")
			tried = append(tried, ip)
		}
	}
	return strings.Join(tried, " ")
}

func request(domain string, recipients int) *Request {
	text := "Subject: t\n\nhi\n"
	req := &Request{
		Domain: domain, Sender: "s@x.example", Log: &journal{},
		Body: &content.Message{File: strings.NewReader(text), Size: int64(len(text))},
	}
	for i := range recipients {
		req.Recipients = append(req.Recipients, session.Recipient{Address: fmt.Sprintf("r%d@x.example", i)})
	}
	return req
}

// deliver delivers and gives a summary of the results: class, code, and ! for the
// whole destination.
func deliver(t *testing.T, c *Courier, req *Request) string {
	t.Helper()
	var got []string
	for _, r := range results(t, c, req) {
		s := r.Class.String() + " " + r.Code
		if r.Destination {
			s += "!"
		}
		got = append(got, s)
	}
	return strings.Join(got, ", ")
}

func results(t *testing.T, c *Courier, req *Request) []Result {
	t.Helper()
	all := make([]Result, len(req.Recipients))
	seen := 0
	req.Report = func(i int, r Result) {
		if all[i].Class != 0 || !r.Valid() {
			t.Errorf("recipient %d: %+v after %+v", i, r, all[i])
		}
		all[i] = r
		seen++
	}
	c.Deliver(t.Context(), req)
	if seen != len(all) {
		t.Fatalf("%d results for %d recipients", seen, len(all))
	}
	return all
}

func start(t *testing.T, cfg Config) *Courier {
	c := New(cfg)
	t.Cleanup(c.Close)
	return c
}

// accept is a server that takes everything.
func accept(p *peer) {
	p.Hello("PIPELINING")
	for {
		p.Accept()
	}
}
