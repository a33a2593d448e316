// Package bounce writes the message that tells a sender what became of recipients:
// which ones a message did not reach and why, and, where that was asked for, which
// ones it has reached or is late for. It is a multipart/report of RFC 3464 whose
// first part reads as dma's always did (RULES F2).
package bounce

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"time"

	"dma/common/outcome"
	"dma/dma-queue/internal/header"
)

// Limits, in bytes.
const (
	MaxOriginal = 1 << 20  // original message that goes into a bounce; of a longer one, the header does
	maxHeader   = 64 << 10 // header of the original that goes into a bounce
	maxAddress  = 900      // an address, so that the line around it stays under maxLine
	maxLine     = 998      // a line, without its end (RFC 5322 2.1.1)
)

// Report is what a bounce tells. Texts and addresses may be foreign: what could
// end a line is cleaned.
type Report struct {
	ID         string // of the bounce
	OriginalID string // of the message that it is about
	EnvID      string // what the submitter calls that (RFC 3461 4.4), if anything
	Host       string // this host's name in mail
	SysHost    string // this host's own name
	Version    string // of the suite
	Sender     string // of the original: who gets the bounce; not empty
	Arrived    time.Time
	Now        time.Time
	Recipients []Recipient // at least one
	Full       bool        // give the original back, not its header alone
	Message    io.Reader   // the original
}

// Action is what became of a recipient (RFC 3464 2.3.3).
type Action uint8

// The actions.
const (
	Failed    Action = 0
	Delayed   Action = 1
	Delivered Action = 2
	Relayed   Action = 3 // to a server that will not tell what becomes of it
)

func (a Action) String() string { return [...]string{"failed", "delayed", "delivered", "relayed"}[a] }

// Recipient is one that something has become of.
type Recipient struct {
	Action      Action
	Original    string        // as submitted
	ORcpt       string        // "type;address" that the submitter calls it (RFC 3461 4.2); empty: Original
	Final       string        // where aliases and .forward files led; empty if nowhere else
	Status      string        // RFC 3463
	Text        string        // the reason
	Remote      string        // "host [address]" of the SMTP server that Text is about, else empty
	GaveUpAfter time.Duration // how long it was tried in vain; 0 if it was refused
	RetryUntil  time.Time     // when a delayed one is given up
}

// Compose writes the bounce to w, lines ending in LF, with its Received field: it
// goes into the queue as it is. Nothing is written when the original cannot be read.
func Compose(w io.Writer, b Report) error {
	orig, err := readOriginal(b.Message, b.Full)
	if err != nil {
		return fmt.Errorf("compose bounce of %s: %w", b.OriginalID, err)
	}
	text := part{kind: "text/plain; charset=utf-8", body: b.text(orig.full)}
	if !short(text.body) || has8Bit(text.body) {
		text.encoding, text.body = "quoted-printable", quote(text.body)
	}
	status := part{kind: "message/delivery-status", body: b.status()}
	parts := []part{text, status, orig.part()}

	edge := boundary(b.ID, parts)
	var out bytes.Buffer
	b.header(&out, edge, has8Bit(parts[2].body))
	for _, p := range parts {
		fmt.Fprintf(&out, "--%s\nContent-Type: %s\n", edge, p.kind)
		if p.encoding != "" {
			fmt.Fprintf(&out, "Content-Transfer-Encoding: %s\n", p.encoding)
		}
		out.WriteByte('\n')
		out.Write(p.body)
		out.WriteByte('\n') // belongs to the boundary (RFC 2046 5.1.1)
	}
	fmt.Fprintf(&out, "--%s--\n", edge)
	if _, err := w.Write(out.Bytes()); err != nil {
		return fmt.Errorf("compose bounce of %s: %w", b.OriginalID, err)
	}
	return nil
}

// part is one part of the report.
type part struct {
	kind     string // Content-Type
	encoding string // Content-Transfer-Encoding; empty for 7bit
	body     []byte
}

