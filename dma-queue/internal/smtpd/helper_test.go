package smtpd

import (
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"testing"

	"dma/common/mailaddr"
	"dma/dma-queue/internal/spool"
)

// message is one that came to its end.
type message struct {
	spool.Submission
	text string
}

// post is a Submitter that keeps what it gets. Each err makes one thing fail.
type post struct {
	room, begin, write, commit error
	full                       int64 // Room refuses more; 0: nothing

	sent []message
	open int // transactions that are neither committed nor aborted
}

func (p *post) Room(size int64) error {
	if p.full > 0 && size > p.full {
		return refuse(552, "5.3.4", "%d bytes are too much", size)
	}
	return p.room
}

func (p *post) Check(a mailaddr.Addr) error {
	if a.Domain == "" && a.Local == "nobody" {
		return refuse(550, "5.1.1", "unknown local user")
	}
	if a.Local == "trouble" {
		return errors.New("cannot\r\n250 look")
	}
	return nil
}

func (p *post) Begin(e spool.Submission) (Transaction, error) {
	if err := e.Check(); err != nil {
		return nil, fmt.Errorf("an envelope that the spool does not take: %w", err)
	}
	if p.begin != nil {
		return nil, p.begin
	}
	p.open++
	return &transaction{post: p, m: message{Submission: e}}, nil
}

type transaction struct {
	post *post
	m    message
	over bool
}

func (t *transaction) Write(b []byte) (int, error) {
	if t.over {
		panic("write to what is over")
	}
	t.m.text += string(b)
	return len(b), t.post.write
}

func (t *transaction) Commit() (string, error) {
	t.end()
	if t.post.commit != nil {
		return "", t.post.commit
	}
	t.post.sent = append(t.post.sent, t.m)
	return "id" + strconv.Itoa(len(t.post.sent)), nil
}

func (t *transaction) Abort() { t.end() }

func (t *transaction) end() {
	if t.over {
		panic("ended twice")
	}
	t.over = true
	t.post.open--
}

// talk has the server read all of in, and gives its replies.
func talk(t *testing.T, p *post, in io.Reader) (replies []string, err error) {
	t.Helper()
	var out strings.Builder
	s := Server{Host: "host.example", MaxSize: 1000, Submitter: p, Envelope: spool.Submission{Tag: "tag"}}
	err = s.Serve(in, &out)
	if p.open != 0 {
		t.Errorf("%d messages were left open", p.open)
	}
	for line := range strings.SplitAfterSeq(out.String(), "\n") {
		if line == "" {
			continue
		}
		text, ok := strings.CutSuffix(line, "\r\n")
		if !ok || len(text) > 510 || len(text) < 4 || strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r > '~' }) {
			t.Fatalf("reply %q", line)
		}
		if text[3] == ' ' {
			replies = append(replies, text)
		}
	}
	return replies, err
}

// expect compares the beginnings of replies; the greeting is left out of want.
func expect(t *testing.T, replies []string, want ...string) {
	t.Helper()
	if len(replies) == 0 || !strings.HasPrefix(replies[0], "220 host.example ") {
		t.Fatalf("replies %q", replies)
	}
	replies = replies[1:]
	if len(replies) != len(want) {
		t.Fatalf("%d replies, not %d: %q", len(replies), len(want), replies)
	}
	for i := range want {
		if !strings.HasPrefix(replies[i], want[i]) {
			t.Errorf("reply %d is %q, not %q", i+1, replies[i], want[i])
		}
	}
}

func crlf(s string) string { return strings.ReplaceAll(s, "\n", "\r\n") }
