// Package letter writes a message as final delivery hands it over: behind a From
// line, Return-Path and Delivered-To fields (RULES D3, D7), for a mailbox also
// quoted as mboxrd (RULES D4), and for a maildir without the From line (RULES D5).
package letter

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
)

// How much of a message is in memory at a time, in bytes.
const (
	bufSize    = 64 << 10
	minBufSize = 4 << 10 // of a small one, which is most of them
)

// ErrText is wrapped by errors of reading the text of a letter. Every other
// error of the Write functions came from the writer.
var ErrText = errors.New("message cannot be read")

// Letter is a message on its last step.
type Letter struct {
	Sender      string   // envelope sender, empty for the null sender
	DeliveredTo []string // topmost first
	Text        io.ReaderAt
	Size        int64 // of Text, in bytes
}

// buffer is the size of a buffer for the letter.
func (l Letter) buffer() int { return int(max(minBufSize, min(l.Size, bufSize))) }

// Write writes the letter as a command reads it: the text as it is.
func (l Letter) Write(w io.Writer, at time.Time) error {
	b := bufio.NewWriterSize(w, l.buffer())
	l.fromLine(b, at)
	l.fields(b)
	if err := l.copyText(b); err != nil {
		return err
	}
	return b.Flush()
}

// WriteMaildir writes the letter as a file of a maildir: without a From line.
func (l Letter) WriteMaildir(w io.Writer) error {
	b := bufio.NewWriterSize(w, l.buffer())
	l.fields(b)
	if err := l.copyText(b); err != nil {
		return err
	}
	return b.Flush()
}

// WriteMbox writes the letter as an entry of a mailbox: quoted, and ended by a
// line end and a blank line.
func (l Letter) WriteMbox(w io.Writer, at time.Time) error {
	b := bufio.NewWriterSize(w, l.buffer())
	l.fromLine(b, at)
	l.fields(b)
	q := &quoter{w: b}
	if err := l.copyText(q); err != nil {
		return err
	}
	if err := q.finish(); err != nil {
		return err
	}
	return b.Flush()
}

// fromLine needs no error checks: b keeps the first error for Flush.
func (l Letter) fromLine(b *bufio.Writer, at time.Time) {
	sender := l.Sender
	if sender == "" {
		sender = "MAILER-DAEMON"
	}
	// An address may hold a blank in quotes, but readers take the line apart at blanks.
	sender = strings.ReplaceAll(sender, " ", "-")
	fmt.Fprintf(b, "From %s  %s\n", sender, at.Format(time.ANSIC))
}

// fields writes those that final delivery puts in front.
func (l Letter) fields(b *bufio.Writer) {
	fmt.Fprintf(b, "Return-Path: <%s>\n", l.Sender)
	for _, to := range l.DeliveredTo {
		fmt.Fprintf(b, "Delivered-To: %s\n", to)
	}
}

// copyText writes the text with LF line ends and without the Return-Path fields
// of its header: RFC 5321 4.4 has exactly one in a delivered message, ours.
func (l Letter) copyText(w io.Writer) error {
	section := io.NewSectionReader(l.Text, 0, l.Size)
	r := bufio.NewReaderSize(section, l.buffer())
	header, drop, start := true, false, true
	for {
		chunk, err := r.ReadSlice('\n')
		switch {
		case errors.Is(err, bufio.ErrBufferFull): // part of a long line
			if chunk[len(chunk)-1] == '\r' { // perhaps half of CRLF: keep it for the next round
				if err := r.UnreadByte(); err != nil {
					return fmt.Errorf("%w: %w", ErrText, err)
				}
				chunk = chunk[:len(chunk)-1]
			}
		case err == io.EOF && len(chunk) == 0:
			// A file that was cut short ends early and says nothing.
			if at, _ := section.Seek(0, io.SeekCurrent); at != l.Size {
				return fmt.Errorf("%w: it ends after %d of %d bytes", ErrText, at, l.Size)
			}
			return nil
		case err != nil && err != io.EOF:
			return fmt.Errorf("%w: %w", ErrText, err)
		}
		ended := bytes.HasSuffix(chunk, []byte("\n"))
		if bytes.HasSuffix(chunk, []byte("\r\n")) {
			chunk[len(chunk)-2] = '\n'
			chunk = chunk[:len(chunk)-1]
		}
		if header && start {
			header = chunk[0] != '\n'
			if chunk[0] != ' ' && chunk[0] != '\t' {
				drop = header && isReturnPath(chunk)
			}
		}
		start = ended
		if drop {
			continue
		}
		if _, err := w.Write(chunk); err != nil {
			return err
		}
	}
}

// isReturnPath reports whether a Return-Path field starts here. RFC 5322 4.5.8
// allows blanks before the colon in what others wrote.
func isReturnPath(line []byte) bool {
	const name = "Return-Path"
	if len(line) < len(name) || !strings.EqualFold(string(line[:len(name)]), name) {
		return false
	}
	return bytes.HasPrefix(bytes.TrimLeft(line[len(name):], " \t"), []byte(":"))
}
