package mailaddr

import (
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

type listCase struct {
	name, in  string
	want, bad []string
	qualified string // with the domain Q; empty: as it was
}

func lists() []listCase {
	one := func(s ...string) []string { return s }
	return []listCase{
		{name: "empty", in: ""},
		{name: "blank", in: " \r\n\t"},
		{name: "bare name", in: "root", want: one("root"), qualified: "root@Q"},
		{name: "leading blank", in: " root\r\n", want: one("root"), qualified: " root@Q\r\n"},
		{name: "name and bare address", in: "Root User <root>", want: one("root"), qualified: "Root User <root@Q>"},
		{name: "blanks inside brackets", in: "X < root > (c)", want: one("root"), qualified: "X < root@Q > (c)"},
		{name: "cron", in: "root (Cron Daemon)", want: one("root"), qualified: "root@Q (Cron Daemon)"},
		{name: "comment first", in: "(c) root", want: one("root"), qualified: "(c) root@Q"},
		{name: "full", in: "a@b", want: one("a@b")},
		{
			name: "list", in: "a@b, root,\r\n  \"Doe, J.\" <j@d>, joe", want: one("a@b", "root", "j@d", "joe"),
			qualified: "a@b, root@Q,\r\n  \"Doe, J.\" <j@d>, joe@Q",
		},
		{name: "holes", in: ",a@b,, ,c@d,", want: one("a@b", "c@d")},
		{name: "nested comments", in: `a@b (x (y, z@z) \) (w)) , c@d`, want: one("a@b", "c@d")},
		{name: "comments everywhere", in: "(1)a(2)@(3)b(4).(5)c(6)", want: one("a@b.c")},
		{name: "obsolete blanks around dots", in: "a . b @ c . d", want: one("a.b@c.d")},
		{name: "folded", in: "A\r\n B\r\n <a\r\n @b>", want: one("a@b")},
		{name: "group", in: "Friends: a@b, root; c@d", want: one("a@b", "root", "c@d"), qualified: "Friends: a@b, root@Q; c@d"},
		{name: "empty group", in: "undisclosed-recipients:;"},
		{name: "quoted group", in: `"A, B": a@b;`, want: one("a@b")},
		{name: "group not closed", in: "g: a@b, c@d", want: one("a@b", "c@d")},
		{name: "route", in: "X <@a,@b:c@d>, e@f", want: one("c@d", "e@f")},
		{name: "route to a bare name", in: "<@a:root>", want: one("root"), qualified: "<@a:root@Q>"},
		{name: "route outside brackets", in: "@a,@b:c@d, e@f", want: one("c@d", "e@f")},
		{name: "encoded word", in: "=?utf-8?q?J=2C_a=40b?= <j@d>", want: one("j@d")},
		{name: "comma in an encoded word", in: "=?utf-8?q?Doe,_J.?= <j@d>, a@b", want: one("j@d", "a@b")},
		{name: "brackets in an encoded word", in: "=?utf-8?Q?<x@y>_(z?= <j@d>", want: one("j@d")},
		{name: "address in an encoded word", in: "=?utf-8?q?x@y?= <j@d>", want: one("j@d")},
		{name: "encoded words", in: "=?a?b?Zg==?= =?a*en?Q?x;y?=\r\n =?a?q??= <j@d>", want: one("j@d")},
		{name: "encoded word in a comment", in: "j@d (=?utf-8?q?a=29?=), a@b", want: one("j@d", "a@b")},
		{name: "no encoded word", in: "=?a?x?b?=, =?a?q?b, =??q?c?=", want: one("=?a?x?b?=", "=?a?q?b", "=??q?c?="), qualified: "=?a?x?b?=@Q, =?a?q?b@Q, =??q?c?=@Q"},
		{name: "folded literal", in: "a@[1.2.\r\n 3.4]", want: one("a@[1.2.3.4]")},
		{name: "comment behind the route", in: "<@a (x),\r\n @b (y) : c@d>", want: one("c@d")},
		{name: "holes in a group", in: "g: ,, a@b ,; c@d", want: one("a@b", "c@d")},
		{name: "two groups", in: "g:a@b;, h:c@d;", want: one("a@b", "c@d")},
		{name: "group in a group", in: "g: h: a@b;;, c@d", want: one("a@b", "c@d")},
		{name: "obsolete bare name", in: "a . (x) b", want: one("a.b"), qualified: "a . (x) b@Q"},
		{name: "name with dot", in: "John Q. Public <j@d>", want: one("j@d")},
		{name: "utf-8", in: "Jürgen <jürgen@exämple.de>", want: one("jürgen@exämple.de")},
		{name: "latin-1 name", in: "J\xfcrgen <j@d>", want: one("j@d")},
		{name: "quoted local part", in: `"a b"@c, "d,e"`, want: one(`"a b"@c`, `"d,e"`), qualified: `"a b"@c, "d,e"@Q`},
		{name: "quoted word with dots", in: `a."b c".d@e`, want: one(`a."b c".d@e`)},
		{name: "literal", in: "a@[1.2.3.4], b@[IPv6:::1]", want: one("a@[1.2.3.4]", "b@[IPv6:::1]")},
		{name: "semicolons", in: "a@b; c@d", want: one("a@b", "c@d")},
		{name: "address as a name", in: "a@b <c@d>, e@f <root>", want: one("c@d", "root"), qualified: "a@b <c@d>, e@f <root@Q>"},
		{name: "brackets in a name", in: "CI [main] <a@b>, ] [x <root>", want: one("a@b", "root"), qualified: "CI [main] <a@b>, ] [x <root@Q>"},
		{name: "addresses in a name", in: "a@b via c@d. (e) <f@g>, h@i", want: one("f@g", "h@i")},
		{name: "backslash in a name", in: `DOM\user <a@b>`, want: one("a@b")},
		{name: "final dot", in: "a@b.", want: one("a@b")},

		{name: "null", in: "<>", bad: one("<>")},
		{name: "phrase alone", in: "Root User, a@b", want: one("a@b"), bad: one("Root User")},
		{name: "no comma", in: "a@b c@d, e@f", want: one("e@f"), bad: one("a@b c@d")},
		{name: "two in brackets", in: "<a@b> <c@d>, e@f", want: one("e@f"), bad: one("<a@b> <c@d>")},
		{name: "bracket not closed", in: "A <a@b, c@d", want: one("c@d"), bad: one("A <a@b")},
		{name: "bracket not opened", in: "a@b>, c@d", want: one("c@d"), bad: one("a@b>")},
		{name: "quote not closed", in: `c@d, "a@b`, want: one("c@d"), bad: one(`"a@b`)},
		{name: "comment not closed", in: "c@d, a@b (x", want: one("c@d"), bad: one("a@b (x")},
		{name: "literal not closed", in: "a@[1", bad: one("a@[1")},
		{name: "backslash", in: `\root, a@b`, want: one("a@b"), bad: one(`\root`)},
		{name: "no domain", in: "a@, b@c", want: one("b@c"), bad: one("a@")},
		{name: "comma in an encoded word that is no name", in: "=?a?q?b,c?=@d, e@f", want: one("e@f"), bad: one("=?a?q?b,c?=@d")},
		{name: "control character", in: "a\x01b, \"a\x0bb\"@c, d@e", want: one("d@e"), bad: one("a\x01b", "\"a\x0bb\"@c")},
		{name: "two ats", in: "a@b@c, d@e", want: one("d@e"), bad: one("a@b@c")},
		{name: "no name", in: "@b, d@e", bad: one("@b, d@e")},
		{name: "nul", in: "a\x00b@c, d@e", want: one("d@e"), bad: one("a\x00b@c")},
		{name: "folded quotes", in: "\"a\r\n b\"@c", bad: one(`"a b"@c`)},
		{name: "latin-1 address", in: "j\xfc@d, a@b", want: one("a@b"), bad: one("j?@d")},
		{name: "no group name", in: ": a@b, c@d", want: one("c@d"), bad: one(": a@b")},
		{name: "command", in: "|/bin/sh -c x, a@b", want: one("a@b"), bad: one("|/bin/sh -c x")},
		{name: "stray ends", in: "), ], a@b", want: one("a@b"), bad: one(")", "]")},
	}
}

func parsed(header string) (addrs, bad []string) {
	list, bad := ParseList(header)
	for _, a := range list {
		addrs = append(addrs, a.String())
	}
	return addrs, bad
}

func TestParseList(t *testing.T) {
	for _, c := range lists() {
		t.Run(c.name, func(t *testing.T) {
			if got, bad := parsed(c.in); !slices.Equal(got, c.want) || !slices.Equal(bad, c.bad) {
				t.Errorf("ParseList(%q) = %q, bad %q; want %q, bad %q", c.in, got, bad, c.want, c.bad)
			}
		})
	}
}

func TestQualify(t *testing.T) {
	for _, c := range lists() {
		t.Run(c.name, func(t *testing.T) {
			want := c.qualified
			if want == "" {
				want = c.in
			}
			if got := Qualify(c.in, "Q"); got != want {
				t.Errorf("Qualify(%q) = %q, want %q", c.in, got, want)
			}
		})
	}
}

func TestComplete(t *testing.T) {
	address := func(local string) string {
		if local == "root" {
			return "me@there.example"
		}
		return local + "@Q"
	}
	for in, want := range map[string]string{
		"root":                             "me@there.example",
		"root (Cron Daemon)":               "me@there.example (Cron Daemon)",
		"R <root>, joe, root@x, <@a:root>": "R <me@there.example>, joe@Q, root@x, <me@there.example>",
		"g: root;\r\n root":                "g: me@there.example;\r\n me@there.example",
		"root root, <root":                 "root root, <root",
	} {
		if got := Complete(in, address); got != want {
			t.Errorf("Complete(%q) = %q, want %q", in, got, want)
		}
	}
}

func firsts() map[string]struct{ in, want string } {
	return map[string]struct{ in, want string }{
		"bare":                   {"root", "S"},
		"bare, comment":          {" root (Cron Daemon)\r\n", "S (Cron Daemon)"},
		"bare, comment in front": {"(x) root", "S"},
		"full":                   {"a@b", "S"},
		"comments inside":        {"a(1)@(2)b(3), c@d", "S(3)"},
		"name":                   {"Joe Doe <a@b>", "Joe Doe <S>"},
		"no name":                {"<a@b>", "<S>"},
		"quoted name":            {` "Doe, \"J.\" <x>" <a@b> (x)`, `"Doe, \"J.\" <x>" <S> (x)`},
		"name with dots":         {"J. Q. Public <a@b>", "J. Q. Public <S>"},
		"name with comment":      {"Joe (x) <a@b>", "Joe (x) <S>"},
		"encoded name":           {"=?utf-8?q?J=C3=BC?=\r\n =?utf-8?q?rgen,?= <a@b>", "=?utf-8?q?J=C3=BC?=\r\n =?utf-8?q?rgen,?= <S>"},
		"folded":                 {"Joe\r\n <a\r\n @b>\r\n", "Joe\r\n <S>"},
		"several":                {"Joe <a@b>, Al <c@d>", "Joe <S>"},
		"group":                  {"Us: Joe <a@b>, c@d;", "Joe <S>"},
		"bad one first":          {"a b, Joe <c@d>", "Joe <S>"},
		"route":                  {"Joe <@a,@b:c@d>", "Joe <S>"},
		"route without brackets": {"@a:c@d", "S"},
		"literal":                {"a@[1.2.3.4] (x)", "S (x)"},
		"address as a name":      {"a@b <c@d>", `"a@b" <S>`},
		"brackets in the name":   {"CI [a] \\x\r\n <c@d>", `"CI [a] \\x" <S>`},
		"quoted one as a name":   {`"a b"@c <c@d>`, `"\"a b\"@c" <S>`},
		"route before a name":    {"@a: Joe <c@d>", `"@a: Joe" <S>`},
		"latin-1 name":           {"J\xfcrgen <j@d>", "J\xfcrgen <S>"},
		"nothing":                {"", ""},
		"no address":             {"Joe Doe, <>", ""},
	}
}

func TestFirst(t *testing.T) {
	for name, c := range firsts() {
		got := ""
		if before, after, ok := First(c.in); ok {
			got = before + "S" + after
		}
		if got != c.want {
			t.Errorf("%s: First(%q) makes %q, want %q", name, c.in, got, c.want)
		}
	}
}

func TestListLimits(t *testing.T) {
	addrs, bad := ParseList(strings.Repeat("a@b,", MaxListAddrs+5))
	if len(addrs) != MaxListAddrs || len(bad) != 1 {
		t.Errorf("%d addresses, bad %q", len(addrs), bad)
	}
	if addrs, bad = ParseList(strings.Repeat("a b,", 200)); len(addrs) != 0 || len(bad) != maxBad {
		t.Errorf("%d addresses, %d bad ones", len(addrs), len(bad))
	}
	if addrs, bad = ParseList(strings.Repeat("a", MaxList+1)); len(addrs) != 0 || len(bad) != 1 {
		t.Errorf("%d addresses, bad %q", len(addrs), bad)
	}
	if _, bad = ParseList(strings.Repeat("a ", 1000)); len(bad) != 1 || len(bad[0]) > maxBadText {
		t.Errorf("bad piece of %d bytes", len(bad[0]))
	}
}

// A list of the largest size made of the worst bytes takes time that grows with
// its length, not with its square.
func TestListTime(t *testing.T) {
	for _, piece := range []string{"(", ")", "<", "\"", "[", "@", "a ", ".", "a.", "\\", ":", "a:", "<@", "@a", "a@b<", "<a ", "\"\".", "(a)", "=?", "=?a?q?", "=?a?q?b?="} {
		start := time.Now()
		text := strings.Repeat(piece, MaxList/len(piece))
		ParseList(text)
		Qualify(text, "Q")
		if took := time.Since(start); took > 5*time.Second {
			t.Errorf("%q repeated takes %v", piece, took)
		}
	}
}

// What is put together of addresses, names, comments and folding comes apart again.
func TestListRoundTrip(t *testing.T) {
	space := rapid.SampledFrom([]string{"", " ", "\r\n ", " (c, d@e) ", "\t"})
	addr := rapid.SampledFrom([]string{"a@b.example", "root", `"x y"@c`, "u@[1.2.3.4]", "ü@d"})
	form := rapid.SampledFrom([]string{"%", "<%>", "N. O. <%>", `"P, Q" <%>`, "=?utf-8?q?=2C?= <%>", "g: %;"})
	rapid.Check(t, func(t *rapid.T) {
		var want, items []string
		for range rapid.IntRange(0, 8).Draw(t, "n") {
			a := addr.Draw(t, "addr")
			want = append(want, a)
			items = append(items, space.Draw(t, "before")+strings.Replace(form.Draw(t, "form"), "%", a, 1)+space.Draw(t, "after"))
		}
		header := strings.Join(items, ",")
		if got, bad := parsed(header); !slices.Equal(got, want) || len(bad) != 0 {
			t.Fatalf("ParseList(%q) = %q, bad %q; want %q", header, got, bad, want)
		}
	})
}

func FuzzParseList(f *testing.F) {
	for _, c := range lists() {
		f.Add(c.in)
	}
	for _, c := range firsts() {
		f.Add(c.in)
	}
	f.Fuzz(func(t *testing.T, in string) {
		addrs, bad := ParseList(in)
		for _, a := range addrs {
			checkSafe(t, a)
		}
		before, after, ok := First(in)
		if ok != (len(addrs) > 0) {
			t.Fatalf("First(%q): %v, and %d addresses", in, ok, len(addrs))
		}
		if got, bad := parsed(before + "s@x.example" + after); ok && (len(got) != 1 || got[0] != "s@x.example" || len(bad) > 0) {
			t.Fatalf("First(%q) = %q, %q, which holds %q, bad %q", in, before, after, got, bad)
		}
		out := Qualify(in, "Q")
		if strings.ReplaceAll(out, "@Q", "") != strings.ReplaceAll(in, "@Q", "") {
			t.Fatalf("Qualify changed %q to %q", in, out)
		}
		if len(addrs) == MaxListAddrs {
			return
		}
		again, badAgain := ParseList(out)
		if len(again) != len(addrs) || len(badAgain) != len(bad) {
			t.Fatalf("%q has %d addresses, %q has %d", in, len(addrs), out, len(again))
		}
		for i, a := range again {
			if want := addrs[i].In("Q"); a != want {
				t.Fatalf("%q: address %d is %v, want %v", out, i, a, want)
			}
		}
		if Qualify(out, "Q") != out {
			t.Fatalf("Qualify twice changed %q", out)
		}
	})
}
