// Package session speaks SMTP as a client over one connection.
//
//	greeting -> hello ---------------------> ready <-> transaction
//	              |  \-> starttls -> hello     |
//	              |                            v
//	              \----> login ----> ready   closed
//
// Open takes a connection to ready or fails; Serve runs the transactions of any
// number of messages; Quit ends. Any trouble leads to closed, from where nothing leads on.
package session

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync/atomic"
	"time"

	"dma/common/conf"
	"dma/dma-remote/internal/auth"
	"dma/dma-remote/internal/tlspolicy"
)

// Config is what Open needs to know beside the connection.
type Config struct {
	Helo     string                  // our name
	LMTP     bool                    // the server speaks that (RFC 2033)
	Policy   tlspolicy.Policy        // how the connection is to be secured
	TLS      *tls.Config             // that of Policy
	Auth     *conf.Auth              // nil: mail goes unauthenticated
	Port     int                     // of the server, for mechanisms that repeat it
	Insecure bool                    // PLAIN and the like may be used without TLS
	Observe  func(what, text string) // told what is found out, in clean text; may be nil
	Limits   Limits
}

// What Config.Observe is told of.
const (
	Greeting   = "greeting"
	Extensions = "extensions"
	TLS        = "TLS"
	Login      = "login"
)

type state int

const (
	stateGreeting state = iota // connected, with TLS already if it is implicit
	stateHello                 // EHLO is next
	stateStartTLS              // STARTTLS is next
	stateLogin                 // AUTH is next
	stateReady                 // MAIL is next
	stateClosed
)

// Conn is a connection to a server. One goroutine at a time may call its methods.
type Conn struct {
	cfg         Config
	raw         net.Conn // what was given to Open; closing it ends everything
	conn        net.Conn // raw, or TLS over it
	r           *bufio.Reader
	peer        string            // "name [address]"
	end         time.Time         // of the session at the latest
	credentials *auth.Credentials // nil: mail goes unauthenticated
	redact      *strings.Replacer // takes secrets out of foreign text

	state  state
	secure bool // TLS is on
	caps   capabilities
	used   bool        // a message was begun
	doubt  bool        // a transaction may be open on the server: RSET is first
	limit  int         // recipients that the server takes at a time, as far as is known
	closed atomic.Bool // raw is closed
}

// Peer names a server as dma does.
func Peer(server string, addr netip.Addr) string { return fmt.Sprintf("%s [%s]", server, addr) }

// Open takes nc over and makes it ready for mail. After an error, which is a
// *Verdict and always trouble, nc is closed.
func Open(ctx context.Context, nc net.Conn, peer string, cfg Config) (*Conn, error) {
	c := &Conn{cfg: cfg, raw: nc, conn: nc, r: newReader(nc), peer: peer, end: time.Now().Add(cfg.Limits.Session)}
	c.redact = strings.NewReplacer()
	if v := c.readPassword(); v != nil {
		c.hangUp(v)
		return nil, v
	}
	defer c.watch(ctx)()
	if cfg.Policy.Implicit {
		if v := c.handshake(StageConnect); v != nil {
			c.hangUp(v)
			return nil, v
		}
	}
	for c.state != stateReady {
		next, v := c.step()
		if v != nil {
			c.hangUp(v)
			return nil, v
		}
		c.state = next
	}
	return c, nil
}

// step does what the state calls for and says which state comes next.
func (c *Conn) step() (state, *Verdict) {
	switch c.state {
	case stateGreeting:
		return c.greeting()
	case stateHello:
		return c.hello()
	case stateStartTLS:
		return c.startTLS()
	case stateLogin:
		return c.login()
	default:
		return stateClosed, c.lost(StageConnect, net.ErrClosed)
	}
}

