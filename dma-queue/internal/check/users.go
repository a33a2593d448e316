package check

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"dma/common/conf"
	"dma/common/passwd"
	"dma/common/site"
)

// Limits of looking at users' files.
const (
	homeTimeout = 2 * time.Second // for the files of one user to be seen
	maxHanging  = 3               // homes that hang; the others are not looked at
)

// problem is trouble with the mail of one user.
type problem struct{ about, found, do string }

// checkMailboxes looks at the directory that mailboxes are in (RULES D1).
func (c *checker) checkMailboxes() {
	dir := c.config.Mailbox
	if !c.keepsMail() || strings.HasSuffix(dir, "/") {
		return
	}
	st, err := stat(dir)
	switch {
	case err != nil:
		c.stop(dir, err.Error(), fmt.Sprintf("run: mkdir %s && chgrp %s %s && chmod 2775 %s", dir, site.MailGroup, dir, dir))
		return
	case st.kind != unix.S_IFDIR:
		c.stop(dir, "is "+kindName(st.kind), "make a directory of it")
		return
	}
	_, gid, known := c.ids("root", site.MailGroup)
	groupMakes := site.Private() && st.uid == c.uid || known && st.gid == gid && st.mode&0o030 == 0o030
	found := fmt.Sprintf("%s:%s, mode %04o", c.accounts.userName(st.uid), c.accounts.groupName(st.gid), st.mode)
	repair := fmt.Sprintf("run: chgrp %s %s && chmod 2775 %s", site.MailGroup, dir, dir)
	switch {
	case st.mode&0o002 != 0 && st.mode&sticky == 0:
		c.bad(dir, found+": anybody can take the mailboxes away", repair)
	case st.mode&0o002 != 0:
		c.ok(dir, "%s", found)
	case !groupMakes:
		c.bad(dir, found+": the group "+site.MailGroup+" can make no mailboxes in it, and mail for users without one waits", repair)
	default:
		c.ok(dir, "%s", found)
	}
}

// keepsMail reports whether users have mail here.
func (c *checker) keepsMail() bool {
	return !c.config.NullClient && c.config.Delivery != conf.DeliverRemote
}

// checkUsers looks at the files of the users, or of the one who asks.
func (c *checker) checkUsers() {
	if !c.keepsMail() {
		return
	}
	c.checkRootForward()
	users, hanging, problems := 0, 0, 0
	for _, u := range c.accounts.users {
		if !c.looksAt(u) {
			continue
		}
		if hanging == maxHanging {
			c.warn("users", fmt.Sprintf("%d homes hang, the others were not looked at", hanging), "see to the file system that they are on")
			break
		}
		users++
		found, answered := c.userProblems(u)
		if !answered {
			hanging++
			c.bad(u.Home, fmt.Sprintf("does not answer within %v, and mail for %s waits", homeTimeout, u.Login), "see to the file system that it is on")
		}
		for _, p := range found {
			problems++
			c.bad(p.about, p.found+", and mail for "+u.Login+" waits", p.do)
		}
	}
	if !c.isRoot() && !site.Private() {
		c.needsRoot("files of other users")
	}
	if problems+hanging == 0 {
		c.ok("users", "nothing is wrong with the mailboxes and %s files of %d", c.forwardName(), users)
	}
}

// checkRootForward: nothing is read as root (RULES C9).
func (c *checker) checkRootForward() {
	root, found := c.accounts.user("root")
	path := root.Home + "/" + c.forwardName()
	if !found || !c.isRoot() {
		return
	}
	if _, err := lstat(path); err == nil {
		c.warn(path, "is root's, and never read", "write an alias for root into "+c.config.Aliases+" instead")
	}
}

func (c *checker) forwardName() string {
	if c.config.Forward == "" {
		return ".forward"
	}
	return c.config.Forward
}

// looksAt: nothing is done as root, nor as an account of the suite's (RULES B1, C9).
func (c *checker) looksAt(u passwd.Account) bool {
	if !c.isRoot() {
		return u.UID == c.uid
	}
	return u.UID != 0 && u.Login != site.QueueUser && u.Login != site.RemoteUser && passwd.ValidLogin(u.Login)
}

