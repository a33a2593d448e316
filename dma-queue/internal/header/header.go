// Package header makes a submitted message fit to travel: it adds the header
// fields that relays insist on, takes out those that only the submitter may see,
// and gives bare addresses a domain. No other byte of the message changes.
package header

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"dma/common/mailaddr"
)

// Limits.
const (
	MaxHeader = 1 << 20 // bytes in a header (RULES A8); it is held in memory, the body is not

	maxDeliveredTo = 100       // Delivered-To fields that Info tells; RULES C5 stops a message at 50 hops
	firstRead      = 8 << 10   // bytes: header and body of most mail
	nextRead       = 128 << 10 // bytes at a time for the body of the rest
)

// ErrTooBig says that the header is longer than MaxHeader.
var ErrTooBig = fmt.Errorf("header longer than %d bytes", MaxHeader)

// Params is what Repair needs to know. None of it is taken from the message.
type Params struct {
	ID       string
	Hostname string // this host's name in mail
	SysHost  string // this host's own name
	Version  string // of the suite
	Login    string // of the submitter
	Author   string // of a message that has neither From nor sender; without a domain, that of Address
	UID      uint32 // of the submitter
	FullName string // for a From field; may be empty
	Sender   string // envelope sender; empty for the null sender
	Now      time.Time

	Domain      string                   // of bare names in To and Cc; empty: Hostname
	Address     func(name string) string // of a bare name in From, Sender and Reply-To; nil: at Hostname
	RewriteFrom bool                     // the author's address is the envelope sender's (REWRITEFROM)
}

// Info is what Repair saw.
type Info struct {
	DeliveredTo   []string // addresses of Delivered-To fields, domains in lower case (RULES C5)
	ReceivedCount int      // Received fields, without the new one
	Size          int64    // bytes written
	FromKept      bool     // RewriteFrom was not done, because the header is signed
}

// Repair copies the message msg to w with these changes to its header. Lines
// end in LF.
//
//   - A From line of an mbox in front of the message is dropped.
//   - Received is put in front.
//   - Bcc and Resent-Bcc are left out, with and without -t, and so is Return-Path.
//   - Date, From and Message-ID are added behind the other fields if there are
//     none. A message without To and Cc gets none, as RFC 5322 3.6 allows and
//     dma, sendmail and Postfix do.
//   - From fields without any address, which relays refuse, count as none, and
//     stay as X-Original-From.
//   - With RewriteFrom the author has the address of the envelope sender, unless
//     that is null, and keeps the display name; what was there stays as
//     X-Original-From. Of several authors the first one's name is kept.
//   - Bare addresses in From, Sender, Reply-To, To and Cc and their Resent-
//     fields are completed.
//   - An empty line ends the header. If the first line is no header field there is
//     no header, and all of msg is body; if a later one is none, the body begins there.
//
// A header with a signature (DKIM, RFC 6376; ARC, RFC 8617) would lose it by any
// of that: Received is put in front and Bcc left out, the rest stays as it is, and
// nothing is added. A signature of the body (multipart/signed, application/pkcs7-mime,
// PGP in the text) covers no field of this header and loses nothing.
//
// An error of w or msg is returned as it is.
func Repair(w io.Writer, msg io.Reader, p Params) (Info, error) {
	in := input{src: msg}
	head, err := in.header()
	if err != nil {
		return Info{}, err
	}
	// Most messages end in the room that the header left, and need no second buffer.
	for !in.eof && len(in.buf) < cap(in.buf) {
		if err := in.fill(); err != nil {
			return Info{}, err
		}
	}
	seen, info := survey(head)
	newFrom := seen.newFrom(p)
	out := make([]byte, 0, len(in.buf)+1024)
	out = appendReceived(out, p)
	if seen.signed {
		info.FromKept = p.RewriteFrom && newFrom != ""
		out = appendSigned(out, head)
	} else {
		out = appendFields(out, head, newFrom, p)
		out = appendMissing(out, seen, newFrom, p)
	}
	out = append(out, '\n')
	out = append(out, in.buf[in.body:]...)
	n, err := w.Write(out)
	info.Size = int64(n)
	if err != nil || in.eof {
		return info, err
	}
	more, err := io.CopyBuffer(onlyWriter{w}, onlyReader{msg}, make([]byte, nextRead))
	info.Size += more
	return info, err
}

// These keep io.CopyBuffer from choosing a way of its own to copy, with a buffer
// of its own.
type (
	onlyWriter struct{ io.Writer }
	onlyReader struct{ io.Reader }
)

// found says what a header has.
type found struct {
	date, messageID, signed bool

	froms  int    // From fields
	author string // the value of the first of them that has an address; empty: none has
}

