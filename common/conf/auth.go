package conf

import (
	"fmt"
	"io"
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
	Password Secret // empty if File is not
	File     string // that has the password; see Read
	Line     int    // in auth.conf
}

// Read gives the password: what is in the file now, or else in auth.conf.
func (a Auth) Read() (Secret, error) {
	if a.File == "" {
		return a.Password, nil
	}
	return readSecret(a.File)
}

// AuthList is auth.conf.
type AuthList []Auth

// LookupAuth finds the credentials for host: the first line with its name, in
// whatever case and with or without a final dot.
func (l AuthList) LookupAuth(host string) (Auth, bool) { return l.Lookup(host, "") }

// Lookup finds the credentials of user for host; of the first user there is if
// user is empty.
func (l AuthList) Lookup(host, user string) (Auth, bool) {
	for _, a := range l {
		if (user == "" || a.User == user) && strings.EqualFold(strings.TrimSuffix(a.Host, "."), strings.TrimSuffix(host, ".")) {
			return a, true
		}
	}
	return Auth{}, false
}

// CheckAuth compares auth.conf with what dma.conf needs of it.
func (c *Config) CheckAuth(list AuthList) []Warning {
	p := parser{file: c.AuthPath}
	used := make(map[int]bool) // by line
	for _, r := range c.Routes() {
		for _, h := range r.Hosts {
			a, found := list.Lookup(h.Name, r.User)
			used[a.Line] = true
			switch {
			case found:
			case r.User != "":
				p.warn("no line for the user %q of SENDERMAP %s; write %s|%s:password", r.User, r.Name, r.User, h.Name)
			case !h.Socket():
				p.warn("no line for %s, so nobody logs in there; write user|%s:password", h.Name, h.Name)
			}
		}
	}
	for _, a := range list {
		if !used[a.Line] {
			p.line = a.Line
			p.warn("this line is not used: dma.conf names no such host, or an earlier line is for it; SENDERMAP can name the user")
		}
	}
	return p.warnings
}

// LoadAuth reads the file at path. One that others than owner and group may read
// or change is an error, and so is one that is not there (fs.ErrNotExist). Neither
// errors nor warnings hold anything of the file's text.
func LoadAuth(path string) (AuthList, []Warning, error) {
	f, err := openPrivate(path)
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
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
			p.warn("%s; write user|host:password, or user|host</path of a file that has the password", problem)
			continue
		}
		if strings.HasSuffix(line, "\r") && a.File == "" {
			p.warn("the password ends in a carriage return; the file seems to have DOS line ends")
		}
		if _, known := list.Lookup(a.Host, a.User); known {
			p.warn("there is an earlier line for the same user and host, which counts; remove one of them")
		}
		a.Line = p.line
		list = append(list, a)
	}
	return list, p.warnings, nil
}

// parseAuthLine: the password is every byte behind the separator. An IPv6 address
// stands in brackets, as in SMARTHOST. A < behind the host, where no password can
// begin, is followed by the path of a file.
func parseAuthLine(line string) (a Auth, problem string) {
	if len(line) > maxAuthLine {
		return a, fmt.Sprintf("longer than %d bytes", maxAuthLine)
	}
	user, rest, ok := strings.Cut(strings.TrimLeft(line, " \t"), "|")
	if !ok {
		return a, "no | behind the user"
	}
	host, separator, secret := cutHost(rest)
	switch {
	case user == "":
		return a, "no user"
	case separator == 0:
		return a, "no separator behind the host"
	case host == "":
		return a, "no host"
	case secret == "" || secret == "\r":
		return a, "no password"
	case hasControl(user) || hasControl(host) || strings.ContainsRune(secret, 0):
		return a, "contains a control character"
	}
	a = Auth{User: user, Host: host}
	if separator != fileMark {
		a.Password = NewSecret(secret)
		return a, ""
	}
	a.File = strings.TrimRight(secret, " \t\r")
	if a.File == "" || a.File[0] != '/' || hasControl(a.File) {
		return a, "no absolute path behind the <"
	}
	return a, ""
}

// What stands between host and password, and between host and file.
const (
	separators = ":| \t"
	fileMark   = '<'
)

// cutHost: the separator is 0 if there is none.
func cutHost(s string) (host string, separator byte, secret string) {
	if literal, ok := strings.CutPrefix(s, "["); ok {
		host, secret, ok = strings.Cut(literal, "]")
		if !ok || secret == "" || strings.IndexByte(separators+string(fileMark), secret[0]) < 0 {
			return host, 0, ""
		}
		return host, secret[0], secret[1:]
	}
	i := strings.IndexAny(s, separators+string(fileMark))
	if i < 0 {
		return s, 0, ""
	}
	return s[:i], s[i], s[i+1:]
}

func hasControl(s string) bool {
	return strings.IndexFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f }) >= 0
}
