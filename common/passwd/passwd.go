// Package passwd reads files in the formats of /etc/passwd and /etc/group, and
// what nsswitch.conf says about where accounts come from. It replaces os/user,
// which with CGO reads less openly and links more.
package passwd

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
)

// Limits.
const (
	maxLine  = 1 << 20 // bytes in a line; groups of many members have long ones
	maxLogin = 32      // bytes in a login (DESIGN 5)
)

// ErrNotFound says that the look-up worked and there is no such name. Any other
// error says that it did not work and nothing is known.
var ErrNotFound = errors.New("not found")

// Account is one line of the password file.
type Account struct {
	Login    string
	UID, GID uint32
	Name     string // the gecos field as it is; see FullName
	Home     string
	Shell    string
}

// FullName is the person's name: the gecos field up to its first comma, with &
// standing for the login with a capital.
func (a Account) FullName() string {
	name, _, _ := strings.Cut(a.Name, ",")
	if strings.Contains(name, "&") && a.Login != "" {
		name = strings.ReplaceAll(name, "&", strings.ToUpper(a.Login[:1])+a.Login[1:])
	}
	return strings.TrimSpace(name)
}

// Lookup finds login, exactly as written, in the password file at path.
func Lookup(path, login string) (Account, error) {
	return find(path, func(line string) (Account, error) {
		if first, _, _ := strings.Cut(line, ":"); first != login || isOther(line) {
			return Account{}, ErrNotFound
		}
		return ParseLine(line) // a damaged line is no proof that the account is gone
	})
}

// LookupUID finds the first account with uid in the password file at path.
func LookupUID(path string, uid uint32) (Account, error) {
	return find(path, func(line string) (Account, error) {
		a, err := ParseLine(line)
		if err != nil || a.UID != uid {
			return Account{}, ErrNotFound
		}
		return a, nil
	})
}

// LookupGroup finds a group's number in the group file at path.
func LookupGroup(path, name string) (gid uint32, err error) {
	return find(path, func(line string) (uint32, error) {
		f := strings.Split(line, ":")
		if f[0] != name || isOther(line) {
			return 0, ErrNotFound
		}
		if len(f) != 4 {
			return 0, errors.New("malformed line")
		}
		return parseID(f[2])
	})
}

// OnlyFiles reports whether nsswitch.conf at path has accounts come from the
// password file alone, so that a name that is not there is nowhere (RULES B1).
func OnlyFiles(path string) bool {
	only, err := find(path, func(line string) (bool, error) {
		line, _, _ = strings.Cut(line, "#")
		sources, ok := strings.CutPrefix(strings.TrimSpace(line), "passwd:")
		if !ok {
			return false, ErrNotFound
		}
		for _, s := range strings.Fields(sources) {
			if s != "files" && s != "compat" {
				return false, nil
			}
		}
		return true, nil
	})
	return only || errors.Is(err, ErrNotFound) || errors.Is(err, os.ErrNotExist)
}

// ParseLine reads one line of a password file, as getent prints it too.
func ParseLine(line string) (Account, error) {
	f := strings.Split(line, ":")
	if len(f) != 7 || isOther(line) || strings.ContainsRune(line, 0) {
		return Account{}, errors.New("malformed line")
	}
	uid, err := parseID(f[2])
	if err != nil {
		return Account{}, err
	}
	gid, err := parseID(f[3])
	if err != nil {
		return Account{}, err
	}
	return Account{Login: f[0], UID: uid, GID: gid, Name: f[4], Home: f[5], Shell: f[6]}, nil
}

// ValidLogin reports whether s may be a login on a channel: [A-Za-z0-9_][A-Za-z0-9._-]{0,31} (DESIGN 5).
func ValidLogin(s string) bool {
	if s == "" || len(s) > maxLogin {
		return false
	}
	for i := range len(s) {
		c := s[i]
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '_':
		case i > 0 && (c == '.' || c == '-'):
		default:
			return false
		}
	}
	return true
}

// find gives each line of the file to match until that answers anything but ErrNotFound.
func find[T any](path string, match func(line string) (T, error)) (T, error) {
	var none T
	f, err := os.Open(path)
	if err != nil {
		return none, err
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, maxLine)
	for n := 1; lines.Scan(); n++ {
		found, err := match(lines.Text())
		if err == nil {
			return found, nil
		}
		if !errors.Is(err, ErrNotFound) {
			return none, fmt.Errorf("read %s line %d: %w", path, n, err)
		}
	}
	if err := lines.Err(); err != nil {
		return none, fmt.Errorf("read %s: %w", path, err)
	}
	return none, ErrNotFound
}

// isOther: lines without a name of their own, comments, and those that take in or
// leave out accounts of NIS.
func isOther(line string) bool {
	return line == "" || strings.IndexByte(":#+-", line[0]) >= 0
}

func parseID(s string) (uint32, error) {
	if s == "" || s[0] < '0' || s[0] > '9' {
		return 0, errors.New("malformed number")
	}
	n, err := strconv.ParseUint(s, 10, 32)
	if err != nil {
		return 0, errors.New("malformed number")
	}
	return uint32(n), nil
}
