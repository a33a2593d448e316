package courier

import (
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"

	"dma/common/conf"
	"dma/dma-remote/internal/content"
	"dma/dma-remote/internal/session"
	"dma/dma-remote/internal/smtptest"
)

// sink is a backend of go-smtp that keeps what it gets, and wants authentication.
type sink struct {
	mu       sync.Mutex
	received []string // "sender recipients: text"
	logins   int
}

const (
	sinkUser = "host-account"
	sinkPass = "corre ct horse"
)

func (s *sink) NewSession(*smtp.Conn) (smtp.Session, error) { return &sinkSession{sink: s}, nil }

type sinkSession struct {
	sink *sink
	ok   bool
	from string
	to   []string
}

func (s *sinkSession) AuthMechanisms() []string { return []string{sasl.Plain} }

func (s *sinkSession) Auth(string) (sasl.Server, error) {
	return sasl.NewPlainServer(func(_, user, pass string) error {
		if user != sinkUser || pass != sinkPass {
			return errors.New("no")
		}
		s.sink.mu.Lock()
		defer s.sink.mu.Unlock()
		s.sink.logins++
		s.ok = true
		return nil
	}), nil
}

func (s *sinkSession) Mail(from string, _ *smtp.MailOptions) error {
	if !s.ok {
		return smtp.ErrAuthRequired
	}
	s.from = from
	return nil
}

func (s *sinkSession) Rcpt(to string, _ *smtp.RcptOptions) error {
	if strings.HasPrefix(to, "nobody") {
		return &smtp.SMTPError{Code: 550, EnhancedCode: smtp.EnhancedCode{5, 1, 1}, Message: "no such user"}
	}
	s.to = append(s.to, to)
	return nil
}

func (s *sinkSession) Data(r io.Reader) error {
	text, err := io.ReadAll(r)
	s.sink.mu.Lock()
	defer s.sink.mu.Unlock()
	s.sink.received = append(s.sink.received, fmt.Sprintf("%s %s: %s", s.from, strings.Join(s.to, ","), text))
	return err
}

func (s *sinkSession) Reset()        { s.from, s.to = "", nil }
func (s *sinkSession) Logout() error { return nil }

// quiet is a log of what go-smtp thinks of clients that hang up.
type quiet struct{}

func (quiet) Printf(string, ...any) {}
func (quiet) Println(...any)        {}

// startSink starts go-smtp and returns a network in which it is the smarthost.
func startSink(t *testing.T, s *sink, config *tls.Config, implicit bool) network {
	t.Helper()
	server := smtp.NewServer(s)
	server.Domain, server.TLSConfig, server.ErrorLog = "relay.example", config, quiet{}
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	if implicit {
		l = tls.NewListener(l, config)
	}
	var wg sync.WaitGroup
	wg.Go(func() { _ = server.Serve(l) })
	t.Cleanup(func() {
		server.Close()
		wg.Wait()
	})
	return network{
		addrs: map[string][]string{"relay.example": {"192.0.2.1"}},
		dial:  func(netip.AddrPort) (net.Conn, error) { return net.Dial("tcp", addr) },
	}
}

// The ordinary way, against a server that others wrote: STARTTLS or TLS from the
// start, a verified certificate, AUTH, several messages, one refused recipient.
func TestOrdinary(t *testing.T) {
	for name, implicit := range map[string]bool{"STARTTLS": false, "implicit TLS": true} {
		t.Run(name, func(t *testing.T) {
			server, roots := smtptest.Certificate(t, "relay.example")
			s := &sink{}
			cfg := config(startSink(t, s, server, implicit))
			cfg.Roots = roots
			smarthost(&cfg, conf.Transport{Implicit: implicit, StartTLS: conf.TLSRequired, Verify: true}, &conf.Auth{User: sinkUser, Host: "relay.example", Password: conf.NewSecret(sinkPass)})
			c := start(t, cfg)
			text := "Subject: t\n\n.dot\n..\n\n.\nend"
			for range 3 {
				req := request("", 0)
				req.Recipients = []session.Recipient{{Address: "a@x.example"}, {Address: "nobody@x.example"}, {Address: `"b c"@x.example`}}
				req.Body = &content.Message{Header: "Delivered-To: d@y.example\n", File: strings.NewReader(text), Size: int64(len(text))}
				if got := deliver(t, c, req); got != "done 2.0.0, failed 5.1.1, done 2.0.0" {
					t.Errorf("results %s; log:\n%s", got, req.Log.(*journal).text())
				}
			}
			want := "s@x.example a@x.example,b c@x.example: Delivered-To: d@y.example\r\nSubject: t\r\n\r\n.dot\r\n..\r\n\r\n.\r\nend\r\n"
			s.mu.Lock()
			defer s.mu.Unlock()
			if len(s.received) != 3 || s.logins != 1 {
				t.Errorf("%d messages, %d logins", len(s.received), s.logins)
			}
			for _, got := range s.received {
				if strings.ReplaceAll(got, `"`, "") != want {
					t.Errorf("received %q\nwant %q", got, want)
				}
			}
		})
	}
}

