package courier

import (
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"dma/common/conf"
	"dma/dma-remote/internal/content"
	"dma/dma-remote/internal/smtptest"
)

// Bounds of the hostile servers' tests. The client waits for wait at most, for each
// reply; two places are tried, as the smarthost has two addresses.
const (
	hostileWait   = 200 * time.Millisecond
	hostileTime   = 3 * time.Second // for what the client finds out, or waits for once or twice
	hostileMemory = 8 << 20         // bytes, of which most are the server's
)

// A hostile server, what it leads to for each of three recipients, and the bounds.
type hostile struct {
	name   string
	script smtptest.Script
	want   string
	tls    *tls.Config // of the server; nil: no TLS is asked for
	auth   bool        // the client is to log in
	big    bool        // the message is too large for what sockets buffer
	time   time.Duration
	memory uint64
}

// all is the same end for three recipients.
func all(end string) string { return end + ", " + end + ", " + end }

// until plays along up to a command, and then runs script in the place of an answer.
func until(verb string, caps []string, script smtptest.Script) smtptest.Script {
	return func(p *peer) {
		if verb == "CONNECT" {
			script(p)
			return
		}
		p.Say("220 test.example")
		for {
			line := p.Read()
			command, rest, _ := strings.Cut(line, " ")
			if command == verb || verb == "DOT" && (command == "DATA" || command == "BDAT") {
				if command == "DATA" && verb == "DOT" {
					p.Say("354 go on")
					p.Message()
				}
				if n := 0; command == "BDAT" {
					fmt.Sscanf(rest, "%d", &n)
					p.Bytes(n)
				}
				script(p)
				return
			}
			switch command {
			case "EHLO":
				p.Say("250-test.example")
				for _, c := range caps {
					p.Say("250-" + c)
				}
				p.Say("250 SIZE")
			case "DATA":
				p.Say("354 go on")
				p.Message()
				p.Say("250 taken")
			case "BDAT":
				n := 0
				fmt.Sscanf(rest, "%d", &n)
				p.Bytes(n)
				p.Say("250 taken")
			case "QUIT":
				p.Say("221 bye")
				return
			default:
				p.Say("250 ok")
			}
		}
	}
}

// say answers and then plays dead.
func say(lines ...string) smtptest.Script {
	return func(p *peer) { p.Say(lines...); p.Wait() }
}

func gone(*peer) {}

// dripping says something that never ends, a byte at a time: the time for a reply is
// for all of it.
func dripping(p *peer) {
	for {
		p.Raw("2")
		time.Sleep(hostileWait / 10)
	}
}

func endlessLines(p *peer) {
	for {
		p.Raw("250-and more\r\n")
	}
}

func endlessLine(p *peer) {
	junk := strings.Repeat("x", 4096)
	p.Raw("250-")
	for {
		p.Raw(junk)
	}
}

// atEachStage has what a server may do anywhere, before it has the message and after.
// What is lost before the message was sent is trouble of the destination; what is
// lost behind it is of this message alone.
func atEachStage() []hostile {
	behaviours := []struct {
		name          string
		script        smtptest.Script
		before, after string // the recipients' end
	}{
		{"closes", gone, "later 4.4.2!", "later 4.4.2"},
		{"resets", func(p *peer) { p.Reset() }, "later 4.4.2!", "later 4.4.2"},
		{"is silent", func(p *peer) { p.Wait() }, "later 4.4.2!", "later 4.4.2"},
		{"drips", dripping, "later 4.4.2!", "later 4.4.2"},
		{"says 421", say("421 4.3.2 shutting down"), "later 4.3.2!", "later 4.3.2!"},
		{"says lines without end", endlessLines, "later 4.5.0!", "later 4.5.0"},
		{"says a line without end", endlessLine, "later 4.5.0!", "later 4.5.0"},
		{"mixes codes", say("250-one", "251 two"), "later 4.5.0!", "later 4.5.0"},
		{"says binary", func(p *peer) { p.Raw("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\n"); p.Wait() }, "later 4.5.0!", "later 4.5.0"},
		{"has four digits", say("2500 ok"), "later 4.5.0!", "later 4.5.0"},
		{"has two digits", say("25 ok"), "later 4.5.0!", "later 4.5.0"},
		{"has a code that is none", say("650 ok"), "later 4.5.0!", "later 4.5.0"},
		{"has a code out of place", say("354 go on"), "later 4.5.0!", "later 4.5.0"},
		{"ends a reply in the middle", func(p *peer) { p.Raw("250-so\r\n250") }, "later 4.4.2!", "later 4.4.2"},
		{"says an empty line", say(""), "later 4.5.0!", "later 4.5.0"},
	}
	var out []hostile
	for mode, caps := range map[string][]string{"": nil, " PIPELINING": {"PIPELINING"}, " CHUNKING": {"PIPELINING", "CHUNKING"}} {
		for _, verb := range []string{"CONNECT", "EHLO", "MAIL", "RCPT", "DATA", "DOT"} {
			for _, b := range behaviours {
				end := b.before
				// With CHUNKING the message is sent before there is any reply.
				if verb == "DOT" || mode == " CHUNKING" && (verb == "MAIL" || verb == "RCPT") && end != "later 4.3.2!" {
					end = b.after
				}
				want := all(end)
				switch misplaced := b.name == "has a code out of place"; {
				case verb == "DATA" && (mode == " CHUNKING" || misplaced):
					continue // there is none; it is the right one
				case verb == "CONNECT" && b.name == "resets":
					continue // that may come before the end of connect
				case verb == "MAIL" && misplaced:
					want = all(b.before) // whatever it means, it is no yes
				case verb == "RCPT" && misplaced && mode == " CHUNKING":
					want = b.before + ", " + b.after + ", " + b.after
				}
				out = append(out, hostile{name: verb + mode + " " + b.name, script: until(verb, caps, b.script), want: want})
			}
		}
	}
	return out
}

