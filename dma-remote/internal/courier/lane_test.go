package courier

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"dma/common/conf"
	"dma/dma-remote/internal/session"
	"dma/dma-remote/internal/smtptest"
)

// deliverAll delivers n messages at a time and returns the summary of each.
func deliverAll(t *testing.T, c *Courier, n int) []string {
	t.Helper()
	out := make([]string, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			req := request("", 1)
			req.Sender = fmt.Sprintf("s%d@x.example", i)
			out[i] = deliver(t, c, req)
		})
	}
	wg.Wait()
	return out
}

func count(list []string, what string) int {
	n := 0
	for _, s := range list {
		if s == what {
			n++
		}
	}
	return n
}

// far is a network whose smarthost is so far away that a round trip takes as long
// as given. Time is that of a bubble.
func far(t *testing.T, trip time.Duration, conns *gauge, script smtptest.Script) network {
	n := network{addrs: map[string][]string{"relay.example": {"192.0.2.1"}}}
	n.dial = func(netip.AddrPort) (net.Conn, error) {
		conns.add(1)
		return &gaugeConn{Conn: delayed{smtptest.Pipe(t, script), trip}, g: conns}, nil
	}
	return n
}

// delayed reads late.
type delayed struct {
	net.Conn
	by time.Duration
}

func (d delayed) Read(p []byte) (int, error) {
	time.Sleep(d.by)
	return d.Conn.Read(p)
}

// Without CHUNKING, connections are opened while the drain gets faster by it, up to
// 20; where the server takes as long for two messages at a time as for one after the
// other, few are.
func TestGrowth(t *testing.T) {
	tests := []struct {
		name      string
		caps      []string
		busy      bool // the server has time for one message at a time
		low, high int  // connections at a time
	}{
		{"all the faster", nil, false, 15, 20},
		{"no faster", nil, true, 1, 9},
		{"CHUNKING", []string{"PIPELINING", "CHUNKING"}, false, 1, chunkConns},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := &gauge{}
				one := make(chan bool, 1)
				busy := func() {
					if tt.busy {
						one <- true
						time.Sleep(200 * time.Millisecond)
						<-one
					}
				}
				n := far(t, 20*time.Millisecond, g, func(p *peer) {
					p.Hello(tt.caps...)
					for {
						p.AcceptAny(busy)
					}
				})
				cfg := config(n)
				cfg.Limits = session.DefaultLimits()
				c := New(cfg)
				got := deliverAll(t, c, 200)
				c.Close()
				if count(got, "done 2.0.0") != 200 {
					t.Errorf("ends %q", got)
				}
				if g.most() < tt.low || g.most() > tt.high {
					t.Errorf("%d connections at a time, want %d to %d", g.most(), tt.low, tt.high)
				}
			})
		})
	}
}

// Steps of the pace: what is opened, and when not.
func TestPace(t *testing.T) {
	var p pace
	now := time.Unix(0, 0)
	step := func(what string, live, done int, each time.Duration, want int) {
		t.Helper()
		for range done {
			p.ended(now, now.Add(each))
		}
		if got := p.more(live, now); got != want {
			t.Errorf("%s: %d, want %d", what, got, want)
		}
	}
	ms := time.Millisecond
	step("nothing is known", 0, 0, 0, 1)
	step("no message yet", 1, 0, 0, 0)
	step("one message", 1, 1, 100*ms, 2)
	step("one more connection, no message", 2, 0, 0, 0)
	p.opened(now.Add(time.Hour))
	step("messages begun before", 2, 10, 100*ms, 0)
	p.since = now
	step("twice as fast", 2, 2, 100*ms, 4)
	step("still faster", 4, 4, 110*ms, 8)
	step("no faster", 8, 40, 300*ms, 0)
	step("no faster, later", 8, 40, 300*ms, 0)
	now = now.Add(paceHold)
	step("tried again", 8, 0, 0, 1)
	step("faster again", 9, 40, 100*ms, 18)
}

