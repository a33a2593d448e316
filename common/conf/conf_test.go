package conf

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

type confCase struct {
	name, text string
	want       func(*Config) // changes the defaults to what is expected
	warn       []string      // "line: part of the text"
}

func confs() []confCase {
	const noHost = "there is no SMARTHOST"
	return []confCase{
		{name: "empty"},
		{name: "comments", text: "# SMARTHOST a\n  # x\n\t\n#\n"},
		{
			name: "full", text: "SMARTHOST mx.example\nPORT 2525\nALIASES /a\nAUTHPATH /b\nMAILNAME h.example\nDEFER\nFULLBOUNCE\nNULLCLIENT\nVERIFYCERT\nINSECURE\nSECURE\nSECURETRANSFER\nSTARTTLS\nOPPORTUNISTIC_TLS\nMAXAGE 2d\nMINRETRY 90s\nMAXRETRY 1w\nMINFREE 5%\nMAXSIZE 10M\n",
			want: func(c *Config) {
				*c = Config{
					Smarthost: "mx.example", Port: 2525, Aliases: "/a", AuthPath: "/b", MailName: "h.example", SpoolDir: c.SpoolDir,
					StartTLS: true, OpportunisticTLS: true, SecureTransfer: true, VerifyCert: true, Insecure: true, Secure: true,
					Defer: true, FullBounce: true, NullClient: true,
					MaxAge: 48 * time.Hour, MinRetry: 90 * time.Second, MaxRetry: 7 * 24 * time.Hour, MinFree: 5, MaxSize: 10 << 20,
				}
			},
		},
		{
			name: "not yet", text: "SPOOLDIR /s\nCERTFILE /c\nFINGERPRINT " + strings.Repeat("AB:", 31) + "ab\nLMTP /l\nVIRTUAL\nVIRTPATH /v\nMASQUERADE u@h\n",
			want: func(c *Config) {
				c.SpoolDir, c.CertFile, c.Fingerprint, c.LMTP, c.Virtual, c.VirtPath, c.Masquerade = "/s", "/c", strings.Repeat("ab", 32), "/l", true, "/v", "u@h"
			},
			warn: []string{
				"1: SPOOLDIR is understood but has no effect yet", "3: FINGERPRINT is", "4: LMTP is",
				"5: VIRTUAL is", "6: VIRTPATH is", "7: MASQUERADE is",
			},
		},
		{name: "layout", text: "  SMARTHOST\t  a.b \t# c\r\n\tDEFER#x\nMAXAGE 1h # y # z", want: func(c *Config) { c.Smarthost, c.Defer, c.MaxAge = "a.b", true, time.Hour }},
		{name: "nullclient with domain", text: "SMARTHOST a\nNULLCLIENT d.example", want: func(c *Config) { c.Smarthost, c.NullClient, c.NullDomain = "a", true, "d.example" }},
		{name: "nullclient off", text: "NULLCLIENT no", want: func(*Config) {}},
		{name: "fix of order", text: "PORT 26\nSMARTHOST a", want: func(c *Config) { c.Smarthost, c.Port = "a", 26 }},
		{name: "mailname file", text: "MAILNAME /etc/mailname", want: func(c *Config) { c.MailName = "/etc/mailname" }},

		{name: "unknown", text: "X\nSMARTHOST a\nFROBNICATE y", want: func(c *Config) { c.Smarthost = "a" }, warn: []string{`1: unknown key "X"`, `3: unknown key "FROBNICATE"`}},
		{name: "near", text: "SMARTHOSTS a\nsmarthost b\nSMRTHST c\nMAXRETY 1h\nDEFFERR", warn: []string{
			`1: unknown key "SMARTHOSTS"; did you mean SMARTHOST?`, `2: unknown key "smarthost"; did you mean SMARTHOST?`,
			"3: unknown key \"SMRTHST\"; did you mean SMARTHOST?", "4: unknown key \"MAXRETY\"; did you mean MAXRETRY?", "5: unknown key \"DEFFERR\"; did you mean DEFER?",
		}},
		{name: "twice", text: "MAXAGE 1h\nMAXAGE 2h", want: func(c *Config) { c.MaxAge = 2 * time.Hour }, warn: []string{"2: MAXAGE stands in line 1 too"}},
		{name: "flag with value", text: "DEFER yes\nFULLBOUNCE no\nINSECURE maybe", want: func(c *Config) { c.Defer = true }, warn: []string{
			"1: DEFER takes no value; write DEFER alone", "2: FULLBOUNCE takes no value", "3: INSECURE takes no value; write INSECURE alone, or a # before it; the line is ignored",
		}},
		{name: "no value", text: "SMARTHOST\nMAXAGE # 1h", warn: []string{"1: SMARTHOST needs a value; the line is ignored", "2: MAXAGE needs"}},
		{name: "bad values", text: "SMARTHOST a b\nPORT 0\nPORT 65536\nPORT 25%\nMAXAGE 5\nMAXAGE d\nMAXAGE 0d\nMAXAGE 367d\nMAXAGE 99999999w\nMINFREE 100\nMAXSIZE x\nMAXSIZE 1KK\nMAXSIZE -1\nMAILNAME a_b c\nALIASES x\nFINGERPRINT abc\nNULLCLIENT a b", warn: []string{
			"1: SMARTHOST \"a b\": not a host", "2: PORT \"0\": not a number", "3: PORT", "4: PORT", "5: MAXAGE \"5\": not a number with a unit; write 90s", "6: MAXAGE",
			"7: MAXAGE \"0d\": must be from", "8: MAXAGE \"367d\": must be", "9: MAXAGE", "10: MINFREE", "11: MAXSIZE", "12: MAXSIZE", "13: MAXSIZE", "14: MAILNAME", "15: ALIASES \"x\": not an absolute path", "16: FINGERPRINT", "17: NULLCLIENT",
		}},
		{name: "control character", text: "MASQUERADE a\x1bb", warn: []string{"1: MASQUERADE: value contains a control character; the line is ignored"}},
		{name: "no smarthost", text: "PORT 26\nAUTHPATH /a\nNULLCLIENT", want: func(c *Config) { c.Port, c.AuthPath, c.NullClient = 26, "/a", true }, warn: []string{"1: PORT: " + noHost, "2: AUTHPATH: " + noHost, "3: NULLCLIENT: " + noHost}},
		{name: "two ports", text: "SMARTHOST a:587\n\nPORT 465", want: func(c *Config) { c.Smarthost, c.Port = "a", 587 }, warn: []string{"3: PORT: SMARTHOST names port 587"}},
		{name: "retries", text: "MINRETRY 4h", want: func(c *Config) { c.MinRetry, c.MaxRetry = 4*time.Hour, 4*time.Hour }, warn: []string{"1: MINRETRY: longer than MAXRETRY"}},
		{name: "implicit at 587", text: "SMARTHOST a:587\nSECURETRANSFER", want: func(c *Config) { c.Smarthost, c.Port, c.SecureTransfer = "a", 587, true }, warn: []string{"2: SECURETRANSFER: without STARTTLS"}},
		{name: "starttls alone", text: "STARTTLS", want: func(c *Config) { c.StartTLS = true }, warn: []string{"1: STARTTLS: without SECURETRANSFER"}},
	}
}

