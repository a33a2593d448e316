package conf

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func goodHosts() []string {
	return []string{
		"a.example", "a.example.", "a.example:587", "1.2.3.4", "1.2.3.4:26", "[1.2.3.4]:26", "[2001:db8::1]", "[2001:db8::1]:465", "2001:db8::1",
		"::ffff:1.2.3.4", "exämple.de:26", "a,b:26 [::1]:27,\t,d", "/run/lmtp", "a /run/lmtp",
	}
}

func badHosts() []string {
	return []string{"a:", "a:0", "a:x", "a:65536", "a:1:2", ":25", "[::1", "[::1]25", "[a.example]", "[]", "a/b", "a@b", strings.Repeat("a", 64), ",", "a b/c", strings.Repeat("a ", 21), "a:+1"}
}

func TestSmarthost(t *testing.T) {
	want := []string{
		"a.example:25", "a.example:25", "a.example:587", "1.2.3.4:25", "1.2.3.4:26", "1.2.3.4:26", "[2001:db8::1]:25", "[2001:db8::1]:465", "[2001:db8::1]:25",
		"[::ffff:1.2.3.4]:25", "exämple.de:26", "a:25 b:26 [::1]:27 d:25", "/run/lmtp", "a:25 /run/lmtp",
	}
	for i, value := range goodHosts() {
		c, w, err := Parse(strings.NewReader("SMARTHOST "+value), "F")
		if got := names(c.Smarthosts); err != nil || got != want[i] || len(w) != 0 {
			t.Errorf("%q: %q, %v, %v; want %q", value, got, w, err, want[i])
		}
	}
	for _, value := range badHosts() {
		c, w, err := Parse(strings.NewReader("SMARTHOST "+value), "F")
		if err != nil || c.Smarthosts != nil || len(w) != 1 || c.Broken() == nil || !strings.Contains(w[0].Text, "write") && !strings.Contains(w[0].Text, "more than 20") {
			t.Errorf("%q: %v, %v, %v; want a warning", value, c.Smarthosts, w, err)
		}
	}
}

func names(hosts []Host) string {
	var all []string
	for _, h := range hosts {
		all = append(all, h.String())
	}
	return strings.Join(all, " ")
}

func TestLMTP(t *testing.T) {
	for name, c := range map[string]struct {
		text, want string
		lmtp       bool
		warn       string
	}{
		"no":                 {"SMARTHOST a", "a:25", false, ""},
		"flag, as in dma":    {"SMARTHOST a\nLMTP", "a:24", true, ""},
		"flag with port":     {"SMARTHOST a\nLMTP\nPORT 2400", "a:2400", true, ""},
		"host":               {"LMTP a", "a:24", true, ""},
		"host and port":      {"LMTP a:2400", "a:2400", true, ""},
		"socket":             {"LMTP /run/lmtp", "/run/lmtp", true, ""},
		"socket as relay":    {"SMARTHOST /run/lmtp", "/run/lmtp", true, ""},
		"instead of a relay": {"SMARTHOST a\nLMTP b", "b:24", true, "F:2: LMTP: names where mail goes, so SMARTHOST has no effect"},
		"yes":                {"SMARTHOST a\nLMTP yes", "a:24", true, ""},
		"off":                {"SMARTHOST a\nLMTP off", "a:25", false, ""},
		"off again":          {"LMTP b\nSMARTHOST a\nLMTP off", "a:25", false, "F:3: LMTP stands in line 1 too"},
	} {
		got, w, err := Parse(strings.NewReader(c.text), "F")
		if err != nil || names(got.Smarthosts) != c.want || got.Smarthosts[0].LMTP != c.lmtp {
			t.Errorf("%s: %+v, %v", name, got.Smarthosts, err)
		}
		if len(w) > 1 || len(w) == 1 && (c.warn == "" || !strings.HasPrefix(w[0].String(), c.warn)) || len(w) == 0 && c.warn != "" {
			t.Errorf("%s: %v, want %q", name, w, c.warn)
		}
	}
}

const senderMap = `SMARTHOST relay.example, backup.example
MAILNAME host.example
PORT 587
SENDERMAP boss@one.example  smtp.boss.example:465 boss-account
SENDERMAP @One.example.     smtp.one.example,backup.one.example:25
SENDERMAP cron@             smtp.cron.example cron
SENDERMAP "a.b"@two.example	[2001:db8::1]:25
`

func TestRouteFor(t *testing.T) {
	c, w, err := Parse(strings.NewReader(senderMap), "F")
	if err != nil || len(w) != 0 {
		t.Fatal(w, err)
	}
	for sender, want := range map[string]string{
		"boss@one.example":   "boss@one.example smtp.boss.example:465 boss-account",
		"Boss@ONE.example.":  "boss@one.example smtp.boss.example:465 boss-account",
		"other@one.example":  "@one.example smtp.one.example:587 backup.one.example:25 ",
		"cron@one.example":   "@one.example smtp.one.example:587 backup.one.example:25 ",
		"cron@two.example":   "cron@ smtp.cron.example:587 cron",
		"cron":               "cron@ smtp.cron.example:587 cron",
		`"a.b"@two.example`:  `"a.b"@two.example [2001:db8::1]:25 `,
		"a@sub.one.example":  " relay.example:587 backup.example:587 ",
		"someone@else.where": " relay.example:587 backup.example:587 ",
		"login":              " relay.example:587 backup.example:587 ",
		"":                   " relay.example:587 backup.example:587 ",
	} {
		r, ok := c.RouteFor(sender)
		if got := r.Name + " " + names(r.Hosts) + " " + r.User; !ok || got != want {
			t.Errorf("%q: %q, want %q", sender, got, want)
		}
	}
	if len(c.Routes()) != 5 {
		t.Errorf("routes %v", c.Routes())
	}
	c, _, err = Parse(strings.NewReader("MAILNAME one.example\nSENDERMAP @one.example a\n"), "F")
	if r, ok := c.RouteFor("login"); err != nil || !ok || r.Name != "@one.example" {
		t.Errorf("login at this host: %v, %v, %v", r, ok, err)
	}
	if r, ok := c.RouteFor("u@two.example"); ok || r.Hosts != nil {
		t.Errorf("without a smarthost: %v, %v", r, ok)
	}
}

