package session

import (
	"context"
	"crypto/tls"
	"net"
	"strings"
	"testing"
	"time"

	"dma/dma-remote/internal/smtptest"
	"dma/dma-remote/internal/tlspolicy"
)

type peer = smtptest.Peer

// Every way that a server can spoil the beginning, in plain text. All is trouble,
// nothing takes longer than a limit.
func TestOpen(t *testing.T) {
	tests := []struct {
		name   string
		config func(*Config)
		script smtptest.Script
		want   string // verdict, empty for success
		reason string // found in it
	}{
		{"plain", nil, func(p *peer) { p.Hello("PIPELINING"); p.Quit() }, "", ""},
		{"long greeting", nil, func(p *peer) { p.Say("220-a", "220-b", "220 c"); p.EHLO(); p.Quit() }, "", ""},
		{"greeting 554", nil, func(p *peer) { p.Say("554 no"); p.Quit() }, "later 4.3.2!", "did not like our connect: 554 no"},
		{"greeting 421", nil, func(p *peer) { p.Say("421 4.3.1 busy") }, "later 4.3.1!", "421 4.3.1 busy"},
		{"greeting 250", nil, func(p *peer) { p.Say("250 hm") }, "later 4.5.0!", "unexpected"},
		{"greeting of another protocol", nil, func(p *peer) { p.Say("SSH-2.0-x") }, "later 4.5.0!", "SSH-2.0-x"},
		{"binary greeting", nil, func(p *peer) { p.Raw("\x15\x03\x01\x00\x02\x02\x46\n") }, "later 4.5.0!", "malformed"},
		{"closed at once", nil, func(p *peer) {}, "later 4.4.2!", "connection closed"},
		{"closed in the greeting", nil, func(p *peer) { p.Raw("220-hal") }, "later 4.4.2!", "connection closed"},
		{"reset", nil, func(p *peer) { p.Say("220 a"); p.Read(); p.Reset() }, "later 4.4.2!", "connection reset"},
		{"silent", func(c *Config) { c.Limits.Greeting = slow }, func(p *peer) { p.Wait() }, "later 4.4.2!", "after connect: timed out"},
		{"drips", func(c *Config) { c.Limits.Greeting = slow }, drip, "later 4.4.2!", "timed out"},
		{"session limit", func(c *Config) { c.Limits.Session = slow }, drip, "later 4.4.2!", "timed out"},
		{"endless greeting", nil, func(p *peer) {
			for {
				p.Say("220-more")
			}
		}, "later 4.5.0!", "over 65536 bytes or 100 lines"},
		{"endless line", nil, func(p *peer) {
			for {
				p.Raw(strings.Repeat("x", 4096))
			}
		}, "later 4.5.0!", "line over 2048 bytes"},
		{"EHLO 421", nil, func(p *peer) { p.Say("220 a"); p.Answer("EHLO", "421 bye") }, "later 4.3.2!", "EHLO: 421"},
		{"EHLO 450", nil, func(p *peer) { p.Say("220 a"); p.Answer("EHLO", "450 wait"); p.Quit() }, "later 4.0.0!", "EHLO: 450"},
		{"EHLO closed", nil, func(p *peer) { p.Say("220 a"); p.Expect("EHLO") }, "later 4.4.2!", "after EHLO: connection closed"},
		{"HELO", nil, func(p *peer) {
			p.Say("220 a")
			p.Answer("EHLO", "500 what")
			p.Answer("HELO client.example", "250 hi")
			p.Quit()
		}, "", ""},
		{"HELO refused", nil, func(p *peer) { p.Say("220 a"); p.Answer("EHLO", "502 what"); p.Answer("HELO", "550 no"); p.Quit() }, "later 4.0.0!", "HELO: 550"},
		{"EHLO answered twice", nil, func(p *peer) { p.Say("220 a"); p.Answer("EHLO", "500 what", "250 ok"); p.Wait() }, "later 4.5.0!", "out of turn"},
		{"no HELO with credentials", func(c *Config) { c.Auth = secret("u", "p") }, func(p *peer) { p.Say("220 a"); p.Answer("EHLO", "500 what"); p.Quit() }, "later 4.5.2!", "EHLO: 500"},
		{"no HELO where TLS is required", required, func(p *peer) { p.Say("220 a"); p.Answer("EHLO", "500 what"); p.Quit() }, "later 4.5.2!", "EHLO: 500"},
		{"no STARTTLS where it is required", required, func(p *peer) { p.Hello("PIPELINING"); p.Wait() }, "later 4.7.4!", "no STARTTLS"},
		{"STARTTLS 454 where it is required", required, func(p *peer) { p.Hello("STARTTLS"); p.Answer("STARTTLS", "454 broken"); p.Quit() }, "later 4.7.5!", "STARTTLS: 454"},
		{"STARTTLS 454 else", may, func(p *peer) { p.Hello("STARTTLS"); p.Answer("STARTTLS", "454 broken"); p.Quit() }, "", ""},
		{"STARTTLS 250", may, func(p *peer) { p.Hello("STARTTLS"); p.Answer("STARTTLS", "250 hm"); p.Wait() }, "later 4.5.0!", "unexpected"},
		{"STARTTLS not wanted", nil, func(p *peer) { p.Hello("STARTTLS"); p.Quit() }, "", ""},
		{"garbage for a handshake", may, func(p *peer) { p.Hello("STARTTLS"); p.Answer("STARTTLS", "220 go"); p.Raw("hello\r\n"); p.Wait() }, "later 4.5.0!", ""},
		{"closed for a handshake", may, func(p *peer) {
			p.Hello("STARTTLS")
			p.Answer("STARTTLS", "220 go")
			_, _ = p.Conn.Read(make([]byte, 1))
		}, "later 4.7.5!", ""},
		{"no handshake", func(c *Config) { may(c); c.Limits.TLS = slow }, func(p *peer) { p.Hello("STARTTLS"); p.Answer("STARTTLS", "220 go"); p.Wait() }, "later 4.7.5!", "TLS: timed out"},
		{"text injected after 220", required, func(p *peer) {
			p.Hello("STARTTLS")
			p.Answer("STARTTLS", "220 go", "250-test.example", "250 AUTH PLAIN")
			p.Wait()
		}, "later 4.5.0!", "out of turn"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := smtptest.Start(t, tt.script)
			cfg := testConfig()
			if tt.config != nil {
				tt.config(&cfg)
			}
			within(t, soon)
			c, v := open(t, s, cfg)
			switch {
			case v == nil && tt.want != "":
				t.Errorf("opened, want %s", tt.want)
			case v == nil:
				c.Quit()
				s.Finish()
			case strings.HasPrefix(tt.name, "garbage") && v.BadTLS: // whether it is in the buffer yet is up to the network
			case summary(v) != tt.want || !strings.Contains(v.Text, tt.reason) || !strings.Contains(v.Text, "test.example [127.0.0.1]"):
				t.Errorf("verdict %s %q, want %s %q", summary(v), v.Text, tt.want, tt.reason)
			}
		})
	}
}

