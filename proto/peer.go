package proto

import (
	"errors"
	"fmt"
)

// noUID is no account's: (uid_t)-1.
const noUID = ^uint32(0)

// PeerUID is the effective uid that the peer had when it connected, as the kernel
// tells it. Where the system cannot tell there is an error, and the peer is to be
// taken for a stranger.
func (c *Conn) PeerUID() (uint32, error) {
	var uid uint32
	var err error
	if cerr := c.raw.Control(func(fd uintptr) { uid, err = peerUID(int(fd)) }); cerr != nil {
		err = cerr
	}
	if err == nil && uid == noUID {
		err = errors.New("the system does not tell")
	}
	if err != nil {
		return noUID, fmt.Errorf("look up peer: %w", err)
	}
	return uid, nil
}
