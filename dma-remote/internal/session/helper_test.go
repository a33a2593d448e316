package session

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"dma/common/conf"
	"dma/common/outcome"
	"dma/dma-remote/internal/content"
	"dma/dma-remote/internal/smtptest"
)

// slow is a limit that a test waits for; soon is within what a session with such
// limits has to end, on a machine that is busy.
const (
	slow = 150 * time.Millisecond
	soon = 5 * time.Second
)

func testLimits() Limits {
	return Limits{
		Greeting: soon, Command: soon, TLS: soon, Data: soon, Block: soon, Final: soon,
		Quit: slow, Linger: slow, Session: 2 * soon,
	}
}

func testConfig() Config {
	return Config{Helo: "client.example", Limits: testLimits()}
}

func dial(t *testing.T, s *smtptest.Server) net.Conn {
	t.Helper()
	nc, err := net.Dial("tcp", s.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return nc
}

func open(t *testing.T, s *smtptest.Server, cfg Config) (*Conn, *Verdict) {
	t.Helper()
	c, err := Open(t.Context(), dial(t, s), "test.example [127.0.0.1]", cfg)
	if err == nil {
		t.Cleanup(c.Close)
		return c, nil
	}
	var v *Verdict
	if !errors.As(err, &v) {
		t.Fatalf("Open: %v", err)
	}
	if !v.Trouble || v.Class != outcome.Later || !v.Valid() {
		t.Errorf("Open failed with %+v, want trouble", v)
	}
	return nil, v
}

func mustOpen(t *testing.T, s *smtptest.Server) *Conn {
	t.Helper()
	c, v := open(t, s, testConfig())
	if v != nil {
		t.Fatal(v)
	}
	return c
}

// mail makes a message for r0@x.example, r1@x.example and so on.
func mail(recipients int) *Mail {
	m := &Mail{Sender: "s@x.example", Body: body("Subject: t\n\nhi\n")}
	m.Facts, _ = m.Body.Inspect()
	for i := range recipients {
		m.Recipients = append(m.Recipients, Recipient{Address: fmt.Sprintf("r%d@x.example", i)})
	}
	return m
}

func body(text string) *content.Message {
	return &content.Message{File: strings.NewReader(text), Size: int64(len(text))}
}

// send sends m to all recipients and checks that each gets one valid verdict.
func send(ctx context.Context, t *testing.T, c *Conn, m *Mail) []*Verdict {
	t.Helper()
	verdicts := make([]*Verdict, len(m.Recipients))
	var all []int
	for i := range m.Recipients {
		all = append(all, i)
	}
	report := func(i int, v *Verdict) {
		if verdicts[i] != nil {
			t.Errorf("recipient %d got two verdicts: %v and %v", i, verdicts[i], v)
		}
		if !v.Valid() || v.Trouble && v.Class != outcome.Later {
			t.Errorf("recipient %d got an invalid verdict: %+v", i, v)
		}
		verdicts[i] = v
	}
	c.Serve(ctx, &tasks{list: []*Task{{Mail: m, Pending: all, Report: report, Done: func(rest []int, v *Verdict, _ bool) {
		for _, i := range rest {
			if !v.Trouble {
				t.Errorf("recipient %d is given back for %+v", i, v)
			}
			report(i, v)
		}
	}}}})
	for i, v := range verdicts {
		if v == nil {
			t.Fatalf("recipient %d got no verdict", i)
		}
	}
	return verdicts
}

// tasks is a Source of a list.
type tasks struct{ list []*Task }

func (s *tasks) Next(<-chan struct{}, bool) (*Task, bool) {
	if len(s.list) == 0 {
		return nil, false
	}
	t := s.list[0]
	s.list = s.list[1:]
	return t, true
}

// summary is a verdict in short: class, code, and ! for trouble.
func summary(v *Verdict) string {
	s := v.Class.String() + " " + v.Code
	if v.Trouble {
		s += "!"
	}
	return s
}

func summaries(vs []*Verdict) string {
	var out []string
	for _, v := range vs {
		out = append(out, summary(v))
	}
	return strings.Join(out, ", ")
}

// within fails the test if it takes longer.
func within(t *testing.T, limit time.Duration) {
	t.Helper()
	start := time.Now()
	t.Cleanup(func() {
		if d := time.Since(start); d > limit {
			t.Errorf("took %v, limit %v", d, limit)
		}
	})
}

func secret(user, password string) *conf.Auth {
	return &conf.Auth{User: user, Host: "test.example", Password: conf.NewSecret(password)}
}
