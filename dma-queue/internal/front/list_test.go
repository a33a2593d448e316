package front

import (
	"errors"
	"io"
	"strings"
	"testing"

	"dma/proto"
)

// listFrom runs a listing against a peer that sends these messages and is gone.
func listFrom(t *testing.T, messages ...proto.Message) error {
	t.Helper()
	ours, f, err := proto.Pair()
	if err != nil {
		t.Fatal(err)
	}
	defer ours.Close()
	peer, err := proto.NewConn(f)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range messages {
		if err := peer.Send(1, m, nil); err != nil {
			t.Fatal(err)
		}
	}
	go func() {
		peer.Recv(0, proto.TypeList)
		peer.Close()
	}()
	l := listing{w: io.Discard}
	return l.talk(ours)
}

// TestListFromHostilePeer: whatever the runner sends, mailq ends with an error
// and does not ask again for what it has printed in part.
func TestListFromHostilePeer(t *testing.T) {
	item := &proto.Item{ID: "a", Sender: "x", States: 1}
	state := &proto.State{Recipient: "r"}
	for name, c := range map[string]struct {
		messages []proto.Message
		want     error
		begun    bool
	}{
		"complete":          {[]proto.Message{item, state, &proto.End{Count: 1}}, nil, true},
		"empty":             {[]proto.Message{&proto.End{}}, nil, false},
		"nothing":           {nil, io.EOF, false},
		"cut":               {[]proto.Message{item, state}, io.EOF, true},
		"cut in an item":    {[]proto.Message{item}, io.EOF, true},
		"wrong count":       {[]proto.Message{item, state, &proto.End{Count: 2}}, proto.ErrProtocol, true},
		"state too many":    {[]proto.Message{item, state, state}, proto.ErrProtocol, true},
		"state too few":     {[]proto.Message{item, item}, proto.ErrProtocol, true},
		"something else":    {[]proto.Message{&proto.Ack{}}, proto.ErrProtocol, false},
		"more than one end": {[]proto.Message{&proto.End{}, &proto.End{Count: 5}}, nil, false},
	} {
		err := listFrom(t, c.messages...)
		if !errors.Is(err, c.want) || c.want == nil && err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if errors.Is(c.want, io.EOF) && errors.Is(err, errStarted) != c.begun {
			t.Errorf("%s: %v, begun %v", name, err, c.begun)
		}
	}
}

func TestTerminalIsSafe(t *testing.T) {
	var out strings.Builder
	l := listing{w: &out, verbose: true}
	l.print(&proto.Item{ID: "a", Sender: "\u009b31m"}, &proto.State{Recipient: "\xff", Reason: "x\u009by"})
	for _, r := range out.String() {
		if r >= 0x80 && r < 0xa0 || r == 0xfffd || r < 0x20 && r != '\n' && r != '\t' {
			t.Errorf("printed %q", out.String())
		}
	}
}
