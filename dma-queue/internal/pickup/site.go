package pickup

import (
	"fmt"
	"strconv"
	"strings"

	"dma/common/conf"
	"dma/common/mailaddr"
	"dma/common/passwd"
	"dma/dma-queue/internal/spool"
)

// Site is how this host and its users are called in mail.
type Site struct {
	Hostname    string
	Domain      string       // of bare recipients in a header; empty: Hostname
	Masquerade  string       // MASQUERADE: [user@][host]
	Virtual     conf.Virtual // VIRTUAL: the addresses of logins; may be nil
	RewriteFrom bool         // REWRITEFROM

	Account func(uid uint32) (passwd.Account, error) // of a submitter
}

// submitter is whom a message is from.
type submitter struct {
	login    string // of the file's owner; a uid without an entry is its number
	fullName string // for a From field; may be empty
	address  string // the envelope sender; empty for the null sender
}

func (s *Site) from(r *spool.Received) (submitter, error) {
	from := submitter{login: "uid=" + strconv.FormatUint(uint64(r.UID), 10)}
	account, err := s.Account(r.UID)
	if err == nil {
		from.login = account.Login
	}
	own, err := mailaddr.Parse(from.login)
	if err != nil || own.Domain != "" { // DOMAIN\user, or worse
		own = mailaddr.Addr{Local: mailaddr.Quote(from.login)}
	}
	sender := own
	if r.SenderGiven {
		if sender, err = mailaddr.ParseSender(r.Sender); err != nil {
			return submitter{}, fmt.Errorf("sender: %w", err)
		}
	}
	switch {
	case r.FullName != "":
		from.fullName = r.FullName
	case sender == own: // nobody else has this name
		from.fullName = account.FullName()
	}
	from.address = s.sender(sender)
	if err := mailaddr.Check(from.address); err != nil && from.address != "" {
		return submitter{}, fmt.Errorf("sender: %w", err)
	}
	return from, nil
}

// sender is the envelope sender of a message whose submitter named given, or is
// given. A user in MASQUERADE goes before everything (COMPAT 1) but the null
// sender: that what was sent to nobody came back to somebody would be a loop (RFC
// 5321 4.5.5).
func (s *Site) sender(given mailaddr.Addr) string {
	if given.IsNull() {
		return ""
	}
	if a, ok := s.mask(); ok {
		return a.String()
	}
	if given.Domain != "" {
		return given.String()
	}
	return s.address(given.Local)
}

// author is what a message without a From field and without a sender has there.
func (s *Site) author(login string) string {
	if a, ok := s.mask(); ok {
		return a.String()
	}
	return login
}

// mask is whom everybody goes as, if MASQUERADE has a user.
func (s *Site) mask() (mailaddr.Addr, bool) {
	user, host := s.masquerade()
	a, err := mailaddr.Parse(user)
	return a.In(host), err == nil
}

// address is the address of a name without a domain: what VIRTUAL says, or else
// the name at the host of MASQUERADE, or else at this one.
func (s *Site) address(name string) string {
	if a, ok := s.Virtual.Lookup(name); ok {
		return a.String()
	}
	_, host := s.masquerade()
	return name + "@" + host
}

// masquerade takes MASQUERADE apart at its last @, as dma does. Its host, without
// one, is this one; its user may be missing.
func (s *Site) masquerade() (user, host string) {
	i := strings.LastIndexByte(s.Masquerade, '@')
	user, host = s.Masquerade[:max(i, 0)], s.Masquerade[i+1:]
	if host == "" {
		host = s.Hostname
	}
	return user, host
}