func required(c *Config) {
	c.Policy.Level, c.TLS = tlspolicy.Encrypt, &tls.Config{ServerName: "test.example"}
}

func may(c *Config) {
	c.Policy.Level, c.TLS = tlspolicy.May, &tls.Config{ServerName: "test.example"}
}

func drip(p *peer) {
	for tick := time.NewTicker(slow / 10); ; <-tick.C {
		p.Raw("2")
		p.Raw("20-"[1:])
	}
}

func TestHeloName(t *testing.T) {
	v4 := &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 1}
	v6 := &net.TCPAddr{IP: net.ParseIP("2001:db8::1"), Port: 1, Zone: "eth0"}
	tests := []struct {
		name  string
		local net.Addr
		want  string
	}{
		{"a.example", v4, "a.example"},
		{"a.example.", v4, "a.example"},
		{"a", v4, "[192.0.2.1]"},
		{"", v6, "[IPv6:2001:db8::1]"},
		{"a.b\r\nMAIL", v4, "[192.0.2.1]"},
		{"a b.c", v4, "[192.0.2.1]"},
		{"a", &net.UnixAddr{Name: "x"}, "localhost"},
	}
	for _, tt := range tests {
		if got := heloName(tt.name, tt.local); got != tt.want {
			t.Errorf("heloName(%q, %v) = %q, want %q", tt.name, tt.local, got, tt.want)
		}
	}
}

// The end of the context ends every wait.
func TestOpenCancelled(t *testing.T) {
	within(t, soon)
	s := smtptest.Start(t, func(p *peer) { p.Wait() })
	ctx, cancel := context.WithTimeout(t.Context(), slow)
	defer cancel()
	cfg := testConfig()
	cfg.Limits.Greeting = time.Hour
	cfg.Limits.Session = time.Hour
	_, err := Open(ctx, dial(t, s), "test.example [127.0.0.1]", cfg)
	if err == nil || !strings.Contains(err.Error(), "aborted") {
		t.Errorf("Open: %v, want an abort", err)
	}
}
