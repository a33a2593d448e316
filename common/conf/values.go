package conf

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"dma/common/site"
)

// off is the value of what was switched off in so many words.
const off = "off"

// Limits of values.
const (
	maxDuration = 366 * 24 * time.Hour // one year is a typing mistake
	maxDomains  = 1000                 // LOCALDOMAINS
)

// truth reads the values that people give to flags: "" is on, as without a value.
func truth(s string) (value string, ok bool) {
	switch strings.ToLower(s) {
	case "yes", "true", "on", "1":
		return "", true
	case "no", "false", off, "0":
		return off, true
	}
	return "", false
}

// isOff: what people write who want none of it.
func isOff(s string) bool {
	value, ok := truth(s)
	return ok && value == off || strings.EqualFold(s, "none") || strings.EqualFold(s, "never")
}

func boolean(field func(*Config) *bool) func(*parser, string) error {
	return func(p *parser, value string) error {
		*field(&p.config) = value != off
		return nil
	}
}

func path(field func(*Config) *string) func(*parser, string) error {
	return func(p *parser, value string) error {
		if value[0] != '/' {
			return errors.New("not an absolute path; write one that begins with a slash")
		}
		*field(&p.config) = value
		return nil
	}
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
	var unit time.Duration
	switch s[len(s)-1] {
	case 's':
		unit = time.Second
	case 'm':
		unit = time.Minute
	case 'h':
		unit = time.Hour
	case 'd':
		unit = 24 * time.Hour
	case 'w':
		unit = 7 * 24 * time.Hour
	}
	n, err := strconv.ParseUint(s[:len(s)-1], 10, 31)
	if unit == 0 || err != nil {
		return 0, errors.New("not a number with a unit; write 90s, 5m, 3h, 5d or 1w")
	}
	if n == 0 || n > uint64(maxDuration/unit) {
		return 0, errors.New("out of range; write a time from 1s to 366d")
	}
	return time.Duration(n) * unit, nil
}

func setDelayWarn(p *parser, value string) (err error) {
	p.config.DelayWarn = 0
	if isOff(value) {
		return nil
	}
	d, err := parseDuration(value)
	if err != nil {
		return fmt.Errorf("%w, or off", err)
	}
	p.config.DelayWarn = d
	return nil
}

func setPort(p *parser, value string) (err error) {
	if p.port, err = parsePort(value); err != nil {
		return errors.New("not a port; write a number from 1 to 65535")
	}
	return nil
}

func setMinFree(p *parser, value string) error {
	n, err := strconv.ParseUint(strings.TrimSuffix(value, "%"), 10, 8)
	if err != nil || n > 99 {
		return errors.New("not a percentage; write a number from 0 to 99")
	}
	p.config.MinFree = int(n)
	return nil
}

func setMaxSize(p *parser, value string) error {
	digits := strings.TrimRight(value, "kKmMgG")
	shift := uint(math.MaxUint)
	switch strings.ToUpper(value[len(digits):]) {
	case "":
		shift = 0
	case "K":
		shift = 10
	case "M":
		shift = 20
	case "G":
		shift = 30
	}
	n, err := strconv.ParseUint(digits, 10, 31)
	if err != nil || shift == math.MaxUint {
		return errors.New("not a size; write bytes, or a number with K, M or G, such as 20M; 0 is no limit")
	}
	p.config.MaxSize = int64(n) << shift
	return nil
}

func setFingerprint(p *parser, value string) error {
	value = strings.ToLower(strings.ReplaceAll(value, ":", ""))
	if len(value) != 64 || strings.Trim(value, "0123456789abcdef") != "" {
		return errors.New("not a SHA-256 fingerprint; write its 64 hex digits")
	}
	p.config.Fingerprint = value
	return nil
}

func setMailName(p *parser, value string) error {
	if value[0] != '/' && !validHost(value) {
		return errors.New("neither a host name nor an absolute path; write host.example or /etc/mailname")
	}
	p.config.MailName = value
	return nil
}

// setMasquerade checks user@host, user@, @host and host.
func setMasquerade(p *parser, value string) error {
	i := strings.LastIndexByte(value, '@') // as dma does
	user, host := value[:max(i, 0)], value[i+1:]
	if user+host == "" || user != "" && !validLocal(user) || host != "" && !validHost(host) {
		return errors.New("not a sender; write user@host, user@ or host")
	}
	p.config.Masquerade = value
	return nil
}

func setNullClient(p *parser, value string) error {
	on := true
	if v, ok := truth(value); ok {
		on, value = v != off, ""
	}
	if value != "" && !validHost(value) {
		return errors.New("not a domain; write NULLCLIENT alone, or a domain for names that have none")
	}
	p.config.NullClient, p.config.NullDomain = on, value
	return nil
}

// setLocalDomains leaves out what is no domain: mail for the others is to stay here.
func setLocalDomains(p *parser, value string) error {
	p.config.LocalDomains = nil
	for _, word := range fields(value) {
		domain := strings.ToLower(strings.TrimSuffix(word, "."))
		switch {
		case !validHost(domain):
			p.warn("LOCALDOMAINS: %q is no domain and left out; write names such as example.org, with blanks between", word)
		case len(p.config.LocalDomains) == maxDomains:
			return fmt.Errorf("more than %d domains", maxDomains)
		default:
			p.config.LocalDomains = append(p.config.LocalDomains, domain)
		}
	}
	return nil
}

func setLog(p *parser, value string) error {
	if value != LogSyslog && value != LogStderr && value[0] != '/' {
		return errors.New("write syslog, stderr or the path of a file")
	}
	p.config.Log = value
	return nil
}

func setForward(p *parser, value string) error {
	if isOff(value) {
		p.config.Forward = ""
		return nil
	}
	if strings.ContainsAny(value, "/ \t") || value == "." || value == ".." {
		return errors.New("not the name of a file in the home directory; write a name such as .forward, or off")
	}
	p.config.Forward = value
	return nil
}

// checkSpoolDir: the key has no effect but to be wrong.
func checkSpoolDir(p *parser, value string) error {
	if strings.TrimRight(value, "/") != strings.TrimRight(site.Spool, "/") {
		p.warn("SPOOLDIR %q: the spool of this dma is %s, fixed when it was built; remove the line, or build with SPOOLDIR=%s", value, site.Spool, value)
	}
	return nil
}
