package courier

import (
	"errors"
	"net"
	"net/netip"
	"strings"
	"testing"

	"dma/common/conf"
	"dma/dma-remote/internal/content"
	"dma/dma-remote/internal/smtptest"
)

// Which hosts are tried, in which order, and when it ends.
func TestHosts(t *testing.T) {
	refuse := func(line string) smtptest.Script { return func(p *peer) { p.Say(line); p.Quit() } }
	drop := func(*peer) {}
	tests := []struct {
		name    string
		domain  string
		servers map[string]smtptest.Script // by address
		want    string
		tried   string // addresses
	}{
		{"first MX", "d.example", map[string]smtptest.Script{"192.0.2.1": accept, "192.0.2.2": accept}, "done 2.0.0, done 2.0.0", "192.0.2.1"},
		{"no answer", "d.example", map[string]smtptest.Script{"192.0.2.2": accept}, "done 2.0.0, done 2.0.0", "192.0.2.1 192.0.2.2"},
		{"greeting 554", "d.example", map[string]smtptest.Script{"192.0.2.1": refuse("554 no"), "192.0.2.2": accept}, "done 2.0.0, done 2.0.0", "192.0.2.1 192.0.2.2"},
		{"closed at once", "d.example", map[string]smtptest.Script{"192.0.2.1": drop, "192.0.2.2": accept}, "done 2.0.0, done 2.0.0", "192.0.2.1 192.0.2.2"},
		{"second address of the second MX", "d.example", map[string]smtptest.Script{"192.0.2.1": drop, "192.0.2.3": accept}, "done 2.0.0, done 2.0.0", "192.0.2.1 192.0.2.2 192.0.2.3"},
		{"nobody answers", "d.example", nil, "later 4.4.1!, later 4.4.1!", "192.0.2.1 192.0.2.2 192.0.2.3"},
		{"the last says why", "d.example", map[string]smtptest.Script{"192.0.2.3": refuse("421 4.3.1 full")}, "later 4.3.1!, later 4.3.1!", "192.0.2.1 192.0.2.2 192.0.2.3"},
		{"refused for good", "d.example", map[string]smtptest.Script{"192.0.2.1": func(p *peer) {
			p.Hello()
			p.Answer("MAIL", "550 5.7.1 no")
			p.Quit()
		}, "192.0.2.2": accept}, "failed 5.7.1, failed 5.7.1", "192.0.2.1"},
		{"a recipient refused for now", "d.example", map[string]smtptest.Script{"192.0.2.1": func(p *peer) {
			p.Hello()
			p.Answer("MAIL", "250 ok")
			p.Answer("RCPT", "450 4.2.1 no")
			p.Answer("RCPT", "250 ok")
			p.Answer("DATA", "354 ok")
			p.Message()
			p.Say("250 ok")
			p.Quit()
		}, "192.0.2.2": accept}, "later 4.2.1, done 2.0.0", "192.0.2.1"},
		{"lost after the dot", "d.example", map[string]smtptest.Script{"192.0.2.1": func(p *peer) {
			p.Hello()
			p.Answer("MAIL", "250 ok")
			p.Answer("RCPT", "250 ok")
			p.Answer("RCPT", "550 no")
			p.Answer("DATA", "354 ok")
			p.Message()
		}, "192.0.2.2": accept}, "later 4.4.2, failed 5.1.1", "192.0.2.1"},
		{"no such domain", "gone.example", nil, "failed 5.1.2, failed 5.1.2", ""},
		{"DNS in trouble", "odd.example", nil, "later 4.4.3!, later 4.4.3!", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			n := network{
				mx: map[string][]string{"d.example": {"a.example", "b.example"}, "odd.example": {"c.example"}},
				addrs: map[string][]string{
					"a.example": {"192.0.2.1"}, "b.example": {"192.0.2.2", "192.0.2.3"}, "c.example": {"trouble"},
				},
			}
			all := make(map[string]*smtptest.Server)
			for addr, script := range tt.servers {
				all[addr+":25"] = smtptest.Start(t, script)
			}
			n.dial = servers(all)
			req := request(tt.domain, 2)
			if got := deliver(t, start(t, config(n)), req); got != tt.want {
				t.Errorf("results %s, want %s", got, tt.want)
			}
			if got := req.Log.(*journal).tried(); got != tt.tried {
				t.Errorf("tried %s, want %s", got, tt.tried)
			}
		})
	}
}

