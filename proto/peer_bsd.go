//go:build openbsd || netbsd || dragonfly

package proto

import (
	"encoding/binary"
	"errors"

	"golang.org/x/sys/unix"
)

// peerUID asks by a call for another option, whose value is 20 bytes: x/sys has
// none for this one, and 20 bytes hold what is needed of its value. Where the
// value has the uid is a constant of each system. Another field of it, which is
// never 0, tells that the kernel has written anything: uid 0 would be root.
func peerUID(fd int) (uint32, error) {
	value, err := unix.GetsockoptIPv6Mreq(fd, peerLevel, peerOption)
	if err != nil {
		return noUID, err
	}
	b := value.Multiaddr[:]
	if binary.NativeEndian.Uint16(b[peerProof:]) == 0 && binary.NativeEndian.Uint16(b[peerProof+2:]) == 0 {
		return noUID, errors.New("the system has told nothing")
	}
	return binary.NativeEndian.Uint32(b[peerOffset:]), nil
}
