// Package outcome is how a delivery ends: done, later or failed.
package outcome

import (
	"fmt"
	"strings"
)

// Class says what becomes of the target.
type Class uint8

// The three ends of an attempt. The zero value is none of them.
const (
	Done   Class = 1 // delivered; never tried again
	Later  Class = 2 // deferred: stays queued and is tried again
	Failed Class = 3 // permanent: the sender gets a bounce
)

func (c Class) String() string {
	switch c {
	case Done:
		return "done"
	case Later:
		return "later"
	case Failed:
		return "failed"
	}
	return "invalid"
}

// MaxText bounds Outcome.Text, in bytes (RULES E2).
const MaxText = 512

// Outcome is the end of one attempt at one target.
type Outcome struct {
	Class Class
	Code  string // RFC 3463 status code, as "4.4.1"; its first digit fits Class
	Text  string // one printable line of at most MaxText bytes, for log, mailq and bounce
}

// Defer makes a Later outcome. The text is cleaned, so foreign text may go into args.
func Defer(code, format string, args ...any) Outcome {
	return Outcome{Later, code, Clean(fmt.Sprintf(format, args...))}
}

// Fail makes a Failed outcome; see Defer.
func Fail(code, format string, args ...any) Outcome {
	return Outcome{Failed, code, Clean(fmt.Sprintf(format, args...))}
}

// Success makes a Done outcome; see Defer.
func Success(format string, args ...any) Outcome {
	return Outcome{Done, "2.0.0", Clean(fmt.Sprintf(format, args...))}
}

// Valid reports whether o may cross a channel or a spool file: a known class, a
// well-formed code of that class, a clean text.
func (o Outcome) Valid() bool {
	want := map[Class]byte{Done: '2', Later: '4', Failed: '5'}[o.Class]
	return want != 0 && ValidCode(o.Code) && o.Code[0] == want && len(o.Text) <= MaxText && Clean(o.Text) == o.Text
}

// ValidCode reports whether s is an enhanced status code (RFC 3463 section 2).
func ValidCode(s string) bool {
	parts := strings.Split(s, ".")
	if len(parts) != 3 || len(parts[0]) != 1 || !strings.Contains("245", parts[0]) {
		return false
	}
	for _, p := range parts[1:] {
		if len(p) < 1 || len(p) > 3 || strings.Trim(p, "0123456789") != "" {
			return false
		}
	}
	return true
}

// Clean makes foreign text fit for one line of a log, a bounce or a terminal:
// control bytes and what is not UTF-8 become '?', runs of blanks one blank, and
// what is over MaxText is cut at a character.
func Clean(s string) string {
	if len(s) > 4*MaxText { // do not clean a megabyte in order to keep its head
		s = s[:4*MaxText]
	}
	var b strings.Builder
	blank := true // drops leading blanks
	for _, r := range s {
		switch {
		case r == ' ' || r == '\t' || r == '\r' || r == '\n':
			if !blank {
				b.WriteByte(' ')
			}
			blank = true
			continue
		case r < 0x20, r == 0x7f, r >= 0x80 && r < 0xa0, r == '\uFFFD', r == '\u2028', r == '\u2029':
			r = '?'
		}
		if b.Len()+4 > MaxText {
			break
		}
		b.WriteRune(r)
		blank = false
	}
	return strings.TrimRight(b.String(), " ")
}
