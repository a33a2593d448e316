package session

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strings"

	"dma/common/outcome"
)

// Limits of a reply (RULES E2), in bytes where not said otherwise.
const (
	maxLine  = 2 << 10
	maxLines = 100 // lines
	maxReply = 64 << 10
)

// errReply is wrapped by all errors of a reply that is none: the server does not
// speak SMTP, or no longer in step with us.
var errReply = errors.New("malformed reply")

// reply is what a server answers.
type reply struct {
	code  int      // 200 to 599
	lines []string // texts behind the code, as they came; at least one
}

// newReader sizes the buffer so that a line over maxLine does not fit.
func newReader(r io.Reader) *bufio.Reader { return bufio.NewReaderSize(r, maxLine+len("\r\n")) }

// readReply reads one reply: lines that all start with the same three digits, with
// a hyphen behind those of all but the last (RFC 5321 4.2.1). A line may end in
// LF alone; nothing can be smuggled to where replies are only read.
func readReply(r *bufio.Reader) (reply, error) {
	var rep reply
	total := 0
	for {
		line, err := r.ReadSlice('\n')
		total += len(line)
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			return reply{}, fmt.Errorf("%w: line over %d bytes", errReply, maxLine)
		case errors.Is(err, io.EOF) && total > 0:
			return reply{}, io.ErrUnexpectedEOF
		case err != nil:
			return reply{}, err
		case total > maxReply || len(rep.lines) == maxLines:
			return reply{}, fmt.Errorf("%w: over %d bytes or %d lines", errReply, maxReply, maxLines)
		}
		text := strings.TrimRight(string(line), "\r\n")
		code, more, rest, ok := splitLine(text)
		if !ok || rep.code != 0 && code != rep.code {
			// Not quoted: that would hide secrets in it from Conn.clean.
			return reply{}, fmt.Errorf("%w: %s", errReply, text)
		}
		rep.code = code
		rep.lines = append(rep.lines, rest)
		if !more {
			return rep, nil
		}
	}
}

func splitLine(s string) (code int, more bool, rest string, ok bool) {
	if len(s) < 3 || s[0] < '2' || s[0] > '5' || !isDigit(s[1]) || !isDigit(s[2]) {
		return 0, false, "", false
	}
	code = int(s[0]-'0')*100 + int(s[1]-'0')*10 + int(s[2]-'0')
	if len(s) == 3 { // RFC 5321 4.2: the text may be missing
		return code, false, "", true
	}
	if s[3] != ' ' && s[3] != '-' {
		return 0, false, "", false
	}
	return code, s[3] == '-', s[4:], true
}

func isDigit(b byte) bool { return b >= '0' && b <= '9' }

// class is the first digit.
func (r reply) class() int { return r.code / 100 }

// enhanced is the status code that the server gives (RFC 2034), empty if there is
// none or it contradicts the reply code.
func (r reply) enhanced() string {
	if len(r.lines) == 0 {
		return ""
	}
	code, _, _ := strings.Cut(r.lines[0], " ")
	if !outcome.ValidCode(code) || int(code[0]-'0') != r.class() {
		return ""
	}
	return code
}

// text is the whole reply as one line.
func (r reply) text() string { return fmt.Sprintf("%d %s", r.code, strings.Join(r.lines, " ")) }

// closing reports whether the server says that it hangs up (RFC 5321 3.8).
func (r reply) closing() bool { return r.code == 421 }

// wantsAuth reports whether the reply is about authentication (RFC 4954 section 6,
// RULES E3): such a refusal is about us, not about the message or recipient.
func (r reply) wantsAuth() bool {
	return r.code == 530 || r.code == 534 || r.code == 535 || r.code == 538
}
