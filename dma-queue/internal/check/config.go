package check

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"dma/common/conf"
)

// checkConfig reads dma.conf, and says what it comes to.
func (c *checker) checkConfig() {
	c.checkSafe(c.path, 0o444)
	config, warnings, err := conf.Load(c.path)
	if err != nil {
		c.stop(c.path, err.Error(), "until it can be read, mail for other hosts waits")
		config, _, _ = conf.Parse(strings.NewReader(""), c.path)
	}
	c.config = config
	for _, w := range warnings {
		about := fmt.Sprintf("%s:%d", w.File, w.Line)
		if w.Waits {
			c.stop(about, w.Text, "")
		} else {
			c.warn(about, w.Text, "")
		}
	}
	if _, missing := os.Stat(c.path); errors.Is(missing, fs.ErrNotExist) {
		c.ok(c.path, "not there, so every key has its default")
	} else if err == nil && len(warnings) == 0 {
		c.ok(c.path, "understood")
	}
	if config.Insecure && !config.Secure {
		c.warn(c.path, "INSECURE: passwords may be sent without TLS", "put a # before it")
	}
	if len(config.MDA) > 0 {
		if st, err := stat(config.MDA[0]); err != nil || st.kind != unix.S_IFREG || st.mode&0o111 == 0 {
			c.stop(config.MDA[0], "MDA names it, and it is no program", "install it, or put a # before MDA")
		}
	}
	if config.Virtual {
		c.checkVirtual()
	}
	c.checkHostname()
}

func (c *checker) checkVirtual() {
	path := c.config.VirtPath
	c.checkSafe(path, 0o444)
	v, warnings, err := conf.LoadVirtual(path)
	switch {
	case err != nil:
		c.bad(path, err.Error(), "VIRTUAL asks for it; make it, or put a # before VIRTUAL")
	case len(warnings) == 0:
		c.ok(path, "logins: %d", len(v))
	}
	for _, w := range warnings {
		c.warn(fmt.Sprintf("%s:%d", w.File, w.Line), w.Text, "")
	}
}

// checkHostname: servers refuse senders whose domain is none.
func (c *checker) checkHostname() {
	name := c.config.Hostname()
	lower := strings.ToLower(name)
	if !strings.Contains(name, ".") || strings.HasSuffix(lower, ".localdomain") || strings.HasSuffix(lower, ".local") {
		c.warn("host name", fmt.Sprintf("%q is not known in the rest of the world, and servers refuse mail from it", name), "write MAILNAME host.example.org, with a name that is, into "+c.path)
		return
	}
	c.ok("host name", "%s", name)
}
