package check

import (
	"fmt"
	"strings"
	"time"

	"dma/common/aliases"
	"dma/common/conf"
	"dma/common/mailaddr"
	"dma/common/site"
	"dma/dma-queue/internal/front"
	"dma/proto"
)

// Limits of a probe.
const (
	reportTimeout = 11 * time.Minute // for the next report; the runner gives up after 10
	maxReports    = 1000             // of one probe
)

// checkRunner connects to the queue runner, and does the rest on that connection:
// for root as nobody, and before anything that a peer says is read. There is no way
// back to root, so this comes last.
func (c *checker) checkRunner() {
	if c.foreignConfig() {
		c.needsRoot("the queue runner, with a dma.conf of one's own")
		c.checkAliases()
		return
	}
	begun := false
	err := c.connect(func(conn *proto.Conn) error {
		begun = true
		c.ok("queue runner", "answers")
		c.checkAliases()
		if err := c.checkRoutes(conn); err != nil {
			return fmt.Errorf("%w: %w", front.ErrStarted, err) // what is printed is printed
		}
		return nil
	})
	switch {
	case err == nil:
	case begun:
		c.bad("queue runner", err.Error(), "look into the mail log")
	default:
		c.stop("queue runner", err.Error(), "look at the errors above, and into the mail log")
		if c.leave != nil && c.leave() != nil {
			return
		}
		c.checkAliases()
	}
}

// checkAliases reads the alias file as the runner would.
func (c *checker) checkAliases() {
	path := c.config.Aliases
	report, err := aliases.Check(path, c.config.AliasCommands)
	if err != nil {
		c.stop(path, err.Error()+"; mail for local names waits", "")
		return
	}
	c.checkSafe(path, 0)
	for _, w := range report.Warnings {
		about := fmt.Sprintf("%s:%d", w.File, w.Line)
		if w.Bad {
			c.bad(about, w.Text, "")
		} else {
			c.warn(about, w.Text, "")
		}
	}
	switch {
	case report.Missing:
		c.ok(path, "not there, so no aliases")
	case report.Bad == 0:
		c.ok(path, "aliases: %d", report.Aliases)
	}
	c.checkRootAlias()
}

// checkRootAlias: what the system has to say it says to root.
func (c *checker) checkRootAlias() {
	targets := c.rootAlias()
	switch {
	case len(targets) > 0:
		c.ok("mail for root", "goes to %s", describe(targets))
	case c.config.NullClient:
		c.ok("mail for root", "goes to the smarthost, as all mail does")
	case c.config.Delivery == conf.DeliverRemote:
		c.warn("mail for root", "there is no alias for root, and DELIVERY remote has no mailboxes", "write a line into "+c.config.Aliases+", root: you@example.org, with your address")
	default:
		c.warn("mail for root", "there is no alias for root, and root's mailbox is read by nobody who does not work as root", "write a line into "+c.config.Aliases+", root: you@example.org, with your address")
		c.checkRootMailbox()
	}
}

func (c *checker) rootAlias() []aliases.Target {
	table, err := aliases.Load(c.config.Aliases)
	if err != nil {
		return nil
	}
	_, targets, _ := table.Find(mailaddr.Addr{Local: "root"}, c.config.Hostname(), !c.config.NullClient)
	return targets
}

func describe(targets []aliases.Target) string {
	var words []string
	for _, t := range targets {
		switch t.Kind {
		case aliases.Address:
			words = append(words, t.Addr.String())
		case aliases.Include:
			words = append(words, "the addresses in "+t.Text)
		default:
			words = append(words, t.Text)
		}
	}
	return strings.Join(words, ", ")
}

// checkRootMailbox: it is written by an account that is not root (RULES C9).
func (c *checker) checkRootMailbox() {
	if site.Private() || strings.HasSuffix(c.config.Mailbox, "/") || len(c.config.MDA) > 0 {
		return
	}
	path := c.config.Mailbox + "/root"
	_, gid, known := c.ids("root", site.MailGroup)
	st, err := lstat(path)
	switch {
	case !known:
	case err != nil:
		c.bad(path, err.Error()+", and mail for root waits", "install dma again, which makes it")
	case st.gid != gid || st.mode&0o060 != 0o060:
		c.bad(path, fmt.Sprintf("mode %04o, group %s, and mail for root waits", st.mode, c.accounts.groupName(st.gid)), fmt.Sprintf("run: chgrp %s %s && chmod g+rw %s", site.MailGroup, path, path))
	}
}

// probe is a way out that is tried.
type probe struct {
	route string
	ask   proto.Probe
}

// checkRoutes has dma-remote try each way out, without sending mail.
func (c *checker) checkRoutes(conn *proto.Conn) error {
	if c.config.Delivery == conf.DeliverLocal {
		c.ok("route", "no mail leaves this host (DELIVERY local)")
		return nil
	}
	probes := c.probes()
	if len(probes) == 0 {
		c.ok("route", "mail for other hosts goes to the mail exchangers of their domains; there is none to try")
		return nil
	}
	if !c.isRoot() && !site.Private() {
		c.needsRoot("DNS, routes, TLS and login")
		return nil
	}
	for i, p := range probes {
		if err := c.try(conn, uint32(i+1), p); err != nil {
			return err
		}
	}
	return nil
}

// probes are the ways out. Without a smarthost the domain that root's mail goes to
// stands for all.
func (c *checker) probes() []probe {
	var all []probe
	for _, r := range c.config.Routes() {
		var hosts []string
		for _, h := range r.Hosts {
			hosts = append(hosts, h.String())
		}
		if r.Name == "" {
			all = append(all, probe{route: "mail for other hosts goes to " + strings.Join(hosts, ", ")})
			continue
		}
		local, domain, _ := mailaddr.Split(r.Name)
		if local == "" {
			local = "postmaster"
		}
		if domain == "" {
			domain = c.config.Hostname()
		}
		all = append(all, probe{"mail of " + r.Name + " goes to " + strings.Join(hosts, ", "), proto.Probe{Sender: local + "@" + domain}})
	}
	if len(c.config.Smarthosts) > 0 {
		return all
	}
	for _, t := range c.rootAlias() {
		if d := t.Addr.Domain; t.Kind == aliases.Address && !c.config.IsLocalDomain(d) {
			return append(all, probe{"mail for other hosts goes to their mail exchangers, here to those of " + d, proto.Probe{Domain: d}})
		}
	}
	return all
}

// try prints what dma-remote finds on one way.
func (c *checker) try(conn *proto.Conn, request uint32, p probe) error {
	c.ok("route", "%s", p.route)
	if err := conn.Send(request, &p.ask, nil); err != nil {
		return err
	}
	for range maxReports {
		packet, err := conn.Recv(reportTimeout, proto.TypeReport, proto.TypeEnd)
		if err != nil {
			return err
		}
		switch m := packet.Message.(type) {
		case *proto.End:
			return nil
		case *proto.Report:
			c.print(m.Level, m.About, m.Found, m.Do)
		}
	}
	return fmt.Errorf("more than %d reports", maxReports)
}
