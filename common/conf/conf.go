// Package conf reads dma.conf and auth.conf, see dma.conf(5). Mistakes in dma.conf give
// warnings and never lose mail: a line that is wrong is as if it were not there.
package conf

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"time"

	"dma/common/mailaddr"
	"dma/common/site"
)

// Limits and defaults.
const (
	maxFile     = 1 << 20 // bytes in a configuration file
	maxWarnings = 100     // warnings about one file

	defaultPort     = 25
	defaultMaxAge   = 5 * 24 * time.Hour // DESIGN 6
	defaultMinRetry = 5 * time.Minute    // DESIGN 6
	defaultMaxRetry = 3 * time.Hour      // DESIGN 6
	defaultMinFree  = 1                  // percent (RULES A9)
)

// Config is dma.conf with its defaults filled in. It does not change after Load
// or Parse; any number of goroutines may use it.
type Config struct {
	Smarthost  string // SMARTHOST: a name or an address, without brackets or port; empty: deliver by MX
	Port       int    // PORT, or the port of SMARTHOST
	Aliases    string // ALIASES
	SpoolDir   string // SPOOLDIR, which is fixed at link time
	AuthPath   string // AUTHPATH; empty: no credentials
	CertFile   string // CERTFILE
	MailName   string // MAILNAME: a name, or the path of a file whose first line is one; see Hostname
	Masquerade string // MASQUERADE: [user@][host]

	// What these come to is in Transport.
	StartTLS         bool   // STARTTLS
	OpportunisticTLS bool   // OPPORTUNISTIC_TLS
	SecureTransfer   bool   // SECURETRANSFER
	VerifyCert       bool   // VERIFYCERT
	Insecure         bool   // INSECURE
	Secure           bool   // SECURE
	Fingerprint      string // FINGERPRINT: SHA-256, 64 lower-case hex digits

	LocalDomains []string      // LOCALDOMAINS: domains whose mail stays here, besides Hostname
	Delivery     Delivery      // DELIVERY
	SenderMap    []SenderRoute // SENDERMAP
	Mailbox      string        // MAILBOX: a mbox directory, or the pattern of a maildir; see Mailboxes
	Forward      string        // FORWARD: the name of users' files; empty: none is read
	Log          string        // LOG: "syslog", "stderr" or the path of a file
	DelayWarn    time.Duration // DELAYWARN: when a sender is told that a message is late; 0: never
	RewriteFrom  bool          // REWRITEFROM: the From field becomes the envelope sender's

	Defer      bool   // DEFER: only -q delivers
	FullBounce bool   // FULLBOUNCE: bounces hold the whole message
	NullClient bool   // NULLCLIENT: all mail goes to the smarthost, no aliases, no local users
	NullDomain string // NULLCLIENT's value: the domain of bare names
	LMTP       string // LMTP
	Virtual    bool   // VIRTUAL
	VirtPath   string // VIRTPATH

	MaxAge   time.Duration // MAXAGE: how long a message is tried
	MinRetry time.Duration // MINRETRY: the wait before the second try
	MaxRetry time.Duration // MAXRETRY: the longest wait between two tries
	MinFree  int           // MINFREE: percent of blocks and inodes of the spool's disk that stay free
	MaxSize  int64         // MAXSIZE: bytes in a message; 0: no limit

	hostname string // found by Load
}

// Warning is trouble with one line of a configuration file.
type Warning struct {
	File string
	Line int // counted from 1
	Text string
}

func (w Warning) String() string { return fmt.Sprintf("%s:%d: %s", w.File, w.Line, w.Text) }

// Load reads the file at path; one that is not there gives the defaults. It also
// finds out the host's name. One that cannot be read is an error.
func Load(path string) (*Config, []Warning, error) {
	var r io.Reader = strings.NewReader("")
	f, err := os.Open(path)
	switch {
	case err == nil:
		defer f.Close()
		r = f
	case !errors.Is(err, fs.ErrNotExist):
		return nil, nil, err
	}
	p, err := parse(r, path)
	if err != nil {
		return nil, nil, err
	}
	p.config.hostname, err = hostname(p.config.MailName, mailnameFile, os.Hostname)
	if err != nil {
		p.warnAt("MAILNAME", "%v; using %s", err, p.config.hostname)
	}
	return &p.config, p.warnings, nil
}

// Parse reads a configuration; name is for the warnings. The error is one of reading.
func Parse(r io.Reader, name string) (*Config, []Warning, error) {
	p, err := parse(r, name)
	if err != nil {
		return nil, nil, err
	}
	return &p.config, p.warnings, nil
}

func defaults() Config {
	return Config{
		Aliases:  site.Aliases,
		SpoolDir: site.Spool,
		MaxAge:   defaultMaxAge,
		MinRetry: defaultMinRetry,
		MaxRetry: defaultMaxRetry,
		MinFree:  defaultMinFree,
	}
}

