package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Limits of a session. What is over is the client's bug.
const (
	idleTimeout = time.Minute
	maxLine     = 4096     // bytes in a command
	maxData     = 64 << 20 // bytes in a message
)

// A script says what to answer instead of the usual.
type script struct {
	mu    sync.Mutex
	rules []*rule
}

type rule struct {
	left    int // how often yet; negative: for ever
	pattern *regexp.Regexp
	reply   string
}

func (s *script) add(text string) error {
	parts := strings.SplitN(text, "|", 3)
	if len(parts) != 3 {
		return fmt.Errorf("answer %q: want COUNT|REGEXP|REPLY", text)
	}
	n, err := strconv.Atoi(parts[0])
	if err != nil {
		return err
	}
	if n == 0 {
		n = -1
	}
	pattern, err := regexp.Compile("(?i)" + parts[1])
	if err != nil {
		return err
	}
	s.rules = append(s.rules, &rule{n, pattern, parts[2]})
	return nil
}

func (s *script) answer(command, usual string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.rules {
		if r.left != 0 && r.pattern.MatchString(command) {
			r.left--
			return r.reply
		}
	}
	return usual
}

type server struct {
	script     script
	record     recorder
	pipelining bool
	chunking   bool
	rtt        time.Duration

	mu    sync.Mutex
	open  map[net.Conn]bool
	conns int
	wg    sync.WaitGroup
}

func (s *server) serve(l net.Listener) error {
	for {
		c, err := l.Accept()
		if err != nil {
			return err
		}
		s.mu.Lock()
		s.conns++
		s.open[c] = true
		e := Event{Event: "connect", Conn: s.conns, Open: len(s.open)}
		s.mu.Unlock()
		if err := s.record.event(e); err != nil {
			return err
		}
		s.wg.Go(func() { s.session(c, e.Conn) })
	}
}

func (s *server) stop() {
	s.mu.Lock()
	for c := range s.open {
		c.Close()
	}
	s.mu.Unlock()
	s.wg.Wait()
}

func (s *server) session(c net.Conn, number int) {
	line := newDelayLine(c, s.rtt)
	t := session{server: s, conn: c, number: number, r: bufio.NewReaderSize(c, maxLine), w: bufio.NewWriter(line)}
	err := t.run()
	line.close()
	c.Close()
	s.mu.Lock()
	delete(s.open, c)
	s.mu.Unlock()
	e := Event{Event: "close", Conn: number}
	if err != nil && !errors.Is(err, errQuit) {
		e.Reply = err.Error()
	}
	// There is nobody left to tell of a log that cannot be written.
	_ = s.record.event(e)
}

// errQuit ends a session in order.
var errQuit = errors.New("quit")

type session struct {
	*server
	conn   net.Conn
	number int
	r      *bufio.Reader
	w      *bufio.Writer

	greeted    bool
	mail       bool // MAIL was accepted
	sender     string
	recipients []string
	chunks     []byte // of BDAT so far
}

func (t *session) run() error {
	defer t.w.Flush() // the last reply; the client may be gone
	if err := t.reply("CONNECT", "220 sink.example ESMTP"); err != nil {
		return err
	}
	for {
		line, err := t.line()
		if err != nil {
			return err
		}
		if err := t.command(line); err != nil {
			return err
		}
	}
}

// line reads a command. Replies leave only when no further command is waiting,
// as RFC 2920 3.2 wants it.
func (t *session) line() (string, error) {
	if t.r.Buffered() == 0 {
		if err := t.w.Flush(); err != nil {
			return "", err
		}
	}
	if err := t.conn.SetDeadline(time.Now().Add(idleTimeout)); err != nil {
		return "", err
	}
	line, err := t.r.ReadSlice('\n')
	if err != nil {
		return "", err
	}
	text, ok := strings.CutSuffix(string(line), "\r\n")
	if !ok {
		return "", fmt.Errorf("command %q ends without CR", line)
	}
	return text, nil
}

func (t *session) command(line string) error {
	verb, arg, _ := strings.Cut(line, " ")
	switch strings.ToUpper(verb) {
	case "EHLO", "HELO":
		t.greeted = true
		t.reset()
		usual := "250 sink.example"
		if strings.EqualFold(verb, "EHLO") {
			usual = "250-sink.example\r\n"
			if t.pipelining {
				usual += "250-PIPELINING\r\n"
			}
			if t.chunking {
				usual += "250-CHUNKING\r\n"
			}
			usual += "250-8BITMIME\r\n250-ENHANCEDSTATUSCODES\r\n250 SIZE " + strconv.Itoa(maxData)
		}
		return t.reply(line, usual)
	case "MAIL":
		return t.mailFrom(line, arg)
	case "RCPT":
		return t.rcptTo(line, arg)
	case "DATA":
		if len(t.recipients) == 0 {
			return t.reply(line, "554 5.5.1 no valid recipients")
		}
		return t.data(line)
	case "BDAT":
		return t.chunk(line, arg)
	case "RSET":
		t.reset()
		return t.reply(line, "250 2.0.0 ok")
	case "NOOP":
		return t.reply(line, "250 2.0.0 ok")
	case "QUIT":
		if err := t.reply(line, "221 2.0.0 bye"); err != nil {
			return err
		}
		return errQuit
	}
	return t.reply(line, "502 5.5.2 unknown command")
}

