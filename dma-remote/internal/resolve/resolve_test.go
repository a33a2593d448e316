package resolve

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"testing"

	"dma/common/outcome"
)

// zone is a DNS for tests: "mx name" and "ip4 name" or "ip6 name" to the answer,
// words with blanks between, or an error after !.
type zone map[string]string

func (z zone) answer(question string) ([]string, error) {
	a, ok := z[question]
	if !ok {
		return nil, &net.DNSError{Err: "no such host", IsNotFound: true}
	}
	if e, ok := strings.CutPrefix(a, "!"); ok {
		return nil, &net.DNSError{Err: e, IsTemporary: true}
	}
	return strings.Fields(a), nil
}

func (z zone) LookupMX(_ context.Context, name string) ([]*net.MX, error) {
	words, err := z.answer("mx " + name)
	var mxs []*net.MX
	for _, w := range words {
		var mx net.MX
		if w == "malformed" {
			err = &net.DNSError{Err: "DNS response contained records which contain invalid names"}
			continue
		}
		if _, e := fmt.Sscanf(strings.Replace(w, "/", " ", 1), "%d %s", &mx.Pref, &mx.Host); e != nil {
			panic(e)
		}
		mxs = append(mxs, &mx)
	}
	return mxs, err
}

func (z zone) LookupNetIP(ctx context.Context, network, name string) ([]netip.Addr, error) {
	if _, ok := ctx.Deadline(); !ok {
		panic("question without a time limit")
	}
	words, err := z.answer(network + " " + name)
	var addrs []netip.Addr
	for _, w := range words {
		if w == "other-family" {
			return nil, &net.AddrError{Err: "no suitable address", Addr: name}
		}
		addrs = append(addrs, netip.MustParseAddr(w))
	}
	return addrs, err
}

