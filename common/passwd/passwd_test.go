package passwd

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const sample = `root:x:0:0:root:/root:/bin/bash
+nis::::::
-bob:x:7:7::/:/bin/sh
# comment: with:six:colons:in:it:x
alice:x:1000:1001:& Liddell,room 3,,:/home/alice:/bin/sh

short:x:1
broken:x:abc:1::/:/bin/sh
negative:x:-2:1::/:/bin/sh
huge:x:4294967296:1::/:/bin/sh
bob:x:1002:1002::/home/bob:
alice:x:9999:9999:second:/x:/bin/sh
twin:x:1000:1000::/home/twin:/bin/sh
nobody:x:4294967294:65534:nobody:/nonexistent:/usr/sbin/nologin
last:x:5:6:no newline:/l:/bin/l`

func file(t testing.TB, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestLookup(t *testing.T) {
	path := file(t, sample)
	for login, want := range map[string]Account{
		"root":   {"root", 0, 0, "root", "/root", "/bin/bash"},
		"alice":  {"alice", 1000, 1001, "& Liddell,room 3,,", "/home/alice", "/bin/sh"},
		"bob":    {"bob", 1002, 1002, "", "/home/bob", ""},
		"nobody": {"nobody", 4294967294, 65534, "nobody", "/nonexistent", "/usr/sbin/nologin"},
		"last":   {"last", 5, 6, "no newline", "/l", "/bin/l"},
	} {
		if got, err := Lookup(path, login); err != nil || got != want {
			t.Errorf("Lookup(%q) = %+v, %v; want %+v", login, got, err, want)
		}
	}
	for _, login := range []string{"", "carol", "Alice", "alice ", "ali", "+nis", "-bob", "x", "# comment"} {
		if got, err := Lookup(path, login); !errors.Is(err, ErrNotFound) {
			t.Errorf("Lookup(%q) = %+v, %v; want not found", login, got, err)
		}
	}
}

// A damaged line must not turn a user's mail into bounces.
func TestDamagedLineIsNotNotFound(t *testing.T) {
	path := file(t, sample)
	for _, login := range []string{"short", "broken", "negative", "huge"} {
		got, err := Lookup(path, login)
		if err == nil || errors.Is(err, ErrNotFound) {
			t.Errorf("Lookup(%q) = %+v, %v; want a failed look-up", login, got, err)
		}
	}
}

func TestLookupFails(t *testing.T) {
	_, err := Lookup(filepath.Join(t.TempDir(), "missing"), "alice")
	if !errors.Is(err, fs.ErrNotExist) || errors.Is(err, ErrNotFound) {
		t.Errorf("missing file: %v", err)
	}
	if _, err := Lookup(t.TempDir(), "alice"); err == nil || errors.Is(err, ErrNotFound) {
		t.Errorf("directory: %v", err)
	}
	long := file(t, strings.Repeat("x", maxLine+1)+"\n"+sample)
	if _, err := Lookup(long, "alice"); err == nil || errors.Is(err, ErrNotFound) {
		t.Errorf("endless line: %v", err)
	}
}

func TestLookupUID(t *testing.T) {
	path := file(t, sample)
	for uid, want := range map[uint32]string{0: "root", 1000: "alice", 4294967294: "nobody"} {
		if got, err := LookupUID(path, uid); err != nil || got.Login != want {
			t.Errorf("LookupUID(%d) = %+v, %v; want %s", uid, got, err, want)
		}
	}
	for _, uid := range []uint32{7, 1, 4294967295} {
		if got, err := LookupUID(path, uid); !errors.Is(err, ErrNotFound) {
			t.Errorf("LookupUID(%d) = %+v, %v; want not found", uid, got, err)
		}
	}
}

func TestLookupGroup(t *testing.T) {
	path := file(t, "root:x:0:\n+:::\nmail:x:8:alice,bob\nshort:x\nbad:x:y:\n")
	if gid, err := LookupGroup(path, "mail"); err != nil || gid != 8 {
		t.Errorf("mail: %d, %v", gid, err)
	}
	for _, name := range []string{"", "x", "alice", "+", "Mail"} {
		if gid, err := LookupGroup(path, name); !errors.Is(err, ErrNotFound) {
			t.Errorf("%q: %d, %v; want not found", name, gid, err)
		}
	}
	for _, name := range []string{"short", "bad"} {
		if gid, err := LookupGroup(path, name); err == nil || errors.Is(err, ErrNotFound) {
			t.Errorf("%q: %d, %v; want a failed look-up", name, gid, err)
		}
	}
}

func TestFullName(t *testing.T) {
	for name, c := range map[string]struct {
		a    Account
		want string
	}{
		"plain":     {Account{Login: "alice", Name: "Alice Liddell"}, "Alice Liddell"},
		"ampersand": {Account{Login: "alice", Name: "& Liddell,room 3,,"}, "Alice Liddell"},
		"commas":    {Account{Login: "bob", Name: ",,,"}, ""},
		"empty":     {Account{Login: "bob"}, ""},
		"no login":  {Account{Name: "& x"}, "& x"},
	} {
		if got := c.a.FullName(); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

func TestOnlyFiles(t *testing.T) {
	for name, c := range map[string]struct {
		text string
		want bool
	}{
		"files":       {"group: ldap\npasswd:  files\n", true},
		"compat":      {"passwd:compat", true},
		"both":        {"passwd: compat files # ldap\n", true},
		"systemd":     {"passwd: files systemd\n", false},
		"ldap":        {"  passwd:\tfiles ldap\n", false},
		"action":      {"passwd: files [NOTFOUND=return] sss\n", false},
		"no line":     {"group: ldap\n", true},
		"commented":   {"#passwd: ldap\n", true},
		"empty file":  {"", true},
		"passwd_x":    {"passwd_compat: nis\n", true},
		"first wins":  {"passwd: files\npasswd: ldap\n", true},
		"dangling":    {"passwd:", true},
		"long line":   {strings.Repeat("x", maxLine+1) + "\npasswd: ldap\n", false},
		"no new line": {"passwd: db", false},
	} {
		if got := OnlyFiles(file(t, c.text)); got != c.want {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
	if !OnlyFiles(filepath.Join(t.TempDir(), "missing")) {
		t.Error("missing file: false, want true")
	}
	if OnlyFiles(t.TempDir()) {
		t.Error("unreadable file: true, want false")
	}
}

func TestValidLogin(t *testing.T) {
	for _, s := range []string{"a", "alice", "_apt", "0", "a.b-c_d", "A-", strings.Repeat("x", 32)} {
		if !ValidLogin(s) {
			t.Errorf("%q refused", s)
		}
	}
	for _, s := range []string{
		"", ".", "..", "-a", ".a", "a/b", "../x", "a b", "a:b", "a\n", "a\x00", "ü", "a@b", "+a", "a$", strings.Repeat("x", 33),
	} {
		if ValidLogin(s) {
			t.Errorf("%q accepted", s)
		}
	}
}

func FuzzParseLine(f *testing.F) {
	for line := range strings.SplitSeq(sample, "\n") {
		f.Add(line)
	}
	f.Fuzz(func(t *testing.T, line string) {
		a, err := ParseLine(line)
		if err != nil {
			if a != (Account{}) {
				t.Fatalf("error and %+v", a)
			}
			return
		}
		for _, s := range []string{a.Login, a.Name, a.Home, a.Shell} {
			if strings.ContainsAny(s, ":\x00") {
				t.Fatalf("%q holds a separator", s)
			}
		}
		if a.Login == "" || a.Login[0] == '+' || a.Login[0] == '-' {
			t.Fatalf("login %q", a.Login)
		}
		_ = a.FullName()
	})
}
