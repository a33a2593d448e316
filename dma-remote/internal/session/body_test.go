package session

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"dma/dma-remote/internal/content"
	"dma/dma-remote/internal/smtptest"
)

// big is a message that does not fit into what sockets buffer.
func big() *Mail {
	m := mail(2)
	m.Body = body("Subject: t\n\n" + strings.Repeat(strings.Repeat("x", 76)+"\n", 100_000))
	m.Facts, _ = m.Body.Inspect()
	return m
}

// What a server may do while the message is on its way.
func TestBody(t *testing.T) {
	begin := func(p *peer) {
		p.Hello()
		p.Answer("MAIL", "250 a")
		p.Answer("RCPT", "250 a")
		p.Answer("RCPT", "550 no")
		p.Answer("DATA", "354 go on")
		p.Read()
	}
	tests := []struct {
		name   string
		limits func(*Limits)
		script smtptest.Script
		want   string // of the first recipient
	}{
		{"taken", nil, func(p *peer) { p.Message(); p.Say("250 ok"); p.Wait() }, "done 2.0.0"},
		{"refused half-way and read on", nil, func(p *peer) { p.Say("552 5.3.4 too big"); p.Wait() }, "failed 5.3.4"},
		{"refused half-way and not read on", nil, func(p *peer) { p.Say("552 5.3.4 too big"); p.Hang() }, "failed 5.3.4"},
		{"refused half-way and closed", nil, func(p *peer) { p.Say("451 4.3.1 full") }, "later 4.3.1"},
		{"421 half-way", nil, func(p *peer) { p.Say("421 4.3.2 bye") }, "later 4.3.2!"},
		{"taken half-way", nil, func(p *peer) { p.Say("250 ok"); p.Hang() }, "later 4.5.0!"},
		{"garbage half-way", nil, func(p *peer) { p.Say("what"); p.Wait() }, "later 4.5.0!"},
		{"closed half-way", nil, func(p *peer) {}, "later 4.4.2!"},
		{"reset half-way", nil, func(p *peer) { p.Reset() }, "later 4.4.2!"},
		{"not read on", func(l *Limits) { l.Block = slow }, func(p *peer) { p.Hang() }, "later 4.4.2!"},
		{"no answer to the dot", func(l *Limits) { l.Final = slow }, func(p *peer) { p.Wait() }, "later 4.4.2"},
		{"drips after the dot", func(l *Limits) { l.Final = slow }, func(p *peer) { p.Message(); drip(p) }, "later 4.4.2"},
		{"reset after the dot", nil, func(p *peer) { p.Message(); p.Reset() }, "later 4.4.2"},
		{"session limit", func(l *Limits) { l.Session = soon / 2 }, func(p *peer) { p.Hang() }, "later 4.4.2!"},
	}
	m := big()
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			within(t, soon)
			s := smtptest.Start(t, func(p *peer) { begin(p); tt.script(p) })
			cfg := testConfig()
			if tt.limits != nil {
				tt.limits(&cfg.Limits)
			}
			c, v := open(t, s, cfg)
			if v != nil {
				t.Fatal(v)
			}
			if got, want := summaries(send(t.Context(), t, c, m)), tt.want+", failed 5.1.1"; got != want {
				t.Errorf("verdicts %s, want %s", got, want)
			}
			c.Close()
		})
	}
}

// A message that cannot be read to its end is not ended, and nobody else is
// blamed or asked.
func TestUnreadableMessage(t *testing.T) {
	var received string
	s := smtptest.Start(t, func(p *peer) {
		p.Hello()
		p.Answer("MAIL", "250 a")
		p.Answer("RCPT", "250 a")
		p.Answer("DATA", "354 go on")
		rest, _ := io.ReadAll(p.Conn)
		received = string(rest)
	})
	cfg := testConfig()
	cfg.Limits.Linger = 2 * soon // the server is not waited for
	within(t, soon)
	c, _ := open(t, s, cfg)
	m := mail(1)
	m.Body = &content.Message{File: broken{}, Size: 1000}
	v := send(t.Context(), t, c, m)[0]
	s.Finish()
	if summary(v) != "later 4.3.0" || !strings.Contains(v.Text, "disk on fire") || c.Ready() {
		t.Errorf("verdict %s %q, ready %v", summary(v), v.Text, c.Ready())
	}
	if strings.Contains(received, "\r\n.\r\n") {
		t.Errorf("the server was told that this is the message: %q", received)
	}
}

type broken struct{}

func (broken) ReadAt(p []byte, _ int64) (int, error) {
	return copy(p, "Subject: t\n\nhi\n"), errors.New("disk on fire")
}

// Password and its disguises stay out of the verdicts of a whole session.
func TestSecretsInReplies(t *testing.T) {
	s := smtptest.Start(t, func(p *peer) {
		p.Hello("AUTH LOGIN")
		p.Answer("AUTH LOGIN", "334 ")
		p.Read()
		p.Say("334 ")
		secret := p.Read()
		p.Say("235 ok")
		p.Answer("MAIL", "250 ok")
		p.Answer("RCPT", "550 "+secret)
		p.Answer("RCPT", "450 "+password)
		p.Answer("RCPT", "250 ok")
		p.Answer("DATA", "354 go on")
		p.Message()
		p.Say("250 " + password)
		p.Wait()
	})
	cfg := testConfig()
	cfg.Auth = secret(authUser, password)
	cfg.Insecure = true
	c, v := open(t, s, cfg)
	if v != nil {
		t.Fatal(v)
	}
	for _, v := range send(t.Context(), t, c, mail(3)) {
		if text := fmt.Sprintf("%+v", *v); strings.Contains(text, "tanstaaf") || !strings.Contains(text, "[redacted]") {
			t.Errorf("verdict %s", text)
		}
	}
}
