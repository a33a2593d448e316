package forward

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// show writes an entry as kind, line and value.
func show(entries []Entry) []string {
	var s []string
	for _, e := range entries {
		s = append(s, fmt.Sprintf("%d %v %s", e.Line, e.Kind, e.Login+e.Address+e.Command+e.Path))
	}
	return s
}

type textCase struct {
	name, text string
	want       []string
	source     []string // Text of each entry, where the case is about that
}

func texts() []textCase {
	one := func(s ...string) []string { return s }
	return []textCase{
		{name: "empty"},
		{name: "blank", text: "\n  \n\t\r\n"},
		{name: "comments", text: "# x\n  # y, z\n#\"\n"},
		{name: "address", text: "far@remote.example\n", want: one("1 address far@remote.example")},
		{name: "no final newline", text: "far@remote.example", want: one("1 address far@remote.example")},
		{name: "crlf", text: "a@b\r\n!\r\n|x y\r\n", want: one("1 address a@b", "2 mailbox alice", "3 command x y")},
		{name: "local name", text: "bob", want: one("1 address bob")},
		{name: "own name", text: "alice", want: one("1 mailbox alice")},
		{name: "own name, other host", text: "alice@b", want: one("1 address alice@b")},
		{name: "own name, other case", text: "Alice", want: one("1 address Alice")},
		{name: "mailbox", text: "!alice\n\\alice\n!\n\\\n!bob\n\\bob\n! bob", want: one(
			"1 mailbox alice", "2 mailbox alice", "3 mailbox alice", "4 mailbox alice", "5 mailbox bob", "6 mailbox bob", "7 mailbox bob")},
		{
			name: "all in one line", text: `!alice, "|cat > ~/piped; id -un > ~/who", far@remote.example`,
			want:   one("1 mailbox alice", "1 command cat > ~/piped; id -un > ~/who", "1 address far@remote.example"),
			source: one("!alice", `"|cat > ~/piped; id -un > ~/who"`, "far@remote.example"),
		},
		{
			name: "one a line", text: "!alice\n|cat > ~/piped; id -un > ~/who; env > ~/env\nfar@remote.example\n",
			want:   one("1 mailbox alice", "2 command cat > ~/piped; id -un > ~/who; env > ~/env", "3 address far@remote.example"),
			source: one("!alice", "|cat > ~/piped; id -un > ~/who; env > ~/env", "far@remote.example"),
		},
		{name: "command to the end of the line", text: `a@b, |x "y, z" # no comment, c@d`, want: one("1 address a@b", `1 command x "y, z" # no comment, c@d`)},
		{name: "command with unbalanced quote", text: `|echo "`, want: one(`1 command echo "`)},
		{name: "blanks in commands", text: " |  x y \t\n\"| z \"", want: one("1 command x y", "2 command z ")},
		{name: "escapes", text: `"|echo \"a, b\" \\n \$x 'q'"`, want: one(`1 command echo "a, b" \n $x 'q'`)},
		{name: "quoted others", text: `"a@b", "!bob" , "/x y", " c@d"`, want: one("1 address a@b", "1 mailbox bob", "1 file /x y", "1 address c@d")},
		{name: "quoted local part", text: `"a b"@c, x."y,z"@d, "e f"`, want: one(`1 address "a b"@c`, `1 address x."y,z"@d`, `1 address "e f"`)},
		{name: "holes", text: ", a@b,, ,c@d , \n,\n", want: one("1 address a@b", "1 address c@d")},
		{name: "files", text: "/var/x\n~/mbox\n/dev/null", want: one("1 file /var/x", "2 file /home/alice/mbox", "3 file /dev/null")},
		{name: "file with blanks", text: "/a b, c", want: one("1 file /a b", "1 address c")},
		{name: "maildirs", text: "/var/x/\n~/Maildir/\n~/", want: one("1 maildir /var/x/", "2 maildir /home/alice/Maildir/", "3 maildir /home/alice/")},
		{name: "include", text: ":include:/l, \":include: ~/m n\"", want: one("1 include /l", "1 include /home/alice/m n")},
		{name: "angle brackets", text: "<a@b>", want: one("1 address a@b")},
		{name: "number sign inside", text: "a#b@c", want: one("1 address a#b@c")},
		{name: "utf-8", text: "jürgen@exämple.de", want: one("1 address jürgen@exämple.de")},
		{name: "longest line", text: "|" + strings.Repeat("x", MaxLine-1), want: one("1 command " + strings.Repeat("x", MaxLine-1))},
	}
}

