package session

import (
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/sha256"
	"crypto/tls"
	"encoding/base64"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/emersion/go-sasl"

	"dma/common/conf"
	"dma/dma-remote/internal/smtptest"
	"dma/dma-remote/internal/tlspolicy"
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
		name   string
		policy tlspolicy.Policy
		script smtptest.Script
		want   string
		badTLS bool
	}{
		{"STARTTLS", tlspolicy.Policy{Level: tlspolicy.Encrypt}, starttls(server, "SIZE 5"), "", false},
		{"STARTTLS where it is offered", tlspolicy.Policy{Level: tlspolicy.May}, starttls(server, "SIZE 5"), "", false},
		{"STARTTLS offered inside again", tlspolicy.Policy{Level: tlspolicy.May}, starttls(server, "STARTTLS", "SIZE 5"), "", false},
		{"wrong certificate", tlspolicy.Policy{Level: tlspolicy.Encrypt}, starttls(other), "later 4.7.5!", true},
		{"implicit", tlspolicy.Policy{Level: tlspolicy.Encrypt, Implicit: true}, func(p *peer) { p.TLS(server); p.Hello("SIZE 5"); p.Quit() }, "", false},
		{"implicit outranks STARTTLS", tlspolicy.Policy{Level: tlspolicy.Verify, Implicit: true}, func(p *peer) { p.TLS(server); p.Hello("STARTTLS", "SIZE 5"); p.Quit() }, "", false},
		{"implicit with wrong certificate", tlspolicy.Policy{Level: tlspolicy.Encrypt, Implicit: true}, func(p *peer) { p.TLS(other); p.Hello() }, "later 4.7.5!", true},
		{"implicit with a server that waits for STARTTLS", tlspolicy.Policy{Level: tlspolicy.Encrypt, Implicit: true}, func(p *peer) { p.Say("220 hi"); p.Wait() }, "later 4.7.5!", true},
		{"closed after the handshake", tlspolicy.Policy{Level: tlspolicy.May}, func(p *peer) {
			p.Hello("STARTTLS")
			p.Answer("STARTTLS", "220 go")
			p.TLS(server)
			p.Expect("EHLO")
		}, "later 4.4.2!", false},
		{"EHLO refused after the handshake", tlspolicy.Policy{Level: tlspolicy.Encrypt}, func(p *peer) {
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
			cfg.Policy, cfg.TLS = tt.policy, client
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
		{"SCRAM", "AUTH PLAIN SCRAM-SHA-256", func(p *peer) { serveScram(p, authUser, password, nil) }, "", ""},
		{"SCRAM with a server that does not know the password", "AUTH SCRAM-SHA-256", func(p *peer) {
			serveScram(p, authUser, "another", nil)
			p.Quit()
		}, "later 4.7.0!", "does not know the password"},
		{"SCRAM cut short", "AUTH SCRAM-SHA-256", func(p *peer) { p.Answer("AUTH", "235 fine") }, "later 4.7.0!", "without showing"},
		{"SCRAM refused", "AUTH SCRAM-SHA-256 PLAIN", func(p *peer) {
			p.Answer("AUTH SCRAM-SHA-256", "334 "+b64("e=unknown-user"))
			p.Answer("*", "501 ok")
			p.Quit()
		}, "later 4.7.0!", "server refuses: unknown-user"},
		{"channel binding refused", "AUTH SCRAM-SHA-256 PLAIN", func(p *peer) {
			p.Answer("AUTH SCRAM-SHA-256", "334 "+b64("e=channel-binding-not-supported"))
			p.Answer("*", "501 ok")
			serveAuth(p, sasl.NewPlainServer(checkPlain))
		}, "", ""},
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
			cfg.Insecure = true
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

// serveScram is the server's side of SCRAM-SHA-256, and -PLUS if there is a binding.
func serveScram(p *peer, user, password string, binding []byte) {
	dec := func(s string) string { b, _ := base64.StdEncoding.DecodeString(s); return string(b) }
	enc := func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }
	mac := func(key []byte, text string) []byte {
		m := hmac.New(sha256.New, key)
		m.Write([]byte(text))
		return m.Sum(nil)
	}
	words := strings.Fields(p.Expect("AUTH SCRAM-SHA-256"))
	message := dec(words[2])
	parts := strings.SplitN(message, ",", 3)
	nonce := parts[2][strings.Index(parts[2], "r=")+2:] + "server"
	first := "r=" + nonce + ",s=" + enc("salt") + ",i=4096"
	p.Say("334 " + enc(first))
	answer := dec(p.Read())
	without, proof, _ := strings.Cut(answer, ",p=")
	channel := parts[0] + ",,"
	if strings.HasSuffix(words[1], "-PLUS") {
		channel += string(binding)
	}
	key, _ := pbkdf2.Key(sha256.New, password, []byte("salt"), 4096, sha256.Size)
	all := parts[2] + "," + first + "," + without
	clientKey := mac(key, "Client Key")
	stored := sha256.Sum256(clientKey)
	want := mac(stored[:], all)
	for i := range want {
		want[i] ^= clientKey[i]
	}
	good := without == "c="+enc(channel)+",r="+nonce && proof == enc(string(want)) && parts[2][:strings.Index(parts[2], ",")] == "n="+user
	p.Say("334 " + enc("v="+enc(string(mac(mac(key, "Server Key"), all)))))
	switch line := p.Read(); {
	case line == "*":
		p.Say("501 cancelled")
	case line == "" && good:
		p.Say("235 2.7.0 yes")
	default:
		p.Say("535 5.7.8 no")
	}
}

// SCRAM-SHA-256-PLUS is bound to the TLS connection, RFC 9266.
func TestChannelBinding(t *testing.T) {
	server, roots := smtptest.Certificate(t, "test.example")
	for _, tt := range []struct {
		name    string
		version uint16
		wrong   bool // somebody between has another TLS connection to us
		offer   string
		want    string
	}{
		{"TLS 1.3", tls.VersionTLS13, false, "AUTH SCRAM-SHA-256 SCRAM-SHA-256-PLUS", ""},
		{"TLS 1.3 and somebody between", tls.VersionTLS13, true, "AUTH SCRAM-SHA-256 SCRAM-SHA-256-PLUS", "later 4.7.8!"},
		{"TLS 1.2", tls.VersionTLS12, false, "AUTH SCRAM-SHA-256 SCRAM-SHA-256-PLUS", ""},
		{"not offered", tls.VersionTLS13, false, "AUTH SCRAM-SHA-256", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			within(t, soon)
			config := server.Clone()
			config.MaxVersion = tt.version
			s := smtptest.Start(t, func(p *peer) {
				p.TLS(config)
				p.Hello(tt.offer)
				var binding []byte
				if cs := p.Conn.(*tls.Conn).ConnectionState(); tt.version == tls.VersionTLS13 && !tt.wrong {
					binding, _ = cs.ExportKeyingMaterial("EXPORTER-Channel-Binding", nil, 32)
				}
				serveScram(p, authUser, password, binding)
				p.Quit()
			})
			cfg := testConfig()
			cfg.Auth = secret(authUser, password)
			cfg.Policy, cfg.TLS = tlspolicy.Policy{Level: tlspolicy.Verify, Implicit: true}, &tls.Config{ServerName: "test.example", RootCAs: roots}
			c, v := open(t, s, cfg)
			got := ""
			if v != nil {
				got = summary(v)
			} else {
				c.Quit()
			}
			if got != tt.want {
				t.Errorf("%s, want %s: %v", got, tt.want, v)
			}
		})
	}
}

// A token that was refused is read again from its file, which somebody may have
// renewed by now. One too long for the command follows it.
func TestToken(t *testing.T) {
	b64 := func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }
	old, renewed := strings.Repeat("o", 1000), strings.Repeat("n", 1000)
	initial := func(token string) string { return b64("user=tim\x01auth=Bearer " + token + "\x01\x01") }
	for _, renew := range []bool{true, false} {
		path := filepath.Join(t.TempDir(), "token")
		write := func(text string) {
			if err := os.WriteFile(path, []byte(text+"\n"), 0o600); err != nil {
				t.Error(err)
			}
		}
		write(old)
		s := smtptest.Start(t, func(p *peer) {
			p.Hello("AUTH PLAIN XOAUTH2")
			p.Answer("AUTH XOAUTH2", "334 ")
			p.Answer(initial(old), "334 "+b64(`{"status":"401"}`))
			if renew {
				write(renewed)
			}
			p.Answer("", "535 5.7.8 "+old+" is stale")
			if renew {
				p.Answer("AUTH XOAUTH2", "334 ")
				p.Answer(initial(renewed), "235 "+old)
			}
			p.Quit()
		})
		cfg := testConfig()
		cfg.Auth, cfg.Insecure = &conf.Auth{User: "tim", File: path}, true
		c, v := open(t, s, cfg)
		switch {
		case renew && v != nil, !renew && (v == nil || summary(v) != "later 4.7.8!" || !strings.Contains(v.Text, "[redacted] is stale")):
			t.Errorf("renewed %v: %v", renew, v)
		case renew && (c.clean(old) != "[redacted]" || c.clean(renewed) != "[redacted]"):
			t.Error("a token is not redacted")
		}
		if c != nil {
			c.Quit()
		}
		s.Finish()
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
