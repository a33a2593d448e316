package header

import (
	"fmt"
	"mime"
	"strings"
	"time"
	"unicode/utf8"

	"dma/common/mailaddr"
)

const (
	dateFormat  = "Mon, 02 Jan 2006 15:04:05 -0700" // RFC 5322 3.3
	maxFullName = 256                               // bytes of it in a From field
)

// Date is t in the form of RFC 5322 3.3.
func Date(t time.Time) string { return t.Format(dateFormat) }

// appendReceived writes the field in dma's form: others look for its comments.
func appendReceived(out []byte, p Params) []byte {
	login := Clean(p.Login)
	if login == "" {
		login = "unknown"
	}
	sender := Clean(p.Sender)
	if sender == "" {
		sender = "<>"
	}
	return fmt.Appendf(out, "Received: from %s (uid %d)\n\t(envelope-from %s)\n\tid %s\n\tby %s (DragonFly Mail Agent v%s on %s);\n\t%s\n",
		login, p.UID, inComment(sender), Clean(p.ID), Clean(p.Hostname), Clean(p.Version), Clean(p.SysHost), Date(p.Now))
}

// appendMissing writes the fields that every message has (RFC 5322 3.6).
func appendMissing(out []byte, seen found, newFrom string, p Params) []byte {
	if !seen.date {
		out = fmt.Appendf(out, "Date: %s\n", Date(p.Now))
	}
	if seen.froms == 0 {
		out = fmt.Appendf(out, "From: %s\n", newFrom)
	}
	if !seen.messageID {
		out = fmt.Appendf(out, "Message-ID: <%s@%s>\n", Clean(p.ID), Clean(p.Hostname))
	}
	return out
}

// newFrom is the value of the From field that the message gets; empty if its own
// will do.
func (seen found) newFrom(p Params) string {
	before, after, ok := mailaddr.First(seen.author)
	if !ok {
		return newAuthor(p)
	}
	if !p.RewriteFrom || p.Sender == "" || seen.froms == 1 && isAlone(seen.author, p) {
		return ""
	}
	return before + p.senderAddress() + after
}

// isAlone reports whether the envelope sender is the only author.
func isAlone(from string, p Params) bool {
	addrs, bad := mailaddr.ParseList(mailaddr.Complete(from, p.address))
	sender, err := mailaddr.Parse(p.senderAddress())
	return err == nil && len(addrs) == 1 && len(bad) == 0 && addrs[0].Key() == sender.Key()
}

// newAuthor is the value of a From field for a message without one.
func newAuthor(p Params) string {
	addr := p.senderAddress()
	if addr == "" {
		addr = mailaddr.Complete(Clean(p.Author), p.address)
	}
	name := phrase(Clean(p.FullName))
	if name == "" {
		return addr
	}
	// On a line of its own, where a long name leaves it room.
	if len(name)+len(addr) > maxFullName {
		name += "\n"
	}
	return name + " <" + addr + ">"
}

// address is the address of a bare name of this host.
func (p Params) address(name string) string {
	if p.Address == nil {
		return name + "@" + Clean(p.Hostname)
	}
	return Clean(p.Address(name))
}

func (p Params) senderAddress() string { return mailaddr.Complete(Clean(p.Sender), p.address) }

// phrase writes a person's name so that it can stand before an address: as it is,
// quoted (RFC 5322 3.2.5), or encoded (RFC 2047 5).
func phrase(name string) string {
	name = strings.TrimSpace(strings.ToValidUTF8(name, "?"))
	if len(name) > maxFullName {
		name = strings.ToValidUTF8(name[:maxFullName], "")
	}
	plain := true
	for _, r := range name {
		if r >= utf8.RuneSelf {
			// Base64: in this place, Q encoding would need more than mime's does.
			return strings.ReplaceAll(mime.BEncoding.Encode("utf-8", name), "?= =?", "?=\n =?")
		}
		plain = plain && (r == ' ' || isAtom(r))
	}
	if plain {
		return name
	}
	return mailaddr.Quote(name)
}

func isAtom(r rune) bool {
	return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("!#$%&'*+-/=?^_`{|}~", r)
}

// inComment quotes what would end or nest a comment (RFC 5322 3.2.2).
func inComment(s string) string {
	if !strings.ContainsAny(s, `()\`) {
		return s
	}
	return strings.NewReplacer(`\`, `\\`, `(`, `\(`, `)`, `\)`).Replace(s)
}

// Clean replaces control characters, so that s cannot end the line that it is
// written into. Everything was checked before it came here (RULES A6); this makes
// a mistake there harmless.
func Clean(s string) string {
	isControl := func(r rune) bool { return r < 0x20 || r == 0x7f }
	if strings.IndexFunc(s, isControl) < 0 {
		return s
	}
	return strings.Map(func(r rune) rune {
		if isControl(r) {
			return '?'
		}
		return r
	}, s)
}
