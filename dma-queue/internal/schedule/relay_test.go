package schedule

import (
	"testing"

	"dma/proto"
)

// Helpers have their lines written, under their names, as long as they are few.
func TestRelay(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const id = "0123456789abc.0123456789ab"
	flooded := make(chan error, 2)
	w.hijack = func(role proto.Role, login string, c *proto.Conn) bool {
		if role == proto.RoleForward {
			return false
		}
		_ = c.Send(0, &proto.Hello{Version: proto.Version}, nil)
		_ = c.Send(0, &proto.Log{Priority: 0, ID: id, Text: "urgent"}, nil)
		_ = c.Send(0, &proto.Log{Priority: 6, ID: "no id", Text: "other"}, nil)
		if login == "alice" {
			if p, err := c.Recv(0, proto.TypeDeliver); err == nil {
				w.answerDeliver(c, p, p.Message.(*proto.Deliver))
				_, _ = c.Recv(0, proto.TypeDeliver)
			}
			return true
		}
		var err error
		for range 2*logLines + logFlood + 1000 {
			if err == nil {
				err = c.Send(0, &proto.Log{Priority: 6, Text: "again"}, nil)
			}
		}
		flooded <- err
		return true
	}
	w.submit("carol@host.example", "alice", "mallory")
	w.start()
	if err := <-flooded; err == nil {
		t.Error("the log can be flooded")
	}
	w.rests(1)
	w.mu.Lock()
	w.hijack = nil
	w.mu.Unlock()
	w.flush()
	w.finish()
	count := func(line string) (n int) {
		for _, l := range w.lines {
			if l == line {
				n++
			}
		}
		return n
	}
	for line, most := range map[string]int{
		"dma[" + id + "]: dma-local for alice: urgent":        1,
		"dma: dma-local for alice: other":                     1,
		"dma: dma-local for mallory: more lines were dropped": 4,
	} {
		if n := count(line); n < 1 || n > most {
			t.Errorf("%d lines %q", n, line)
		}
	}
	if n := count("dma: dma-local for mallory: again"); n == 0 || n > 4*logLines {
		t.Errorf("%d lines of a flood", n)
	}
	w.empty()
}

// Every job lets its helper say so much more.
func TestLogAllowance(t *testing.T) {
	v := &worker{key: laneKey{proto.RoleMailbox, "alice"}}
	for range 3 {
		v.allowLog()
	}
	if n := v.lines.Load(); n != 3*logLines {
		t.Errorf("%d lines", n)
	}
	v.lines.Store(-7)
	v.allowLog()
	if n := v.lines.Load(); n != logLines {
		t.Errorf("%d lines after some were dropped", n)
	}
	for range 1000 {
		v.allowLog()
	}
	if n := v.lines.Load(); n != mailboxJobs*logLines {
		t.Errorf("%d lines at most", n)
	}
}
