package header

import (
	"bytes"
	"io"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"dma/common/mailaddr"
)

// refer is a second way to say what Repair does, on strings and by lines.
func refer(msg string) (fields []string, body string) {
	lines := strings.SplitAfter(msg, "\n")
	isField := func(l string) bool {
		name, _, ok := strings.Cut(l, ":")
		name = strings.TrimRight(name, " \t")
		bad := func(r rune) bool { return r <= ' ' || r > '~' }
		return ok && name != "" && strings.IndexFunc(name, bad) < 0 && strings.ToValidUTF8(name, "\x00") == name
	}
	if strings.HasPrefix(lines[0], "From ") && !isField(lines[0]) {
		lines = lines[1:]
	}
	for i, l := range lines {
		switch {
		case l == "\n":
			return fields, strings.Join(lines[i+1:], "")
		case isField(l):
			fields = append(fields, l)
		case len(fields) > 0 && strings.Trim(l[:min(1, len(l))], " \t") == "" && l != "":
			fields[len(fields)-1] += l
		default:
			return fields, strings.Join(lines[i:], "")
		}
	}
	return fields, ""
}

func check(t interface {
	Fatalf(string, ...any)
	Helper()
}, msg string,
) {
	t.Helper()
	var out bytes.Buffer
	if _, err := Repair(&out, strings.NewReader(msg), params()); err != nil {
		t.Fatalf("%v", err)
	}
	rest, ok := strings.CutPrefix(out.String(), wantReceived)
	if !ok {
		t.Fatalf("no Received in front of %q", out.String())
	}
	fields, body := refer(msg)
	signed := false
	name := func(f string) string {
		n, _, _ := strings.Cut(f, ":")
		return strings.ToLower(strings.TrimRight(n, " \t"))
	}
	for _, f := range fields {
		signed = signed || name(f) == "dkim-signature"
	}
	missing := map[string]string{"date": wantDate, "from": wantFrom, "message-id": wantID}
	for _, f := range fields {
		n := name(f)
		delete(missing, n)
		if n == "bcc" || n == "resent-bcc" {
			continue
		}
		f = strings.TrimSuffix(f, "\n")
		switch strings.TrimPrefix(n, "resent-") {
		case "from", "sender", "reply-to", "to", "cc":
			if !signed {
				head, value, _ := strings.Cut(f, ":")
				f = head + ":" + mailaddr.Qualify(value, "example.org")
			}
		}
		if rest, ok = strings.CutPrefix(rest, f+"\n"); !ok {
			t.Fatalf("no field %q before %q", f, rest)
		}
	}
	for _, n := range []string{"date", "from", "message-id"} {
		if rest, ok = strings.CutPrefix(rest, missing[n]); !ok {
			t.Fatalf("no %q before %q", missing[n], rest)
		}
	}
	if rest != "\n"+body {
		t.Fatalf("body %q became %q", body, rest)
	}
}

func TestProperty(t *testing.T) {
	piece := rapid.SampledFrom([]string{
		"\n", "\n", " ", "\t", ":", "From", "From ", "From: ", "Bcc: ", "To: ", "Date:", "Message-ID:", "Resent-Bcc:", "cC :",
		"DKIM-Signature:", "Subject: ", "root", "a@b", "Joe <joe>", ",", ";", "\"", "(", ")", "<", "\x00", "\xff", "é", "\r", "\r\n", "text",
	})
	rapid.Check(t, func(t *rapid.T) {
		check(t, strings.Join(rapid.SliceOfN(piece, 0, 40).Draw(t, "pieces"), ""))
	})
}

func FuzzRepair(f *testing.F) {
	for _, c := range cases {
		if len(c.in) < 10000 {
			f.Add(c.in)
		}
	}
	f.Fuzz(func(t *testing.T, msg string) {
		if len(msg) < maxName { // where names can be as long as they like, for refer
			check(t, msg)
		}
	})
}

func BenchmarkRepair(b *testing.B) {
	msg := []byte("From: root\nTo: bob\nSubject: Cron <root@host> backup\n" + complete[:8] + "\n" + strings.Repeat("a line of seventy characters, as most lines of most messages are    \n", 28))
	r := bytes.NewReader(msg)
	p := params()
	b.SetBytes(int64(len(msg)))
	for b.Loop() {
		r.Reset(msg)
		if _, err := Repair(io.Discard, r, p); err != nil {
			b.Fatal(err)
		}
	}
}
