package settings

import (
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"dma/common/conf"
	"dma/dma-remote/internal/content"
	"dma/dma-remote/internal/courier"
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
		{name: "empty", want: ":25 auth= verify=false"},
		{name: "smarthost", conf: "SMARTHOST relay.example\nPORT 587\n", want: "relay.example:587 auth= verify=true"},
		{name: "credentials", conf: "SMARTHOST relay.example\nAUTHPATH $D/auth.conf\n", auth: credentials, mode: 0o640, want: "relay.example:25 auth=u verify=true"},
		{name: "credentials for another host", conf: "SMARTHOST other.example\nAUTHPATH $D/auth.conf\n", auth: credentials, mode: 0o640, want: "other.example:25 auth= verify=false", warning: "no line for the smarthost other.example"},
		{name: "credentials that all may read", conf: "SMARTHOST relay.example\nAUTHPATH $D/auth.conf\n", auth: credentials, mode: 0o644, broken: "others have access"},
		{name: "credentials missing", conf: "SMARTHOST relay.example\nAUTHPATH $D/gone.conf\n", broken: "no such file"},
		{name: "credentials without use", conf: "AUTHPATH $D/gone.conf\n", want: ":25 auth= verify=false"},
		{name: "malformed credentials", conf: "SMARTHOST relay.example\nAUTHPATH $D/auth.conf\n", auth: "hunter2\n" + credentials, mode: 0o600, want: "relay.example:25 auth=u verify=true", warning: "auth.conf:1:"},
		{name: "certificate", conf: "SMARTHOST relay.example\nCERTFILE $D/cert.pem\n", want: "relay.example:25 auth= verify=false certificate"},
		{name: "certificate missing", conf: "SMARTHOST relay.example\nCERTFILE $D/gone.pem\n", broken: "CERTFILE"},
		{name: "certificate that is none", conf: "SMARTHOST relay.example\nCERTFILE $D/dma.conf\n", broken: "CERTFILE"},
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
			cfg, _ := Load(dir+"/dma.conf", courier.Config{}, &log)
			if text := strings.Join(log, "\n"); !strings.Contains(text, tt.warning) || tt.warning == "" && text != "" || strings.Contains(text, "hunter2") {
				t.Errorf("warnings %q, want %q", text, tt.warning)
			}
			if tt.broken != "" {
				if cfg.Broken == nil || !strings.Contains(cfg.Broken.Error(), tt.broken) || strings.Contains(cfg.Broken.Error(), "hunter2") {
					t.Errorf("broken: %v, want %q", cfg.Broken, tt.broken)
				}
				return
			}
			auth := conf.Auth{}
			if cfg.Auth != nil {
				auth = *cfg.Auth
			}
			got := fmt.Sprintf("%s:%d auth=%s verify=%v", cfg.Smarthost, cfg.Port, auth.User, cfg.Transport.Verify)
			if cfg.Certificate != nil {
				got += " certificate"
			}
			if got != tt.want || cfg.Broken != nil || cfg.Helo == "" {
				t.Errorf("%s, broken %v, helo %q; want %s", got, cfg.Broken, cfg.Helo, tt.want)
			}
		})
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
			Recipients: []string{"a@x"},
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
