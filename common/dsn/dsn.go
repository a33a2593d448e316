// Package dsn has what a submitter may ask to hear about a delivery (RFC 3461):
// when to be told (NOTIFY), how much of the message to get back (RET), and what
// to call message and recipient then (ENVID, ORCPT).
package dsn

import (
	"errors"
	"fmt"
	"strings"
)

// Limits of RFC 3461, in bytes, of what is decoded.
const (
	MaxEnvID    = 100 // section 4.4
	MaxOriginal = 500 // section 4.2, of an ORCPT with its type
)

// Notify is when the sender is to be told about a recipient. Zero says nothing:
// the sender is told of failures and delays (RFC 3461 4.1).
type Notify uint8

// The conditions. Never excludes the others. Values are part of the spool's format.
const (
	Success Notify = 1
	Failure Notify = 2
	Delay   Notify = 4
	Never   Notify = 8

	maxNotify = Never
)

// Valid reports whether n is one that RFC 3461 4.1 allows.
func (n Notify) Valid() bool { return n <= maxNotify }

// Wants reports whether the sender is to be told when what happens.
func (n Notify) Wants(what Notify) bool {
	if n == 0 {
		n = Failure | Delay
	}
	return n&what != 0
}

// conditions are the words of NOTIFY.
var conditions = [...]struct {
	bit  Notify
	word string
}{{Never, "NEVER"}, {Success, "SUCCESS"}, {Failure, "FAILURE"}, {Delay, "DELAY"}}

// String is n as NOTIFY writes it; empty for zero.
func (n Notify) String() string {
	var words []string
	for _, c := range conditions {
		if n&c.bit != 0 {
			words = append(words, c.word)
		}
	}
	return strings.Join(words, ",")
}

// ParseNotify reads "never", or a list of "success", "failure" and "delay".
func ParseNotify(s string) (Notify, error) {
	var n Notify
	for word := range strings.SplitSeq(s, ",") {
		var bit Notify
		for _, c := range conditions {
			if strings.EqualFold(word, c.word) {
				bit = c.bit
			}
		}
		if bit == 0 {
			return 0, fmt.Errorf("%.40q is none of never, success, failure, delay", word)
		}
		n |= bit
	}
	if !n.Valid() {
		return 0, errors.New("never excludes the others")
	}
	return n, nil
}

// Ret is how much of a message comes back in a failure report. Values are part
// of the spool's format.
type Ret uint8

// What comes back.
const (
	RetDefault Ret = 0 // what this host is configured for
	RetFull    Ret = 1
	RetHeaders Ret = 2
)

// Valid reports whether r is one of them.
func (r Ret) Valid() bool { return r <= RetHeaders }

// String is r as RET writes it; empty for the default.
func (r Ret) String() string { return [...]string{"", "FULL", "HDRS"}[min(r, RetHeaders)] }

// ParseRet reads "full" or "hdrs".
func ParseRet(s string) (Ret, error) {
	for _, r := range []Ret{RetFull, RetHeaders} {
		if strings.EqualFold(s, r.String()) {
			return r, nil
		}
	}
	return 0, fmt.Errorf("%.40q is neither full nor hdrs", s)
}

// EncodeXText writes s as RFC 3461 4 has it in a command.
func EncodeXText(s string) string {
	var b strings.Builder
	for i := range len(s) {
		if c := s[i]; c > ' ' && c < 0x7f && c != '+' && c != '=' {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "+%02X", c)
		}
	}
	return b.String()
}

// DecodeXText reads what EncodeXText writes. The result is printable ASCII, blanks
// included, as RFC 3461 4.4 wants it of an ENVID.
func DecodeXText(s string) (string, error) {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c == '+' {
			if i+2 >= len(s) {
				return "", errors.New("+ without two hex digits behind it")
			}
			high, low := hex(s[i+1]), hex(s[i+2])
			if high < 0 || low < 0 {
				return "", errors.New("+ without two hex digits behind it")
			}
			c = byte(high<<4 | low)
			i += 2
		} else if c <= ' ' || c == '=' {
			return "", fmt.Errorf("byte %#x that is not encoded", c)
		}
		if c < ' ' || c >= 0x7f {
			return "", fmt.Errorf("byte %#x, which is not printable", c)
		}
		b.WriteByte(c)
	}
	return b.String(), nil
}

// hex is the value of an upper-case hex digit, -1 for anything else.
func hex(c byte) int { return strings.IndexByte("0123456789ABCDEF", c) }

// CheckEnvID reports why s may not be an envelope id.
func CheckEnvID(s string) error { return check("envelope id", s, MaxEnvID) }

// CheckOriginal reports why s may not be an original recipient: "type;address",
// decoded, as ORCPT gives it.
func CheckOriginal(s string) error {
	if kind, address, ok := strings.Cut(s, ";"); s != "" && (!ok || kind == "" || address == "") {
		return errors.New("original recipient: write type;address")
	}
	return check("original recipient", s, MaxOriginal)
}

func check(what, s string, limit int) error {
	if len(s) > limit {
		return fmt.Errorf("%s longer than %d bytes", what, limit)
	}
	for i := range len(s) {
		if s[i] < ' ' || s[i] >= 0x7f {
			return fmt.Errorf("%s with byte %#x, which is not printable", what, s[i])
		}
	}
	return nil
}
