//go:build system

package compat

import (
	"slices"
	"strings"
)

// named is cases with a prefix to their names.
func named(prefix string, cases []testCase) []testCase {
	cases = slices.Clone(cases)
	for i := range cases {
		cases[i].name = prefix + cases[i].name
	}
	return cases
}

// senderCases show who a message is from.
func senderCases(prefix string) []testCase {
	const bare = "Subject: s\n\nbody\n"
	return named(prefix, []testCase{
		{name: "plain", line: "alice x@far.example", in: bare},
		{name: "f", line: "-f a@b.example alice x@far.example", in: bare},
		{name: "f-null", line: "-f '<>' x@far.example", in: bare},
		{name: "email", line: "x@far.example", in: bare, env: []string{"EMAIL=a@b.example"}},
		{name: "from", line: "x@far.example"},
		{name: "bare-from", line: "x@far.example", in: "From: root\nTo: bob\n\nbody\n"},
	})
}

func aliasCases(prefix string) []testCase {
	var list []testCase
	for _, to := range []string{
		"postmaster", "Postmaster", "team", "TEAM", "team@localhost", "team@client.example.net", "team@other.example",
		"nested", "blanks", "continued", "far", "mixed", "self", "loop", "ring", "twice", "quoted", "alice", "nosuchuser",
		"commented", "empty", "unknown", "unknownandknown", "qualified", "hash", "root", "capital", "Capital",
	} {
		list = append(list, testCase{name: prefix + to, line: "'" + to + "'"})
	}
	return append(list,
		testCase{name: prefix + "team-and-alice", line: "team alice"},
		testCase{name: prefix + "t", line: "-t", in: with("To: team, alice")},
	)
}

// busy is a smarthost that takes no mail now.
var busy = []string{"0|^RCPT TO:|450 4.2.1 not now"}

const aliasFile = `# a comment
postmaster: root
team: alice, bob
nested: team, carol
blanks  :   alice ,bob
continued: alice,
	bob,
  carol
far: x@far.example
mixed: alice, y@far.example
self: self, alice
loop: loop
ring: gnir
gnir: ring
twice: alice
twice: bob
quoted: "alice"
commented: alice # and bob
unknown: nosuchuser
unknownandknown: nosuchuser, alice
qualified: alice@client.example.net, bob@localhost
# hash: alice
Capital: alice
root: alice
`