// A message that a server cannot stand does not stop the others: only it goes on to
// the next host, or waits.
func TestPoison(t *testing.T) {
	for _, caps := range [][]string{nil, {"PIPELINING"}, {"PIPELINING", "CHUNKING"}} {
		t.Run(fmt.Sprint(caps), func(t *testing.T) {
			s := smtptest.Start(t, func(p *peer) {
				p.Hello(caps...)
				for {
					line := p.Read()
					switch {
					case strings.HasPrefix(line, "MAIL FROM:<s3@"):
						return
					case line == "DATA":
						p.Say("354 go on")
						p.Message()
						p.Say("250 ok")
					case strings.HasPrefix(line, "BDAT"):
						n := 0
						fmt.Sscanf(line, "BDAT %d", &n)
						p.Bytes(n)
						p.Say("250 ok")
					default:
						p.Say("250 ok")
					}
				}
			})
			c := start(t, config(relay(s)))
			got := deliverAll(t, c, 10)
			for i, end := range got {
				switch {
				case i == 3 && strings.HasPrefix(end, "later 4.4.2"):
				case i != 3 && end == "done 2.0.0":
				// Sent behind it, whole, and not answered: nobody knows.
				case len(caps) == 2 && end == "later 4.4.2":
				default:
					t.Errorf("message %d: %s", i, end)
				}
			}
		})
	}
}

// What waits for a destination that is down learns of it from one attempt.
func TestDownTogether(t *testing.T) {
	dials := 0
	hold := make(chan struct{})
	n := network{addrs: map[string][]string{"relay.example": {"192.0.2.1"}}}
	n.dial = func(netip.AddrPort) (net.Conn, error) {
		dials++
		<-hold
		return nil, errors.New("refused")
	}
	c := start(t, config(n))
	time.AfterFunc(100*time.Millisecond, func() { close(hold) })
	if got := deliverAll(t, c, 20); count(got, "later 4.4.1!") != 20 {
		t.Errorf("ends %q", got)
	}
	if dials != 1 {
		t.Errorf("%d attempts", dials)
	}
	if len(c.pool.lanes) != 0 {
		t.Errorf("%d lanes are left", len(c.pool.lanes))
	}
}

// A server that takes few connections at a time costs no message anything.
func TestFewConnections(t *testing.T) {
	var mu sync.Mutex
	now := 0
	s := smtptest.Start(t, func(p *peer) {
		mu.Lock()
		now++
		full := now > 2
		mu.Unlock()
		defer func() {
			mu.Lock()
			defer mu.Unlock()
			now--
		}()
		if full {
			p.Say("421 4.7.0 too many connections")
			return
		}
		p.Hello()
		for {
			p.AcceptAny(func() { time.Sleep(time.Millisecond) })
		}
	})
	c := start(t, config(relay(s)))
	if got := deliverAll(t, c, 100); count(got, "done 2.0.0") != 100 {
		t.Errorf("ends %q", got)
	}
}

// Who gives up waits for nobody, and takes nobody with him.
func TestGivenUp(t *testing.T) {
	begun := make(chan bool)
	hold := make(chan struct{})
	s := smtptest.Start(t, func(p *peer) {
		begun <- true
		<-hold
		p.Hello()
		for {
			p.Accept()
		}
	})
	c := start(t, config(relay(s)))
	var wg sync.WaitGroup
	first, second := "", ""
	cancelled := make(chan struct{})
	wg.Go(func() {
		req := request("", 1)
		req.Cancelled = cancelled
		first = deliver(t, c, req)
		close(hold)
	})
	<-begun
	wg.Go(func() { second = deliver(t, c, request("", 1)) })
	close(cancelled)
	wg.Wait()
	if first != "later 4.3.2" || second != "done 2.0.0" || s.Conns() != 1 {
		t.Errorf("ends %s and %s over %d connections", first, second, s.Conns())
	}
}

