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

	"dma/common/site"
)

// Limits and defaults.
const (
	maxFile     = 1 << 20 // bytes in a configuration file
	maxWarnings = 100     // warnings about one file

	defaultMaxAge   = 5 * 24 * time.Hour // DESIGN 6
	defaultMinRetry = 5 * time.Minute    // DESIGN 6
	defaultMaxRetry = 3 * time.Hour      // DESIGN 6
	defaultMinFree  = 1                  // percent (RULES A9)
)

// Values of LOG.
const (
	LogSyslog = "syslog"
	LogStderr = "stderr"
)

// Config is dma.conf with its defaults filled in. It does not change after Load
// or Parse; any number of goroutines may use it.
type Config struct {
	Smarthosts []Host // SMARTHOST, or what LMTP names; see RouteFor. None: deliver by MX
	LMTP       bool   // LMTP: they speak it
	Aliases    string // ALIASES
	AuthPath   string // AUTHPATH; empty: no credentials
	CertFile   string // CERTFILE; empty: none is shown
	CAFile     string // CAFILE: who signs certificates; empty: as the system has it
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
	Mailbox      string        // MAILBOX: a directory of mbox files, or the pattern of a maildir; see MailboxOf
	MDA          []string      // MDA: a program and its arguments, see Expand, that mail is given to instead; empty: none
	Forward      string        // FORWARD: the name of users' files; empty: none is read
	AnyShell     bool          // ANYSHELL: commands of users whose shell is not listed run too (RULES C8)
	Log          string        // LOG: LogSyslog, LogStderr or the path of a file
	DelayWarn    time.Duration // DELAYWARN: when a sender is told that a message is late; 0: never
	RewriteFrom  bool          // REWRITEFROM: the From field becomes the envelope sender's

	Defer      bool   // DEFER: only -q delivers
	FullBounce bool   // FULLBOUNCE: bounces hold the whole message
	NullClient bool   // NULLCLIENT: all mail goes to the smarthost, no aliases, no local users
	NullDomain string // NULLCLIENT's value: the domain of bare names
	Virtual    bool   // VIRTUAL: senders are looked up in VirtPath, see LoadVirtual
	VirtPath   string // VIRTPATH

	AliasCommands bool // ALIASCOMMANDS: commands and files in the alias file are delivered to (RULES C10)

	MaxAge   time.Duration // MAXAGE: how long a message is tried
	MinRetry time.Duration // MINRETRY: the wait before the second try
	MaxRetry time.Duration // MAXRETRY: the longest wait between two tries
	MinFree  int           // MINFREE: percent of blocks and inodes of the spool's disk that stay free
	MaxSize  int64         // MAXSIZE: bytes in a message; 0: no limit

	hostname string        // found by Load
	broken   [guards]error // the first wrong line of each guard
}

// Warning is trouble with one line of a configuration file.
type Warning struct {
	File string
	Line int // counted from 1
	Text string
	// Waits: mail waits until the line is right. If not, the line has no effect, or
	// one that may not have been meant.
	Waits bool
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
		VirtPath: site.Conf + "/virtual",
		Mailbox:  site.Mail,
		Forward:  ".forward",
		Log:      LogSyslog,
		MaxAge:   defaultMaxAge,
		MinRetry: defaultMinRetry,
		MaxRetry: defaultMaxRetry,
		MinFree:  defaultMinFree,
	}
}
