package courier

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"dma/common/conf"
	"dma/dma-remote/internal/resolve"
	"dma/dma-remote/internal/session"
	"dma/dma-remote/internal/smtptest"
)

// The servers of a route are tried in order, each with its port; at most five
// addresses of one, and one of each at least.
func TestServers(t *testing.T) {
	drop := func(*peer) {}
	host := func(name string, port int) Server { return Server{Host: conf.Host{Name: name, Port: port}} }
	tests := []struct {
		name    string
		servers []Server
		scripts map[string]smtptest.Script // by address and port
		want    string
		tried   string // addresses
	}{
		{"first", []Server{host("a.example", 25), host("b.example", 26)}, map[string]smtptest.Script{"192.0.2.1:25": accept}, "done 2.0.0", "192.0.2.1"},
		{"ports", []Server{host("a.example", 25), host("a.example", 26)}, map[string]smtptest.Script{"192.0.2.1:26": accept}, "done 2.0.0", "192.0.2.1 192.0.2.1"},
		{"second", []Server{host("a.example", 25), host("b.example", 26)}, map[string]smtptest.Script{"192.0.2.1:25": drop, "192.0.2.9:26": accept}, "done 2.0.0", "192.0.2.1 192.0.2.9"},
		{"first without address", []Server{host("gone.example", 25), host("a.example", 25)}, map[string]smtptest.Script{"192.0.2.1:25": accept}, "done 2.0.0", "192.0.2.1"},
		{"first with trouble in the DNS", []Server{host("odd.example", 25), host("a.example", 25)}, map[string]smtptest.Script{"192.0.2.1:25": accept}, "done 2.0.0", "192.0.2.1"},
		{"all without address", []Server{host("gone.example", 25), host("odd.example", 25)}, nil, "later 4.4.3!", ""},
		{"many addresses of one", []Server{host("many.example", 25)}, nil, "later 4.4.1!", "198.51.100.0 198.51.100.1 198.51.100.2 198.51.100.3 198.51.100.4"},
		{"many addresses of two", []Server{host("many.example", 25), host("a.example", 25)}, map[string]smtptest.Script{"192.0.2.1:25": accept}, "done 2.0.0", "198.51.100.0 198.51.100.1 192.0.2.1"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			n := network{addrs: map[string][]string{"a.example": {"192.0.2.1"}, "b.example": {"192.0.2.9"}, "odd.example": {"trouble"}}}
			for i := range 9 {
				n.addrs["many.example"] = append(n.addrs["many.example"], fmt.Sprintf("198.51.100.%d", i))
			}
			all := make(map[string]*smtptest.Server)
			for addr, script := range tt.scripts {
				all[addr] = smtptest.Start(t, script)
			}
			n.dial = servers(all)
			cfg := config(n)
			routes(&cfg, Route{Servers: tt.servers})
			req := request("", 1)
			if got := deliver(t, start(t, cfg), req); got != tt.want {
				t.Errorf("results %s, want %s", got, tt.want)
			}
			if got := req.Log.(*journal).tried(); got != tt.tried {
				t.Errorf("tried %s, want %s", got, tt.tried)
			}
		})
	}
}

// RULES E11: connections are for a route, and no other mail.
func TestSenders(t *testing.T) {
	senders := []string{"a@x.example", "b@x.example", "c@x.example", ""}
	from := make(chan string, len(senders))
	s := smtptest.Start(t, func(p *peer) { // two at a time
		p.Hello()
		for {
			envelope, _ := p.Accept()
			from <- envelope[0]
		}
	})
	cfg := config(relay(s))
	cfg.Route = func(sender string) (Route, bool) {
		user := "u"
		if strings.HasPrefix(sender, "b") {
			user = "v"
		}
		return Route{Key: user, Servers: []Server{{Host: conf.Host{Name: "relay.example", Port: 587}}}}, true
	}
	c := New(cfg)
	for _, sender := range senders {
		req := request("", 1)
		req.Sender = sender
		if got := deliver(t, c, req); got != "done 2.0.0" {
			t.Errorf("%s: %s", sender, got)
		}
		if got := <-from; !strings.HasPrefix(got, "MAIL FROM:<"+sender+">") {
			t.Errorf("%s: %s", sender, got)
		}
	}
	c.Close()
	if s.Conns() != 2 {
		t.Errorf("%d connections", s.Conns())
	}
}

