package courier

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"

	"dma/common/conf"
	"dma/common/outcome"
	"dma/common/sysexits"
	"dma/dma-remote/internal/smtptest"
	"dma/proto"
)

// What a probe finds, and the exit code that it ends with. Nothing is sent, and no
// secret is shown.
func TestProbe(t *testing.T) {
	const secret = "hunter2 hunter2"
	server, roots := smtptest.Certificate(t, "relay.example")
	other, _ := smtptest.Certificate(t, "other.example")
	auth := &conf.Auth{User: "u", Host: "relay.example", Password: conf.NewSecret(secret)}
	starttls := conf.Transport{StartTLS: conf.TLSRequired, Verify: true}
	plain := conf.Transport{Insecure: true}
	tests := []struct {
		name   string
		change func(*Config)
		script smtptest.Script
		code   int
		want   []string // parts of the lines
	}{
		{"all is well", func(c *Config) { smarthost(c, starttls, auth) }, func(p *peer) {
			p.Hello("STARTTLS", "SIZE 5")
			p.Answer("STARTTLS", "220 go")
			p.TLS(server)
			p.EHLO("AUTH PLAIN LOGIN", "SIZE 7")
			p.Answer("AUTH PLAIN", "235 welcome "+secret)
			p.Quit()
		}, sysexits.OK, []string{
			"ok route: relay.example:587, STARTTLS, certificate verified for relay.example, login as u",
			"ok addresses: relay.example [192.0.2.1]",
			"ok connection: relay.example [192.0.2.1]",
			"ok greeting: 220 test.example ready",
			"ok extensions: STARTTLS, SIZE 5",
			"ok TLS: TLS 1.3, TLS_AES_128_GCM_SHA256, verified for relay.example",
			"ok extensions: AUTH PLAIN LOGIN, SIZE 7",
			"ok login: PLAIN as u",
			"ok mechanisms: PLAIN LOGIN",
		}},
		{"plain text", nil, func(p *peer) { p.Hello("STARTTLS", "AUTH PLAIN"); p.Quit() }, sysexits.OK, []string{
			"ok route: relay.example:587, no TLS, no login", "ok addresses", "ok connection", "ok greeting", "ok extensions",
			"ok mechanisms: PLAIN (not used", "warning TLS: relay.example [192.0.2.1]: mail goes in plain text: the server offers STARTTLS",
		}},
		{"bad certificate", func(c *Config) { smarthost(c, starttls, auth) }, func(p *peer) {
			p.Hello("STARTTLS")
			p.Answer("STARTTLS", "220 go")
			p.TLS(other)
		}, sysexits.Unavailable, []string{"ok route", "ok addresses", "ok connection", "ok greeting", "ok extensions", "error starttls: relay.example [192.0.2.1] failed after STARTTLS: TLS: "}},
		{"bad certificate that may be", func(c *Config) { smarthost(c, conf.Transport{StartTLS: conf.TLSMay, Verify: true}, nil) }, func(p *peer) {
			p.Hello("STARTTLS")
			if p.Read() == "STARTTLS" {
				p.Say("220 go")
				p.TLS(other)
			}
			p.Say("221 bye")
		}, sysexits.OK, []string{
			"ok route", "ok addresses", "ok connection", "ok greeting", "ok extensions", "warning TLS: ",
			"ok connection", "ok greeting", "ok extensions", "ok mechanisms: server offers no", "warning TLS: ",
		}},
		{"wrong password", func(c *Config) { smarthost(c, plain, auth) }, func(p *peer) {
			p.Hello("AUTH PLAIN")
			p.Answer("AUTH", "535 not "+secret)
			p.Quit()
		}, sysexits.NoPerm, []string{"ok", "ok", "ok", "ok", "ok extensions: AUTH PLAIN", "error auth: relay.example [192.0.2.1] did not like our AUTH: 535 not [redacted]: check user and password"}},
		{"login later", func(c *Config) { smarthost(c, plain, auth) }, func(p *peer) { p.Hello("AUTH PLAIN"); p.Answer("AUTH", "454 hm"); p.Quit() }, sysexits.TempFail, []string{"", "", "", "", "", "error auth: "}},
		{"password unreadable", func(c *Config) { smarthost(c, plain, &conf.Auth{User: "u", File: "/nonexistent"}) }, func(p *peer) { p.Hello("AUTH PLAIN") }, sysexits.NoPerm, []string{"", "", "error auth: "}},
		{"greeting 421", nil, func(p *peer) { p.Say("421 busy") }, sysexits.TempFail, []string{"", "", "error connect: "}},
		{"greeting 554", nil, func(p *peer) { p.Say("554 no"); p.Quit() }, sysexits.Unavailable, []string{"", "", "error connect: "}},
		{"nobody answers", func(c *Config) {
			routes(c, Route{Servers: []Server{{Host: conf.Host{Name: "relay.example", Port: 26}}}})
		}, func(*peer) {}, sysexits.Unavailable, []string{"", "", "error connect: relay.example [192.0.2.1] failed after connect: timed out: check name and port"}},
		{"no address", func(c *Config) { routes(c, Route{Servers: []Server{{Host: conf.Host{Name: "gone.example"}}}}) }, func(*peer) {}, sysexits.TempFail, []string{"", "error addresses: DNS lookup failure"}},
		{"no smarthost", func(c *Config) { routes(c, Route{}) }, func(*peer) {}, sysexits.OK, []string{"ok route: there is no SMARTHOST"}},
		{"broken", func(c *Config) { c.Broken = errors.New("dma.conf:1: no") }, func(*peer) {}, sysexits.Config, []string{"", "error configuration: dma.conf:1: no: "}},
		{"broken route", func(c *Config) {
			c.Route = func(string) (Route, bool) { return Route{Broken: errors.New("no line for u")}, true }
		}, func(*peer) {}, sysexits.Config, []string{"error configuration: no line for u: "}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			cfg := config(relay(smtptest.Start(t, tt.script)))
			cfg.Roots = roots
			if tt.change != nil {
				tt.change(&cfg)
			}
			got, code := probed(t, cfg, "")
			if code != tt.code || len(got) != len(tt.want) {
				t.Fatalf("code %d, want %d; found:\n%s", code, tt.code, strings.Join(got, "\n"))
			}
			for i, line := range got {
				if !strings.HasPrefix(line, tt.want[i]) {
					t.Errorf("line %d: %q, want %q", i, line, tt.want[i])
				}
				if strings.Contains(line, "hunter2") {
					t.Errorf("line %d shows the password: %q", i, line)
				}
			}
		})
	}
}

