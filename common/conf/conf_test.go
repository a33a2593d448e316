package conf

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"dma/common/site"
)

type confCase struct {
	name, text string
	want       func(*Config) // changes the defaults to what is expected
	warn       []string      // "line: part of the text"
}

func confs() []confCase {
	const noHost = "there is no SMARTHOST"
	fingerprint := strings.Repeat("ab", 32)
	return []confCase{
		{name: "empty"},
		{name: "comments", text: "# SMARTHOST a\n  # x\n\t\n#\n"},
		{
			name: "everything of dma", text: "SMARTHOST mx.example\nPORT 2525\nALIASES /a\nAUTHPATH /b\nCERTFILE /c\nMAILNAME h.example\nMASQUERADE u@h\nDEFER\nFULLBOUNCE\nNULLCLIENT\nVERIFYCERT\nINSECURE\nSECURE\nSECURETRANSFER\nSTARTTLS\nOPPORTUNISTIC_TLS\nLMTP\nVIRTUAL\nVIRTPATH /v\nSPOOLDIR " + site.Spool + "\nFINGERPRINT " + strings.Repeat("AB:", 31) + "ab\n",
			want: func(c *Config) {
				*c = Config{
					Smarthosts: []Host{{"mx.example", 2525, true}}, LMTP: true, Aliases: "/a", AuthPath: "/b", CertFile: "/c", MailName: "h.example", Masquerade: "u@h",
					StartTLS: true, OpportunisticTLS: true, SecureTransfer: true, VerifyCert: true, Insecure: true, Secure: true, Fingerprint: fingerprint,
					Defer: true, FullBounce: true, NullClient: true, Virtual: true, VirtPath: "/v",
					Mailbox: c.Mailbox, Forward: c.Forward, Log: c.Log, MaxAge: c.MaxAge, MinRetry: c.MinRetry, MaxRetry: c.MaxRetry, MinFree: c.MinFree,
				}
			},
		},
		{
			name: "everything new", text: "LOCALDOMAINS A.example, b.example.  c.example\nDELIVERY remote\nMAXAGE 2d\nMINRETRY 90s\nMAXRETRY 1w\nDELAYWARN 4h\nMAXSIZE 10M\nMINFREE 5%\nSENDERMAP @x.example relay.x.example\nMAILBOX ~/Maildir/\nMDA /bin/mda -d %u\nFORWARD .qmail\nLOG stderr\nREWRITEFROM\nANYSHELL\nALIASCOMMANDS\nCAFILE /ca\n",
			want: func(c *Config) {
				c.LocalDomains, c.Delivery = []string{"a.example", "b.example", "c.example"}, DeliverRemote
				c.MaxAge, c.MinRetry, c.MaxRetry, c.DelayWarn, c.MaxSize, c.MinFree = 48*time.Hour, 90*time.Second, 7*24*time.Hour, 4*time.Hour, 10<<20, 5
				c.SenderMap = []SenderRoute{{"@x.example", Route{Name: "@x.example", Hosts: []Host{{"relay.x.example", 25, false}}}}}
				c.Mailbox, c.MDA, c.Forward, c.Log, c.RewriteFrom, c.AnyShell, c.AliasCommands, c.CAFile = "~/Maildir/", []string{"/bin/mda", "-d", "%u"}, ".qmail", "stderr", true, true, true, "/ca"
			},
		},
		{name: "layout", text: "  SMARTHOST\t  a.b \t# c\r\n\tDEFER#x\nMAXAGE 1h # y # z", want: func(c *Config) { c.Smarthosts, c.Defer, c.MaxAge = hosts("a.b", 25), true, time.Hour }},
		{name: "nullclient with domain", text: "SMARTHOST a\nNULLCLIENT d.example", want: func(c *Config) { c.Smarthosts, c.NullClient, c.NullDomain = hosts("a", 25), true, "d.example" }},
		{name: "switched off", text: "NULLCLIENT no\nLMTP no\nDELAYWARN never\nFORWARD off", want: func(c *Config) { c.Forward = "" }},
		{name: "in any order", text: "PORT 26\nSMARTHOST a", want: func(c *Config) { c.Smarthosts = hosts("a", 26) }},
		{name: "mailname file", text: "MAILNAME /etc/mailname", want: func(c *Config) { c.MailName = "/etc/mailname" }},
		{name: "masquerade", text: "MASQUERADE u@\n", want: func(c *Config) { c.Masquerade = "u@" }},
		{name: "log file", text: "LOG /var/log/dma", want: func(c *Config) { c.Log = "/var/log/dma" }},
		{name: "another spool", text: "SPOOLDIR /elsewhere/", warn: []string{`1: SPOOLDIR "/elsewhere/": the spool of this dma is ` + site.Spool + ", fixed when it was built; remove the line"}},

		{name: "unknown", text: "X\nSMARTHOST a\nFROBNICATE y", want: func(c *Config) { c.Smarthosts = hosts("a", 25) }, warn: []string{`1: unknown key "X", see dma.conf(5)`, `3: unknown key "FROBNICATE"`}},
		{name: "near", text: "SMARTHOSTS a\nsmarthost b\nSMRTHST c\nMAXRETY 1h\nDEFFERR\nSMARTHOST=a", warn: []string{
			`1: unknown key "SMARTHOSTS"; did you mean SMARTHOST?`, `2: unknown key "smarthost"; did you mean SMARTHOST?`,
			"3: unknown key \"SMRTHST\"; did you mean SMARTHOST?", "4: unknown key \"MAXRETY\"; did you mean MAXRETRY?", "5: unknown key \"DEFFERR\"; did you mean DEFER?",
			`6: "SMARTHOST=": write a blank behind SMARTHOST, not =`,
		}},
		{name: "twice", text: "MAXAGE 1h\nMAXAGE 2h", want: func(c *Config) { c.MaxAge = 2 * time.Hour }, warn: []string{"2: MAXAGE stands in line 1 too; this one counts"}},
		{name: "flag with value", text: "DEFER yes\nFULLBOUNCE no\nINSECURE maybe", want: func(c *Config) { c.Defer = true }, warn: []string{
			"1: DEFER takes no value; write DEFER alone", "2: FULLBOUNCE takes no value", "3: INSECURE takes no value; write INSECURE alone, or a # before it; the line is ignored",
		}},
		{name: "no value", text: "ALIASES\nMAXAGE # 1h", warn: []string{"1: ALIASES needs a value; write one behind it, or a # before it; the line is ignored", "2: MAXAGE needs"}},
		{name: "equals sign", text: "MAXAGE = 1h", warn: []string{`1: MAXAGE "= 1h": not a number with a unit; write 90s, 5m, 3h, 5d or 1w; leave the = out; the line is ignored`}},
		{
			name: "bad values", text: "MAXAGE 5\nMAXAGE d\nMAXAGE 0d\nMAXAGE 367d\nMAXAGE 99999999w\nMINFREE 100\nMINFREE x\nMAXSIZE x\nMAXSIZE 1KK\nMAXSIZE -1\nMAILNAME a_b c\nALIASES x\nMASQUERADE @\nMASQUERADE a b@c\nMASQUERADE a@b c\nDELAYWARN 1\nLOG x\nFORWARD a/b\nFORWARD ..\nLOCALDOMAINS a@b\nVIRTPATH v",
			warn: []string{
				"1: MAXAGE \"5\": not a number with a unit; write 90s", "2: MAXAGE", "3: MAXAGE \"0d\": out of range; write", "4: MAXAGE \"367d\": out of range", "5: MAXAGE",
				"6: MINFREE", "7: MINFREE", "8: MAXSIZE \"x\": not a size; write", "9: MAXSIZE", "10: MAXSIZE", "11: MAILNAME", "12: ALIASES \"x\": not an absolute path; write",
				"13: MASQUERADE \"@\": not a sender; write", "14: MASQUERADE", "15: MASQUERADE", "16: DELAYWARN \"1\": not a number with a unit; write 90s, 5m, 3h, 5d or 1w, or off", "17: LOG", "18: FORWARD", "19: FORWARD",
				`20: LOCALDOMAINS: "a@b" is no domain and left out`, "21: VIRTPATH",
			},
		},
		{name: "one bad domain", text: "LOCALDOMAINS a.example b..c d.example", want: func(c *Config) { c.LocalDomains = []string{"a.example", "d.example"} }, warn: []string{`1: LOCALDOMAINS: "b..c" is no domain`}},
		{name: "control character", text: "MASQUERADE a\x1bb", warn: []string{"1: MASQUERADE: value contains a control character; the line is ignored"}},
		{name: "no smarthost", text: "PORT 26\nAUTHPATH /a\nNULLCLIENT\nCERTFILE /c\nFINGERPRINT " + fingerprint + "\nLMTP", want: func(c *Config) {
			c.AuthPath, c.NullClient, c.CertFile, c.Fingerprint, c.LMTP = "/a", true, "/c", fingerprint, true
		}, warn: []string{"1: PORT: " + noHost, "2: AUTHPATH: " + noHost, "4: CERTFILE: " + noHost, "5: FINGERPRINT: " + noHost, "6: LMTP: " + noHost, "3: NULLCLIENT: " + noHost}},
		{name: "two ports", text: "SMARTHOST a:587\n\nPORT 465", want: func(c *Config) { c.Smarthosts = hosts("a", 587) }, warn: []string{"3: PORT: every server is named with a port of its own"}},
		{name: "retries", text: "MINRETRY 4h", want: func(c *Config) { c.MinRetry, c.MaxRetry = 4*time.Hour, 4*time.Hour }, warn: []string{"1: MINRETRY: longer than MAXRETRY"}},
		{name: "late warning", text: "DELAYWARN 5d", want: func(c *Config) { c.DelayWarn = 120 * time.Hour }, warn: []string{"1: DELAYWARN: not shorter than MAXAGE"}},
		{name: "implicit at 587", text: "SMARTHOST a:587\nSECURETRANSFER", want: func(c *Config) { c.Smarthosts, c.SecureTransfer = hosts("a", 587), true }, warn: []string{"2: SECURETRANSFER: without STARTTLS"}},
		{name: "starttls alone", text: "STARTTLS", want: func(c *Config) { c.StartTLS = true }, warn: []string{"1: STARTTLS: without SECURETRANSFER"}},
		{name: "virtpath alone", text: "VIRTPATH /v", want: func(c *Config) { c.VirtPath = "/v" }, warn: []string{"1: VIRTPATH: has no effect without VIRTUAL"}},
		{name: "nothing goes anywhere", text: "SMARTHOST a\nNULLCLIENT\nDELIVERY Local", want: func(c *Config) { c.Smarthosts, c.NullClient, c.Delivery = hosts("a", 25), true, DeliverLocal }, warn: []string{"2: NULLCLIENT: with DELIVERY local"}},
	}
}

