//go:build system

package compat

import (
	"fmt"
	"strings"
)

// with is a message with the fields, Date, From and Message-Id.
func with(fields string) string { return letterHeader + fields + "\n\nbody\n" }

// headerCases are recipients that -t takes from the header.
func headerCases() []testCase {
	var many []string
	for i := range 60 {
		many = append(many, fmt.Sprintf("r%02d@far.example", i))
	}
	return []testCase{
		{name: "t-to", line: "-t", in: with("To: x@far.example")},
		{name: "t-cc", line: "-t", in: with("Cc: x@far.example")},
		{name: "t-bcc", line: "-t", in: with("Bcc: x@far.example")},
		{name: "t-all", line: "-t", in: with("To: x@far.example\nCc: y@far.example\nBcc: z@far.example")},
		{name: "t-local", line: "-t", in: with("To: alice\nCc: bob@localhost\nBcc: carol@client.example.net")},
		{name: "t-alias", line: "-t", in: with("To: team")},
		{name: "t-none", line: "-t", in: with("Subject: s")},
		{name: "t-no-header", line: "-t", in: "\nbody\n"},
		{name: "t-nothing", line: "-t", in: nothing},
		{name: "t-empty-field", line: "-t", in: with("To:")},
		{name: "t-empty-field-and-cc", line: "-t", in: with("To:\nCc: x@far.example")},
		{name: "t-two-fields", line: "-t", in: with("To: x@far.example\nTo: y@far.example")},
		{name: "t-capitals", line: "-t", in: with("TO: x@far.example\nCC: y@far.example\nBCC: z@far.example")},
		{name: "t-small", line: "-t", in: with("to: x@far.example\ncc: y@far.example\nbcc: z@far.example")},
		{name: "t-no-blank", line: "-t", in: with("To:x@far.example")},
		{name: "t-many-blanks", line: "-t", in: with("To: \t  x@far.example  ")},
		{name: "t-blank-before-colon", line: "-t", in: with("To : x@far.example")},
		{name: "t-like-to", line: "-t y@far.example", in: with("To-Do: x@far.example\nX-To: x@far.example\nToo: x@far.example")},
		{name: "t-apparently", line: "-t y@far.example", in: with("Apparently-To: x@far.example")},
		{name: "t-reply-to", line: "-t y@far.example", in: with("Reply-To: x@far.example\nSender: x@far.example")},
		{name: "t-in-body", line: "-t", in: with("To: x@far.example") + "To: y@far.example\nCc: z@far.example\n"},
		{name: "t-argv", line: "-t y@far.example", in: with("To: x@far.example")},
		{name: "t-argv-same", line: "-t x@far.example", in: with("To: x@far.example")},
		{name: "t-argv-bcc", line: "-t y@far.example", in: with("To: x@far.example\nBcc: z@far.example")},
		{name: "t-argv-unknown", line: "-t nosuchuser", in: with("To: x@far.example")},
		{name: "t-argv-only", line: "-t y@far.example", in: with("Subject: s")},

		{name: "t-list", line: "-t", in: with("To: x@far.example, y@far.example,z@far.example")},
		{name: "t-folded", line: "-t", in: with("To: x@far.example,\n y@far.example,\n\tz@far.example")},
		{name: "t-folded-before", line: "-t", in: with("To:\n x@far.example")},
		{name: "t-folded-in-comment", line: "-t", in: with("To: x@far.example (a\n b), y@far.example")},
		{name: "t-folded-in-brackets", line: "-t", in: with("To: Ann\n <x@far.example>")},
		{name: "t-folded-in-quotes", line: "-t", in: with("To: \"Ann\n Lee\" <x@far.example>")},
		{name: "t-folded-last", line: "-t", in: letterHeader + "To: x@far.example,\n y@far.example\n"},
		{name: "t-folded-no-comma", line: "-t", in: with("To: x@far.example\n (Ann)")},
		{name: "t-many", line: "-t", in: with("To: " + strings.Join(many, ",\n "))},
		{name: "t-commas", line: "-t", in: with("To: , x@far.example,, y@far.example,")},
		{name: "t-semicolon", line: "-t", in: with("To: x@far.example; y@far.example")},
		{name: "t-duplicates", line: "-t", in: with("To: x@far.example, x@far.example\nCc: x@far.example")},
		{name: "t-name", line: "-t", in: with("To: Ann Lee <x@far.example>, Bob <y@far.example>")},
		{name: "t-name-quoted", line: "-t", in: with(`To: "Lee, Ann" <x@far.example>, "Bob \"B\" <b@c>" <y@far.example>`)},
		{name: "t-name-dot", line: "-t", in: with("To: Ann B. Lee <x@far.example>")},
		{name: "t-name-at", line: "-t", in: with(`To: "a@b.example" <x@far.example>`)},
		{name: "t-encoded", line: "-t", in: with("To: =?utf-8?q?Ann=2C_Lee?= <x@far.example>, =?utf-8?b?Qm9i?= <y@far.example>")},
		{name: "t-encoded-comma", line: "-t", in: with("To: =?utf-8?q?Ann,_Lee?= <x@far.example>")},
		{name: "t-8-bit-name", line: "-t", in: with("To: J\u00fcrgen <x@far.example>")},
		{name: "t-comment", line: "-t", in: with("To: x@far.example (Ann Lee)")},
		{name: "t-comment-first", line: "-t", in: with("To: (Ann Lee) x@far.example")},
		{name: "t-comment-comma", line: "-t", in: with("To: x@far.example (Lee, Ann), y@far.example")},
		{name: "t-comment-nested", line: "-t", in: with("To: x@far.example (a (b, c) d), y@far.example")},
		{name: "t-comment-quoted", line: "-t", in: with(`To: x@far.example (a \) b), y@far.example`)},
		{name: "t-comment-alone", line: "-t", in: with("To: (nobody)\nCc: x@far.example")},
		{name: "t-group", line: "-t", in: with("To: list: x@far.example, y@far.example;")},
		{name: "t-group-and-more", line: "-t", in: with("To: list: x@far.example, Bob <y@far.example>;, z@far.example")},
		{name: "t-group-empty", line: "-t", in: with("To: undisclosed-recipients:;\nBcc: x@far.example")},
		{name: "t-group-empty-alone", line: "-t", in: with("To: undisclosed-recipients: ;")},
		{name: "t-group-quoted", line: "-t", in: with(`To: "a list": x@far.example;`)},
		{name: "t-quoted-local", line: "-t", in: with(`To: "a b"@far.example`)},
		{name: "t-quoted-comma", line: "-t", in: with(`To: "a,b"@far.example, y@far.example`)},
		{name: "t-quoted-escape", line: "-t", in: with(`To: "a\"b"@far.example`)},
		{name: "t-blanks-around-at", line: "-t", in: with("To: x @ far . example")},
		{name: "t-route", line: "-t", in: with("To: <@a.example,@b.example:x@far.example>")},
		{name: "t-null", line: "-t", in: with("To: <>\nCc: x@far.example")},
		{name: "t-two-brackets", line: "-t", in: with("To: <x@far.example> <y@far.example>")},
		{name: "t-no-comma", line: "-t", in: with("To: x@far.example y@far.example")},
		{name: "t-open-quote", line: "-t", in: with(`To: "Ann <x@far.example>`)},
		{name: "t-open-comment", line: "-t", in: with("To: x@far.example (Ann")},
		{name: "t-close-comment", line: "-t", in: with("To: x@far.example Ann)")},
		{name: "t-open-bracket", line: "-t", in: with("To: Ann <x@far.example")},
		{name: "t-close-bracket", line: "-t", in: with("To: Ann x@far.example>")},
		{name: "t-unknown", line: "-t", in: with("To: nosuchuser")},
		{name: "t-unknown-and-known", line: "-t", in: with("To: nosuchuser, alice")},
		{name: "t-bad-and-good", line: "-t", in: with("To: a b c, x@far.example")},
		{name: "t-long-address", line: "-t", in: with("To: " + strings.Repeat("a", 1200) + "@far.example")},
		{name: "t-long-line", line: "-t", in: with("To: " + strings.Join(many, ", "))},

		{name: "resent-to", line: "-t", in: with("To: x@far.example\nResent-To: y@far.example")},
		{name: "resent-cc-bcc", line: "-t", in: with("To: x@far.example\nResent-Cc: y@far.example\nResent-Bcc: z@far.example")},
		{name: "resent-from-alone", line: "-t", in: with("To: x@far.example\nResent-From: ann@far.example")},
		{name: "resent-without-t", line: "y@far.example", in: with("To: x@far.example\nResent-To: z@far.example\nResent-Bcc: z@far.example")},

		{name: "bcc-without-t", line: "x@far.example", in: with("To: x@far.example\nBcc: y@far.example")},
		{name: "bcc-first", line: "x@far.example", in: "Bcc: y@far.example\n" + with("To: x@far.example")},
		{name: "bcc-folded", line: "x@far.example", in: with("Bcc: y@far.example,\n z@far.example,\n\tw@far.example\nTo: x@far.example")},
		{name: "bcc-last", line: "-t", in: letterHeader + "To: x@far.example\nBcc: y@far.example\n"},
		{name: "bcc-last-folded", line: "-t", in: letterHeader + "To: x@far.example\nBcc: y@far.example,\n z@far.example\n\nbody\n"},
		{name: "bcc-empty", line: "-t", in: with("To: x@far.example\nBcc:")},
		{name: "bcc-twice", line: "-t", in: with("Bcc: x@far.example\nSubject: s\nBcc: y@far.example")},
		{name: "bcc-in-body", line: "x@far.example", in: with("Subject: s") + "Bcc: y@far.example\n"},
		{name: "bcc-blank-before-colon", line: "x@far.example", in: with("Bcc : y@far.example")},
	}
}
