package session

import (
	"crypto/tls"
	"encoding/base64"
	"strings"
	"testing"

	"github.com/emersion/go-sasl"

	"dma/common/conf"
	"dma/dma-remote/internal/smtptest"
)

func TestTLS(t *testing.T) {
	server, roots := smtptest.Certificate(t, "test.example")
	other, _ := smtptest.Certificate(t, "other.example")
	client := &tls.Config{ServerName: "test.example", RootCAs: roots}
	starttls := func(config *tls.Config, after ...string) smtptest.Script {
		return func(p *peer) {
			p.Hello("STARTTLS", "PIPELINING", "AUTH PLAIN")
			p.Answer("STARTTLS", "220 go")
			p.TLS(config)
			p.EHLO(after...)
			p.Quit()
		}
	}
	tests := []struct {
		name      string
		transport conf.Transport
		script    smtptest.Script
		want      string
		badTLS    bool
	}{
		{"STARTTLS", conf.Transport{StartTLS: conf.TLSRequired}, starttls(server, "SIZE 5"), "", false},
		{"STARTTLS where it is offered", conf.Transport{StartTLS: conf.TLSMay}, starttls(server, "SIZE 5"), "", false},
		{"STARTTLS offered inside again", conf.Transport{StartTLS: conf.TLSMay}, starttls(server, "STARTTLS", "SIZE 5"), "", false},
		{"wrong certificate", conf.Transport{StartTLS: conf.TLSRequired}, starttls(other), "later 4.7.5!", true},
		{"implicit", conf.Transport{Implicit: true}, func(p *peer) { p.TLS(server); p.Hello("SIZE 5"); p.Quit() }, "", false},
		{"implicit outranks STARTTLS", conf.Transport{Implicit: true, StartTLS: conf.TLSRequired}, func(p *peer) { p.TLS(server); p.Hello("STARTTLS", "SIZE 5"); p.Quit() }, "", false},
		{"implicit with wrong certificate", conf.Transport{Implicit: true}, func(p *peer) { p.TLS(other); p.Hello() }, "later 4.7.5!", true},
		{"implicit with a server that waits for STARTTLS", conf.Transport{Implicit: true}, func(p *peer) { p.Say("220 hi"); p.Wait() }, "later 4.7.5!", true},
		{"closed after the handshake", conf.Transport{StartTLS: conf.TLSMay}, func(p *peer) {
			p.Hello("STARTTLS")
			p.Answer("STARTTLS", "220 go")
			p.TLS(server)
			p.Expect("EHLO")
		}, "later 4.4.2!", false},
		{"EHLO refused after the handshake", conf.Transport{StartTLS: conf.TLSRequired}, func(p *peer) {
			p.Hello("STARTTLS", "SIZE 7")
			p.Answer("STARTTLS", "220 go")
			p.TLS(server)
			p.Answer("EHLO", "500 no")
			p.Answer("HELO", "250 SIZE 5")
			p.Quit()
		}, "", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			within(t, soon)
			s := smtptest.Start(t, tt.script)
			cfg := testConfig()
			cfg.Transport, cfg.TLS = tt.transport, client
			c, v := open(t, s, cfg)
			if v != nil {
				if summary(v) != tt.want || v.BadTLS != tt.badTLS {
					t.Errorf("%s, bad TLS %v; want %s, %v: %v", summary(v), v.BadTLS, tt.want, tt.badTLS, v)
				}
				return
			}
			if tt.want != "" {
				t.Fatalf("opened, want %s", tt.want)
			}
			// RFC 3207 4.2: nothing of what was said in clear is still believed.
			if !c.secure || c.caps.pipelining || len(c.caps.auth) > 0 || c.caps.maxSize == 7 {
				t.Errorf("TLS %v, capabilities %+v", c.secure, c.caps)
			}
			c.Quit()
			s.Finish()
		})
	}
}

