package front

import (
	"bytes"
	"reflect"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"pgregory.net/rapid"

	runner "dma/dma-queue/internal/header"
)

func TestHeaderEnd(t *testing.T) {
	for name, c := range map[string]struct{ head, body string }{
		"nothing":               {"", ""},
		"empty line":            {"", "\nTo: a\n"},
		"header":                {"To: a\nCc: b\n", "\nTo: c\n"},
		"no body":               {"To: a\n", ""},
		"no newline":            {"To: a", ""},
		"no header":             {"", "hello world\nTo: a\n"},
		"one word":              {"", "hello"},
		"text behind fields":    {"To: a\n", "hello\n\nCc: b\n"},
		"folding":               {"To: a,\n b,\n\tc\n", "\nx"},
		"folding at the start":  {"", " To: a\n"},
		"line of blanks":        {"To: a\n  \nCc: b\n", "\n"},
		"blank before colon":    {"To : a\n", "\n"},
		"only a colon":          {"", ": a\n"},
		"From line":             {"From a@b Thu Jan 1 00:00:00 1970\nTo: a\n", "\n"},
		"From line, blanks":     {"From a@b\n", " To: a\n"},
		"From line later":       {"To: a\n", "From b c\nCc: b\n"},
		"field From":            {"From: a\nFrom : b\n", "\n"},
		"quoted From line":      {"", ">From a@b\nTo: a\n"},
		"NUL in name":           {"", "T\x00o: a\n"},
		"8-bit in name":         {"", "T\xe9: a\n"},
		"8-bit in value":        {"To: \xe9\x00\n", "\n"},
		"name of 997 bytes":     {strings.Repeat("x", 997) + ": y\n", "\n"},
		"name of 998 bytes":     {"", strings.Repeat("x", 998) + ": y\n\n"},
		"Fromage":               {"", "Fromage is cheese\n"},
		"dots":                  {"To: a\n", ".\n"},
		"CR that is none of LF": {"To: a\rCc: b\n", "\n"},
	} {
		head, all, err := readAll(strings.NewReader(c.head+c.body), true)
		if err != nil || head != c.head || all != c.head+c.body {
			t.Errorf("%s: header %q, want %q, %v", name, head, c.head, err)
		}
		head, _, err = readAll(iotest.OneByteReader(strings.NewReader(c.head+c.body)), true)
		if err != nil || head != c.head {
			t.Errorf("%s, byte by byte: header %q, want %q, %v", name, head, c.head, err)
		}
	}
}

func TestHeaderRecipients(t *testing.T) {
	for name, c := range map[string]struct {
		head      string
		want, bad []string
	}{
		"all three":      {"To: a\nBCC: b\ncc: c\n", []string{"a", "b", "c"}, nil},
		"twice":          {"To: a\nTo: b\n", []string{"a", "b"}, nil},
		"folded":         {"To: a,\n b,\n\t\"x, y\" <c>\n", []string{"a", "b", "c"}, nil},
		"blank":          {"To : a\n", []string{"a"}, nil},
		"others":         {"From: a\nReply-To: b\nX-To: c\nApparently-To: d\nResend-To: e\n", nil, nil},
		"resent":         {"Resent-To: a\nTo: b\nResent-Cc: c\nResent-Bcc: d\n", []string{"a", "c", "d"}, nil},
		"resent by":      {"To: b\nResent-From: a\nCc: c\n", []string{"b", "c"}, nil},
		"groups":         {"To: us: a, b;, undisclosed-recipients:;\n", []string{"a", "b"}, nil},
		"From line":      {"From To: x\nTo: a\n", []string{"a"}, nil},
		"bad":            {"To: a b, c@d, @\n", []string{"c@d"}, []string{"a b", "@"}},
		"empty":          {"To:\nCc: \n", nil, nil},
		"encoded words":  {"To: =?utf-8?q?Doe=2C_J=C3=BC?=\n =?utf-8?b?QQ==?= <a>, =?x?q?b,c@d?= <e>\n", []string{"a", "e"}, nil},
		"comments":       {"To: (x (y@z) \\) ,) a (w), b(1)@(2)c\nCc: (nobody)\n", []string{"a", "b@c"}, nil},
		"quoted":         {"Bcc: \"a, b\"@c, \"d\\\" e\"@f, \"g <h>\" <i>\n", []string{`"a, b"@c`, `"d\" e"@f`, "i"}, nil},
		"routes":         {"To: <@x,@y:a@b>, @x:c@d, N <@z:e>\n", []string{"a@b", "c@d", "e"}, nil},
		"obsolete":       {"To: a . b @ c . d, , N. M. <e\n @f>\n", []string{"a.b@c.d", "e@f"}, nil},
		"8-bit":          {"To: J\xfcrgen <a>, J\xc3\xbcrgen <b>, \xc3\xbc@x\nCc: \xfc@y\n", []string{"a", "b", "\xc3\xbc@x"}, []string{"?@y"}},
		"odd names":      {"To: CI [main] <a>, b@c via d <e>, DOM\\user <f>\n", []string{"a", "e", "f"}, nil},
		"resent twice":   {"Resent-To: a\nResent-Cc: b\nReceived: x\nResent-To: c\nTo: d\n", []string{"a", "b", "c"}, nil},
		"no newline":     {"To: a", []string{"a"}, nil},
		"quoted newline": {"To: \"a\n b\" <c>\n", []string{"c"}, nil},
	} {
		addrs, bad := headerRecipients([]byte(c.head))
		var got []string
		for _, a := range addrs {
			got = append(got, a.String())
		}
		if !reflect.DeepEqual(got, c.want) || !reflect.DeepEqual(bad, c.bad) {
			t.Errorf("%s: %q, bad %q", name, got, bad)
		}
	}
}