func withTLS(t *testing.T) []hostile {
	good, _ := smtptest.Certificate(t, "relay.example")
	oldVersion := good.Clone()
	oldVersion.MinVersion, oldVersion.MaxVersion = tls.VersionTLS10, tls.VersionTLS10
	expired, _ := smtptest.Expired(t, "relay.example")
	other, _ := smtptest.Certificate(t, "other.example")
	start := func(config *tls.Config, then smtptest.Script) smtptest.Script {
		return func(p *peer) {
			p.Hello("STARTTLS", "AUTH PLAIN SCRAM-SHA-256")
			p.Answer("STARTTLS", "220 go")
			p.TLS(config)
			then(p)
		}
	}
	never := func(p *peer) { t.Errorf("client sent %q", p.Read()) }
	return []hostile{
		{name: "TLS 1.0", tls: good, script: start(oldVersion, never), want: all("later 4.7.5!")},
		{name: "expired certificate", tls: expired, script: start(expired, never), want: all("later 4.7.5!")},
		{name: "certificate of another", tls: other, script: start(other, never), want: all("later 4.7.5!")},
		{name: "self-signed certificate", tls: good, script: start(other, never), want: all("later 4.7.5!")},
		{name: "no STARTTLS", tls: good, script: func(p *peer) { p.Hello("AUTH PLAIN"); never(p) }, auth: true, want: all("later 4.7.4!")},
		{name: "STARTTLS refused", tls: good, script: func(p *peer) { p.Hello("STARTTLS"); p.Answer("STARTTLS", "454 no"); p.Quit() }, want: all("later 4.7.5!")},
		{name: "no handshake", tls: good, script: func(p *peer) { p.Hello("STARTTLS"); p.Answer("STARTTLS", "220 go"); p.Wait() }, want: all("later 4.7.5!")},
		{name: "plain text behind 220", tls: good, auth: true, script: func(p *peer) {
			p.Hello("STARTTLS")
			p.Answer("STARTTLS", "220 go", "250-test.example", "250 AUTH PLAIN")
			p.Wait()
		}, want: all("later 4.5.0!")},
		{name: "plain text instead of a handshake", tls: good, script: func(p *peer) {
			p.Hello("STARTTLS")
			p.Answer("STARTTLS", "220 go")
			_, _ = p.Conn.Read(make([]byte, 1))
			p.Say("250 ok")
			p.Wait()
		}, want: all("later 4.7.5!")},
		{name: "mechanisms gone after TLS", tls: good, auth: true, script: start(good, func(p *peer) { p.EHLO(); p.Wait() }), want: all("later 4.7.0!")},
		{name: "other mechanisms after TLS", tls: good, auth: true, script: start(good, func(p *peer) {
			p.EHLO("AUTH LOGIN")
			p.Answer("AUTH LOGIN", "334 ")
			p.Read()
			p.Say("334 ")
			p.Read()
			p.Say("235 ok")
			p.Accept()
			p.Quit()
		}), want: all("done 2.0.0")},
	}
}

