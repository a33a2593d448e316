package settings

import (
	"crypto/x509"
	"encoding/pem"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"dma/common/conf"
	"dma/dma-remote/internal/content"
	"dma/dma-remote/internal/courier"
	"dma/dma-remote/internal/session"
	"dma/dma-remote/internal/smtptest"
)

type warnings []string

func (w *warnings) ConfigWarning(text string) { *w = append(*w, text) }

// write writes a file for everybody to read, or as mode says.
func write(t *testing.T, path, text string, mode os.FileMode) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
}

func TestLoad(t *testing.T) {
	const credentials = "u|relay.example:hunter2\n"
	tests := []struct {
		name, conf, auth string
		mode             os.FileMode
		want             string // of the configuration
		broken, warning  string
	}{
		{name: "empty", want: "none"},
		{name: "smarthost", conf: "SMARTHOST relay.example\nPORT 587\n", want: "relay.example:587 verify"},
		{name: "credentials", conf: "SMARTHOST relay.example\nAUTHPATH $D/auth.conf\n", auth: credentials, mode: 0o640, want: "relay.example:25 u verify"},
		{name: "credentials for another host", conf: "SMARTHOST other.example\nAUTHPATH $D/auth.conf\n", auth: credentials, mode: 0o640, want: "other.example:25", warning: "no line for other.example"},
		{name: "credentials that all may read", conf: "SMARTHOST relay.example\nAUTHPATH $D/auth.conf\n", auth: credentials, mode: 0o644, broken: "others have access"},
		{name: "credentials missing", conf: "SMARTHOST relay.example\nAUTHPATH $D/gone.conf\n", broken: "no such file"},
		{name: "credentials without use", conf: "AUTHPATH $D/gone.conf\n", want: "none"},
		{name: "malformed credentials", conf: "SMARTHOST relay.example\nAUTHPATH $D/auth.conf\n", auth: "hunter2\n" + credentials, mode: 0o600, want: "relay.example:25 u verify", warning: "auth.conf:1:"},
		{name: "certificate", conf: "SMARTHOST relay.example\nCERTFILE $D/cert.pem\n", want: "relay.example:25 certificate"},
		{name: "certificate missing", conf: "SMARTHOST relay.example\nCERTFILE $D/gone.pem\n", broken: "CERTFILE"},
		{name: "certificate that is none", conf: "SMARTHOST relay.example\nCERTFILE $D/dma.conf\n", broken: "CERTFILE"},
		{name: "several hosts", conf: "SMARTHOST relay.example:465 [2001:db8::1]\nAUTHPATH $D/auth.conf\n", auth: credentials, mode: 0o600, want: "relay.example:465 u verify implicit, [2001:db8::1]:25", warning: "no line for 2001:db8::1"},
		{name: "sender", conf: "SENDERMAP @x.example relay.example:587\n", want: "relay.example:587 verify"},
		{name: "other sender", conf: "SENDERMAP @y.example relay.example:587\n", want: "none"},
		{name: "sender and user", conf: "SMARTHOST a.example\nSENDERMAP s@x.example relay.example v\nAUTHPATH $D/auth.conf\n", auth: credentials + "v|relay.example:swordfish\n", mode: 0o600, want: "relay.example:25 v verify", warning: "no line for a.example"},
		{name: "sender and user without password", conf: "SENDERMAP s@x.example relay.example v\nAUTHPATH $D/auth.conf\n", auth: credentials, mode: 0o600, warning: "no line for the user", want: "broken: $D/auth.conf has no line for v at relay.example, which SENDERMAP s@x.example names"},
		{name: "LMTP", conf: "LMTP /run/lmtp\nAUTHPATH $D/auth.conf\n", auth: credentials, mode: 0o600, warning: "is not used", want: "/run/lmtp LMTP"},
		{name: "wrong line", conf: "SMARTHOST relay.example:x\n", broken: "dma.conf:1"},
		{name: "CA file", conf: "SMARTHOST relay.example\nCAFILE $D/cert.pem\n", want: "relay.example:25 roots"},
		{name: "CA file missing", conf: "SMARTHOST relay.example\nCAFILE $D/gone.pem\n", broken: "CAFILE"},
		{name: "CA file without certificate", conf: "SMARTHOST relay.example\nCAFILE $D/dma.conf\n", broken: "no certificate in"},
		{name: "too large", conf: strings.Repeat("#\n", 1<<20), broken: "larger"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			write(t, dir+"/dma.conf", strings.ReplaceAll(tt.conf, "$D", dir), 0o644)
			if tt.auth != "" {
				write(t, dir+"/auth.conf", tt.auth, tt.mode)
			}
			writeCertificate(t, dir+"/cert.pem")
			var log warnings
			cfg, _ := Load(dir+"/dma.conf", courier.Config{}, &log, Options{})
			if text := strings.Join(log, "\n"); !strings.Contains(text, tt.warning) || tt.warning == "" && text != "" || strings.Contains(text, "hunter2") {
				t.Errorf("warnings %q, want %q", text, tt.warning)
			}
			if tt.broken != "" {
				if cfg.Broken == nil || !strings.Contains(cfg.Broken.Error(), tt.broken) || strings.Contains(cfg.Broken.Error(), "hunter2") {
					t.Errorf("broken: %v, want %q", cfg.Broken, tt.broken)
				}
				return
			}
			got := describe(cfg, "s@x.example")
			if cfg.Certificate != nil {
				got += " certificate"
			}
			if cfg.Roots != nil {
				got += " roots"
			}
			if got != strings.ReplaceAll(tt.want, "$D", dir) || cfg.Broken != nil || cfg.Helo == "" {
				t.Errorf("%s, broken %v, helo %q; want %s", got, cfg.Broken, cfg.Helo, tt.want)
			}
		})
	}
}

