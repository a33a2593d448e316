package proto

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// ChildFD is where dma-spawn puts the channel of every program it starts.
const ChildFD = 3

// Limits of waiting. Every wait has one (DESIGN 5).
const (
	SendTimeout  = 10 * time.Second // a peer that takes no message for so long is broken
	HelloTimeout = 10 * time.Second // from process start to its first message
)

// sentFiles is how many descriptors fit into the control buffer of Recv: one
// more than is ever right, so that too many can be told from one.
const sentFiles = 2

// Conn is one end of a channel. Any number of goroutines may Send; one may Recv.
type Conn struct {
	file *os.File
	raw  syscall.RawConn
	buf  []byte // of Recv
	once sync.Once

	sending sync.Mutex    // who has it set the write deadline, and nobody moves it meanwhile
	timeout time.Duration // SendTimeout but in tests
}

// Packet is a received message.
type Packet struct {
	Message Message
	Request uint32   // number that ties answers to requests
	File    *os.File // descriptor that came along, for the types that carry one
}

// Pair makes a channel. The second end is a file, to be given to a child or
// sent to a peer; both are close-on-exec.
func Pair() (*Conn, *os.File, error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("make channel: %w", err)
	}
	other := os.NewFile(uintptr(fds[1]), "channel")
	c, err := NewConn(os.NewFile(uintptr(fds[0]), "channel"))
	if err != nil {
		other.Close()
		return nil, nil, err
	}
	return c, other, nil
}

// NewConn makes a channel of a SOCK_SEQPACKET socket and owns it from then on.
func NewConn(f *os.File) (*Conn, error) {
	raw, err := f.SyscallConn()
	if err == nil {
		var kind int
		cerr := raw.Control(func(fd uintptr) {
			kind, err = unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_TYPE)
		})
		if err == nil {
			err = cerr
		}
		if err == nil && kind != unix.SOCK_SEQPACKET {
			err = unix.EPROTOTYPE
		}
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("open channel: %w", err)
	}
	return &Conn{file: f, raw: raw, timeout: SendTimeout}, nil
}

// FromParent returns the channel on descriptor 3, where dma-spawn puts it.
func FromParent() (*Conn, error) {
	unix.CloseOnExec(ChildFD)
	if err := unix.SetNonblock(ChildFD, true); err != nil {
		return nil, fmt.Errorf("open channel on descriptor %d: %w", ChildFD, err)
	}
	return NewConn(os.NewFile(ChildFD, "channel"))
}

// Close closes the channel. The peer sees end of file.
func (c *Conn) Close() { c.once.Do(func() { c.file.Close() }) }

// File gives the channel away as a file, for passing to another process. The
// Conn must not be used any more; closing it closes the file.
func (c *Conn) File() *os.File { return c.file }

// Send sends one message, with file if its type carries one. The file stays the
// caller's. Send waits for at most SendTimeout once no other Send is waiting.
func (c *Conn) Send(request uint32, m Message, file *os.File) error {
	if (file != nil) != m.Type().carriesFile() {
		return fmt.Errorf("send message of type %d: wrong number of descriptors", m.Type())
	}
	packet, err := encode(request, m)
	if err != nil {
		return fmt.Errorf("send message of type %d: %w", m.Type(), err)
	}
	c.sending.Lock()
	defer c.sending.Unlock()
	if err := c.file.SetWriteDeadline(time.Now().Add(c.timeout)); err != nil {
		return fmt.Errorf("send message: %w", err)
	}
	if file == nil {
		return c.sendmsg(packet, nil)
	}
	raw, err := file.SyscallConn()
	if err != nil {
		return fmt.Errorf("send descriptor: %w", err)
	}
	var serr error
	if err := raw.Control(func(fd uintptr) { serr = c.sendmsg(packet, unix.UnixRights(int(fd))) }); err != nil {
		return fmt.Errorf("send descriptor: %w", err)
	}
	return serr
}

func (c *Conn) sendmsg(packet, rights []byte) error {
	var serr error
	err := c.raw.Write(func(fd uintptr) bool {
		for {
			serr = unix.Sendmsg(int(fd), packet, rights, nil, unix.MSG_NOSIGNAL)
			if !errors.Is(serr, unix.EINTR) {
				return !errors.Is(serr, unix.EAGAIN)
			}
		}
	})
	if err == nil {
		err = serr
	}
	if err != nil {
		return fmt.Errorf("send message: %w", err)
	}
	return nil
}

// Recv waits for the next message, which must be of one of the accepted types.
// A timeout of 0 waits for ever: for programs that rest until they are needed.
// The error is io.EOF when the peer has closed its end or is gone.
func (c *Conn) Recv(timeout time.Duration, accept ...Type) (Packet, error) {
	var deadline time.Time
	if timeout > 0 {
		deadline = time.Now().Add(timeout)
	}
	if err := c.file.SetReadDeadline(deadline); err != nil {
		return Packet{}, fmt.Errorf("receive message: %w", err)
	}
	if c.buf == nil {
		c.buf = make([]byte, MaxMessage)
	}
	n, files, err := c.recvmsg()
	if err != nil {
		return Packet{}, err
	}
	p, err := decode(c.buf[:n], accept)
	want := 0
	if err == nil && p.Message.Type().carriesFile() {
		want = 1
	}
	if err == nil && len(files) != want {
		err = violation("%d descriptors with message of type %d", len(files), p.Message.Type())
	}
	if err != nil {
		closeAll(files)
		return Packet{}, fmt.Errorf("receive message: %w", err)
	}
	if want == 1 {
		p.File = files[0]
	}
	return p, nil
}

