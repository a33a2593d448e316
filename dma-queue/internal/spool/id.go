package spool

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"time"
)

// ID names a message from its submission to its last log line: 13 hexadecimal
// digits of the microseconds since 1970, so that ids sort by arrival, a dot,
// and 12 random ones, so that nobody can guess an id and be there first.
type ID string

const (
	idTime   = 13 // digits; enough until 2112
	idRandom = 12 // digits
	idLen    = idTime + 1 + idRandom
)

// ErrID is the error of ParseID.
var ErrID = errors.New("not a message id")

// NewID makes an id from the time and random bytes.
func NewID(now time.Time, random io.Reader) (ID, error) {
	var b [8]byte
	if _, err := io.ReadFull(random, b[:idRandom/2]); err != nil {
		return "", fmt.Errorf("make message id: %w", err)
	}
	tail := hex.EncodeToString(b[:idRandom/2])
	binary.BigEndian.PutUint64(b[:], uint64(max(now.UnixMicro(), 0)))
	return ID(hex.EncodeToString(b[:])[16-idTime:] + "." + tail), nil
}

// ParseID accepts what NewID makes and nothing else: ids come from directories
// and sockets and become file names.
func ParseID(s string) (ID, error) {
	if len(s) != idLen || s[idTime] != '.' {
		return "", ErrID
	}
	for i := range len(s) {
		if c := s[i]; i != idTime && (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return "", ErrID
		}
	}
	return ID(s), nil
}
