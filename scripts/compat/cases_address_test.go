//go:build system

package compat

import (
	"fmt"
	"strings"
)

// recipientCases are recipients on the command line.
func recipientCases() []testCase {
	var many []string
	for i := range 60 {
		many = append(many, fmt.Sprintf("r%02d@far.example", i))
	}
	return []testCase{
		{name: "none"},
		{name: "none-i", line: "-i"},
		{name: "one-local", line: "alice"},
		{name: "two-local", line: "alice bob"},
		{name: "local-and-far", line: "alice x@far.example"},
		{name: "many", words: many},
		{name: "root", line: "root"},
		{name: "local-capital", line: "Alice"},
		{name: "local-localhost", line: "alice@localhost"},
		{name: "local-localhost-capitals", line: "alice@LOCALHOST"},
		{name: "local-host", line: "alice@client.example.net"},
		{name: "local-host-capitals", line: "alice@Client.Example.NET"},
		{name: "local-short-host", line: "alice@client"},
		{name: "local-subdomain", line: "alice@sub.client.example.net"},
		{name: "local-trailing-dot", line: "alice@client.example.net."},
		{name: "local-extension", line: "alice+lists"},
		{name: "local-twice", line: "alice alice"},
		{name: "local-twice-qualified", line: "alice alice@localhost alice@client.example.net"},
		{name: "local-self", line: "{me}"},
		{name: "far-twice", line: "x@far.example x@far.example"},
		{name: "far-twice-domain-case", line: "x@far.example x@FAR.example"},
		{name: "far-twice-local-case", line: "x@far.example X@far.example"},
		{name: "unknown", line: "nosuchuser"},
		{name: "unknown-localhost", line: "nosuchuser@localhost"},
		{name: "unknown-twice", line: "nosuchuser nosuchuser2"},
		{name: "unknown-and-known", line: "nosuchuser alice"},
		{name: "known-and-unknown", line: "alice nosuchuser"},
		{name: "unknown-and-far", line: "nosuchuser x@far.example"},
		{name: "system-account", line: "daemon"},
		{name: "empty", line: "''"},
		{name: "empty-and-known", line: "'' alice"},
		{name: "at-alone", line: "@"},
		{name: "no-host", line: "alice@"},
		{name: "no-name", line: "@far.example"},
		{name: "two-ats", line: "a@b@far.example"},
		{name: "blank-inside", line: "'a b@far.example'"},
		{name: "blank-around", line: "' x@far.example '"},
		{name: "comma", line: "x@far.example,y@far.example"},
		{name: "comma-local", line: "alice,bob"},
		{name: "comma-blank", line: "'alice, bob'"},
		{name: "brackets", line: "'<x@far.example>'"},
		{name: "brackets-local", line: "'<alice>'"},
		{name: "brackets-empty", line: "'<>'"},
		{name: "display-name", line: "'Ann Lee <x@far.example>'"},
		{name: "comment", line: "'x@far.example (Ann)'"},
		{name: "group", line: "'list: x@far.example;'"},
		{name: "quoted", line: `'"a b"@far.example'`},
		{name: "quoted-needlessly", line: `'"x"@far.example'`},
		{name: "quoted-local", line: `'"alice"'`},
		{name: "backslash", line: `'a\ b@far.example'`},
		{name: "dot-first", line: ".x@far.example"},
		{name: "dots", line: "x..y@far.example"},
		{name: "dot-last", line: "x.@far.example"},
		{name: "host-dot-last", line: "x@far.example."},
		{name: "host-one-label", line: "x@far"},
		{name: "host-underscore", line: "x@a_b.example"},
		{name: "host-literal", line: "x@[192.0.2.1]"},
		{name: "host-literal-v6", line: "x@[IPv6:2001:db8::1]"},
		{name: "host-number", line: "x@192.0.2.1"},
		{name: "host-capitals", line: "X@FAR.example"},
		{name: "plus", line: "x+y@far.example"},
		{name: "specials", line: "'!#$%&*+-/=?^_`{|}~@far.example'"},
		{name: "percent", line: "x%y@far.example"},
		{name: "bang", line: "host!x"},
		{name: "pipe", line: "'|cat'"},
		{name: "file", line: "/tmp/file"},
		{name: "include", line: ":include:/tmp/list"},
		{name: "tab", words: []string{"a\tb@far.example"}},
		{name: "newline", words: []string{"x@far.example\ny@far.example"}},
		{name: "newline-smtp", words: []string{"x@far.example>\r\nRCPT TO:<y@far.example"}},
		{name: "return", words: []string{"x@far.example\r"}},
		{name: "control", words: []string{"x\x01@far.example"}},
		{name: "utf-8", words: []string{"j\u00fcrgen@far.example"}},
		{name: "utf-8-host", words: []string{"x@b\u00fccher.example"}},
		{name: "latin-1", words: []string{"j\xfcrgen@far.example"}},
		{name: "long-local", words: []string{strings.Repeat("a", 64) + "@far.example"}},
		{name: "longer-local", words: []string{strings.Repeat("a", 200) + "@far.example"}},
		{name: "longest", words: []string{strings.Repeat("a", 2000) + "@far.example"}},
		{name: "bad-and-good", words: []string{"a b@far.example", "alice"}},
		{name: "stranger", line: "alice x@far.example", as: asStranger},
		{name: "stranger-no-from", line: "alice x@far.example", in: "Subject: s\n\nbody\n", as: asStranger},
	}
}

