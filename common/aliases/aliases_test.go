package aliases

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

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
		{name: "command", text: "a: |/bin/x y, b\n", want: m{"a": "|/bin/x y; b"}},
		{name: "quoted command", text: `a: "|/bin/x y, \"z\" # \\n", b` + "\n", want: m{"a": `|/bin/x y, "z" # \n; b`}},
		{name: "file", text: "a: /dev/null\nb: \"/a b\"\n", want: m{"a": "/dev/null", "b": "/a b"}},
		{name: "include", text: "a: :include:/x\nb: \":include: /x y\"\n", want: m{"a": ":include:/x", "b": ":include:/x y"}},
		{name: "no expansion", text: "root: \\root, a@b\n", want: m{"root": `\root; a@b`}},
		{name: "angle brackets", text: "a: <b@c>\n", want: m{"a": "b@c"}},
		{name: "star", text: "*: b\na: c\n", want: m{"a": "c", "x": "b", "x@y": "b"}},
		{name: "owner", text: "list: :include:/l\nowner-list: a\n", want: m{"owner-list": "a"}},
		{
			name: "twice", text: "a: b\nc: d\nA: e, f\na: g\n", want: m{"a": "b; e; f; g", "c": "d"},
			warn: []string{`3: alias "a" is there already`, `4: alias "a" is there already`},
		},

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

func TestParse(t *testing.T) {
	for _, c := range files() {
		t.Run(c.name, func(t *testing.T) {
			table, warnings, err := Parse(strings.NewReader(c.text), "F")
			if err != nil {
				t.Fatal(err)
			}
			for name, want := range c.want {
				got, ok := table.Lookup(name)
				if show(got) != want || ok != (want != "") {
					t.Errorf("Lookup(%q) = %s, %v; want %s", name, show(got), ok, want)
				}
			}
			var texts []string
			for _, w := range warnings {
				texts = append(texts, w.String())
			}
			if len(texts) != len(c.warn) {
				t.Fatalf("warnings %q, want %q", texts, c.warn)
			}
			for i, want := range c.warn {
				if !strings.Contains(texts[i], want) || !strings.HasPrefix(texts[i], "F:") {
					t.Errorf("warning %q, want %q", texts[i], want)
				}
			}
		})
	}
}

func TestExactHasNoStar(t *testing.T) {
	table, _, _ := Parse(strings.NewReader("*: b\na: c\n"), "F")
	if _, ok := table.Exact("x"); ok {
		t.Error("Exact found x")
	}
	if got, ok := table.Exact("*"); !ok || show(got) != "b" {
		t.Errorf("Exact(*) = %s, %v", show(got), ok)
	}
	if table.Len() != 2 {
		t.Errorf("Len = %d", table.Len())
	}
}

func TestEmptyTable(t *testing.T) {
	if _, ok := new(Table).Lookup("x"); ok {
		t.Error("found x in nothing")
	}
}

func TestLoad(t *testing.T) {
	path := filepath.Join(t.TempDir(), "aliases")
	if table, w, err := Load(path); err != nil || len(w) != 0 || table.Len() != 0 {
		t.Errorf("missing file: %v, %v, %v", table, w, err)
	}
	if err := os.WriteFile(path, []byte("a: b\nc\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	table, w, err := Load(path)
	if err != nil || len(w) != 1 || w[0].File != path || w[0].Line != 2 || table.Len() != 1 {
		t.Errorf("%v, %v, %v", table, w, err)
	}
	if _, _, err := Load(t.TempDir()); err == nil {
		t.Error("a directory was read")
	}
}

// A file that cannot be read to its end is not a shorter file.
func TestReadError(t *testing.T) {
	boom := errors.New("boom")
	table, _, err := Parse(iotest.TimeoutReader(strings.NewReader("a: b\n")), "F")
	if err == nil || table != nil {
		t.Errorf("%v, %v", table, err)
	}
	if _, _, err := Parse(iotest.ErrReader(boom), "F"); !errors.Is(err, boom) {
		t.Errorf("%v", err)
	}
	if _, _, err := Parse(endless{}, "F"); err == nil {
		t.Error("an endless file was read")
	}
}

type endless struct{}

func (endless) Read(p []byte) (int, error) { return len(p), nil }

func TestManyWarnings(t *testing.T) {
	_, w, _ := Parse(strings.NewReader(strings.Repeat("x\n", 1000)+"a: b\n"), "F")
	if len(w) != maxWarnings || !strings.Contains(w[maxWarnings-1].Text, "too many") {
		t.Errorf("%d warnings, last %v", len(w), w[len(w)-1])
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
		table, _, err := Parse(strings.NewReader(before+"\nmine: x, \"|y z\",\n /w\n"+after), "F")
		if err != nil {
			t.Fatal(err)
		}
		if got, _ := table.Lookup("mine"); !strings.HasPrefix(after, " ") && show(got) != "x; |y z; /w" {
			t.Fatalf("got %s between %q and %q", show(got), before, after)
		}
	})
}

func FuzzParse(f *testing.F) {
	for _, c := range files() {
		f.Add(c.text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		table, warnings, err := Parse(strings.NewReader(text), "F")
		if err != nil {
			t.Fatal(err)
		}
		for _, w := range warnings {
			if w.Line < 1 || w.Line > strings.Count(text, "\n")+1 || w.Text == "" {
				t.Fatalf("warning %+v", w)
			}
		}
		for name, i := range table.names {
			targets := table.targets[i]
			if name == "" || len(targets) == 0 {
				t.Fatalf("alias %q with %d targets", name, len(targets))
			}
			for _, target := range targets {
				if (target.Kind == Address) == target.Addr.IsNull() || (target.Kind != Address) == (target.Text == "") {
					t.Fatalf("target %+v", target)
				}
			}
		}
		again, _, _ := Parse(strings.NewReader(text+"\n\nmine: x\n"), "F")
		if got, _ := again.Lookup("mine"); !slices.Contains(got, Target{Kind: Address, Addr: mailaddr.Addr{Local: "x"}}) {
			t.Fatalf("the last line was lost: %s", show(got))
		}
	})
}
