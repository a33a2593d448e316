package session

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"dma/common/outcome"
	"dma/dma-remote/internal/smtptest"
)

// answers is a script that answers MAIL, each RCPT, DATA and the dot with one line
// each; an answer of "" closes the connection and what is missing is not asked for.
func answers(mail, rcpts, data, dot string) smtptest.Script {
	return func(p *peer) {
		say := func(prefix, line string) {
			p.Expect(prefix)
			if line == "" {
				p.Close()
			}
			p.Say(line)
		}
		say("MAIL FROM:<s@x.example>", mail)
		for i, r := range strings.Split(rcpts, "|") {
			say(fmt.Sprintf("RCPT TO:<r%d@x.example>", i), r)
		}
		say("DATA", data)
		if data[0] == '3' {
			p.Message()
			if dot == "" {
				p.Close()
			}
			p.Say(dot)
		}
	}
}

// Verdicts, by what the server answers. Each case runs with and without
// PIPELINING and must end the same way.
func TestVerdicts(t *testing.T) {
	const ok, goOn = "250 2.1.0 ok", "354 go on"
	tests := []struct {
		name                   string
		mail, rcpts, data, dot string
		want                   string
	}{
		{"taken", ok, ok, goOn, "250 2.0.0 queued as 1", "done 2.0.0"},
		{"taken with another code", ok, ok, goOn, "250 2.6.0 fine", "done 2.6.0"},
		{"251 and 252 to RCPT", ok, "251 forwarded|252 will try", goOn, "250 ok", "done 2.0.0, done 2.0.0"},
		{"mixed", ok, "250 ok|450 4.2.1 busy|550 5.1.1 nobody|250 ok", goOn, "250 ok", "done 2.0.0, later 4.2.1, failed 5.1.1, done 2.0.0"},
		{"codes implied", ok, "250 ok|450 a|451 b|550 c|551 d|553 e|554 f|500 g|501 h", goOn, "250 ok", "done 2.0.0, later 4.0.0, later 4.0.0, failed 5.1.1, failed 5.1.6, failed 5.1.3, failed 5.0.0, failed 5.5.2, failed 5.5.4"},
		{"code of the wrong class", ok, "250 ok|550 4.2.2 full|450 5.1.1 eh", goOn, "250 ok", "done 2.0.0, failed 5.1.1, later 4.0.0"},
		{"full mailbox by 552", ok, "552 5.2.2 full|250 ok", goOn, "250 ok", "later 4.2.2, done 2.0.0"},
		{"full mailbox by 452", ok, "250 ok|452 4.2.2 full|250 ok", goOn, "250 ok", "done 2.0.0, later 4.2.2, done 2.0.0"},
		{"452 to the first", ok, "452 too many|250 ok", goOn, "250 ok", "later 4.5.3, done 2.0.0"},
		{"message refused for good", ok, ok + "|" + ok, goOn, "554 5.7.1 spam", "failed 5.7.1, failed 5.7.1"},
		{"message too big", ok, ok, goOn, "552 too big", "failed 5.3.4"},
		{"message refused for now", ok, ok + "|550 no", goOn, "451 4.3.0 hm", "later 4.3.0, failed 5.1.1"},
		{"421 to the dot", ok, ok + "|550 no", goOn, "421 bye", "later 4.3.2!, failed 5.1.1"},
		{"535 to the dot", ok, ok, goOn, "535 auth", "later 4.7.0!"},
		{"354 to the dot", ok, ok, goOn, "354 again", "later 4.5.0"},
		{"garbage to the dot", ok, ok, goOn, "hello", "later 4.5.0"},
		{"lost after the dot", ok, ok + "|550 no", goOn, "", "later 4.4.2, failed 5.1.1"},
		{"DATA refused for good", ok, ok, "554 no", "", "later 4.0.0"},
		{"DATA refused for now", ok, ok, "451 no", "", "later 4.0.0"},
		{"421 to DATA", ok, ok, "421 no", "", "later 4.3.2!"},
		{"250 to DATA", ok, ok, "250 eh", "", "later 4.5.0!"},
	}
	for _, tt := range tests {
		for _, caps := range []string{"SIZE", "PIPELINING"} {
			t.Run(tt.name+" "+caps, func(t *testing.T) {
				t.Parallel()
				within(t, soon)
				s := smtptest.Start(t, func(p *peer) {
					p.Hello(caps)
					answers(tt.mail, tt.rcpts, tt.data, tt.dot)(p)
					p.Wait()
				})
				c := mustOpen(t, s)
				got := send(t.Context(), t, c, mail(strings.Count(tt.rcpts, "|")+1))
				if summaries(got) != tt.want {
					t.Errorf("verdicts %s, want %s", summaries(got), tt.want)
				}
				if strings.Contains(tt.want, "4.5.0") && c.Ready() {
					t.Error("the connection is still trusted")
				}
			})
		}
	}
}