// A message that is given up on a connection with nothing else on it ends soon,
// whatever the server does.
func TestGivenUpUnderWay(t *testing.T) {
	begun := make(chan bool, 1)
	s := smtptest.Start(t, func(p *peer) {
		p.Hello()
		p.Expect("MAIL")
		begun <- true
		p.Hang()
	})
	cfg := config(relay(s))
	cfg.Limits = session.DefaultLimits()
	c := start(t, cfg)
	cancelled := make(chan struct{})
	req := request("", 1)
	req.Cancelled = cancelled
	go func() {
		<-begun
		close(cancelled)
	}()
	began := time.Now()
	if got := deliver(t, c, req); got != "later 4.3.2" || time.Since(began) > 10*time.Second {
		t.Errorf("%s after %v", got, time.Since(began))
	}
}

// One that is given up behind its end does not take others with it, which the server
// may have, too.
func TestGivenUpBesideOthers(t *testing.T) {
	begun, hold := make(chan bool, 1), make(chan struct{})
	s := smtptest.Start(t, func(p *peer) {
		p.Hello("PIPELINING")
		p.Answer("MAIL", "250 ok")
		p.Answer("RCPT", "250 ok")
		p.Answer("DATA", "354 ok")
		p.Message()
		begun <- true
		p.Expect("MAIL")
		begun <- true
		<-hold
		p.Say("250 2.0.0 taken", "250 ok")
		p.Answer("RCPT", "250 ok")
		p.Answer("DATA", "354 ok")
		p.Message()
		p.Say("250 2.0.0 taken")
		p.Quit()
	})
	cfg := config(relay(s))
	cfg.Limits = session.DefaultLimits()
	c := start(t, cfg)
	cancelled := make(chan struct{})
	var first, second string
	var wg sync.WaitGroup
	wg.Go(func() {
		req := request("", 1)
		req.Cancelled = cancelled
		first = deliver(t, c, req)
	})
	<-begun
	wg.Go(func() { second = deliver(t, c, request("", 1)) })
	<-begun
	close(cancelled)
	time.Sleep(cancelGrace + 500*time.Millisecond)
	close(hold)
	wg.Wait()
	if s.Conns() != 1 || second != "done 2.0.0" || first != "done 2.0.0" {
		t.Errorf("%s and %s over %d connections", first, second, s.Conns())
	}
}

// The end of the context ends what waits for a server at once.
func TestAborted(t *testing.T) {
	for name, script := range map[string]smtptest.Script{
		"greeting": func(p *peer) { p.Wait() },
		"MAIL":     func(p *peer) { p.Hello(); p.Wait() },
		"the dot": func(p *peer) {
			p.Hello()
			p.Answer("MAIL", "250 ok")
			p.Answer("RCPT", "250 ok")
			p.Answer("DATA", "354 ok")
			p.Wait()
		},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := config(relay(smtptest.Start(t, script)))
			cfg.Limits = session.DefaultLimits()
			c := start(t, cfg)
			ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
			defer cancel()
			req := request("", 1)
			var end Result
			req.Report = func(_ int, r Result) { end = r }
			begin := time.Now()
			c.Deliver(ctx, req)
			if time.Since(begin) > soon || !end.Valid() || end.Class.String() != "later" || end.Destination {
				t.Errorf("after %v: %+v", time.Since(begin), end)
			}
		})
	}
}

// Mail for sockets speaks LMTP; each recipient has an end of its own.
func TestLMTP(t *testing.T) {
	s := smtptest.Start(t, func(p *peer) {
		p.Say("220 hi")
		p.Answer("LHLO client.example", "250-test.example", "250 PIPELINING")
		p.Answer("MAIL", "250 ok")
		p.Answer("RCPT", "250 ok")
		p.Answer("RCPT", "250 ok")
		p.Answer("DATA", "354 ok")
		p.Message()
		p.Say("250 2.1.5 a", "552 5.2.2 b is full")
		p.Quit()
	})
	cfg := config(relay(s))
	routes(&cfg, Route{Servers: []Server{{Host: conf.Host{Name: "relay.example", Port: 587, LMTP: true}}}})
	c := New(cfg)
	if got := deliver(t, c, request("", 2)); got != "done 2.1.5, failed 5.2.2" {
		t.Error(got)
	}
	c.Close()
	s.Finish()
}
