package maillog

import "strings"

// mostUrgent is the level that a line of a helper has at most: what is more urgent
// than a warning goes to terminals, and nothing about mail does.
const mostUrgent = 4

// Helper logs a line of a helper's, at its level (RFC 3164 4.1.1). who says whose
// word it is, where that matters; empty is the suite itself.
func (e Entry) Helper(level uint8, who, text string) {
	level = min(max(level, mostUrgent), uint8(debug&7))
	if who != "" {
		text = who + ": " + text
	}
	e.write(info&^7|priority(level), "%s", printable(text))
}

// Operated logs what somebody did to a message: held, released, removed.
func (e Entry) Operated(what string, uid uint32) {
	e.write(info, "%s by uid=%d", what, uid)
}

// printable is outcome.Clean for a text as long as a line, whose length is bounded
// where it is written.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r < 0x20, r >= 0x7f && r < 0xa0, r == '\uFFFD', r == '\u2028', r == '\u2029':
			return '?'
		}
		return r
	}, s)
}
