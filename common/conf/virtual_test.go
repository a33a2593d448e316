package conf

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

type virtualCase struct {
	name, text, want string
	warn             []string
}

func virtuals() []virtualCase {
	return []virtualCase{
		{name: "empty"},
		{name: "comments", text: "# a: b@c\n\n \t\r\n", want: ""},
		{name: "colon", text: "ann: ann.smith@example.org\n", want: "ann=ann.smith@example.org"},
		{name: "blank", text: "ann\tann.smith@example.org # c\r\n  bob   b@x.example", want: "ann=ann.smith@example.org bob=b@x.example"},
		{name: "colon alone", text: "ann:a@x\nbob :b@x", want: "ann=a@x bob=b@x"},
		{name: "case", text: "ann a@x\nAnn b@x", want: "Ann=b@x ann=a@x"},
		{name: "twice", text: "ann a@x\nann b@x", want: "ann=a@x", warn: []string{`2: "ann" stands in an earlier line`}},
		{
			name: "wrong", text: "ann\nann:\n: a@x\nann a\nann a@b c@d\nann a@\x01\n\x01 a@x\nbob b@x", want: "bob=b@x",
			warn: []string{"1: no address behind the login; write login: user@host; the line is ignored", "2: no address", "3: no login", `4: address "a" has no host`, `5: address "a@b c@d"`, "6: address", "7: login"},
		},
	}
}

func TestParseVirtual(t *testing.T) {
	for _, c := range virtuals() {
		t.Run(c.name, func(t *testing.T) {
			v, w, err := ParseVirtual(strings.NewReader(c.text), "F")
			var words []string
			for login, a := range v {
				words = append(words, login+"="+a.String())
			}
			slices.Sort(words)
			got := strings.Join(words, " ")
			if err != nil || got != c.want {
				t.Errorf("%q, %v; want %q", got, err, c.want)
			}
			checkWarnings(t, w, c.warn)
		})
	}
}

func TestLoadVirtual(t *testing.T) {
	path := filepath.Join(t.TempDir(), "virtual")
	if _, _, err := LoadVirtual(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("missing file: %v", err)
	}
	if _, _, err := LoadVirtual(t.TempDir()); err == nil {
		t.Error("a directory was read")
	}
	var b strings.Builder
	for i := range maxVirtual + 5 {
		fmt.Fprintf(&b, "u%d a@x\n", i)
	}
	write(t, path, b.String())
	v, w, err := LoadVirtual(path)
	if err != nil || len(v) != maxVirtual || len(w) != 1 || !strings.Contains(w[0].Text, "more than 20000 lines") {
		t.Errorf("%d, %v, %v", len(v), w, err)
	}
	if a, ok := v.Lookup("u7"); !ok || a.String() != "a@x" {
		t.Errorf("%v, %v", a, ok)
	}
	if _, ok := Virtual(nil).Lookup("u7"); ok {
		t.Error("found in nothing")
	}
	write(t, path, strings.Repeat("#", maxFile+1))
	if _, _, err := LoadVirtual(path); err == nil {
		t.Error("a file over the limit was read")
	}
}

func FuzzParseVirtual(f *testing.F) {
	for _, c := range virtuals() {
		f.Add(c.text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		v, _, err := ParseVirtual(strings.NewReader(text), "F")
		if err != nil {
			t.Fatal(err)
		}
		for login, a := range v {
			if login == "" || hasControl(login+a.String()) || strings.ContainsAny(login, " :#") || a.Local == "" || a.Domain == "" {
				t.Fatalf("%q: %v", login, a)
			}
		}
	})
}
