package header

import (
	"bytes"
	"errors"
	"io"
	"net/mail"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/google/go-cmp/cmp"
)

func params() Params {
	return Params{
		ID:       "0644d1f7a1b2c.0123456789ab",
		Hostname: "example.org",
		SysHost:  "host.example.org",
		Version:  "0.1",
		Login:    "carol",
		Author:   "carol",
		UID:      1003,
		FullName: "Carol Doe",
		Sender:   "carol@example.org",
		Now:      time.Date(2026, 11, 3, 8, 5, 6, 0, time.FixedZone("", 3600)),
	}
}

const (
	wantReceived = "Received: from carol (uid 1003)\n\t(envelope-from carol@example.org)\n\tid 0644d1f7a1b2c.0123456789ab\n" +
		"\tby example.org (DragonFly Mail Agent v0.1 on host.example.org);\n\tTue, 03 Nov 2026 08:05:06 +0100\n"
	wantDate = "Date: Tue, 03 Nov 2026 08:05:06 +0100\n"
	wantFrom = "From: Carol Doe <carol@example.org>\n"
	wantID   = "Message-ID: <0644d1f7a1b2c.0123456789ab@example.org>\n"
	wantAll  = wantDate + wantFrom + wantID
	complete = "Date: d\nFrom: a@b.example\nMessage-ID: <i@b>\n"
)

// cases are messages and what becomes of them, without the Received field.
var cases = []struct{ name, in, want string }{
	{"nothing", "", wantAll + "\n"},
	{"empty line", "\n", wantAll + "\n"},
	{"body alone", "\nbody\n", wantAll + "\nbody\n"},
	{"two empty lines", "\n\nbody\n", wantAll + "\n\nbody\n"},
	{"no header", "hello there\nSubject: x\n", wantAll + "\nhello there\nSubject: x\n"},
	{"no header, blank first", " Subject: x\n", wantAll + "\n Subject: x\n"},
	{"no header, no name", ": x\n", wantAll + "\n: x\n"},
	{"no header, no newline", "hello", wantAll + "\nhello"},
	{"no header, 8-bit name", "Gr\xfc\xdfe: x\n", wantAll + "\nGr\xfc\xdfe: x\n"},
	{"no header, NUL", "a\x00b: x\n", wantAll + "\na\x00b: x\n"},
	{"no header, words before the colon", "Dear Bob: x\n", wantAll + "\nDear Bob: x\n"},
	{"header alone", "Subject: x\n", "Subject: x\n" + wantAll + "\n"},
	{"header alone, no newline", "Subject: x", "Subject: x\n" + wantAll + "\n"},
	{"address alone, no newline", "To: root", "To: root@example.org\n" + wantAll + "\n"},
	{"header ends in text", "Subject: x\nhello\n\nTo: root\n", "Subject: x\n" + wantAll + "\nhello\n\nTo: root\n"},
	{"header ends in blanks", "Subject: x\n \nhello\n", "Subject: x\n \n" + wantAll + "\nhello\n"},
	{"body without newline", complete + "\nbody", complete + "\nbody"},
	{"complete", complete + "\nbody\n", complete + "\nbody\n"},
	{"names in any case", "DATE: d\nfrom: a@b.example\nMessage-Id: <i@b>\n\n", "DATE: d\nfrom: a@b.example\nMessage-Id: <i@b>\n\n"},
	{"blank before the colon", "Date : d\nFrom\t: a\nMessage-ID: <i@b>\n\n", "Date : d\nFrom\t: a@example.org\nMessage-ID: <i@b>\n\n"},
	{"longer names", "Dated: d\nFrom-Line: a\nX-Bcc: c\n\n", "Dated: d\nFrom-Line: a\nX-Bcc: c\n" + wantAll + "\n"},
	{"mbox line", "From root@host Mon Nov  2 00:00:00 2026\n" + complete + "\n", complete + "\n"},
	{"mbox line alone", "From root\n", wantAll + "\n"},
	{"mbox line without newline", "From root", wantAll + "\n"},
	{"mbox line, no header", "From root\nhello\n", wantAll + "\nhello\n"},
	{"mbox line, blanks", "From root\n x\n", wantAll + "\n x\n"},
	{"two mbox lines", "From root\nFrom root\n", wantAll + "\nFrom root\n"},
	{"mbox line later", complete + "From root\n", complete + "\nFrom root\n"},
	{"From with a blank is no mbox line", "From : root\nDate: d\nMessage-ID: <i>\n\n", "From : root@example.org\nDate: d\nMessage-ID: <i>\n\n"},
	{"bcc", "Bcc: x@y\nbcc:z@y\nBCC : w\n" + complete + "\n", complete + "\n"},
	{"bcc folded", "Subject: s\nBcc: x@y,\n\tz@y,\n  w\n" + complete + "\n", "Subject: s\n" + complete + "\n"},
	{"bcc last", complete + "Bcc: x@y", complete + "\n"},
	{"resent bcc", "Resent-Bcc: x@y\n" + complete + "\n", complete + "\n"},
	{"bcc in the body", complete + "\nBcc: x@y\n", complete + "\nBcc: x@y\n"},
	{
		"qualify", "Date: d\nMessage-ID: <i>\nFrom: root\nSender: root (Cron)\nReply-To: <root>\nTo: a, B <b>, c@d.example,\n e\nCc: list: f, g;\nSubject: root\nErrors-To: root\n\n",
		"Date: d\nMessage-ID: <i>\nFrom: root@example.org\nSender: root@example.org (Cron)\nReply-To: <root@example.org>\n" +
			"To: a@example.org, B <b@example.org>, c@d.example,\n e@example.org\nCc: list: f@example.org, g@example.org;\nSubject: root\nErrors-To: root\n\n",
	},
	{
		"qualify resent", complete + "Resent-From: a\nResent-Sender: a\nResent-Reply-To: a\nResent-To: a\nResent-Cc: a\n\n",
		complete + "Resent-From: a@example.org\nResent-Sender: a@example.org\nResent-Reply-To: a@example.org\nResent-To: a@example.org\nResent-Cc: a@example.org\n\n",
	},
	{"signed", "To: root\nDKIM-Signature: v=1\n" + complete + "Bcc: x\n\n", "To: root\nDKIM-Signature: v=1\n" + complete + "\n"},
	{"malformed address", "To: <<>\n" + complete + "\n", "To: <<>\n" + complete + "\n"},
	{"empty field", "To:\n" + complete + "\n", "To:\n" + complete + "\n"},
	{"bytes in a value", "X: \x00\xff\r\x01\nTo: \xff\xfe\n" + complete + "\n", "X: \x00\xff\r\x01\nTo: \xff\xfe\n" + complete + "\n"},
	{"bytes in the body", complete + "\n\x00\xff\r\n\nFrom x\n", complete + "\n\x00\xff\r\n\nFrom x\n"},
	{"long line", complete + "X: " + strings.Repeat("x", 100000) + "\n\n", complete + "X: " + strings.Repeat("x", 100000) + "\n\n"},
	{"long body", complete + "\n" + strings.Repeat("0123456789\n", 300000), complete + "\n" + strings.Repeat("0123456789\n", 300000)},
	{"endless first line", strings.Repeat("x", 3<<20), wantAll + "\n" + strings.Repeat("x", 3<<20)},
	{"endless first word with a colon", strings.Repeat("x", maxName) + ":\n", wantAll + "\n" + strings.Repeat("x", maxName) + ":\n"},
}

