package main

import (
	"dma/common/conf"
	"dma/common/passwd"
	"dma/common/site"
	"dma/dma-queue/internal/pickup"
)

// virtual is the file that VIRTPATH names, as it was read the last time.
type virtual struct {
	path  string
	users conf.Virtual
}

// names is how this host and its users are called in mail.
func (c *configuration) names() pickup.Site {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.refresh()
	if c.changed(site.Passwd) || len(c.accounts) >= maxAccounts {
		c.accounts = make(map[uint32]passwd.Account)
	}
	s := pickup.Site{Hostname: c.host, Masquerade: c.conf.Masquerade, RewriteFrom: c.conf.RewriteFrom, Account: c.account}
	if c.conf.NullClient {
		s.Domain = c.conf.NullDomain
	}
	if c.conf.Virtual {
		s.Virtual = c.virtualUsers(c.conf.VirtPath)
	}
	return s
}

// maxAccounts is how many submitters are remembered.
const maxAccounts = 1000

// account looks up a submitter. Of many messages most have the same.
func (c *configuration) account(uid uint32) (passwd.Account, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	a, ok := c.accounts[uid]
	if ok {
		return a, nil
	}
	a, err := passwd.LookupUID(site.Passwd, uid)
	if err == nil {
		c.accounts[uid] = a
	}
	return a, err
}

// virtualUsers reads the file when it has changed. One that cannot be read leaves
// what was known in force.
func (c *configuration) virtualUsers(path string) conf.Virtual {
	if !c.changed(path) && c.virtual.path == path {
		return c.virtual.users
	}
	users, warnings, err := conf.LoadVirtual(path)
	c.trouble("read VIRTPATH", path, err)
	for _, w := range warnings {
		c.log.ConfigWarning(w.String())
	}
	if err == nil {
		c.virtual = virtual{path, users}
	}
	return c.virtual.users
}
