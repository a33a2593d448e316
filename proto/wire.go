package proto

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// Sizes. A limit is checked before anything is allocated for what it limits.
const (
	HeaderSize = 12
	MaxMessage = 16 << 10 // bytes in a packet, header included

	MaxAddress = 1000 // bytes in an address (RULES A6)
	MaxLogin   = 32   // bytes in a login (DESIGN 5)
	MaxPath    = 4096 // bytes in a home directory or shell (PATH_MAX)
	MaxID      = 64   // bytes in a message id
	MaxText    = 512  // bytes in a reason (RULES E2)
	MaxLog     = 2000 // bytes in a line for the log
	MaxChain   = 10   // Delivered-To addresses in a message: the depth of RULES C4

	MaxExtension = 64 // bytes behind the + in user+ext (RULES C6)
)

// ErrProtocol is wrapped by every error that the peer's misbehaviour causes.
var ErrProtocol = errors.New("protocol violation")

func violation(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{ErrProtocol}, args...)...)
}

// A wire walks over the fields of a message and either appends them to buf or
// takes them from it, so that a message states its layout and its limits once.
// After the first error every call does nothing.
type wire struct {
	decode bool
	buf    []byte
	err    error
}

func (w *wire) fail(format string, args ...any) {
	if w.err == nil {
		w.err = violation(format, args...)
	}
}

// take returns the next n bytes of a message being decoded, nil after an error.
func (w *wire) take(n int) []byte {
	if w.err == nil && n > len(w.buf) {
		w.fail("field of %d bytes where %d are left", n, len(w.buf))
	}
	if w.err != nil {
		return nil
	}
	b := w.buf[:n]
	w.buf = w.buf[n:]
	return b
}

func (w *wire) u8(p *uint8) {
	if !w.decode {
		w.buf = append(w.buf, *p)
	} else if b := w.take(1); b != nil {
		*p = b[0]
	}
}

// enum is a u8 between 1 and last.
func (w *wire) enum(p *uint8, last uint8) {
	w.u8(p)
	if w.err == nil && (*p < 1 || *p > last) {
		w.fail("value %d of an enumeration with %d", *p, last)
	}
}

func (w *wire) flag(p *bool) {
	var b uint8
	if *p {
		b = 1
	}
	w.u8(&b)
	if w.err == nil && b > 1 {
		w.fail("flag with value %d", b)
	}
	*p = b == 1
}

func (w *wire) u16(p *uint16) {
	if !w.decode {
		w.buf = binary.BigEndian.AppendUint16(w.buf, *p)
	} else if b := w.take(2); b != nil {
		*p = binary.BigEndian.Uint16(b)
	}
}

func (w *wire) u32(p *uint32) {
	if !w.decode {
		w.buf = binary.BigEndian.AppendUint32(w.buf, *p)
	} else if b := w.take(4); b != nil {
		*p = binary.BigEndian.Uint32(b)
	}
}

func (w *wire) i64(p *int64) {
	if !w.decode {
		w.buf = binary.BigEndian.AppendUint64(w.buf, uint64(*p))
	} else if b := w.take(8); b != nil {
		*p = int64(binary.BigEndian.Uint64(b))
	}
	if w.err == nil && *p < 0 {
		w.fail("negative number %d", *p)
	}
}

func (w *wire) hash(p *[32]byte) {
	if !w.decode {
		w.buf = append(w.buf, p[:]...)
	} else if b := w.take(len(p)); b != nil {
		copy(p[:], b)
	}
}

// str is a string of at most limit bytes without control bytes, so that no
// string can end a line of whatever it is written into later.
func (w *wire) str(p *string, limit int) {
	n := uint16(len(*p))
	if !w.decode && len(*p) > limit {
		w.fail("string of %d bytes, limit %d", len(*p), limit)
		return
	}
	w.u16(&n)
	if w.err == nil && int(n) > limit {
		w.fail("string of %d bytes, limit %d", n, limit)
	}
	if w.err != nil {
		return
	}
	s := *p
	if w.decode {
		s = string(w.take(int(n)))
	}
	for i := range len(s) {
		if s[i] < 0x20 || s[i] == 0x7f {
			w.fail("control byte %#02x in a string", s[i])
			return
		}
	}
	if w.decode {
		*p = s
	} else {
		w.buf = append(w.buf, s...)
	}
}

// strs is a list of at most most strings, each as str.
func (w *wire) strs(p *[]string, limit, most int) {
	n := uint8(len(*p))
	if !w.decode && len(*p) > most {
		w.fail("list of %d strings, limit %d", len(*p), most)
		return
	}
	w.u8(&n)
	if w.err == nil && int(n) > most {
		w.fail("list of %d strings, limit %d", n, most)
	}
	if w.err != nil {
		return
	}
	if w.decode {
		*p = nil
		if n > 0 {
			*p = make([]string, n)
		}
	}
	for i := range *p {
		w.str(&(*p)[i], limit)
	}
}