func TestParse(t *testing.T) {
	for _, c := range confs() {
		t.Run(c.name, func(t *testing.T) {
			want := defaults()
			want.Port = 25
			if c.want != nil {
				c.want(&want)
			}
			got, warnings, err := Parse(strings.NewReader(c.text), "F")
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, *got, cmpopts.IgnoreUnexported(Config{})); diff != "" {
				t.Errorf("other than expected (-want +got):\n%s", diff)
			}
			checkWarnings(t, warnings, c.warn)
		})
	}
}

func checkWarnings(t *testing.T, got []Warning, want []string) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("warnings %v, want %q", got, want)
	}
	for i, w := range got {
		if !strings.HasPrefix(w.String(), "F:"+want[i]) {
			t.Errorf("warning %q, want %q", w, want[i])
		}
	}
}

// Every key of the table changes something, and none is there twice.
func TestKeys(t *testing.T) {
	values := map[string]string{"PORT": "26", "MINFREE": "7", "MAXSIZE": "1K", "SMARTHOST": "h", "MAILNAME": "h", "FINGERPRINT": strings.Repeat("a", 64), "NULLCLIENT": "d", "MASQUERADE": "u@", "LMTP": "h"}
	seen := map[string]bool{}
	for _, k := range keys() {
		value, ok := values[k.name]
		switch {
		case ok || k.kind == flag:
		case strings.HasPrefix(k.name, "M"):
			value = "2h"
		default:
			value = "/x"
		}
		got, w, err := Parse(strings.NewReader(k.name+" "+value), "F")
		base := defaults()
		base.Port = 25
		if err != nil || cmp.Equal(base, *got, cmpopts.IgnoreUnexported(Config{})) {
			t.Errorf("%s changes nothing: %v, %v", k.name, w, err)
		}
		if seen[k.name] {
			t.Errorf("%s is there twice", k.name)
		}
		seen[k.name] = true
	}
}

