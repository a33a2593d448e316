package main

import (
	"errors"
	"os"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"dma/common/aliases"
	"dma/common/conf"
	"dma/common/mailaddr"
	"dma/common/maillog"
	"dma/common/passwd"
	"dma/common/site"
	"dma/common/userconf"
	"dma/dma-queue/internal/expand"
	"dma/dma-queue/internal/schedule"
)

// configuration is dma.conf and the alias file as the runner uses them. It reads
// them again when they have changed.
type configuration struct {
	log *maillog.Log

	mu       sync.Mutex // the loop asks for the site, the picker for the host name
	current  *schedule.Site
	conf     *conf.Config
	host     string
	virtual  virtual
	accounts map[uint32]passwd.Account
	files    map[string]stamp
	logged   map[string]string // errors, by file
}

// stamp tells versions of a file apart. The zero stamp is a file that is not there.
type stamp struct {
	inode    uint64
	size     int64
	modified unix.Timespec
	changed  unix.Timespec // also by chmod
}

func newConfiguration(log *maillog.Log) *configuration {
	return &configuration{log: log, files: make(map[string]stamp), logged: make(map[string]string)}
}

func look(path string) stamp {
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		return stamp{}
	}
	return stamp{uint64(st.Ino), st.Size, st.Mtim, st.Ctim}
}

// changed reports whether the file differs from what was seen the last time.
func (c *configuration) changed(path string) bool {
	now := look(path)
	before, seen := c.files[path]
	c.files[path] = now
	return !seen || now != before
}

// hostname is this host's name in mail.
func (c *configuration) hostname() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.refresh()
	return c.host
}

// site is the configuration for the scheduler.
func (c *configuration) site() *schedule.Site {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.refresh()
	return c.current
}

// refresh reads what has changed. A file that cannot be read leaves what was
// known in force, and the defaults if nothing was.
func (c *configuration) refresh() {
	path := site.Conf + "/dma.conf"
	fresh := c.current == nil
	if c.changed(path) || fresh {
		read, warnings, err := conf.Load(path)
		c.trouble("read configuration", path, err)
		for _, w := range warnings {
			c.log.ConfigWarning(w.String())
		}
		if err != nil && fresh {
			read, _, err = conf.Parse(strings.NewReader(""), path)
		}
		if err == nil {
			c.conf, fresh = read, true
			c.log.To(read.Log)
		}
	}
	if c.changed(c.conf.Aliases) || fresh {
		c.rebuild()
	}
}

// trouble logs an error of reading a file, once, and has the file read again as
// if it had changed, since what is wrong may be elsewhere.
func (c *configuration) trouble(operation, path string, err error) {
	if err == nil {
		delete(c.logged, path)
		return
	}
	delete(c.files, path)
	if c.logged[path] != err.Error() {
		c.logged[path] = err.Error()
		c.log.Problem(operation, err)
	}
}

func (c *configuration) rebuild() {
	table, err := aliases.Examine(c.conf.Aliases)
	c.trouble("read aliases", c.conf.Aliases, err)
	warn := c.warner()
	if table != nil {
		table.Warn = warn
	}
	cf := c.conf
	c.host = cf.Hostname()
	c.current = &schedule.Site{
		Expand: expand.Expander{
			Aliases: table, AliasErr: err, List: listReader(warn), Host: c.host,
			NullClient: cf.NullClient, NullDomain: cf.NullDomain, Delivery: cf.Delivery, AliasCommands: cf.AliasCommands, Login: loginOf, Local: cf.IsLocalDomain,
		},
		Route:         func(sender, address string) string { return lane(cf, sender, address) },
		Via:           func(sender, address string) string { return via(cf, sender, address) },
		Backoff:       schedule.Backoff{Min: cf.MinRetry, Max: cf.MaxRetry},
		MailboxByUser: userconf.MailboxByUser(cf),
		Defer:         cf.Defer,
		MaxAge:        cf.MaxAge,
		DelayWarn:     cf.DelayWarn,
		FullSize:      cf.FullBounce,
	}
}

// lane names the way of mail from sender to a remote address (schedule.Site).
func lane(cf *conf.Config, sender, address string) string {
	if route, ok := cf.RouteFor(sender); ok {
		if route.Name == "" {
			return ""
		}
		return schedule.RoutePrefix + route.Name
	}
	a, err := mailaddr.Parse(address)
	if err != nil {
		return address
	}
	return strings.ToLower(a.Domain)
}

// via names the same way for people.
func via(cf *conf.Config, sender, address string) string {
	route, ok := cf.RouteFor(sender)
	if !ok {
		return "mail hosts of " + lane(cf, sender, address)
	}
	names := make([]string, len(route.Hosts))
	for i, h := range route.Hosts {
		names[i] = h.String()
	}
	text := "smarthost " + strings.Join(names, ", ")
	if route.Name != "" {
		text += " for senders " + route.Name
	}
	return text
}

// loginOf is the login that a name means: itself, or if only that is there, the
// same in lower case, as people write Root@host.
func loginOf(name string) string {
	lower := strings.ToLower(name)
	if lower == name {
		return name
	}
	if _, err := passwd.Lookup(site.Passwd, name); !errors.Is(err, passwd.ErrNotFound) {
		return name
	}
	if _, err := passwd.Lookup(site.Passwd, lower); err != nil {
		return name
	}
	return lower
}

// sysHost is the host's own name, for Received fields and bounces.
func sysHost() string {
	name, err := os.Hostname()
	if err != nil {
		return "localhost"
	}
	return name
}
