package bounce

import (
	"bytes"
	"errors"
	"io"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net/mail"
	"net/textproto"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/google/go-cmp/cmp"
)

func report() Report {
	zone := time.FixedZone("", 3600)
	return Report{
		ID:         "0644d2a1b2c3d.fedcba987654",
		OriginalID: "0644d1f7a1b2c.0123456789ab",
		Host:       "example.org",
		SysHost:    "host.example.org",
		Version:    "0.1",
		Sender:     "carol@example.org",
		Arrived:    time.Date(2026, 11, 3, 8, 5, 6, 0, zone),
		Now:        time.Date(2026, 11, 8, 8, 5, 6, 0, zone),
		Recipients: []Recipient{{
			Original: "x@remote.example",
			Status:   "5.1.1",
			Text:     "mx.remote.example [192.0.2.1] did not like our RCPT TO: 550 5.1.1 no such user: x",
			Remote:   "mx.remote.example [192.0.2.1]",
		}, {
			Original:    "alice",
			Final:       "far@remote.example",
			Status:      "4.4.2",
			Text:        "mx.remote.example [192.0.2.1] failed after DATA: connection closed",
			Remote:      "mx.remote.example [192.0.2.1]",
			GaveUpAfter: 5 * 24 * time.Hour,
		}, {
			Original: "nobody-here@example.org",
			Status:   "5.1.1",
			Text:     "unknown user",
		}},
		Message: strings.NewReader("Received: from carol\nSubject: hello\n\nbody\n\n"),
	}
}

func compose(t testing.TB, b Report) string {
	t.Helper()
	var out bytes.Buffer
	if err := Compose(&out, b); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func TestGolden(t *testing.T) {
	want, err := os.ReadFile("testdata/bounce.golden")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), compose(t, report())); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// parsed is a bounce as a mail program sees it.
type parsed struct {
	header   mail.Header
	text     string
	status   []textproto.MIMEHeader // of the message, then of each recipient
	kind     string                 // of the third part
	encoding string
	original string
}

func parse(t testing.TB, bounce string) parsed {
	t.Helper()
	for line := range strings.Lines(bounce) {
		if len(line) > maxLine+1 {
			t.Fatalf("line of %d bytes", len(line)-1)
		}
	}
	msg, err := mail.ReadMessage(strings.NewReader(bounce))
	if err != nil {
		t.Fatal(err)
	}
	kind, params, err := mime.ParseMediaType(msg.Header.Get("Content-Type"))
	if err != nil || kind != "multipart/report" || params["report-type"] != "delivery-status" {
		t.Fatalf("%s, %v, %v", kind, params, err)
	}
	p := parsed{header: msg.Header}
	r := multipart.NewReader(msg.Body, params["boundary"])
	var kinds []string
	for {
		part, err := r.NextRawPart()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		encoding := part.Header.Get("Content-Transfer-Encoding")
		var src io.Reader = part
		if encoding == "quoted-printable" {
			src = quotedprintable.NewReader(part)
		}
		body, err := io.ReadAll(src)
		if err != nil {
			t.Fatal(err)
		}
		kind, _, _ := strings.Cut(part.Header.Get("Content-Type"), ";")
		switch len(kinds) {
		case 0:
			p.text = string(body)
		case 1:
			p.status = statusFields(t, string(body))
		case 2:
			p.kind, p.encoding, p.original = kind, encoding, string(body)
		}
		if kinds = append(kinds, kind); encoding == "" && has8Bit(body) {
			t.Fatalf("%s has 8-bit bytes", kind)
		}
	}
	if len(kinds) != 3 || kinds[0] != "text/plain" || kinds[1] != "message/delivery-status" ||
		kinds[2] != "message/rfc822" && kinds[2] != "text/rfc822-headers" {
		t.Fatalf("parts %q", kinds)
	}
	return p
}

func statusFields(t testing.TB, s string) []textproto.MIMEHeader {
	t.Helper()
	var groups []textproto.MIMEHeader
	for g := range strings.SplitSeq(strings.TrimSuffix(s, "\n"), "\n\n") {
		m, err := mail.ReadMessage(strings.NewReader(g + "\n\n"))
		if err != nil {
			t.Fatalf("%v in %q", err, g)
		}
		groups = append(groups, textproto.MIMEHeader(m.Header))
	}
	return groups
}