func TestDomain(t *testing.T) {
	many := zone{"mx d.example.": ""}
	for i := range 30 {
		many["mx d.example."] += fmt.Sprintf("%d/m%d.example. ", i, i)
		if i >= 20 {
			many[fmt.Sprintf("ip4 m%d.example.", i)] = "192.0.2.1"
		}
	}
	tests := []struct {
		name, domain string
		zone         zone
		want         string // "name address preference" each, or class and code
	}{
		{"MX", "d.example", zone{"mx d.example.": "20/b.example. 10/a.example.", "ip4 a.example.": "192.0.2.1", "ip4 b.example.": "192.0.2.2"}, "a.example 192.0.2.1 10, b.example 192.0.2.2 20"},
		{"final dot", "d.example.", zone{"mx d.example.": "10/a.example.", "ip4 a.example.": "192.0.2.1"}, "a.example 192.0.2.1 10"},
		{"families by turns", "d.example", zone{"mx d.example.": "10/a.example.", "ip4 a.example.": "192.0.2.1 192.0.2.2 192.0.2.3", "ip6 a.example.": "2001:db8::1"}, "a.example 2001:db8::1 10, a.example 192.0.2.1 10, a.example 192.0.2.2 10, a.example 192.0.2.3 10"},
		{"five addresses", "d.example", zone{"mx d.example.": "10/a.example. 20/b.example.", "ip4 a.example.": "192.0.2.1 192.0.2.2 192.0.2.3", "ip4 b.example.": "192.0.2.4 192.0.2.5 192.0.2.6"}, "a.example 192.0.2.1 10, a.example 192.0.2.2 10, a.example 192.0.2.3 10, b.example 192.0.2.4 20, b.example 192.0.2.5 20"},
		{"no MX", "d.example", zone{"ip4 d.example.": "192.0.2.1"}, "d.example 192.0.2.1 0"},
		{"nothing", "d.example", zone{}, "failed 5.1.2"},
		{"null MX", "d.example", zone{"mx d.example.": "0/.", "ip4 d.example.": "192.0.2.1"}, "failed 5.1.10"},
		{"null MX among others", "d.example", zone{"mx d.example.": "0/. 10/a.example.", "ip4 a.example.": "192.0.2.1"}, "a.example 192.0.2.1 10"},
		{"one MX malformed", "d.example", zone{"mx d.example.": "malformed 10/a.example.", "ip4 a.example.": "192.0.2.1"}, "a.example 192.0.2.1 10"},
		{"all MX malformed", "d.example", zone{"mx d.example.": "malformed", "ip4 d.example.": "192.0.2.1"}, "later 4.4.3"},
		{"trouble with MX", "d.example", zone{"mx d.example.": "!server misbehaving", "ip4 d.example.": "192.0.2.1"}, "later 4.4.3"},
		{"trouble with A", "d.example", zone{"ip4 d.example.": "!server misbehaving"}, "later 4.4.3"},
		{"trouble with AAAA", "d.example", zone{"ip6 d.example.": "!server misbehaving"}, "later 4.4.3"},
		{"trouble with AAAA but A", "d.example", zone{"ip6 d.example.": "!server misbehaving", "ip4 d.example.": "192.0.2.1"}, "d.example 192.0.2.1 0"},
		{"hosts file has the other family", "d.example", zone{"ip6 d.example.": "other-family", "ip4 d.example.": "192.0.2.1"}, "d.example 192.0.2.1 0"},
		{"one MX in trouble", "d.example", zone{"mx d.example.": "10/a.example. 20/b.example.", "ip4 a.example.": "!timeout", "ip4 b.example.": "192.0.2.2"}, "b.example 192.0.2.2 20"},
		{"all MX in trouble", "d.example", zone{"mx d.example.": "10/a.example.", "ip4 a.example.": "!timeout"}, "later 4.4.3"},
		{"no MX has an address", "d.example", zone{"mx d.example.": "10/a.example."}, "later 4.4.3"},
		{"20 hosts", "d.example", many, "later 4.4.3"},
		{"best MX is this host", "d.example", zone{"mx d.example.": "10/a.example. 20/b.example.", "ip4 a.example.": "198.51.100.1", "ip4 b.example.": "192.0.2.2"}, "failed 5.4.6"},
		{"second MX is this host", "d.example", zone{"mx d.example.": "10/a.example. 20/b.example. 30/c.example.", "ip4 a.example.": "192.0.2.1", "ip4 b.example.": "192.0.2.2 198.51.100.1", "ip4 c.example.": "192.0.2.3"}, "a.example 192.0.2.1 10"},
		{"as good as this host", "d.example", zone{"mx d.example.": "10/a.example. 10/b.example.", "ip4 a.example.": "192.0.2.1", "ip4 b.example.": "198.51.100.1"}, "failed 5.4.6"},
		{"this host behind one in trouble", "d.example", zone{"mx d.example.": "10/a.example. 20/b.example.", "ip4 a.example.": "!timeout", "ip4 b.example.": "198.51.100.1"}, "later 4.4.3"},
		{"MX on loopback", "d.example", zone{"mx d.example.": "10/a.example.", "ip4 a.example.": "127.0.0.53"}, "failed 5.4.6"},
		{"MX on loopback, mapped", "d.example", zone{"mx d.example.": "10/a.example.", "ip6 a.example.": "::ffff:127.0.0.1"}, "failed 5.4.6"},
		{"MX unspecified", "d.example", zone{"mx d.example.": "10/a.example.", "ip4 a.example.": "0.0.0.0"}, "failed 5.4.6"},
		{"host on loopback", "localhost", zone{"ip6 localhost.": "::1"}, "failed 5.4.6"},
		{"literal", "[192.0.2.1]", nil, "192.0.2.1 192.0.2.1 0"},
		{"literal IPv6", "[IPv6:2001:db8::1]", nil, "2001:db8::1 2001:db8::1 0"},
		{"literal own", "[198.51.100.1]", nil, "failed 5.4.6"},
		{"literal loopback", "[ipv6:::1]", nil, "failed 5.4.6"},
		{"literal IPv6 without tag", "[2001:db8::1]", nil, "failed 5.1.2"},
		{"literal IPv4 with tag", "[IPv6:192.0.2.1]", nil, "failed 5.1.2"},
		{"literal with zone", "[IPv6:fe80::1%eth0]", nil, "failed 5.1.2"},
		{"literal malformed", "[x]", nil, "failed 5.1.2"},
		{"IDNA", "ü.example", map[string]string{"mx xn--tda.example.": "5/a.", "ip4 a.": "192.0.2.1"}, "a 192.0.2.1 5"},
		{"IDNA that is none", "☃.example", nil, "failed 5.1.2"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := answer(resolver(tt.zone).Domain(t.Context(), tt.domain)); got != tt.want {
				t.Errorf("got %s\nwant %s", got, tt.want)
			}
		})
	}
}

func resolver(z zone) *Resolver {
	return &Resolver{
		DNS:     z,
		Local:   func() ([]netip.Addr, error) { return []netip.Addr{netip.MustParseAddr("198.51.100.1")}, nil },
		Shuffle: func(int, func(i, j int)) {},
	}
}

func answer(hosts []Host, err error) string {
	var f *Failure
	if errors.As(err, &f) {
		if !f.Valid() {
			return fmt.Sprintf("invalid outcome %+v", f)
		}
		return f.Class.String() + " " + f.Code
	}
	var out []string
	for _, h := range hosts {
		out = append(out, fmt.Sprint(h.Name, " ", h.Addr, " ", h.Pref))
	}
	return strings.Join(out, ", ")
}

func TestSmarthost(t *testing.T) {
	z := zone{"ip4 relay.example.": "192.0.2.1", "ip4 relay": "192.0.2.2", "ip4 local.example.": "127.0.0.1", "ip4 odd.example.": "!timeout", "mx relay.example.": "1/other.example."}
	tests := []struct{ name, want string }{
		{"relay.example", "relay.example 192.0.2.1 0"},
		{"relay.example.", "relay.example 192.0.2.1 0"},
		{"relay", "relay 192.0.2.2 0"},
		{"local.example", "local.example 127.0.0.1 0"},
		{"127.0.0.1", "127.0.0.1 127.0.0.1 0"},
		{"::1", "::1 ::1 0"},
		{"[::1]", "::1 ::1 0"},
		{"odd.example", "later 4.4.3"},
		{"gone.example", "later 4.4.3"},
	}
	for _, tt := range tests {
		if got := answer(resolver(z).Smarthost(t.Context(), tt.name)); got != tt.want {
			t.Errorf("%s: got %s, want %s", tt.name, got, tt.want)
		}
	}
}

