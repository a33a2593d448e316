// Package idna writes domain names in ASCII, as the DNS has them (RFC 5891).
package idna

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"golang.org/x/net/idna"
)

// maxDomain bounds the names that are looked at, in bytes: no character takes fewer
// in ASCII than a quarter of what it has in UTF-8, and a name there has 253 (RFC
// 1035 2.3.4).
const maxDomain = 4 * 253

// ToASCII writes a domain name in ASCII. One that is in ASCII already it leaves
// alone, whatever it is: it may be a literal, or a name in a local network.
func ToASCII(domain string) (string, error) {
	switch {
	case IsASCII(domain):
		return domain, nil
	case !utf8.ValidString(domain):
		return "", errors.New("not UTF-8")
	case len(domain) > maxDomain:
		return "", fmt.Errorf("longer than %d bytes", maxDomain)
	}
	// As idna.Lookup is, with the limits of RFC 1035 2.3.4 as well, which leave no
	// label empty.
	profile := idna.New(idna.MapForLookup(), idna.BidiRule(), idna.StrictDomainName(true), idna.VerifyDNSLength(true))
	name, err := profile.ToASCII(domain)
	if err == nil && strings.HasSuffix(name, ".") { // RFC 5321 2.3.5 has none
		return "", errors.New("dot at the end")
	}
	return name, err
}

// IsASCII reports whether s has ASCII characters alone.
func IsASCII(s string) bool {
	return strings.IndexFunc(s, func(r rune) bool { return r >= utf8.RuneSelf }) < 0
}
