// Package mailaddr reads mail addresses: single ones as they stand on a command
// line or in an envelope, and the lists of a message header.
package mailaddr

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// Limits, in bytes.
const (
	MaxAddr   = 1000 // one address or other field of an envelope (RULES A6)
	MaxSMTP   = 256  // one path in SMTP, angle brackets included (RFC 5321 4.5.3.1.3)
	maxDomain = 255  // one domain (RFC 1035 2.3.4)
	maxLabel  = 63   // one label of an ASCII domain (RFC 1035 2.3.4)
)

// Errors of Check.
var (
	ErrEmpty   = errors.New("empty address")
	ErrTooLong = errors.New("longer than 1000 bytes") // MaxAddr
	ErrControl = errors.New("contains a control character")
)

// Addr is an address taken apart. The zero value is the null sender.
type Addr struct {
	Local  string // exactly as on the wire, quotes included
	Domain string // without a final dot; empty for a bare local name
}

// IsNull reports whether a is the null sender.
func (a Addr) IsNull() bool { return a == Addr{} }

// String is the address as it goes into an envelope: empty for the null sender.
func (a Addr) String() string {
	if a.Domain == "" {
		return a.Local
	}
	return a.Local + "@" + a.Domain
}

// Key is what two addresses of one mailbox have in common: the domain is in
// lower case. Local parts differ by case (RFC 5321 2.4).
func (a Addr) Key() string {
	a.Domain = strings.ToLower(a.Domain)
	return a.String()
}

// In gives a the domain if it has none.
func (a Addr) In(domain string) Addr {
	if a.Domain == "" && a.Local != "" {
		a.Domain = domain
	}
	return a
}

// Check reports why s may not be a field of an envelope (RULES A6): empty, too
// long, or a control character inside.
func Check(s string) error {
	if s == "" {
		return ErrEmpty
	}
	if len(s) > MaxAddr {
		return ErrTooLong
	}
	for i := range len(s) {
		if s[i] < 0x20 || s[i] == 0x7f {
			return ErrControl
		}
	}
	return nil
}

// ParseSender is Parse for senders: the empty string and <> are the null sender. A
// sender is always qualified before it goes anywhere, so one without a domain must
// leave room for whatever domain that will be.
func ParseSender(s string) (Addr, error) {
	if t := strings.Trim(s, " \t"); t == "" || t == "<>" {
		return Addr{}, nil
	}
	a, err := Parse(s)
	if err == nil && a.Domain == "" && len(a.Local) > MaxAddr-maxDomain-len("@") {
		return Addr{}, fmt.Errorf("%w with a domain", ErrTooLong)
	}
	return a, err
}

// Parse reads one bare address: a local name, local@domain, or either in angle
// brackets. A source route is dropped (RFC 5321 appendix C), and so is the final
// dot of the domain. Neither comments nor display names belong here; ParseList
// takes them.
func Parse(s string) (Addr, error) {
	if a, ok := plain(s); ok {
		return a, nil
	}
	s = strings.Trim(s, " \t")
	if err := Check(s); err != nil {
		return Addr{}, err
	}
	if s[0] == '<' {
		if len(s) < 2 || s[len(s)-1] != '>' {
			return Addr{}, errors.New("no closing angle bracket")
		}
		s = s[1 : len(s)-1]
	}
	s, err := dropRoute(s)
	if err != nil {
		return Addr{}, err
	}
	return parseSpec(s)
}

// plain reads, in one pass, what nearly all addresses are: letters, digits and
// dots. Alias files hold many of them.
func plain(s string) (Addr, bool) {
	at, label := -1, 0 // where the @ is; where the label begins
	for i := range len(s) {
		switch c := s[i]; {
		case inLabel(c):
		case c == '.' && at < 0:
		case c == '.' && i > label:
			label = i + 1
		case c == '@' && at < 0 && i > 0:
			at, label = i, i+1
		default:
			return Addr{}, false
		}
	}
	if at < 0 {
		return Addr{Local: s}, s != "" && len(s) <= MaxAddr
	}
	a := Addr{s[:at], s[at+1:]}
	return a, label < len(s) && len(s) <= MaxAddr && len(a.Domain) <= maxLabel
}