func probed(t *testing.T, cfg Config, domain string) (lines []string, code int) {
	t.Helper()
	c := start(t, cfg)
	code = c.Probe(t.Context(), "s@x.example", domain, func(r *proto.Report) {
		if outcome.Clean(r.Found) != r.Found || r.Level < proto.LevelOK || r.Level > proto.LevelError {
			t.Errorf("report %+v", r)
		}
		line := fmt.Sprintf("%s %s: %s", r.Level, r.About, r.Found)
		if r.Do != "" {
			line += ": " + r.Do
		}
		lines = append(lines, line)
	})
	return lines, code
}

// A domain's mail hosts are all tried.
func TestProbeDomain(t *testing.T) {
	good := smtptest.Start(t, func(p *peer) { p.Hello(); p.Quit() })
	n := network{
		mx:    map[string][]string{"d.example": {"a.example", "b.example"}},
		addrs: map[string][]string{"a.example": {"192.0.2.1"}, "b.example": {"192.0.2.2"}},
		dial:  servers(map[string]*smtptest.Server{"192.0.2.2:25": good}),
	}
	got, code := probed(t, config(n), "d.example")
	want := []string{"ok addresses: a.example [192.0.2.1], b.example [192.0.2.2]", "error connect: a.example", "ok connection: b.example", "ok greeting", "ok extensions", "ok mechanisms", "warning TLS"}
	if code != sysexits.Unavailable || len(got) != len(want) {
		t.Fatalf("code %d; found:\n%s", code, strings.Join(got, "\n"))
	}
	for i := range want {
		if !strings.HasPrefix(got[i], want[i]) {
			t.Errorf("line %d: %q, want %q", i, got[i], want[i])
		}
	}
	n.dial = func(netip.AddrPort) (net.Conn, error) { return nil, errors.New("no") }
	if got, code := probed(t, config(n), "gone.example"); code != sysexits.TempFail || len(got) != 1 {
		t.Errorf("code %d; found %q", code, got)
	}
}
