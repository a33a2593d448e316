package main

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"dma/common/forward"
	"dma/common/outcome"
	"dma/proto"
)

// user is whose .forward is read.
type user struct {
	login string
	uid   uint32
	home  string
}

func (u user) path() string { return strings.TrimRight(u.home, "/") + "/.forward" }

// serve answers the runner until it has closed the channel.
func serve(conn *proto.Conn, u user) error {
	for {
		p, err := conn.Recv(0, proto.TypeExpand)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err == nil {
			err = answer(conn, p.Request, u)
		}
		if err != nil {
			return err
		}
	}
}

// answer reads the file, anew each time, and sends what it says.
func answer(conn *proto.Conn, request uint32, u user) error {
	targets, err := expand(u)
	if err != nil {
		return conn.Send(request, &proto.Fail{Outcome: deferral(err)}, nil)
	}
	for i := range targets {
		if err := conn.Send(request, &targets[i], nil); err != nil {
			return err
		}
	}
	return conn.Send(request, &proto.End{Count: uint32(len(targets))}, nil)
}

// errNotYet says that an entry is right, but that this version cannot serve it.
var errNotYet = errors.New("not supported by this version of dma")

// expand returns the targets that the file names; none if there is no file, or
// nothing in it, which both mean the user's mailbox (RULES C2).
func expand(u user) ([]proto.Target, error) {
	text, exists, err := forward.Open(u.home, u.uid)
	if err != nil || !exists {
		return nil, err
	}
	entries, err := forward.Parse(text, u.login, u.home)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", u.path(), err)
	}
	var targets []proto.Target
	for i, e := range entries {
		t := proto.Target{}
		switch e.Kind {
		case forward.Mailbox:
			t.Kind, t.Address = proto.TargetMailbox, e.Login
		case forward.Address:
			t.Kind, t.Address = proto.TargetAddress, e.Address
		case forward.Command:
			t.Kind = proto.TargetCommand
			t.Token = proto.Token{Index: uint16(i), File: forward.FileHash(text), Entry: forward.EntryHash(e)}
		default:
			return nil, fmt.Errorf("%s: line %d: entry of kind %v: %w", u.path(), e.Line, e.Kind, errNotYet)
		}
		targets = append(targets, t)
	}
	return targets, nil
}

// deferral is what becomes of the mail after err: it waits until the user has put
// the file right. It neither bounces nor goes to the mailbox, whatever the
// trouble is (RULES C2).
func deferral(err error) outcome.Outcome {
	code := "4.3.0" // other mail system status
	var unsafe *forward.UnsafeError
	var syntax *forward.SyntaxError
	switch {
	case errors.As(err, &unsafe):
		code = "4.7.0" // other security status
	case errors.As(err, &syntax), errors.Is(err, errNotYet):
		code = "4.3.5" // system incorrectly configured
	}
	return outcome.Defer(code, "%v", err)
}
