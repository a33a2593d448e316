// Package role decides which program dma-spawn starts as which account
// (DESIGN 1, RULES B1). Nothing of what it decides by comes from the runner but
// the role and the login.
package role

import (
	"errors"
	"fmt"
	"math"
	"os"
	"time"

	"dma/common/outcome"
	"dma/common/passwd"
	"dma/common/site"
	"dma/proto"
)

// groupFile is where the mail group is looked up.
const groupFile = "/etc/group"

// How long a helper may live, whatever it says. A helper serves many requests,
// so each is a multiple of the limits that the helper and the runner keep.
const (
	capForward = 10 * time.Minute // reading a .forward: 30 s (RULES B6)
	capLocal   = 30 * time.Minute // a command: 300 s; locks: 100 s (RULES B6)
	capRemote  = 6 * time.Hour    // a session with a slow server and 100 messages (RULES E1, E11)
)

// Program is what is started, who it is, and what it is told about that.
type Program struct {
	Path     string
	UID, GID uint32
	Cap      time.Duration // on its lifetime; 0 for the runner, which has none
	Hello    proto.Hello
}

// Accounts are those that the suite itself uses.
type Accounts struct {
	Queue, Remote, Nobody passwd.Account
	Mail                  uint32 // gid
}

// LoadAccounts looks up the accounts of the suite. In a private build everyone
// is the user who started it.
func LoadAccounts() (Accounts, error) {
	var a Accounts
	if site.Private() {
		var err error
		if a.Queue, err = passwd.LookupUID(site.Passwd, uint32(os.Getuid())); err != nil {
			return a, fmt.Errorf("look up uid %d in %s: %w", os.Getuid(), site.Passwd, err)
		}
		return a, nil
	}
	for _, want := range []struct {
		login string
		to    *passwd.Account
	}{{site.QueueUser, &a.Queue}, {site.RemoteUser, &a.Remote}, {"nobody", &a.Nobody}} {
		found, err := passwd.Lookup(site.Passwd, want.login)
		if err == nil && forbidden(found.UID) {
			err = fmt.Errorf("has uid %d", found.UID)
		}
		if err == nil && forbidden(found.GID) {
			err = fmt.Errorf("has gid %d", found.GID)
		}
		if err != nil {
			return a, fmt.Errorf("look up account %s: %w", want.login, err)
		}
		*want.to = found
	}
	mail, err := passwd.LookupGroup(groupFile, site.MailGroup)
	if err == nil && forbidden(mail) {
		err = fmt.Errorf("has gid %d", mail)
	}
	if err != nil {
		return a, fmt.Errorf("look up group %s: %w", site.MailGroup, err)
	}
	a.Mail = mail
	return a, nil
}

// forbidden reports whether no program may run with this uid or gid: root's, and
// the one that means "leave it as it is" to setuid.
func forbidden(id uint32) bool { return id == 0 || id == math.MaxUint32 }

// Rules decide. Lookup finds an account by its login; its error is or wraps
// passwd.ErrNotFound only if it is certain that there is none.
type Rules struct {
	Accounts Accounts
	Lookup   func(login string) (passwd.Account, error)
}

// Runner is the program that may ask for the others.
func (r Rules) Runner() Program {
	q := r.Accounts.Queue
	return r.program("dma-queue-runner", q.UID, q.GID, 0)
}

// Program is what a request is answered with, or why with nothing.
func (r Rules) Program(start *proto.Start) (Program, *proto.Refused) {
	if start.Role == proto.RoleRemote || start.Role == proto.RoleAlias {
		if start.Login != "" {
			return refuse(proto.RefusedForbidden, "role %v is for no login", start.Role)
		}
		if start.Role == proto.RoleAlias {
			return r.forAliases()
		}
		a := r.Accounts.Remote
		return r.program("dma-remote", a.UID, a.GID, capRemote), nil
	}
	if !passwd.ValidLogin(start.Login) {
		return refuse(proto.RefusedUnknown, "%q cannot be a login", start.Login)
	}
	a, err := r.Lookup(start.Login)
	switch {
	case errors.Is(err, passwd.ErrNotFound):
		return refuse(proto.RefusedUnknown, "no such user: %s", start.Login)
	case err != nil:
		return refuse(proto.RefusedLater, "look up %s: %v", start.Login, err)
	case a.Login != start.Login:
		return refuse(proto.RefusedLater, "look up %s: found %q", start.Login, a.Login)
	}
	if site.Private() {
		return r.privately(start.Role, a)
	}
	return r.asUser(start.Role, a)
}

// forAliases decides who runs the commands and writes the files that the alias file
// names (RULES C10): nobody, with no group that means anything here.
func (r Rules) forAliases() (Program, *proto.Refused) {
	a, decide := r.Accounts.Nobody, r.asUser
	if site.Private() {
		a, decide = r.Accounts.Queue, r.privately
	} else if a.GID == r.Accounts.Mail || a.GID == r.Accounts.Queue.GID {
		return refuse(proto.RefusedLater, "%s has the group %d, which is of the mail system", a.Login, a.GID)
	}
	p, refused := decide(proto.RoleUser, a)
	if refused != nil {
		refused.Why = proto.RefusedLater // no sender can help it
	}
	p.Hello.Aliases = refused == nil
	return p, refused
}

// asUser decides for an account that was looked up.
func (r Rules) asUser(role proto.Role, a passwd.Account) (Program, *proto.Refused) {
	root := a.UID == 0 && role == proto.RoleMailbox // whose mailbox nobody writes, RULES C9
	switch {
	case a.UID == r.Accounts.Queue.UID, a.UID == r.Accounts.Remote.UID:
		return refuse(proto.RefusedForbidden, "%s is an account of the mail system", a.Login)
	case !root && (forbidden(a.UID) || forbidden(a.GID)):
		return refuse(proto.RefusedForbidden, "%s has uid %d and gid %d", a.Login, a.UID, a.GID)
	}
	uid, gid := a.UID, a.GID
	if role == proto.RoleMailbox {
		gid = r.Accounts.Mail
	}
	if root {
		uid = r.Accounts.Nobody.UID
	}
	return r.local(role, uid, gid, a)
}

// privately decides in a private build, where there is one user.
func (r Rules) privately(role proto.Role, a passwd.Account) (Program, *proto.Refused) {
	me := r.Accounts.Queue
	if a.UID != me.UID {
		return refuse(proto.RefusedLater, "this is a private build: mail is delivered for %s only", me.Login)
	}
	return r.local(role, me.UID, me.GID, a)
}

func (r Rules) local(role proto.Role, uid, gid uint32, a passwd.Account) (Program, *proto.Refused) {
	var p Program
	switch role {
	case proto.RoleForward:
		p = r.program("dma-forward", uid, gid, capForward)
	case proto.RoleMailbox, proto.RoleUser:
		p = r.program("dma-local", uid, gid, capLocal)
	default:
		return refuse(proto.RefusedForbidden, "no such role: %d", role)
	}
	p.Hello.Login, p.Hello.UID, p.Hello.Home, p.Hello.Shell = a.Login, a.UID, a.Home, a.Shell
	return p, nil
}

func (r Rules) program(name string, uid, gid uint32, life time.Duration) Program {
	return Program{
		Path: site.Libexec + "/" + name, UID: uid, GID: gid, Cap: life,
		Hello: proto.Hello{Version: proto.Version, Queue: r.Accounts.Queue.UID},
	}
}

func refuse(why proto.Refusal, format string, args ...any) (Program, *proto.Refused) {
	return Program{}, &proto.Refused{Why: why, Text: outcome.Clean(fmt.Sprintf(format, args...))}
}
