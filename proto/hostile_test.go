package proto

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// maxRights is how many descriptors Linux takes along with one message.
const maxRights = 253

// hostile is a packet that breaks a rule (RULES B4). The receiver expects the
// types of testAccept.
type hostile struct {
	packet []byte
	files  int
	eof    bool // seen as the end of the channel, as a closed one is
}

var testAccept = []Type{TypeDeliver, TypeWake}

func hostilePackets(t testing.TB) map[string]hostile {
	t.Helper()
	deliver, err := encode(7, &Deliver{Kind: TargetMailbox, Sender: "a@b", Size: 1})
	if err != nil {
		t.Fatal(err)
	}
	rcpt, err := encode(7, &Rcpt{Address: "a@b"})
	if err != nil {
		t.Fatal(err)
	}
	wake := header(TypeWake, 0, 0)
	with := func(packet []byte, at int, value byte) []byte {
		changed := append([]byte{}, packet...)
		changed[at] = value
		return changed
	}
	return map[string]hostile{
		"one byte":                          {packet: wake[:1]},
		"half a header":                     {packet: wake[:HeaderSize/2]},
		"header but a byte":                 {packet: wake[:HeaderSize-1]},
		"header of Deliver alone":           {packet: deliver[:HeaderSize], files: 1},
		"truncated":                         {packet: deliver[:len(deliver)-1], files: 1},
		"truncated, with the length it has": {packet: append(header(TypeDeliver, flagFile, len(deliver)-HeaderSize-1), deliver[HeaderSize:len(deliver)-1]...), files: 1},
		"trailing byte":                     {packet: append(deliver[:len(deliver):len(deliver)], 0), files: 1},
		"trailing byte, counted":            {packet: append(header(TypeWake, 0, 1), 0)},
		"length too small":                  {packet: with(wake, 7, HeaderSize-1)},
		"length 0":                          {packet: with(wake, 7, 0)},
		"length huge":                       {packet: with(wake, 4, 0xff)},
		"no descriptor":                     {packet: deliver},
		"two descriptors":                   {packet: deliver, files: 2},
		"three descriptors":                 {packet: deliver, files: 3},
		"all the descriptors there can be":  {packet: deliver, files: maxRights},
		"a descriptor where none belongs":   {packet: wake, files: 1},
		"many where none belongs":           {packet: wake, files: maxRights},
		"wrong state":                       {packet: rcpt},
		"wrong state, with a descriptor":    {packet: rcpt, files: 1},
		"unknown type":                      {packet: header(999, 0, 0)},
		"type 0":                            {packet: header(0, 0, 0)},
		"flag without descriptor":           {packet: header(TypeWake, flagFile, 0)},
		"flag and descriptor, wrong type":   {packet: header(TypeWake, flagFile, 0), files: 1},
		"descriptor without flag":           {packet: with(deliver, 3, 0), files: 1},
		"unknown flag":                      {packet: with(deliver, 2, 0x80), files: 1},
		"oversized":                         {packet: append(header(TypeWake, 0, MaxMessage), make([]byte, MaxMessage)...)},
		"oversized, looks whole":            {packet: append(header(TypeWake, 0, MaxMessage-HeaderSize), make([]byte, MaxMessage-HeaderSize+1)...)},
		"oversized, with descriptors":       {packet: make([]byte, 4*MaxMessage), files: maxRights},
		"largest":                           {packet: make([]byte, MaxMessage)},
		"zero length":                       {packet: nil, eof: true},
		"zero length, with descriptors":     {packet: nil, files: 2, eof: true},
	}
}

func checkRefused(t testing.TB, name string, h hostile, p Packet, err error) {
	t.Helper()
	switch {
	case err == nil:
		t.Errorf("%s: received %+v", name, p.Message)
	case h.eof && h.files < 2 && !errors.Is(err, io.EOF):
		t.Errorf("%s: error %v", name, err)
	case !h.eof && !errors.Is(err, ErrProtocol):
		t.Errorf("%s: error %v", name, err)
	case p.File != nil:
		t.Errorf("%s: a descriptor came with the error", name)
	}
}