func withAuth() []hostile {
	login := func(lines ...string) smtptest.Script {
		return func(p *peer) {
			p.Hello("AUTH CRAM-MD5")
			p.Answer("AUTH CRAM-MD5", lines...)
			p.Wait()
		}
	}
	return []hostile{
		{name: "AUTH 535", auth: true, script: login("535 5.7.8 no"), want: all("later 4.7.8!")},
		{name: "AUTH 454", auth: true, script: login("454 4.7.0 later"), want: all("later 4.7.0!")},
		{name: "AUTH 334 with nonsense", auth: true, script: login("334 !!!"), want: all("later 4.7.0!")},
		{name: "AUTH 334 without text", auth: true, script: login("334"), want: all("later 4.7.0!")},
		{name: "AUTH 334 too long", auth: true, script: login("334 " + strings.Repeat("eHh4", 600)), want: all("later 4.5.0!")},
		{name: "AUTH 250", auth: true, script: login("250 ok"), want: all("later 4.5.0!")},
		{name: "530 to MAIL", script: until("MAIL", nil, say("530 5.7.0 who are you")), want: all("later 4.7.0!")},
		{name: "535 to RCPT", script: until("RCPT", nil, say("535 5.7.0 who are you")), want: all("later 4.7.0!")},
		{name: "538 to the dot", script: until("DOT", nil, say("538 5.7.11 not in clear")), want: all("later 4.7.11!")},
	}
}

func withRecipients() []hostile {
	rcpts := func(caps []string, replies ...string) smtptest.Script {
		return func(p *peer) {
			p.Hello(caps...)
			for {
				p.Answer("MAIL", "250 ok")
				line := p.Read()
				for ; strings.HasPrefix(line, "RCPT"); line = p.Read() {
					p.Say(replies[0])
					replies = append(replies[1:], replies[0])
				}
				if line == "RSET" || line == "QUIT" {
					p.Say("250 ok")
					continue
				}
				p.Say("354 go on")
				p.Message()
				p.Say("250 ok")
			}
		}
	}
	pipelining := []string{"PIPELINING"}
	bdat := func(then smtptest.Script) smtptest.Script {
		return func(p *peer) {
			p.Hello("PIPELINING", "CHUNKING")
			p.Answer("MAIL", "250 ok")
			for range 3 {
				p.Answer("RCPT", "250 ok")
			}
			p.Expect("BDAT")
			then(p)
		}
	}
	return []hostile{
		{name: "greeting 554", script: func(p *peer) { p.Say("554 no"); p.Quit() }, want: all("later 4.3.2!")},
		{name: "no text", script: func(p *peer) {
			p.Say("220")
			p.Answer("EHLO", "250")
			p.Answer("MAIL", "250")
			for range 3 {
				p.Answer("RCPT", "250")
			}
			p.Answer("DATA", "354")
			p.Message()
			p.Say("250")
			p.Quit()
		}, want: all("done 2.0.0")},
		{name: "252 to RCPT", script: rcpts(nil, "252 will try"), want: all("done 2.0.0")},
		{name: "452 in the middle", script: rcpts(pipelining, "250 ok", "452 4.5.3 enough", "250 ok"), want: all("done 2.0.0")},
		{name: "552 in the middle", script: rcpts(nil, "250 ok", "552 enough", "550 no"), want: "done 2.0.0, failed 5.1.1, done 2.0.0"},
		{name: "552 to all", script: rcpts(nil, "552 5.2.2 full"), want: all("later 4.2.2")},
		{name: "552 to the dot", script: until("DOT", nil, say("552 too large")), want: all("failed 5.3.4")},
		{name: "all rejected with 354", script: rcpts(pipelining, "550 5.1.1 no"), want: all("failed 5.1.1")},
		{name: "MAIL rejected with 354", script: func(p *peer) {
			p.Hello("PIPELINING")
			p.Answer("MAIL", "550 5.7.1 no")
			for range 3 {
				p.Answer("RCPT", "250 eh")
			}
			p.Answer("DATA", "354 go on")
			p.Answer(".", "250 taken")
			p.Wait()
		}, want: all("failed 5.7.1")},
		{name: "extra reply to MAIL", script: until("MAIL", nil, say("250 a", "250 b")), want: all("later 4.5.0!")},
		{name: "extra reply to MAIL, pipelined", script: until("MAIL", pipelining, func(p *peer) {
			p.Say("250 a", "250 b")
			for range 3 {
				p.Answer("RCPT", "550 no")
			}
			p.Answer("DATA", "554 no")
			p.Wait()
		}), want: "done", time: hostileTime}, // one reply out of step: checked below
		{name: "extra reply to the dot", script: until("DOT", nil, say("250 a", "250 b")), want: all("done 2.0.0")},
		{name: "extra replies without end", script: until("DOT", nil, func(p *peer) { p.Say("250 a"); endlessLines(p) }), want: all("done 2.0.0")},
		{name: "reset in DATA", big: true, script: until("DATA", nil, func(p *peer) { p.Say("354 go on"); p.Read(); p.Reset() }), want: all("later 4.4.2!")},
		{name: "DATA not read", big: true, script: until("DATA", nil, func(p *peer) { p.Say("354 go on"); p.Hang() }), want: all("later 4.4.2!")},
		{name: "552 in DATA", big: true, script: until("DATA", nil, func(p *peer) { p.Say("354 go on"); p.Read(); p.Say("552 5.3.4 no more"); p.Hang() }), want: all("failed 5.3.4")},
		{name: "BDAT not read", big: true, script: bdat(func(p *peer) { p.Hang() }), want: all("later 4.4.2!")},
		{name: "reset in BDAT", big: true, script: bdat(func(p *peer) { p.Reset() }), want: all("later 4.4.2!")},
		{name: "552 in BDAT", big: true, script: bdat(func(p *peer) { p.Say("552 5.3.4 no more"); p.Hang() }), want: all("failed 5.3.4")},
		{name: "250 in BDAT", big: true, script: bdat(func(p *peer) { p.Say("250 taken"); p.Hang() }), want: all("later 4.5.0!")},
		{name: "250 in DATA", big: true, script: until("DATA", nil, func(p *peer) { p.Say("354 go on"); p.Read(); p.Say("250 taken"); p.Hang() }), want: all("later 4.5.0!")},
	}
}

