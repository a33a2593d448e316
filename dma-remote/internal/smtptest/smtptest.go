// Package smtptest plays SMTP servers for tests: each connection runs a script,
// which may say whatever it likes, whenever it likes.
package smtptest

import (
	"bufio"
	"crypto/tls"
	"io"
	"net"
	"net/netip"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// patience is how long a script waits for the client: over any limit that a test
// sets, so that a test fails because of what it tests.
const patience = 30 * time.Second

// Script is a server's side of one connection, which is closed when it returns.
type Script func(*Peer)

// Server is a listener on loopback.
type Server struct {
	tb     testing.TB
	l      net.Listener
	wg     sync.WaitGroup
	mu     sync.Mutex
	conns  int
	open   map[net.Conn]bool
	closed chan struct{}
	once   sync.Once
}

// Start starts a server whose first connection runs the first script and so on;
// the last script is for all further connections. It ends with the test.
func Start(tb testing.TB, scripts ...Script) *Server {
	tb.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	s := &Server{tb: tb, l: l, open: make(map[net.Conn]bool), closed: make(chan struct{})}
	s.wg.Go(func() { s.accept(scripts) })
	tb.Cleanup(s.Close)
	return s
}

// Close closes the listener and every connection, and waits for their scripts.
func (s *Server) Close() {
	s.once.Do(func() { close(s.closed) })
	s.l.Close()
	s.mu.Lock()
	for c := range s.open {
		_ = c.SetDeadline(time.Now()) // what the scripts do next ends them
	}
	s.mu.Unlock()
	s.wg.Wait()
}

// Finish waits for the scripts that run to end by themselves. No further
// connection is accepted.
func (s *Server) Finish() {
	s.l.Close()
	s.wg.Wait()
}

// Addr is where the server listens.
func (s *Server) Addr() netip.AddrPort { return netip.MustParseAddrPort(s.l.Addr().String()) }

// Conns is how many connections there were.
func (s *Server) Conns() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.conns
}

func (s *Server) accept(scripts []Script) {
	for {
		c, err := s.l.Accept()
		if err != nil {
			return
		}
		s.mu.Lock()
		script := scripts[min(s.conns, len(scripts)-1)]
		s.conns++
		s.open[c] = true
		_ = c.SetDeadline(time.Now().Add(patience))
		s.mu.Unlock()
		s.wg.Go(func() {
			defer func() {
				c.Close()
				s.mu.Lock()
				delete(s.open, c)
				s.mu.Unlock()
			}()
			script(newPeer(s.tb, c, s.closed))
		})
	}
}

// Peer is the server's end of a connection. When the client has gone, every
// method but Reset ends the script.
type Peer struct {
	net.Conn
	tb  testing.TB
	raw net.Conn
	r   *bufio.Reader
	end <-chan struct{} // of the test
}

func newPeer(tb testing.TB, c net.Conn, end <-chan struct{}) *Peer {
	return &Peer{Conn: c, tb: tb, raw: c, r: bufio.NewReader(c), end: end}
}

// Pipe runs a script on one end of a pipe without any buffer and returns the
// other. It sets no deadline of its own, so time may be that of a synctest bubble.
func Pipe(tb testing.TB, script Script) net.Conn {
	client, server := net.Pipe()
	var wg sync.WaitGroup
	wg.Go(func() {
		defer server.Close()
		script(newPeer(tb, server, nil))
	})
	tb.Cleanup(func() {
		client.Close()
		wg.Wait()
	})
	return client
}

// Raw writes s as it is.
func (p *Peer) Raw(s string) {
	if _, err := io.WriteString(p.Conn, s); err != nil {
		runtime.Goexit()
	}
}

// Say writes lines.
func (p *Peer) Say(lines ...string) { p.Raw(strings.Join(lines, "\r\n") + "\r\n") }

// Read reads a line, which must end in CRLF.
func (p *Peer) Read() string {
	line, err := p.r.ReadString('\n')
	if err != nil {
		runtime.Goexit()
	}
	text, ok := strings.CutSuffix(line, "\r\n")
	if !ok || strings.ContainsAny(text, "\r\x00") {
		p.tb.Errorf("client sent %q", line)
	}
	return text
}