// Recipients that one server has dealt with are not offered to the next.
func TestNextHostGetsTheRest(t *testing.T) {
	first := smtptest.Start(t, func(p *peer) {
		p.Hello()
		p.Answer("MAIL", "250 ok")
		p.Answer("RCPT TO:<r0@", "250 ok")
		p.Answer("RCPT TO:<r1@", "550 5.1.1 no")
		p.Answer("RCPT TO:<r2@", "452 4.5.3 enough")
		p.Answer("DATA", "354 ok")
		p.Message()
		p.Say("250 ok")
		p.Answer("MAIL", "421 4.3.2 enough for today")
	})
	var envelope []string
	second := smtptest.Start(t, func(p *peer) {
		p.Hello()
		envelope, _ = p.Accept()
		p.Quit()
	})
	n := network{
		addrs: map[string][]string{"relay.example": {"192.0.2.1", "192.0.2.2"}},
		dial:  servers(map[string]*smtptest.Server{"192.0.2.1:587": first, "192.0.2.2:587": second}),
	}
	c := New(config(n))
	got := deliver(t, c, request("", 4))
	c.Close()
	first.Finish()
	second.Finish()
	if want := "done 2.0.0, failed 5.1.1, done 2.0.0, done 2.0.0"; got != want {
		t.Errorf("results %s, want %s", got, want)
	}
	if got := strings.Join(envelope, " "); got != "MAIL FROM:<s@x.example> RCPT TO:<r2@x.example> RCPT TO:<r3@x.example>" {
		t.Errorf("the second host was told %s", got)
	}
}

func TestWithoutTrying(t *testing.T) {
	tests := []struct {
		name   string
		change func(*Config, *Request)
		want   string
	}{
		{"no smarthost", func(c *Config, _ *Request) { routes(c, Route{}) }, "later 4.3.5!"},
		{"broken route", func(c *Config, _ *Request) {
			c.Route = func(string) (Route, bool) { return Route{Broken: errors.New("no line for u")}, true }
		}, "later 4.3.5!"},
		{"broken configuration", func(c *Config, _ *Request) { c.Broken = errors.New("auth.conf is readable by others") }, "later 4.3.5!"},
		{"signed and not fit for SMTP", func(_ *Config, r *Request) {
			text := "DKIM-Signature: x\n\n" + strings.Repeat("x", 999) + "\n"
			r.Body = &content.Message{File: strings.NewReader(text), Size: int64(len(text))}
		}, "failed 5.6.3"},
		{"message cut short", func(_ *Config, r *Request) { r.Body.Size++ }, "later 4.3.0"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			cfg := config(network{dial: func(netip.AddrPort) (net.Conn, error) {
				t.Error("a connection was made")
				return nil, errors.New("no")
			}})
			req := request("", 1)
			tt.change(&cfg, req)
			if got := deliver(t, start(t, cfg), req); got != tt.want {
				t.Errorf("result %s, want %s", got, tt.want)
			}
		})
	}
}

// Opportunistic TLS: what cannot be had is done without; what is required is not.
func TestTLSPolicy(t *testing.T) {
	server, roots := smtptest.Certificate(t, "relay.example")
	other, _ := smtptest.Certificate(t, "other.example")
	tests := []struct {
		name      string
		transport conf.Transport
		good      bool
		want      string
		conns     int
	}{
		{"may", conf.Transport{StartTLS: conf.TLSMay, Verify: true}, true, "done 2.0.0", 1},
		{"may with a bad certificate", conf.Transport{StartTLS: conf.TLSMay, Verify: true}, false, "done 2.0.0", 2},
		{"may with a bad certificate that nobody looks at", conf.Transport{StartTLS: conf.TLSMay}, false, "done 2.0.0", 1},
		{"required", conf.Transport{StartTLS: conf.TLSRequired, Verify: true}, true, "done 2.0.0", 1},
		{"none", conf.Transport{}, true, "done 2.0.0", 1},
		{"required with a bad certificate", conf.Transport{StartTLS: conf.TLSRequired, Verify: true}, false, "later 4.7.5!", 1},
		{"required with a bad certificate that nobody looks at", conf.Transport{StartTLS: conf.TLSRequired}, false, "done 2.0.0", 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := smtptest.Start(t, func(p *peer) {
				p.Hello("STARTTLS")
				line := p.Read()
				if line == "STARTTLS" {
					p.Say("220 go")
					if tt.good {
						p.TLS(server)
					} else {
						p.TLS(other)
					}
					p.EHLO()
				} else {
					p.Say("250 ok")
				}
				for {
					p.Accept()
				}
			})
			cfg := config(relay(s))
			smarthost(&cfg, tt.transport, nil)
			cfg.Roots = roots
			req := request("", 1)
			got := deliver(t, start(t, cfg), req)
			if got != tt.want || s.Conns() != tt.conns {
				t.Errorf("result %s in %d connections, want %s in %d; log:\n%s", got, s.Conns(), tt.want, tt.conns, req.Log.(*journal).text())
			}
			if plain := strings.Contains(req.Log.(*journal).text(), "going on in plain text"); plain != (tt.conns == 2) {
				t.Errorf("log:\n%s", req.Log.(*journal).text())
			}
		})
	}
}

