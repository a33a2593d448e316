package conf

import (
	"fmt"
	"io"
	"os"
	"strings"
)

// maxAuthLine bounds a line of auth.conf, in bytes; tokens can be long.
const maxAuthLine = 8192

// redacted stands for a secret wherever one is printed.
const redacted = "[redacted]"

// Secret is a password. However it is printed, [redacted] comes out (RULES E10);
// even inside a struct that fmt looks into behind our back it is but a pointer.
type Secret struct{ value *string }

// NewSecret makes s a secret.
func NewSecret(s string) Secret { return Secret{&s} }

// Reveal gives the password itself.
func (s Secret) Reveal() string {
	if s.value == nil {
		return ""
	}
	return *s.value
}

func (s Secret) String() string { return redacted }

// GoString is for %#v.
func (s Secret) GoString() string { return redacted }

// Format is for all other verbs.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) }

// MarshalText is for encoders.
func (s Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// Auth is one line of auth.conf.
type Auth struct {
	User     string
	Host     string // as in SMARTHOST, without port
	Password Secret
}

// AuthList is auth.conf.
type AuthList []Auth

// LookupAuth finds the credentials for host: the first line with its name, in
// whatever case and with or without a final dot.
func (l AuthList) LookupAuth(host string) (Auth, bool) {
	for _, a := range l {
		if strings.EqualFold(strings.TrimSuffix(a.Host, "."), strings.TrimSuffix(host, ".")) {
			return a, true
		}
	}
	return Auth{}, false
}

// LoadAuth reads the file at path. One that others than owner and group may read
// or change is an error, and so is one that is not there (fs.ErrNotExist). Neither
// errors nor warnings hold anything of the file's text.
func LoadAuth(path string) (AuthList, []Warning, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, nil, fmt.Errorf("read %s: not a regular file", path)
	}
	if info.Mode()&0o007 != 0 {
		return nil, nil, fmt.Errorf("read %s: it holds passwords and others have access to it; run: chmod o-rwx %s", path, path)
	}
	return ParseAuth(f, path)
}

// ParseAuth reads credentials; name is for the warnings. The error is one of reading.
func ParseAuth(r io.Reader, name string) (AuthList, []Warning, error) {
	text, err := readAll(r)
	if err != nil {
		return nil, nil, fmt.Errorf("read %s: %w", name, err)
	}
	p := parser{file: name}
	var list AuthList
	for line := range strings.SplitSeq(text, "\n") {
		p.line++
		if strings.TrimSpace(line) == "" || line[0] == '#' {
			continue
		}
		a, problem := parseAuthLine(line)
		if problem != "" {
			p.warn("%s; write user|host:password", problem)
			continue
		}
		if strings.HasSuffix(line, "\r") {
			p.warn("the password ends in a carriage return; the file seems to have DOS line ends")
		}
		if _, known := list.LookupAuth(a.Host); known {
			p.warn("there is an earlier line for the same host, which counts")
		}
		list = append(list, a)
	}
	return list, p.warnings, nil
}

// parseAuthLine: the password is every byte behind the separator. An IPv6 address
// stands in brackets, as in SMARTHOST.
func parseAuthLine(line string) (a Auth, problem string) {
	if len(line) > maxAuthLine {
		return a, fmt.Sprintf("longer than %d bytes", maxAuthLine)
	}
	user, rest, ok := strings.Cut(strings.TrimLeft(line, " \t"), "|")
	if !ok {
		return a, "no | behind the user"
	}
	var host, password string
	if literal, isLiteral := strings.CutPrefix(rest, "["); isLiteral {
		host, password, ok = strings.Cut(literal, "]")
		if !ok || password == "" || !strings.Contains(separators, password[:1]) {
			return a, "no separator behind the host"
		}
		password = password[1:]
	} else {
		i := strings.IndexAny(rest, separators)
		if i < 0 {
			return a, "no separator behind the host"
		}
		host, password = rest[:i], rest[i+1:]
	}
	switch {
	case user == "":
		return a, "no user"
	case host == "":
		return a, "no host"
	case password == "" || password == "\r":
		return a, "no password"
	case hasControl(user) || hasControl(host) || strings.ContainsRune(password, 0):
		return a, "contains a control character"
	}
	return Auth{user, host, NewSecret(password)}, ""
}

// separators stand between host and password.
const separators = ":| \t"

func hasControl(s string) bool {
	return strings.IndexFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f }) >= 0
}