// Cases in which the two ways of talking differ: what is asked for after a
// refusal, and how the connection is used afterwards.
func TestDialogues(t *testing.T) {
	tests := []struct {
		name       string
		pipelining bool
		recipients int
		script     smtptest.Script
		want       string
		ready      bool // the connection serves another message
	}{
		{"MAIL refused for good", false, 2, func(p *peer) { p.Answer("MAIL", "550 5.7.1 no") }, "failed 5.7.1, failed 5.7.1", true},
		{"MAIL refused for now", false, 2, func(p *peer) { p.Answer("MAIL", "452 4.3.1 disk") }, "later 4.3.1, later 4.3.1", true},
		{"MAIL wants AUTH", false, 1, func(p *peer) { p.Answer("MAIL", "530 5.7.0 who"); p.Quit() }, "later 4.7.0!", false},
		{"MAIL 421", false, 1, func(p *peer) { p.Answer("MAIL", "421 bye") }, "later 4.3.2!", false},
		{"MAIL closed", false, 1, func(p *peer) { p.Expect("MAIL"); p.Close() }, "later 4.4.2!", false},
		{"MAIL 354", false, 1, func(p *peer) { p.Answer("MAIL", "354 eh") }, "later 4.5.0!", false},
		{"RCPT wants AUTH", false, 2, func(p *peer) {
			p.Answer("MAIL", "250 a")
			p.Answer("RCPT", "250 a")
			p.Answer("RCPT", "530 who")
			p.Quit()
		}, "later 4.7.0!, later 4.7.0!", false},
		{"RCPT 421 after a refusal", false, 3, func(p *peer) {
			p.Answer("MAIL", "250 a")
			p.Answer("RCPT", "550 no")
			p.Answer("RCPT", "250 a")
			p.Answer("RCPT", "421 bye")
		}, "failed 5.1.1, later 4.3.2!, later 4.3.2!", false},
		{"RCPT reset", false, 1, func(p *peer) { p.Answer("MAIL", "250 a"); p.Expect("RCPT"); p.Reset() }, "later 4.4.2!", false},
		{"all refused: no DATA", false, 2, func(p *peer) { p.Answer("MAIL", "250 a"); p.Answer("RCPT", "550 no"); p.Answer("RCPT", "450 no") }, "failed 5.1.1, later 4.0.0", true},
		{"answers twice", false, 1, func(p *peer) { p.Answer("MAIL", "250 a", "250 a"); p.Wait() }, "later 4.5.0!", false},

		{"MAIL refused, pipelined", true, 2, func(p *peer) {
			p.Answer("MAIL", "550 5.7.1 no")
			p.Answer("RCPT", "503 what")
			p.Answer("RCPT", "503 what")
			p.Answer("DATA", "503 what")
		}, "failed 5.7.1, failed 5.7.1", true},
		{"MAIL refused but DATA taken", true, 1, func(p *peer) {
			p.Answer("MAIL", "450 no")
			p.Answer("RCPT", "250 oh")
			p.Answer("DATA", "354 go on")
			p.Answer(".", "250 nothing")
		}, "later 4.0.0", true},
		{"all refused, pipelined", true, 2, func(p *peer) {
			p.Answer("MAIL", "250 a")
			p.Answer("RCPT", "550 no")
			p.Answer("RCPT", "550 no")
			p.Answer("DATA", "554 no valid recipients")
		}, "failed 5.1.1, failed 5.1.1", true},
		{"all refused but DATA taken", true, 2, func(p *peer) {
			p.Answer("MAIL", "250 a")
			p.Answer("RCPT", "550 no")
			p.Answer("RCPT", "450 no")
			p.Answer("DATA", "354 go on")
			p.Answer(".", "554 nobody")
		}, "failed 5.1.1, later 4.0.0", true},
		{"RCPT 421, pipelined", true, 3, func(p *peer) {
			p.Answer("MAIL", "250 a")
			p.Answer("RCPT", "550 no")
			p.Answer("RCPT", "421 bye")
			p.Wait()
		}, "failed 5.1.1, later 4.3.2!, later 4.3.2!", false},
		{"RCPT wants AUTH, pipelined", true, 2, func(p *peer) {
			p.Answer("MAIL", "250 a")
			p.Answer("RCPT", "250 a")
			p.Answer("RCPT", "535 who")
			p.Wait()
		}, "later 4.7.0!, later 4.7.0!", false},
		{"garbage in the middle", true, 2, func(p *peer) { p.Answer("MAIL", "250 a"); p.Raw("\x00\x01\n"); p.Wait() }, "later 4.5.0!, later 4.5.0!", false},
		{"reset in the middle", true, 2, func(p *peer) { p.Expect("MAIL"); p.Reset() }, "later 4.4.2!, later 4.4.2!", false},
		{"answers more than asked", true, 1, func(p *peer) {
			p.Answer("MAIL", "250 a")
			p.Answer("RCPT", "250 a")
			p.Answer("DATA", "354 go on", "250 taken")
			p.Wait()
		}, "later 4.5.0!", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			within(t, soon)
			s := smtptest.Start(t, func(p *peer) {
				if tt.pipelining {
					p.Hello("PIPELINING")
				} else {
					p.Hello()
				}
				tt.script(p)
				if tt.ready {
					p.Accept()
					p.Quit()
				}
			})
			c := mustOpen(t, s)
			if got := summaries(send(t.Context(), t, c, mail(tt.recipients))); got != tt.want {
				t.Errorf("verdicts %s, want %s", got, tt.want)
			}
			if c.Ready() != tt.ready {
				t.Fatalf("ready for more: %v", c.Ready())
			}
			if tt.ready {
				if got := summaries(send(t.Context(), t, c, mail(1))); got != "done 2.0.0" {
					t.Errorf("next message: %s", got)
				}
				c.Quit()
			}
			s.Finish()
		})
	}
}