func TestParse(t *testing.T) {
	for _, c := range texts() {
		t.Run(c.name, func(t *testing.T) {
			got, err := Parse([]byte(c.text), "alice", "/home/alice")
			if err != nil || !slices.Equal(show(got), c.want) {
				t.Fatalf("Parse(%q) = %q, %v; want %q", c.text, show(got), err, c.want)
			}
			for i, want := range c.source {
				if got[i].Text != want {
					t.Errorf("entry %d stands as %q, want %q", i, got[i].Text, want)
				}
			}
		})
	}
}

func badTexts() map[string][2]string { // text and error
	return map[string][2]string{
		"quote not closed":     {"a@b\n\"|x", "line 2: no closing quote"},
		"quote not closed 2":   {"a\"b, c@d", "line 1: no closing quote"},
		"quote over two lines": {"\"|x\ny\"", "line 1: no closing quote"},
		"escaped quote":        {`"|x\"`, "line 1: no closing quote"},
		"text after quote":     {`"|x" y`, "line 1: \"\\\"|x\\\" y\": "},
		"two words":            {"# x\n\na@b c@d", "line 3: \"a@b c@d\": unquoted"},
		"comment behind":       {"a@b # mine", "line 1: "},
		"comment after comma":  {"a@b, # mine", "begin the line with #"},
		"empty command":        {"| ", "line 1: \"|\": no command"},
		"empty quoted command": {`"|"`, "line 1: \"\\\"|\\\"\": no command"},
		"empty quotes":         {`""`, "line 1: \"\\\"\\\"\": nothing between"},
		"no domain":            {"a@", "line 1: \"a@\": no domain"},
		"bad mailbox":          {"!../x", "not a login name"},
		"mailbox with domain":  {"!alice@b", "not a login name"},
		"other's home":         {"~bob/x", "write the path as"},
		"tilde":                {"~", "write the path as"},
		"relative include":     {":include:x", "write the path as"},
		"include directory":    {":include:/x/", "not the name of a file"},
		"control character":    {"a\x01@b", "control character"},
		"nul":                  {"a@b\n|x\x00\n", "line 2: contains a NUL byte"},
		"long line":            {"#" + strings.Repeat("x", MaxLine), "line 1: longer than 1000 bytes"},
		"large file":           {strings.Repeat("\n", MaxFile+1), "the file is larger than 64 KiB"},
		"many entries":         {strings.Repeat("a@b,\n", MaxEntries+1), "line 101: more than 100 entries"},
		"many in a line":       {strings.Repeat("a,", MaxEntries+1), "line 1: more than 100 entries"},
	}
}

func TestParseErrors(t *testing.T) {
	for name, c := range badTexts() {
		t.Run(name, func(t *testing.T) {
			got, err := Parse([]byte(c[0]), "alice", "/home/alice")
			var syntax *SyntaxError
			if !errors.As(err, &syntax) || !strings.Contains(err.Error(), c[1]) || got != nil {
				t.Errorf("Parse(%.80q) = %q, %v; want error %q", c[0], show(got), err, c[1])
			}
		})
	}
	if _, err := Parse([]byte("~/x"), "alice", ""); err == nil {
		t.Error("~/x without a home directory")
	}
}

func TestHomeWithSlash(t *testing.T) {
	got, err := Parse([]byte("~/x"), "alice", "/home/alice/")
	if err != nil || got[0].Path != "/home/alice/x" {
		t.Errorf("%v, %v", got, err)
	}
}

func TestMaxEntries(t *testing.T) {
	if got, err := Parse([]byte(strings.Repeat("a@b\n", MaxEntries)), "alice", "/"); err != nil || len(got) != MaxEntries {
		t.Errorf("%d entries, %v", len(got), err)
	}
}