// RULES E1 to E4: what a server does wrong, or says for good, and what that is for
// the recipients, in time and memory that are bounded.
func TestHostileServers(t *testing.T) {
	var tests []hostile
	for _, list := range [][]hostile{atEachStage(), withTLS(t), withAuth(), withRecipients()} {
		tests = append(tests, list...)
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) { tt.run(t) })
	}
}

func (h hostile) run(t *testing.T) {
	s := smtptest.Start(t, h.script)
	n := relay(s)
	cfg := config(n)
	l := &cfg.Limits
	l.Greeting, l.Command, l.TLS, l.Data, l.Block, l.Final = hostileWait, hostileWait, hostileWait, hostileWait, hostileWait, hostileWait
	l.Quit, l.Linger = hostileWait, hostileWait
	transport := conf.Transport{Insecure: true}
	if h.tls != nil {
		transport = conf.Transport{StartTLS: conf.TLSRequired, Verify: true}
		cfg.Roots = smtptest.Pool(t, h.tls)
	}
	var auth *conf.Auth
	if h.auth {
		auth = &conf.Auth{User: "u", Host: "relay.example", Password: conf.NewSecret("hunter2")}
	}
	smarthost(&cfg, transport, auth)
	req := request("", 3)
	if h.big {
		text := "Subject: t\n\n" + strings.Repeat(strings.Repeat("x", 76)+"\n", 100_000)
		req.Body = &content.Message{File: strings.NewReader(text), Size: int64(len(text))}
	}
	c := New(cfg)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	begin := time.Now()
	got := deliver(t, c, req)
	took := time.Since(begin)
	runtime.ReadMemStats(&after)
	s.Close()
	c.Close()
	if h.want != "done" && got != h.want {
		t.Errorf("%s, want %s; log:\n%s", got, h.want, req.Log.(*journal).text())
	}
	if h.want == "done" && strings.Contains(got, "done") {
		t.Errorf("%s, and the server has nothing", got)
	}
	if took > max(h.time, hostileTime) {
		t.Errorf("took %v", took)
	}
	if used := after.TotalAlloc - before.TotalAlloc; used > max(h.memory, hostileMemory) {
		t.Errorf("%d KiB were allocated", used>>10)
	}
	if log := req.Log.(*journal).text(); strings.Contains(log, "hunter2") || strings.Contains(log, base64.StdEncoding.EncodeToString([]byte("hunter2"))) {
		t.Errorf("the log betrays the password:\n%s", log)
	}
}
