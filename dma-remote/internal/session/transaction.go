package session

import (
	"bufio"
	"cmp"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"dma/common/dsn"
	"dma/common/mailaddr"
	"dma/common/outcome"
	"dma/dma-remote/internal/content"
)

// A transaction is MAIL, RCPTs, DATA and the message (RFC 5321 3.3). Its methods
// return a verdict only when it says why there can be no more on this connection.
type transaction struct {
	c      *Conn
	m      *Mail
	batch  []int // indexes of recipients
	report func(int, *Verdict)

	mailOK   bool  // MAIL was accepted
	accepted []int // recipients that the server took
	again    []int // recipients over the server's limit: for the next transaction
	goAhead  bool  // the server waits for the message
}

func (t *transaction) run() *Verdict {
	c := t.c
	if c.doubt {
		r, v := c.cmd(stageRSET, c.cfg.Limits.Command, "RSET")
		if v == nil && r.class() != 2 {
			v = c.refusal(stageRSET, r)
		}
		if v != nil {
			return v
		}
	}
	c.doubt = true
	talk := t.lockstep
	if c.caps.pipelining {
		talk = t.pipelined
	}
	if v := talk(); v != nil {
		return v
	}
	switch {
	case !t.goAhead:
		return nil
	case len(t.accepted) == 0:
		return t.loneDot()
	}
	return t.body()
}

// lockstep says nothing that the replies so far have made useless.
func (t *transaction) lockstep() *Verdict {
	c := t.c
	r, v := c.cmd(stageMAIL, c.cfg.Limits.Command, t.mailLine())
	if v == nil {
		v = t.onMail(r)
	}
	if v != nil || !t.mailOK {
		return v
	}
	for n, i := range t.batch {
		if r, v = c.cmd(stageRCPT, c.cfg.Limits.Command, t.rcptLine(i)); v == nil {
			v = t.onRcpt(i, r)
		}
		if v != nil {
			return v
		}
		if len(t.again) > 0 {
			t.again = append(t.again, t.batch[n+1:]...)
			break
		}
	}
	if len(t.accepted) == 0 {
		return nil
	}
	if r, v = c.cmd(stageDATA, c.cfg.Limits.Data, "DATA"); v != nil {
		return v
	}
	return t.onData(r)
}

// pipelined says everything up to DATA at once (RFC 2920 3.1).
func (t *transaction) pipelined() *Verdict {
	c := t.c
	if c.r.Buffered() > 0 {
		return c.lost(stageMAIL, errUnasked)
	}
	f := c.startFlight(func() error {
		w := bufio.NewWriter(blockWriter{c, c.cfg.Limits.Command})
		fmt.Fprintf(w, "%s\r\n", t.mailLine()) // a bufio.Writer keeps its first error for Flush
		for _, i := range t.batch {
			fmt.Fprintf(w, "%s\r\n", t.rcptLine(i))
		}
		fmt.Fprintf(w, "DATA\r\n")
		return w.Flush()
	})
	v := t.replies()
	if v != nil {
		c.Close() // ends the writer, too
	}
	if err := f.wait(); err != nil && v == nil {
		v = c.lost(stageDATA, err)
	}
	return v
}

func (t *transaction) replies() *Verdict {
	c := t.c
	r, v := c.read(stageMAIL, c.cfg.Limits.Command)
	if v == nil {
		v = t.onMail(r)
	}
	for _, i := range t.batch {
		if v != nil {
			return v
		}
		if r, v = c.read(stageRCPT, c.cfg.Limits.Command); v == nil {
			v = t.onRcpt(i, r)
		}
	}
	if v == nil {
		if r, v = c.read(stageDATA, c.cfg.Limits.Data); v == nil {
			v = t.onData(r)
		}
	}
	return v
}

func (t *transaction) onMail(r reply) *Verdict {
	if r.class() == 2 {
		t.mailOK = true
		return nil
	}
	return t.settle(t.batch, t.c.refusal(stageMAIL, r))
}

func (t *transaction) onRcpt(i int, r reply) *Verdict {
	switch {
	case !t.mailOK:
		return nil // "503 need MAIL first", or whatever: said for all already
	case r.class() == 2:
		t.accepted = append(t.accepted, i)
		return nil
	case tooMany(r) && len(t.accepted) > 0:
		t.again = append(t.again, i)
		return nil
	}
	return t.settle([]int{i}, t.c.refusal(stageRCPT, r))
}

// tooMany reports whether a reply to RCPT is about the number of recipients. With
// a status code that says otherwise, it is a full mailbox or disk.
func tooMany(r reply) bool {
	if r.code != 452 && r.code != 552 {
		return false
	}
	e := r.enhanced()
	return e == "" || e[1:] == ".5.3"
}

func (t *transaction) onData(r reply) *Verdict {
	switch {
	case r.code == 354:
		t.goAhead = true
		return nil
	case len(t.accepted) == 0:
		return nil // as it should be: "554 no valid recipients"
	}
	return t.settle(t.accepted, t.c.refusal(stageDATA, r))
}