// recvmsg receives one packet into c.buf. Whatever descriptors came with a
// packet that cannot be right are closed here.
func (c *Conn) recvmsg() (n int, files []*os.File, err error) {
	oob := make([]byte, unix.CmsgSpace(4*sentFiles))
	var oobn, flags int
	var rerr error
	err = c.raw.Read(func(fd uintptr) bool {
		for {
			n, oobn, flags, _, rerr = unix.Recvmsg(int(fd), c.buf, oob, recvFlags)
			if !errors.Is(rerr, unix.EINTR) {
				return !errors.Is(rerr, unix.EAGAIN)
			}
		}
	})
	if err == nil {
		err = rerr
	}
	if errors.Is(err, unix.ECONNRESET) {
		err = io.EOF // the peer was killed with our messages unread
	}
	if err == nil {
		files, err = parseRights(oob[:oobn])
	}
	switch {
	case err != nil:
	case flags&unix.MSG_TRUNC != 0:
		err = violation("message over %d bytes", MaxMessage)
	case flags&unix.MSG_CTRUNC != 0:
		// Too many descriptors, or no room for one in our table: in both cases
		// the message is useless, and retrying would not help (RULES B4).
		err = violation("descriptors cut off")
	case n == 0:
		err = io.EOF
	}
	if err != nil {
		closeAll(files)
		if !errors.Is(err, io.EOF) {
			err = fmt.Errorf("receive message: %w", err)
		}
		return 0, nil, err
	}
	return n, files, nil
}

func parseRights(oob []byte) ([]*os.File, error) {
	if len(oob) == 0 {
		return nil, nil
	}
	cmsgs, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return nil, violation("control message: %v", err)
	}
	var files []*os.File
	for i := range cmsgs {
		if cmsgs[i].Header.Level != unix.SOL_SOCKET || cmsgs[i].Header.Type != unix.SCM_RIGHTS {
			continue // sent with every message where the socket asks for it; ours do not
		}
		fds, err := unix.ParseUnixRights(&cmsgs[i])
		if err != nil {
			closeAll(files)
			return nil, violation("control message: %v", err)
		}
		for _, fd := range fds {
			closeOnExec(fd)
			files = append(files, os.NewFile(uintptr(fd), "received"))
		}
	}
	return files, nil
}

func closeAll(files []*os.File) {
	for _, f := range files {
		f.Close()
	}
}

func encode(request uint32, m Message) ([]byte, error) {
	w := wire{buf: make([]byte, HeaderSize, 512)}
	m.walk(&w)
	if w.err == nil && len(w.buf) > MaxMessage {
		w.fail("message of %d bytes, limit %d", len(w.buf), MaxMessage)
	}
	if w.err != nil {
		return nil, w.err
	}
	h := w.buf[:HeaderSize]
	binary.BigEndian.PutUint16(h[0:], uint16(m.Type()))
	if m.Type().carriesFile() {
		binary.BigEndian.PutUint16(h[2:], flagFile)
	}
	binary.BigEndian.PutUint32(h[4:], uint32(len(w.buf)))
	binary.BigEndian.PutUint32(h[8:], request)
	return w.buf, nil
}

// flagFile is set in the header of a message with a descriptor; no other flag is defined.
const flagFile = 1

// decode takes packet apart. It keeps no reference to it.
func decode(packet []byte, accept []Type) (Packet, error) {
	if len(packet) < HeaderSize {
		return Packet{}, violation("message of %d bytes", len(packet))
	}
	typ := Type(binary.BigEndian.Uint16(packet[0:]))
	flags := binary.BigEndian.Uint16(packet[2:])
	length := binary.BigEndian.Uint32(packet[4:])
	m := newMessage(typ)
	switch {
	case m == nil:
		return Packet{}, violation("unknown message type %d", typ)
	case !slices.Contains(accept, typ):
		return Packet{}, violation("message type %d in the wrong state", typ)
	case length != uint32(len(packet)):
		return Packet{}, violation("message of %d bytes says it has %d", len(packet), length)
	case typ.carriesFile() && flags != flagFile, !typ.carriesFile() && flags != 0:
		return Packet{}, violation("flags %#x on message type %d", flags, typ)
	}
	w := wire{decode: true, buf: packet[HeaderSize:]}
	m.walk(&w)
	if w.err == nil && len(w.buf) > 0 {
		w.fail("%d bytes left over after message type %d", len(w.buf), typ)
	}
	if w.err != nil {
		return Packet{}, w.err
	}
	return Packet{Message: m, Request: binary.BigEndian.Uint32(packet[8:])}, nil
}
