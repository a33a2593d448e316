// Package settings makes of dma.conf, and of the files that it names, what a
// courier needs, and of a changed dma.conf a new courier.
package settings

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
	"sync"
	"time"

	"dma/common/conf"
	"dma/dma-remote/internal/courier"
	"dma/proto"
)

// Log is where trouble with configuration files goes; maillog.Log implements it.
type Log interface {
	ConfigWarning(text string)
}

// Options are for trying a configuration by hand.
type Options struct {
	Public bool       // leave out what holds secrets, AUTHPATH and CERTFILE
	Host   *conf.Host // everybody's route; nil: as dma.conf says
}

// Load fills in what files say: all but resolver, dialer and the like. It also
// says which files it has read. What cannot be read is in Broken: mail waits
// then, for to send it in another way than the administrator wants is worse.
//
// Warnings about dma.conf are left to the runner, which reads it, too.
func Load(path string, cfg courier.Config, log Log, o Options) (courier.Config, []string) {
	files := []string{path}
	c, _, err := conf.Load(path)
	if err != nil {
		cfg.Broken = err
		return cfg, files
	}
	if o.Public {
		c.AuthPath, c.CertFile = "", ""
	}
	cfg.Helo, cfg.Direct, cfg.Broken = c.Hostname(), c.Transport(conf.Host{}, false), c.Broken()
	all := c.Routes()
	if o.Host != nil {
		all = []conf.Route{{Hosts: []conf.Host{*o.Host}}}
	}
	var list conf.AuthList
	if len(all) > 0 && c.AuthPath != "" && cfg.Broken == nil {
		files = append(files, c.AuthPath)
		list, cfg.Broken = credentials(c, log)
	}
	files = certificates(c, &cfg, files)
	if cfg.Broken != nil {
		return cfg, files
	}
	routes := make(map[string]courier.Route)
	for _, r := range all {
		if _, known := routes[r.Name]; !known { // the first counts
			routes[r.Name] = route(c, r, list)
		}
	}
	cfg.Route = func(sender string) (courier.Route, bool) {
		if o.Host != nil {
			return routes[""], true
		}
		r, ok := c.RouteFor(sender)
		return routes[r.Name], ok
	}
	return cfg, files
}

// certificates reads those of CERTFILE and CAFILE.
func certificates(c *conf.Config, cfg *courier.Config, files []string) []string {
	if c.CertFile != "" && cfg.Broken == nil {
		files = append(files, c.CertFile)
		cert, err := tls.LoadX509KeyPair(c.CertFile, c.CertFile)
		if err != nil {
			cfg.Broken = fmt.Errorf("read CERTFILE: %w", err)
		}
		cfg.Certificate = &cert
	}
	if c.CAFile != "" && cfg.Broken == nil {
		files = append(files, c.CAFile)
		pem, err := os.ReadFile(c.CAFile)
		roots := x509.NewCertPool()
		if err == nil && !roots.AppendCertsFromPEM(pem) {
			err = fmt.Errorf("no certificate in %s", c.CAFile)
		}
		if err != nil {
			cfg.Broken = fmt.Errorf("read CAFILE: %w", err)
		}
		cfg.Roots = roots
	}
	return files
}

func credentials(c *conf.Config, log Log) (conf.AuthList, error) {
	list, warnings, err := conf.LoadAuth(c.AuthPath)
	if err != nil {
		return nil, err
	}
	for _, w := range append(warnings, c.CheckAuth(list)...) {
		log.ConfigWarning(w.String())
	}
	return list, nil
}

// route finds transport and credentials of each server. To have no credentials is
// no error, as the file may be there for other servers, unless they are asked for.
func route(c *conf.Config, r conf.Route, list conf.AuthList) courier.Route {
	var out courier.Route
	for _, h := range r.Hosts {
		s := courier.Server{Host: h}
		if a, found := list.Lookup(h.Name, r.User); found {
			s.Auth = &a
		} else if r.User != "" {
			out.Broken = fmt.Errorf("%s has no line for %s at %s, which SENDERMAP %s names", cmp.Or(c.AuthPath, "auth.conf"), r.User, h.Name, r.Name)
		}
		s.Transport = c.Transport(h, s.Auth != nil)
		out.Servers = append(out.Servers, s)
	}
	out.Key = courier.Key(out.Servers)
	return out
}

// Keeper delivers by what dma.conf says at the time.
type Keeper struct {
	path string
	base courier.Config
	log  Log

	mu      sync.Mutex
	current *generation
	retired sync.WaitGroup // generations whose deliveries end
}

// A generation is one state of the files.
type generation struct {
	courier *courier.Courier
	stamps  map[string]stamp
	users   sync.WaitGroup // deliveries
}

// stamp tells versions of a file apart. The zero stamp is a file that cannot be
// looked at.
type stamp struct {
	modified time.Time
	size     int64
	mode     os.FileMode
}

// NewKeeper reads the files for the first time. base is what they say nothing about.
func NewKeeper(path string, base courier.Config, log Log) *Keeper {
	k := &Keeper{path: path, base: base, log: log}
	k.current = k.load()
	return k
}

// Deliver is courier.Courier.Deliver with the settings of now.
func (k *Keeper) Deliver(ctx context.Context, req *courier.Request) {
	g := k.enter()
	defer g.users.Done()
	g.courier.Deliver(ctx, req)
}

// Probe is courier.Courier.Probe with the settings of now.
func (k *Keeper) Probe(ctx context.Context, sender, domain string, report func(*proto.Report)) int {
	g := k.enter()
	defer g.users.Done()
	return g.courier.Probe(ctx, sender, domain, report)
}

// Close ends all connections. Deliver must have returned.
func (k *Keeper) Close() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.current.courier.Close()
	k.retired.Wait()
}

func (k *Keeper) enter() *generation {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.current.changed() {
		old := k.current
		k.current = k.load()
		k.retired.Go(func() {
			old.users.Wait()
			old.courier.Close()
		})
	}
	k.current.users.Add(1)
	return k.current
}

func (k *Keeper) load() *generation {
	cfg, files := Load(k.path, k.base, k.log, Options{})
	g := &generation{courier: courier.New(cfg), stamps: make(map[string]stamp)}
	for _, f := range files {
		g.stamps[f] = look(f)
	}
	return g
}

func (g *generation) changed() bool {
	for f, s := range g.stamps {
		if look(f) != s {
			return true
		}
	}
	return false
}

func look(path string) stamp {
	st, err := os.Stat(path)
	if err != nil {
		return stamp{}
	}
	return stamp{st.ModTime(), st.Size(), st.Mode()}
}