// CERTFILE: the smarthost may know us by a certificate.
func TestClientCertificate(t *testing.T) {
	server, roots := smtptest.Certificate(t, "relay.example")
	mine, known := smtptest.Certificate(t, "client.example")
	server.ClientAuth, server.ClientCAs = tls.RequireAnyClientCert, known
	s := smtptest.Start(t, func(p *peer) {
		p.TLS(server)
		accept(p)
	})
	for _, with := range []bool{true, false} {
		cfg := config(relay(s))
		cfg.Roots = roots
		smarthost(&cfg, conf.Transport{Implicit: true, Verify: true}, nil)
		want := "later 4.4.2!"
		if with {
			cfg.Certificate, want = &mine.Certificates[0], "done 2.0.0"
		}
		if got := deliver(t, start(t, cfg), request("", 1)); got != want && (with || !strings.HasPrefix(got, "later 4.")) {
			t.Errorf("certificate %v: %s, want %s", with, got, want)
		}
	}
}

// RULES E10: the password is in no result and no log line, whatever goes wrong.
func TestSecrets(t *testing.T) {
	server, roots := smtptest.Certificate(t, "relay.example")
	other, _ := smtptest.Certificate(t, "other.example")
	echo := smtptest.Start(t, func(p *peer) {
		p.Hello("STARTTLS", "AUTH PLAIN")
		p.Answer("STARTTLS", "220 go")
		p.TLS(server)
		p.EHLO("AUTH PLAIN LOGIN")
		line := strings.TrimPrefix(p.Expect("AUTH PLAIN "), "AUTH PLAIN ")
		plain, _ := base64.StdEncoding.DecodeString(line)
		p.Say("535-5.7.8 not "+string(plain), "535 5.7.8 nor "+line)
	})
	wrong := &sink{}
	tests := map[string]struct {
		network network
		auth    string
	}{
		"right":          {startSink(t, &sink{}, server, false), sinkPass},
		"wrong":          {startSink(t, wrong, server, false), "wrong " + sinkPass},
		"bad TLS":        {startSink(t, &sink{}, other, false), sinkPass},
		"echoing server": {relay(echo), sinkPass},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			cfg := config(tt.network)
			cfg.Roots = roots
			smarthost(&cfg, conf.Transport{StartTLS: conf.TLSRequired, Verify: true}, &conf.Auth{User: sinkUser, Host: "relay.example", Password: conf.NewSecret(tt.auth)})
			req := request("", 1)
			r := results(t, start(t, cfg), req)[0]
			if (r.Class.String() == "done") != (name == "right") {
				t.Errorf("result %+v", r)
			}
			rt, _ := cfg.Route("")
			all := fmt.Sprintf("%+v %#v %s %+v %#v", r, r, req.Log.(*journal).text(), rt, cfg)
			for _, leak := range []string{
				sinkPass, tt.auth, base64.StdEncoding.EncodeToString([]byte(tt.auth)),
				base64.StdEncoding.EncodeToString([]byte("\x00" + sinkUser + "\x00" + tt.auth)),
			} {
				if strings.Contains(all, leak) {
					t.Errorf("%q is in %s", leak, all)
				}
			}
		})
	}
	if len(wrong.received) > 0 {
		t.Error("mail went on unauthenticated")
	}
}