// RSET goes first when the server may have a transaction open, and not else.
func TestReset(t *testing.T) {
	s := smtptest.Start(t, func(p *peer) {
		p.Hello()
		p.Accept()
		p.Answer("MAIL", "250 a") // no RSET: the dot has ended the last one
		p.Answer("RCPT", "550 no")
		p.Answer("RSET", "250 ok")
		p.Accept()
		p.Answer("MAIL", "250 a")
		p.Answer("RCPT", "550 no")
		p.Answer("RSET", "500 broken")
		p.Quit()
	})
	c := mustOpen(t, s)
	for _, want := range []string{"done 2.0.0", "failed 5.1.1", "done 2.0.0", "failed 5.1.1", "later 4.5.2!"} {
		if got := summaries(send(t.Context(), t, c, mail(1))); got != want {
			t.Errorf("verdict %s, want %s", got, want)
		}
	}
}

// A server that takes three recipients at a time gets the rest in further
// transactions on the same connection, each with its own verdict.
func TestTooManyRecipients(t *testing.T) {
	for _, code := range []string{"452", "552", "452 4.5.3"} {
		for _, caps := range []string{"PIPELINING", "SIZE"} {
			t.Run(code+" "+caps, func(t *testing.T) {
				var sizes []int
				asked := 0
				s := smtptest.Start(t, func(p *peer) {
					p.Hello(caps)
					for {
						p.Answer("MAIL", "250 a")
						n, line := 0, p.Read()
						for ; strings.HasPrefix(line, "RCPT"); line = p.Read() {
							asked++
							switch {
							case strings.Contains(line, "r4@"):
								p.Say("550 5.1.1 not me")
							case n == 3:
								p.Say(code + " too many")
							default:
								n++
								p.Say("250 a")
							}
						}
						sizes = append(sizes, n)
						p.Say("354 go on")
						p.Message()
						p.Say(fmt.Sprintf("250 2.0.%d ok", len(sizes)))
						if len(sizes) == 3 {
							p.Quit()
						}
					}
				})
				c := mustOpen(t, s)
				got := summaries(send(t.Context(), t, c, mail(8)))
				want := "done 2.0.1, done 2.0.1, done 2.0.1, done 2.0.2, failed 5.1.1, done 2.0.2, done 2.0.2, done 2.0.3"
				c.Quit()
				s.Finish()
				if got != want || !slices.Equal(sizes, []int{3, 3, 1}) {
					t.Errorf("verdicts %s\nwant %s\ntransactions of %v", got, want, sizes)
				}
				if most := map[string]int{"PIPELINING": 8 + 3 + 1, "SIZE": 4 + 5 + 1}[caps]; asked != most {
					t.Errorf("%d RCPTs, want %d", asked, most)
				}
			})
		}
	}
}

