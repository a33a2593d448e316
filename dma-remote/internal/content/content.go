// Package content turns a message file, with LF line ends and whatever bytes its
// writer put into it, into what a server can be sent (RULES E6).
//
// What changes for every server: LF and CRLF become CRLF, a bare CR becomes a
// blank, NUL becomes '?', and a last line without an end gets one. A line of the
// header over MaxLine bytes is folded, in front of a blank if there is one.
//
// Parts of the body with lines over MaxLine, and those with 8-bit characters for a
// server that takes none, are encoded: text in quoted-printable, anything else in
// base64, part by part through multiparts and enclosed messages. Where a part is
// encoded already, long lines of it are only broken. What has a MIME structure that
// makes no sense is broken, too: behind a blank, so that no byte is lost, or
// between two characters.
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

// chunk is how much is read at once, in bytes.
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

// Facts are what is to be known of a message before a server is.
type Facts struct {
	Size     int64 // bytes with CRLF and without stuffing (RFC 1870 section 3), if nothing is encoded
	EightBit bool  // some byte is over 127
	Changed  bool  // a byte is replaced, or a line broken or folded, for any server
	Signed   bool  // a signature covers the text, so that changes break it
	Binary   bool  // a part that says it is binary has NUL or CR, which are lost (RFC 3030)

	parts []part
}

// Plan is how a message goes to one kind of server.
type Plan struct {
	Size     int64 // as in Facts
	EightBit bool  // some byte is over 127 still
	Changed  bool  // more than line ends is changed

	parts  []part     // those of Facts
	encode []encoding // of each; nil: all as they are
}

// Inspect reads the whole message once.
func (m *Message) Inspect() (Facts, error) {
	w := newWalker(newLines(io.Discard, false), nil, nil)
	if err := m.walk(w); err != nil {
		return Facts{}, err
	}
	f := Facts{
		Size: w.out.size, EightBit: w.out.eightBit, Changed: w.replaced || w.out.broken,
		Signed: w.signed, parts: w.parts,
	}
	for _, p := range f.parts {
		f.Binary = f.Binary || p.label == labelBinary && p.lossy
	}
	return f, nil
}

// Plan says how the message goes to a server that takes 8-bit characters, or does
// not. It reads the message again if anything has to be encoded.
func (m *Message) Plan(f *Facts, eightBit bool) (Plan, error) {
	p := Plan{Size: f.Size, EightBit: f.EightBit, Changed: f.Changed}
	for i := range f.parts {
		if e := f.parts[i].encoding(eightBit); e != asIs {
			if p.encode == nil {
				p.encode = make([]encoding, len(f.parts))
			}
			p.encode[i] = e
		}
	}
	if p.encode == nil {
		return p, nil
	}
	p.parts = f.parts
	w := newWalker(newLines(io.Discard, false), p.parts, p.encode)
	if err := m.walk(w); err != nil {
		return Plan{}, err
	}
	p.Size, p.EightBit, p.Changed = w.out.size, w.out.eightBit, true
	return p, nil
}

// Send writes the message with dots stuffed, and the dot that ends it. It sets
// dot just before the end can reach the server; after an error with dot unset, the
// server has not got the whole message. What is in w's buffer stays there.
func (m *Message) Send(w *bufio.Writer, p *Plan, dot *atomic.Bool) error {
	if err := m.walk(newWalker(newLines(w, true), p.parts, p.encode)); err != nil {
		return err
	}
	// Until here the buffer may have been flushed many times, but the dot is
	// either still in it or not yet written.
	dot.Store(true)
	_, err := w.WriteString(".\r\n")
	return err
}

// SendChunk writes the message as it is after BDAT (RFC 3030), where the plan's
// Size was announced. It sets last as Send sets dot.
func (m *Message) SendChunk(w *bufio.Writer, p *Plan, last *atomic.Bool) error {
	c := &chunkWriter{w: w, left: p.Size, last: last}
	if p.Size == 0 {
		last.Store(true) // the command was all
	}
	err := m.walk(newWalker(newLines(c, false), p.parts, p.encode))
	if err == nil && c.left != 0 {
		err = fmt.Errorf("%w: it has changed while it was sent", ErrRead)
	}
	return err
}

// A chunkWriter lets just as much through as was announced.
type chunkWriter struct {
	w    *bufio.Writer
	left int64
	last *atomic.Bool // set before the last byte is written
}

func (c *chunkWriter) Write(p []byte) (int, error) {
	c.left -= int64(len(p))
	switch {
	case c.left < 0:
		return 0, fmt.Errorf("%w: it has changed while it was sent", ErrRead)
	case c.left == 0:
		c.last.Store(true)
	}
	return c.w.Write(p)
}

// walk takes w through the whole message.
func (m *Message) walk(w *walker) error {
	in := &input{w: w, line: make([]byte, 0, MaxLine)}
	in.add([]byte(m.Header))
	buf := make([]byte, chunk)
	for off := int64(0); off < m.Size && w.out.err == nil; {
		n, err := m.File.ReadAt(buf[:min(chunk, m.Size-off)], off)
		in.add(buf[:n])
		off += int64(n)
		switch {
		case off == m.Size: // ReadAt may say EOF with the last bytes
		case errors.Is(err, io.EOF):
			return fmt.Errorf("%w: %d bytes where %d were announced", ErrRead, off, m.Size)
		case err != nil:
			return fmt.Errorf("%w: %w", ErrRead, err)
		}
	}
	in.finish()
	return w.out.err
}
