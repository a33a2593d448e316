package conf

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

type authCase struct {
	name, text string
	want       []string // user, host and password
	warn       []string
}

func auths() []authCase {
	one := func(s ...string) []string { return s }
	return []authCase{
		{name: "empty"},
		{name: "comments", text: "# a|b:c\n\n  \n\r\n#\n"},
		{name: "plain", text: "user|smtp.example:secret\n", want: one("user smtp.example secret")},
		{name: "no final newline", text: "u|h:p", want: one("u h p")},
		{name: "separators", text: "u|a|p\nu|b p\nu|c\tp\n", want: one("u a p", "u b p", "u c p")},
		{name: "every byte is password", text: "u|h: a:b|c #d\t \n", want: one("u h  a:b|c #d\t ")},
		{name: "number sign in user", text: " #u|h:p\n", want: one("#u h p")},
		{name: "address as user", text: "u@x.example|h:p", want: one("u@x.example h p")},
		{name: "binary password", text: "u|h:\xff\x01\x7f\n", want: one("u h \xff\x01\x7f")},
		{name: "IPv6", text: "u|[2001:db8::1]:p\n", want: one("u 2001:db8::1 p")},
		{name: "dos", text: "u|h:p\r\n", want: one("u h p\r"), warn: one("1: the password ends in a carriage return")},
		{name: "twice", text: "u|h:p\nv|H.:q\n", want: one("u h p", "v H. q"), warn: one("2: there is an earlier line")},
		{
			name: "bad lines", text: "hunter2\n|h:hunter2\nu|:hunter2\nu|hunter2\nu|h:\nu|h:\r\nu|[::1:hunter2\nu|[::1]hunter2\nu\x01|h:hunter2\nu|h:hunter2\x00\nu|good:p\nu|h:" + strings.Repeat("hunter2", 2000) + "\n",
			want: one("u good p"),
			warn: one("1: no | behind the user; write user|host:password", "2: no user", "3: no host", "4: no separator behind the host", "5: no password", "6: no password",
				"7: no separator", "8: no separator", "9: contains a control", "10: contains a control", "12: longer than 8192 bytes"),
		},
	}
}

func TestParseAuth(t *testing.T) {
	for _, c := range auths() {
		t.Run(c.name, func(t *testing.T) {
			list, warnings, err := ParseAuth(strings.NewReader(c.text), "F")
			if err != nil || len(list) != len(c.want) {
				t.Fatalf("%v, %v", list, err)
			}
			for i, a := range list {
				if got := a.User + " " + a.Host + " " + a.Password.Reveal(); got != c.want[i] {
					t.Errorf("got %q, want %q", got, c.want[i])
				}
			}
			checkWarnings(t, warnings, c.warn)
			if all := fmt.Sprint(warnings); strings.Contains(all, "hunter2") {
				t.Errorf("a warning has the password: %s", all)
			}
		})
	}
}

func TestLookupAuth(t *testing.T) {
	list, _, _ := ParseAuth(strings.NewReader("u|a.example:p\nv|b.example:q\nw|A.example:r\n"), "F")
	for host, want := range map[string]string{"a.example": "u", "A.EXAMPLE.": "u", "b.example": "v"} {
		if a, ok := list.LookupAuth(host); !ok || a.User != want {
			t.Errorf("%s: %v, %v; want %s", host, a, ok, want)
		}
	}
	for _, host := range []string{"", "example", "a.example.org"} {
		if a, ok := list.LookupAuth(host); ok {
			t.Errorf("%s: %v", host, a)
		}
	}
}

func TestLoadAuth(t *testing.T) {
	path := filepath.Join(t.TempDir(), "auth.conf")
	if _, _, err := LoadAuth(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("missing file: %v", err)
	}
	write(t, path, "u|h:hunter2\n")
	for _, mode := range []fs.FileMode{0o600, 0o640, 0o660, 0o400} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		if list, w, err := LoadAuth(path); err != nil || len(w) != 0 || len(list) != 1 {
			t.Errorf("mode %o: %v, %v, %v", mode, list, w, err)
		}
	}
	for _, mode := range []fs.FileMode{0o644, 0o602, 0o601} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		list, _, err := LoadAuth(path)
		if err == nil || list != nil || !strings.Contains(err.Error(), "run: chmod o-rwx "+path) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("mode %o: %v, %v", mode, list, err)
		}
	}
	if _, _, err := LoadAuth(t.TempDir()); err == nil {
		t.Error("a directory was read")
	}
}

func TestSecretIsNeverPrinted(t *testing.T) {
	s := NewSecret("hunter2")
	type hidden struct{ s Secret } // fmt cannot call methods of what is in here
	type shown struct{ S Secret }
	encoded, err := json.Marshal(shown{s})
	if err != nil {
		t.Fatal(err)
	}
	printed := []string{string(encoded), s.String(), s.GoString(), fmt.Sprint(s), fmt.Sprintln(s, &s), fmt.Errorf("login: %w, %v", errors.New("x"), s).Error()}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%T", "%p", "%t", "%10s", "%.3s"} {
		for _, v := range []any{s, &s, hidden{s}, &hidden{s}, shown{s}, &shown{s}, []Secret{s}, map[string]Secret{"x": s}, Auth{"u", "h", s}, AuthList{{"u", "h", s}}, []any{s}} {
			printed = append(printed, fmt.Sprintf(verb, v))
		}
	}
	for _, p := range printed {
		if strings.Contains(p, "hunter2") || strings.Contains(p, fmt.Sprintf("%x", "hunter2")) || strings.Contains(p, "hun") {
			t.Errorf("printed: %s", p)
		}
	}
	if got := fmt.Sprint(s); got != "[redacted]" {
		t.Errorf("printed as %q", got)
	}
	if s.Reveal() != "hunter2" || (Secret{}).Reveal() != "" {
		t.Error("Reveal does not give it back")
	}
}

func FuzzParseAuth(f *testing.F) {
	for _, c := range auths() {
		f.Add(c.text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		list, _, err := ParseAuth(strings.NewReader(text), "F")
		if err != nil {
			t.Fatal(err)
		}
		for _, a := range list {
			if a.User == "" || a.Host == "" || a.Password.Reveal() == "" || hasControl(a.User+a.Host) || strings.ContainsAny(a.Password.Reveal(), "\x00\n") {
				t.Fatalf("%q %q %q", a.User, a.Host, a.Password.Reveal())
			}
			if !strings.Contains(text, a.Password.Reveal()) {
				t.Fatal("a password that is not in the file")
			}
		}
	})
}
