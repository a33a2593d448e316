package main

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"dma/common/outcome"
	"dma/proto"
)

func (h *helper) cancel(request uint32) {
	h.t.Helper()
	if err := h.conn.Send(request, &proto.Cancel{}, nil); err != nil {
		h.t.Fatal(err)
	}
}

func waitForFile(t *testing.T, path string) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(time.Millisecond) {
		if _, err := os.Stat(path); err == nil {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("there is no %s", path)
		}
	}
}

// A command that is given up ends; one that waits behind it does not begin; others go on.
func TestCancelCommand(t *testing.T) {
	h := start(t, private, nil)
	tokens := h.forward("|touch begun; sleep 100; touch ended\n|touch second\n|touch third\n")
	deliver := func(i int) uint32 {
		return h.send(proto.Deliver{Kind: proto.TargetCommand, Token: tokens[i], Recipient: "a@h", Original: "a@h"}, text)
	}
	first, second, third := deliver(0), deliver(1), deliver(2)
	waitForFile(t, filepath.Join(h.home, "begun"))
	begun := time.Now()
	h.cancel(second)
	h.want(second, outcome.Later, proto.ScopeTarget, "given up")
	h.cancel(first)
	h.want(first, outcome.Later, proto.ScopeTarget, "was stopped, as the mail system ends or the message was removed")
	h.want(third, outcome.Done, proto.ScopeTarget, "")
	if d := time.Since(begun); d > 20*time.Second {
		t.Errorf("took %v", d)
	}
	h.cancel(first) // crossed its result
	h.cancel(4711)
	h.want(deliver(2), outcome.Done, proto.ScopeTarget, "")
	h.finish()
	for _, name := range []string{"ended", "second"} {
		if _, err := os.Stat(filepath.Join(h.home, name)); err == nil {
			t.Errorf("there is %s", name)
		}
	}
}

// A message that waits for the mailbox with others is given up alone.
func TestCancelMailbox(t *testing.T) {
	h := start(t, private, nil)
	lock := h.mailbox() + ".lock"
	if err := os.WriteFile(lock, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	d := proto.Deliver{Kind: proto.TargetMailbox, Sender: "s@x", Recipient: h.login + "@h", Original: h.login}
	var requests []uint32
	for _, body := range []string{"one", "two", "three"} {
		requests = append(requests, h.send(d, "Subject: x\n\n"+body+"\n"))
	}
	// By now they may be taken up together, or not: both must do.
	if p, err := h.conn.Recv(200*time.Millisecond, proto.TypeResult, proto.TypeLog); err == nil && p.Message.Type() == proto.TypeResult {
		t.Fatalf("delivered though it is locked: %+v", p.Message)
	}
	h.cancel(requests[1])
	h.want(requests[1], outcome.Later, proto.ScopeTarget, "given up")
	if err := os.Remove(lock); err != nil {
		t.Fatal(err)
	}
	h.want(requests[0], outcome.Done, proto.ScopeTarget, "mailbox")
	h.want(requests[2], outcome.Done, proto.ScopeTarget, "mailbox")
	h.finish()
	b, err := os.ReadFile(h.mailbox())
	if err != nil || strings.Count(string(b), "Subject: x") != 2 || strings.Contains(string(b), "two") {
		t.Errorf("mailbox holds %q, %v", b, err)
	}
}

// What is there is taken, however late it is.
func TestNextLate(t *testing.T) {
	in := &intake{packets: make(chan proto.Packet, 1)}
	for range 1000 {
		in.packets <- proto.Packet{}
		if _, err := in.next(false, time.Time{}); err != nil {
			t.Fatal(err)
		}
		if _, err := in.next(false, time.Time{}); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatal(err)
		}
	}
}