// Hosts of equal preference come in any order; preference still counts.
func TestShuffle(t *testing.T) {
	z := zone{"mx d.example.": "10/a.example. 10/b.example. 20/c.example.", "ip4 a.example.": "192.0.2.1", "ip4 b.example.": "192.0.2.2", "ip4 c.example.": "192.0.2.3"}
	r := resolver(z)
	r.Shuffle = rand.New(rand.NewPCG(1, 2)).Shuffle
	seen := make(map[string]int)
	for range 100 {
		hosts, err := r.Domain(t.Context(), "d.example")
		if err != nil || len(hosts) != 3 || hosts[2].Name != "c.example" {
			t.Fatal(hosts, err)
		}
		seen[hosts[0].Name]++
	}
	if len(seen) != 2 || seen["a.example"] < 30 || seen["b.example"] < 30 {
		t.Errorf("first: %v", seen)
	}
}

func TestOwnAddressesUnknown(t *testing.T) {
	r := resolver(zone{"ip4 d.example.": "192.0.2.1"})
	r.Local = func() ([]netip.Addr, error) { return nil, errors.New("out of netlink") }
	for _, domain := range []string{"d.example", "[192.0.2.1]"} {
		_, err := r.Domain(t.Context(), domain)
		var f *Failure
		if !errors.As(err, &f) || f.Class != outcome.Later {
			t.Errorf("%s: %v, want later", domain, err)
		}
	}
}

func TestInterfaces(t *testing.T) {
	addrs, err := Interfaces()
	if err != nil || len(addrs) == 0 {
		t.Errorf("Interfaces() = %v, %v", addrs, err)
	}
}

// FuzzDomain: whatever the DNS answers, in no time it comes to an end: hosts that may
// be tried, five addresses at most and none of this host's, or a reason with a code.
func FuzzDomain(f *testing.F) {
	f.Add("d.example", "10 a.example. 192.0.2.1 20 b.example. 127.0.0.1", uint8(0))
	f.Add("d.example", "0 . ", uint8(1))
	f.Add("[IPv6:2001:db8::1]", "", uint8(2))
	f.Add("b\u00fccher.example", "5 b.example. 2001:db8::1", uint8(4))
	f.Fuzz(func(t *testing.T, domain, answers string, trouble uint8) {
		z := &random{words: strings.Fields(answers), trouble: trouble}
		own := netip.MustParseAddr("192.0.2.99")
		r := &Resolver{DNS: z, Local: func() ([]netip.Addr, error) { return []netip.Addr{own}, nil }, Shuffle: func(int, func(int, int)) {}}
		hosts, err := r.Domain(context.Background(), domain)
		if z.questions > 1+2*maxHosts {
			t.Fatalf("%d questions", z.questions)
		}
		var failure *Failure
		switch {
		case err == nil && (len(hosts) == 0 || len(hosts) > MaxAddrs):
			t.Fatalf("%d hosts", len(hosts))
		case err != nil && (!errors.As(err, &failure) || !failure.Valid() || failure.Class == outcome.Done):
			t.Fatalf("error %#v", err)
		}
		for i, h := range hosts {
			if !h.Addr.IsValid() || h.Addr.IsLoopback() || h.Addr.IsUnspecified() || h.Addr == own || i > 0 && h.Pref < hosts[i-1].Pref {
				t.Fatalf("hosts %v", hosts)
			}
		}
	})
}

// random answers every question with something out of its words.
type random struct {
	words     []string
	trouble   uint8 // bits: which kinds of questions have trouble
	questions int
}

func (z *random) LookupMX(context.Context, string) ([]*net.MX, error) {
	z.questions++
	if z.trouble&1 != 0 {
		return nil, &net.DNSError{Err: "no such host", IsNotFound: z.trouble&2 != 0}
	}
	var out []*net.MX
	for i := 0; i+1 < len(z.words); i++ {
		pref, err := strconv.ParseUint(z.words[i], 10, 16)
		if err == nil {
			out = append(out, &net.MX{Pref: uint16(pref), Host: z.words[i+1]})
		}
	}
	if out == nil {
		return nil, &net.DNSError{Err: "no such host", IsNotFound: true}
	}
	return out, nil
}

func (z *random) LookupNetIP(_ context.Context, network, _ string) ([]netip.Addr, error) {
	z.questions++
	if z.trouble&4 != 0 && network == "ip6" || z.trouble&8 != 0 {
		return nil, &net.DNSError{Err: "server misbehaving", IsTemporary: true}
	}
	var out []netip.Addr
	for _, w := range z.words {
		if a, err := netip.ParseAddr(w); err == nil && a.Is4() == (network == "ip4") {
			out = append(out, a)
		}
	}
	if out == nil {
		return nil, &net.DNSError{Err: "no such host", IsNotFound: true}
	}
	return out, nil
}
