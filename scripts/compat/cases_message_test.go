//go:build system

package compat

import "strings"

// messageCases are messages of all shapes. Each goes to the smarthost and into a
// mailbox.
func messageCases() []testCase {
	all := make([]byte, 256)
	for i := range all {
		all[i] = byte(i)
	}
	shapes := []struct{ name, in string }{
		{"complete", letter},
		{"empty-message", nothing},
		{"newline-only", "\n"},
		{"two-newlines", "\n\n"},
		{"header-only", letterHeader},
		{"header-only-empty-line", letterHeader + "\n"},
		{"header-only-no-newline", strings.TrimSuffix(letterHeader, "\n")},
		{"header-subject-only", "Subject: s\n"},
		{"body-only", "\nbody\n"},
		{"body-without-empty-line", "body\n"},
		{"body-two-lines", "body\nmore\n"},
		{"body-like-a-header", "Dear Ann: hello\nmore\n"},
		{"body-with-colon", "http://far.example/\nmore\n"},
		{"header-then-body", letterHeader + "body\nmore\n"},
		{"header-then-body-then-empty-line", letterHeader + "body\n\nTo: x\n"},
		{"body-starts-empty", letterHeader + "\n\n\nbody\n"},
		{"body-ends-empty", letter + "\n\n\n"},
		{"blanks-line", letterHeader + " \nbody\n"},
		{"no-final-newline", letterHeader + "\nbody"},
		{"no-final-newline-two-lines", letterHeader + "\nbody\nmore"},

		{"no-date", "From: Ann <ann@far.example>\nMessage-Id: <given@far.example>\n\nbody\n"},
		{"no-message-id", "From: Ann <ann@far.example>\nDate: Thu, 01 Feb 2001 03:04:05 +0000\n\nbody\n"},
		{"no-from", "Date: Thu, 01 Feb 2001 03:04:05 +0000\nMessage-Id: <given@far.example>\n\nbody\n"},
		{"names-in-capitals", strings.ToUpper("Date: x\nMessage-Id: <y@z>\nFrom: a@b.example\n") + "\nbody\n"},
		{"names-in-small", strings.ToLower("Date: x\nMessage-Id: <y@z>\nFrom: a@b.example\n") + "\nbody\n"},
		{"empty-from", "Date: x\nMessage-Id: <y@z>\nFrom:\n\nbody\n"},
		{"two-froms", letterHeader + "From: b@far.example\n\nbody\n"},
		{"bare-from", "Date: x\nMessage-Id: <y@z>\nFrom: root\n\nbody\n"},
		{"bare-from-name", "Date: x\nMessage-Id: <y@z>\nFrom: Cron Daemon <root>\n\nbody\n"},
		{"bare-from-comment", "Date: x\nMessage-Id: <y@z>\nFrom: root (Cron Daemon)\n\nbody\n"},
		{"bare-to", letterHeader + "To: root\nCc: Ann <alice>, bob\n\nbody\n"},
		{"bare-sender", letterHeader + "Sender: root\nReply-To: root\n\nbody\n"},
		{"from-localhost", "Date: x\nMessage-Id: <y@z>\nFrom: root@localhost\n\nbody\n"},
		{"sender-field", letterHeader + "Sender: Bob <bob@far.example>\n\nbody\n"},
		{"return-path", "Return-Path: <y@far.example>\n" + letter},
		{"received", "Received: from a.example by b.example; Thu, 01 Feb 2001 03:04:05 +0000\n" + letter},
		{"delivered-to", "Delivered-To: x@elsewhere.example\n" + letter},
		{"folded-subject", letterHeader + "Subject: a\n b\n\tc\n\nbody\n"},
		{"odd-fields", letterHeader + "X:\nX-y: \nx_1!: z\nSubject:no blank\n\nbody\n"},
		{"signed", letterHeader + "To: root\nDKIM-Signature: v=1; a=rsa-sha256\n\nbody\n"},
		{"mime", letterHeader + "MIME-Version: 1.0\nContent-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: 8bit\n\nb\u00f6dy\n"},
		{"8-bit-subject", letterHeader + "Subject: h\u00e9llo\n\nbody\n"},
		{"latin-1-subject", letterHeader + "Subject: h\xe9llo\n\nbody\n"},
		{"long-subject", letterHeader + "Subject: " + strings.Repeat("x", 900) + "\n\nbody\n"},
		{"longer-subject", letterHeader + "Subject: " + strings.Repeat("x", 2000) + "\n\nbody\n"},
		{"continuation-first", " x\n" + letter},
		{"colon-first", ": x\n" + letter},

		{"from-line", "From ann Thu Feb  1 03:04:05 2001\n" + letter},
		{"from-line-quoted", ">From ann Thu Feb  1 03:04:05 2001\n" + letter},
		{"from-line-inside", letterHeader + "From ann Thu Feb  1 03:04:05 2001\nSubject: s\n\nbody\n"},
		{"from-in-body", letter + "From here\n>From there\n>>From\n>>From x\nFromage\n\nFrom x\n"},

		{"crlf", strings.ReplaceAll(letter, "\n", "\r\n")},
		{"crlf-header-only", strings.ReplaceAll(letterHeader, "\n", "\r\n") + "\nbody\n"},
		{"crlf-in-body", letter + "a\r\nb\nc\r\n"},
		{"crlf-last", letter + "a\r"},
		{"bare-returns", letter + "a\rb\r\rc\n"},
		{"return-before-crlf", letter + "a\r\r\nb\n"},

		{"dot", letter + ".\nmore\n"},
		{"dot-first", ".\n" + letter},
		{"dot-in-header", letterHeader + ".\nSubject: s\n\nbody\n"},
		{"dot-last", letter + "."},
		{"dot-crlf", letter + ".\r\nmore\n"},
		{"dot-blank", letter + ". \n..\n.x\n..x\n...\nmore\n"},

		{"line-76", letter + strings.Repeat("x", 76) + "\n"},
		{"line-990", letter + strings.Repeat("x", 990) + "\n"},
		{"line-998", letter + strings.Repeat("x", 998) + "\n"},
		{"line-999", letter + strings.Repeat("x", 999) + "\n"},
		{"line-1000", letter + strings.Repeat("x", 1000) + "\n"},
		{"line-1500", letter + strings.Repeat("x", 1500) + "\n"},
		{"line-10000", letter + strings.Repeat("0123456789", 1000) + "\n"},
		{"line-no-newline", letter + strings.Repeat("x", 3000)},

		{"nul", letter + "a\x00b\nc\n"},
		{"nul-in-header", letterHeader + "Subject: a\x00b\n\nbody\n"},
		{"nul-line", letter + "\x00\nc\n"},
		{"utf-8-body", letter + "\u00e4\u00f6\u00fc \u20ac \U0001f600\n"},
		{"latin-1-body", letter + "\xe4\xf6\xfc\n"},
		{"control-characters", letter + "\x01\x07\x08\x0b\x0c\x1b\x1f\x7f\n"},
		{"all-bytes", letter + string(all) + "\n"},
		{"utf-8-bom", "\ufeff" + letter},
		{"tabs-and-blanks", letter + " \t x \t \n\t\n"},
		{"many-lines", letter + strings.Repeat("a line of text\n", 2000)},
		{"big", letter + strings.Repeat(strings.Repeat("0123456789", 7)+"\n", 10000)},
	}
	var list []testCase
	for _, s := range shapes {
		list = append(list, testCase{name: "m-" + s.name, line: "alice x@far.example", in: s.in})
	}
	for _, s := range shapes {
		if strings.HasPrefix(s.name, "dot") || strings.HasPrefix(s.name, "crlf") || s.name == "empty-message" {
			list = append(list, testCase{name: "mi-" + s.name, line: "-i alice x@far.example", in: s.in})
		}
	}
	return list
}