func TestSmarthost(t *testing.T) {
	for value, want := range map[string]struct {
		host string
		port int
	}{
		"a.example":             {"a.example", 25},
		"a.example.":            {"a.example", 25},
		"a.example:587":         {"a.example", 587},
		"1.2.3.4":               {"1.2.3.4", 25},
		"1.2.3.4:26":            {"1.2.3.4", 26},
		"[1.2.3.4]:26":          {"1.2.3.4", 26},
		"[2001:db8::1]":         {"2001:db8::1", 25},
		"[2001:db8::1]:465":     {"2001:db8::1", 465},
		"2001:db8::1":           {"2001:db8::1", 25},
		"::ffff:1.2.3.4":        {"::ffff:1.2.3.4", 25},
		"exämple.de:26":         {"exämple.de", 26},
		"a:":                    {},
		"a:0":                   {},
		"a:x":                   {},
		"a:65536":               {},
		"a:1:2":                 {},
		":25":                   {},
		"[::1":                  {},
		"[::1]25":               {},
		"[a.example]":           {},
		"[]":                    {},
		"a/b":                   {},
		"a@b":                   {},
		strings.Repeat("a", 64): {},
	} {
		c, w, err := Parse(strings.NewReader("SMARTHOST "+value), "F")
		if want.host == "" {
			if err != nil || c.Smarthost != "" || len(w) != 1 {
				t.Errorf("%q: %q, %v, %v; want a warning", value, c.Smarthost, w, err)
			}
			continue
		}
		if err != nil || c.Smarthost != want.host || c.Port != want.port || len(w) != 0 {
			t.Errorf("%q: %q port %d, %v, %v; want %v", value, c.Smarthost, c.Port, w, err, want)
		}
	}
}

func TestTransport(t *testing.T) {
	may, required := Transport{StartTLS: TLSMay}, Transport{StartTLS: TLSRequired}
	for name, c := range map[string]struct {
		text string
		auth bool
		want Transport
	}{
		"nothing":                    {"", false, Transport{}},
		"smarthost":                  {"SMARTHOST a", false, Transport{}},
		"credentials":                {"SMARTHOST a", true, Transport{Verify: true}},
		"credentials, no smarthost":  {"", true, Transport{}},
		"port 465":                   {"SMARTHOST a:465", false, Transport{Implicit: true, Verify: true}},
		"port 465, credentials":      {"SMARTHOST a:465", true, Transport{Implicit: true, Verify: true}},
		"port 465, opportunistic":    {"SMARTHOST a:465\nOPPORTUNISTIC_TLS", false, Transport{Implicit: true, Verify: true}},
		"port 465, told otherwise":   {"SMARTHOST a:465\nSTARTTLS\nSECURETRANSFER", false, Transport{StartTLS: TLSRequired, Verify: true}},
		"port 587":                   {"SMARTHOST a:587", false, Transport{StartTLS: TLSRequired, Verify: true}},
		"port 587, opportunistic":    {"SMARTHOST a:587\nOPPORTUNISTIC_TLS", false, may},
		"port 587 without smarthost": {"PORT 587", false, Transport{}},
		"implicit":                   {"SECURETRANSFER", false, Transport{Implicit: true}},
		"implicit, opportunistic":    {"SECURETRANSFER\nOPPORTUNISTIC_TLS", false, Transport{Implicit: true}},
		"required":                   {"SECURETRANSFER\nSTARTTLS", false, required},
		"starttls alone":             {"STARTTLS", false, required},
		"may":                        {"SECURETRANSFER\nSTARTTLS\nOPPORTUNISTIC_TLS", false, may},
		"may alone":                  {"OPPORTUNISTIC_TLS", false, may},
		"verifycert":                 {"VERIFYCERT\nSTARTTLS", false, Transport{StartTLS: TLSRequired, Verify: true}},
		"insecure":                   {"INSECURE", false, Transport{Insecure: true}},
		"insecure and secure":        {"SECURE\nINSECURE", false, Transport{}},
	} {
		conf, _, err := Parse(strings.NewReader(c.text), "F")
		if got := conf.Transport(c.auth); err != nil || got != c.want {
			t.Errorf("%s: %+v, %v; want %+v", name, got, err, c.want)
		}
	}
}