func TestRepair(t *testing.T) {
	readers := map[string]func(io.Reader) io.Reader{
		"at once":     func(r io.Reader) io.Reader { return r },
		"with EOF":    iotest.DataErrReader,
		"in pieces":   iotest.HalfReader,
		"as a stream": func(r io.Reader) io.Reader { return io.MultiReader(r) },
	}
	for _, c := range cases {
		for how, reader := range readers {
			t.Run(c.name+" "+how, func(t *testing.T) {
				var out bytes.Buffer
				info, err := Repair(&out, reader(strings.NewReader(c.in)), params())
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(wantReceived+c.want, out.String()); diff != "" {
					t.Errorf("-want +got:\n%.2000s", diff)
				}
				if info.Size != int64(out.Len()) {
					t.Errorf("size %d of %d", info.Size, out.Len())
				}
			})
		}
	}
}

func TestRepairByteByByte(t *testing.T) {
	for _, c := range cases {
		if len(c.in) > 10000 {
			continue
		}
		var out bytes.Buffer
		if _, err := Repair(&out, iotest.OneByteReader(strings.NewReader(c.in)), params()); err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		if out.String() != wantReceived+c.want {
			t.Errorf("%s: %.500q", c.name, out.String())
		}
	}
}

func TestRepairGenerated(t *testing.T) {
	tests := []struct {
		name   string
		change func(*Params)
		want   []string
	}{
		{"no full name", func(p *Params) { p.FullName = "" }, []string{"From: carol@example.org\n"}},
		{"quoted", func(p *Params) { p.FullName = `Carol "C." \Doe` }, []string{`From: "Carol \"C.\" \\Doe" <carol@example.org>` + "\n"}},
		{"encoded", func(p *Params) { p.FullName = "Käthe" }, []string{"From: =?utf-8?b?S8OkdGhl?= <carol@example.org>\n"}},
		{"not UTF-8", func(p *Params) { p.FullName = "K\xe4the" }, []string{"From: K?the <carol@example.org>\n"}},
		{"null sender", func(p *Params) { p.Sender = "" }, []string{"(envelope-from <>)", "From: Carol Doe <carol@example.org>\n"}},
		{"bare sender", func(p *Params) { p.Sender = "daemon" }, []string{"From: Carol Doe <daemon@example.org>\n"}},
		{"no login", func(p *Params) { p.Login = "" }, []string{"Received: from unknown (uid 1003)\n"}},
		{"comment in sender", func(p *Params) { p.Sender = `"a)b("@c.example` }, []string{`(envelope-from "a\)b\("@c.example)`, `<"a)b("@c.example>`}},
		{"control characters", func(p *Params) { p.Login, p.FullName = "a\nX: y", "a\r\nX: z" }, []string{"from a?X: y (uid", `From: "a??X: z" <carol@example.org>`}},
	}
	for _, c := range tests {
		t.Run(c.name, func(t *testing.T) {
			p := params()
			c.change(&p)
			var out bytes.Buffer
			if _, err := Repair(&out, strings.NewReader("\n"), p); err != nil {
				t.Fatal(err)
			}
			for _, want := range c.want {
				if !strings.Contains(out.String(), want) {
					t.Errorf("no %q in\n%s", want, out.String())
				}
			}
			if m, err := mail.ReadMessage(&out); err != nil {
				t.Error(err)
			} else if _, err := m.Header.AddressList("From"); err != nil {
				t.Errorf("From: %v", err)
			}
		})
	}
}