// TestSameHeaderAsRunner: a blind copy goes to whom the front end finds in Bcc,
// and the runner removes the Bcc. They must mean the same field.
func TestSameHeaderAsRunner(t *testing.T) {
	line := rapid.SampledFrom([]string{
		"To: open@x\n", "Bcc: hidden@x\n", "bcc : hidden@x\n", "Bcc:\n hidden@x\n", "\thidden@x\n", " \n", "\n", "From a b\n",
		"From : c\n", ">From x\n", "text\n", ": x\n", "Bcc hidden\n", "Resent-Bcc: hidden@x\n", "Subject: x\r\n", "B\xe9c: hidden@x\n", "Bcc: hidden@x",
	})
	rapid.Check(t, func(t *rapid.T) {
		message := strings.Join(rapid.SliceOf(line).Draw(t, "lines"), "")
		head, all, err := readAll(strings.NewReader(message), true)
		if err != nil {
			t.Fatal(err)
		}
		var out bytes.Buffer
		if _, err := runner.Repair(&out, strings.NewReader(all), runner.Params{ID: "id", Hostname: "host", Now: time.Unix(0, 0)}); err != nil {
			t.Fatal(err)
		}
		var blind, others string // what the front end takes for blind copies, and for the rest of the header
		for name, value := range fields([]byte(head)) {
			if name == "bcc" || name == "resent-bcc" {
				blind += string(value)
			} else {
				others += string(value)
			}
		}
		body := all[len(head):]
		if want := strings.Count(others+body, "hidden@x"); strings.Count(out.String(), "hidden@x") != want {
			t.Fatalf("front end reads %q as blind copies, runner leaves\n%s", blind, out.String())
		}
	})
}

func FuzzHeader(f *testing.F) {
	f.Add("From a b\nTo: a,\n b\n\nCc: c\n", 1)
	f.Add("Resent-To: x\nTo : y", 2)
	f.Add("no header", 100)
	f.Fuzz(func(t *testing.T, s string, n int) {
		var h header
		whole, more := h.end([]byte(s), true)
		if more || whole > len(s) {
			t.Fatalf("header of %d bytes of %q, more %v", whole, s, more)
		}
		n = max(n, 1)
		h = header{}
		for i := 0; ; i += n {
			i = min(i, len(s))
			got, more := h.end([]byte(s[:i]), i == len(s))
			if !more {
				if got != whole {
					t.Fatalf("header of %q has %d bytes, in pieces of %d it has %d", s, whole, n, got)
				}
				break
			}
		}
		headerRecipients([]byte(s[:whole]))
	})
}
