package schedule

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"dma/common/outcome"
	"dma/proto"
)

// spawn stands in for dma-spawn.
func (w *world) spawn(c *proto.Conn) {
	for {
		p, err := c.Recv(0, proto.TypeStart)
		if err != nil {
			return
		}
		m := p.Message.(*proto.Start)
		w.mu.Lock()
		w.starts = append(w.starts, strings.TrimSpace(fmt.Sprint(m.Role, " ", m.Login)))
		why, spawning := w.refuse[m.Login], w.spawning
		w.mu.Unlock()
		if spawning != nil {
			spawning(m.Role)
		}
		if why == proto.RefusedForbidden && m.Role == proto.RoleMailbox && !w.forbidMailbox {
			why = 0 // as for root
		}
		if why != 0 {
			_ = c.Send(p.Request, &proto.Refused{Why: why, Text: "refused by the test"}, nil)
			continue
		}
		parent, file, err := proto.Pair()
		if err != nil {
			w.t.Error(err)
			return
		}
		_ = parent.Send(0, &proto.Hello{Version: proto.Version, Login: m.Login}, nil)
		child, err := proto.NewConn(file)
		if err != nil {
			w.t.Error(err)
			return
		}
		w.helpers.Go(func() { w.helper(m.Role, m.Login, child) })
		_ = c.Send(p.Request, &proto.Started{PID: 1}, parent.File()) // the runner may be gone
		parent.Close()
	}
}

// helper stands in for dma-forward, dma-local and dma-remote.
func (w *world) helper(role proto.Role, login string, c *proto.Conn) {
	defer c.Close()
	if _, err := c.RecvHello(); err != nil {
		return
	}
	w.mu.Lock()
	hijack := w.hijack
	w.mu.Unlock()
	if hijack != nil && hijack(role, login, c) {
		return
	}
	_ = c.Send(0, &proto.Hello{Version: proto.Version}, nil)
	for {
		p, err := c.Recv(0, proto.TypeExpand, proto.TypeDeliver, proto.TypeSend, proto.TypeCancel, proto.TypeProbe)
		if err != nil {
			return
		}
		w.mu.Lock()
		die, babble := w.dieOnce[role], w.babble == role
		delete(w.dieOnce, role)
		w.mu.Unlock()
		switch {
		case die:
			return
		case babble:
			_ = c.Send(p.Request+99, &proto.Result{Scope: proto.ScopeTarget, Outcome: outcome.Success("hm")}, nil)
			continue
		}
		switch m := p.Message.(type) {
		case *proto.Expand:
			w.mu.Lock()
			w.extensions = append(w.extensions, m.Extension)
			w.mu.Unlock()
			w.answerExpand(c, p.Request, login)
		case *proto.Cancel: // too late
		case *proto.Probe:
			w.answerProbe(c, p.Request, m)
		case *proto.Deliver:
			w.answerDeliver(c, p, m)
		case *proto.Send:
			if !w.answerSend(c, p, m) {
				return
			}
		}
	}
}

func (w *world) answerProbe(c *proto.Conn, request uint32, m *proto.Probe) {
	for i := range 3 {
		_ = c.Send(request, &proto.Report{Level: proto.LevelOK, About: "DNS", Found: fmt.Sprint(m.Domain, i)}, nil)
	}
	_ = c.Send(request, &proto.End{Count: 3}, nil)
}

func (w *world) answerExpand(c *proto.Conn, request uint32, login string) {
	w.mu.Lock()
	targets := slices.Clone(w.forwards[login])
	w.mu.Unlock()
	if len(targets) == 1 && targets[0].Kind == 0 {
		_ = c.Send(request, &proto.Fail{Outcome: outcome.Defer("4.3.5", "%s", targets[0].Address)}, nil)
		return
	}
	for i := range targets {
		_ = c.Send(request, &targets[i], nil)
	}
	_ = c.Send(request, &proto.End{Count: uint32(len(targets))}, nil)
}

func (w *world) answerDeliver(c *proto.Conn, p proto.Packet, m *proto.Deliver) {
	text, err := io.ReadAll(p.File)
	p.File.Close()
	if err != nil || int64(len(text)) != m.Size {
		w.t.Errorf("message of %d bytes, said to be %d: %v", len(text), m.Size, err)
	}
	r := &proto.Result{Scope: proto.ScopeTarget, Outcome: outcome.Success("ok")}
	w.mu.Lock()
	deliver := w.deliver
	w.mu.Unlock()
	if deliver != nil {
		r = deliver(m, string(text))
	}
	w.mu.Lock()
	if r.Outcome.Class == outcome.Done {
		w.got = append(w.got, fmt.Sprintf("%d %s", m.Kind, m.Recipient))
	}
	w.mu.Unlock()
	_ = c.Send(p.Request, r, nil)
}

func (w *world) answerSend(c *proto.Conn, p proto.Packet, m *proto.Send) bool {
	p.File.Close()
	var rcpts []string
	var full []proto.Rcpt
	for range m.Recipients {
		q, err := c.Recv(5*time.Second, proto.TypeRcpt)
		if err != nil {
			return false
		}
		rcpts = append(rcpts, q.Message.(*proto.Rcpt).Address)
		full = append(full, *q.Message.(*proto.Rcpt))
	}
	w.mu.Lock()
	w.sends = append(w.sends, m)
	w.rcpts = append(w.rcpts, full...)
	w.sent = append(w.sent, rcpts...)
	send := w.send
	w.mu.Unlock()
	var results []*proto.Result
	if send != nil {
		results = send(m, rcpts)
	} else {
		for range rcpts {
			results = append(results, &proto.Result{Scope: proto.ScopeTarget, Outcome: outcome.Success("ok")})
		}
	}
	for i, r := range results {
		r.Index = uint32(i)
		if r.Outcome.Class == outcome.Done {
			w.mu.Lock()
			w.got = append(w.got, "R "+rcpts[i])
			w.mu.Unlock()
		}
		if c.Send(p.Request, r, nil) != nil {
			return false
		}
	}
	return true
}