// A unix socket has no name to look up.
func TestSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	n := network{dial: func(netip.AddrPort) (net.Conn, error) { panic("no address") }}
	cfg := config(n)
	cfg.Dialer = &net.Dialer{}
	routes(&cfg, Route{Servers: []Server{{Host: conf.Host{Name: path}}}})
	go func() {
		if c, err := l.Accept(); err == nil {
			fmt.Fprintf(c, "554 5.3.2 not today\r\n")
			c.Close()
		}
	}()
	req := request("", 1)
	if got := deliver(t, start(t, cfg), req); got != "later 4.3.2!" {
		t.Error(got)
	}
	want := fmt.Sprintf("smarthost %s:0\ntrying localhost [%s] 0\ndeferred %[1]s connect: 554 5.3.2 not today", path, path)
	if got := req.Log.(*journal).text(); got != want {
		t.Errorf("log:\n%s\nwant:\n%s", got, want)
	}
}

// One address that leads nowhere delays mail a moment, not for the time of a
// connection; the others of the same host are tried beside it, those of another not
// before it has failed.
func TestSlowAddress(t *testing.T) {
	tests := []struct {
		name  string
		mx    []string
		want  string
		tried string
		takes time.Duration // at most
	}{
		{"of one host", []string{"two.example"}, "done 2.0.0", "192.0.2.1 192.0.2.2", time.Second},
		{"of another host", []string{"one.example", "other.example"}, "done 2.0.0", "192.0.2.1 192.0.2.2", 2 * connectTime},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := network{
					mx:    map[string][]string{"d.example": tt.mx},
					addrs: map[string][]string{"two.example": {"192.0.2.1", "192.0.2.2"}, "one.example": {"192.0.2.1"}, "other.example": {"192.0.2.2"}},
				}
				n.wait = func(ctx context.Context, a netip.AddrPort) (net.Conn, error) {
					if a.Addr().String() == "192.0.2.1" {
						<-ctx.Done()
						return nil, ctx.Err()
					}
					return smtptest.Pipe(t, func(p *peer) { p.Hello(); p.Accept(); p.Quit() }), nil
				}
				cfg := config(n)
				cfg.Limits = session.DefaultLimits()
				c := New(cfg)
				begin := time.Now()
				req := request("d.example", 1)
				if got := deliver(t, c, req); got != tt.want {
					t.Errorf("%s", got)
				}
				took := time.Since(begin)
				c.Close()
				if took > tt.takes || tt.takes > time.Minute-1 && took < connectTime {
					t.Errorf("after %v", took)
				}
				if got := req.Log.(*journal).tried(); got != tt.tried {
					t.Errorf("tried %s", got)
				}
			})
		})
	}
}

// The first that answers is used, and no other connection is left.
func TestRace(t *testing.T) {
	var left atomic.Int32
	s := smtptest.Start(t, func(p *peer) {
		left.Add(1)
		defer left.Add(-1)
		p.Wait()
	})
	for name, script := range map[string][]string{ // of each address: an error, or how long it takes
		"first":                {"0s", "0s"},
		"second":               {"no", "0s"},
		"third":                {"no", "no", "1ms"},
		"second beside":        {"2s", "0s", "0s"},
		"first after a while":  {"400ms", "2s"},
		"none":                 {"no", "no"},
		"all at the same time": {"310ms", "10ms", "0s"},
	} {
		t.Run(name, func(t *testing.T) {
			var places []place
			n := network{wait: func(ctx context.Context, a netip.AddrPort) (net.Conn, error) {
				d, err := time.ParseDuration(script[a.Port()])
				if err != nil {
					return nil, errors.New("no")
				}
				select {
				case <-time.After(d):
				case <-ctx.Done():
					return nil, ctx.Err()
				}
				return net.Dial("tcp", s.Addr().String())
			}}
			for i := range script {
				places = append(places, place{Host: resolve.Host{Addr: netip.MustParseAddr("192.0.2.1")}, server: Server{Host: conf.Host{Port: i}}})
			}
			c := New(config(n))
			tried, failed := 0, 0
			begin := time.Now()
			conn, at := c.race(t.Context(), places, func(i int) {
				if i != tried {
					t.Errorf("tries %d", i)
				}
				tried++
			}, func(int, error) { failed++ })
			if time.Since(begin) > time.Second {
				t.Errorf("took %v", time.Since(begin))
			}
			if (conn == nil) != (name == "none") || (at < 0) != (conn == nil) || conn == nil && failed != len(script) {
				t.Fatalf("%v, %d, %d failed", conn, at, failed)
			}
			if conn != nil {
				conn.Close()
			}
		})
	}
	s.Finish()
	if left.Load() != 0 {
		t.Errorf("%d connections are left", left.Load())
	}
}
