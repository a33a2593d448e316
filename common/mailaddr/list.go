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
// names, groups, comments, quoted strings, routes and folding. Encoded words stand
// in names and comments and are passed over with them, even those of programs that
// leave a comma in them (RFC 2047 5 forbids it). It gives the addresses in their
// order and the pieces that are none.
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
	return Complete(header, func(local string) string { return local + "@" + domain })
}

// Complete puts in the place of each address of a header value that has no domain
// what address makes of its local part, and leaves every other byte, and what is
// malformed, as it was.
func Complete(header string, address func(local string) string) string {
	if len(header) > MaxList {
		return header
	}
	var b strings.Builder
	done := 0
	for l := (list{text: header}); l.next(); {
		if l.err != nil || l.addr.Domain != "" {
			continue
		}
		local, whole := l.addr.Local, address(l.addr.Local)
		if domain, ok := strings.CutPrefix(whole, local); ok {
			b.WriteString(header[done:l.localEnd])
			b.WriteString(domain)
		} else {
			b.WriteString(header[done:l.addrStart])
			b.WriteString(whole)
		}
		done = l.localEnd
	}
	return b.String() + header[done:]
}

// First gives what stands around the first address of a header value: the display
// name and an angle bracket in front of it; a bracket and comments behind it. Name
// and comments stay as they are, but a name that is none (a bare address, say) is
// quoted. False: there is no address.
func First(header string) (before, after string, ok bool) {
	if len(header) > MaxList {
		return "", "", false
	}
	for l := (list{text: header}); l.next(); {
		if l.err != nil {
			continue
		}
		before = header[l.start:l.addrStart]
		after = strings.TrimRightFunc(header[l.addrEnd:l.pos], isBlank)
		if name, ok := strings.CutSuffix(strings.TrimRightFunc(before, isBlank), "<"); ok && !isPhrase(name) {
			before = Quote(strings.Join(strings.FieldsFunc(name, isBlank), " ")) + " <"
		}
		return before, after, true
	}
	return "", "", false
}

// isPhrase reports whether s is made of words, comments and dots alone (RFC 5322
// 3.2.5 and 4.1), or empty.
func isPhrase(s string) bool {
	l := list{text: s}
	l.skip()
	l.words()
	return l.pos == len(s) && !l.open
}

// Quote makes a quoted string of s (RFC 5322 3.2.4).
func Quote(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"`
}

func cut(s string) string {
	s = strings.Join(strings.FieldsFunc(s, isBlank), " ")
	if len(s) > maxBadText {
		s = s[:maxBadText]
	}
	return strings.ToValidUTF8(s, "?")
}

// Unquote is a local part without the quotes around it, if it has any: both mean
// the same (RFC 5321 4.1.2).
func Unquote(local string) string {
	if local == "" || local[0] != '"' || quotedLen(local) != len(local) {
		return local
	}
	local = local[1 : len(local)-1]
	if strings.IndexByte(local, '\\') < 0 {
		return local
	}
	b := make([]byte, 0, len(local))
	for i := 0; i < len(local); i++ {
		if local[i] == '\\' && i+1 < len(local) {
			i++
		}
		b = append(b, local[i])
	}
	return string(b)
}
