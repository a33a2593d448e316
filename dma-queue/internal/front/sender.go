package front

import (
	"fmt"
	"strings"

	"dma/common/mailaddr"
	"dma/common/passwd"
	"dma/dma-queue/internal/spool"
)

// Caller is who calls: what the kernel says, and what the environment does.
type Caller struct {
	UID           uint32 // real
	Email         string // the variable EMAIL
	Logname, User string // the variables LOGNAME and USER
	PasswordFile  string // path
}

// envelope is what the caller said about the message. MASQUERADE, which would go
// before the sender, and the login of the caller's uid, which comes after it, are
// the runner's.
func (i *Input) envelope() spool.Submission {
	o := &i.Options
	e := spool.Submission{
		Sender: o.Sender, SenderGiven: o.SenderGiven, FullName: o.FullName,
		FromHeader: o.FromHeader, Ret: o.Ret, EnvID: o.EnvID, Tag: o.Tag,
	}
	if e.SenderGiven {
		return e
	}
	sender, name, found := i.Caller.email(i.Warn)
	if !found {
		sender, name, found = i.Caller.login()
	}
	if found {
		e.Sender, e.SenderGiven = sender, true
		if e.FullName == "" {
			e.FullName = name
		}
	}
	return e
}

// email is what EMAIL says, if it says something.
func (c *Caller) email(warn func(string, error)) (sender, name string, found bool) {
	if c.Email == "" {
		return "", "", false
	}
	addrs, bad := mailaddr.ParseList(c.Email)
	if len(addrs) != 1 || len(bad) > 0 {
		warn("use variable EMAIL", fmt.Errorf("%.200q is no single address", c.Email))
		return "", "", false
	}
	a, err := mailaddr.ParseSender(addrs[0].String())
	if err != nil {
		warn("use variable EMAIL", fmt.Errorf("%.200q: %w", c.Email, err))
		return "", "", false
	}
	return a.String(), displayName(c.Email), true
}

// displayName is the name in front of an address in angle brackets (RFC 5322 3.4).
func displayName(text string) string {
	before, _, _ := mailaddr.First(text)
	name, bracketed := strings.CutSuffix(strings.TrimRight(before, " \t"), "<")
	name = strings.Trim(name, " \t")
	if n := len(name); n > 1 && name[0] == '"' && name[n-1] == '"' {
		name = unquote(name[1 : n-1])
	}
	if !bracketed || mailaddr.Check(name) != nil {
		return ""
	}
	return name
}

func unquote(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+1 < len(s) {
			i++
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// login is the caller's login where several accounts share a uid: the one that
// LOGNAME or USER names, if it has that uid. Otherwise the runner knows better.
func (c *Caller) login() (sender, name string, found bool) {
	if c.Logname == "" && c.User == "" {
		return "", "", false
	}
	first, err := passwd.LookupUID(c.PasswordFile, c.UID)
	if err != nil {
		return "", "", false
	}
	for _, login := range []string{c.Logname, c.User} {
		switch login {
		case "":
			continue
		case first.Login:
			return "", "", false
		}
		a, err := passwd.Lookup(c.PasswordFile, login)
		if err != nil || a.UID != c.UID {
			continue
		}
		if addr, err := mailaddr.Parse(login); err != nil || addr != (mailaddr.Addr{Local: login}) {
			return "", "", false
		}
		return login, cleanName(a.FullName()), true
	}
	return "", "", false
}

// cleanName leaves out a name that could stand in no header field.
func cleanName(name string) string {
	if mailaddr.Check(name) != nil {
		return ""
	}
	return name
}
