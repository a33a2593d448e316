package aliases

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"dma/common/mailaddr"
)

// show writes targets in the way of the file.
func show(targets []Target) string {
	var s []string
	for _, t := range targets {
		switch t.Kind {
		case Address:
			if t.NoExpand {
				s = append(s, `\`+t.Addr.String())
			} else {
				s = append(s, t.Addr.String())
			}
		case Command:
			s = append(s, "|"+t.Text)
		case File:
			s = append(s, t.Text)
		case Include:
			s = append(s, ":include:"+t.Text)
		default:
			s = append(s, fmt.Sprintf("kind %d", t.Kind))
		}
	}
	return strings.Join(s, "; ")
}

type fileCase struct {
	name, text string
	want       map[string]string // by name
	warn       []string          // "line: part of the text"
}

func files() []fileCase {
	type m = map[string]string
	return []fileCase{
		{name: "empty"},
		{name: "comments", text: "# a: b\n\n  # c: d\n\t\n#"},
		{name: "plain", text: "postmaster: root\nroot: alice@example.org\n", want: m{"postmaster": "root", "root": "alice@example.org"}},
		{name: "list", text: "a: b, c@d ,e,,f,\n", want: m{"a": "b; c@d; e; f"}},
		{name: "no final newline", text: "a: b", want: m{"a": "b"}},
		{name: "crlf", text: "a: b,\r\n\tc\r\nd: e\r\n", want: m{"a": "b; c", "d": "e"}},
		{name: "blanks", text: "a \t:\t b  ,  c  \n", want: m{"a": "b; c"}},
		{name: "no blank", text: "a:b,c", want: m{"a": "b; c"}},
		{name: "continued", text: "a: b,\n  c,\n\td\ne: f", want: m{"a": "b; c; d", "e": "f"}},
		{name: "name alone in its line", text: "a:\n b\n", want: m{"a": "b"}},
		{name: "comma on the next line", text: "a: b\n , c\n", want: m{"a": "b; c"}},
		{name: "comments in between", text: "a: b, # one\n# two\n  c # three\n\n  # four\n , d\n", want: m{"a": "b; c; d"}},
		{name: "number sign inside a word", text: "a: b#c, d #e\n", want: m{"a": "b#c; d"}},
		{name: "case", text: "Alice: B@C\n", want: m{"alice": "B@C", "ALICE": "B@C"}},
		{name: "with domain", text: "a@Host: b\nc: d\n", want: m{"a@hOST": "b", "c@host": "d", "a": ""}},
		{name: "quoted name", text: "\"a b\": c\n\"d\": e\n\"x:y\": z\n", want: m{`"a b"`: "c", "d": "e", `"d"@h`: "e", "x:y": "z"}},
		{name: "quoted targets", text: `a: "b", "c d"@e, "f g", "h\"i j"` + "\n", want: m{"a": `b; "c d"@e; "f g"; "h\"i j"`}},
		{name: "command", text: "a: |/bin/x y, b\n", want: m{"a": "|/bin/x y; b"}, warn: []string{`dma.conf has no ALIASCOMMANDS`}},
		{name: "quoted command", text: `a: "|/bin/x y, \"z\" # \\n", b` + "\n", want: m{"a": `|/bin/x y, "z" # \n; b`}, warn: []string{`dma.conf has no ALIASCOMMANDS`}},
		{name: "file", text: "a: /dev/null\nb: \"/a b\"\n", want: m{"a": "/dev/null", "b": "/a b"}, warn: []string{`dma.conf has no ALIASCOMMANDS`}},
		{name: "include", text: "a: :include:/x\nb: \":include: /x y\"\n", want: m{"a": ":include:/x", "b": ":include:/x y"}},
		{name: "no expansion", text: "root: \\root, a@b\n", want: m{"root": `\root; a@b`}},
		{name: "angle brackets", text: "a: <b@c>\n", want: m{"a": "b@c"}},
		{name: "star", text: "*: b\na: c\n", want: m{"a": "c", "x": "b", "x@y": "b"}},
		{name: "owner", text: "list: :include:/l\nowner-list: a\n", want: m{"owner-list": "a"}},
		{
			name: "twice", text: "a: b\nc: d\nA: e, f\na: g\n", want: m{"a": "b; e; f; g", "c": "d"},
			warn: []string{`3: alias "A" is there already`, `4: alias "a" is there already`},
		},

		{name: "not ASCII", text: "Éa: b\nö: c\n\"Ä b\": d\n\u212a: e\n", want: m{"éA": "b", "Ö": "c", `"ä B"`: "d", "k": "e"}},
		{name: "include in capitals", text: "a: :Include:/X\n", want: m{"a": ":include:/X"}},
		{name: "bad target before a comment", text: "a: b@ # x, y\n c\n", want: m{"a": "c"}, warn: []string{`1: target "b@" of "a"`}},

		{name: "no colon", text: "a b\nc: d\n", want: m{"c": "d"}, warn: []string{`1: no colon after the name "a"; write`}},
		{name: "no name", text: ": a\nc: d\n", want: m{"c": "d"}, warn: []string{`1: name "": empty address`}},
		{name: "bad name quote", text: "\"a: b\nc: d\n", want: m{"c": "d"}, warn: []string{"1: name without a closing quote"}},
		{name: "control in name", text: "a\x01: b\nc: d\n", want: m{"c": "d"}, warn: []string{`1: name "a\x01": contains a control`}},
		{name: "no target", text: "a:\nb: ,\nc: d\n", want: m{"a": "", "b": "", "c": "d"}, warn: []string{`1: alias "a" has no target; write "a: target"`, `2: alias "b" has no`}},
		{name: "indented first", text: "# x\n  a: b\nc: d\n", want: m{"a": "", "c": "d"}, warn: []string{"2: this line is indented"}},
		{name: "indented name", text: "a: b,\n c: d\ne: f\n", want: m{"a": "b", "e": "f"}, warn: []string{`2: target "c: d" of "a" ignored: unquoted ':'`}},
		{name: "no comma", text: "a: b\n c, d\n", want: m{"a": "b; c; d"}, warn: []string{`1: no comma behind target "b"`}},
		{name: "no comma in a line", text: "a: b c, d\n", want: m{"a": "d"}, warn: []string{`1: target "b c" of "a" ignored`}},
		{name: "bad target", text: "a: b,\n c@, # x\n d\n", want: m{"a": "b; d"}, warn: []string{`2: target "c@" of "a" ignored: no domain after the @; write name or name@host`}},
		{name: "only bad targets", text: "a: @\nb: c\n", want: m{"a": "", "b": "c"}, warn: []string{`1: target "@" of "a"`}},
		{name: "quote not closed", text: "a: b, \"c, d\n e\nf: g\n", want: m{"a": "b; e", "f": "g"}, warn: []string{`1: target "\"c, d" of "a" ignored: no closing quote`}},
		{name: "quote closed in the next line", text: "a: \"b\n c\", d\n", want: m{"a": ""}, warn: []string{`1: target "\"b" of`, `2: target "c\", d" of`}},
		{name: "escaped line end", text: "a: \"b\\\nc: d\n", want: m{"c": "d"}, warn: []string{`1: target "\"b\\" of`}},
		{name: "relative include", text: "a: :include:x, b\n", want: m{"a": "b"}, warn: []string{"1: target \":include:x\" of \"a\" ignored: write :include:/path"}},
		{name: "empty command", text: "a: |, b, \"\"\n", want: m{"a": "b"}, warn: []string{`1: target "|" of "a" ignored: no command`, "1: target \"\\\"\\\"\" of"}},
		{name: "nul in command", text: "a: |x\x00y, b\n", want: m{"a": "b"}, warn: []string{"NUL byte"}},
		{name: "long path", text: "a: /" + strings.Repeat("x", maxText) + ", b\n", want: m{"a": "b"}, warn: []string{"longer than 4000"}},
	}
}

// find is what the tables ask: the name with its domain, if it has one.
func find(t *Table, name string) string {
	a, err := mailaddr.Parse(name)
	if err != nil {
		local, domain, _ := mailaddr.Split(name)
		a = mailaddr.Addr{Local: local, Domain: domain}
	}
	_, targets, _ := t.Find(a, "", true)
	return show(targets)
}

func checkText(text string) *Report {
	r := &Report{}
	r.check(Parse([]byte(text), "F"), func(string) ([]Target, []Warning, error) { return nil, nil, nil })
	return r
}

func TestParse(t *testing.T) {
	for _, c := range files() {
		t.Run(c.name, func(t *testing.T) {
			table := Parse([]byte(c.text), "F")
			for name, want := range c.want {
				if got := find(table, name); got != want {
					t.Errorf("Find(%q) = %s; want %s", name, got, want)
				}
			}
			compareWarnings(t, checkText(c.text).Warnings, c.warn)
		})
	}
}

func compareWarnings(t *testing.T, warnings []Warning, want []string) {
	t.Helper()
	var texts []string
	for _, w := range warnings {
		texts = append(texts, w.String())
	}
	if len(texts) != len(want) {
		t.Fatalf("warnings %q, want %q", texts, want)
	}
	for i, want := range want {
		if !strings.Contains(texts[i], want) || !strings.HasPrefix(texts[i], "F:") {
			t.Errorf("warning %q, want %q", texts[i], want)
		}
	}
}

func TestFind(t *testing.T) {
	const text = "a: 1\na@host: 2\nb: 3\nc@host: 4\nd@other: 5\n\"e f\": 6\n\"g h@host\": 7\ni+x: 8\ni: 9\nj: j\n*: 10\nk@host: 11\n"
	table := Parse([]byte(text), "F")
	for _, c := range []struct {
		local, domain string
		star          bool
		key, want     string
	}{
		{"a", "", true, "a@host", "2"},
		{"a", "host", true, "a@host", "2"},
		{"A", "HOST", true, "a@host", "2"},
		{"a", "other", true, "a@host", "2"},
		{"b", "", true, "b", "3"},
		{"b", "other", true, "b", "3"},
		{"c", "", true, "c@host", "4"},
		{"d", "", false, "", ""},
		{"d", "", true, "*", "10"},
		{"d", "Other", true, "d@other", "5"},
		{`"e f"`, "", true, "e f", "6"},
		{`"E f"`, "host", true, "e f", "6"},
		{`"g h"`, "", true, "g h@host", "7"},
		{"i+x", "", true, "i+x", "8"},
		{"i+y", "", true, "i", "9"},
		{"i+x+y", "", true, "i", "9"},
		{"k+y", "other", true, "k@host", "11"},
		{"+i", "", false, "", ""},
		{"x+i", "", true, "*", "10"},
		{"*", "", false, "*", "10"},
		{"", "", false, "", ""},
	} {
		key, targets, found := table.Find(mailaddr.Addr{Local: c.local, Domain: c.domain}, "host", c.star)
		if key != c.key || show(targets) != c.want || found != (c.want != "") {
			t.Errorf("%s@%s: %q, %s, %v", c.local, c.domain, key, show(targets), found)
		}
	}
	if _, _, found := new(Table).Find(mailaddr.Addr{Local: "x"}, "host", true); found {
		t.Error("found x in nothing")
	}
}

// What is wrong with a line is told when the line is needed, and with the line's number.
func TestWarn(t *testing.T) {
	table := Parse([]byte("# x\na: b\nc\nd: e,\n f g\n  # y\nA: h, |\nz: \"\n"), "F")
	var got []Warning
	table.Warn = func(w Warning) { got = append(got, w) }
	for name, want := range map[string][]string{
		"a": {`7: target "|" of "A" ignored`, `7: alias "A" is there already`},
		"c": {`3: no colon after the name "c"`},
		"d": {`5: target "f g" of "d"`},
		"x": nil,
		"z": {`8: target`},
	} {
		got = nil
		find(table, name)
		compareWarnings(t, got, want)
	}
}

// What one name has does not depend on the lines around it.
func TestLinesAreIndependent(t *testing.T) {
	var texts []string
	for _, c := range files() {
		texts = append(texts, c.text)
	}
	rapid.Check(t, func(t *rapid.T) {
		before := rapid.SampledFrom(texts).Draw(t, "before")
		after := rapid.SampledFrom(texts).Draw(t, "after")
		table := Parse([]byte(before+"\nmine: x, \"|y z\",\n /w\n"+after), "F")
		if got := find(table, "mine"); !strings.HasPrefix(after, " ") && got != "x; |y z; /w" {
			t.Fatalf("got %s between %q and %q", got, before, after)
		}
	})
}

// readAll is the plain way: it cuts the text into aliases and takes all apart, without an index.
func readAll(text string) map[string][]Target {
	all := make(map[string][]Target)
	lines := strings.SplitAfter(text, "\n")
	for len(lines) > 0 {
		first := lines[0]
		lines = lines[1:]
		if first == "" || strings.ContainsRune(" \t\r\n#", rune(first[0])) {
			continue
		}
		for len(lines) > 0 && lines[0] != "" && strings.ContainsRune(" \t\r\n#", rune(lines[0][0])) {
			first += lines[0]
			lines = lines[1:]
		}
		p := parser{rest: first}
		name, targets := p.alias()
		if len(targets) > 0 {
			all[strings.ToLower(name)] = append(all[strings.ToLower(name)], targets...)
		}
	}
	return all
}

// compare looks up all names of text, and those given, in both ways.
func compare(t interface{ Fatalf(string, ...any) }, text string, names ...string) {
	all, table := readAll(text), Parse([]byte(text), "F")
	for name := range all {
		names = append(names, name, strings.ToUpper(name))
	}
	for _, name := range names {
		name = strings.ToLower(name)
		got, found := table.targets(name)
		if want := all[name]; !slices.Equal(got, want) || len(want) > 0 && !found {
			t.Fatalf("%q in %q: %s, %t; want %s", name, text, show(got), found, show(want))
		}
	}
	if n := checkText(text).Aliases; n != len(all) {
		t.Fatalf("%d aliases in %q; want %d", n, text, len(all))
	}
}

// A name whose targets are all wrong is an alias nevertheless: its mail waits and
// does not bounce as a stranger's.
func TestNoGoodTarget(t *testing.T) {
	table := Parse([]byte("typo: a@@b\nempty:\nlate: a@@b\nlate: c\n"), "F")
	for name, want := range map[string]string{"typo": "true 0", "TYPO+x": "true 0", "empty": "true 0", "late": "true 1", "none": "false 0", "": "false 0"} {
		_, targets, found := table.Find(mailaddr.Addr{Local: name}, "host", false)
		if got := fmt.Sprint(found, len(targets)); got != want {
			t.Errorf("%q: %s; want %s", name, got, want)
		}
	}
}

// The index finds what the plain way finds.
func TestIndexAgainstReadAll(t *testing.T) {
	var texts []string
	for _, c := range files() {
		texts = append(texts, c.text)
	}
	line := rapid.OneOf(
		rapid.SampledFrom(texts),
		rapid.Map(rapid.SliceOfN(rapid.SampledFrom([]string{
			"a", "A", "b", "é", "É", "\xff", "K", ":", ":", ": ", ",", " ", "\t", "\r", "\n", "\n", "#", "\"", "\\", "@", "*", "|x", "/x", ":include:/x",
		}), 0, 30), func(words []string) string { return strings.Join(words, "") }),
	)
	rapid.Check(t, func(t *rapid.T) {
		compare(t, strings.Join(rapid.SliceOfN(line, 1, 6).Draw(t, "lines"), "\n"), "a", "b", "é", "k", "*", "a@b", "")
	})
}

func FuzzFind(f *testing.F) {
	for _, c := range files() {
		f.Add(c.text, "a")
	}
	f.Fuzz(func(t *testing.T, text, name string) {
		compare(t, text, name)
		for key, targets := range readAll(text) {
			if key == "" || len(targets) == 0 {
				t.Fatalf("alias %q with %d targets", key, len(targets))
			}
			for _, target := range targets {
				if (target.Kind == Address) == target.Addr.IsNull() || (target.Kind != Address) == (target.Text == "") {
					t.Fatalf("target %+v", target)
				}
			}
		}
		r := checkText(text)
		for _, w := range r.Warnings {
			if w.Line < 1 || w.Line > strings.Count(text, "\n")+1 || w.Text == "" {
				t.Fatalf("warning %+v", w)
			}
		}
		compare(t, text+"\n\nmine: x\n", "mine")
	})
}