// serveAuth is the server's side of one exchange by go-sasl.
func serveAuth(p *peer, server sasl.Server) {
	verb, ir, found := strings.Cut(strings.TrimPrefix(p.Expect("AUTH "), "AUTH "), " ")
	_ = verb
	var response []byte
	if found {
		response, _ = base64.StdEncoding.DecodeString(ir)
	}
	for {
		challenge, done, err := server.Next(response)
		switch {
		case err != nil:
			p.Say("535 5.7.8 no")
			return
		case done:
			p.Say("235 2.7.0 yes")
			return
		}
		p.Say("334 " + base64.StdEncoding.EncodeToString(challenge))
		response, _ = base64.StdEncoding.DecodeString(p.Read())
	}
}

const (
	authUser = "tim"
	password = "tanstaaf\"tan\\staaf 1"
)

func checkPlain(_, user, pass string) error {
	if user != authUser || pass != password {
		return sasl.ErrUnexpectedClientResponse
	}
	return nil
}

// Each way that AUTH can go: whatever goes wrong defers, and no MAIL follows. No
// text betrays the password, however hard the server tries.
func TestAuth(t *testing.T) {
	b64 := func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }
	echo := func(p *peer) {
		p.Answer("AUTH PLAIN "+b64("\x00"+authUser+"\x00"+password), "535-5.7.8 you said "+password, "535 or "+b64(password))
	}
	tests := []struct {
		name   string
		offer  string
		script smtptest.Script // between EHLO and MAIL or QUIT
		want   string
		reason string
	}{
		{"PLAIN", "AUTH PLAIN", func(p *peer) { serveAuth(p, sasl.NewPlainServer(checkPlain)) }, "", ""},
		{"LOGIN", "AUTH LOGIN", func(p *peer) {
			p.Answer("AUTH LOGIN", "334 "+b64("Who are you?"))
			p.Answer(b64(authUser), "334 "+b64(""))
			p.Answer(b64(password), "235 yes")
		}, "", ""},
		{"CRAM-MD5 first", "AUTH PLAIN LOGIN CRAM-MD5", func(p *peer) {
			p.Answer("AUTH CRAM-MD5", "334 "+b64("<1@test.example>"))
			line, _ := base64.StdEncoding.DecodeString(p.Read())
			if len(line) != len(authUser)+1+32 || !strings.HasPrefix(string(line), authUser+" ") {
				t.Errorf("CRAM-MD5 answer %q", line)
			}
			p.Say("235 yes")
		}, "", ""},
		{"504 tries the next", "AUTH CRAM-MD5 PLAIN", func(p *peer) {
			p.Answer("AUTH CRAM-MD5", "504 5.5.4 what")
			serveAuth(p, sasl.NewPlainServer(checkPlain))
		}, "", ""},
		{"504 to all", "AUTH PLAIN", func(p *peer) { p.Answer("AUTH PLAIN", "504 5.5.4 what"); p.Quit() }, "later 4.5.4!", "AUTH: 504"},
		{"535", "AUTH PLAIN", func(p *peer) { p.Answer("AUTH PLAIN", "535 5.7.8 wrong"); p.Quit() }, "later 4.7.8!", "AUTH: 535 5.7.8 wrong"},
		{"535 does not try the next", "AUTH CRAM-MD5 PLAIN", func(p *peer) {
			p.Answer("AUTH CRAM-MD5", "334 "+b64("x"))
			p.Read()
			p.Say("535 wrong")
			p.Quit()
		}, "later 4.7.0!", "535 wrong"},
		{"454", "AUTH PLAIN", func(p *peer) { p.Answer("AUTH PLAIN", "454 4.7.0 later"); p.Quit() }, "later 4.7.0!", "454"},
		{"421", "AUTH PLAIN", func(p *peer) { p.Answer("AUTH PLAIN", "421 go away") }, "later 4.3.2!", "421"},
		{"500", "AUTH PLAIN", func(p *peer) { p.Answer("AUTH PLAIN", "500 what"); p.Quit() }, "later 4.5.2!", "500"},
		{"250 is not 235", "AUTH PLAIN", func(p *peer) { p.Answer("AUTH PLAIN", "250 ok"); p.Wait() }, "later 4.5.0!", "unexpected"},
		{"closed", "AUTH PLAIN", func(p *peer) { p.Expect("AUTH PLAIN"); p.Close() }, "later 4.4.2!", "after AUTH: connection closed"},
		{"nonsense challenge", "AUTH CRAM-MD5", func(p *peer) { p.Answer("AUTH", "334 !not base64!"); p.Answer("*", "501 ok"); p.Quit() }, "later 4.7.0!", "base64"},
		{"empty challenge", "AUTH CRAM-MD5", func(p *peer) { p.Answer("AUTH", "334 "); p.Answer("*", "501 ok"); p.Quit() }, "later 4.7.0!", "challenge is empty"},
		{"challenge for PLAIN", "AUTH PLAIN", func(p *peer) { p.Answer("AUTH", "334 "); p.Answer("*", "501 ok"); p.Quit() }, "later 4.7.0!", "challenge"},
		{"endless challenges", "AUTH LOGIN", func(p *peer) {
			for p.Read() != "*" {
				p.Say("334 VXNlcm5hbWU6")
			}
			p.Say("501 ok")
			p.Quit()
		}, "later 4.7.0!", "unexpected challenge"},
		{"nothing offered", "SIZE 1", func(p *peer) { p.Wait() }, "later 4.7.0!", "offers no authentication"},
		{"nothing known offered", "AUTH GSSAPI XOAUTH2", func(p *peer) { p.Wait() }, "later 4.7.0!", "GSSAPI XOAUTH2"},
		{"echo", "AUTH PLAIN", func(p *peer) { echo(p); p.Quit() }, "later 4.7.8!", "you said [redacted] or [redacted]"},
		{"echo far behind", "AUTH PLAIN", func(p *peer) { p.Answer("AUTH", "535 "+strings.Repeat("x ", 245)+password) }, "later 4.7.0!", "535"},
		{"echo over the limit", "AUTH PLAIN", func(p *peer) { p.Answer("AUTH", "535 "+strings.Repeat("x ", 248)+password) }, "later 4.7.0!", "535"},
		{"echo with other blanks", "AUTH PLAIN", func(p *peer) { p.Answer("AUTH", "535 "+strings.Replace(password, " ", "\t ", 1)) }, "later 4.7.0!", "535 [redacted]"},
		{"echo as nonsense", "AUTH PLAIN", func(p *peer) { p.Answer("AUTH", password) }, "later 4.5.0!", "malformed reply: [redacted]"},
		{"echo as a mechanism", "AUTH X" + b64(password), func(p *peer) { p.Wait() }, "later 4.7.0!", "[redacted]"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			within(t, soon)
			cfg := testConfig()
			cfg.Auth = secret(authUser, password)
			cfg.Transport.Insecure = true
			s := smtptest.Start(t, func(p *peer) {
				p.Hello(tt.offer)
				tt.script(p)
				p.Quit()
			})
			c, v := open(t, s, cfg)
			if v == nil {
				c.Quit()
				s.Finish()
				if tt.want != "" {
					t.Errorf("opened, want %s", tt.want)
				}
				return
			}
			if summary(v) != tt.want || !strings.Contains(v.Text, tt.reason) {
				t.Errorf("verdict %s %q, want %s %q", summary(v), v.Text, tt.want, tt.reason)
			}
			for _, text := range []string{v.Text, v.Reason, v.Error()} {
				if strings.Contains(text, "tanstaaf") || strings.Contains(text, b64(password)[:8]) {
					t.Errorf("betrays the password: %q", text)
				}
			}
		})
	}
}

// Without TLS and INSECURE, mechanisms that show the password are not used.
func TestAuthInClear(t *testing.T) {
	for offer, want := range map[string]string{"AUTH PLAIN LOGIN": "without TLS PLAIN and LOGIN need INSECURE", "AUTH PLAIN CRAM-MD5": "535 no"} {
		s := smtptest.Start(t, func(p *peer) {
			p.Hello(offer)
			p.Answer("AUTH CRAM-MD5", "334 eA==")
			p.Read()
			p.Say("535 no")
			p.Quit()
		})
		cfg := testConfig()
		cfg.Auth = secret(authUser, password)
		_, v := open(t, s, cfg)
		if v == nil || !strings.Contains(v.Text, want) {
			t.Errorf("%s: %v, want %q", offer, v, want)
		}
	}
}
