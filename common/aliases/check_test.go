package aliases

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestCheck(t *testing.T) {
	path := filepath.Join(t.TempDir(), "aliases")
	r, err := Check(path, false)
	if err != nil || !r.Missing || r.Aliases != 0 || r.Bad != 0 {
		t.Errorf("%+v, %v", r, err)
	}
	list := filepath.Join(filepath.Dir(path), "list")
	write(t, list, "a\n")
	if err := os.Chmod(list, 0o666); err != nil {
		t.Fatal(err)
	}
	write(t, path, "root: a@b.example, c\nn: /dev/null\nl: :include:"+list+"\nbad\n")
	r, err = Check(path, false)
	if err != nil || r.File != path || r.Missing || r.Aliases != 3 || r.Longest < 14 || r.Lists != 1 || r.Bad != 2 {
		t.Fatalf("%+v, %v", r, err)
	}
	if len(r.Warnings) != 2 || r.Warnings[0].Line != 3 || !strings.Contains(r.Warnings[0].Text, `mail for "l" waits: `) || r.Warnings[1].Line != 4 {
		t.Errorf("%v", r.Warnings)
	}
}

// Bad are the mistakes that cost mail, not all warnings.
func TestReport(t *testing.T) {
	lists := func(path string) ([]Target, []Warning, error) {
		switch path {
		case "/good":
			return nil, nil, nil
		case "/part":
			return nil, []Warning{{path, 7, "wrong", true}}, nil
		}
		return nil, nil, errors.New("cannot read it")
	}
	for _, c := range []struct {
		name, text                   string
		aliases, longest, bytes, bad int
		warn                         []string
		commands                     bool
		unsafe                       error
	}{
		{name: "empty"},
		{"good", "a: b, c\n# x\nd:\n  \"e f\"@g ,\n\n h\n", 2, 9, 12, 0, nil, false, nil},
		{"twice", "a: b\nA: c\n", 1, 1, 2, 0, []string{`F:2: alias "A" is there already`}, false, nil},
		{"no comma", "a: b\n c\n", 1, 3, 3, 0, []string{"F:1: no comma"}, false, nil},
		{"bad", "\n # x\n a: b\nc\nd: @, e\nf:\n", 1, 1, 1, 4, []string{"F:3: this line is", "F:4: no colon", `F:5: target "@"`, `F:6: alias "f" has no`}, false, nil},
		{"lists", "a: :include:/good\nb: :include:/part\nc: d,\n :include:/none\n", 3, 16, 44, 2, []string{"/part:7: wrong", `F:3: mail for "c" waits: cannot read it`}, false, nil},
		{"off", "a: |/bin/x\nb: /dev/null, /x\n", 2, 12, 19, 2, []string{`F:1: mail for "a" waits: dma.conf has no ALIASCOMMANDS`, `F:2: mail for "b" waits: dma.conf has no ALIASCOMMANDS, so commands and files are not delivered to ("/x")`}, false, nil},
		{"on", "a: |/bin/x\nb: /dev/null, /x\n", 2, 12, 19, 0, nil, true, nil},
		{"not root's", "a: |/bin/x\nb: c, /dev/null\n", 2, 11, 18, 1, []string{`F:1: mail for "a" waits: its command or file ("/bin/x") must be root's word, and chmod it`}, true, errors.New("chmod it")},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := &Report{commands: c.commands}
			table := Parse([]byte(c.text), "F")
			table.Unsafe = c.unsafe
			r.check(table, lists)
			if r.Aliases != c.aliases || r.Longest != c.longest || r.Bytes != c.bytes || r.Bad != c.bad {
				t.Errorf("%+v", r)
			}
			if len(r.Warnings) != len(c.warn) {
				t.Fatalf("%v", r.Warnings)
			}
			for i, w := range r.Warnings {
				if !strings.HasPrefix(w.String(), c.warn[i]) {
					t.Errorf("%v; want %s", w, c.warn[i])
				}
			}
		})
	}
}

func TestManyWarnings(t *testing.T) {
	for name, text := range map[string]string{
		"lines":   strings.Repeat("x\n", 1000) + "a: b\n",
		"targets": "a: " + strings.Repeat("@,", 1000) + "b\n",
	} {
		r := checkText(text)
		if len(r.Warnings) != maxWarnings || !strings.Contains(r.Warnings[maxWarnings-1].Text, "too many") || r.Bad != 1000 || r.Aliases != 1 {
			t.Errorf("%s: %d warnings, %d bad", name, len(r.Warnings), r.Bad)
		}
	}
}