func TestHostilePackets(t *testing.T) {
	file := messageFile(t, "x")
	for name, h := range hostilePackets(t) {
		t.Run(name, func(t *testing.T) {
			a, b := newPair(t)
			before := descriptors()
			if err := sendRaw(a, h.packet, file, h.files); err != nil {
				t.Fatal(err)
			}
			p, err := b.Recv(testTimeout, testAccept...)
			checkRefused(t, name, h, p, err)
			if strings.HasPrefix(name, "oversized") && !strings.Contains(fmt.Sprint(err), "over 16384 bytes") {
				t.Errorf("cut off unnoticed: error %v", err)
			}
			if after := descriptors(); after != before {
				t.Errorf("%d descriptors before, %d after", before, after)
			}
			// Nothing of the packet is left to be taken for the next one.
			if err := a.Send(8, &Wake{}, nil); err != nil {
				t.Fatal(err)
			}
			if p, err := b.Recv(testTimeout, testAccept...); err != nil || p.Request != 8 {
				t.Errorf("the next message: request %d, error %v", p.Request, err)
			}
		})
	}
}

// TestManyBadMessages: 100 000 bad messages cost no descriptor (RULES B4).
func TestManyBadMessages(t *testing.T) {
	const total = 100_000
	file := messageFile(t, "x")
	a, b := newPair(t)
	packets := hostilePackets(t)
	before := descriptors()
	for sent := 0; sent < total; {
		for name, h := range packets {
			if h.files > 3 && sent > total/100 {
				h.files = 3 // a few with 253 are enough, they take long
			}
			if err := sendRaw(a, h.packet, file, h.files); err != nil {
				t.Fatal(err)
			}
			p, err := b.Recv(testTimeout, testAccept...)
			checkRefused(t, name, h, p, err)
			if sent++; sent == total {
				break
			}
		}
		if t.Failed() {
			return
		}
	}
	if after := descriptors(); after != before {
		t.Errorf("%d descriptors before, %d after", before, after)
	}
}

// TestFullTable: no room for a received descriptor is an error of that message,
// not a reason to try for ever, and what did arrive is closed.
func TestFullTable(t *testing.T) { runChild(t, "full", nil) }

// fillTable takes descriptors until there are none left but spare ones.
func fillTable(spare int) ([]int, error) {
	limit := unix.Rlimit{Cur: 256, Max: 256}
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return nil, err
	}
	var taken []int
	for {
		fd, err := unix.Dup(0)
		if errors.Is(err, unix.EMFILE) {
			break
		}
		if err != nil {
			return nil, err
		}
		taken = append(taken, fd)
	}
	closeFDs(taken[len(taken)-spare:])
	return taken[:len(taken)-spare], nil
}

func closeFDs(fds []int) {
	for _, fd := range fds {
		unix.Close(fd)
	}
}

func childFullTable() error {
	a, f, err := Pair()
	if err != nil {
		return err
	}
	b, err := NewConn(f)
	if err != nil {
		return err
	}
	file, err := os.Open(os.Args[0])
	if err != nil {
		return err
	}
	deliver := &Deliver{Kind: TargetMailbox}
	packet, err := encode(7, deliver)
	if err != nil {
		return err
	}
	for spare := range 2 {
		taken, err := fillTable(spare)
		if err != nil {
			return err
		}
		before := descriptors()
		// Sending needs no descriptor of its own.
		if err := sendRaw(a, packet, file, spare+1); err != nil {
			return fmt.Errorf("send with %d descriptors free: %w", spare, err)
		}
		start := time.Now()
		if p, err := b.Recv(testTimeout, TypeDeliver); !errors.Is(err, ErrProtocol) {
			return fmt.Errorf("receive with %d descriptors free: %+v, error %w", spare, p, err)
		}
		if time.Since(start) > testTimeout/2 {
			return errors.New("waited for a descriptor")
		}
		if after := descriptors(); after != before {
			return fmt.Errorf("%d descriptors before, %d after", before, after)
		}
		if spare == 0 {
			if _, _, err := Pair(); !errors.Is(err, unix.EMFILE) {
				return fmt.Errorf("make a channel: error %w", err)
			}
			if _, err := Dial("nowhere", time.Second); !errors.Is(err, unix.EMFILE) {
				return fmt.Errorf("connect: error %w", err)
			}
		}
		closeFDs(taken)
	}
	if err := a.Send(8, deliver, file); err != nil {
		return err
	}
	p, err := b.Recv(testTimeout, TypeDeliver)
	if err != nil || p.File == nil {
		return fmt.Errorf("receive with room again: %+v, error %w", p, err)
	}
	return nil
}
