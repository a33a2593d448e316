package front

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"dma/common/sysexits"
)

func TestCheckAliases(t *testing.T) {
	dir := t.TempDir()
	file := dir + "/aliases"
	put := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(dir+"/"+name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	put("dma.conf", "ALIASES "+file+"\n")
	put("writable", "a\n")
	if err := os.Chmod(dir+"/writable", 0o666); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, text     string
		stdout, stderr string
		code           int
	}{
		{"fine", "root: alice@example.org\npostmaster: root\n", "%s: 2 aliases, longest 17 bytes, 21 bytes total\n", "", 0},
		{"empty", "", "%s: 0 aliases, longest 0 bytes, 0 bytes total\n", "", 0},
		{"bad line", "a: b\nc d\n", "%s: 1 aliases, longest 1 bytes, 1 bytes total\n", "%s:2: no colon after the name \"c\"; write \"name: target, target\"\n", sysexits.DataErr},
		{"ill written", "a: b\na: c\n", "%s: 1 aliases, longest 1 bytes, 2 bytes total\n", "%s:2: alias \"a\" is there already; the targets are added to it, write them in one line\n", 0},
		{
			"list", "a: :include:" + dir + "/writable\n",
			fmt.Sprintf("%%s: 1 aliases, longest %d bytes, %[1]d bytes total\n", len(":include:"+dir+"/writable")), "", sysexits.DataErr,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			put("aliases", c.text)
			var stdout, stderr bytes.Buffer
			err := CheckAliases(dir+"/dma.conf", &stdout, &stderr)
			if code := codeOf(err); code != c.code {
				t.Errorf("%v", err)
			}
			if want := fmt.Sprintf(c.stdout, file); stdout.String() != want {
				t.Errorf("%q; want %q", stdout.String(), want)
			}
			want := c.stderr
			if want != "" {
				want = fmt.Sprintf(want, file)
			}
			if c.name == "list" {
				want = stderr.String()
				// Who the file belongs to comes first, if that is not root.
				if !strings.HasPrefix(want, file+`:1: mail for "a" waits: `) || !strings.Contains(want, dir+"/writable; run: ch") {
					t.Errorf("%q", want)
				}
			}
			if stderr.String() != want {
				t.Errorf("%q; want %q", stderr.String(), want)
			}
		})
	}
}

func TestCheckNoAliases(t *testing.T) {
	dir := t.TempDir()
	conf := dir + "/dma.conf"
	var stdout, stderr bytes.Buffer
	for path, code := range map[string]int{dir + "/none": 0, dir: sysexits.NoInput, dir + "/no/dir": sysexits.NoInput} {
		if err := os.WriteFile(conf, []byte("ALIASES "+path+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := CheckAliases(conf, &stdout, &stderr); codeOf(err) != code {
			t.Errorf("%s: %v", path, err)
		}
	}
	if stdout.String() != dir+"/none: no such file, so no aliases\n" || stderr.Len() > 0 {
		t.Errorf("%q, %q", &stdout, &stderr)
	}
}

// codeOf is 0 without an error, and 1 with one that has no code.
func codeOf(err error) int {
	var f *Failure
	switch {
	case err == nil:
		return 0
	case errors.As(err, &f):
		return f.Code
	}
	return 1
}
