// Package resolve finds the servers that take mail for a domain (RULES E7).
package resolve

import (
	"cmp"
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"

	"dma/common/outcome"
	"dma/dma-remote/internal/idna"
)

// MaxAddrs bounds the addresses to try (RULES E1).
const MaxAddrs = 5

// Limits of one look-up.
const (
	maxHosts = 20 // MX hosts (RULES E7)

	maxTime = time.Minute // all questions together; resolv.conf has limits for each
)

// DNS is what of net.Resolver is used. Names are absolute: they end in a dot. Only
// a smarthost without a dot in its name is given as it is, for the search list.
type DNS interface {
	LookupMX(ctx context.Context, name string) ([]*net.MX, error)
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
}

// Host is one address to try.
type Host struct {
	Name string // without a final dot; the address itself in an address literal
	Addr netip.Addr
	Pref int // MX preference, 0 without MX
}

// Resolver turns domains into hosts.
type Resolver struct {
	DNS     DNS
	Local   func() ([]netip.Addr, error)     // addresses of this host
	Shuffle func(n int, swap func(i, j int)) // rand.Shuffle, for hosts of equal preference
}

// Failure is why there is no host to try. It is later unless the domain says for
// good that it takes no mail.
type Failure struct{ outcome.Outcome }

// Error makes a Failure an error.
func (f *Failure) Error() string { return f.Text }

func fail(code, format string, args ...any) error {
	return &Failure{outcome.Fail(code, format, args...)}
}

func later(format string, args ...any) error {
	return &Failure{outcome.Defer("4.4.3", format, args...)} // RFC 3463: directory server failure
}

// Smarthost finds the addresses of a host that the administrator named: no MX is
// asked for, and the host may be this one. Whatever fails is later, for the domain
// of the recipient has no part in it.
func (r *Resolver) Smarthost(ctx context.Context, name string) ([]Host, error) {
	ctx, cancel := context.WithTimeout(ctx, maxTime)
	defer cancel()
	name = strings.TrimSuffix(name, ".")
	if addr, err := netip.ParseAddr(strings.Trim(name, "[]")); err == nil {
		return hosts(addr.String(), 0, []netip.Addr{addr}), nil
	}
	absolute := name
	if strings.Contains(name, ".") {
		absolute += "."
	}
	addrs, err := r.addresses(ctx, absolute)
	if err != nil {
		return nil, later("DNS lookup failure: smarthost %s: %v", name, err)
	}
	if len(addrs) == 0 {
		return nil, later("DNS lookup failure: smarthost %s not found", name)
	}
	return hosts(name, 0, addrs[:min(MaxAddrs, len(addrs))]), nil
}

// Domain finds the hosts that take mail for a domain, in the order to try them.
func (r *Resolver) Domain(ctx context.Context, domain string) ([]Host, error) {
	ctx, cancel := context.WithTimeout(ctx, maxTime)
	defer cancel()
	domain = strings.TrimSuffix(domain, ".")
	if literal, ok := strings.CutPrefix(domain, "["); ok {
		return r.literal(strings.TrimSuffix(literal, "]"))
	}
	ascii, err := idna.ToASCII(domain)
	if err != nil {
		return nil, fail("5.1.2", "domain %q: %v", domain, err)
	}
	domain = ascii
	mxs, err := r.DNS.LookupMX(ctx, domain+".")
	mxs = slices.Clone(mxs)
	switch {
	case len(mxs) > 0: // with an error if some of them had malformed names
		return r.byMX(ctx, domain, mxs)
	case err != nil && !notFound(err):
		return nil, later("DNS lookup failure: domain %s: %v", domain, reason(err))
	}
	return r.byAddress(ctx, domain)
}

// byAddress is for domains without MX, which are their own mail hosts (RFC 5321 5.1).
func (r *Resolver) byAddress(ctx context.Context, domain string) ([]Host, error) {
	addrs, err := r.addresses(ctx, domain+".")
	if err != nil {
		return nil, later("DNS lookup failure: host %s: %v", domain, err)
	}
	if len(addrs) == 0 {
		return nil, fail("5.1.2", "DNS lookup failure: host %s not found", domain)
	}
	own, err := r.own()
	if err != nil {
		return nil, err
	}
	if slices.ContainsFunc(addrs, own) {
		return nil, loop(domain)
	}
	return hosts(domain, 0, addrs[:min(MaxAddrs, len(addrs))]), nil
}

