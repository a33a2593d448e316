package conf

import (
	"fmt"
	"io"
	"strings"

	"dma/common/mailaddr"
)

type parser struct {
	file     string
	line     int
	config   Config
	seen     map[string]int // the line of each key
	port     int            // PORT; 0: not given
	lmtp     []Host         // given with LMTP
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

func (p *parser) warn(format string, args ...any) { p.add(false, format, args...) }

func (p *parser) add(waits bool, format string, args ...any) {
	if len(p.warnings) < maxWarnings {
		p.warnings = append(p.warnings, Warning{p.file, p.line, fmt.Sprintf(format, args...), waits})
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
		name, value = line[:i], strings.ReplaceAll(strings.TrimLeft(line[i:], " \t"), "\t", " ")
	}
	k := find(keys, name)
	if k == nil {
		p.unknown(name, keys)
		return
	}
	if err := p.apply(k, value); err != nil {
		p.wrong(k, err)
		return
	}
	if old := p.seen[name]; old != 0 && k.kind != list {
		p.warn("%s stands in line %d too; this one counts; remove one of them", name, old)
	}
	p.seen[name] = p.line
}

// apply sets one key.
func (p *parser) apply(k *key, value string) error {
	switch {
	case k.kind == flag && value != "":
		on, ok := truth(value)
		if !ok {
			return fmt.Errorf("%s takes no value; write %s alone, or a # before it", k.name, k.name)
		}
		p.warn("%s takes no value; write %s alone, or a # before it", k.name, k.name)
		return k.set(p, on)
	case value == "" && (k.kind == needsValue || k.kind == list):
		return fmt.Errorf("%s needs a value; write one behind it, or a # before it", k.name)
	case value == "":
		return k.set(p, "")
	}
	if err := mailaddr.Check(value); err != nil {
		return fmt.Errorf("%s: value %w", k.name, err)
	}
	if err := k.set(p, value); err != nil {
		hint := ""
		if value[0] == '=' {
			hint = "; leave the = out"
		}
		return fmt.Errorf("%s %q: %w%s", k.name, value, err, hint)
	}
	return nil
}

// wrong: a line that is wrong has no effect, or mail waits until it is right.
func (p *parser) wrong(k *key, err error) {
	effect := "the line is ignored"
	switch k.guard {
	case remote:
		effect = "mail for other hosts waits until this is put right"
	case local:
		effect = "mail for mailboxes waits until this is put right"
	}
	if k.guard != none && p.config.broken[k.guard] == nil {
		p.config.broken[k.guard] = fmt.Errorf("%s:%d: %w", p.file, p.line, err)
	}
	p.add(k.guard != none, "%v; %s", err, effect)
}

// Broken is why mail for other hosts has to wait: a line that says where it goes,
// or how safely, is wrong, and without it mail would go another way.
func (c *Config) Broken() error { return c.broken[remote] }

// unknown warns about what is no key, and says which one it could be.
func (p *parser) unknown(name string, keys []key) {
	name, _, assigned := strings.Cut(name, "=")
	best, distance := "", 3
	for _, k := range keys {
		if d := editDistance(strings.ToUpper(name), k.name); d < distance {
			best, distance = k.name, d
		}
	}
	if len(name) > 40 {
		name = name[:40] + "..."
	}
	switch {
	case best != "" && assigned:
		p.warn("%q: write a blank behind %s, not =; the line is ignored", name+"=", best)
	case best != "":
		p.warn("unknown key %q; did you mean %s? The line is ignored", name, best)
	default:
		p.warn("unknown key %q, see dma.conf(5); the line is ignored", name)
	}
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

// settle looks at keys together, once all are known.
func (p *parser) settle() {
	c := &p.config
	p.settleHosts()
	if c.MinRetry > c.MaxRetry {
		p.warnAt("MINRETRY", "longer than MAXRETRY, which is raised to it; write MAXRETRY too")
		c.MaxRetry = c.MinRetry
	}
	if c.DelayWarn >= c.MaxAge {
		p.warnAt("DELAYWARN", "not shorter than MAXAGE, so nobody is ever warned; write a shorter time")
	}
	if p.seen["VIRTPATH"] != 0 && !c.Virtual {
		p.warnAt("VIRTPATH", "has no effect without VIRTUAL; add VIRTUAL, or a # before it")
	}
	if c.NullClient && c.Delivery == DeliverLocal {
		p.warnAt("NULLCLIENT", "with DELIVERY local nothing can be delivered; remove one of them")
	}
	if c.StartTLS && !c.SecureTransfer {
		p.warnAt("STARTTLS", "without SECURETRANSFER too it is used; add SECURETRANSFER for older versions")
	}
}

// settleHosts fills in what the servers of routes have in common.
func (p *parser) settleHosts() {
	c := &p.config
	if c.LMTP && p.lmtp != nil {
		if c.Smarthosts != nil {
			p.warnAt("LMTP", "names where mail goes, so SMARTHOST has no effect; remove one of them")
		}
		c.Smarthosts = p.lmtp
	}
	for i := range c.Smarthosts {
		c.Smarthosts[i].LMTP = c.Smarthosts[i].LMTP || c.LMTP
	}
	routes := c.Routes()
	used := false
	for _, r := range routes {
		for i := range r.Hosts {
			used = p.settlePort(&r.Hosts[i]) || used
		}
	}
	// What has no effect without a server to send mail to.
	for _, name := range []string{"PORT", "AUTHPATH", "CERTFILE", "FINGERPRINT", "LMTP", "NULLCLIENT"} {
		switch {
		case p.seen[name] == 0, name == "LMTP" && !c.LMTP, name == "NULLCLIENT" && !c.NullClient:
		case len(routes) == 0:
			p.warnAt(name, "there is no SMARTHOST; write one, or a # before %s", name)
		case name == "PORT" && !used:
			p.warnAt(name, "every server is named with a port of its own, which counts; remove one of them")
		}
	}
}

// settlePort gives a server its port, and reports whether it was that of PORT.
func (p *parser) settlePort(h *Host) (used bool) {
	c := &p.config
	switch {
	case h.Socket() || h.Port != 0:
	case p.port != 0:
		h.Port, used = p.port, true
	case h.LMTP:
		h.Port = defaultLMTPPort
	default:
		h.Port = defaultPort
	}
	if c.SecureTransfer && !c.StartTLS && (h.Port == 25 || h.Port == 587) {
		p.warnAt("SECURETRANSFER", "without STARTTLS it means TLS from the first byte, which servers speak at port 465, not %d; add STARTTLS, or write another port", h.Port)
	}
	return used
}
