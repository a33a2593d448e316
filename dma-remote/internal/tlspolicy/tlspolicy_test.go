package tlspolicy

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"net"
	"strings"
	"testing"

	"dma/common/conf"
	"dma/dma-remote/internal/smtptest"
)

// What the keys of dma.conf come to. The first words are the level.
func TestDecide(t *testing.T) {
	finger := strings.Repeat("ab", 32)
	smarthost := func(port string) string { return "SMARTHOST relay.example:" + port + "\n" }
	tests := []struct {
		name, conf string
		auth       bool
		want       string
	}{
		{"port 25", smarthost("25"), false, "none: no TLS"},
		{"port 25 and credentials", smarthost("25"), true, "none: no TLS"},
		{"port 465", smarthost("465"), false, "verify: TLS from the start, certificate verified for relay.example"},
		{"port 587", smarthost("587"), false, "verify: STARTTLS, certificate verified for relay.example"},
		{"STARTTLS", smarthost("25") + "STARTTLS\nSECURETRANSFER\n", false, "verify: STARTTLS, certificate verified for relay.example"},
		{"SECURETRANSFER", smarthost("2465") + "SECURETRANSFER\n", false, "verify: TLS from the start, certificate verified for relay.example"},
		{"opportunistic", smarthost("25") + "OPPORTUNISTIC_TLS\n", false, "may: STARTTLS if it is offered, certificate not verified"},
		{"opportunistic with credentials", smarthost("25") + "OPPORTUNISTIC_TLS\n", true, "may: STARTTLS if it is offered, certificate verified for relay.example"},
		{"opportunistic at 587", smarthost("587") + "STARTTLS\nOPPORTUNISTIC_TLS\n", false, "may: STARTTLS if it is offered, certificate not verified"},
		{"opportunistic and VERIFYCERT", smarthost("25") + "OPPORTUNISTIC_TLS\nVERIFYCERT\n", false, "may: STARTTLS if it is offered, certificate verified for relay.example"},
		{"FINGERPRINT", smarthost("25") + "FINGERPRINT " + finger, false, "fingerprint: STARTTLS, certificate verified by fingerprint"},
		{"FINGERPRINT outranks opportunistic", smarthost("25") + "OPPORTUNISTIC_TLS\nFINGERPRINT " + finger, false, "fingerprint: STARTTLS, certificate verified by fingerprint"},
		{"FINGERPRINT at 465", smarthost("465") + "FINGERPRINT " + finger, true, "fingerprint: TLS from the start, certificate verified by fingerprint"},
		{"socket", "LMTP /run/lmtp\nSTARTTLS\nSECURETRANSFER\n", false, "none: no TLS"},
		{"MX", "", false, "none: no TLS"},
		{"MX with STARTTLS", "STARTTLS\nSECURETRANSFER\n", false, "encrypt: STARTTLS, certificate not verified"},
		{"MX with VERIFYCERT", "STARTTLS\nSECURETRANSFER\nVERIFYCERT\n", false, "verify: STARTTLS, certificate verified for mx.example"},
		{"MX opportunistic", "OPPORTUNISTIC_TLS\n", false, "may: STARTTLS if it is offered, certificate not verified"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c, _, err := conf.Parse(strings.NewReader(tt.conf), "dma.conf")
			if err != nil || c.Broken() != nil {
				t.Fatal(err, c.Broken())
			}
			var host conf.Host
			name := "mx.example"
			if rt, ok := c.RouteFor(""); ok {
				host, name = rt.Hosts[0], rt.Hosts[0].Name
			}
			p := Decide(c.Transport(host, tt.auth), name, Records{})
			if got := p.Level.String() + ": " + p.String(); got != tt.want {
				t.Errorf("%s, want %s", got, tt.want)
			}
		})
	}
}

// Which certificates are good enough, and what is told of them.
func TestConfig(t *testing.T) {
	good, roots := smtptest.Certificate(t, "relay.example")
	other, _ := smtptest.Certificate(t, "relay.example")
	sum := sha256.Sum256(good.Certificates[0].Certificate[0])
	print := hex.EncodeToString(sum[:])
	old := good.Clone()
	old.MaxVersion = tls.VersionTLS11
	old12 := good.Clone()
	old12.MaxVersion = tls.VersionTLS12
	tests := []struct {
		name   string
		server *tls.Config
		policy Policy
		want   string // "!" and a part of the error
	}{
		{"verified", good, Policy{Level: Verify, Name: "relay.example", Chain: true}, "TLS 1.3, TLS_AES_128_GCM_SHA256, verified for relay.example"},
		{"TLS 1.2", old12, Policy{Level: Encrypt, Name: "relay.example"}, "TLS 1.2, TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, not verified"},
		{"TLS 1.1", old, Policy{Level: Encrypt, Name: "relay.example"}, "!protocol version"},
		{"other name", good, Policy{Level: Verify, Name: "else.example", Chain: true}, "!else.example"},
		{"other issuer", other, Policy{Level: Verify, Name: "relay.example", Chain: true}, "!unknown authority"},
		{"other issuer that nobody looks at", other, Policy{Level: Encrypt, Name: "relay.example"}, "TLS 1.3, TLS_AES_128_GCM_SHA256, not verified"},
		{"fingerprint", good, Policy{Level: Fingerprint, Name: "else.example", Fingerprint: print}, "TLS 1.3, TLS_AES_128_GCM_SHA256, verified by fingerprint"},
		{"other fingerprint", other, Policy{Level: Fingerprint, Name: "relay.example", Fingerprint: print}, "!another fingerprint"},
		{"fingerprint and name", good, Policy{Level: Fingerprint, Name: "relay.example", Chain: true, Fingerprint: print}, "TLS 1.3, TLS_AES_128_GCM_SHA256, verified by fingerprint and for relay.example"},
		{"fingerprint and other name", good, Policy{Level: Fingerprint, Name: "else.example", Chain: true, Fingerprint: print}, "!else.example"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			cs, err := handshake(t, tt.server, tt.policy, roots)
			switch want, fails := strings.CutPrefix(tt.want, "!"); {
			case fails && (err == nil || !strings.Contains(err.Error(), want)):
				t.Errorf("error %v, want %q", err, want)
			case !fails && err != nil:
				t.Error(err)
			case !fails && tt.policy.Describe(cs) != want:
				t.Errorf("%s, want %s", tt.policy.Describe(cs), want)
			}
		})
	}
}

func handshake(t *testing.T, server *tls.Config, p Policy, roots *x509.CertPool) (tls.ConnectionState, error) {
	t.Helper()
	s := smtptest.Start(t, func(peer *smtptest.Peer) { peer.TLS(server); peer.Wait() })
	nc, err := net.Dial("tcp", s.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	c := tls.Client(nc, p.Config(roots, nil))
	err = c.Handshake()
	return c.ConnectionState(), err
}
