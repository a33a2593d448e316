package resolve

import (
	"fmt"
	"net"
	"net/netip"
)

// System is the host's resolver: Go's own, for cgo is off in all builds.
func System() DNS { return &net.Resolver{PreferGo: true} }

// Interfaces lists the addresses of this host.
func Interfaces() ([]netip.Addr, error) {
	list, err := net.InterfaceAddrs()
	if err != nil {
		return nil, fmt.Errorf("list interfaces: %w", err)
	}
	var addrs []netip.Addr
	for _, a := range list {
		if p, err := netip.ParsePrefix(a.String()); err == nil {
			addrs = append(addrs, p.Addr().Unmap())
		}
	}
	return addrs, nil
}
