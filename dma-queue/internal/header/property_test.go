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

// expected is what Repair is to make of a header, without Received, and the body.
func expected(msg string, p Params) string {
	fields, body := refer(msg)
	name := func(f string) string {
		n, _, _ := strings.Cut(f, ":")
		return strings.ToLower(strings.TrimRight(n, " \t"))
	}
	signed, froms, author := false, 0, ""
	for _, f := range fields {
		_, value, _ := strings.Cut(f, ":")
		switch name(f) {
		case "dkim-signature", "arc-seal", "arc-message-signature":
			signed = true
		case "from":
			froms++
			if addrs, _ := mailaddr.ParseList(value); len(addrs) > 0 && author == "" {
				author = value
			}
		}
	}
	newFrom := ""
	if addrs, bad := mailaddr.ParseList(mailaddr.Qualify(author, "example.org")); len(addrs) == 0 {
		newFrom = wantFrom
	} else if p.RewriteFrom && (froms > 1 || len(addrs) > 1 || len(bad) > 0 || addrs[0].Key() != p.Sender) {
		before, after, _ := mailaddr.First(author)
		newFrom = "From: " + before + p.Sender + after + "\n"
	}
	var out strings.Builder
	missing := map[string]string{"date": wantDate, "from": wantFrom, "message-id": wantID}
	for _, f := range fields {
		n := name(f)
		delete(missing, n)
		head, value, _ := strings.Cut(strings.TrimSuffix(f, "\n"), ":")
		switch n := strings.TrimPrefix(n, "resent-"); {
		case n == "bcc":
			continue
		case signed:
		case name(f) == "from" && newFrom != "":
			if froms > 0 {
				out.WriteString(newFrom)
				froms = 0
			}
			if strings.TrimSpace(value) == "" {
				continue
			}
			head = "X-Original-From"
		case n == "from", n == "sender", n == "reply-to", n == "to", n == "cc":
			value = mailaddr.Qualify(value, "example.org")
		}
		out.WriteString(head + ":" + value + "\n")
	}
	for _, n := range []string{"date", "from", "message-id"} {
		if !signed {
			out.WriteString(missing[n])
		}
	}
	return out.String() + "\n" + body
}

type tester interface {
	Fatalf(string, ...any)
	Helper()
}

func repaired(t tester, msg string, p Params) string {
	t.Helper()
	var out bytes.Buffer
	if _, err := Repair(&out, strings.NewReader(msg), p); err != nil {
		t.Fatalf("%v", err)
	}
	rest, ok := strings.CutPrefix(out.String(), wantReceived)
	if !ok {
		t.Fatalf("no Received in front of %q", out.String())
	}
	return rest
}

func check(t tester, msg string) {
	t.Helper()
	for _, rewrite := range []bool{false, true} {
		p := params()
		p.RewriteFrom = rewrite
		got := repaired(t, msg, p)
		if want := expected(msg, p); got != want {
			t.Fatalf("%q\nbecame %q\nwant   %q", msg, got, want)
		}
		if again := repaired(t, got, p); again != got {
			t.Fatalf("%q\nbecame %q\nand then %q", msg, got, again)
		}
	}
}

func TestProperty(t *testing.T) {
	piece := rapid.SampledFrom([]string{
		"\n", "\n", " ", "\t", ":", "From", "From ", "From: ", "Bcc: ", "To: ", "Date:", "Message-ID:", "Resent-Bcc:", "cC :",
		"DKIM-Signature:", "ARC-Seal: ", "Subject: ", "root", "a@b", "Joe <joe>", "carol", "Reply-To: ", ",", ";", "\"", "(", ")", "<", "\x00", "\xff", "é", "\r", "\r\n", "text",
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
	for _, c := range rewriting {
		f.Add(c.in)
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
