package session

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"dma/dma-remote/internal/smtptest"
)

// A moody server answers as it was told, but goes after so many replies: what it
// has taken by then it keeps, whether it could say so or not.
type moody struct {
	p       *peer
	replies []string // to commands, over and over
	left    int      // replies before it goes
	said    int

	mu    sync.Mutex
	taken map[string]bool // recipients of messages that it took
	wrong []string        // those of another message
	from  bool
	rcpts []string
	out   []string
}

// mood is the next reply: 2 if the command is to succeed.
func (m *moody) mood(good string) string {
	r := m.replies[m.said%len(m.replies)]
	m.said++
	if r == "ok" {
		return good
	}
	return r
}

// say keeps replies back as long as the client has said more, as servers do.
func (m *moody) say(reply string) bool {
	if m.out = append(m.out, reply); m.p.Waiting() && !strings.HasPrefix(reply, "421") {
		return true
	}
	for _, r := range m.out {
		if m.left == 0 {
			return false
		}
		m.left--
		m.p.Say(r)
		if strings.HasPrefix(r, "421") { // RFC 5321 3.8: it closes
			return false
		}
	}
	m.out = nil
	return true
}

func (m *moody) serve() {
	for m.command(m.p.Read()) {
	}
}

func (m *moody) command(line string) bool {
	verb, rest, _ := strings.Cut(line, " ")
	switch verb {
	case "QUIT":
		return false
	case "RSET":
		m.from, m.rcpts = false, nil
		return m.say("250 ok")
	case "MAIL":
		if m.from {
			return m.say("503 nested")
		}
		r := m.mood("250 ok")
		m.from = r[0] == '2'
		return m.say(r)
	case "RCPT":
		r := "503 no MAIL"
		if m.from {
			if r = m.mood("250 ok"); r[0] == '2' {
				m.rcpts = append(m.rcpts, strings.TrimSuffix(strings.TrimPrefix(rest, "TO:<"), ">"))
			}
		}
		return m.say(r)
	case "DATA":
		if len(m.rcpts) == 0 {
			return m.say("554 no recipients")
		}
		if r := m.mood("354 go on"); r[0] != '3' {
			return m.say(r)
		}
		if !m.say("354 go on") {
			return false
		}
		text := m.p.Message()
		return m.end(text, true)
	case "BDAT":
		n := 0
		fmt.Sscanf(rest, "%d LAST", &n)
		text := m.p.Bytes(n)
		if len(m.rcpts) == 0 {
			return m.say("503 no recipients")
		}
		return m.end(text, false)
	}
	return m.say("500 what")
}

// end takes the message or not. After a BDAT that it does not take it believes that
// the transaction goes on.
func (m *moody) end(text string, dot bool) bool {
	r := m.mood("250 ok")
	m.mu.Lock()
	for _, to := range m.rcpts {
		if r[0] == '2' {
			m.taken[to] = true
			if number, _, _ := strings.Cut(to, "-"); !strings.HasPrefix(text, "Subject: "+number) {
				m.wrong = append(m.wrong, to)
			}
		}
	}
	m.mu.Unlock()
	if dot || r[0] == '2' {
		m.from, m.rcpts = false, nil
	}
	return m.say(r)
}

// However a server answers, and wherever it goes: a recipient is done only if the
// server has the message for it, and given back only if it has not; each has one
// end.
func TestDrop(t *testing.T) {
	moods := []string{"ok", "ok", "ok", "ok", "ok", "450 no", "550 no", "452 4.5.3 many", "421 bye", "530 who", "354 eh", "what"}
	modes := [][]string{nil, {"PIPELINING"}, {"PIPELINING", "CHUNKING"}, {"CHUNKING"}}
	rapid.Check(t, func(rt *rapid.T) {
		m := &moody{
			replies: rapid.SliceOfN(rapid.SampledFrom(moods), 1, 12).Draw(rt, "replies"),
			left:    rapid.IntRange(0, 40).Draw(rt, "left"),
			taken:   make(map[string]bool),
		}
		caps := rapid.SampledFrom(modes).Draw(rt, "caps")
		s := smtptest.Start(t, func(p *peer) {
			p.Hello(caps...)
			m.p = p
			m.serve()
		})
		c, v := open(t, s, testConfig())
		if v != nil {
			rt.Fatal(v)
		}
		e := newEnds(t, rapid.IntRange(1, 6).Draw(rt, "messages"), rapid.IntRange(1, 3).Draw(rt, "recipients"))
		e.serve(c)
		c.Quit()
		s.Close()
		if len(m.wrong) > 0 {
			rt.Fatalf("%s got another message", m.wrong)
		}
		for name, end := range e.got {
			taken := m.taken[name]
			switch {
			case strings.HasPrefix(end, "done") && !taken:
				rt.Fatalf("%s is done, and the server does not have it", name)
			case strings.HasPrefix(end, "failed") && taken, strings.HasPrefix(end, "back") && taken:
				rt.Fatalf("%s: %s, and the server has it", name, end)
			}
		}
	})
}