func survey(head []byte) (found, Info) {
	var seen found
	var info Info
	for f := range fields(head) {
		switch f.is() {
		case date:
			seen.date = true
		case from:
			seen.froms++
			if value := string(f.value()); seen.author == "" {
				if _, _, ok := mailaddr.First(value); ok {
					seen.author = value
				}
			}
		case messageID:
			seen.messageID = true
		case signature:
			seen.signed = true
		case received:
			info.ReceivedCount++
		case deliveredTo:
			if len(info.DeliveredTo) < maxDeliveredTo {
				info.DeliveredTo = append(info.DeliveredTo, canonical(f.value()))
			}
		}
	}
	return seen, info
}

// canonical is the address in the form in which the runner compares it; what is
// no address compares with nothing and may stay as it is.
func canonical(value []byte) string {
	s := strings.TrimSpace(string(value))
	if a, err := mailaddr.Parse(s); err == nil {
		return a.Key()
	}
	return s
}

// appendFields copies the header but for what the submitter alone may see.
// newFrom, if there is one, stands for all From fields.
func appendFields(out, head []byte, newFrom string, p Params) []byte {
	isNew := newFrom != ""
	for f := range fields(head) {
		name, value := f.raw[:f.colon+1], string(f.value())
		switch f.is() {
		case bcc:
			continue
		case from:
			if isNew {
				if newFrom != "" {
					out = fmt.Appendf(out, "From: %s\n", newFrom)
					newFrom = ""
				}
				if strings.TrimSpace(value) == "" {
					continue
				}
				name = []byte("X-Original-From:")
				break
			}
			value = mailaddr.Complete(value, p.address)
		case author:
			value = mailaddr.Complete(value, p.address)
		case recipient:
			value = mailaddr.Qualify(value, Clean(cmp.Or(p.Domain, p.Hostname)))
		}
		out = append(out, name...)
		out = append(out, value...)
		out = append(out, '\n')
	}
	return out
}

// appendSigned copies a header that nothing may be changed in.
func appendSigned(out, head []byte) []byte {
	for f := range fields(head) {
		if f.is() != bcc {
			out = append(out, bytes.TrimSuffix(f.raw, []byte("\n"))...)
			out = append(out, '\n') // the message may end in this line
		}
	}
	return out
}

// input is a message being read.
type input struct {
	src  io.Reader
	buf  []byte // all that was read so far
	body int    // where the body begins in buf
	eof  bool
}

// fill reads more. What was returned of buf before stays as it is.
func (in *input) fill() error {
	if len(in.buf) == cap(in.buf) {
		grown := make([]byte, len(in.buf), max(firstRead, 2*cap(in.buf)))
		copy(grown, in.buf)
		in.buf = grown
	}
	n, err := in.src.Read(in.buf[len(in.buf):cap(in.buf)])
	in.buf = in.buf[:len(in.buf)+n]
	if errors.Is(err, io.EOF) {
		in.eof = true
		return nil
	}
	return err
}

// lineEnd is where the line at pos ends, behind its newline.
func (in *input) lineEnd(pos int) (int, error) {
	for from := pos; ; {
		if i := bytes.IndexByte(in.buf[from:], '\n'); i >= 0 {
			return from + i + 1, nil
		}
		if in.eof {
			return len(in.buf), nil
		}
		if from = len(in.buf); from > MaxHeader {
			return 0, ErrTooBig
		}
		if err := in.fill(); err != nil {
			return 0, err
		}
	}
}

// header reads as far as the header goes and sets body to what follows it. What
// it returns consists of whole fields.
func (in *input) header() ([]byte, error) {
	start, pos := 0, 0
	for {
		// Whether a line is a field shows in its first bytes, so a body of one
		// endless line is told from a header without reading it all.
		for len(in.buf) < pos+maxName && !in.eof {
			if err := in.fill(); err != nil {
				return nil, err
			}
		}
		line := in.buf[pos:]
		envelope := false
		switch {
		case len(line) == 0:
			in.body = pos
			return in.buf[start:pos], nil
		case line[0] == '\n':
			in.body = pos + 1
			return in.buf[start:pos], nil
		case nameLen(line) >= 0:
		case isBlank(line[0]) && pos > start: // continues the field before it
		case pos == 0 && bytes.HasPrefix(line, []byte("From ")):
			envelope = true
		default:
			in.body = pos
			return in.buf[start:pos], nil
		}
		var err error
		if pos, err = in.lineEnd(pos); err != nil {
			return nil, err
		}
		if pos > MaxHeader {
			return nil, ErrTooBig
		}
		if envelope {
			start = pos
		}
	}
}
