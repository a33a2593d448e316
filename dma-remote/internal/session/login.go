package session

import (
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"dma/dma-remote/internal/auth"
)

// Limits of an authentication.
const (
	maxExchange = 4   // challenges: no mechanism of ours answers more than two
	maxInitial  = 512 // bytes in a line with an initial response (RFC 4954 section 4)
)

// readPassword fetches it anew for each connection: whoever renews it in its file
// tells nobody.
func (c *Conn) readPassword() *Verdict {
	if c.cfg.Auth == nil {
		return nil
	}
	password, err := c.cfg.Auth.Read()
	if err != nil {
		return c.trouble(StageAuth, "4.7.0", err.Error())
	}
	c.credentials = &auth.Credentials{User: c.cfg.Auth.User, Password: password, Host: c.cfg.Auth.Host, Port: c.cfg.Port}
	c.redact = auth.Redactor(c.credentials)
	return nil
}

// login authenticates, or the connection is not used: with credentials, mail never
// goes on without (RULES E9). All that can go wrong here is trouble, not the
// message's fault.
func (c *Conn) login() (state, *Verdict) {
	c.bind()
	v := c.mechanisms()
	if v != nil && v.reply && c.renewed() {
		v = c.mechanisms()
	}
	if v != nil {
		return stateClosed, v
	}
	return stateReady, nil
}

// renewed reads the password again after it was refused. True: it is another one
// by now, as that of a token that has expired.
func (c *Conn) renewed() bool {
	if c.cfg.Auth.File == "" {
		return false
	}
	old := c.credentials
	if c.readPassword() != nil || c.credentials.Password.Reveal() == old.Password.Reveal() {
		return false
	}
	c.credentials.Binding = old.Binding
	c.redact = auth.Redactor(old, c.credentials)
	return true
}

// bind finds the value for channel binding. That of TLS 1.2 is not unique to a
// connection without more than package tls has (RFC 9266 section 3).
func (c *Conn) bind() {
	t, ok := c.conn.(*tls.Conn)
	if !ok {
		return
	}
	if cs := t.ConnectionState(); cs.Version >= tls.VersionTLS13 {
		b, err := cs.ExportKeyingMaterial("EXPORTER-Channel-Binding", nil, 32)
		if err == nil {
			c.credentials.Binding = b
		}
	}
}

// mechanisms tries those that may be used until one gets a word about the
// credentials.
func (c *Conn) mechanisms() *Verdict {
	usable := auth.Choose(c.caps.auth, c.secure || c.cfg.Insecure, c.credentials)
	if len(usable) == 0 {
		reason := fmt.Sprintf("server offers no authentication that may be used here (it offers: %s", strings.Join(c.caps.auth, " "))
		if !c.secure {
			reason += "; without TLS PLAIN and LOGIN need INSECURE"
		}
		return c.trouble(StageAuth, "4.7.0", reason+")")
	}
	var v *Verdict
	for _, mechanism := range usable {
		var another bool
		if v, another = c.try(mechanism); v == nil {
			c.observe(Login, mechanism+" as "+c.credentials.User)
			return nil
		}
		if !another {
			break
		}
	}
	return v
}

// try runs one mechanism to the last reply. another: that says nothing about the
// credentials.
func (c *Conn) try(mechanism string) (v *Verdict, another bool) {
	x := auth.New(mechanism, c.credentials, c.caps.auth)
	r, v, another := c.exchange(mechanism, x)
	switch {
	case v != nil:
		return v, another
	case r.code != 235:
		return c.refusal(StageAuth, r), r.code == 504 // RFC 4954 section 4: does not know the mechanism after all
	}
	if err := x.Done(); err != nil {
		return c.trouble(StageAuth, "4.7.0", err.Error()), false
	}
	return nil, false
}

// exchange talks until the server has a word that is no challenge.
func (c *Conn) exchange(mechanism string, x auth.Exchange) (r reply, v *Verdict, another bool) {
	line := "AUTH " + mechanism
	initial := x.Initial()
	if full := line + " " + base64.StdEncoding.EncodeToString(initial); initial != nil && len(full)+len("\r\n") <= maxInitial {
		line, initial = full, nil
	}
	for range maxExchange {
		r, v := c.cmd(StageAuth, c.cfg.Limits.Command, line)
		if v != nil || r.code != 334 {
			return r, v, false
		}
		answer := initial // RFC 4954 section 4: too long for the command, so the server asks
		if initial == nil {
			challenge, err := base64.StdEncoding.DecodeString(strings.TrimSpace(strings.Join(r.lines, "")))
			if err == nil {
				answer, err = x.Next(challenge)
			}
			if err != nil {
				return reply{}, c.cancel(err), errors.Is(err, auth.ErrBinding)
			}
		}
		initial = nil
		line = base64.StdEncoding.EncodeToString(answer)
	}
	return reply{}, c.trouble(StageAuth, "4.7.0", "too many challenges"), false
}

// cancel ends an exchange that went wrong on our side (RFC 4954 section 4).
func (c *Conn) cancel(cause error) *Verdict {
	_, lost := c.cmd(StageAuth, c.cfg.Limits.Quit, "*")
	v := c.trouble(StageAuth, "4.7.0", cause.Error())
	v.reply = lost == nil
	return v
}
