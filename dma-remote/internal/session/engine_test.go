package session

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"dma/common/outcome"
	"dma/dma-remote/internal/smtptest"
)

// ends collects what becomes of each recipient of a number of messages: of message m
// the recipients are m-0@x.example and so on.
type ends struct {
	t    *testing.T
	list []*Task
	got  map[string]string
	own  []string // first recipients of messages that were given back as the cause
}

func newEnds(t *testing.T, messages, recipients int) *ends {
	e := &ends{t: t, got: make(map[string]string)}
	for m := range messages {
		mail := mail(0)
		mail.Body = body(fmt.Sprintf("Subject: %d\n\nhi\n", m))
		var pending []int
		for i := range recipients {
			mail.Recipients = append(mail.Recipients, Recipient{Address: fmt.Sprintf("%d-%d@x.example", m, i)})
			pending = append(pending, i)
		}
		done := false
		note := func(i int, text string) {
			name := mail.Recipients[i].Address
			if e.got[name] != "" || done {
				t.Errorf("%s: %s, after %s (done %v)", name, text, e.got[name], done)
			}
			e.got[name] = text
		}
		e.list = append(e.list, &Task{
			Mail: mail, Pending: pending,
			Report: func(i int, v *Verdict) { note(i, summary(v)) },
			Done: func(rest []int, v *Verdict, own bool) {
				for _, i := range rest {
					note(i, "back "+summary(v))
				}
				if own && len(rest) > 0 {
					e.own = append(e.own, mail.Recipients[rest[0]].Address)
				}
				done = true
			},
		})
	}
	return e
}

// serve has all of them brought away, as far as the connection lasts, and returns
// the ends in the order of recipients. "" is for those that were not begun.
func (e *ends) serve(c *Conn) []string {
	src := &tasks{list: e.list}
	c.Serve(e.t.Context(), src)
	var out []string
	for _, task := range e.list {
		begun := 0
		for _, r := range task.Mail.Recipients {
			if e.got[r.Address] != "" {
				begun++
			}
			out = append(out, e.got[r.Address])
		}
		if begun != 0 && begun != len(task.Pending) {
			e.t.Errorf("only %d recipients of %s have an end", begun, task.Mail.Recipients[0].Address)
		}
	}
	return out
}

// Where the server has CHUNKING, whole transactions are under way one behind the
// other; with PIPELINING alone the next begins behind the dot; else one is.
func TestInFlight(t *testing.T) {
	tests := []struct {
		name   string
		caps   []string
		script smtptest.Script // of three messages with a recipient each
	}{
		{"CHUNKING", []string{"PIPELINING", "CHUNKING"}, func(p *peer) {
			for m := range 3 {
				if m > 0 {
					p.Expect("RSET")
				}
				p.Expect("MAIL FROM:<s@x.example>")
				p.Expect(fmt.Sprintf("RCPT TO:<%d-0@x.example>", m))
				p.Expect("BDAT 18 LAST")
				if got := p.Bytes(18); got != fmt.Sprintf("Subject: %d\r\n\r\nhi\r\n", m) {
					t.Errorf("message %q", got)
				}
			}
			for m := range 3 {
				if m > 0 {
					p.Say("250 reset")
				}
				p.Say("250 a", "250 b", "250 c")
			}
		}},
		{"PIPELINING", []string{"PIPELINING"}, func(p *peer) {
			for m := range 3 {
				p.Expect("MAIL FROM:<s@x.example>")
				p.Expect(fmt.Sprintf("RCPT TO:<%d-0@x.example>", m))
				p.Expect("DATA")
				if m > 0 {
					p.Say("250 taken") // the one before
				}
				p.Say("250 a", "250 b", "354 go on")
				p.Message()
			}
			p.Say("250 taken")
		}},
		{"CHUNKING alone", []string{"CHUNKING"}, lockstep},
		{"nothing", nil, lockstep},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			within(t, soon)
			s := smtptest.Start(t, func(p *peer) { p.Hello(tt.caps...); tt.script(p); p.Quit() })
			c := mustOpen(t, s)
			got := newEnds(t, 3, 1).serve(c)
			if want := []string{"done 2.0.0", "done 2.0.0", "done 2.0.0"}; !slices.Equal(got, want) {
				t.Errorf("ends %q", got)
			}
			c.Quit()
			s.Finish()
		})
	}
}

func lockstep(p *peer) {
	for range 3 {
		for _, prefix := range []string{"MAIL", "RCPT"} {
			p.Answer(prefix, "250 ok")
			if p.Waiting() {
				p.Say("421 do not talk on")
			}
		}
		p.Answer("DATA", "354 go on")
		p.Message()
		p.Say("250 ok")
	}
}

