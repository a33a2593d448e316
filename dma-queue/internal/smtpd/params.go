package smtpd

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"dma/common/dsn"
)

// param is one of the words that follow an address (RFC 5321 4.1.2, esmtp-param).
type param struct {
	key, value string // key in upper case
}

func (p param) malformed(hint string) error {
	return refuse(501, "5.5.4", "%.40s=%.40s: %s", p.key, p.value, hint)
}

func (p param) unknown() error { return refuse(555, "5.5.4", "%.40s is not known here", p.key) }

// operands takes what follows MAIL or RCPT apart.
func operands(arg, word string) (path string, params []param, err error) {
	if len(arg) < len(word) || !strings.EqualFold(arg[:len(word)], word) {
		return "", nil, refuse(501, "5.5.4", "write %s<address>", word)
	}
	arg = strings.TrimLeft(arg[len(word):], " ")
	n := pathLen(arg)
	path, rest := arg[:n], arg[n:]
	if path == "" || rest != "" && rest[0] != ' ' {
		return "", nil, refuse(501, "5.5.4", "write %s<address>", word)
	}
	seen := make(map[string]bool)
	for _, f := range strings.Fields(rest) {
		p := param{}
		p.key, p.value, _ = strings.Cut(f, "=")
		p.key = strings.ToUpper(p.key)
		if seen[p.key] {
			return "", nil, p.malformed("it stands there twice")
		}
		seen[p.key] = true
		params = append(params, p)
	}
	return path, params, nil
}

// pathLen is the length of the address that s begins with: up to a closing angle
// bracket or, without an opening one, to a blank, outside quotes.
func pathLen(s string) int {
	angle, quoted := strings.HasPrefix(s, "<"), false
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '\\' && quoted:
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case angle && c == '>':
			return i + 1
		case !angle && c == ' ':
			return i
		}
	}
	return len(s)
}

// notAddress is the refusal of what mailaddr does not take.
func notAddress(err error, status string) error {
	var r *Refusal
	if errors.As(err, &r) {
		return r
	}
	return refuse(553, status, "not an address: %w", err)
}

// checkUTF8: RFC 6531 3.4 wants to be told of such addresses.
func checkUTF8(path string, announced bool) error {
	if announced || isASCII(path) {
		return nil
	}
	return refuse(553, "5.6.7", "an address that is not ASCII needs SMTPUTF8 behind MAIL")
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// original reads the value of ORCPT into the form that a spool keeps. An address of
// type utf-8 is kept as it would be sent to a server without SMTPUTF8 (RFC 6533 3).
func original(value string) (string, error) {
	kind, address, ok := strings.Cut(value, ";")
	if !ok {
		return "", errors.New("write type;address")
	}
	var err error
	switch {
	case strings.EqualFold(kind, "utf-8"):
		address, err = embedUTF8(address)
	default:
		address, err = dsn.DecodeXText(address)
	}
	if err != nil {
		return "", err
	}
	original := kind + ";" + address
	return original, dsn.CheckOriginal(original)
}

// embedUTF8 writes characters outside ASCII as \x{HEX}.
func embedUTF8(s string) (string, error) {
	if !utf8.ValidString(s) {
		return "", errors.New("not UTF-8")
	}
	var b strings.Builder
	for _, r := range s {
		if r < utf8.RuneSelf {
			b.WriteRune(r)
		} else {
			fmt.Fprintf(&b, `\x{%X}`, r)
		}
	}
	return b.String(), nil
}