// Only what is wrong with TLS is a reason to do without.
func TestNoRetryWithoutTLS(t *testing.T) {
	s := smtptest.Start(t, func(p *peer) { p.Say("554 no"); p.Quit() })
	cfg := config(relay(s))
	smarthost(&cfg, conf.Transport{StartTLS: conf.TLSMay}, nil)
	if got := deliver(t, start(t, cfg), request("", 1)); got != "later 4.3.2!" || s.Conns() != 1 {
		t.Errorf("result %s in %d connections", got, s.Conns())
	}
}

// A long line in a message that nobody has signed is encoded.
func TestLongLine(t *testing.T) {
	var received string
	s := smtptest.Start(t, func(p *peer) {
		p.Hello()
		_, received = p.Accept()
		p.Quit()
	})
	text := "Subject: t\n\n" + strings.Repeat("x", 999) + "\n"
	req := request("", 1)
	req.Body = &content.Message{File: strings.NewReader(text), Size: int64(len(text))}
	c := New(config(relay(s)))
	got := deliver(t, c, req)
	c.Close()
	s.Finish()
	want := "Subject: t\nMIME-Version: 1.0\nContent-Type: text/plain; charset=us-ascii\nContent-Transfer-Encoding: quoted-printable\n\n" +
		strings.Repeat(strings.Repeat("x", 75)+"=\n", 13) + strings.Repeat("x", 24) + "\n"
	if got != "done 2.0.0" || received != want {
		t.Errorf("result %s, received %q", got, received)
	}
}

// The log of one delivery, in the order and the words of dma(8).
func TestLog(t *testing.T) {
	s := smtptest.Start(t, func(p *peer) {
		p.Hello("PIPELINING")
		p.Answer("MAIL", "250 ok")
		p.Answer("RCPT", "250 ok")
		p.Answer("RCPT", "450 4.2.1 busy")
		p.Answer("RCPT", "550 5.1.1 nobody")
		p.Answer("DATA", "354 ok")
		p.Message()
		p.Say("554 5.7.1 spam")
		p.Wait()
	})
	n := relay(s)
	n.addrs["relay.example"] = []string{"192.0.2.9", "192.0.2.1"}
	req := request("", 3)
	c := start(t, config(n))
	for i, r := range results(t, c, req) {
		if r.Remote != "relay.example [192.0.2.1]" || !strings.HasPrefix(r.Text, "relay.example [192.0.2.1] did not like our ") {
			t.Errorf("result %d: %+v", i, r)
		}
	}
	want := strings.Join([]string{
		"smarthost relay.example:587",
		"trying relay.example [192.0.2.9] 0",
		"deferred 192.0.2.9 connect: timed out",
		"trying relay.example [192.0.2.1] 0",
		"deferred 192.0.2.1 RCPT TO: 450 4.2.1 busy",
		"failed 192.0.2.1 RCPT TO: 550 5.1.1 nobody",
		"failed 192.0.2.1 final DATA: 554 5.7.1 spam",
	}, "\n")
	if got := req.Log.(*journal).text(); got != want {
		t.Errorf("log:\n%s\nwant:\n%s", got, want)
	}
}

// Many recipients with one verdict are one event.
func TestLogOnce(t *testing.T) {
	s := smtptest.Start(t, func(p *peer) {
		p.Hello()
		p.Answer("MAIL", "550 no")
		p.Quit()
	})
	req := request("", 100)
	deliver(t, start(t, config(relay(s))), req)
	if n := strings.Count(req.Log.(*journal).text(), "failed"); n != 1 {
		t.Errorf("%d lines", n)
	}
}