// Replies are matched to recipients by their order; a transaction that fails takes
// no other with it.
func TestChunkedReplies(t *testing.T) {
	const ok = "250 ok"
	tests := []struct {
		name    string
		replies []string // to RSET (from the second message on), MAIL, two RCPT, BDAT
		want    []string
		ready   bool
	}{
		{"all taken", []string{ok, ok, ok, "250 2.6.0 t", ok, ok, ok, ok, "250 2.6.1 t"}, []string{"done 2.6.0", "done 2.6.0", "done 2.6.1", "done 2.6.1"}, true},
		{"recipients refused", []string{ok, "550 no", ok, ok, ok, ok, ok, "450 no", ok}, []string{"failed 5.1.1", "done 2.0.0", "done 2.0.0", "later 4.0.0"}, true},
		{"all recipients refused", []string{ok, "550 no", "550 no", "503 none", ok, ok, ok, ok, ok}, []string{"failed 5.1.1", "failed 5.1.1", "done 2.0.0", "done 2.0.0"}, true},
		{"all refused and the message taken", []string{ok, "550 no", "450 no", "250 eh", ok, ok, ok, ok, ok}, []string{"failed 5.1.1", "later 4.0.0", "done 2.0.0", "done 2.0.0"}, true},
		{"MAIL refused", []string{"550 5.7.1 no", "503 x", "503 x", "503 x", ok, ok, ok, ok, ok}, []string{"failed 5.7.1", "failed 5.7.1", "done 2.0.0", "done 2.0.0"}, true},
		{"MAIL refused and the rest taken", []string{"450 no", ok, ok, ok, ok, ok, ok, ok, ok}, []string{"later 4.0.0", "later 4.0.0", "done 2.0.0", "done 2.0.0"}, true},
		{"message refused", []string{ok, ok, ok, "554 5.7.1 spam", ok, ok, ok, ok, ok}, []string{"failed 5.7.1", "failed 5.7.1", "done 2.0.0", "done 2.0.0"}, true},
		{"RSET refused", []string{ok, ok, ok, ok, "500 what", ok, ok, ok, ok}, []string{"done 2.0.0", "done 2.0.0", "later 4.5.2", "later 4.5.2"}, false},
		{"421 to the first", []string{"421 bye"}, []string{"back later 4.3.2!", "back later 4.3.2!", "back later 4.3.2!", "back later 4.3.2!"}, false},
		{"421 to the second", []string{ok, ok, ok, ok, ok, "421 bye"}, []string{"done 2.0.0", "done 2.0.0", "back later 4.3.2!", "back later 4.3.2!"}, false},
		{"closed before the first reply", nil, []string{"later 4.4.2", "later 4.4.2", "later 4.4.2", "later 4.4.2"}, false},
		{"closed in the middle", []string{ok, ok, "550 no"}, []string{"later 4.4.2", "failed 5.1.1", "later 4.4.2", "later 4.4.2"}, false},
		{"closed between", []string{ok, ok, ok, ok}, []string{"done 2.0.0", "done 2.0.0", "later 4.4.2", "later 4.4.2"}, false},
		{"garbage", []string{ok, ok, ok, "what"}, []string{"later 4.5.0", "later 4.5.0", "later 4.5.0", "later 4.5.0"}, false},
		{"530 to the second", []string{ok, ok, ok, ok, ok, "530 who"}, []string{"done 2.0.0", "done 2.0.0", "back later 4.7.0!", "back later 4.7.0!"}, false},
		{"530 to a recipient", []string{ok, ok, "530 who", ok, ok, ok, ok, ok, ok}, []string{"later 4.7.0", "back later 4.7.0!", "later 4.7.0", "later 4.7.0"}, false},
		{"one reply too many", []string{ok, ok, ok, ok, ok, ok, ok, ok, ok, ok}, []string{"done 2.0.0", "done 2.0.0", "done 2.0.0", "done 2.0.0"}, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			within(t, soon)
			s := smtptest.Start(t, func(p *peer) {
				p.Hello("PIPELINING", "CHUNKING")
				for range 2 {
					for line := ""; !strings.HasPrefix(line, "BDAT"); {
						line = p.Read()
					}
					p.Bytes(18)
				}
				if len(tt.replies) > 0 {
					p.Say(tt.replies...)
				}
				if tt.ready || len(tt.replies) >= 9 || strings.HasPrefix(tt.name, "530") {
					p.Wait()
				}
			})
			c := mustOpen(t, s)
			e := newEnds(t, 2, 2)
			if got := e.serve(c); !slices.Equal(got, tt.want) {
				t.Errorf("ends %q, want %q", got, tt.want)
			}
			if c.Ready() != tt.ready {
				t.Errorf("ready for more: %v", c.Ready())
			}
			for _, name := range e.own {
				if name[0] != '0' {
					t.Errorf("%s is taken for the cause", name)
				}
			}
		})
	}
}

