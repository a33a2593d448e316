package aliases

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func unixTime(s int64) time.Time { return time.Unix(s, 0) }

type listCase struct {
	name, text string
	want       string
	warn       []string
	err        string
}

func listCases() []listCase {
	return []listCase{
		{name: "empty"},
		{name: "comments", text: "# a\n\n \t# b\n"},
		{name: "plain", text: "a\nb@c\n", want: "a; b@c"},
		{name: "commas", text: "a, b@c,, d # e, f\n , g", want: "a; b@c; d; g"},
		{name: "blanks and crlf", text: "  a\r\n\tb \r\n", want: "a; b"},
		{name: "quoted", text: `"a b"@c, \d, "e"` + "\n<f@g>", want: `"a b"@c; \d; e; f@g`},
		{name: "like an alias", text: "a: b\nc\n", want: "c", warn: []string{`F:1: "a: b" ignored: unquoted ':' in the name; write name or name@host`}},
		{name: "mistakes", text: "a\nb c, d\n@, e\n\"f\n", want: "a; d; e", warn: []string{`F:2: "b c" ignored`, `F:3: "@" ignored`, `F:4: "\"f" ignored: no closing quote`}},
		{name: "mistakes alone", text: "\nb c\n@\n", err: `F has no line that is right; the first mistake is at F:2: "b c"`},
		{name: "command", text: "a\n|b\n", err: `F:2: "|b" is no address, and a list has nothing else; take it out`},
		{name: "quoted command", text: `"|b c"`, err: "F:1: "},
		{name: "file", text: "/dev/null", err: `F:1: "/dev/null" is no address`},
		{name: "list", text: ":include:/x", err: `F:1: ":include:/x" is no address`},
		{name: "longest line", text: "a\n#" + strings.Repeat("x", maxListLine-1) + "\r\nb", want: "a; b"},
		{name: "long line", text: "a\n#" + strings.Repeat("x", maxListLine) + "\nb", err: "F:2: line longer than 1000 bytes; put each"},
		{name: "most members", text: strings.Repeat("a\n", maxMembers), want: strings.Repeat("a; ", maxMembers-1) + "a"},
		{name: "too many members", text: strings.Repeat("a\n", maxMembers+1), err: "F: more than 1000 addresses; make several lists"},
		{name: "NUL", text: "a\nb\x00\n", want: "a", warn: []string{"F:2: "}},
	}
}

func TestParseList(t *testing.T) {
	for _, c := range listCases() {
		t.Run(c.name, func(t *testing.T) {
			members, warnings, err := parseList(c.text, "F")
			if show(members) != c.want || (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
				t.Errorf("%s, %v; want %s, %s", show(members), err, c.want, c.err)
			}
			compareWarnings(t, warnings, c.warn)
		})
	}
}

func FuzzParseList(f *testing.F) {
	for _, c := range listCases() {
		f.Add(c.text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		members, warnings, err := parseList(text, "F")
		if err != nil && (members != nil || warnings != nil) || len(members) > maxMembers {
			t.Fatalf("%d members, %v", len(members), err)
		}
		for _, m := range members {
			if m.Kind != Address || m.Addr.IsNull() || m.Text != "" {
				t.Fatalf("member %+v", m)
			}
		}
		for _, w := range warnings {
			if w.Line < 1 || w.Line > strings.Count(text, "\n")+1 || !w.Bad {
				t.Fatalf("warning %+v", w)
			}
		}
		// A list is read as the targets of an alias are, but that it needs no commas.
		alias := "x: " + strings.ReplaceAll(strings.ReplaceAll(text, "\r", ""), "\n", ",\n ")
		if err == nil && !strings.Contains(text, "\r") {
			if got := readAll(alias)["x"]; show(got) != show(members) {
				t.Fatalf("%s as an alias, %s as a list", show(got), show(members))
			}
		}
	})
}

func TestReadList(t *testing.T) {
	dir := t.TempDir()
	me := uint32(os.Geteuid())
	at := func(name string) string { return filepath.Join(dir, name) }
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"good", "group", "others", "large", "long"} {
		write(t, at(name), "a\nb@c\n")
	}
	must(os.Chmod(at("group"), 0o664))
	must(os.Chmod(at("others"), 0o646))
	must(os.Truncate(at("large"), maxList+1))
	must(os.Symlink("good", at("link")))
	must(os.Symlink("none", at("nowhere")))
	must(os.Mkdir(at("dir"), 0o755))
	must(unix.Mkfifo(at("fifo"), 0o644))
	for name, want := range map[string]string{
		"group":   "others may write %s; run: chmod go-w %[1]s",
		"others":  "others may write %s; run: chmod go-w %[1]s",
		"large":   "read %s: too big: larger than 64 KiB; make several of it",
		"link":    "open %s: a symbolic link; name the file itself",
		"nowhere": "open %s: a symbolic link; name the file itself",
		"dir":     "read %s: not a regular file; put one there",
		"fifo":    "read %s: not a regular file; put one there",
		"none":    "open %s: no such file or directory; make the file or take it out of the alias",
	} {
		members, _, err := readList(at(name), me)
		if want := fmt.Sprintf(want, at(name)); err == nil || err.Error() != want || members != nil {
			t.Errorf("%v; want %s", err, want)
		}
	}
	if members, warnings, err := readList(at("good"), me); show(members) != "a; b@c" || warnings != nil || err != nil {
		t.Errorf("%s, %v, %v", show(members), warnings, err)
	}
}

// Whose file it is counts, not who reads it.
func TestListOwner(t *testing.T) {
	const other = 12345
	path := filepath.Join(t.TempDir(), "list")
	write(t, path, "a\n")
	owner := uint32(os.Geteuid())
	if owner != 0 { // a file of ours is not root's
		if _, _, err := readList(path, 0); err == nil || !strings.Contains(err.Error(), "who is not root; run: chown root") {
			t.Error(err)
		}
		return
	}
	if _, _, err := readList(path, other); err != nil {
		t.Errorf("root's, for another: %v", err)
	}
	if err := os.Chown(path, other, other); err != nil {
		t.Fatal(err)
	}
	if _, _, err := ReadList(path); err == nil || !strings.Contains(err.Error(), "belongs to uid 12345, who is not root; run: chown root "+path) {
		t.Error(err)
	}
	if members, _, err := readList(path, other); err != nil || show(members) != "a" {
		t.Errorf("one's own in a private build: %v", err)
	}
}
