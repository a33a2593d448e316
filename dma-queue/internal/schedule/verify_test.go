package schedule

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"dma/common/outcome"
	"dma/proto"
)

func TestVerify(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.forwards["alice"] = []proto.Target{
		{Kind: proto.TargetMailbox, Address: "alice"},
		{Kind: proto.TargetCommand, Token: proto.Token{Index: 1}},
		{Kind: proto.TargetFile, Token: proto.Token{Index: 2}},
		{Kind: proto.TargetAddress, Address: "bob"},
	}
	w.forwards["bob"] = []proto.Target{{Kind: proto.TargetMailbox, Address: "dave"}}
	w.forwards["back"] = []proto.Target{{Kind: proto.TargetAddress, Address: "back2"}}
	w.forwards["back2"] = []proto.Target{{Kind: proto.TargetAddress, Address: "back"}}
	w.forwards["wrong"] = []proto.Target{{Address: "writable by others"}}
	w.forwards["typo"] = []proto.Target{{Kind: proto.TargetAddress, Address: "gone"}, {Kind: proto.TargetAddress, Address: "x@remote.example"}}
	w.refuse["gone"] = proto.RefusedUnknown
	w.refuse["root"] = proto.RefusedForbidden
	w.refuse["ldap"] = proto.RefusedLater
	w.start()
	alice := Caller{Known: true, UID: 1001, Login: "alice"}
	for _, tt := range []struct {
		name, address string
		caller        Caller
		want          []string
	}{
		{"remote", "x@remote.example", Caller{}, []string{"x@remote.example 2.0.0 mail hosts of remote.example"}},
		{"malformed", "a b", root, []string{`a b 5.1.3 "a b" is not an address: `}},
		{"unknown", "gone", root, []string{`gone@host.example 5.1.1 no user "gone" here`}},
		{"root", "root", root, []string{"root@host.example 2.0.0 mailbox"}},
		{"not to be had", "ldap", root, []string{"ldap@host.example 4.3.0 refused by the test"}},
		{"mailbox", "eve", root, []string{"eve@host.example 2.0.0 mailbox"}},
		{"wrong file", "wrong", root, []string{"wrong@host.example 4.3.0 writable by others"}},
		{"of another", "wrong", alice, []string{"wrong@host.example 2.0.0 user; what this user's .forward says is not shown to others"}},
		{"of somebody, to nobody", "alice", Caller{}, []string{"alice@host.example 2.0.0 user; what this user's .forward says is not shown to others"}},
		{"one's own", "alice", alice, []string{
			"alice@host.example 2.0.0 .forward",
			"  alice@host.example 2.0.0 mailbox",
			"  alice@host.example 2.0.0 command, entry 2 of the .forward",
			"  alice@host.example 2.0.0 file, entry 3 of the .forward",
			"  bob@host.example 2.0.0 user; what this user's .forward says is not shown to others",
		}},
		{"alias", "team", root, []string{
			"team 2.0.0 alias",
			"  alice@host.example 2.0.0 .forward",
			"    alice@host.example 2.0.0 mailbox",
			"    alice@host.example 2.0.0 command, entry 2 of the .forward",
			"    alice@host.example 2.0.0 file, entry 3 of the .forward",
			"    bob 2.0.0 alias; the mail goes there already",
			"  bob@host.example 2.0.0 .forward",
			"    dave@host.example 2.0.0 mailbox",
		}},
		{"circle", "back", root, []string{
			"back@host.example 2.0.0 .forward",
			"  back2@host.example 2.0.0 .forward",
			"    back@host.example 2.0.0 mailbox",
		}},
		{"typo in a file", "typo", root, []string{
			"typo@host.example 2.0.0 .forward",
			`  gone@host.example 4.1.1 no user "gone" here; correct the alias or .forward that names it`,
			"  x@remote.example 2.0.0 mail hosts of remote.example",
		}},
	} {
		var got []string
		err := w.s.Verify(tt.caller, "carol@host.example", tt.address, func(v *proto.Verdict) error {
			got = append(got, fmt.Sprintf("%s%s %s %s", strings.Repeat("  ", int(v.Depth)), v.Address, v.Outcome.Code, v.Outcome.Text))
			if !v.Outcome.Valid() {
				t.Errorf("%s: outcome %+v", tt.name, v.Outcome)
			}
			return nil
		})
		same := err == nil && len(got) == len(tt.want)
		for i := range tt.want {
			same = same && strings.HasPrefix(got[i], tt.want[i])
		}
		if !same {
			t.Errorf("%s: %v\n%s\nwant\n%s", tt.name, err, strings.Join(got, "\n"), strings.Join(tt.want, "\n"))
		}
	}
	stop := errors.New("gone")
	if err := w.s.Verify(root, "", "team", func(*proto.Verdict) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("went on for nobody: %v", err)
	}
	w.finish()
	w.empty()
}

// A destination that is down is told, with the reason.
func TestVerifyDown(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.send = func(_ *proto.Send, rcpts []string) []*proto.Result {
		return []*proto.Result{dead("connection refused")}
	}
	w.submit("carol@host.example", "x@remote.example")
	w.start()
	w.rests(1)
	var got proto.Verdict
	if err := w.s.Verify(root, "", "y@remote.example", func(v *proto.Verdict) error { got = *v; return nil }); err != nil {
		t.Fatal(err)
	}
	if got.Outcome.Class != outcome.Later || !strings.HasSuffix(got.Outcome.Text, ": connection refused") {
		t.Errorf("%+v", got)
	}
	w.stop()
}

func TestProbe(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.start()
	read := func() (list []string) {
		s, err := w.s.Probe(root, &proto.Probe{Domain: "d.example"})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		for {
			m, err := s.Next()
			if err != nil {
				if !errors.Is(err, io.EOF) {
					t.Error(err)
				}
				return list
			}
			r := m.(*proto.Report)
			list = append(list, r.Level.String()+" "+r.Found)
		}
	}
	if got := read(); !slices.Equal(got, []string{"ok d.example0", "ok d.example1", "ok d.example2"}) {
		t.Errorf("reports %q", got)
	}
	w.mu.Lock()
	w.dieOnce[proto.RoleRemote] = true
	w.mu.Unlock()
	if got := read(); len(got) != 1 || !strings.HasPrefix(got[0], "error the program") {
		t.Errorf("reports %q", got)
	}
	w.mu.Lock()
	w.refuse[""] = proto.RefusedLater
	w.mu.Unlock()
	w.inLoop("no helper", func() bool { return len(w.s.workers) == 0 })
	if got := read(); len(got) != 1 || got[0] != "error refused by the test" {
		t.Errorf("reports %q", got)
	}
	w.finish()
}

// dma-remote may not say of a message what is for a probe.
func TestReportsUnasked(t *testing.T) {
	t.Parallel()
	for name, m := range map[string]proto.Message{"report": &proto.Report{Level: proto.LevelOK}, "end": &proto.End{}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.hijack = func(role proto.Role, _ string, c *proto.Conn) bool {
				_ = c.Send(0, &proto.Hello{Version: proto.Version}, nil)
				p, err := c.Recv(0, proto.TypeSend)
				if err != nil {
					return true
				}
				p.File.Close()
				_ = c.Send(p.Request, m, nil)
				_, _ = c.Recv(0, proto.TypeRcpt)
				if _, err = c.Recv(0, proto.TypeRcpt); err == nil {
					t.Error("the channel goes on")
				}
				return true
			}
			w.submit("carol@host.example", "x@remote.example")
			w.start()
			w.rests(1)
			w.stop()
		})
	}
}