// Expect reads a line that must start with prefix.
func (p *Peer) Expect(prefix string) string {
	p.tb.Helper()
	line := p.Read()
	if !strings.HasPrefix(line, prefix) {
		p.tb.Errorf("client sent %q, want %q", line, prefix)
		runtime.Goexit()
	}
	return line
}

// Answer reads a line that must start with prefix and answers.
func (p *Peer) Answer(prefix string, lines ...string) string {
	p.tb.Helper()
	line := p.Expect(prefix)
	p.Say(lines...)
	return line
}

// Hello is greeting and EHLO.
func (p *Peer) Hello(capabilities ...string) {
	p.tb.Helper()
	p.Say("220 test.example ready")
	p.EHLO(capabilities...)
}

// EHLO answers EHLO alone.
func (p *Peer) EHLO(capabilities ...string) {
	p.tb.Helper()
	p.Expect("EHLO ")
	lines := append([]string{"test.example"}, capabilities...)
	for i := range lines {
		sep := "-"
		if i == len(lines)-1 {
			sep = " "
		}
		lines[i] = "250" + sep + lines[i]
	}
	p.Say(lines...)
}

// Bytes reads n bytes.
func (p *Peer) Bytes(n int) string {
	b := make([]byte, n)
	if _, err := io.ReadFull(p.r, b); err != nil {
		runtime.Goexit()
	}
	return string(b)
}

// Waiting reports whether the client has said more than was read.
func (p *Peer) Waiting() bool { return p.r.Buffered() > 0 }

// Message reads a message up to its dot and undoes the stuffing.
func (p *Peer) Message() string {
	var b strings.Builder
	for {
		line := p.Read()
		if line == "." {
			return b.String()
		}
		b.WriteString(strings.TrimPrefix(line, ".") + "\n")
	}
}

// Accept takes one message for whoever and returns it with the lines of its
// envelope. It answers commands one by one, so a client may pipeline or not.
func (p *Peer) Accept() (envelope []string, message string) {
	p.tb.Helper()
	for {
		line := p.Read()
		switch {
		case strings.HasPrefix(line, "MAIL FROM:<"), strings.HasPrefix(line, "RCPT TO:<"):
			envelope = append(envelope, line)
			p.Say("250 2.1.0 ok")
		case line == "RSET":
			envelope = nil
			p.Say("250 ok")
		case line == "DATA":
			p.Say("354 go on")
			message = p.Message()
			p.Say("250 2.0.0 taken")
			return envelope, message
		case line == "QUIT":
			p.Say("221 bye")
			runtime.Goexit()
		default:
			p.tb.Errorf("client sent %q in a transaction", line)
			runtime.Goexit()
		}
	}
}

// AcceptAny takes what comes up to the end of one message, by DATA or BDAT, of
// which it then thinks a while.
func (p *Peer) AcceptAny(think func()) {
	for {
		line := p.Read()
		switch verb, rest, _ := strings.Cut(line, " "); verb {
		case "QUIT":
			p.Say("221 bye")
			runtime.Goexit()
		case "DATA":
			p.Say("354 go on")
			p.Message()
		case "BDAT":
			n, err := strconv.Atoi(strings.TrimSuffix(rest, " LAST"))
			if err != nil {
				p.tb.Errorf("client sent %q", line)
				runtime.Goexit()
			}
			p.Bytes(n)
		default:
			p.Say("250 ok")
			continue
		}
		think()
		p.Say("250 2.0.0 taken")
		return
	}
}

// Quit answers QUIT and waits for the client to go.
func (p *Peer) Quit() {
	p.tb.Helper()
	p.Answer("QUIT", "221 bye")
	p.Wait()
}

// Wait reads until the client has gone.
func (p *Peer) Wait() { _, _ = io.Copy(io.Discard, p.r) }

// Hang does nothing until the test is over.
func (p *Peer) Hang() { <-p.end }

// TLS is a handshake as the server.
func (p *Peer) TLS(config *tls.Config) {
	t := tls.Server(p.Conn, config)
	if err := t.Handshake(); err != nil {
		runtime.Goexit()
	}
	p.Conn, p.r = t, bufio.NewReader(t)
}

// Reset closes the connection with RST, which makes the client lose what it has
// not read yet.
func (p *Peer) Reset() {
	_ = p.raw.(*net.TCPConn).SetLinger(0)
	p.raw.Close()
	runtime.Goexit()
}
