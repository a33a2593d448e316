// Package settings makes of dma.conf, and of the files that it names, what a
// courier needs, and of a changed dma.conf a new courier.
package settings

import (
	"context"
	"crypto/tls"
	"fmt"
	"os"
	"sync"
	"time"

	"dma/common/conf"
	"dma/dma-remote/internal/courier"
)

// Log is where trouble with configuration files goes; maillog.Log implements it.
type Log interface {
	ConfigWarning(text string)
}

// Load fills in what files say: all but resolver, dialer and the like. It also
// says which files it has read. What cannot be read is in Broken: mail waits
// then, for to send it in another way than the administrator wants is worse.
//
// Warnings about dma.conf are left to the runner, which reads it, too.
func Load(path string, cfg courier.Config, log Log) (courier.Config, []string) {
	files := []string{path}
	c, _, err := conf.Load(path)
	if err != nil {
		cfg.Broken = err
		return cfg, files
	}
	cfg.Smarthost, cfg.Port, cfg.Helo = c.Smarthost, c.Port, c.Hostname()
	if c.Smarthost != "" && c.AuthPath != "" {
		files = append(files, c.AuthPath)
		cfg.Auth, cfg.Broken = credentials(c, log)
	}
	if c.CertFile != "" && cfg.Broken == nil {
		files = append(files, c.CertFile)
		cert, err := tls.LoadX509KeyPair(c.CertFile, c.CertFile)
		if err != nil {
			cfg.Broken = fmt.Errorf("read CERTFILE: %w", err)
		}
		cfg.Certificate = &cert
	}
	cfg.Transport, cfg.DomainTransport = c.Transport(cfg.Auth != nil), c.Transport(false)
	return cfg, files
}

// credentials finds those for the smarthost. None is no error: the file may be
// there for other hosts.
func credentials(c *conf.Config, log Log) (*conf.Auth, error) {
	list, warnings, err := conf.LoadAuth(c.AuthPath)
	if err != nil {
		return nil, err
	}
	for _, w := range warnings {
		log.ConfigWarning(w.String())
	}
	a, found := list.LookupAuth(c.Smarthost)
	if !found {
		log.ConfigWarning(fmt.Sprintf("%s: no line for the smarthost %s", c.AuthPath, c.Smarthost))
		return nil, nil
	}
	return &a, nil
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
	cfg, files := Load(k.path, k.base, k.log)
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