type parser struct {
	file     string
	line     int
	config   Config
	seen     map[string]int // the line of each key
	hostPort int            // the port given with SMARTHOST
	warnings []Warning
}

func parse(r io.Reader, name string) (*parser, error) {
	text, err := readAll(r)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	p := &parser{file: name, config: defaults(), seen: map[string]int{}}
	keys := keys()
	for line := range strings.SplitSeq(text, "\n") {
		p.line++
		p.readLine(line, keys)
	}
	p.settle()
	return p, nil
}

func readAll(r io.Reader) (string, error) {
	text, err := io.ReadAll(io.LimitReader(r, maxFile+1))
	if err == nil && len(text) > maxFile {
		err = fmt.Errorf("larger than %d KiB", maxFile>>10)
	}
	return string(text), err
}

func (p *parser) warn(format string, args ...any) {
	if len(p.warnings) < maxWarnings {
		p.warnings = append(p.warnings, Warning{p.file, p.line, fmt.Sprintf(format, args...)})
	}
}

// warnAt warns about the line in which a key stands.
func (p *parser) warnAt(name, format string, args ...any) {
	p.line = max(p.seen[name], 1)
	p.warn(name+": "+format, args...)
}

func (p *parser) readLine(line string, keys []key) {
	line, _, _ = strings.Cut(line, "#")
	if line = strings.Trim(line, " \t\r"); line == "" {
		return
	}
	name, value := line, ""
	if i := strings.IndexAny(line, " \t"); i >= 0 {
		name, value = line[:i], strings.TrimLeft(line[i:], " \t")
	}
	k := find(keys, name)
	if k == nil {
		p.unknown(name, keys)
		return
	}
	if value != "" {
		if err := mailaddr.Check(value); err != nil {
			p.warn("%s: value %v; the line is ignored", name, err)
			return
		}
	}
	if !p.apply(k, value) {
		return
	}
	if old := p.seen[name]; old != 0 {
		p.warn("%s stands in line %d too; this one counts", name, old)
	}
	p.seen[name] = p.line
	if !k.inForce {
		p.warn("%s is understood but has no effect yet", name)
	}
}

// apply sets one key. False: the line is ignored.
func (p *parser) apply(k *key, value string) bool {
	switch {
	case k.kind == flag && value != "":
		on, ok := truth(value)
		if !ok {
			p.warn("%s takes no value; write %s alone, or a # before it; the line is ignored", k.name, k.name)
			return false
		}
		p.warn("%s takes no value; write %s alone, or a # before it", k.name, k.name)
		value = on
	case k.kind == needsValue && value == "":
		p.warn("%s needs a value; the line is ignored", k.name)
		return false
	}
	if err := k.set(p, value); err != nil {
		p.warn("%s %q: %v; the line is ignored", k.name, value, err)
		return false
	}
	return true
}

// truth reads the values that people give to flags: "" is on, as without a value.
func truth(s string) (value string, ok bool) {
	switch strings.ToLower(s) {
	case "yes", "true", "on", "1":
		return "", true
	case "no", "false", "off", "0":
		return off, true
	}
	return "", false
}

func (p *parser) unknown(name string, keys []key) {
	best, distance := "", 3
	for _, k := range keys {
		if d := editDistance(strings.ToUpper(name), k.name); d < distance {
			best, distance = k.name, d
		}
	}
	if len(name) > 40 {
		name = name[:40] + "..."
	}
	if best != "" {
		p.warn("unknown key %q; did you mean %s?", name, best)
	} else {
		p.warn("unknown key %q", name)
	}
}

// settle looks at keys together, once all are known.
func (p *parser) settle() {
	c := &p.config
	if p.hostPort != 0 {
		if c.Port != 0 && c.Port != p.hostPort {
			p.warnAt("PORT", "SMARTHOST names port %d, which counts", p.hostPort)
		}
		c.Port = p.hostPort
	}
	if c.Port == 0 {
		c.Port = defaultPort
	}
	for _, name := range []string{"PORT", "AUTHPATH", "NULLCLIENT"} {
		if p.seen[name] != 0 && c.Smarthost == "" && (name != "NULLCLIENT" || c.NullClient) {
			p.warnAt(name, "there is no SMARTHOST")
		}
	}
	if c.MinRetry > c.MaxRetry {
		p.warnAt("MINRETRY", "longer than MAXRETRY, which is raised to it")
		c.MaxRetry = c.MinRetry
	}
	switch {
	case c.SecureTransfer && !c.StartTLS && (c.Port == 25 || c.Port == 587):
		p.warnAt("SECURETRANSFER", "without STARTTLS it means TLS from the first byte, which servers speak at port 465, not %d; add STARTTLS or change PORT", c.Port)
	case c.StartTLS && !c.SecureTransfer:
		p.warnAt("STARTTLS", "without SECURETRANSFER too it is used; add SECURETRANSFER for older versions")
	}
}