func TestLongFullName(t *testing.T) {
	for _, name := range []string{strings.Repeat("é", 500), strings.Repeat("a ", 500), strings.Repeat(`"`, 1000)} {
		p := params()
		p.FullName = name
		p.Sender = strings.Repeat("a", 200) + "@" + strings.Repeat("b.", 100) + "example"
		var out bytes.Buffer
		if _, err := Repair(&out, strings.NewReader(""), p); err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(out.String()) {
			if len(line) > 999 { // RFC 5322 2.1.1, and the newline
				t.Errorf("line of %d bytes", len(line))
			}
		}
		m, err := mail.ReadMessage(&out)
		if err != nil {
			t.Fatal(err)
		}
		if from, err := m.Header.AddressList("From"); err != nil || from[0].Address != p.Sender || !strings.HasPrefix(name, strings.TrimSpace(from[0].Name)) {
			t.Errorf("From: %v, %v", from, err)
		}
	}
}

func TestInfo(t *testing.T) {
	msg := "Received: a\nreceived:\n b\nDelivered-To: Bob@EXAMPLE.org\nDELIVERED-TO:\n <al@x>\nDelivered-To: not one\n\nReceived: body\n"
	info, err := Repair(io.Discard, strings.NewReader(msg), params())
	if err != nil {
		t.Fatal(err)
	}
	info.Size = 0
	want := Info{DeliveredTo: []string{"Bob@example.org", "al@x", "not one"}, ReceivedCount: 2}
	if diff := cmp.Diff(want, info); diff != "" {
		t.Error(diff)
	}
	info, err = Repair(io.Discard, strings.NewReader(strings.Repeat("Delivered-To: x\n", 5000)), params())
	if err != nil || len(info.DeliveredTo) != maxDeliveredTo {
		t.Errorf("%d addresses, %v", len(info.DeliveredTo), err)
	}
}

func TestTooBig(t *testing.T) {
	line := "X: " + strings.Repeat("x", 60) + "\n" // 64 bytes
	fits := strings.Repeat(line, MaxHeader/64)
	tests := []struct {
		name, in string
		want     error
	}{
		{"fits", fits + "\nbody", nil},
		{"fits exactly, then a body", fits + "body", nil},
		{"a byte more", fits + "X:\n", ErrTooBig},
		{"endless field", "X: " + strings.Repeat("x", 3<<20), ErrTooBig},
		{"endless mbox line", "From " + strings.Repeat("x", 3<<20), ErrTooBig},
	}
	for _, c := range tests {
		t.Run(c.name, func(t *testing.T) {
			var out bytes.Buffer
			_, err := Repair(&out, strings.NewReader(c.in), params())
			if !errors.Is(err, c.want) {
				t.Fatal(err)
			}
			if err != nil && out.Len() > 0 {
				t.Errorf("wrote %d bytes", out.Len())
			}
		})
	}
}

func TestErrors(t *testing.T) {
	bad := errors.New("bad disk")
	long := complete + "\n" + strings.Repeat("x", 1<<20)
	for _, n := range []int{0, 5, len(complete), 10000, 1 << 20} {
		r := io.MultiReader(strings.NewReader(long[:n]), iotest.ErrReader(bad))
		if _, err := Repair(io.Discard, r, params()); !errors.Is(err, bad) {
			t.Errorf("read error after %d bytes: %v", n, err)
		}
		if _, err := Repair(&failing{n, bad}, strings.NewReader(long), params()); !errors.Is(err, bad) {
			t.Errorf("write error after %d bytes: %v", n, err)
		}
	}
}

// failing is a writer that fails after left bytes.
type failing struct {
	left int
	err  error
}

func (f *failing) Write(p []byte) (int, error) {
	if len(p) > f.left {
		n := f.left
		f.left = 0
		return n, f.err
	}
	f.left -= len(p)
	return len(p), nil
}
