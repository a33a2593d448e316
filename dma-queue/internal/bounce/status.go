package bounce

import (
	"bytes"
	"fmt"
	"strings"
	"unicode/utf8"

	"dma/common/outcome"
	"dma/dma-queue/internal/header"
)

// status is the part for programs (RFC 3464 section 2): fields about the message,
// then fields about each recipient, all of them ASCII.
func (b *Report) status() []byte {
	var out bytes.Buffer
	fmt.Fprintf(&out, "Reporting-MTA: dns; %s\nX-Dma-Queue-Id: %s\nArrival-Date: %s\n",
		ascii(b.Host), ascii(b.OriginalID), header.Date(b.Arrived))
	if b.EnvID != "" {
		fmt.Fprintf(&out, "Original-Envelope-Id: %s\n", ascii(b.EnvID))
	}
	for _, r := range b.Recipients {
		final := r.Final
		if final == "" {
			final = r.Original
		}
		status := r.Status
		// RFC 3464 2.3.4: it agrees with the action. What was tried for too long has failed with a 4.
		if class := [...]string{"5", "4", "2", "2"}[r.Action]; !outcome.ValidCode(status) || r.Action != Failed && status[:1] != class {
			status = class + ".0.0"
		}
		original := b.typed(r.Original)
		if kind, address, ok := strings.Cut(r.ORcpt, ";"); ok {
			original = ascii(kind) + "; " + ascii(address)
		}
		fmt.Fprintf(&out, "\nOriginal-Recipient: %s\nFinal-Recipient: %s\nAction: %s\nStatus: %s\n",
			original, b.typed(final), r.Action, status)
		if name, _, _ := strings.Cut(outcome.Clean(r.Remote), " "); name != "" {
			fmt.Fprintf(&out, "Remote-MTA: dns; %s\n", ascii(name))
		}
		if reply := smtpReply(r); reply != "" {
			fmt.Fprintf(&out, "Diagnostic-Code: smtp; %s\n", ascii(reply))
		}
		fmt.Fprintf(&out, "Last-Attempt-Date: %s\n", header.Date(b.Now))
		if r.Action == Delayed {
			fmt.Fprintf(&out, "Will-Retry-Until: %s\n", header.Date(r.RetryUntil))
		}
	}
	return out.Bytes()
}

// smtpReply is what a server answered, as far as r.Text is about an answer: a
// Diagnostic-Code of the type smtp is that alone (RFC 3464 9.2).
func smtpReply(r Recipient) string {
	if r.Remote == "" {
		return ""
	}
	_, after, _ := strings.Cut(outcome.Clean(r.Text), " did not like our ")
	_, reply, _ := strings.Cut(after, ": ")
	return reply
}

// qualify cleans an address and gives a bare local name this host's.
func (b *Report) qualify(address string) string {
	address = cleanAddress(address)
	if !strings.Contains(address, "@") {
		address += "@" + header.Clean(b.Host)
	}
	return address
}

// typed is an address with its type in front: rfc822, or utf-8 in the form that
// RFC 6533 3 has for a part that is ASCII. The types ask for a domain.
func (b *Report) typed(address string) string {
	address = b.qualify(address)
	if !has8Bit([]byte(address)) {
		return "rfc822; " + address
	}
	var out strings.Builder
	out.WriteString("utf-8; ")
	for _, r := range address {
		c := string(r)
		if r >= utf8.RuneSelf || strings.ContainsRune(`\+= `, r) {
			c = fmt.Sprintf(`\x{%X}`, r)
		}
		if out.Len()+len(c) > maxAddress {
			break
		}
		out.WriteString(c)
	}
	return out.String()
}

// ascii makes text fit for a field of the status part.
func ascii(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f {
			return '?'
		}
		return r
	}, outcome.Clean(s))
}
