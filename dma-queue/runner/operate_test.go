package main

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"dma/common/conf"
	"dma/common/sysexits"
	"dma/dma-queue/internal/schedule"
	"dma/proto"
)

// ask connects as a front end that wants an answer.
func (r *root) ask(t *testing.T, m proto.Message) *proto.Conn {
	t.Helper()
	c, err := proto.Dial(r.dir+"/spool/run/control", patience)
	must(t, err)
	t.Cleanup(c.Close)
	_, err = c.Greet()
	must(t, err)
	must(t, c.Send(1, m, nil))
	return c
}

func (r *root) ack(t *testing.T, m proto.Message) proto.Ack {
	t.Helper()
	c := r.ask(t, m)
	defer c.Close()
	p, err := c.Recv(patience, proto.TypeAck)
	must(t, err)
	return *p.Message.(*proto.Ack)
}

// list is what there is, with an h for what is held.
func (r *root) list(t *testing.T) (items []string) {
	t.Helper()
	c := r.ask(t, &proto.List{Selection: proto.All()})
	defer c.Close()
	for {
		p, err := c.Recv(patience, proto.TypeItem, proto.TypeState, proto.TypeEnd)
		must(t, err)
		switch m := p.Message.(type) {
		case *proto.State:
			items[len(items)-1] += " " + m.Original
		case *proto.Item:
			item := "-"
			if m.Held {
				item = "h"
			}
			items = append(items, item)
		case *proto.End:
			return items
		}
	}
}

// operated: an operator's requests work, and outlive the runner. Once the last
// message is gone it ends.
func operated(t *testing.T, r *root) {
	r.refuse = true
	r.submit(t, "bob")
	r.submit(t, "carol")
	n := r.start(t)
	eventually(t, "deferred", func() bool { return len(r.files(t, "queue")) == 4 && len(r.files(t, "incoming")) == 0 })
	bob := proto.Selection{By: proto.ByRecipient, Value: "bob"}
	if got := r.ack(t, &proto.Hold{Selection: bob}); got != (proto.Ack{Count: 1}) {
		t.Errorf("hold: %+v", got)
	}
	must(t, n.cmd.Process.Kill())
	n.exit(t)
	n = r.start(t)
	eventually(t, "listens", r.listens)
	if got := r.list(t); !slices.Equal(got, []string{"h bob", "- carol"}) {
		t.Errorf("the queue has %q", got)
	}
	r.mu.Lock()
	r.refuse = false
	r.mu.Unlock()
	if got := r.ack(t, &proto.Flush{Selection: proto.All()}); got != (proto.Ack{Count: 1}) {
		t.Errorf("flush: %+v", got)
	}
	eventually(t, "carol has it", func() bool { return r.count("carol") == 1 && len(r.files(t, "queue")) == 2 })
	if r.count("bob") != 0 || !n.running() {
		t.Errorf("bob has %d messages", r.count("bob"))
	}
	if got := r.ack(t, &proto.Remove{Selection: proto.All()}); got != (proto.Ack{Count: 1}) {
		t.Errorf("remove: %+v", got)
	}
	if code := n.exit(t); code != sysexits.OK {
		t.Errorf("exit code %d", code)
	}
	r.check(t, "carol")
	if r.count("bob") != 0 {
		t.Error("delivered after it was removed")
	}
	r.waitLog(t, fmt.Sprintf("removed by uid=%d", os.Getuid()))
}

// verified: the way out is named as dma.conf says.
func verified(t *testing.T, r *root) {
	r.configure(t, "MAILNAME first.example\nSMARTHOST relay.example:2525\n")
	must(t, os.WriteFile(r.dir+"/etc/aliases", []byte("team: bob, x@far.example\n"), 0o600))
	r.start(t)
	eventually(t, "listens", r.listens)
	c := r.ask(t, &proto.Verify{Address: "team"})
	var got []string
	for {
		p, err := c.Recv(patience, proto.TypeVerdict, proto.TypeEnd)
		must(t, err)
		v, ok := p.Message.(*proto.Verdict)
		if !ok {
			break
		}
		got = append(got, fmt.Sprintf("%d %s: %s", v.Depth, v.Address, v.Outcome.Text))
	}
	want := []string{"0 team: alias", "1 bob@first.example: mailbox", "1 x@far.example: smarthost relay.example:2525"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q", got)
	}
}