// settle gives all of who the verdict, unless it is trouble and ends everything.
func (t *transaction) settle(who []int, v *Verdict) *Verdict {
	if v.Trouble {
		return v
	}
	for _, i := range who {
		t.report(i, v)
	}
	return nil
}

// loneDot ends a message that nobody is to get: the server said 354 to a pipelined
// DATA though it took no recipient (RFC 2920 3.1).
func (t *transaction) loneDot() *Verdict {
	_, v := t.c.cmd(stageDot, t.c.cfg.Limits.Final, ".")
	return v
}

// body sends the message and gives the accepted recipients the verdict on it.
func (t *transaction) body() *Verdict {
	c := t.c
	if c.r.Buffered() > 0 {
		return c.lost(stageDATA, errUnasked)
	}
	var dot atomic.Bool
	// The wait for the reply begins with the dot; until then the session's end is the limit.
	_ = c.conn.SetReadDeadline(c.end) // fails only on a closed connection, and then so does the rest
	f := c.startFlight(func() error {
		err := t.m.Body.Send(blockWriter{c, c.cfg.Limits.Block}, &dot)
		switch {
		case errors.Is(err, content.ErrRead):
			c.abort() // RULES E6: no dot
		case err == nil:
			err = c.conn.SetReadDeadline(c.until(c.cfg.Limits.Final))
		}
		return err
	})
	r, rerr := readReply(c.r)
	early := !dot.Load()
	switch {
	case rerr != nil || early && r.class() < 4:
		c.abort()
	case early:
		// Refused half-way: the rest need not get through.
		defer time.AfterFunc(c.cfg.Limits.Linger, c.abort).Stop()
	}
	werr := f.wait()
	if errors.Is(werr, content.ErrRead) {
		return &Verdict{Outcome: outcome.Defer("4.3.0", "%v", werr), Stage: stageDot, Reason: outcome.Clean(werr.Error())}
	}
	v := t.judge(r, early, rerr, werr)
	known := rerr == nil && (r.class() >= 4 || v.Class == outcome.Done)
	if !known && dot.Load() {
		// The server may have the whole message and deliver it; to give it to
		// another at once would make two of it (RULES E4).
		v.Trouble = false
	}
	if e := t.settle(t.accepted, v); e != nil {
		return e
	}
	if !known || werr != nil {
		return c.lost(stageDot, cmp.Or(rerr, werr, errUnasked))
	}
	c.doubt = false
	return nil
}

// judge is the verdict on a message of which all or, early, a part was sent.
func (t *transaction) judge(r reply, early bool, rerr, werr error) *Verdict {
	c := t.c
	switch {
	case rerr != nil && werr != nil && errors.Is(rerr, net.ErrClosed):
		return c.lost(stageDot, werr) // no reply came that would explain it
	case rerr != nil:
		return c.lost(stageDot, rerr)
	case r.class() == 2 && early:
		return c.lost(stageDot, errUnasked)
	case r.class() != 2:
		return c.refusal(stageDot, r)
	}
	v := &Verdict{Outcome: outcome.Success("%s", c.clean(r.text())), Stage: stageDot, Reason: c.clean(r.text())}
	if e := r.enhanced(); e != "" {
		v.Code = e
	}
	v.Reports = c.caps.dsn
	return v
}

func (t *transaction) mailLine() string {
	c, m := t.c, t.m
	line := "MAIL FROM:" + path(m.Sender)
	if c.caps.size {
		line += " SIZE=" + strconv.FormatInt(m.Facts.Size, 10)
	}
	if c.caps.eightBit && m.Facts.EightBit {
		line += " BODY=8BITMIME"
	}
	if !isASCII(m.Sender) || slices.ContainsFunc(t.batch, func(i int) bool { return !isASCII(m.Recipients[i].Address) }) {
		line += " SMTPUTF8"
	}
	if c.caps.dsn && m.Ret != dsn.RetDefault {
		line += " RET=" + m.Ret.String()
	}
	if c.caps.dsn && m.EnvID != "" {
		line += " ENVID=" + dsn.EncodeXText(m.EnvID)
	}
	return line
}

// rcptLine passes on what the submitter has asked for and adds nothing of its own
// (RFC 3461 5.2.1).
func (t *transaction) rcptLine(i int) string {
	r := &t.m.Recipients[i]
	line := "RCPT TO:" + path(r.Address)
	if t.c.caps.dsn && r.Notify != 0 {
		line += " NOTIFY=" + r.Notify.String()
	}
	if kind, address, ok := strings.Cut(r.Original, ";"); t.c.caps.dsn && ok && isAtom(kind) {
		line += " ORCPT=" + kind + ";" + dsn.EncodeXText(address)
	}
	return line
}

// isAtom keeps what the runner says from being more than one parameter.
func isAtom(s string) bool {
	return s != "" && strings.Trim(s, "-0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz") == ""
}

// path is an address that passed Conn.screen, as it goes into a command: parsed
// anew, so that what is sent is what was checked.
func path(address string) string {
	a, err := mailaddr.ParseSender(address)
	if err != nil {
		return "<>" // cannot be
	}
	return "<" + a.String() + ">"
}