func (t *session) reset() { t.mail, t.sender, t.recipients, t.chunks = false, "", nil, nil }

// answer is what will be said to command; it counts as said.
func (t *session) answer(command, usual string) string { return t.script.answer(command, usual) }

func (t *session) say(reply string) error {
	if reply == "drop" {
		return errors.New("dropped as told")
	}
	if _, err := t.w.WriteString(reply + "\r\n"); err != nil {
		return err
	}
	if strings.HasPrefix(reply, "421") {
		return errors.New("closed after 421")
	}
	return nil
}

func (t *session) reply(command, usual string) error { return t.say(t.answer(command, usual)) }

func (t *session) mailFrom(line, arg string) error {
	sender, ok := path(arg, "FROM:")
	switch {
	case !ok:
		return t.reply(line, "501 5.5.4 syntax error")
	case !t.greeted || t.mail:
		return t.reply(line, "503 5.5.1 not now")
	}
	reply := t.answer(line, "250 2.1.0 ok")
	t.mail, t.sender = strings.HasPrefix(reply, "2"), sender
	return t.say(reply)
}

func (t *session) rcptTo(line, arg string) error {
	recipient, ok := path(arg, "TO:")
	switch {
	case !ok || recipient == "":
		return t.reply(line, "501 5.5.4 syntax error")
	case !t.mail:
		return t.reply(line, "503 5.5.1 MAIL first")
	}
	reply := t.answer(line, "250 2.1.5 ok")
	if strings.HasPrefix(reply, "2") {
		t.recipients = append(t.recipients, recipient)
	}
	e := Event{Event: "rcpt", Conn: t.number, Sender: t.sender, Recipient: recipient, Reply: reply}
	if err := t.record.event(e); err != nil {
		return err
	}
	return t.say(reply)
}

// path takes the address out of "FROM:<a@b> PARAMETERS".
func path(arg, prefix string) (string, bool) {
	if len(arg) < len(prefix) || !strings.EqualFold(arg[:len(prefix)], prefix) {
		return "", false
	}
	rest, ok := strings.CutPrefix(arg[len(prefix):], "<")
	end := strings.LastIndexByte(rest, '>')
	if !ok || end < 0 {
		return "", false
	}
	return rest[:end], true
}

func (t *session) data(line string) error {
	reply := t.answer(line, "354 go ahead")
	if err := t.say(reply); err != nil || !strings.HasPrefix(reply, "354") {
		return err
	}
	if err := t.w.Flush(); err != nil {
		return err
	}
	data, err := t.body()
	if err != nil {
		return err
	}
	return t.keep(data)
}

// chunk takes a part of a message (RFC 3030). Its bytes come whatever is answered.
func (t *session) chunk(line, arg string) error {
	size, last, _ := strings.Cut(arg, " ")
	n, err := strconv.Atoi(size)
	if err != nil || n < 0 || n > maxData-len(t.chunks) || last != "" && !strings.EqualFold(last, "LAST") {
		return fmt.Errorf("bad chunk %q", line)
	}
	data := make([]byte, n)
	if _, err := io.ReadFull(t.r, data); err != nil {
		return err
	}
	if len(t.recipients) == 0 {
		return t.reply(line, "554 5.5.1 no valid recipients")
	}
	t.chunks = append(t.chunks, data...)
	if last == "" {
		return t.reply(line, "250 2.0.0 go on")
	}
	return t.keep(t.chunks)
}

// keep ends a transaction with its message.
func (t *session) keep(data []byte) error {
	var err error
	reply := t.answer("EOD", "250 2.0.0 kept")
	e := Event{Event: "transaction", Conn: t.number, Sender: t.sender, Recipients: t.recipients, Reply: reply}
	if strings.HasPrefix(reply, "2") {
		err = t.record.message(e, data)
	} else {
		err = t.record.event(e)
	}
	t.reset()
	if err != nil {
		return err
	}
	return t.say(reply)
}

// body reads up to CRLF.CRLF and takes the extra dots away (RFC 5321 4.5.2).
// Nothing else ends it, and a line that does not end with CRLF is kept as it is.
func (t *session) body() ([]byte, error) {
	var data []byte
	fresh := true // at the start of a line, that is after CRLF
	for {
		if err := t.conn.SetDeadline(time.Now().Add(idleTimeout)); err != nil {
			return nil, err
		}
		line, err := t.r.ReadSlice('\n')
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			return nil, err
		}
		if fresh && string(line) == ".\r\n" {
			return data, nil
		}
		if fresh && line[0] == '.' {
			line = line[1:]
		}
		if len(data)+len(line) > maxData {
			return nil, fmt.Errorf("message over %d bytes", maxData)
		}
		data = append(data, line...)
		fresh = strings.HasSuffix(string(data[max(0, len(data)-2):]), "\r\n")
	}
}
