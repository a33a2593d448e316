package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"dma/common/conf"
	"dma/common/passwd"
	"dma/common/priv"
	"dma/common/sandbox"
	"dma/common/site"
	"dma/common/sysexits"
	"dma/dma-remote/internal/courier"
	"dma/dma-remote/internal/settings"
	"dma/proto"
)

const usage = "usage: dma-remote --probe [host[:port]]"

// byHand is for people: it tries the way out and prints what it finds.
func byHand(args []string) int {
	if len(args) > 2 || args[0] != "--probe" {
		fmt.Fprintln(os.Stderr, notByHand)
		return sysexits.Usage
	}
	o := settings.Options{}
	if len(args) == 2 {
		h, ok := parseHost(args[1])
		if !ok {
			fmt.Fprintln(os.Stderr, usage)
			return sysexits.Usage
		}
		o.Host = &h
	}
	if err := becomeRemote(); err != nil {
		fmt.Fprintf(os.Stderr, "dma-remote: %v\n", err)
		return sysexits.OSErr
	}
	return probe(o)
}

// becomeRemote gives root's rights up for those that dma-remote has in service: so
// the probe finds what those cannot read, and no server ever talks to root.
func becomeRemote() error {
	if err := priv.InheritNothing(); err != nil {
		return err
	}
	if os.Geteuid() == 0 && !site.Private() {
		a, err := passwd.Lookup(site.Passwd, site.RemoteUser)
		if err != nil {
			return fmt.Errorf("look up account %s: %w", site.RemoteUser, err)
		}
		if err := priv.Drop(a.UID, a.GID); err != nil {
			return err
		}
	}
	_, err := sandbox.Apply(sandbox.Profile{Files: maxFiles})
	return err
}

func probe(o settings.Options) int {
	path := site.Conf + "/dma.conf"
	warn := stderrLog{}
	cfg, _ := settings.Load(path, base(), warn, o)
	code := sysexits.OK
	if errors.Is(cfg.Broken, fs.ErrPermission) {
		show(&proto.Report{
			Level: proto.LevelWarning, About: "login", Found: cfg.Broken.Error() + "; going on without",
			Do: "run this as root, or as " + site.RemoteUser,
		})
		code = sysexits.NoPerm
		o.Public = true
		cfg, _ = settings.Load(path, base(), warn, o)
	}
	c := courier.New(cfg)
	defer c.Close()
	if found := c.Probe(context.Background(), "", "", show); found != sysexits.OK {
		return found
	}
	return code
}

// parseHost reads what SMARTHOST takes. The port is 25, or that of the same host
// in dma.conf, if there is none.
func parseHost(s string) (conf.Host, bool) {
	const none = 1 // a port that nobody speaks SMTP at
	c, _, err := conf.Parse(strings.NewReader(fmt.Sprintf("SMARTHOST %s\nPORT %d\n", s, none)), "argument")
	if err != nil || c.Broken() != nil || len(c.Smarthosts) != 1 {
		return conf.Host{}, false
	}
	h := c.Smarthosts[0]
	if h.Port != none {
		return h, true
	}
	h.Port = 25
	configured, _, err := conf.Load(site.Conf + "/dma.conf")
	if err != nil {
		return h, true // Load says so again
	}
	for _, r := range configured.Routes() {
		for _, other := range r.Hosts {
			if strings.EqualFold(other.Name, h.Name) {
				return other, true
			}
		}
	}
	return h, true
}

// show prints one finding: a line, and another for what to do.
func show(r *proto.Report) {
	fmt.Printf("%-8s %-12s %s\n", r.Level, r.About, r.Found)
	if r.Do != "" {
		fmt.Printf("%22s%s\n", "-> ", r.Do)
	}
}

// stderrLog tells people what is wrong with files.
type stderrLog struct{}

func (stderrLog) ConfigWarning(text string) { fmt.Fprintln(os.Stderr, "dma-remote: "+text) }