// environmentCases are about who sends.
func environmentCases() []testCase {
	const bare = "Subject: s\n\nbody\n"
	return []testCase{
		{name: "env-none", line: "x@far.example", in: bare},
		{name: "env-email", line: "x@far.example", in: bare, env: []string{"EMAIL=a@b.example"}},
		{name: "env-email-name", line: "x@far.example", in: bare, env: []string{"EMAIL=Ann Lee <a@b.example>"}},
		{name: "env-email-comment", line: "x@far.example", in: bare, env: []string{"EMAIL=a@b.example (Ann Lee)"}},
		{name: "env-email-empty", line: "x@far.example", in: bare, env: []string{"EMAIL="}},
		{name: "env-email-login", line: "x@far.example", in: bare, env: []string{"EMAIL=bob"}},
		{name: "env-email-host", line: "x@far.example", in: bare, env: []string{"EMAIL=@b.example"}},
		{name: "env-email-bad", line: "x@far.example", in: bare, env: []string{"EMAIL=a b c"}},
		{name: "env-email-newline", line: "x@far.example", in: bare, env: []string{"EMAIL=a@b.example\nBcc: y@far.example"}},
		{name: "env-email-and-f", line: "-f c@d.example x@far.example", in: bare, env: []string{"EMAIL=a@b.example"}},
		{name: "env-email-and-f-null", line: "-f '<>' x@far.example", in: bare, env: []string{"EMAIL=a@b.example"}},
		{name: "env-email-and-from", line: "x@far.example", env: []string{"EMAIL=a@b.example"}},
		{name: "env-logname", line: "x@far.example", in: bare, env: []string{"LOGNAME={twin}"}},
		{name: "env-user", line: "x@far.example", in: bare, env: []string{"USER={twin}"}},
		{name: "env-logname-and-user", line: "x@far.example", in: bare, env: []string{"LOGNAME={me}", "USER={twin}"}},
		{name: "env-logname-of-another", line: "x@far.example", in: bare, env: []string{"LOGNAME=alice"}},
		{name: "env-user-of-another", line: "x@far.example", in: bare, env: []string{"USER=root"}},
		{name: "env-logname-of-nobody", line: "x@far.example", in: bare, env: []string{"LOGNAME=nosuchuser"}},
		{name: "env-name", line: "x@far.example", in: bare, env: []string{"NAME=Ann Lee"}},
		{name: "env-tz", line: "x@far.example", in: bare, env: []string{"TZ=Asia/Tokyo"}},
		{name: "env-locale", line: "x@far.example", in: bare, env: []string{"LC_ALL=de_DE.UTF-8"}},
		{name: "env-posix", line: "x@far.example -i", in: letter + ".\nmore\n", env: []string{"POSIXLY_CORRECT=1"}},
		{name: "env-hostname", line: "x@far.example", in: bare, env: []string{"HOSTNAME=other.example"}},
	}
}