func (c *Conn) greeting() (state, *Verdict) {
	r, v := c.read(StageConnect, c.cfg.Limits.Greeting)
	if v == nil && r.code != 220 {
		v = c.refusal(StageConnect, r)
	}
	if v == nil {
		c.observe(Greeting, r.text())
	}
	return stateHello, v
}

func (c *Conn) hello() (state, *Verdict) {
	c.caps = capabilities{}
	name := heloName(c.cfg.Helo, c.raw.LocalAddr())
	verb, stage := "EHLO ", stageEHLO
	if c.cfg.LMTP {
		verb, stage = "LHLO ", stageLHLO
	}
	r, v := c.cmd(stage, c.cfg.Limits.Command, verb+name)
	switch {
	case v != nil:
		return stateClosed, v
	case r.class() == 2:
		c.caps = parseCapabilities(r.lines)
		c.observe(Extensions, strings.Join(r.lines[1:], ", "))
	case r.class() == 5 && c.cfg.Auth == nil && !c.needTLS() && !c.cfg.LMTP:
		// RFC 5321 3.2: a server that does not know EHLO. It cannot do what
		// EHLO would have offered.
		if r, v = c.cmd(stageHELO, c.cfg.Limits.Command, "HELO "+name); v != nil {
			return stateClosed, v
		}
		if r.class() != 2 {
			return stateClosed, c.refusal(stageHELO, r)
		}
	default:
		return stateClosed, c.refusal(stage, r)
	}
	switch {
	case c.needTLS() && !c.caps.startTLS:
		return stateClosed, c.trouble(stage, "4.7.4", "server offers no STARTTLS, which this host requires")
	case !c.secure && c.cfg.Policy.Level != tlspolicy.None && c.caps.startTLS:
		return stateStartTLS, nil
	}
	return c.afterTLS(), nil
}

func (c *Conn) needTLS() bool {
	return !c.secure && c.cfg.Policy.Level > tlspolicy.May
}

func (c *Conn) afterTLS() state {
	if c.cfg.Auth != nil {
		return stateLogin
	}
	return stateReady
}

func (c *Conn) startTLS() (state, *Verdict) {
	r, v := c.cmd(stageSTARTTLS, c.cfg.Limits.Command, "STARTTLS")
	switch {
	case v != nil:
		return stateClosed, v
	case r.code != 220 && r.class() >= 4 && !c.needTLS():
		return c.afterTLS(), nil // RFC 3207 section 4: the server cannot now; TLSMay goes on
	case r.code != 220:
		return stateClosed, c.refusal(stageSTARTTLS, r)
	case c.r.Buffered() > 0:
		// What came before the handshake anyone may have sent; it must not be
		// taken for the answer to something said inside (CVE-2011-0411).
		return stateClosed, c.lost(stageSTARTTLS, errUnasked)
	}
	if v := c.handshake(stageSTARTTLS); v != nil {
		return stateClosed, v
	}
	return stateHello, nil // RFC 3207 4.2: all that EHLO told is forgotten
}

func (c *Conn) handshake(stage string) *Verdict {
	t := tls.Client(c.raw, c.cfg.TLS)
	_ = c.raw.SetDeadline(c.until(c.cfg.Limits.TLS)) // fails only on a closed connection, and then so does the next line
	if err := t.Handshake(); err != nil {
		v := c.trouble(stage, "4.7.5", "TLS: "+cause(err))
		v.BadTLS = !c.closed.Load()
		return v
	}
	c.conn, c.r, c.secure = t, newReader(t), true
	c.observe(TLS, c.cfg.Policy.Describe(t.ConnectionState()))
	return nil
}

func (c *Conn) observe(what, text string) {
	if c.cfg.Observe != nil {
		c.cfg.Observe(what, c.clean(text))
	}
}

// cmd sends a command and receives its reply.
func (c *Conn) cmd(stage string, limit time.Duration, line string) (reply, *Verdict) {
	if c.r.Buffered() > 0 {
		return reply{}, c.lost(stage, errUnasked)
	}
	if _, err := io.WriteString(blockWriter{c, c.cfg.Limits.Command}, line+"\r\n"); err != nil {
		return reply{}, c.lost(stage, err)
	}
	return c.read(stage, limit)
}

