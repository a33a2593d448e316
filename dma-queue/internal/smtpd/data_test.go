package smtpd

import (
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// TestSmuggling: of all that might be taken for the end of a message only one
// thing is, and which one depends on the first command alone.
func TestSmuggling(t *testing.T) {
	const evil = "MAIL FROM:<evil@x>\r\nRCPT TO:<d@e>\r\nDATA\r\nevil\r\n.\r\n"
	ends := []string{
		"\r\n.\r\n", "\n.\n", "\n.\r\n", "\r\n.\n", "\r.\r", "\n.\r", "\r.\n", "\r\n.\r", "\r.\r\n", "\r\r\n.\r\r\n", "\n\r.\n\r",
		"\r\n.\x00\r\n", "\r\n. \r\n", "\r\n..\r\n", "\n..\n", ".\r\n", ".\n", "\r\n.\r\r\n", "\x00\r\n.\x00\n", "\v.\v", "\u2028.\u2028", "\x85.\x85",
	}
	for mode, ending := range map[string]map[string]bool{
		"\r\n": {"\r\n.\r\n": true},
		"\n":   {"\n.\n": true, "\r\n.\n": true}, // a CR in front of LF belongs to the line end
	} {
		for _, end := range ends {
			p := &post{}
			in := "EHLO me" + mode + crlf("MAIL FROM:<a@b>\nRCPT TO:<c@d>\nDATA\n") + "text" + end + evil + mode + "." + mode
			_, err := talk(t, p, strings.NewReader(in))
			want := 1
			if ending[end] {
				want = 2
			}
			// With LF the evil message does not end where it means to.
			if len(p.sent) != want || err != nil {
				t.Errorf("commands end in %q, the message in %q: %d messages %+v, %v", mode, end, len(p.sent), p.sent, err)
				continue
			}
			if ending[end] != (p.sent[0].text == "text\n") {
				t.Errorf("commands end in %q, the message in %q: %q", mode, end, p.sent[0].text)
			}
		}
	}
}

// Commands may end in either way at any time; that changes nothing for messages.
func TestFirstCommandDecides(t *testing.T) {
	p := &post{}
	in := "EHLO me\r\nMAIL FROM:<a@b>\nRCPT TO:<c@d>\nDATA\nx\n.\ny\r\n.\r\nMAIL FROM:<a@b>\nRCPT TO:<c@d>\r\nDATA\r\n.\r\nNOOP\n"
	if _, err := talk(t, p, strings.NewReader(in)); err != nil || len(p.sent) != 2 || p.sent[0].text != "x\n.\ny\n" || p.sent[1].text != "" {
		t.Errorf("%v, %+v", err, p.sent)
	}
}

// stuff writes a message as RFC 5321 4.5.2 has it.
func stuff(text, newline string) string {
	var b strings.Builder
	for line := range strings.SplitAfterSeq(text, "\n") {
		if line == "" {
			continue
		}
		if line[0] == '.' {
			b.WriteByte('.')
		}
		b.WriteString(strings.TrimSuffix(line, "\n") + newline)
	}
	return b.String() + "." + newline
}

func TestRoundTrip(t *testing.T) {
	piece := rapid.SampledFrom([]string{"\n", "\n", ".", ".", "\r", "text", "\x00", "\xff", " ", "From ", "MAIL FROM:<a>"})
	rapid.Check(t, func(rt *rapid.T) {
		text := strings.Join(rapid.SliceOfN(piece, 0, 30).Draw(rt, "pieces"), "")
		newline := rapid.SampledFrom([]string{"\r\n", "\n"}).Draw(rt, "newline")
		if newline == "\n" { // a CR in front of it would be part of it
			text = strings.ReplaceAll(text, "\r", "")
		}
		commands := strings.ReplaceAll(open+"DATA\n", "\n", newline)
		p := &post{}
		_, err := talk(t, p, strings.NewReader(commands+stuff(text, newline)))
		want := text
		if text != "" && !strings.HasSuffix(text, "\n") {
			want += "\n"
		}
		if err != nil || len(p.sent) != 1 || p.sent[0].text != want {
			rt.Fatalf("%q: %v, %+v", text, err, p.sent)
		}
	})
}

// slow says what a body is in another way, with everything in memory.
func slow(s string, crlf bool) (text string, n int, ok bool) {
	if !crlf {
		for line := range strings.SplitAfterSeq(s, "\n") {
			n += len(line)
			switch {
			case !strings.HasSuffix(line, "\n"):
				return "", 0, false
			case line == ".\n":
				return text, n, true
			}
			line = strings.TrimPrefix(line, ".")
			text += strings.TrimSuffix(strings.TrimSuffix(line, "\n"), "\r") + "\n"
		}
		return "", 0, false
	}
	raw, _, ok := strings.Cut("\r\n"+s, "\r\n.\r\n")
	if !ok {
		return "", 0, false
	}
	text = strings.ReplaceAll(raw+"\r\n", "\r\n.", "\r\n")
	return strings.ReplaceAll(text, "\r\n", "\n")[1:], len(raw) + len(".\r\n"), true
}

func FuzzBody(f *testing.F) {
	for _, s := range []string{".\r\n", "a\r\n.\r\nNOOP\r\n", "a\n.\nb", "..\r\n.\n\r\n.\r\n", ".\r\r\n.\r\n", "\r\r\n.\r\n.\r\n", "a\n.\r\n.\n.\n", "\r\n\n.\r.\r\n..\n.\n.\r\n"} {
		f.Add(s, true, 1)
		f.Add(s, false, 3)
	}
	f.Fuzz(func(t *testing.T, s string, crlf bool, n int) {
		b := body{crlf: crlf}
		var got []byte
		used, n := 0, max(n, 1)
		for used < len(s) && b.state != ended {
			var k int
			got, k = b.append(got, []byte(s[used:min(used+n, len(s))]))
			used += k
		}
		want, all, ok := slow(s, crlf)
		if ok != (b.state == ended) {
			t.Fatalf("%q ends %v, in pieces %v", s, ok, b.state == ended)
		}
		if ok && (string(got) != want || used != all) {
			t.Fatalf("%q is %q of %d bytes, in pieces %q of %d", s, want, all, got, used)
		}
	})
}
