package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"dma/common/outcome"
	"dma/proto"
)

// standIn stands in for the runner at the control socket.
type standIn struct {
	listener *proto.Listener
	log      string // file with a line for each request
	queue    []entry
	script   []proto.Message // events for a Watch, verdicts for a Verify
	dies     bool            // behind the script
	flaky    bool            // every other connection is closed at once
}

type entry struct {
	item   proto.Item
	states []proto.State
}

// serve answers one connection after the other until the listener is closed.
func (s *standIn) serve() {
	for n := 0; ; n++ {
		c, err := s.listener.Accept()
		if err != nil {
			return
		}
		if s.flaky && n%2 == 0 {
			c.Close()
			continue
		}
		if err := s.answer(c); err != nil {
			s.note(err.Error())
		}
		c.Close()
	}
}

func (s *standIn) note(line string) {
	f, err := os.OpenFile(s.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err == nil {
		fmt.Fprintln(f, line)
		f.Close()
	}
}

func (s *standIn) answer(c *proto.Conn) error {
	if _, err := c.RecvHello(); err != nil {
		return err
	}
	// Whoever only wakes the runner may be gone by now.
	if err := c.Send(0, &proto.Hello{Version: proto.Version}, nil); err != nil && !errors.Is(err, syscall.EPIPE) {
		return err
	}
	first, watched, watch := true, false, uint32(0)
	for {
		p, err := c.Recv(10*time.Second, proto.TypeWake, proto.TypeFlush, proto.TypeList, proto.TypeWatch, proto.TypeVerify)
		if errors.Is(err, io.EOF) && first {
			p.Message, err = &proto.Wake{}, nil // it did not wait for our Hello, which is an error that goes before its Wake
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		first = false
		s.note(strings.ToLower(strings.TrimPrefix(fmt.Sprintf("%T", p.Message), "*proto.")))
		switch p.Message.(type) {
		case *proto.Wake:
			if !watched {
				return nil
			}
			if err := s.play(c, watch, proto.TypeEvent); err != nil || s.dies {
				return err
			}
		case *proto.Watch:
			watched, watch = true, p.Request
			err = c.Send(p.Request, &proto.Ack{Count: 1}, nil)
		case *proto.Verify:
			err = s.play(c, p.Request, proto.TypeVerdict)
		case *proto.Flush:
			err = c.Send(p.Request, &proto.Ack{}, nil)
		case *proto.List:
			err = s.list(c, p.Request)
		}
		if err != nil {
			return err
		}
	}
}

// play sends what the script has of one type, and an End unless it dies.
func (s *standIn) play(c *proto.Conn, request uint32, typ proto.Type) error {
	n := uint32(0)
	for _, m := range s.script {
		if m.Type() == typ {
			n++
			if err := c.Send(request, m, nil); err != nil {
				return err
			}
		}
	}
	if s.dies {
		return nil
	}
	return c.Send(request, &proto.End{Count: n}, nil)
}

func (s *standIn) list(c *proto.Conn, request uint32) error {
	for _, e := range s.queue {
		if err := c.Send(request, &e.item, nil); err != nil {
			return err
		}
		for _, st := range e.states {
			if err := c.Send(request, &st, nil); err != nil {
				return err
			}
		}
	}
	return c.Send(request, &proto.End{Count: uint32(len(s.queue))}, nil)
}

// parse reads the script of the stand-in: of a queue, lines "item id sender
// arrived size uid [active] [dead]" and "state recipient tries next reason"; of a
// delivery, "event step recipient remote text"; of an address, "verdict depth
// address class text"; "dies" hangs up where an End would come.
func (s *standIn) parse(text string) (err error) {
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		number := func(i int) uint8 { n, _ := strconv.ParseUint(f[i], 10, 8); return uint8(n) }
		switch {
		case f[0] == "event" && len(f) >= 4:
			s.script = append(s.script, &proto.Event{
				Step: proto.Step(number(1)), Recipient: f[2], Remote: strings.Trim(f[3], "-"), Text: strings.Join(f[4:], " "),
			})
		case f[0] == "verdict" && len(f) >= 4:
			class := outcome.Class(number(3))
			s.script = append(s.script, &proto.Verdict{Depth: number(1), Address: f[2], Outcome: outcome.Outcome{
				Class: class, Code: map[outcome.Class]string{1: "2.0.0", 2: "4.0.0", 3: "5.0.0"}[class], Text: strings.Join(f[4:], " "),
			}})
		case f[0] == "dies":
			s.dies = true
		default:
			if s.queue, err = parseQueue(text); err != nil {
				return err
			}
			return nil
		}
	}
	return nil
}

// parseQueue reads lines "item id sender arrived size uid [active] [dead]" and
// "state recipient tries next reason".
func parseQueue(text string) ([]entry, error) {
	var q []entry
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		number := func(i int) int64 { n, _ := strconv.ParseInt(f[i], 10, 64); return n }
		switch {
		case len(f) >= 6 && f[0] == "item":
			q = append(q, entry{item: proto.Item{
				ID: f[1], Sender: strings.Trim(f[2], "<>"), Arrived: number(3), Size: number(4), UID: uint32(number(5)),
				Active: strings.Contains(line, "active"), Dead: strings.Contains(line, "dead"),
			}})
		case len(f) >= 4 && f[0] == "state" && len(q) > 0:
			e := &q[len(q)-1]
			e.item.States++
			e.states = append(e.states, proto.State{
				Recipient: f[1], Original: f[1], Tries: uint32(number(2)), Next: number(3), Reason: strings.Join(f[4:], " "),
			})
		default:
			return nil, fmt.Errorf("line %q", line)
		}
	}
	return q, nil
}

// waitFor waits for a file that is there at once, or soon.
func waitFor(path string) ([]byte, error) {
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		b, err := os.ReadFile(path)
		if err == nil || !errors.Is(err, os.ErrNotExist) || time.Now().After(end) {
			return b, err
		}
	}
}

// TestMain makes the test binary the stand-in for a runner that dma-spawn
// starts, when it is called as one.
func TestMain(m *testing.M) {
	if filepath.Base(os.Args[0]) == "late-runner" {
		os.Exit(lateRunner(os.Args[1]))
	}
	os.Exit(m.Run())
}

// lateRunner takes its time to listen, answers two requests and ends.
func lateRunner(spool string) int {
	time.Sleep(300 * time.Millisecond)
	l, err := proto.Listen(spool + "/run/control")
	if err != nil {
		return 1
	}
	s := &standIn{listener: l, log: spool + "/requests"}
	c, err := l.Accept()
	if err != nil || s.answer(c) != nil {
		return 1
	}
	c.Close()
	return 0
}