// A large message, and the first after a rest, is not sent before a recipient of it
// was accepted.
func TestCareful(t *testing.T) {
	sent := ""
	s := smtptest.Start(t, func(p *peer) {
		p.Hello("PIPELINING", "CHUNKING")
		p.Answer("MAIL", "250 ok")
		p.Answer("RCPT", "550 no")
		p.Answer("RCPT", "550 no")
		sent = p.Read()
		p.Say("250 reset")
		p.Answer("MAIL", "250 ok")
		p.Answer("RCPT", "250 ok")
		p.Answer("RCPT", "250 ok")
		n := 0
		fmt.Sscanf(p.Expect("BDAT"), "BDAT %d LAST", &n)
		p.Bytes(n)
		p.Say("250 ok")
		p.Quit()
	})
	c := mustOpen(t, s)
	m := big()
	if got := summaries(send(t.Context(), t, c, m)); got != "failed 5.1.1, failed 5.1.1" {
		t.Error(got)
	}
	if got := summaries(send(t.Context(), t, c, m)); got != "done 2.0.0, done 2.0.0" {
		t.Error(got)
	}
	c.Quit()
	s.Finish()
	if sent != "RSET" {
		t.Errorf("after the refusal came %q", sent)
	}
}

// What was cancelled is not sent to its end; what was sent is waited for.
func TestCancelled(t *testing.T) {
	closed := make(chan struct{})
	close(closed)
	large := big()
	for _, caps := range []string{"PIPELINING", "CHUNKING", "SIZE"} {
		t.Run(caps, func(t *testing.T) {
			rest := ""
			s := smtptest.Start(t, func(p *peer) {
				all := []string{caps}
				if caps == "CHUNKING" {
					all = append(all, "PIPELINING")
				}
				p.Hello(all...)
				for {
					line := p.Read()
					switch {
					case line == "DATA":
						p.Say("354 go on")
						continue
					case strings.HasPrefix(line, "MAIL"), strings.HasPrefix(line, "RCPT"):
						p.Say("250 ok")
						continue
					}
					rest = line
					p.Wait()
					return
				}
			})
			c := mustOpen(t, s)
			e := newEnds(t, 1, 1)
			e.list[0].Mail.Body, e.list[0].Mail.Facts = large.Body, large.Facts
			e.list[0].Cancelled = closed
			c.Serve(t.Context(), &tasks{list: e.list})
			s.Finish()
			if got := e.got["0-0@x.example"]; got != "later 4.3.2" || rest != "" {
				t.Errorf("end %q; the server got %q", got, rest)
			}
		})
	}
}

// LMTP: LHLO, and an answer for each recipient that was accepted (RFC 2033).
func TestLMTP(t *testing.T) {
	begin := func(p *peer) {
		p.Say("220 hi")
		p.Answer("LHLO client.example", "250-test.example", "250-PIPELINING", "250 CHUNKING")
		p.Answer("MAIL", "250 ok")
		p.Answer("RCPT", "250 ok")
		p.Answer("RCPT", "550 5.1.1 no")
		p.Answer("RCPT", "250 ok")
		p.Answer("DATA", "354 go on")
		p.Message()
	}
	tests := []struct {
		name    string
		replies []string
		want    []string
	}{
		{"all taken", []string{"250 2.1.5 a", "250 2.1.6 b"}, []string{"done 2.1.5", "failed 5.1.1", "done 2.1.6"}},
		{"some refused", []string{"452 4.2.2 full", "550 5.2.2 full"}, []string{"later 4.2.2", "failed 5.1.1", "failed 5.2.2"}},
		{"closed in the middle", []string{"250 ok"}, []string{"done 2.0.0", "failed 5.1.1", "later 4.4.2"}},
		{"closed", nil, []string{"later 4.4.2", "failed 5.1.1", "later 4.4.2"}},
		{"421 in the middle", []string{"250 ok", "421 bye"}, []string{"done 2.0.0", "failed 5.1.1", "back later 4.3.2!"}},
		{"garbage in the middle", []string{"250 ok", "what"}, []string{"done 2.0.0", "failed 5.1.1", "later 4.5.0"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			within(t, soon)
			s := smtptest.Start(t, func(p *peer) {
				begin(p)
				if len(tt.replies) > 0 {
					p.Say(tt.replies...)
				}
				if tt.want[2][:4] == "done" || tt.want[2][:4] == "fail" {
					p.Accept() // the connection is good for more
					p.Quit()
				}
			})
			cfg := testConfig()
			cfg.LMTP = true
			c, v := open(t, s, cfg)
			if v != nil {
				t.Fatal(v)
			}
			if got := newEnds(t, 1, 3).serve(c); !slices.Equal(got, tt.want) {
				t.Errorf("ends %q, want %q", got, tt.want)
			}
			if c.Ready() {
				if v := send(t.Context(), t, c, mail(1)); v[0].Class != outcome.Done {
					t.Error(v[0])
				}
				c.Quit()
				s.Finish()
			}
		})
	}
}

// There is no HELO in LMTP.
func TestLMTPRefused(t *testing.T) {
	s := smtptest.Start(t, func(p *peer) { p.Say("220 hi"); p.Answer("LHLO", "500 what"); p.Quit() })
	cfg := testConfig()
	cfg.LMTP = true
	if _, v := open(t, s, cfg); v == nil || summary(v) != "later 4.5.2!" || v.Stage != "LHLO" {
		t.Errorf("verdict %+v", v)
	}
}
