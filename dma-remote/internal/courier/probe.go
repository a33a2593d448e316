package courier

import (
	"context"
	"fmt"
	"strings"
	"time"

	"dma/common/outcome"
	"dma/common/sysexits"
	"dma/dma-remote/internal/session"
	"dma/dma-remote/internal/tlspolicy"
	"dma/proto"
)

// probeWait is how long a server may take to answer while people wait.
const probeWait = time.Minute

// A probe tries the way to a destination without sending a message.
type probe struct {
	c      *Courier
	report func(*proto.Report)
	code   int // of sysexits, for the first error
}

// Probe tries the way that mail of sender takes, or mail for domain if that is
// not empty: names, connection, TLS, login. It reports each step, in clean text
// without secrets, and returns a code of sysexits: 0 if all is well.
func (c *Courier) Probe(ctx context.Context, sender, domain string, report func(*proto.Report)) int {
	ctx, cancel := context.WithTimeout(ctx, requestTime)
	defer cancel()
	hasty := c.cfg
	hasty.Limits.Greeting, hasty.Limits.Command = min(probeWait, hasty.Limits.Greeting), min(probeWait, hasty.Limits.Command)
	c = &Courier{cfg: hasty}
	p := &probe{c: c, report: report}
	if rt, ok := c.way(sender, domain); !ok && c.cfg.Broken == nil {
		p.ok("route", "there is no SMARTHOST: mail goes to the mail hosts of each domain")
		return p.code
	} else if ok {
		p.route(rt)
	}
	path, err := c.path(&Request{Sender: sender, Domain: domain})
	if err != nil {
		p.fail(sysexits.Config, "configuration", err.Error(), "put right what it names; no mail goes this way until then")
		return p.code
	}
	for _, find := range path.steps {
		p.step(ctx, find)
	}
	return p.code
}

// way is the route that the administrator chose; true and none for a domain.
func (c *Courier) way(sender, domain string) (Route, bool) {
	if domain != "" || c.cfg.Route == nil {
		return Route{}, domain != ""
	}
	return c.cfg.Route(sender)
}

func (p *probe) say(level proto.Level, about, found, advice string) {
	p.report(&proto.Report{Level: level, About: about, Found: outcome.Clean(found), Do: outcome.Clean(advice)})
}

func (p *probe) ok(about, found string) { p.say(proto.LevelOK, about, found, "") }

func (p *probe) fail(code int, about, found, advice string) {
	p.say(proto.LevelError, about, found, advice)
	if p.code == sysexits.OK {
		p.code = code
	}
}

// route tells what is configured.
func (p *probe) route(rt Route) {
	for _, s := range rt.Servers {
		text := s.String()
		if s.LMTP {
			text += ", LMTP"
		}
		text += ", " + tlspolicy.Decide(s.Transport, s.Name, tlspolicy.Records{}).String()
		if s.Auth != nil {
			text += ", login as " + s.Auth.User
		} else {
			text += ", no login"
		}
		p.ok("route", text)
	}
}

func (p *probe) step(ctx context.Context, find func(context.Context) ([]place, error)) {
	places, err := find(ctx)
	if err != nil {
		p.fail(sysexits.TempFail, "addresses", err.Error(), "check the name, and the resolver: see resolv.conf(5)")
		return
	}
	var list []string
	for _, at := range places {
		list = append(list, at.peer())
	}
	p.ok("addresses", strings.Join(list, ", "))
	for _, at := range places {
		p.place(ctx, at)
	}
}

// place tries one address up to where mail would be sent.
func (p *probe) place(ctx context.Context, at place) {
	policy := at.policy()
	open := func(policy tlspolicy.Policy) (*session.Conn, *session.Verdict) {
		first := true
		return p.c.connect(ctx, at, policy, func(what, text string) {
			if what == session.Greeting && first {
				first = false
				p.ok("connection", at.peer())
			}
			p.ok(what, text)
		})
	}
	conn, v := open(policy)
	if v != nil && v.BadTLS && policy.Level == tlspolicy.May {
		p.say(proto.LevelWarning, session.TLS, v.Text, "mail goes on in plain text, as OPPORTUNISTIC_TLS asks for; remove it to have TLS always")
		conn, v = open(tlspolicy.Policy{})
	}
	if v != nil {
		code, advice := diagnose(v)
		p.fail(code, strings.ToLower(v.Stage), v.Text, advice)
		return
	}
	p.login(conn, at)
	conn.Quit()
}

// login tells what authentication the server offers, and warns of what is not used.
func (p *probe) login(conn *session.Conn, at place) {
	offered := conn.Mechanisms()
	switch {
	case len(offered) == 0:
		p.ok("mechanisms", "server offers no authentication")
	case at.server.Auth == nil:
		p.ok("mechanisms", strings.Join(offered, " ")+" (not used: no password is configured for it)")
	default:
		p.ok("mechanisms", strings.Join(offered, " "))
	}
	if !conn.Secure() && at.socket == "" {
		advice := ""
		if conn.OffersTLS() {
			advice = "the server offers STARTTLS: add STARTTLS and SECURETRANSFER to dma.conf"
		}
		p.say(proto.LevelWarning, session.TLS, fmt.Sprintf("%s: mail goes in plain text", at.peer()), advice)
	}
}

// diagnose turns a verdict into an exit code and advice.
func diagnose(v *session.Verdict) (code int, advice string) {
	code = sysexits.Unavailable
	if len(v.Reason) > 3 && v.Reason[0] == '4' && v.Reason[3] == ' ' {
		code = sysexits.TempFail
	}
	switch {
	case v.BadTLS:
		return code, "check port and certificate: port 465 speaks TLS from the start, 25 and 587 want STARTTLS; CAFILE names other issuers, FINGERPRINT one certificate"
	case v.Stage == session.StageAuth:
		if code == sysexits.Unavailable {
			code = sysexits.NoPerm
		}
		return code, "check user and password in auth.conf"
	case v.Stage == session.StageConnect:
		return code, "check name and port in SMARTHOST, and whether the network lets connections to it out"
	}
	return code, "ask who runs the server"
}
