package conf

import "time"

// kind is what may follow a key.
type kind uint8

const (
	flag       kind = 1 // nothing
	needsValue kind = 2
	mayHave    kind = 3 // a value or nothing
	list       kind = 4 // a value; the key may stand in several lines
)

// guard says which mail waits while a line with this key is wrong: mail that
// would go another way than the administrator wants, or less safely.
type guard uint8

const (
	none   guard = 0 // a wrong line is as if it were not there
	remote guard = 1 // mail for other hosts, see Config.Broken
	local  guard = 2 // mail for mailboxes, see Config.MailboxOf
	guards       = 3 // how many there are
)

// key is one row of the table of keys.
type key struct {
	name  string
	kind  kind
	guard guard
	set   func(p *parser, value string) error
}

// keys is every key there is. A new key is a row here and a field of Config.
func keys() []key {
	return []key{
		{"SMARTHOST", needsValue, remote, setSmarthost},
		{"PORT", needsValue, remote, setPort},
		{"ALIASES", needsValue, none, path(func(c *Config) *string { return &c.Aliases })},
		{"SPOOLDIR", needsValue, none, checkSpoolDir},
		{"AUTHPATH", needsValue, remote, path(func(c *Config) *string { return &c.AuthPath })},
		{"CERTFILE", needsValue, remote, path(func(c *Config) *string { return &c.CertFile })},
		{"CAFILE", needsValue, remote, path(func(c *Config) *string { return &c.CAFile })},
		{"MAILNAME", needsValue, none, setMailName},
		{"MASQUERADE", needsValue, none, setMasquerade},
		{"STARTTLS", flag, remote, boolean(func(c *Config) *bool { return &c.StartTLS })},
		{"FINGERPRINT", needsValue, remote, setFingerprint},
		{"OPPORTUNISTIC_TLS", flag, none, boolean(func(c *Config) *bool { return &c.OpportunisticTLS })},
		{"SECURETRANSFER", flag, remote, boolean(func(c *Config) *bool { return &c.SecureTransfer })},
		{"DEFER", flag, none, boolean(func(c *Config) *bool { return &c.Defer })},
		{"INSECURE", flag, none, boolean(func(c *Config) *bool { return &c.Insecure })},
		{"SECURE", flag, none, boolean(func(c *Config) *bool { return &c.Secure })},
		{"FULLBOUNCE", flag, none, boolean(func(c *Config) *bool { return &c.FullBounce })},
		{"NULLCLIENT", mayHave, remote, setNullClient},
		{"VERIFYCERT", flag, remote, boolean(func(c *Config) *bool { return &c.VerifyCert })},
		{"LMTP", mayHave, remote, setLMTP},
		{"VIRTUAL", flag, none, boolean(func(c *Config) *bool { return &c.Virtual })},
		{"VIRTPATH", needsValue, none, path(func(c *Config) *string { return &c.VirtPath })},
		{"MAXAGE", needsValue, none, duration(func(c *Config) *time.Duration { return &c.MaxAge })},
		{"MINRETRY", needsValue, none, duration(func(c *Config) *time.Duration { return &c.MinRetry })},
		{"MAXRETRY", needsValue, none, duration(func(c *Config) *time.Duration { return &c.MaxRetry })},
		{"DELAYWARN", needsValue, none, setDelayWarn},
		{"MINFREE", needsValue, none, setMinFree},
		{"MAXSIZE", needsValue, none, setMaxSize},
		{"LOCALDOMAINS", needsValue, none, setLocalDomains},
		{"DELIVERY", needsValue, remote, setDelivery},
		{"SENDERMAP", list, remote, setSenderMap},
		{"REWRITEFROM", flag, none, boolean(func(c *Config) *bool { return &c.RewriteFrom })},
		{"MAILBOX", needsValue, local, setMailbox},
		{"MDA", needsValue, local, setMDA},
		{"FORWARD", needsValue, none, setForward},
		{"ANYSHELL", flag, none, boolean(func(c *Config) *bool { return &c.AnyShell })},
		{"ALIASCOMMANDS", flag, none, boolean(func(c *Config) *bool { return &c.AliasCommands })},
		{"LOG", needsValue, none, setLog},
	}
}

func find(keys []key, name string) *key {
	for i := range keys {
		if keys[i].name == name {
			return &keys[i]
		}
	}
	return nil
}