// describe tells the route of a sender in short.
func describe(cfg courier.Config, sender string) string {
	rt, ok := cfg.Route(sender)
	switch {
	case !ok:
		return "none"
	case rt.Broken != nil:
		return "broken: " + rt.Broken.Error()
	}
	var out []string
	for _, s := range rt.Servers {
		text := s.String()
		if s.LMTP {
			text += " LMTP"
		}
		if s.Auth != nil {
			text += " " + s.Auth.User
		}
		if s.Transport.Verify {
			text += " verify"
		}
		if s.Transport.Implicit {
			text += " implicit"
		}
		out = append(out, text)
	}
	return strings.Join(out, ", ")
}

// Routes with the same servers and credentials share connections, no others do.
func TestKeys(t *testing.T) {
	dir := t.TempDir()
	write(t, dir+"/auth.conf", "u|relay.example:a\nv|relay.example:b\n", 0o600)
	write(t, dir+"/dma.conf", "SMARTHOST relay.example\nSENDERMAP a@ relay.example u\nSENDERMAP b@ relay.example v\nSENDERMAP c@ Relay.Example v\n"+
		"SENDERMAP d@ relay.example:587 v\nSENDERMAP e@ relay.example,relay.example v\nAUTHPATH "+dir+"/auth.conf\n", 0o644)
	var log warnings
	cfg, _ := Load(dir+"/dma.conf", courier.Config{}, &log, Options{})
	keys := make(map[string][]string)
	for _, sender := range []string{"x@x", "a@x", "b@x", "c@x", "d@x", "e@x"} {
		rt, _ := cfg.Route(sender)
		keys[rt.Key] = append(keys[rt.Key], sender)
	}
	var groups []string
	for _, senders := range keys {
		groups = append(groups, strings.Join(senders, " "))
	}
	slices.Sort(groups)
	if got := strings.Join(groups, "; "); got != "b@x c@x; d@x; e@x; x@x a@x" {
		t.Errorf("routes that share connections: %s", got)
	}
}

// By hand: any host, and without what only some may read.
func TestOptions(t *testing.T) {
	dir := t.TempDir()
	write(t, dir+"/auth.conf", "u|relay.example:a\nv|other.example:b\n", 0o604) // cannot be read
	write(t, dir+"/dma.conf", "SMARTHOST relay.example\nAUTHPATH "+dir+"/auth.conf\n", 0o644)
	other := &conf.Host{Name: "other.example", Port: 587}
	var log warnings
	if cfg, _ := Load(dir+"/dma.conf", courier.Config{}, &log, Options{}); cfg.Broken == nil {
		t.Error("auth.conf is not looked at")
	}
	cfg, _ := Load(dir+"/dma.conf", courier.Config{}, &log, Options{Public: true})
	if got := describe(cfg, ""); got != "relay.example:25" || cfg.Broken != nil {
		t.Error(got, cfg.Broken)
	}
	write(t, dir+"/auth.conf", "u|relay.example:a\nv|other.example:b\n", 0o600)
	cfg, _ = Load(dir+"/dma.conf", courier.Config{}, &log, Options{Host: other})
	if got := describe(cfg, "s@x.example"); got != "other.example:587 v verify" || cfg.Broken != nil {
		t.Error(got, cfg.Broken)
	}
}

// writeCertificate writes a certificate and its key into one file, as dma has them.
func writeCertificate(t *testing.T, path string) {
	t.Helper()
	config, _ := smtptest.Certificate(t, "client.example")
	cert := config.Certificates[0]
	key, err := x509.MarshalPKCS8PrivateKey(cert.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	text := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Certificate[0]})) +
		string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key}))
	write(t, path, text, 0o600)
}

// A changed file counts for the next message.
func TestKeeper(t *testing.T) {
	path := filepath.Join(t.TempDir(), "dma.conf")
	auth := filepath.Join(t.TempDir(), "auth.conf")
	var log warnings
	k := NewKeeper(path, courier.Config{Now: time.Now}, &log)
	defer k.Close()
	try := func() string {
		var text string
		k.Deliver(t.Context(), &courier.Request{
			Recipients: []session.Recipient{{Address: "a@x"}},
			Body:       &content.Message{File: strings.NewReader("")},
			Report:     func(_ int, r courier.Result) { text = r.Text },
		})
		return text
	}
	steps := []struct {
		name   string
		change func()
		want   string
	}{
		{"no file", func() {}, "there is no SMARTHOST"},
		{"file appears", func() { write(t, path, "SMARTHOST relay.example\nAUTHPATH "+auth+"\n", 0o644) }, "no such file"},
		{"credentials appear", func() { write(t, auth, "u|relay.example:p\n", 0o644) }, "others have access"},
		{"same", func() {}, "others have access"},
		{"file changes", func() { write(t, path, "# nothing\n", 0o644) }, "there is no SMARTHOST"},
		{"file goes", func() { _ = os.Remove(path) }, "there is no SMARTHOST"},
	}
	for _, s := range steps {
		s.change()
		before := k.current
		if got := try(); !strings.Contains(got, s.want) {
			t.Errorf("%s: %q, want %q", s.name, got, s.want)
		}
		if changed := k.current != before; changed == (s.name == "same" || s.name == "no file") {
			t.Errorf("%s: read again: %v", s.name, changed)
		}
	}
}
