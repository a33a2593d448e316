package front

import (
	"errors"
	"fmt"
	"io"
	"slices"
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
	good []string // envelope addresses, each once; unknown ones among them
	bad  []string // malformed ones, made printable

	seen   map[string]bool
	stderr io.Writer
}

// add takes a recipient from the command line, or several: what is no plain
// address may be written as in a header, with names, comments and commas.
func (r *recipients) add(arg string) {
	a, err := mailaddr.Parse(arg)
	if err == nil {
		r.addGood(a)
		return
	}
	addrs, bad := mailaddr.ParseList(arg)
	if mailaddr.Check(arg) != nil || len(addrs) == 0 || len(bad) > 0 { // no folding here (RULES A6)
		r.addBad(arg, err)
		return
	}
	for _, a := range addrs {
		r.addGood(a)
	}
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

// check looks for recipients that no mail can go to. They stay with the others,
// and the runner, which has the last word, bounces them. The error says that no
// good recipient is left.
func (r *recipients) check(known *local) error {
	unknown, refused := 0, 0
	for _, s := range r.good {
		err := known.check(s)
		switch {
		case err == nil:
			continue
		case errors.Is(err, errUnknown):
			unknown++
		default:
			refused++
		}
		fmt.Fprintf(r.stderr, "sendmail: recipient %q: %v\n", s, err)
	}
	switch {
	case len(r.good) > unknown+refused:
		return nil
	case unknown > 0:
		return failf(sysexits.NoUser, "no valid recipients")
	case refused > 0:
		return failf(sysexits.Unavailable, "no valid recipients")
	case len(r.bad) > 0:
		return failf(sysexits.DataErr, "no valid recipients")
	}
	return failf(sysexits.NoInput, "no recipients")
}

// local answers whether a recipient is one that no mail can go to: a local name
// that nobody has, or one on the wrong side of DELIVERY. It is sure of that or says
// nothing: the runner knows better.
type local struct {
	conf             *conf.Config // nil if it could not be read
	passwd, nsswitch string       // paths

	users, usersAsked bool           // whether the password file has all users
	table             *aliases.Table // nil if it cannot be read
	tableAsked        bool
}

func newLocal(c *conf.Config) *local {
	return &local{conf: c, passwd: site.Passwd, nsswitch: site.Nsswitch}
}

// Why a recipient is refused.
var (
	errUnknown  = errors.New("unknown local user")
	errNoRemote = errors.New("mail for other hosts is not sent from this one (DELIVERY local)")
	errNoLocal  = errors.New("mail is not delivered on this host (DELIVERY remote), and no alias sends it elsewhere")
)

func (l *local) check(address string) error {
	if l.conf == nil {
		return nil
	}
	name, domain, qualified := mailaddr.Split(address)
	switch {
	case qualified && !l.conf.IsLocalDomain(domain):
		if l.conf.Delivery == conf.DeliverLocal {
			return errNoRemote
		}
		return nil
	case l.conf.NullClient, strings.ContainsAny(name, `"\`):
		return nil
	case l.conf.Delivery == conf.DeliverRemote:
		if l.noAlias(name, domain) {
			return errNoLocal
		}
		return nil
	}
	user, _, _ := strings.Cut(name, "+") // RULES C6
	// RFC 5321 4.5.1: postmaster is never unknown.
	if !strings.EqualFold(user, "postmaster") && l.noUser(name, user) && l.noAlias(name, domain) {
		return errUnknown
	}
	return nil
}

// noUser reports whether it is certain that there is no such user.
func (l *local) noUser(name, user string) bool {
	if !l.usersAsked {
		l.users, l.usersAsked = passwd.OnlyFiles(l.nsswitch), true
	}
	if !l.users {
		return false
	}
	for _, login := range slices.Compact([]string{name, user, strings.ToLower(user)}) {
		if _, err := passwd.Lookup(l.passwd, login); !errors.Is(err, passwd.ErrNotFound) {
			return false
		}
	}
	return true
}

// noAlias reports whether it is certain that there is no such alias.
func (l *local) noAlias(name, domain string) bool {
	if !l.tableAsked {
		l.tableAsked = true
		l.table, _ = aliases.Load(l.conf.Aliases) // the runner says what is wrong with it
	}
	if l.table == nil {
		return false
	}
	_, _, found := l.table.Find(mailaddr.Addr{Local: name, Domain: domain}, l.conf.Hostname(), true)
	return !found
}
