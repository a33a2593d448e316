package front

import (
	"bytes"
	"errors"
	"io"

	"golang.org/x/sys/unix"

	"dma/common/sysexits"
)

// input is the message as it comes in.
type input struct {
	r      io.Reader
	filter filter
	raw    []byte
	buf    []byte // what came and is not stored yet
	eof    bool   // nothing more comes
}

// fill adds to buf what can be read at once.
func (in *input) fill() error {
	if in.raw == nil {
		in.raw = make([]byte, readSize)
	}
	n, err := in.r.Read(in.raw)
	in.buf = in.filter.append(in.buf, in.raw[:n])
	in.eof = errors.Is(err, io.EOF) || in.filter.state == ended
	if in.eof {
		in.buf = in.filter.finish(in.buf)
		return nil
	}
	if err != nil { // not an end: half a message is none (RULES A8)
		code := sysexits.IOErr
		if errors.Is(err, unix.EISDIR) || errors.Is(err, unix.EBADF) {
			code = sysexits.NoInput
		}
		return failf(code, "read message: %w", err)
	}
	return nil
}

// StdinReady reports whether a read of standard input would not wait: there is
// something, or its end.
func StdinReady() bool {
	fds := []unix.PollFd{{Fd: 0, Events: unix.POLLIN}}
	n, err := unix.Poll(fds, 0)
	return err == nil && n > 0
}

// header fills buf until the header is in it, and returns that.
func (in *input) header() ([]byte, error) {
	var h header
	for {
		n, more := h.end(in.buf, in.eof)
		if n > maxHeader || more && len(in.buf) > maxHeader {
			return nil, failf(sysexits.Unavailable, "header longer than %d bytes", maxHeader)
		}
		if !more {
			return in.buf[:n], nil
		}
		if err := in.fill(); err != nil {
			return nil, err
		}
	}
}

// filter makes of what is handed in what is stored (RULES A8): CRLF becomes LF,
// and a line with a dot alone ends the message where that is wanted. Every other
// byte stays, a CR alone and NUL included. It holds back at most two bytes, so
// lines may be of any length.
type filter struct {
	keepDots bool
	state    lineState
}

// lineState is what the filter has seen of a line without passing it on.
type lineState uint8

const (
	lineStart  lineState = iota // nothing of it
	inLine                      // nothing, but the line has begun
	afterCR                     // "\r" behind the text of the line
	afterDot                    // "." at the start of the line
	afterDotCR                  // ".\r" at the start of the line
	ended                       // the dot that ends the message: the rest is not ours
)

// stroke is how far the filter looks for the end of a line, in bytes: it may look
// again for each CR in there.
const stroke = 1 << 10

// append appends to dst what is to be stored of src.
func (f *filter) append(dst, src []byte) []byte {
	for len(src) > 0 {
		if f.state == inLine { // what needs no thought is taken at a stroke
			plain := src[:min(len(src), stroke)]
			for _, end := range []byte("\n\r") {
				if n := bytes.IndexByte(plain, end); n >= 0 {
					plain = plain[:n]
				}
			}
			dst = append(dst, plain...)
			if src = src[len(plain):]; len(src) == 0 {
				continue
			}
		}
		c := src[0]
		src = src[1:]
		switch f.state {
		case ended:
			return dst
		case afterCR:
			if c != '\n' {
				dst = append(dst, '\r')
			}
		case afterDot:
			switch c {
			case '\n':
				f.state = ended
				return dst
			case '\r':
				f.state = afterDotCR
				continue
			}
			dst = append(dst, '.')
		case afterDotCR:
			if c == '\n' {
				f.state = ended
				return dst
			}
			dst = append(dst, '.', '\r')
		case lineStart:
			if c == '.' && !f.keepDots {
				f.state = afterDot
				continue
			}
		}
		switch c {
		case '\r':
			f.state = afterCR
		case '\n':
			dst = append(dst, c)
			f.state = lineStart
		default:
			dst = append(dst, c)
			f.state = inLine
		}
	}
	return dst
}

// finish appends what was held back when the input ends. A dot alone in the last
// line ends the message with or without a newline.
func (f *filter) finish(dst []byte) []byte {
	if f.state == afterCR {
		dst = append(dst, '\r')
	}
	f.state = ended
	return dst
}
