package mailaddr

import "strings"

// Limits of a list. What is over them is reported as one bad piece.
const (
	MaxList      = 1 << 20 // bytes in a header value (the header's own limit, RULES A8)
	MaxListAddrs = 10000   // addresses in a list
	maxBad       = 100     // bad pieces reported, the last of them standing for the rest
	maxBadText   = 200     // bytes of a bad piece that are kept
)

// ParseList reads the value of an address header (RFC 5322 3.4 and 4.4): display
// names, groups, comments, quoted strings, routes and folding. Encoded words can
// stand in names and comments only and are passed over with them. It gives the
// addresses in their order and the pieces that are none.
func ParseList(header string) (addrs []Addr, bad []string) {
	if len(header) > MaxList {
		return nil, []string{"list too long"}
	}
	l := list{text: header}
	for l.next() {
		switch {
		case l.err == nil && len(addrs) < MaxListAddrs:
			addrs = append(addrs, l.addr)
		case l.err == nil:
			return addrs, append(bad, "too many addresses")
		case len(bad) == maxBad-1:
			return addrs, append(bad, "too many malformed addresses")
		default:
			bad = append(bad, cut(l.text[l.start:l.pos]))
		}
	}
	return addrs, bad
}

// Qualify gives each address of a header value that has no domain this one, and
// leaves every other byte, and what is malformed, as it was.
func Qualify(header, domain string) string {
	if len(header) > MaxList {
		return header
	}
	var b strings.Builder
	done := 0
	for l := (list{text: header}); l.next(); {
		if l.err == nil && l.addr.Domain == "" {
			b.WriteString(header[done:l.localEnd])
			b.WriteString("@" + domain)
			done = l.localEnd
		}
	}
	return b.String() + header[done:]
}

func cut(s string) string {
	s = strings.Join(strings.FieldsFunc(s, isBlank), " ")
	if len(s) > maxBadText {
		s = s[:maxBadText]
	}
	return strings.ToValidUTF8(s, "?")
}