// literal is RFC 5321 4.1.3.
func (r *Resolver) literal(text string) ([]Host, error) {
	v6 := len(text) > 5 && strings.EqualFold(text[:5], "IPv6:")
	if v6 {
		text = text[5:]
	}
	addr, err := netip.ParseAddr(text)
	if err != nil || addr.Is4() == v6 || addr.Zone() != "" {
		return nil, fail("5.1.2", "malformed address literal [%s]", text)
	}
	own, err := r.own()
	if err != nil {
		return nil, err
	}
	if own(addr) {
		return nil, loop("[" + text + "]")
	}
	return hosts(addr.String(), 0, []netip.Addr{addr}), nil
}

// byMX goes through the hosts in order until there are enough addresses.
func (r *Resolver) byMX(ctx context.Context, domain string, mxs []*net.MX) ([]Host, error) {
	if len(mxs) == 1 && mxs[0].Host == "." { // RFC 7505 section 3
		return nil, fail("5.1.10", "domain %s takes no mail (null MX)", domain)
	}
	own, err := r.own()
	if err != nil {
		return nil, err
	}
	r.Shuffle(len(mxs), func(i, j int) { mxs[i], mxs[j] = mxs[j], mxs[i] })
	slices.SortStableFunc(mxs, func(a, b *net.MX) int { return int(a.Pref) - int(b.Pref) })
	var found []Host
	var trouble error
	for _, mx := range mxs[:min(maxHosts, len(mxs))] {
		// After enough addresses the look-ups would only be for finding ourselves,
		// and then among hosts that are no better than those.
		if len(found) >= MaxAddrs {
			break
		}
		name := strings.TrimSuffix(mx.Host, ".")
		if name == "" {
			continue
		}
		addrs, err := r.addresses(ctx, name+".")
		if err != nil {
			trouble = later("DNS lookup failure: MX %s of %s: %v", name, domain, err)
			continue
		}
		if slices.ContainsFunc(addrs, own) {
			// RFC 5321 5.1: neither this host nor any that is not closer.
			found = slices.DeleteFunc(found, func(h Host) bool { return h.Pref >= int(mx.Pref) })
			if len(found) == 0 && trouble == nil {
				return nil, loop(domain)
			}
			break
		}
		found = append(found, hosts(name, int(mx.Pref), addrs)...)
	}
	switch {
	case len(found) > 0:
		return found[:min(MaxAddrs, len(found))], nil
	case trouble != nil:
		return nil, trouble
	}
	return nil, later("DNS lookup failure: no MX of %s has an address", domain)
}

func hosts(name string, pref int, addrs []netip.Addr) []Host {
	var out []Host
	for _, a := range addrs {
		out = append(out, Host{name, a, pref})
	}
	return out
}

func loop(domain string) error {
	return fail("5.4.6", "mail for %s loops back to this host", domain)
}

// own returns what tells addresses that lead back here, or nowhere.
func (r *Resolver) own() (func(netip.Addr) bool, error) {
	local, err := r.Local()
	if err != nil {
		return nil, &Failure{outcome.Defer("4.3.0", "list own addresses: %v", err)}
	}
	return func(a netip.Addr) bool {
		return a.IsLoopback() || a.IsUnspecified() || a.IsMulticast() || slices.Contains(local, a)
	}, nil
}

// addresses are those of a host, IPv6 and IPv4 by turns. It returns none without
// an error if the host has none for good. The families are asked for one by one:
// asked together, the trouble of one can hide behind the absence of the other.
func (r *Resolver) addresses(ctx context.Context, name string) ([]netip.Addr, error) {
	v6, err6 := r.family(ctx, "ip6", name)
	v4, err4 := r.family(ctx, "ip4", name)
	var out []netip.Addr
	for i := range max(len(v6), len(v4)) {
		if i < len(v6) {
			out = append(out, v6[i])
		}
		if i < len(v4) {
			out = append(out, v4[i])
		}
	}
	if len(out) == 0 {
		return nil, cmp.Or(err6, err4)
	}
	return out, nil
}

func (r *Resolver) family(ctx context.Context, network, name string) ([]netip.Addr, error) {
	addrs, err := r.DNS.LookupNetIP(ctx, network, name)
	if err != nil && !notFound(err) {
		return nil, reason(err)
	}
	out := make([]netip.Addr, 0, len(addrs))
	for _, a := range addrs {
		out = append(out, a.Unmap())
	}
	return out, nil
}

// notFound reports whether the DNS has said that there is nothing, as opposed to
// nothing said.
func notFound(err error) bool {
	var dns *net.DNSError
	var addr *net.AddrError // /etc/hosts has the name with addresses of the other family
	return errors.As(err, &dns) && dns.IsNotFound || errors.As(err, &addr)
}

// reason leaves the name away, which the callers say.
func reason(err error) error {
	var dns *net.DNSError
	if errors.As(err, &dns) {
		return errors.New(dns.Err)
	}
	return err
}
