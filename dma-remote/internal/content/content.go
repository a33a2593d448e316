// Package content turns a message file, with LF line ends and whatever bytes its
// writer put into it, into what may follow DATA (RULES E6).
//
// What changes on the way: LF and CRLF become CRLF, a bare CR becomes a blank, NUL
// becomes '?', a last line without an end gets one, and a line over MaxLine bytes
// is broken: in the header in front of a blank, which is what RFC 5322 2.2.3 calls
// folding and undoes itself; in the body behind a blank, so that no byte is lost.
// Where there is no blank it is broken between two characters.
package content

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"sync/atomic"
)

// MaxLine is the longest line that SMTP takes, in bytes without CRLF and without
// the dot that stuffing puts in front (RFC 5321 4.5.3.1.6).
const MaxLine = 998

// chunk is how much is read and written at once, in bytes: one write is what a
// data block time limit is about (RULES E1).
const chunk = 32 << 10

// ErrRead is wrapped by errors of reading the message, as opposed to errors of
// writing it: after one of these no dot may be sent.
var ErrRead = errors.New("read message")

// Message is what to send. It is read with ReadAt only: an open file shares its
// offset with everyone who holds it (DESIGN 5).
type Message struct {
	Header string // lines to put in front, each ended by LF
	File   io.ReaderAt
	Size   int64 // of File
}

// Facts are what a server must be told, or asked, before the message is sent.
type Facts struct {
	Size     int64 // bytes with CRLF and without stuffing (RFC 1870 section 3)
	EightBit bool  // some byte is over 127
	Changed  bool  // a line was broken or a byte replaced
	Signed   bool  // a signature covers the text, so Changed breaks it
}

// Inspect reads the whole message once.
func (m *Message) Inspect() (Facts, error) {
	e := newEncoder(io.Discard)
	if err := m.encode(e); err != nil {
		return Facts{}, err
	}
	return e.facts, nil
}

// Send writes the message with dots stuffed, and the dot that ends it. It sets
// dot just before the end can reach w; after an error with dot unset, the server
// has not got the whole message.
func (m *Message) Send(w io.Writer, dot *atomic.Bool) error {
	b := bufio.NewWriterSize(w, chunk)
	e := newEncoder(b)
	if err := m.encode(e); err != nil {
		return err
	}
	// Until here the buffer may have been flushed many times, but the dot is
	// either still in it or not yet written.
	dot.Store(true)
	if _, err := b.WriteString(".\r\n"); err != nil {
		return err
	}
	return b.Flush()
}

func (m *Message) encode(e *encoder) error {
	e.add([]byte(m.Header))
	buf := make([]byte, chunk)
	for off := int64(0); off < m.Size && e.err == nil; {
		n, err := m.File.ReadAt(buf[:min(chunk, m.Size-off)], off)
		e.add(buf[:n])
		off += int64(n)
		switch {
		case off == m.Size: // ReadAt may say EOF with the last bytes
		case errors.Is(err, io.EOF):
			return fmt.Errorf("%w: %d bytes where %d were announced", ErrRead, off, m.Size)
		case err != nil:
			return fmt.Errorf("%w: %w", ErrRead, err)
		}
	}
	e.finish()
	return e.err
}
