package check

import (
	"bufio"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"dma/common/passwd"
	"dma/common/site"
)

// Limits of the files of accounts.
const (
	maxLine  = 1 << 20 // bytes in a line; groups of many members have long ones
	maxLines = 1 << 20 // accounts or groups
)

// accounts is who there is.
type accounts struct {
	users  []passwd.Account
	groups []group
	shells []string // with which a user may log in
}

type group struct {
	name    string
	gid     uint32
	members []string
}

func (a *accounts) user(name string) (passwd.Account, bool) {
	i := slices.IndexFunc(a.users, func(u passwd.Account) bool { return u.Login == name })
	if i < 0 {
		return passwd.Account{}, false
	}
	return a.users[i], true
}

func (a *accounts) group(name string) (group, bool) {
	i := slices.IndexFunc(a.groups, func(g group) bool { return g.name == name })
	if i < 0 {
		return group{}, false
	}
	return a.groups[i], true
}

// userName and groupName are for people.
func (a *accounts) userName(uid uint32) string {
	if i := slices.IndexFunc(a.users, func(u passwd.Account) bool { return u.UID == uid }); i >= 0 {
		return a.users[i].Login
	}
	return strconv.Itoa(int(uid))
}

func (a *accounts) groupName(gid uint32) string {
	if i := slices.IndexFunc(a.groups, func(g group) bool { return g.gid == gid }); i >= 0 {
		return a.groups[i].name
	}
	return strconv.Itoa(int(gid))
}

// canLogIn: no shell in the password file means /bin/sh.
func (a *accounts) canLogIn(u passwd.Account) bool {
	return u.Shell == "" || slices.Contains(a.shells, u.Shell)
}

// checkAccounts reads them, and looks at those that dma needs (DESIGN 1).
func (c *checker) checkAccounts() {
	a := &c.accounts
	c.read(site.Passwd, func(line string) {
		if u, err := passwd.ParseLine(line); err == nil {
			a.users = append(a.users, u)
		}
	})
	c.read(c.etc+"/group", func(line string) {
		f := strings.Split(line, ":")
		if len(f) != 4 {
			return
		}
		if gid, err := strconv.ParseUint(f[2], 10, 32); err == nil {
			a.groups = append(a.groups, group{f[0], uint32(gid), strings.FieldsFunc(f[3], func(r rune) bool { return r == ',' })})
		}
	})
	a.shells = []string{"/bin/sh", "/bin/csh"} // getusershell(3), if there is no file
	if lines, err := readLines(c.etc + "/shells"); err == nil {
		a.shells = lines
	}
	if site.Private() {
		c.ok("accounts", "a private build: all of it runs as %s", a.userName(c.uid))
		return
	}
	c.checkAccount(site.QueueUser)
	c.checkAccount(site.RemoteUser)
	c.checkGroup(site.SubmitGroup, true)
	c.checkGroup(site.MailGroup, false)
	if _, found := a.user("nobody"); !found {
		c.stop("account nobody", "not in "+site.Passwd+"; mail that root sends is not taken, and root's mailbox not written", "create it")
	}
}

// read gives each line of a file of accounts to take.
func (c *checker) read(path string, take func(line string)) {
	lines, err := readLines(path)
	if err != nil {
		c.stop(path, err.Error(), "run: chmod a+r "+path)
	}
	for _, line := range lines {
		take(line)
	}
}

func readLines(path string) ([]string, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var lines []string
	s := bufio.NewScanner(f)
	s.Buffer(nil, maxLine)
	for s.Scan() && len(lines) < maxLines {
		lines = append(lines, s.Text())
	}
	return lines, s.Err()
}

const makeAccounts = "install dma again, which makes its accounts"

// checkAccount looks at an account of dma's own: nobody else may have its uid or
// its group, or they are where it is.
func (c *checker) checkAccount(name string) {
	about := "account " + name
	u, found := c.accounts.user(name)
	if !found {
		c.stop(about, "not in "+site.Passwd, makeAccounts)
		return
	}
	g, found := c.accounts.group(name)
	switch {
	case !found:
		c.stop(about, "there is no group of that name", makeAccounts)
		return
	case u.UID == 0 || u.GID == 0:
		c.stop(about, fmt.Sprintf("uid %d, gid %d: it must have no privileges", u.UID, u.GID), "remove it, and "+makeAccounts)
		return
	case u.GID != g.gid:
		c.stop(about, fmt.Sprintf("its group is %s, not %s", c.accounts.groupName(u.GID), name), "run: usermod -g "+name+" "+name)
		return
	}
	before := c.errors + c.warnings
	for _, other := range c.accounts.users {
		if other.Login != name && other.UID == u.UID {
			c.bad(about, "shares its uid with "+other.Login+", who has all rights of it", "give one of them another uid")
		}
	}
	c.checkMembers(about, g, name)
	if s, found := c.accounts.group(site.SubmitGroup); found && slices.Contains(s.members, name) {
		c.bad(about, "is a member of "+site.SubmitGroup+", which it must be kept apart from", "run: gpasswd -d "+name+" "+site.SubmitGroup)
	}
	if c.accounts.canLogIn(u) {
		c.warn(about, fmt.Sprintf("its shell is %q, with which one can log in", u.Shell), "run: usermod -s /usr/sbin/nologin "+name)
	}
	if c.errors+c.warnings == before {
		c.ok(about, "uid %d, gid %d", u.UID, u.GID)
	}
}

func (c *checker) checkGroup(name string, own bool) {
	about := "group " + name
	g, found := c.accounts.group(name)
	switch {
	case !found:
		c.stop(about, "not in "+c.etc+"/group", makeAccounts)
		return
	case g.gid == 0:
		c.stop(about, "its gid is 0: it must have no privileges", "remove it, and "+makeAccounts)
		return
	}
	before := c.errors
	if own {
		c.checkMembers(about, g, "")
	}
	if c.errors == before {
		c.ok(about, "gid %d", g.gid)
	}
}

// checkMembers: nobody is in g but the account of its name, if there is one.
func (c *checker) checkMembers(about string, g group, name string) {
	for _, other := range c.accounts.groups {
		if other.name != g.name && other.gid == g.gid {
			c.bad(about, fmt.Sprintf("shares its gid %d with the group %s", g.gid, other.name), "give one of them another gid")
		}
	}
	var members []string
	for _, u := range c.accounts.users {
		if u.Login != name && u.GID == g.gid {
			members = append(members, u.Login)
		}
	}
	for _, login := range g.members {
		if login != name && !slices.Contains(members, login) {
			members = append(members, login)
		}
	}
	for _, login := range members {
		c.bad(about, fmt.Sprintf("%s is in the group %s, and may disturb the queue", login, g.name), "take "+login+" out of the group")
	}
}
