package conf

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"dma/common/mailaddr"
)

// maxVirtual bounds the lines of the file that VIRTPATH names.
const maxVirtual = 20000

// Virtual is the file that VIRTPATH names: the sender address of each login.
type Virtual map[string]mailaddr.Addr

// Lookup says as whom login sends. Logins differ by case.
func (v Virtual) Lookup(login string) (mailaddr.Addr, bool) {
	a, ok := v[login]
	return a, ok
}

// LoadVirtual reads the file at path. One that is not there is an error
// (fs.ErrNotExist), as VIRTUAL asks for it.
func LoadVirtual(path string) (Virtual, []Warning, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK|unix.O_NOCTTY, 0)
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
	return ParseVirtual(f, path)
}

// ParseVirtual reads lines "login: address" and "login address", where # starts a
// comment; name is for the warnings. A line that is wrong has no effect. The error
// is one of reading.
func ParseVirtual(r io.Reader, name string) (Virtual, []Warning, error) {
	text, err := readAll(r)
	if err != nil {
		return nil, nil, fmt.Errorf("read %s: %w", name, err)
	}
	p := parser{file: name}
	v := Virtual{}
	for line := range strings.SplitSeq(text, "\n") {
		p.line++
		line, _, _ = strings.Cut(line, "#")
		if line = strings.Trim(line, " \t\r"); line == "" {
			continue
		}
		login, address, err := parseVirtualLine(line)
		if err != nil {
			p.warn("%v; write login: user@host; the line is ignored", err)
			continue
		}
		if _, known := v[login]; known {
			p.warn("%q stands in an earlier line, which counts; remove one of them", login)
			continue
		}
		if len(v) == maxVirtual {
			p.warn("more than %d lines; this one and what follows are ignored", maxVirtual)
			break
		}
		v[login] = address
	}
	return v, p.warnings, nil
}

func parseVirtualLine(line string) (login string, a mailaddr.Addr, err error) {
	i := strings.IndexAny(line, ": \t")
	if i < 0 {
		return "", a, errors.New("no address behind the login")
	}
	login = line[:i]
	address := strings.TrimLeft(line[i:], ": \t")
	switch {
	case login == "":
		return "", a, errors.New("no login")
	case address == "":
		return "", a, errors.New("no address behind the login")
	}
	if err := mailaddr.Check(login); err != nil {
		return "", a, fmt.Errorf("login %q: %w", login, err)
	}
	if a, err = mailaddr.Parse(address); err != nil {
		return "", a, fmt.Errorf("address %q: %w", address, err)
	}
	if a.Domain == "" {
		return "", a, fmt.Errorf("address %q has no host", address)
	}
	return login, a, nil
}