func parseSpec(s string) (Addr, error) {
	if s == "" {
		return Addr{}, ErrEmpty
	}
	local, domain, found := Split(s)
	if !found {
		if err := checkLocal(local); err != nil {
			return Addr{}, err
		}
		return Addr{Local: local}, nil
	}
	domain = strings.TrimSuffix(domain, ".")
	if err := checkLocal(local); err != nil {
		return Addr{}, err
	}
	if err := checkDomain(domain); err != nil {
		return Addr{}, err
	}
	return Addr{local, domain}, nil
}

// Split cuts s at its last @ outside quotes.
func Split(s string) (local, domain string, found bool) {
	quoted, at := false, -1
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case '"':
			quoted = !quoted
		case '@':
			if !quoted {
				at = i
			}
		}
	}
	if at < 0 {
		return s, "", false
	}
	return s[:at], s[at+1:], true
}

func dropRoute(s string) (string, error) {
	if s == "" || s[0] != '@' {
		return s, nil
	}
	hops, rest, found := strings.Cut(s, ":")
	if !found {
		return "", errors.New("no name before the @")
	}
	for hop := range strings.SplitSeq(hops, ",") {
		if hop = strings.Trim(hop, " \t"); hop == "" {
			continue // RFC 5322 4.4 lets empty hops be
		}
		if hop[0] != '@' || checkDomain(hop[1:]) != nil {
			return "", errors.New("malformed source route")
		}
	}
	return rest, nil
}

func checkLocal(s string) error {
	if s == "" {
		return errors.New("no name before the @")
	}
	if !utf8.ValidString(s) {
		return errors.New("not valid UTF-8")
	}
	return checkWords(s)
}

// checkWords: one or more words with dots between. Doubled, leading and trailing
// dots are wrong by RFC 5321 4.1.2 but in use, and do no harm.
func checkWords(s string) error {
	for s != "" {
		if s[0] == '"' {
			n := quotedLen(s)
			if n == 0 {
				return errors.New("no closing quote")
			}
			if s = s[n:]; s != "" && s[0] != '.' {
				return errors.New("text after the closing quote")
			}
			continue
		}
		n := 0
		for n < len(s) && !isSpecial(s[n]) {
			n++
		}
		if n == len(s) {
			return nil
		}
		if s[n] != '"' || n > 0 && s[n-1] != '.' {
			return fmt.Errorf("unquoted %q in the name", s[n])
		}
		s = s[n:]
	}
	return nil
}

// isSpecial: what ends an atom (RFC 5322 3.2.3), blanks included, the dot not.
func isSpecial(c byte) bool {
	switch c {
	case ' ', '\t', '\r', '\n', '"', '(', ')', ',', ':', ';', '<', '>', '@', '[', '\\', ']':
		return true
	}
	return false
}

// quotedLen is the length of the quoted string that s begins with, 0 if it does not end.
func quotedLen(s string) int {
	for i := 1; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
	return 0
}

func checkDomain(s string) error {
	switch {
	case s == "":
		return errors.New("no domain after the @")
	case len(s) > maxDomain:
		return fmt.Errorf("domain longer than %d bytes", maxDomain)
	case s[0] == '[':
		return checkLiteral(s)
	case !utf8.ValidString(s):
		return errors.New("not valid UTF-8")
	}
	return checkLabels(s)
}

func checkLiteral(s string) error {
	if len(s) < 3 || s[len(s)-1] != ']' {
		return errors.New("malformed address literal")
	}
	for i := 1; i < len(s)-1; i++ {
		if !inLiteral(s[i]) {
			return errors.New("malformed address literal")
		}
	}
	return nil
}

func checkLabels(s string) error {
	start, ascii := 0, true // of the label
	for i := 0; i <= len(s); i++ {
		switch {
		case i == len(s) || s[i] == '.':
			if i == start {
				return errors.New("empty label in the domain")
			}
			if i-start > maxLabel && ascii {
				return fmt.Errorf("domain label longer than %d bytes", maxLabel)
			}
			start, ascii = i+1, true
		case s[i] >= utf8.RuneSelf:
			ascii = false
		case !inLabel(s[i]):
			return fmt.Errorf("%q in the domain", s[i])
		}
	}
	return nil
}

func inLiteral(c byte) bool { return inLabel(c) || c == '.' || c == ':' }

func inLabel(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_'
}