func TestLoad(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "dma.conf")
	c, w, err := Load(path)
	if err != nil || len(w) != 0 || c.MaxAge != defaultMaxAge || c.Port != 25 || c.Hostname() == "" {
		t.Errorf("missing file: %+v, %v, %v", c, w, err)
	}
	mailname := filepath.Join(dir, "mailname")
	write(t, mailname, "mail.example\n")
	write(t, path, "X\nMAILNAME "+mailname+"\n")
	c, w, err = Load(path)
	if err != nil || len(w) != 1 || w[0].File != path || c.Hostname() != "mail.example" {
		t.Errorf("%+v, %v, %v", c, w, err)
	}
	if err := os.Remove(mailname); err != nil {
		t.Fatal(err)
	}
	if c.Hostname() != "mail.example" {
		t.Errorf("the name changed to %q", c.Hostname())
	}
	c, w, err = Load(path)
	if err != nil || len(w) != 2 || w[1].Line != 2 || !strings.Contains(w[1].Text, "MAILNAME: open ") || c.Hostname() == "" {
		t.Errorf("%+v, %v, %v", c, w, err)
	}
	if _, _, err := Load(dir); err == nil {
		t.Error("a directory was read")
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestReadError(t *testing.T) {
	boom := errors.New("boom")
	if c, _, err := Parse(iotest.ErrReader(boom), "F"); !errors.Is(err, boom) || c != nil {
		t.Errorf("%v, %v", c, err)
	}
	if _, _, err := Parse(strings.NewReader(strings.Repeat("#", maxFile+1)), "F"); err == nil {
		t.Error("a file over the limit was read")
	}
	_, w, err := Parse(strings.NewReader(strings.Repeat("X\n", 1000)), "F")
	if err != nil || len(w) != maxWarnings {
		t.Errorf("%d warnings, %v", len(w), err)
	}
}

func TestHostname(t *testing.T) {
	dir := t.TempDir()
	good, bad, missing := filepath.Join(dir, "good"), filepath.Join(dir, "bad"), filepath.Join(dir, "missing")
	write(t, good, " file.example \nsecond.example\n")
	write(t, bad, "not a name\n")
	for name, c := range map[string]struct {
		mailName, file, kernel, want string
		fails                        bool
	}{
		"mailname":                  {"m.example", good, "k.example", "m.example", false},
		"mailname file":             {good, missing, "k.example", "file.example", false},
		"mailname file missing":     {missing, missing, "k.example", "k.example", true},
		"mailname file bad":         {bad, missing, "k.example", "k.example", true},
		"kernel":                    {"", good, "k.example", "k.example", false},
		"kernel without dot":        {"", good, "k", "file.example", false},
		"kernel without dot alone":  {"", missing, "k", "k", false},
		"kernel without dot, bad":   {"", bad, "k", "k", false},
		"kernel has nothing":        {"", missing, "", "localhost", false},
		"kernel has something else": {"", missing, "a b", "localhost", false},
	} {
		got, err := hostname(c.mailName, c.file, func() (string, error) {
			if c.kernel == "" {
				return "", errors.New("no name")
			}
			return c.kernel, nil
		})
		if got != c.want || (err != nil) != c.fails {
			t.Errorf("%s: %q, %v; want %q", name, got, err, c.want)
		}
	}
}

func TestIsLocalDomain(t *testing.T) {
	c, _, err := Parse(strings.NewReader("MAILNAME Host.example"), "F")
	if err != nil {
		t.Fatal(err)
	}
	for domain, want := range map[string]bool{
		"": true, "localhost": true, "LOCALHOST.": true, "host.EXAMPLE": true, "host.example.": true,
		"example": false, "a.host.example": false, "host": false, "[127.0.0.1]": false,
	} {
		if got := c.IsLocalDomain(domain); got != want {
			t.Errorf("%q: %v, want %v", domain, got, want)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, c := range confs() {
		f.Add(c.text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		c, w, err := Parse(strings.NewReader(text), "F")
		if err != nil {
			t.Fatal(err)
		}
		if c.Port < 1 || c.Port > 65535 || c.MinRetry <= 0 || c.MaxRetry < c.MinRetry || c.MaxAge <= 0 || c.MinFree < 0 || c.MinFree > 99 || c.MaxSize < 0 {
			t.Fatalf("%+v", c)
		}
		if strings.ContainsAny(c.Smarthost+c.MailName+c.NullDomain+c.AuthPath+c.Aliases, "\x00\r\n\x1b#") || strings.ContainsAny(c.Smarthost, " []<>@/") {
			t.Fatalf("%+v", c)
		}
		for _, w := range w {
			if w.Line < 1 || w.Line > strings.Count(text, "\n")+1 {
				t.Fatalf("%+v", w)
			}
		}
	})
}