func TestBadSenderMap(t *testing.T) {
	for value, want := range map[string]string{
		"@x":                                     "write SENDERMAP pattern host[,host...] [user]",
		"@x a b c":                               "write SENDERMAP pattern host[,host...] [user]",
		"x a":                                    `"x" is no pattern; write user@domain, @domain or user@`,
		"@ a":                                    "is no pattern",
		"@[1.2.3.4] a":                           "is no pattern",
		"a..@x@y a":                              "is no pattern",
		"<>@x a":                                 "is no pattern",
		"@x a:0":                                 "no port number behind the colon; write",
		"@x ,":                                   "not a host; write",
		"@x " + strings.Repeat("a,", maxHosts+1): "more than 20 servers",
	} {
		c, w, err := Parse(strings.NewReader("SENDERMAP "+value), "F")
		if err != nil || len(w) != 1 || !strings.Contains(w[0].Text, want) || len(c.SenderMap) != 0 {
			t.Errorf("%q: %v, %v, %v", value, c.SenderMap, w, err)
		}
	}
	_, w, err := Parse(strings.NewReader("SENDERMAP @X.example a\nSENDERMAP @x.example b"), "F")
	if err != nil || len(w) != 1 || !strings.HasPrefix(w[0].String(), "F:2: SENDERMAP @x.example stands in an earlier line, which counts") {
		t.Errorf("%v, %v", w, err)
	}
	c, w, err := Parse(strings.NewReader(strings.Repeat("SENDERMAP a@x a\n", maxSenderRoutes+1)), "F")
	if err != nil || len(c.SenderMap) != maxSenderRoutes || c.Broken() == nil || len(w) == 0 {
		t.Errorf("%d lines, %v", len(c.SenderMap), err)
	}
}

func TestTransport(t *testing.T) {
	may, required := Transport{StartTLS: TLSMay}, Transport{StartTLS: TLSRequired}
	verified := Transport{StartTLS: TLSRequired, Verify: true}
	print := strings.Repeat("ab", 32)
	for name, c := range map[string]struct {
		text, host string // host: empty for an MX host
		auth       bool
		want       Transport
	}{
		"nothing":                   {"", "", false, Transport{}},
		"smarthost":                 {"", "a", false, Transport{}},
		"credentials":               {"", "a", true, Transport{Verify: true}},
		"port 465":                  {"", "a:465", false, Transport{Implicit: true, Verify: true}},
		"port 465, credentials":     {"", "a:465", true, Transport{Implicit: true, Verify: true}},
		"port 465, opportunistic":   {"OPPORTUNISTIC_TLS", "a:465", false, Transport{Implicit: true, Verify: true}},
		"port 465, told otherwise":  {"STARTTLS\nSECURETRANSFER", "a:465", false, verified},
		"port 587":                  {"", "a:587", false, verified},
		"port 587, opportunistic":   {"OPPORTUNISTIC_TLS", "a:587", false, may},
		"MX":                        {"SMARTHOST a:587", "", false, Transport{}},
		"implicit":                  {"SECURETRANSFER", "", false, Transport{Implicit: true}},
		"implicit, opportunistic":   {"SECURETRANSFER\nOPPORTUNISTIC_TLS", "", false, Transport{Implicit: true}},
		"required":                  {"SECURETRANSFER\nSTARTTLS", "", false, required},
		"starttls alone":            {"STARTTLS", "", false, required},
		"may":                       {"SECURETRANSFER\nSTARTTLS\nOPPORTUNISTIC_TLS", "", false, may},
		"may alone":                 {"OPPORTUNISTIC_TLS", "", false, may},
		"verifycert":                {"VERIFYCERT\nSTARTTLS", "", false, verified},
		"insecure":                  {"INSECURE", "", false, Transport{Insecure: true}},
		"insecure and secure":       {"SECURE\nINSECURE", "", false, Transport{}},
		"socket":                    {"STARTTLS\nVERIFYCERT", "/run/x", true, Transport{Insecure: true}},
		"fingerprint":               {"FINGERPRINT " + print, "a", true, Transport{StartTLS: TLSRequired, Fingerprint: print}},
		"fingerprint, may":          {"OPPORTUNISTIC_TLS\nFINGERPRINT " + print, "a", false, Transport{StartTLS: TLSRequired, Fingerprint: print}},
		"fingerprint, implicit":     {"FINGERPRINT " + print, "a:465", false, Transport{Implicit: true, Fingerprint: print}},
		"fingerprint, verifycert":   {"VERIFYCERT\nFINGERPRINT " + print, "a:587", false, Transport{StartTLS: TLSRequired, Verify: true, Fingerprint: print}},
		"fingerprint of no MX host": {"FINGERPRINT " + print, "", false, Transport{}},
	} {
		conf, _, err := Parse(strings.NewReader(c.text), "F")
		var h Host
		if c.host != "" && err == nil {
			h, err = parseHost(c.host)
		}
		if diff := cmp.Diff(c.want, conf.Transport(h, c.auth)); err != nil || diff != "" {
			t.Errorf("%s: %v %s", name, err, diff)
		}
	}
}