// batches are all cases under their configurations.
func batches() []batch {
	bounces := []testCase{
		{name: "b-rcpt", line: "no@far.example", in: with("To: no@far.example\nSubject: lost") + "more\n"},
		{name: "b-rcpt-and-good", line: "no@far.example x@far.example"},
		{name: "b-to-far", line: "-f a@b.example no@far.example"},
		{name: "b-null", line: "-f '<>' no@far.example"},
		{name: "b-mail", line: "-f no@b.example x@far.example"},
		{name: "b-two", line: "no@far.example no2@far.example"},
		{name: "b-long-reply", line: "long@far.example"},
		{name: "b-utf-8", line: "no@far.example", in: with("Subject: h\u00e9llo") + "\u00e4\n"},
		{name: "b-no-header", line: "no@far.example", in: "\nbody\n"},
	}
	refusals := []string{
		"0|^RCPT TO:<no|550 5.1.1 nobody of that name",
		"0|^RCPT TO:<long|550-5.1.1 nobody of that name\r\n550-5.1.1 has ever been\r\n550 5.1.1 here",
		"0|^MAIL FROM:<no|550 5.7.1 not from you",
	}
	deferred := "From: root\nTo: bob\n\nbody\n"
	list := []batch{
		{name: "options", conf: smarthost, aliases: usualAliases, cases: optionCases()},
		{name: "empty queue", conf: smarthost, aliases: usualAliases, cases: queueCases()},
		{name: "recipients", conf: smarthost, aliases: usualAliases, cases: recipientCases()},
		{name: "environment", conf: smarthost, aliases: usualAliases, cases: environmentCases()},
		{name: "header", conf: smarthost, aliases: usualAliases, cases: headerCases()},
		{name: "messages", conf: smarthost, aliases: usualAliases, cases: messageCases()},
		{name: "aliases", conf: smarthost, aliases: aliasFile, cases: aliasCases("a-")},
		{name: "catch-all", conf: smarthost, aliases: usualAliases + "*: carol\n", cases: named("a-star-", []testCase{
			{name: "unknown", line: "nosuchuser"},
			{name: "known", line: "alice"},
			{name: "alias", line: "team"},
			{name: "local-host", line: "nosuchuser@localhost"},
			{name: "far", line: "x@far.example"},
			{name: "target", line: "carol"},
		})},
		{name: "bad alias file", conf: smarthost, aliases: "team: alice, bob\nnot an alias\nlist: carol\n", cases: named("a-bad-", []testCase{
			{name: "before", line: "team"},
			{name: "after", line: "list"},
			{name: "local", line: "alice"},
			{name: "far", line: "x@far.example"},
			{name: "newaliases", line: "newaliases", in: nothing},
		})},
		{name: "empty alias", conf: smarthost, aliases: "none:\nlist: carol\n", cases: named("a-empty-", []testCase{
			{name: "itself", line: "none"}, {name: "other", line: "list"}, {name: "newaliases", line: "newaliases", in: nothing},
		})},
		{name: "no alias file", conf: smarthost + "ALIASES /etc/no-aliases\n", cases: named("a-none-", []testCase{
			{name: "local", line: "alice"},
			{name: "far", line: "x@far.example"},
			{name: "root", line: "root"},
			{name: "newaliases", line: "newaliases", in: nothing},
		})},
		{name: "other alias file", conf: smarthost + "ALIASES /etc/other-aliases\n", files: map[string]string{"/etc/other-aliases": "other: bob\n"}, cases: named("a-other-", []testCase{
			{name: "there", line: "other"}, {name: "not-there", line: "team"},
		})},

		{name: "masquerade", conf: smarthost + "MASQUERADE joe@masq.example\n", aliases: usualAliases, cases: senderCases("c-masq-")},
		{name: "masquerade host", conf: smarthost + "MASQUERADE masq.example\n", aliases: usualAliases, cases: senderCases("c-masqhost-")},
		{name: "masquerade user", conf: smarthost + "MASQUERADE joe@\n", aliases: usualAliases, cases: senderCases("c-masquser-")},
		{name: "mailname", conf: smarthost + "MAILNAME mail.example.org\n", aliases: usualAliases, cases: append(senderCases("c-name-"), named("c-name-to-", localNames())...)},
		{name: "mailname file", conf: smarthost + "MAILNAME /etc/other-name\n", aliases: usualAliases, files: map[string]string{"/etc/other-name": "mail.example.org\nsecond.example.org\n"}, cases: append(senderCases("c-namefile-"), named("c-namefile-to-", localNames())...)},
		{name: "mailname missing", conf: smarthost + "MAILNAME /etc/no-name\n", aliases: usualAliases, cases: senderCases("c-noname-")},
		{name: "nullclient", conf: smarthost + "NULLCLIENT\n", aliases: usualAliases, cases: named("c-null-", []testCase{
			{name: "local", line: "alice"},
			{name: "local-host", line: "alice@localhost"},
			{name: "unknown", line: "nosuchuser"},
			{name: "alias", line: "team"},
			{name: "far", line: "x@far.example"},
			{name: "t", line: "-t", in: with("To: alice")},
		})},
		{name: "nullclient with masquerade", conf: smarthost + "NULLCLIENT\nMASQUERADE masq.example\nMAILNAME mail.example.org\n", aliases: usualAliases, cases: named("c-nullmasq-", []testCase{
			{name: "local", line: "alice"}, {name: "far", line: "x@far.example", in: "From: root\nTo: root\n\nbody\n"},
		})},
		{name: "comments", conf: "# comment\n  SMARTHOST 127.0.0.1 # the host\n\n\t#PORT 26\nPORT 2525\nFULLBOUNCE # yes\n", aliases: usualAliases, cases: named("c-comments-", []testCase{
			{name: "far", line: "x@far.example"}, {name: "local", line: "alice"},
		})},
		{name: "blanks", conf: strings.ReplaceAll(smarthost, "\n", " \n") + "MAILNAME mail.example.org  \n", aliases: usualAliases, cases: named("c-blanks-", []testCase{
			{name: "far", line: "x@far.example"},
		})},
		{name: "unknown key", conf: smarthost + "NOSUCHKEY value\n", aliases: usualAliases, cases: named("c-unknown-key-", []testCase{
			{name: "far", line: "x@far.example"},
		}), after: named("c-unknown-key-", []testCase{{name: "mailq", line: "mailq", in: nothing, looks: true}})},

		{name: "bounces", conf: smarthost, aliases: usualAliases, answers: refusals, cases: bounces},
		{name: "full bounces", conf: smarthost + "FULLBOUNCE\n", aliases: usualAliases, answers: refusals, cases: named("full", bounces)},
		{name: "refused message", conf: smarthost, aliases: usualAliases, answers: []string{"0|^EOD|554 5.6.0 not this"}, cases: named("b-eod-", []testCase{
			{name: "one", line: "x@far.example"},
		})},
		{name: "busy", conf: smarthost, aliases: usualAliases, answers: busy, cases: named("q-busy-", []testCase{
			{name: "three", line: "-f a@b.example x@far.example y@far.example z@far.example", in: deferred},
			{name: "one", line: "-f c@d.example w@far.example", in: deferred},
			{name: "null", line: "-f '<>' v@far.example", in: deferred},
		}), after: named("q-busy-", []testCase{
			{name: "mailq-root", line: "mailq", in: nothing, as: asRoot, looks: true},
			{name: "bp-root", line: "-bp", in: nothing, as: asRoot, looks: true},
			{name: "mailq-user", line: "mailq", in: nothing, looks: true},
		})},
		{name: "one queued", conf: smarthost + "DEFER\n", aliases: usualAliases, cases: named("q-one-", []testCase{
			{name: "send", line: "-f a@b.example x@far.example"},
		}), after: named("q-one-", []testCase{
			{name: "mailq", line: "mailq", in: nothing, as: asRoot}, // and delivers nothing
		})},
		{name: "deferred", conf: smarthost + "DEFER\n", aliases: usualAliases, cases: named("q-defer-", []testCase{
			{name: "far", line: "-f a@b.example x@far.example"}, {name: "local", line: "-f a@b.example alice"}, {name: "alias", line: "-f a@b.example team"},
		}), after: named("q-defer-", []testCase{
			{name: "mailq", line: "mailq", in: nothing, as: asRoot, looks: true},
			{name: "flush", line: "-q", in: nothing, as: asRoot},
			{name: "mailq-after", line: "mailq", in: nothing, as: asRoot, looks: true},
		})},
		{name: "queue only", conf: smarthost, aliases: usualAliases, cases: named("q-bq-", []testCase{
			{name: "far", line: "-bq -f a@b.example x@far.example"}, {name: "separate", line: "-b q -f a@b.example y@far.example"}, {name: "local", line: "-bq -f a@b.example alice"},
		}), after: named("q-bq-", []testCase{ // any runner tries these: mailq may show them or not
			{name: "flush", line: "-q", in: nothing, as: asRoot},
			{name: "mailq-after", line: "mailq", in: nothing, as: asRoot, looks: true},
		})},
	}
	return append(list, monitorBatches()...)
}

// localNames are recipients that are local or not, as the host is called.
func localNames() []testCase {
	return []testCase{
		{name: "bare", line: "alice"},
		{name: "localhost", line: "alice@localhost"},
		{name: "mailname", line: "alice@mail.example.org"},
		{name: "hostname", line: "alice@client.example.net"},
	}
}