// watched: a front end sees what becomes of its message, that comes when the
// runner has nothing else to do.
func watched(t *testing.T, r *root) {
	n := r.start(t)
	eventually(t, "listens", r.listens)
	c := r.ask(t, &proto.Watch{ID: "0123456789abc.0123456789ab"})
	_, err := c.Recv(patience, proto.TypeAck)
	must(t, err)
	r.submitAs(t, "0123456789abc.0123456789ab", "bob")
	must(t, c.Send(2, &proto.Wake{}, nil))
	var got []string
	for {
		p, err := c.Recv(patience, proto.TypeEvent, proto.TypeEnd)
		must(t, err)
		e, ok := p.Message.(*proto.Event)
		if !ok {
			break
		}
		got = append(got, fmt.Sprint(e.Step, " ", e.Recipient))
	}
	if want := "2 bob@first.example|3 bob@first.example"; strings.Join(got, "|") != want {
		t.Errorf("saw %q", got)
	}
	c.Close()
	if code := n.exit(t); code != sysexits.OK {
		t.Errorf("exit code %d", code)
	}
	r.check(t, "bob")
}

// TestVia: lanes and people name the same ways.
func TestVia(t *testing.T) {
	for _, tt := range []struct{ conf, sender, lane, via string }{
		{"", "a@b.example", "d.example", "mail hosts of d.example"},
		{"SMARTHOST relay.example\n", "a@b.example", "", "smarthost relay.example:25"},
		{"SMARTHOST [2001:db8::1]:587, other.example\n", "", "", "smarthost [2001:db8::1]:587, other.example:25"},
		{"SENDERMAP @b.example relay.example\n", "a@b.example", schedule.RoutePrefix + "@b.example", "smarthost relay.example:25 for senders @b.example"},
		{"SENDERMAP @b.example relay.example\n", "a@c.example", "d.example", "mail hosts of d.example"},
	} {
		cf, warnings, err := conf.Parse(strings.NewReader(tt.conf), "dma.conf")
		if err != nil || len(warnings) > 0 {
			t.Fatal(warnings, err)
		}
		if got := lane(cf, tt.sender, "x@D.example"); got != tt.lane {
			t.Errorf("%q: lane %q, want %q", tt.conf, got, tt.lane)
		}
		if got := via(cf, tt.sender, "x@D.example"); got != tt.via {
			t.Errorf("%q: via %q, want %q", tt.conf, got, tt.via)
		}
	}
}

// deferred: with DEFER a runner that was started to be asked tries nothing, ends,
// and leaves what is there for the one that is flushed.
func deferred(t *testing.T, r *root) {
	r.configure(t, "MAILNAME first.example\nDEFER\n")
	r.submit(t, "bob")
	n := r.start(t)
	eventually(t, "listens", r.listens)
	if items := r.list(t); len(items) != 1 {
		t.Errorf("listed %q", items)
	}
	if code := n.exit(t); code != sysexits.OK || r.count("bob") > 0 || len(r.files(t, "incoming")) != 1 {
		t.Fatalf("exit code %d, %d delivered, incoming has %q", code, r.count("bob"), r.files(t, "incoming"))
	}
	n = r.start(t)
	eventually(t, "listens", r.listens)
	if ack := r.ack(t, &proto.Flush{Selection: proto.All()}); ack.Count != 1 {
		t.Errorf("flushed %+v", ack)
	}
	if code := n.exit(t); code != sysexits.OK {
		t.Errorf("exit code %d", code)
	}
	r.check(t, "bob")
}

// otherCase: Bob is bob if nobody else is.
func otherCase(t *testing.T, r *root) {
	must(t, os.WriteFile(r.dir+"/etc/passwd", []byte("bob:x:1:1::/:/bin/sh\nCarol:x:2:2::/:/bin/sh\ncarol:x:3:3::/:/bin/sh\n"), 0o600))
	r.submit(t, "Bob")
	r.submit(t, "Carol")
	r.submit(t, "DAVE")
	if code := r.start(t).exit(t); code != sysexits.OK {
		t.Errorf("exit code %d", code)
	}
	r.check(t, "bob", "Carol", "DAVE")
}