// RULES E4, E5: a thousand recipients in one transaction, with a server that reads
// nothing on while its own answers are not taken from it.
func TestThousandRecipients(t *testing.T) {
	within(t, 2*soon)
	const n = 1000
	pad := strings.Repeat("x", 1800)
	nc := smtptest.Pipe(t, func(p *peer) {
		p.Hello("PIPELINING")
		p.Answer("MAIL", "250 "+pad)
		for range n {
			p.Answer("RCPT", "250 "+pad)
		}
		p.Answer("DATA", "354 go on")
		p.Message()
		p.Say("250 ok")
		p.Quit()
	})
	c, err := Open(t.Context(), nc, "test.example [127.0.0.1]", testConfig())
	if err != nil {
		t.Fatal(err)
	}
	m := mail(n)
	for i := range m.Recipients {
		m.Recipients[i].Address = fmt.Sprintf("%s%d@x.example", pad[:180], i)
	}
	for _, v := range send(t.Context(), t, c, m) {
		if v.Class != outcome.Done {
			t.Fatalf("verdict %v", v)
		}
	}
	c.Quit()
}

// A server that hangs up on a flight need not read it to its end.
func TestHangUpInFlight(t *testing.T) {
	within(t, soon)
	nc := smtptest.Pipe(t, func(p *peer) {
		p.Hello("PIPELINING")
		p.Answer("MAIL", "421 4.3.2 bye")
		<-t.Context().Done()
	})
	c, err := Open(t.Context(), nc, "test.example [127.0.0.1]", testConfig())
	if err != nil {
		t.Fatal(err)
	}
	if v := send(t.Context(), t, c, mail(1000)); summary(v[999]) != "later 4.3.2!" {
		t.Errorf("verdict %v", v[999])
	}
}

// Whatever bytes a server sends, each recipient gets one verdict, in time.
func FuzzServer(f *testing.F) {
	f.Add("220 a\r\n250-a\r\n250 PIPELINING\r\n250 a\r\n250 a\r\n550 b\r\n354 c\r\n250 d\r\n")
	f.Add("220 a\r\n250 a\r\n250 a\r\n250 a\r\n452 b\r\n354 c\r\n250 d\r\n250 a\r\n250 a\r\n354 c\r\n250 d\r\n")
	f.Add("220 a\r\n500 a\r\n250 a\r\n250 a\r\n421 a\r\n")
	f.Add("220 a\r\n250-a\r\n250 PIPELINING\r\n550 a\r\n250 a\r\n550 b\r\n354 c\r\n")
	f.Fuzz(func(t *testing.T, replies string) {
		lines := strings.SplitAfter(replies, "\n")
		s := smtptest.Start(t, func(p *peer) {
			_ = p.SetReadDeadline(time.Now().Add(soon))
			for _, line := range lines {
				p.Raw(line)
				if !strings.HasPrefix(line[min(3, len(line)):], "-") {
					if _, err := p.Conn.Read(make([]byte, 4096)); err != nil {
						return
					}
				}
			}
		})
		cfg := testConfig()
		cfg.Limits = Limits{slow, slow, slow, slow, slow, slow, slow, slow, soon}
		within(t, soon)
		c, err := Open(t.Context(), dial(t, s), "test.example [127.0.0.1]", cfg)
		if err != nil {
			return
		}
		defer c.Close()
		send(t.Context(), t, c, mail(2))
	})
}
