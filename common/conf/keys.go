package conf

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"dma/common/mailaddr"
)

// kind is what may follow a key.
type kind uint8

const (
	flag       kind = 1 // nothing
	needsValue kind = 2
	mayHave    kind = 3 // a value or nothing
)

// off is the value of a flag that was switched off in so many words.
const off = "off"

// maxDuration bounds what a duration may be.
const maxDuration = 366 * 24 * time.Hour

// key is one row of the table of keys.
type key struct {
	name    string
	kind    kind
	inForce bool // false: understood, and somebody else's next issue
	set     func(p *parser, value string) error
}

// keys is every key there is. A new key is a row here and a field of Config.
func keys() []key {
	return []key{
		{"SMARTHOST", needsValue, true, setSmarthost},
		{"PORT", needsValue, true, number(1, math.MaxUint16, func(c *Config, n int) { c.Port = n })},
		{"ALIASES", needsValue, true, path(func(c *Config) *string { return &c.Aliases })},
		{"SPOOLDIR", needsValue, false, path(func(c *Config) *string { return &c.SpoolDir })},
		{"AUTHPATH", needsValue, true, path(func(c *Config) *string { return &c.AuthPath })},
		{"CERTFILE", needsValue, true, path(func(c *Config) *string { return &c.CertFile })},
		{"MAILNAME", needsValue, true, setMailName},
		{"MASQUERADE", needsValue, false, text(func(c *Config) *string { return &c.Masquerade })},
		{"STARTTLS", flag, true, boolean(func(c *Config) *bool { return &c.StartTLS })},
		{"FINGERPRINT", needsValue, false, setFingerprint},
		{"OPPORTUNISTIC_TLS", flag, true, boolean(func(c *Config) *bool { return &c.OpportunisticTLS })},
		{"SECURETRANSFER", flag, true, boolean(func(c *Config) *bool { return &c.SecureTransfer })},
		{"DEFER", flag, true, boolean(func(c *Config) *bool { return &c.Defer })},
		{"INSECURE", flag, true, boolean(func(c *Config) *bool { return &c.Insecure })},
		{"SECURE", flag, true, boolean(func(c *Config) *bool { return &c.Secure })},
		{"FULLBOUNCE", flag, true, boolean(func(c *Config) *bool { return &c.FullBounce })},
		{"NULLCLIENT", mayHave, true, setNullClient},
		{"VERIFYCERT", flag, true, boolean(func(c *Config) *bool { return &c.VerifyCert })},
		{"LMTP", needsValue, false, text(func(c *Config) *string { return &c.LMTP })},
		{"VIRTUAL", flag, false, boolean(func(c *Config) *bool { return &c.Virtual })},
		{"VIRTPATH", needsValue, false, path(func(c *Config) *string { return &c.VirtPath })},
		{"MAXAGE", needsValue, true, duration(func(c *Config) *time.Duration { return &c.MaxAge })},
		{"MINRETRY", needsValue, true, duration(func(c *Config) *time.Duration { return &c.MinRetry })},
		{"MAXRETRY", needsValue, true, duration(func(c *Config) *time.Duration { return &c.MaxRetry })},
		{"MINFREE", needsValue, true, setMinFree},
		{"MAXSIZE", needsValue, true, setMaxSize},
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

func boolean(field func(*Config) *bool) func(*parser, string) error {
	return func(p *parser, value string) error {
		*field(&p.config) = value != off
		return nil
	}
}

func text(field func(*Config) *string) func(*parser, string) error {
	return func(p *parser, value string) error {
		*field(&p.config) = value
		return nil
	}
}

func path(field func(*Config) *string) func(*parser, string) error {
	return func(p *parser, value string) error {
		if value[0] != '/' {
			return errors.New("not an absolute path")
		}
		*field(&p.config) = value
		return nil
	}
}

func number(low, high int, set func(*Config, int)) func(*parser, string) error {
	return func(p *parser, value string) error {
		n, err := strconv.Atoi(value)
		if err != nil || n < low || n > high {
			return fmt.Errorf("not a number from %d to %d", low, high)
		}
		set(&p.config, n)
		return nil
	}
}

func setMinFree(p *parser, value string) error {
	set := number(0, 99, func(c *Config, n int) { c.MinFree = n })
	return set(p, strings.TrimSuffix(value, "%"))
}

func duration(field func(*Config) *time.Duration) func(*parser, string) error {
	return func(p *parser, value string) error {
		d, err := parseDuration(value)
		if err == nil {
			*field(&p.config) = d
		}
		return err
	}
}

// parseDuration reads a number and one of the units s, m, h, d, w.
func parseDuration(s string) (time.Duration, error) {
	unit := map[byte]time.Duration{'s': time.Second, 'm': time.Minute, 'h': time.Hour, 'd': 24 * time.Hour, 'w': 7 * 24 * time.Hour}[s[len(s)-1]]
	n, err := strconv.ParseUint(s[:len(s)-1], 10, 31)
	if unit == 0 || err != nil {
		return 0, errors.New("not a number with a unit; write 90s, 5m, 3h, 5d or 1w")
	}
	if n == 0 || n > uint64(maxDuration/unit) {
		return 0, errors.New("must be from one second to 366 days")
	}
	return time.Duration(n) * unit, nil
}

func setMaxSize(p *parser, value string) error {
	digits := strings.TrimRight(value, "kKmMgG")
	shift := map[string]uint{"": 0, "K": 10, "M": 20, "G": 30}
	by, ok := shift[strings.ToUpper(value[len(digits):])]
	n, err := strconv.ParseUint(digits, 10, 31)
	if err != nil || !ok {
		return errors.New("not a size; write bytes, or a number with K, M or G")
	}
	p.config.MaxSize = int64(n) << by
	return nil
}

func setFingerprint(p *parser, value string) error {
	value = strings.ToLower(strings.ReplaceAll(value, ":", ""))
	if len(value) != 64 || strings.Trim(value, "0123456789abcdef") != "" {
		return errors.New("not a SHA-256 fingerprint of 64 hex digits")
	}
	p.config.Fingerprint = value
	return nil
}

func setMailName(p *parser, value string) error {
	if value[0] != '/' && !validHost(value) {
		return errors.New("neither a host name nor an absolute path")
	}
	p.config.MailName = value
	return nil
}

func setNullClient(p *parser, value string) error {
	on := true
	if v, ok := truth(value); ok {
		on, value = v != off, ""
	}
	if value != "" && !validHost(value) {
		return errors.New("not a domain")
	}
	p.config.NullClient, p.config.NullDomain = on, value
	return nil
}

// setSmarthost takes host, host:port, [v6], [v6]:port and a bare v6 address.
func setSmarthost(p *parser, value string) error {
	host, port := value, ""
	if rest, ok := strings.CutPrefix(value, "["); ok {
		host, port, ok = strings.Cut(rest, "]")
		if !ok || port != "" && port[0] != ':' {
			return errors.New("write [address] or [address]:port")
		}
		if !isIPv6(host) && !isIPv4(host) {
			return errors.New("no IP address between the brackets")
		}
	} else if !isIPv6(value) {
		if i := strings.IndexByte(value, ':'); i >= 0 {
			host, port = value[:i], value[i:]
		}
		if host = strings.TrimSuffix(host, "."); !validHost(host) {
			return errors.New("not a host name; write host, host:port or [address]:port")
		}
	}
	n := 0
	if port != "" {
		var err error
		if n, err = strconv.Atoi(port[1:]); err != nil || n < 1 || n > math.MaxUint16 {
			return errors.New("not a port number behind the colon")
		}
	}
	p.config.Smarthost, p.hostPort = host, n
	return nil
}

// isIPv6 and isIPv4 tell addresses from names and ports, no more: whoever connects
// takes the address apart. (net/netip would do both, and make the front end start slower.)
func isIPv6(s string) bool {
	colons := strings.Count(s, ":")
	return strings.Trim(s, "0123456789abcdefABCDEF:.") == "" &&
		(strings.Count(s, "::") == 1 || colons == 7 || colons == 6 && strings.Contains(s, "."))
}

func isIPv4(s string) bool {
	return strings.Count(s, ".") == 3 && strings.Trim(s, "0123456789.") == ""
}

func validHost(s string) bool {
	a, err := mailaddr.Parse("x@" + s)
	return err == nil && a.Domain == s && s[0] != '['
}

// editDistance is how many bytes must be changed, added or left out to make b of a.
func editDistance(a, b string) int {
	if len(a) > 2*len(b) {
		return len(a)
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			diagonal, row[j+1] = row[j+1], min(diagonal+cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
