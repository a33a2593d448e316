package smtpd

import (
	"errors"
	"strings"
	"testing"
)

// FuzzDialogue: whatever comes in, each 250 behind a message stands for one that is
// committed, no other is, and nothing stays open.
func FuzzDialogue(f *testing.F) {
	for _, c := range dialogues {
		f.Add(c.in, uint8(0))
		f.Add(crlf(c.in), uint8(0))
	}
	for fail := range uint8(5) {
		f.Add(crlf(open+"DATA\nx\n.\n"+open+"DATA\ny\n"), fail)
	}
	f.Fuzz(func(t *testing.T, in string, fail uint8) {
		boom := errors.New("boom")
		p := &post{full: 1000}
		switch fail {
		case 1:
			p.room = boom
		case 2:
			p.begin = boom
		case 3:
			p.write = boom
		case 4:
			p.commit = boom
		}
		replies, err := talk(t, p, strings.NewReader(in))
		if err != nil && !errors.Is(err, ErrCut) && !errors.Is(err, ErrGarbage) {
			t.Fatal(err)
		}
		accepted := 0
		for _, r := range replies {
			if strings.HasPrefix(r, "250 2.0.0 accepted as ") {
				accepted++
			}
			if strings.Contains(r, "not take") { // an envelope that was let through
				t.Fatal(r)
			}
		}
		if accepted != len(p.sent) || fail > 0 && fail < 5 && accepted > 0 {
			t.Fatalf("%d messages were accepted, %d committed", accepted, len(p.sent))
		}
		if lines := strings.Count(in, "\n"); len(replies) > lines+2 {
			t.Fatalf("%d replies to %d lines", len(replies), lines)
		}
		for _, m := range p.sent {
			if len(m.Recipients) == 0 || !m.SenderGiven || m.Tag != "tag" {
				t.Fatalf("envelope %+v", m.Submission)
			}
		}
	})
}
