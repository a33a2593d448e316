package main

import (
	"dma/common/conf"
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
	s := pickup.Site{Hostname: c.host, Masquerade: c.conf.Masquerade, RewriteFrom: c.conf.RewriteFrom}
	if c.conf.NullClient {
		s.Domain = c.conf.NullDomain
	}
	if c.conf.Virtual {
		s.Virtual = c.virtualUsers(c.conf.VirtPath)
	}
	return s
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