// boundary is a line that no part has. The id has random digits that nobody knew
// when the original was written; that no part has it is checked all the same.
func boundary(id string, parts []part) string {
	for n := 0; ; n++ {
		b := fmt.Sprintf("=_%s_%d", header.Clean(id), n)
		free := true
		for _, p := range parts {
			free = free && !bytes.Contains(p.body, []byte(b))
		}
		if free {
			return b
		}
	}
}

func (b *Report) header(out *bytes.Buffer, boundary string, eightBit bool) {
	host := header.Clean(b.Host)
	fmt.Fprintf(out, "Received: from MAILER-DAEMON\n\tid %s\n\tby %s (DragonFly Mail Agent v%s on %s);\n\t%s\n",
		header.Clean(b.ID), host, header.Clean(b.Version), header.Clean(b.SysHost), header.Date(b.Now))
	fmt.Fprintf(out, "Date: %s\nFrom: MAILER-DAEMON@%s\nTo: %s\nSubject: %s\nMessage-ID: <%s@%s>\n",
		header.Date(b.Now), host, cleanAddress(b.Sender), b.subject(), header.Clean(b.ID), host)
	// RFC 3834 5: what answers mail by itself says so, that nothing answers it.
	fmt.Fprint(out, "Auto-Submitted: auto-replied\nMIME-Version: 1.0\n")
	fmt.Fprintf(out, "Content-Type: multipart/report; report-type=delivery-status;\n\tboundary=%q\n", boundary)
	if eightBit { // RFC 2045 6.4: the whole is what its parts are
		fmt.Fprint(out, "Content-Transfer-Encoding: 8bit\n")
	}
	out.WriteByte('\n')
}

// subject is that of the worst news.
func (b *Report) subject() string {
	worst := Relayed
	for _, r := range b.Recipients {
		worst = min(worst, r.Action)
	}
	return [...]string{"Mail delivery failed", "Mail delivery delayed", "Mail delivered", "Mail delivered"}[worst]
}

// sentence is the news about r for people; an address follows.
func (r *Recipient) sentence() string {
	return [...]string{
		"There was an error delivering your mail to",
		"Your mail is still being tried, and need not be sent again. It could not yet be delivered to",
		"Your mail was delivered to",
		"Your mail was handed to a server that will not say what becomes of it, for",
	}[r.Action]
}

// text is the part for people. Programs look for its phrases.
func (b *Report) text(full bool) []byte {
	var out bytes.Buffer
	fmt.Fprintf(&out, "This is the DragonFly Mail Agent v%s at %s.\n\n", header.Clean(b.Version), header.Clean(b.Host))
	for _, r := range b.Recipients {
		fmt.Fprintf(&out, "%s <%s>.\n\n", r.sentence(), cleanAddress(r.Original))
		if r.Final != "" && b.qualify(r.Final) != b.qualify(r.Original) {
			was := "was to go"
			if r.Action >= Delivered {
				was = "went"
			}
			fmt.Fprintf(&out, "It %s on from there to <%s>.\n\n", was, cleanAddress(r.Final))
		}
		if reason := outcome.Clean(r.Text); reason != "" {
			fmt.Fprintf(&out, "%s\n\n", reason)
		}
		if r.GaveUpAfter > 0 {
			fmt.Fprintf(&out, "Could not deliver for the last %d seconds. Giving up.\n\n", int64(r.GaveUpAfter/time.Second))
		}
		if r.Action == Delayed {
			fmt.Fprintf(&out, "It will be tried until %s.\n\n", header.Date(r.RetryUntil))
		}
	}
	if full {
		out.WriteString("Original message follows.\n")
	} else {
		out.WriteString("Message headers follow.\n")
	}
	return out.Bytes()
}

// cleanAddress makes an address fit for a line.
func cleanAddress(s string) string {
	s = header.Clean(strings.ToValidUTF8(s, "?"))
	if len(s) > maxAddress {
		s = strings.ToValidUTF8(s[:maxAddress], "")
	}
	return s
}