func TestReport(t *testing.T) {
	p := parse(t, compose(t, report()))
	for name, want := range map[string]string{
		"From": "MAILER-DAEMON@example.org", "To": "carol@example.org", "Subject": "Mail delivery failed",
		"Auto-Submitted": "auto-replied", "Message-ID": "<0644d2a1b2c3d.fedcba987654@example.org>",
	} {
		if got := p.header.Get(name); got != want {
			t.Errorf("%s: %s", name, got)
		}
	}
	want := []map[string]string{
		{"Reporting-Mta": "dns; example.org", "X-Dma-Queue-Id": "0644d1f7a1b2c.0123456789ab", "Arrival-Date": "Tue, 03 Nov 2026 08:05:06 +0100"},
		{
			"Original-Recipient": "rfc822; x@remote.example", "Final-Recipient": "rfc822; x@remote.example", "Action": "failed", "Status": "5.1.1",
			"Remote-Mta": "dns; mx.remote.example", "Diagnostic-Code": "smtp; 550 5.1.1 no such user: x", "Last-Attempt-Date": "Sun, 08 Nov 2026 08:05:06 +0100",
		},
		{
			"Original-Recipient": "rfc822; alice@example.org", "Final-Recipient": "rfc822; far@remote.example", "Action": "failed", "Status": "4.4.2",
			"Remote-Mta": "dns; mx.remote.example", "Last-Attempt-Date": "Sun, 08 Nov 2026 08:05:06 +0100",
		},
		{
			"Original-Recipient": "rfc822; nobody-here@example.org", "Final-Recipient": "rfc822; nobody-here@example.org", "Action": "failed",
			"Status": "5.1.1", "Last-Attempt-Date": "Sun, 08 Nov 2026 08:05:06 +0100",
		},
	}
	var got []map[string]string
	for _, group := range p.status {
		flat := map[string]string{}
		for name := range group {
			flat[name] = group.Get(name)
		}
		got = append(got, flat)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestOriginal(t *testing.T) {
	head := "From: a@b\nSubject: x\n"
	long := strings.Repeat("x", 998)
	tests := []struct {
		name, msg                string
		full                     bool
		kind, encoding, original string
	}{
		{"header", head + "\nbody\n\nmore\n", false, "text/rfc822-headers", "", head},
		{"all", head + "\nbody\n\nmore\n", true, "message/rfc822", "", head + "\nbody\n\nmore\n"},
		{"no newline", head + "\nbody", true, "message/rfc822", "", head + "\nbody"},
		{"no body", head, false, "text/rfc822-headers", "", head},
		{"no header", "\nbody\n", false, "text/rfc822-headers", "", ""},
		{"8-bit body is left out", head + "\nb\xffdy\n", false, "text/rfc822-headers", "", head},
		{"8-bit", head + "\nb\xffdy\n", true, "message/rfc822", "8bit", head + "\nb\xffdy\n"},
		{"8-bit header", "X: \xff \n" + head + "\n", false, "text/rfc822-headers", "quoted-printable", "X: \xff \n" + head},
		{"NUL, CR and = in header", "X: \x00\r=\t\n" + head + "\n", false, "text/rfc822-headers", "quoted-printable", "X: \x00\r=\t\n" + head},
		{"longest line", head + "\n" + long + "\n", true, "message/rfc822", "", head + "\n" + long + "\n"},
		{"line too long", head + "\n" + long + "x\n", true, "text/rfc822-headers", "", head},
		{"line too long in the header", "X: " + long + "\n\n", true, "text/rfc822-headers", "quoted-printable", "X: " + long + "\n"},
		{"NUL in the body", head + "\n\x00\n", true, "text/rfc822-headers", "", head},
		{"CR in the body", head + "\n\r\n", true, "text/rfc822-headers", "", head},
		{"as long as can be", head + "\n" + strings.Repeat("0123456\n", MaxOriginal/8-3) + "0", true, "message/rfc822", "", head + "\n" + strings.Repeat("0123456\n", MaxOriginal/8-3) + "0"},
		{"too long", head + "\n" + strings.Repeat("0123456\n", MaxOriginal/8), true, "text/rfc822-headers", "", head},
		{"header too long", strings.Repeat("X: 3456\n", maxHeader/8+1), false, "text/rfc822-headers", "", strings.Repeat("X: 3456\n", maxHeader/8)},
		{"header of one line too long", strings.Repeat("x", maxHeader+1), false, "text/rfc822-headers", "", ""},
		{"boundary forged", head + "\n--=_0644d2a1b2c3d.fedcba987654_0\n\n--=_0644d2a1b2c3d.fedcba987654_1--\n", true, "message/rfc822", "", head + "\n--=_0644d2a1b2c3d.fedcba987654_0\n\n--=_0644d2a1b2c3d.fedcba987654_1--\n"},
	}
	for _, c := range tests {
		t.Run(c.name, func(t *testing.T) {
			b := report()
			b.Message, b.Full = strings.NewReader(c.msg), c.full
			p := parse(t, compose(t, b))
			if p.kind != c.kind || p.encoding != c.encoding || p.original != c.original {
				t.Errorf("%s, %q, %.200q", p.kind, p.encoding, p.original)
			}
			want := "Message headers follow.\n"
			if c.kind == "message/rfc822" {
				want = "Original message follows.\n"
			}
			if !strings.HasSuffix(p.text, "\n\n"+want) {
				t.Errorf("text ends in %q", p.text[len(p.text)-40:])
			}
			if got := p.header.Get("Content-Transfer-Encoding"); got != strings.TrimPrefix(c.encoding, "quoted-printable") {
				t.Errorf("whole message: %q", got)
			}
		})
	}
}

func TestForeign(t *testing.T) {
	tests := []struct {
		name                    string
		recipient               Recipient
		text, finalType, status string
	}{
		{"header in text", Recipient{Original: "a@b", Status: "5.0.0", Text: "no\r\n\r\n--x\nBcc: y"}, "\nno --x Bcc: y\n", "rfc822; a@b", "5.0.0"},
		{"header in address", Recipient{Original: "a\nX: y@b", Status: "5.0.0"}, "<a?X: y@b>", "rfc822; a?X: y@b", "5.0.0"},
		{"bad status", Recipient{Original: "a@b", Status: "5.0.0\nX: y"}, "<a@b>", "rfc822; a@b", "5.0.0"},
		{"not UTF-8", Recipient{Original: "\xff@b", Status: "5.0.0"}, "<?@b>", "rfc822; ?@b", "5.0.0"},
		{"UTF-8", Recipient{Original: "kä+the@b", Status: "5.0.0"}, "<kä+the@b>", `utf-8; k\x{E4}\x{2B}the@b`, "5.0.0"},
		{"bare", Recipient{Original: "root", Status: "5.0.0"}, "<root>", "rfc822; root@example.org", "5.0.0"},
		{"no final", Recipient{Original: "a@b", Final: "", Status: "5.0.0"}, "<a@b>.\n\nMessage", "rfc822; a@b", "5.0.0"},
		{"final the same", Recipient{Original: "a@b", Final: "a@b", Status: "5.0.0"}, "<a@b>.\n\nMessage", "rfc822; a@b", "5.0.0"},
		{"final the same with its domain", Recipient{Original: "a", Final: "a@example.org", Status: "5.0.0"}, "<a>.\n\nMessage", "rfc822; a@example.org", "5.0.0"},
		{"forwarded", Recipient{Original: "a@b", Final: "c@d", Status: "5.0.0"}, "<a@b>.\n\nIt was to go on from there to <c@d>.\n\nMessage", "rfc822; c@d", "5.0.0"},
		{"gave up", Recipient{Original: "a@b", Status: "4.4.1", Text: "no answer", GaveUpAfter: 90500 * time.Millisecond}, "\n\nno answer\n\nCould not deliver for the last 90 seconds. Giving up.\n", "rfc822; a@b", "4.4.1"},
	}
	for _, c := range tests {
		t.Run(c.name, func(t *testing.T) {
			b := report()
			b.Recipients = []Recipient{c.recipient}
			p := parse(t, compose(t, b))
			if !strings.Contains(p.text, c.text) {
				t.Errorf("text %q", p.text)
			}
			if got := p.status[1]; got.Get("Final-Recipient") != c.finalType || got.Get("Status") != c.status {
				t.Errorf("status %v", got)
			}
		})
	}
}

func TestActions(t *testing.T) {
	b := report()
	b.EnvID, b.OriginalID = "job 7", "the id"
	until := time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)
	for name, c := range map[string]struct {
		recipients []Recipient
		subject    string
		text       string
		status     []string // of the first recipient: Original-Recipient, Action, Status, Will-Retry-Until
	}{
		"delayed": {
			[]Recipient{{Action: Delayed, Original: "a@b", Status: "4.4.1", Text: "no answer", RetryUntil: until}},
			"Mail delivery delayed", "could not yet be delivered to <a@b>.\n\nno answer\n\nIt will be tried until Wed, 04 Mar 2026 05:06:07 +0000.\n",
			[]string{"rfc822; a@b", "delayed", "4.4.1", "Wed, 04 Mar 2026 05:06:07 +0000"},
		},
		"delivered": {
			[]Recipient{{Action: Delivered, Original: "a", ORcpt: "rfc822;x@y", Final: "c@d", Status: "2.0.0"}},
			"Mail delivered", "Your mail was delivered to <a>.\n\nIt went on from there to <c@d>.\n",
			[]string{"rfc822; x@y", "delivered", "2.0.0", ""},
		},
		"relayed, with a status that does not fit": {
			[]Recipient{{Action: Relayed, Original: "a@b", Status: "5.0.0"}},
			"Mail delivered", "will not say what becomes of it, for <a@b>.\n",
			[]string{"rfc822; a@b", "relayed", "2.0.0", ""},
		},
		"delayed and delivered": {
			[]Recipient{{Action: Delivered, Original: "a@b", Status: "2.0.0"}, {Action: Delayed, Original: "c@d"}},
			"Mail delivery delayed", "delivered to <a@b>",
			[]string{"rfc822; a@b", "delivered", "2.0.0", ""},
		},
		"all": {
			[]Recipient{{Action: Failed, Original: "a@b"}, {Action: Relayed, Original: "c@d"}, {Action: Delayed, Original: "e@f"}},
			"Mail delivery failed", "There was an error delivering your mail to <a@b>.",
			[]string{"rfc822; a@b", "failed", "5.0.0", ""},
		},
	} {
		b.Recipients = c.recipients
		p := parse(t, compose(t, b))
		if got := p.header.Get("Subject"); got != c.subject {
			t.Errorf("%s: subject %q", name, got)
		}
		if !strings.Contains(p.text, c.text) {
			t.Errorf("%s: text %q", name, p.text)
		}
		got := p.status[1]
		fields := []string{got.Get("Original-Recipient"), got.Get("Action"), got.Get("Status"), got.Get("Will-Retry-Until")}
		if !slices.Equal(fields, c.status) || p.status[0].Get("Original-Envelope-Id") != "job 7" {
			t.Errorf("%s: status %q", name, p.status)
		}
	}
}

func TestForeignSender(t *testing.T) {
	for sender, want := range map[string]string{
		"a\nBcc: x@y.example":                   "a?Bcc: x@y.example",
		strings.Repeat("ä", 600) + "@b.example": strings.Repeat("ä", maxAddress/2),
	} {
		b := report()
		b.Sender = sender
		p := parse(t, compose(t, b))
		if got := p.header.Get("To"); got != want || p.header.Get("Bcc") != "" {
			t.Errorf("To: %.100q", got)
		}
	}
}

func TestErrors(t *testing.T) {
	bad := errors.New("bad disk")
	var out bytes.Buffer
	b := report()
	b.Message = iotest.ErrReader(bad)
	if err := Compose(&out, b); !errors.Is(err, bad) || out.Len() > 0 {
		t.Errorf("read error: %v, %d bytes", err, out.Len())
	}
	if err := Compose(failing{bad}, report()); !errors.Is(err, bad) {
		t.Errorf("write error: %v", err)
	}
}

type failing struct{ err error }

func (f failing) Write([]byte) (int, error) { return 0, f.err }

// Whatever others wrote into the texts, a bounce has three parts, its own header
// fields, and the recipients it is about.
func FuzzCompose(f *testing.F) {
	f.Add("a@b", "c@d", "5.1.1", "no", "mx [192.0.2.1]", "X: y\n\nbody\n", true)
	f.Add("a\r\nX: y", "\xff", "5", "x\n\n--=_0644d2a1b2c3d.fedcba987654_0\n", "\n", "\n\n--=_0644d2a1b2c3d.fedcba987654_0--\n", true)
	f.Add("ä=b c", "é@ö", "", "h did not like our MAIL: é", "h", "X: \x00\r\n \xff\n", false)
	f.Add("", "", "", "", "", "", false)
	want := parse(f, compose(f, report())).header
	f.Fuzz(func(t *testing.T, original, final, status, text, remote, message string, full bool) {
		b := report()
		r := Recipient{Original: original, Final: final, Status: status, Text: text, Remote: remote, GaveUpAfter: time.Hour}
		b.Recipients = []Recipient{r, {Original: "last@one.example", Status: "5.0.0"}}
		b.Message, b.Full = strings.NewReader(message), full
		p := parse(t, compose(t, b))
		delete(p.header, "Content-Transfer-Encoding")
		delete(p.header, "Content-Type")
		for name := range p.header {
			if want.Get(name) != p.header.Get(name) {
				t.Fatalf("%s: %q", name, p.header.Get(name))
			}
		}
		if len(p.status) != 3 || len(p.status[1]["Status"]) != 1 || p.status[2].Get("Final-Recipient") != "rfc822; last@one.example" {
			t.Fatalf("status %v", p.status)
		}
		if got := p.status[1].Get("Original-Recipient"); got != strings.TrimSpace(b.typed(original)) {
			t.Fatalf("recipient %q", got)
		}
		if strings.Count(p.text, "There was an error delivering your mail to <") < 2 {
			t.Fatalf("text %q", p.text)
		}
		if p.kind == "message/rfc822" && p.original != message {
			t.Fatalf("original %q", p.original)
		}
		if p.kind != "message/rfc822" && !strings.HasPrefix(message, p.original) {
			t.Fatalf("header %q", p.original)
		}
	})
}
