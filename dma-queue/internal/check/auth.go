package check

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"golang.org/x/sys/unix"

	"dma/common/conf"
	"dma/common/site"
)

// checkAuth looks at the files that dma-remote needs: credentials, and what they
// and dma.conf name. Without them mail for other hosts waits.
func (c *checker) checkAuth() {
	config := c.config
	if len(config.Routes()) == 0 || config.Delivery == conf.DeliverLocal {
		return
	}
	if config.CertFile != "" {
		c.checkSecret(config.CertFile, "CERTFILE")
	}
	if config.CAFile != "" {
		c.checkReadable(config.CAFile, "CAFILE")
	}
	if config.AuthPath == "" || !c.checkSecret(config.AuthPath, "AUTHPATH") {
		return
	}
	if !c.isRoot() && !site.Private() {
		c.needsRoot("the lines of " + config.AuthPath)
		return
	}
	list, warnings, err := conf.LoadAuth(config.AuthPath)
	if err != nil {
		c.stop(config.AuthPath, err.Error(), "")
		return
	}
	for _, w := range append(warnings, config.CheckAuth(list)...) {
		about := w.File
		if w.Line > 0 {
			about = fmt.Sprintf("%s:%d", w.File, w.Line)
		}
		c.warn(about, w.Text, "")
	}
	for _, a := range list {
		if a.File != "" {
			c.checkSecret(a.File, fmt.Sprintf("the password for %s at %s", a.User, a.Host))
		}
	}
}

// checkSecret looks at a file that dma-remote must be able to read, and others
// not. True: there is more to see in it.
func (c *checker) checkSecret(path, what string) bool {
	st, ok := c.file(path, what)
	if !ok {
		return false
	}
	uid, _ := c.remote()
	switch {
	case st.mode&0o007 != 0:
		c.stop(path, fmt.Sprintf("its mode is %04o: others can get at what is in it", st.mode), "run: chmod o-rwx "+path)
	case st.uid != 0 && st.uid != uid:
		c.bad(path, "belongs to "+c.accounts.userName(st.uid)+", who can change it", "run: chown root "+path)
	case st.mode&0o020 != 0:
		c.bad(path, fmt.Sprintf("its mode is %04o: its group can change it", st.mode), "run: chmod g-w "+path)
	default:
		return c.remoteReads(path, st)
	}
	return false
}

// checkReadable looks at a file that dma-remote must be able to read.
func (c *checker) checkReadable(path, what string) {
	if st, ok := c.file(path, what); ok {
		c.remoteReads(path, st)
	}
}

// file finds a file that is named for something.
func (c *checker) file(path, what string) (status, bool) {
	st, err := stat(path)
	switch {
	case errors.Is(err, fs.ErrPermission) && !c.isRoot():
		c.needsRoot(path)
		return st, false
	case err != nil:
		c.stop(path, err.Error(), "make it, as it is named for "+what)
		return st, false
	case st.kind != unix.S_IFREG:
		c.stop(path, "is "+kindName(st.kind), "make a file of it, as it is named for "+what)
		return st, false
	}
	return st, true
}

// remote is who dma-remote runs as; nobody, if that is not known.
func (c *checker) remote() (uid, gid uint32) {
	if site.Private() {
		return c.uid, c.gid
	}
	uid, gid, known := c.ids(site.RemoteUser, site.RemoteUser)
	if !known {
		return ^uint32(0), ^uint32(0)
	}
	return uid, gid
}

// remoteReads reports whether dma-remote may read a file. Directories on the way
// to it are not looked at.
func (c *checker) remoteReads(path string, st status) bool {
	uid, gid := c.remote()
	shift := 0
	switch {
	case st.uid == uid:
		shift = 6
	case st.gid == gid:
		shift = 3
	}
	if st.mode>>shift&4 == 0 {
		c.stop(path, fmt.Sprintf("%s cannot read it (%s:%s, mode %04o)", site.RemoteUser, c.accounts.userName(st.uid), c.accounts.groupName(st.gid), st.mode),
			fmt.Sprintf("run: chown root:%s %s && chmod 0640 %s", site.RemoteUser, path, path))
		return false
	}
	c.ok(path, "%s:%s, mode %04o", c.accounts.userName(st.uid), c.accounts.groupName(st.gid), st.mode)
	return true
}

// checkHost looks at what the system has to have: names and a log.
func (c *checker) checkHost() {
	if c.config.Delivery != conf.DeliverLocal {
		c.checkResolver()
	}
	if c.config.Log != conf.LogSyslog {
		return
	}
	if st, err := stat(site.LogSocket); err != nil || st.kind != unix.S_IFSOCK {
		c.warn(site.LogSocket, "nobody listens there, so there is no log", "start a syslog daemon, or write LOG with the path of a file into "+c.path)
		return
	}
	c.ok(site.LogSocket, "is the log")
}

func (c *checker) checkResolver() {
	path := c.etc + "/resolv.conf"
	text, err := readSmall(path)
	if err != nil {
		c.warn(path, err.Error(), "name a server in it; without it one on this host is asked")
		return
	}
	n := 0
	for line := range strings.SplitSeq(text, "\n") {
		if f := strings.Fields(line); len(f) > 1 && f[0] == "nameserver" {
			n++
		}
	}
	if n == 0 {
		c.warn(path, "names no server", "write a line: nameserver and its address; without it one on this host is asked")
		return
	}
	c.ok(path, "name servers: %d", n)
}