func TestHashes(t *testing.T) {
	parse := func(text string) []Entry {
		e, err := Parse([]byte(text), "alice", "/home/alice")
		if err != nil {
			t.Fatal(err)
		}
		return e
	}
	a, b := parse("|x\n|y\n\"|x\""), parse("# moved\n|x")
	if EntryHash(a[0]) != EntryHash(b[0]) {
		t.Error("the hash depends on the line")
	}
	if EntryHash(a[0]) == EntryHash(a[1]) || EntryHash(a[0]) == EntryHash(a[2]) {
		t.Error("entries with other text have the same hash")
	}
	if EntryHash(Entry{Kind: File, Text: "/x"}) == EntryHash(Entry{Kind: Maildir, Text: "/x"}) {
		t.Error("entries of other kinds have the same hash")
	}
	if FileHash([]byte("a")) == FileHash([]byte("a\n")) {
		t.Error("files with other text have the same hash")
	}
}

func TestDescribe(t *testing.T) {
	for text, want := range map[string]string{
		"!":            "put it into the mailbox of alice",
		"bob":          "send it on to bob",
		"\"|x \x1by\"": `run the command "x \x1by" with the mail as its input`,
		"/x":           "append it to the file /x",
		"/x\x1b":       `append it to the file "/x\x1b"`,
		"~/M/":         "deliver it into the maildir /home/alice/M/",
		":include:/x":  "go on with the entries in the file /x",
	} {
		got, err := Parse([]byte(text), "alice", "/home/alice")
		if err != nil || got[0].Describe() != want {
			t.Errorf("%q: %v, %v; want %s", text, got, err, want)
		}
	}
}

// Entries may be put in one line with commas or on lines of their own.
func TestLinesAndCommas(t *testing.T) {
	entry := rapid.SampledFrom([]string{"!alice", "!", `\bob`, "a@b", "bob", `"|x, \"y\" z"`, "/x", "~/y/", `"/a,b"`, ":include:/z", `"q,r"@s`})
	blank := rapid.SampledFrom([]string{"", " ", "\t "})
	rapid.Check(t, func(t *rapid.T) {
		list := rapid.SliceOfN(entry, 1, 20).Draw(t, "entries")
		lines, commas := "", ""
		for _, e := range list {
			e = blank.Draw(t, "before") + e + blank.Draw(t, "after")
			lines += e + "\n"
			commas += e + ","
		}
		a, errA := Parse([]byte(lines), "alice", "/home/alice")
		b, errB := Parse([]byte(commas), "alice", "/home/alice")
		if errA != nil || errB != nil || len(a) != len(list) || len(b) != len(list) {
			t.Fatalf("%v, %v, %v, %v", a, errA, b, errB)
		}
		for i := range a {
			if a[i].Line, b[i].Line = 0, 0; a[i] != b[i] || a[i].Text != list[i] {
				t.Fatalf("%+v, %+v, want %q", a[i], b[i], list[i])
			}
		}
	})
}

func FuzzParse(f *testing.F) {
	for _, c := range texts() {
		f.Add([]byte(c.text))
	}
	for _, c := range badTexts() {
		f.Add([]byte(c[0]))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		entries, err := Parse(text, "alice", "/home/alice")
		if err != nil {
			var syntax *SyntaxError
			if entries != nil || !errors.As(err, &syntax) || syntax.Line > strings.Count(string(text), "\n")+1 {
				t.Fatalf("%v and %v", entries, err)
			}
			return
		}
		if len(entries) > MaxEntries {
			t.Fatalf("%d entries", len(entries))
		}
		for _, e := range entries {
			if line := strings.Split(string(text), "\n")[e.Line-1]; !strings.Contains(line, e.Text) {
				t.Fatalf("%+v does not stand in %q", e, line)
			}
			again, err := Parse([]byte(e.Text), "alice", "/home/alice")
			if err != nil || len(again) != 1 || EntryHash(again[0]) != EntryHash(e) {
				t.Fatalf("%+v alone is %+v, %v", e, again, err)
			}
			if e.Login+e.Address+e.Command+e.Path == "" || strings.ContainsAny(e.Command+e.Path+e.Address, "\x00\n") {
				t.Fatalf("%+v", e)
			}
			_ = e.Describe()
		}
	})
}
