package session

import (
	"encoding/base64"
	"fmt"
	"strings"

	"dma/dma-remote/internal/auth"
)

// maxExchange bounds the challenges in one authentication: no mechanism of ours
// answers more than two.
const maxExchange = 4

// login authenticates, or the connection is not used: with credentials, mail never
// goes on without (RULES E9). All that can go wrong here is trouble, not the
// message's fault.
func (c *Conn) login() (state, *Verdict) {
	usable := auth.Choose(c.caps.auth, c.secure || c.cfg.Transport.Insecure)
	if len(usable) == 0 {
		reason := fmt.Sprintf("server offers no authentication that may be used here (it offers: %s", strings.Join(c.caps.auth, " "))
		if !c.secure {
			reason += "; without TLS PLAIN and LOGIN need INSECURE"
		}
		return stateClosed, c.trouble(stageAUTH, "4.7.0", reason+")")
	}
	var v *Verdict
	for _, mechanism := range usable {
		var r reply
		if r, v = c.exchange(mechanism); v != nil {
			return stateClosed, v
		}
		if r.code == 235 {
			return stateReady, nil
		}
		v = c.refusal(stageAUTH, r)
		if r.code != 504 { // RFC 4954 section 4: does not know the mechanism after all
			break
		}
	}
	return stateClosed, v
}

// exchange runs one mechanism to the last reply.
func (c *Conn) exchange(mechanism string) (reply, *Verdict) {
	client := auth.Client(mechanism, *c.cfg.Auth)
	name, initial, err := client.Start()
	if err != nil {
		return reply{}, c.trouble(stageAUTH, "4.7.0", err.Error())
	}
	line := "AUTH " + name
	if initial != nil {
		line += " " + base64.StdEncoding.EncodeToString(initial)
	}
	for range maxExchange {
		r, v := c.cmd(stageAUTH, c.cfg.Limits.Command, line)
		if v != nil || r.code != 334 {
			return r, v
		}
		challenge, err := base64.StdEncoding.DecodeString(strings.TrimSpace(strings.Join(r.lines, "")))
		var answer []byte
		if err == nil {
			answer, err = client.Next(challenge)
		}
		if err != nil {
			return c.cancel(err)
		}
		line = base64.StdEncoding.EncodeToString(answer)
	}
	return reply{}, c.trouble(stageAUTH, "4.7.0", "too many challenges")
}

// cancel ends an exchange that went wrong on our side (RFC 4954 section 4).
func (c *Conn) cancel(cause error) (reply, *Verdict) {
	if _, v := c.cmd(stageAUTH, c.cfg.Limits.Quit, "*"); v != nil {
		return reply{}, v
	}
	v := c.trouble(stageAUTH, "4.7.0", cause.Error())
	v.reply = true
	return reply{}, v
}