func hosts(name string, port int) []Host { return []Host{{name, port, false}} }

func TestParse(t *testing.T) {
	for _, c := range confs() {
		t.Run(c.name, func(t *testing.T) {
			want := defaults()
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

// Every key of the table changes something, is documented, and is there once.
func TestKeys(t *testing.T) {
	values := map[string]string{
		"PORT": "26", "MINFREE": "7", "MAXSIZE": "1K", "SMARTHOST": "h", "MAILNAME": "h", "FINGERPRINT": strings.Repeat("a", 64), "NULLCLIENT": "d", "MASQUERADE": "u@", "LMTP": "h",
		"LOCALDOMAINS": "d", "DELIVERY": "local", "SENDERMAP": "@a b", "MAILBOX": "/x", "MDA": "/x", "FORWARD": "off", "LOG": "stderr", "DELAYWARN": "1h", "MAXAGE": "2h", "MINRETRY": "2h", "MAXRETRY": "2h",
	}
	template, err := os.ReadFile("../../scripts/etc/dma.conf")
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, k := range keys() {
		if !strings.Contains(string(template), "\n#"+k.name) {
			t.Errorf("%s is not in the template, nor then in dma.conf(5)", k.name)
		}
		value, ok := values[k.name]
		if !ok && k.kind != flag {
			value = "/x"
		}
		const rest = "SENDERMAP @other.example other.example\n" // for PORT to have an effect
		got, w, err := Parse(strings.NewReader(rest+k.name+" "+value), "F")
		base, _, _ := Parse(strings.NewReader(rest), "F")
		if err != nil || k.name != "SPOOLDIR" && cmp.Equal(base, got, cmpopts.IgnoreUnexported(Config{})) {
			t.Errorf("%s changes nothing: %v, %v", k.name, w, err)
		}
		if seen[k.name] {
			t.Errorf("%s is there twice", k.name)
		}
		seen[k.name] = true
	}
}

// A line that decides where mail goes or how safely has mail wait while it is wrong.
func TestBroken(t *testing.T) {
	for _, tt := range []struct {
		line, want    string // want: of the error; empty: mail does not wait
		mailboxesWait bool
	}{
		{"SMARTHOST a b@c", `F:2: SMARTHOST "a b@c": "b@c": not a host; write name`, false},
		{"SMARTHOST", "F:2: SMARTHOST needs a value", false},
		{"PORT 0", `F:2: PORT "0": not a port; write`, false},
		{"PORT 25%", `F:2: PORT "25%"`, false},
		{"AUTHPATH x", `F:2: AUTHPATH "x": not an absolute path`, false},
		{"CERTFILE x", "F:2: CERTFILE", false},
		{"CAFILE x", "F:2: CAFILE", false},
		{"STARTTLS maybe", "F:2: STARTTLS takes no value", false},
		{"SECURETRANSFER maybe", "F:2: SECURETRANSFER", false},
		{"VERIFYCERT maybe", "F:2: VERIFYCERT", false},
		{"FINGERPRINT abc", `F:2: FINGERPRINT "abc": not a SHA-256`, false},
		{"NULLCLIENT a b", "F:2: NULLCLIENT", false},
		{"LMTP a b@c", "F:2: LMTP", false},
		{"DELIVERY x", `F:2: DELIVERY "x": write both, local or remote`, false},
		{"SENDERMAP @x", `F:2: SENDERMAP "@x": write SENDERMAP pattern host`, false},
		{"SMARTHOST a\x1bb", "F:2: SMARTHOST: value contains a control character", false},
		{"MAILBOX x", "", true},
		{"MDA x", "", true},
		{"SMARTHOSTS x", "", false},
		{"ALIASES x", "", false},
		{"MAXAGE x", "", false},
		{"STARTTLS yes", "", false},
	} {
		c, w, err := Parse(strings.NewReader("\n"+tt.line+"\nMAILBOX /good\n"), "F")
		if err != nil || len(w) == 0 {
			t.Fatalf("%s: %v, %v", tt.line, w, err)
		}
		switch broken := c.Broken(); {
		case tt.want == "" && broken != nil, tt.want != "" && (broken == nil || !strings.HasPrefix(broken.Error(), tt.want)):
			t.Errorf("%s: %v, want %s", tt.line, broken, tt.want)
		case tt.want != "" && !strings.Contains(w[0].Text, "mail for other hosts waits"), w[0].Waits != (tt.want != "" || tt.mailboxesWait):
			t.Errorf("%s: %v", tt.line, w)
		}
		if _, _, err := c.MailboxOf("u", "/home/u"); (err != nil) != tt.mailboxesWait {
			t.Errorf("%s: mailbox: %v", tt.line, err)
		}
	}
}

func TestLoad(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "dma.conf")
	c, w, err := Load(path)
	if err != nil || len(w) != 0 || c.MaxAge != defaultMaxAge || c.Hostname() == "" {
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
	c, _, err := Parse(strings.NewReader("MAILNAME Host.example\nLOCALDOMAINS one.example Two.example."), "F")
	if err != nil {
		t.Fatal(err)
	}
	for domain, want := range map[string]bool{
		"": true, "localhost": true, "LOCALHOST.": true, "host.EXAMPLE": true, "host.example.": true, "ONE.example.": true, "two.example": true,
		"example": false, "a.host.example": false, "host": false, "[127.0.0.1]": false, "a.one.example": false, "one": false,
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
	for _, value := range slices.Concat(goodHosts(), badHosts()) {
		f.Add("SMARTHOST " + value + "\nLMTP " + value + "\nSENDERMAP a@b " + value)
	}
	for _, c := range mailboxes() {
		f.Add("MAILBOX " + c.value + "\nMDA " + c.value)
	}
	f.Fuzz(func(t *testing.T, text string) {
		c, w, err := Parse(strings.NewReader(text), "F")
		if err != nil {
			t.Fatal(err)
		}
		if c.MinRetry <= 0 || c.MaxRetry < c.MinRetry || c.MaxAge <= 0 || c.MinFree < 0 || c.MinFree > 99 || c.MaxSize < 0 || c.DelayWarn < 0 {
			t.Fatalf("%+v", c)
		}
		words := []string{c.MailName, c.NullDomain, c.AuthPath, c.Aliases, c.Mailbox, c.Forward, c.Log, c.Masquerade}
		for _, r := range c.Routes() {
			words = append(words, r.Name, r.User)
			for _, h := range r.Hosts {
				words = append(words, h.Name)
				if h.Socket() != (h.Port == 0) || h.Port < 0 || h.Port > 65535 || !h.Socket() && (h.Name == "" || strings.ContainsAny(h.Name, " []<>@/,")) {
					t.Fatalf("%+v", h)
				}
			}
			if len(r.Hosts) == 0 {
				t.Fatalf("%+v", r)
			}
		}
		if s := strings.Join(slices.Concat(words, c.MDA, c.LocalDomains), ""); strings.ContainsAny(s, "\x00\r\n\x1b#") {
			t.Fatalf("%q", s)
		}
		if c.Mailbox == "" || strings.Contains(c.Forward, "/") || len(c.MDA) > 0 && c.MDA[0][0] != '/' {
			t.Fatalf("%+v", c)
		}
		for _, w := range w {
			if w.Line < 1 || w.Line > strings.Count(text, "\n")+1 {
				t.Fatalf("%+v", w)
			}
		}
	})
}

// BenchmarkParse is what each submission pays for a dma.conf with every key in it.
func BenchmarkParse(b *testing.B) {
	template, err := os.ReadFile("../../scripts/etc/dma.conf")
	if err != nil {
		b.Fatal(err)
	}
	var full string
	for line := range strings.Lines(string(template)) {
		if len(line) > 2 && line[0] == '#' && line[1] >= 'A' && line[1] <= 'Z' { // as packagers do it
			line = line[1:]
		}
		full += line
	}
	for b.Loop() {
		if _, _, err := Parse(strings.NewReader(full), "F"); err != nil {
			b.Fatal(err)
		}
	}
}
