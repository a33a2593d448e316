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
		{name: "twice", text: "u|h:p\nu|H.:q\nv|h:r\n", want: one("u h p", "u H. q", "v h r"), warn: one("2: there is an earlier line for the same user and host")},
		{name: "socket", text: "u|/run/x:p\n", want: one("u /run/x p")},
		{name: "file", text: "u|h</run/secrets/x: |\nu|[::1]</y \r\n", want: one("u h </run/secrets/x: |", "u ::1 </y")},
		{name: "no file", text: "u|h:</run/x\nu|h <y\n", want: one("u h </run/x", "u h <y"), warn: one("2: there is an earlier line")},
		{name: "bad file", text: "u|h<hunter2\nu|h<\nu|h< /x\nu|</x\nu|h</\x01hunter2\n", warn: one("1: no absolute path behind the <", "2: no password", "3: no absolute path", "4: no host", "5: no absolute path")},
		{
			name: "bad lines", text: "hunter2\n|h:hunter2\nu|:hunter2\nu|hunter2\nu|h:\nu|h:\r\nu|[::1:hunter2\nu|[::1]hunter2\nu\x01|h:hunter2\nu|h:hunter2\x00\nu|good:p\nu|h:" + strings.Repeat("hunter2", 2000) + "\n",
			want: one("u good p"),
			warn: one("1: no | behind the user; write user|host:password, or user|host</path", "2: no user", "3: no host", "4: no separator behind the host", "5: no password", "6: no password",
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
				file := a.File
				if file != "" {
					file = "<" + file
				}
				if got := a.User + " " + a.Host + " " + a.Password.Reveal() + file; got != c.want[i] {
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

func TestLookupUser(t *testing.T) {
	list, _, _ := ParseAuth(strings.NewReader("u|a.example:p\nv|a.example:q\nu|b.example:r\n"), "F")
	for _, c := range [][3]string{{"a.example", "", "p"}, {"A.example", "v", "q"}, {"b.example.", "u", "r"}, {"b.example", "v", ""}, {"a.example", "V", ""}} {
		if a, ok := list.Lookup(c[0], c[1]); ok != (c[2] != "") || a.Password.Reveal() != c[2] {
			t.Errorf("%v: %v %v", c, ok, a.Password.Reveal())
		}
	}
}

func TestCheckAuth(t *testing.T) {
	for _, c := range []struct {
		name, conf, auth string
		want             []string
	}{
		{"good", "SMARTHOST a\nSENDERMAP @x a,b v\n", "u|a:p\nv|a:q\nv|b:r\n", nil},
		{"nothing for the smarthost", "SMARTHOST a\n", "", []string{"0: no line for a, so nobody logs in there; write user|a:password"}},
		{"nothing for a socket", "SMARTHOST /a\n", "", nil},
		{"nothing for a user", "SENDERMAP @x a v\n", "u|a:q\n", []string{`0: no line for the user "v" of SENDERMAP @x; write v|a:password`, "1: this line is not used"}},
		{"unused", "SMARTHOST a\n", "# c\nu|a:p\nv|a:p\nu|b:p\n", []string{"3: this line is not used", "4: this line is not used"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			config, _, _ := Parse(strings.NewReader("AUTHPATH /x\n"+c.conf), "F")
			list, _, _ := ParseAuth(strings.NewReader(c.auth), "F")
			config.AuthPath = "F"
			checkWarnings(t, config.CheckAuth(list), c.want)
		})
	}
}

func TestReadSecret(t *testing.T) {
	path := filepath.Join(t.TempDir(), "secret")
	a := Auth{File: path}
	if _, err := a.Read(); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("missing file: %v", err)
	}
	for text, want := range map[string]string{
		"hunter2": "hunter2", "hunter2\n": "hunter2", "hunter2\r\n": "hunter2", " hunter2 ": " hunter2 ", strings.Repeat("x", maxSecret): strings.Repeat("x", maxSecret),
		"": "", "\n": "", "hunter2\n\n": "", "hunter2\nhunter3\n": "", "hunter2\x00": "", strings.Repeat("x", maxSecret+1): "",
	} {
		write(t, path, text)
		s, err := a.Read()
		if s.Reveal() != want || (err != nil) != (want == "") || err != nil && (strings.Contains(err.Error(), "hunter") || !strings.Contains(err.Error(), path)) {
			t.Errorf("%.20q: %.20q, %v", text, s.Reveal(), err)
		}
	}
	write(t, path, "hunter3\n") // it is read each time
	if s, err := a.Read(); err != nil || s.Reveal() != "hunter3" {
		t.Errorf("%v, %v", s.Reveal(), err)
	}
	if err := os.Chmod(path, 0o604); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Read(); err == nil || !strings.Contains(err.Error(), "run: chmod o-rwx "+path) {
		t.Errorf("readable by others: %v", err)
	}
	if _, err := (Auth{File: t.TempDir()}).Read(); err == nil {
		t.Error("a directory was read")
	}
	if s, err := (Auth{Password: NewSecret("p")}).Read(); err != nil || s.Reveal() != "p" {
		t.Errorf("%v, %v", s.Reveal(), err)
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
		for _, v := range []any{s, &s, hidden{s}, &hidden{s}, shown{s}, &shown{s}, []Secret{s}, map[string]Secret{"x": s}, Auth{Password: s}, AuthList{{Password: s}}, []any{s}} {
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
			if a.User == "" || a.Host == "" || (a.Password.Reveal() == "") != (a.File != "") || hasControl(a.User+a.Host+a.File) || a.File != "" && a.File[0] != '/' || strings.ContainsAny(a.Password.Reveal(), "\x00\n") {
				t.Fatalf("%q %q %q", a.User, a.Host, a.Password.Reveal())
			}
			if !strings.Contains(text, a.Password.Reveal()) {
				t.Fatal("a password that is not in the file")
			}
		}
	})
}
