package front

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"dma/common/aliases"
	"dma/common/conf"
	"dma/common/mailaddr"
	"dma/common/outcome"
	"dma/common/passwd"
	"dma/common/site"
	"dma/common/sysexits"
)

// recipients sorts what was given as recipients (RULES A11). Bad ones do not
// refuse the good ones.
type recipients struct {
	good    []string // envelope addresses, each once; unknown ones among them
	bad     []string // malformed ones, made printable
	unknown int      // how many of good are local names that nobody has

	seen   map[string]bool
	stderr io.Writer
}

// add takes a recipient from the command line.
func (r *recipients) add(arg string) {
	a, err := mailaddr.Parse(arg)
	if err != nil {
		r.addBad(arg, err)
		return
	}
	r.addGood(a)
}

func (r *recipients) addGood(a mailaddr.Addr) {
	if r.seen == nil {
		r.seen = make(map[string]bool)
	}
	if !r.seen[a.Key()] {
		r.seen[a.Key()] = true
		r.good = append(r.good, a.String())
	}
}

func (r *recipients) addBad(text string, err error) {
	fmt.Fprintf(r.stderr, "sendmail: recipient %.200q: %v\n", text, err)
	if text = outcome.Clean(text); text == "" {
		text = "(empty)"
	}
	r.bad = append(r.bad, text)
}

// errHeader is why a piece of an address field is a bad recipient.
var errHeader = errors.New("malformed address in the header")

func (r *recipients) addHeader(head []byte) {
	addrs, bad := headerRecipients(head)
	for _, a := range addrs {
		r.addGood(a)
	}
	for _, text := range bad {
		r.addBad(text, errHeader)
	}
}

// check looks for local recipients that nobody is. What is unknown stays with
// the others, and the runner, which has the last word, bounces it. The error says
// that no good recipient is left.
func (r *recipients) check(known *local) error {
	for _, s := range r.good {
		if err := known.check(s); err != nil {
			fmt.Fprintf(r.stderr, "sendmail: recipient %q: %v\n", s, err)
			r.unknown++
		}
	}
	switch {
	case len(r.good) > r.unknown:
		return nil
	case r.unknown > 0:
		return failf(sysexits.NoUser, "no valid recipients")
	case len(r.bad) > 0:
		return failf(sysexits.DataErr, "no valid recipients")
	}
	return failf(sysexits.NoInput, "no recipients")
}

// local answers whether a recipient is a local name that nobody has. It is sure
// of that or says nothing: the runner knows better.
type local struct {
	conf             *conf.Config // nil if it could not be read
	passwd, nsswitch string       // paths

	table *aliases.Table
	off   bool // nothing can be said about local names
	asked bool // of off
}

func newLocal(c *conf.Config) *local {
	return &local{conf: c, passwd: site.Passwd, nsswitch: site.Nsswitch}
}

var errUnknown = errors.New("unknown local user")

func (l *local) check(address string) error {
	name, domain, qualified := mailaddr.Split(address)
	if l.conf == nil || l.conf.NullClient || strings.ContainsAny(name, `"\`) ||
		qualified && !l.conf.IsLocalDomain(domain) {
		return nil
	}
	if !l.asked {
		l.off, l.asked = !passwd.OnlyFiles(l.nsswitch), true
	}
	if l.off {
		return nil
	}
	user, _, _ := strings.Cut(name, "+") // RULES C6
	for _, login := range []string{name, user, strings.ToLower(user)} {
		if _, err := passwd.Lookup(l.passwd, login); !errors.Is(err, passwd.ErrNotFound) {
			return nil
		}
	}
	if l.table == nil {
		table, _, err := aliases.Load(l.conf.Aliases)
		if err != nil {
			l.off = true
			return nil
		}
		l.table = table
	}
	// RFC 5321 4.5.1: postmaster is never unknown.
	for _, alias := range []string{address, name, user} {
		if _, found := l.table.Lookup(alias); found || strings.EqualFold(alias, "postmaster") {
			return nil
		}
	}
	return errUnknown
}