// userProblems looks at the files of u for so long. A system call that hangs, on a
// file server that does not answer, cannot be called back: the goroutine in it
// ends with the program.
func (c *checker) userProblems(u passwd.Account) (found []problem, answered bool) {
	files := userLook{u, c.config.Forward, strings.TrimSuffix(c.config.Mailbox, "/") == c.config.Mailbox, c.config.Mailbox, c.accounts.canLogIn(u)}
	done := make(chan []problem, 1)
	go func() { done <- c.look(files) }()
	limit := time.NewTimer(homeTimeout)
	defer limit.Stop()
	select {
	case found := <-done:
		return found, true
	case <-limit.C:
		return nil, false
	}
}

// userLook is what the files of one user are held against.
type userLook struct {
	user    passwd.Account
	forward string // name of the file; empty: it is not read
	mbox    bool   // the mailbox is a file in the directory mail
	mail    string
	person  bool // somebody who can log in
}

// problems never opens anything: what is there may be a trap for whoever does.
func (l userLook) problems() []problem {
	var found []problem
	if p := l.forwardProblem(); p != nil {
		found = append(found, *p)
	}
	if p := l.mailboxProblem(); p != nil {
		found = append(found, *p)
	}
	return found
}

// forwardProblem is RULES C1 and C2, as far as it can be seen from outside.
func (l userLook) forwardProblem() *problem {
	home := l.user.Home
	if l.forward == "" || home == "" || home == "/" || home == "/nonexistent" {
		return nil
	}
	path := home + "/" + l.forward
	file, err := lstat(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return &problem{path, err.Error(), "make its directories accessible for " + l.user.Login}
	}
	if err != nil && !l.person {
		return nil // accounts of programs have homes of all kinds, and no mail
	}
	exists := err == nil
	if p := l.homeProblem(); p != nil || !exists {
		return p
	}
	switch {
	case file.kind != unix.S_IFREG:
		return &problem{path, "is " + kindName(file.kind), "make a file of it"}
	case file.links > 1:
		return &problem{path, "has more than one name", "copy it, and rename the copy"}
	}
	return l.unsafe(path, file)
}

func (l userLook) homeProblem() *problem {
	home := l.user.Home
	st, err := stat(home)
	switch {
	case err != nil:
		return &problem{home, err.Error(), "make the home directory of " + l.user.Login}
	case st.kind != unix.S_IFDIR:
		return &problem{home, "is " + kindName(st.kind), "make a directory of it"}
	case st.mode&sticky != 0:
		return &problem{home, "is sticky, as while " + l.forward + " is being edited", "run: chmod -t " + home}
	}
	return l.unsafe(home, st)
}

// unsafe: somebody else could have written it.
func (l userLook) unsafe(path string, st status) *problem {
	switch {
	case st.uid != 0 && st.uid != l.user.UID:
		return &problem{path, fmt.Sprintf("belongs to uid %d", st.uid), fmt.Sprintf("run: chown %s %s", l.user.Login, path)}
	case st.mode&othersWrite != 0:
		return &problem{path, fmt.Sprintf("its mode is %04o: others can change it", st.mode), "run: chmod go-w " + path}
	}
	return nil
}

// mailboxProblem is RULES D1.
func (l userLook) mailboxProblem() *problem {
	if !l.mbox {
		return nil
	}
	path := l.mail + "/" + l.user.Login
	st, err := lstat(path)
	switch {
	case err != nil:
		return nil // it is made when mail comes
	case st.kind != unix.S_IFREG:
		return &problem{path, "is " + kindName(st.kind), "move it away"}
	case st.links > 1:
		return &problem{path, "has more than one name", "find and remove the other"}
	case st.uid != l.user.UID:
		return &problem{path, fmt.Sprintf("belongs to uid %d", st.uid), fmt.Sprintf("run: chown %s %s", l.user.Login, path)}
	case st.mode&0o111 != 0:
		return &problem{path, fmt.Sprintf("its mode is %04o: one that can be executed is no mailbox", st.mode), "run: chmod a-x " + path}
	}
	return nil
}