// read receives one reply. A server that says 421 is as good as gone.
func (c *Conn) read(stage string, limit time.Duration) (reply, *Verdict) {
	_ = c.conn.SetReadDeadline(c.until(limit)) // fails only on a closed connection, and then so does the next line
	r, err := readReply(c.r)
	if err != nil {
		return reply{}, c.lost(stage, err)
	}
	if r.closing() {
		return reply{}, c.refusal(stage, r)
	}
	return r, nil
}

// until is when a wait that starts now ends.
func (c *Conn) until(limit time.Duration) time.Time {
	if t := time.Now().Add(limit); t.Before(c.end) {
		return t
	}
	return c.end
}

// blockWriter gives each write its own time limit.
type blockWriter struct {
	c     *Conn
	limit time.Duration
}

func (w blockWriter) Write(p []byte) (int, error) {
	if err := w.c.conn.SetWriteDeadline(w.c.until(w.limit)); err != nil {
		return 0, err
	}
	return w.c.conn.Write(p)
}

// watch closes the connection when ctx ends, which ends every wait on it.
func (c *Conn) watch(ctx context.Context) (stop func()) {
	s := context.AfterFunc(ctx, c.abort)
	return func() { s() }
}

func (c *Conn) abort() {
	c.closed.Store(true)
	c.raw.Close()
}

// Abort ends the connection under whatever goes on with it.
func (c *Conn) Abort() { c.abort() }

// Close ends the connection without a word.
func (c *Conn) Close() {
	c.state = stateClosed
	c.abort()
}

// Quit ends the connection. What the server answers, and whether, is nothing to
// us: all verdicts were given before.
func (c *Conn) Quit() {
	if c.Ready() {
		_, _ = c.cmd("QUIT", c.cfg.Limits.Quit, "QUIT")
	}
	c.Close()
}

// Ready reports whether another message can be sent, as far as is known.
func (c *Conn) Ready() bool {
	return c.state == stateReady && !c.closed.Load() && c.r.Buffered() == 0
}

// chunks reports whether whole transactions are sent at once. That saves the time
// of a way to the server, which in LMTP is none.
func (c *Conn) chunks() bool { return c.caps.chunking && c.caps.pipelining && !c.cfg.LMTP }

// Chunks reports whether one connection is as good as many.
func (c *Conn) Chunks() bool { return c.chunks() }

// Mechanisms are those of authentication that the server offers.
func (c *Conn) Mechanisms() []string { return strings.Fields(c.clean(strings.Join(c.caps.auth, " "))) }

// Secure reports whether TLS is on.
func (c *Conn) Secure() bool { return c.secure }

// OffersTLS reports whether the server would speak TLS.
func (c *Conn) OffersTLS() bool { return c.caps.startTLS }

// hangUp closes the connection because of v, with QUIT if the server listens.
func (c *Conn) hangUp(v *Verdict) {
	if v.reply {
		_, _ = c.cmd("QUIT", c.cfg.Limits.Quit, "QUIT")
	}
	c.Close()
}

// heloName is the name to give: a host without a full name gives its address, as
// RFC 5321 4.1.4 wants it. Servers refuse names without a dot.
func heloName(name string, local net.Addr) string {
	clean := strings.Trim(name, ".-0123456789:ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz") == ""
	if name = strings.TrimSuffix(name, "."); clean && strings.Contains(name, ".") {
		return name
	}
	addr, err := netip.ParseAddrPort(local.String())
	switch {
	case err != nil:
		return "localhost"
	case addr.Addr().Unmap().Is4():
		return "[" + addr.Addr().Unmap().String() + "]"
	}
	return "[IPv6:" + addr.Addr().WithZone("").String() + "]"
}
