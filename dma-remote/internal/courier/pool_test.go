package courier

import (
	"net"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"dma/dma-remote/internal/session"
	"dma/dma-remote/internal/smtptest"
)

func TestReuse(t *testing.T) {
	s := smtptest.Start(t, accept)
	c := start(t, config(relay(s)))
	for range 5 {
		if got := deliver(t, c, request("", 1)); got != "done 2.0.0" {
			t.Fatal(got)
		}
	}
	if s.Conns() != 1 {
		t.Errorf("%d connections for 5 messages", s.Conns())
	}
}

// A server that closed a connection between two messages costs nobody anything.
func TestReuseOfClosed(t *testing.T) {
	for name, goodbye := range map[string]func(*peer){
		"closed":   func(*peer) {},
		"said 421": func(p *peer) { p.Say("421 idle") },
		"at MAIL":  func(p *peer) { p.Expect("MAIL") },
		"at RCPT":  func(p *peer) { p.Answer("MAIL", "250 ok"); p.Answer("RCPT", "421 enough") },
	} {
		t.Run(name, func(t *testing.T) {
			s := smtptest.Start(t, func(p *peer) {
				p.Hello()
				p.Accept()
				goodbye(p)
			}, accept)
			c := start(t, config(relay(s)))
			for i := range 2 {
				req := request("", 1)
				if got := deliver(t, c, req); got != "done 2.0.0" {
					t.Errorf("message %d: %s", i, got)
				}
				if log := req.Log.(*journal).text(); strings.Contains(log, "deferred") {
					t.Errorf("message %d: log:\n%s", i, log)
				}
			}
			if s.Conns() != 2 {
				t.Errorf("%d connections", s.Conns())
			}
		})
	}
}

// RULES E11: what a connection may serve, in messages and time. Time is the
// bubble's, connections are pipes.
func TestReuseLimits(t *testing.T) {
	tests := []struct {
		name     string
		messages int
		pause    time.Duration // between two messages
		takes    time.Duration // each message
		want     int           // connections
	}{
		{"100 messages", 100, 0, 0, 1},
		{"101 messages", 101, 0, 0, 2},
		{"slow messages", 31, 0, 10 * time.Second, 1},
		{"slow messages over 300 s", 32, 0, 10 * time.Second, 2},
		{"idle, but not for long", 99, maxIdle - time.Second, 0, 1},
		{"idle too long", 3, maxIdle + time.Second, 0, 3},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				conns := 0
				var quits atomic.Int32
				n := network{addrs: map[string][]string{"relay.example": {"192.0.2.1"}}}
				n.dial = func(netip.AddrPort) (net.Conn, error) {
					conns++
					return smtptest.Pipe(t, func(p *peer) {
						defer func() { quits.Add(1) }() // Accept ends the script at QUIT
						p.Hello()
						for {
							p.Accept()
							time.Sleep(tt.takes) // before what comes next is read
						}
					}), nil
				}
				cfg := config(n)
				cfg.Limits = session.DefaultLimits()
				c := New(cfg)
				for range tt.messages {
					if got := deliver(t, c, request("", 1)); got != "done 2.0.0" {
						t.Fatal(got)
					}
					time.Sleep(tt.pause)
				}
				c.Close()
				time.Sleep(tt.takes) // the last script
				synctest.Wait()
				if conns != tt.want || int(quits.Load()) != conns {
					t.Errorf("%d connections, want %d; %d ended", conns, tt.want, quits.Load())
				}
				if len(c.pool.lanes) > 1 {
					t.Errorf("%d lanes are left", len(c.pool.lanes))
				}
			})
		})
	}
}

// No more connections than DESIGN 6 allows, however many messages there are.
func TestConcurrency(t *testing.T) {
	for domain, most := range map[string]int{"": 20, "d.example": 2, "D.example": 2} {
		t.Run("to "+domain, func(t *testing.T) {
			s := smtptest.Start(t, accept)
			g := &gauge{}
			n := network{
				addrs: map[string][]string{"relay.example": {"192.0.2.1"}, "d.example": {"192.0.2.1"}},
				dial:  func(netip.AddrPort) (net.Conn, error) { return g.dial(s.Addr().String()) },
			}
			c := start(t, config(n))
			var wg sync.WaitGroup
			for range 300 {
				wg.Go(func() {
					if got := deliver(t, c, request(domain, 1)); got != "done 2.0.0" {
						t.Error(got)
					}
				})
			}
			wg.Wait()
			if g.most() > most || s.Conns() > most+300/maxMessages {
				t.Errorf("%d connections at a time and %d in all, limit %d", g.most(), s.Conns(), most)
			}
		})
	}
}

// gauge counts connections from dial to close.
type gauge struct {
	mu        sync.Mutex
	now, peak int
}

func (g *gauge) dial(addr string) (net.Conn, error) {
	g.add(1)
	c, err := net.Dial("tcp", addr)
	return &gaugeConn{Conn: c, g: g}, err
}

func (g *gauge) add(n int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.now += n
	g.peak = max(g.peak, g.now)
}

func (g *gauge) most() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.peak
}

type gaugeConn struct {
	net.Conn
	g    *gauge
	once sync.Once
}

func (c *gaugeConn) Close() error {
	err := c.Conn.Close()
	c.once.Do(func() { c.g.add(-1) })
	return err
}
