package schedule

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"dma/common/outcome"
	"dma/dma-queue/internal/queue"
	"dma/dma-queue/internal/spool"
	"dma/proto"
)

// seen reads a stream to its end.
func seen(t *testing.T, s *Stream) (list []string) {
	t.Helper()
	defer s.Close()
	for {
		m, err := s.Next()
		if errors.Is(err, io.EOF) {
			return list
		}
		if err != nil {
			t.Fatal(err)
		}
		e := m.(*proto.Event)
		list = append(list, strings.TrimSpace(fmt.Sprintf("%d %s %s %s", e.Step, e.Recipient, e.Remote, e.Text)))
	}
}

func (w *world) watchIt(c Caller, id spool.ID) *Stream {
	w.t.Helper()
	s, err := w.s.Watch(c, id)
	if err != nil {
		w.t.Fatal(err)
	}
	return s
}

// The whole first try of a message, with all that can become of a recipient.
func TestWatch(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.forwards["bob"] = []proto.Target{
		{Kind: proto.TargetMailbox, Address: "bob"}, {Kind: proto.TargetCommand},
		{Kind: proto.TargetAddress, Address: "bob@remote.example"},
	}
	w.refuse["gone"] = proto.RefusedUnknown
	w.deliver = func(d *proto.Deliver, _ string) *proto.Result {
		if d.Kind == proto.TargetCommand {
			return result(outcome.Defer("4.2.0", "later"))
		}
		return result(outcome.Success("ok"))
	}
	w.send = func(*proto.Send, []string) []*proto.Result {
		r := result(outcome.Success("250 kept"))
		r.Remote = "mx [192.0.2.1]"
		return []*proto.Result{r}
	}
	w.submit("carol@host.example", "dave") // somebody else's is not told
	gate := w.picksWait()
	id := w.submit("carol@host.example", "team", "gone")
	w.start()
	s := w.watchIt(submitter(), id)
	close(gate)
	got := seen(t, s)
	for _, want := range []string{
		"1 team  alice@host.example", "1 team  bob@host.example",
		"2 alice@host.example", "3 alice@host.example  ok",
		"1 bob@host.example  the mailbox of bob", "1 bob@host.example  a command of bob", "1 bob@host.example  bob@remote.example",
		"2 bob@host.example", "3 bob@host.example  ok", "4 bob@host.example  later",
		"2 bob@remote.example", "3 bob@remote.example mx [192.0.2.1] 250 kept",
		`5 gone@host.example  no user "gone" here`,
	} {
		i := slices.Index(got, want)
		if i < 0 {
			t.Errorf("%q is missing", want)
			continue
		}
		got = slices.Delete(got, i, i+1)
	}
	if !slices.Equal(got, []string{"2 bob@host.example"}) { // the command's
		t.Errorf("and there is %q", got)
	}
	w.stop()
}

// What waits for a destination that is known to be down is not tried, which is
// told with the reason.
func TestWatchWhatIsNotTried(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.send = func(_ *proto.Send, rcpts []string) []*proto.Result {
		return []*proto.Result{dead("connection refused")}
	}
	w.submit("carol@host.example", "x@remote.example")
	w.start()
	w.rests(1)
	id := w.submit("carol@host.example", "y@remote.example")
	s := w.watchIt(root, id)
	w.s.Wake()
	if got, want := seen(t, s), []string{"4 y@remote.example  connection refused"}; !slices.Equal(got, want) {
		t.Errorf("saw %q", got)
	}
	gate := w.picksWait()
	id = w.submit("carol@host.example", "y@other.example")
	s = w.watchIt(root, id)
	over := make(chan struct{})
	go func() {
		defer close(over)
		w.operate("hold", root, byID(id), Tally{Done: 1})
	}()
	w.inLoop("ordered", func() bool { return len(w.s.orders) == 1 })
	close(gate)
	<-over
	if got, want := seen(t, s), []string{"4 y@other.example  the message is held"}; !slices.Equal(got, want) {
		t.Errorf("saw %q", got)
	}
	w.stop()
}

// A watch ends when its message is removed, is not the watcher's, was tried before,
// or does not come.
func TestWatchEnds(t *testing.T) {
	t.Parallel()
	for name, act := range map[string]func(w *world) *Stream{
		"removed": func(w *world) *Stream {
			gate := w.picksWait()
			defer close(gate)
			id := w.submit("carol@host.example", "alice")
			s := w.watchIt(root, id)
			w.s.Wake()
			w.inLoop("being picked up", func() bool { return len(w.s.picking) == 1 })
			go w.operate("remove", root, byID(id), Tally{Done: 1})
			w.inLoop("ordered", func() bool { return len(w.s.orders) == 1 })
			return s
		},
		"another's": func(w *world) *Stream {
			id := w.submit("carol@host.example", "alice")
			s := w.watchIt(stranger(), id)
			w.s.Wake()
			return s
		},
		"another's, there already": func(w *world) *Stream {
			gate := make(chan struct{})
			w.mu.Lock()
			w.spawning = func(proto.Role) { <-gate }
			w.mu.Unlock()
			defer close(gate)
			id := w.submit("carol@host.example", "alice")
			w.s.Wake()
			w.inLoop("there", func() bool { return len(w.s.active) == 1 })
			return w.watchIt(stranger(), id)
		},
		"does not come": func(w *world) *Stream {
			s := w.watchIt(submitter(), "0123456789abc.0123456789ab")
			w.advance(watchLimit - time.Minute)
			w.s.call(func() {})
			w.advance(2 * time.Minute)
			return s
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.start()
			w.rests(0) // what is being submitted is not looked at before it is complete
			if got := seen(t, act(w)); len(got) > 0 {
				t.Errorf("saw %q", got)
			}
			w.finish()
		})
	}
	t.Run("tried before", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		later := true
		w.deferring(&later, &later)
		id := w.submit("carol@host.example", "alice")
		w.start()
		w.rests(1)
		if got := seen(t, w.watchIt(root, id)); len(got) > 0 {
			t.Errorf("saw %q", got)
		}
		w.stop()
	})
	t.Run("the run ends", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		w.start()
		s := w.watchIt(root, "0123456789abc.0123456789ab")
		w.stop()
		if _, err := s.Next(); !errors.Is(err, ErrEnding) {
			t.Errorf("ended with %v", err)
		}
		s.Close()
		if _, err := w.s.Watch(root, "0123456789abc.0123456789ab"); !errors.Is(err, ErrEnding) {
			t.Errorf("watched afterwards: %v", err)
		}
	})
}

// While somebody watches, the run does not end; nobody may keep it for ever, or
// have it remember more and more.
func TestWatchesAreBounded(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.start()
	var all []*Stream
	for i := range maxWatches {
		all = append(all, w.watchIt(root, spool.ID(fmt.Sprintf("%013x.0123456789ab", i/2))))
	}
	if _, err := w.s.Watch(root, "0123456789abc.0123456789ab"); !errors.Is(err, errWatches) {
		t.Errorf("one too many: %v", err)
	}
	w.advance(2 * linger)
	w.s.call(func() {
		if w.s.over() {
			t.Error("the run ends while somebody watches")
		}
	})
	for _, s := range all {
		s.Close()
		s.Close()
	}
	w.finish()
}

// Who does not read loses the stream, and nothing is kept.
func TestSlowReader(t *testing.T) {
	s := NewStream(nil)
	for range maxStream + 1 {
		s.Put(&proto.Event{})
	}
	s.End(io.EOF)
	if _, err := s.Next(); !errors.Is(err, errSlow) {
		t.Errorf("ended with %v", err)
	}
	if len(s.list) > 0 {
		t.Errorf("%d events are kept", len(s.list))
	}
}

func TestVerify(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.forwards["alice"] = []proto.Target{
		{Kind: proto.TargetMailbox, Address: "alice"}, {Kind: proto.TargetCommand, Token: proto.Token{Index: 1}},
		{Kind: proto.TargetFile, Token: proto.Token{Index: 2}}, {Kind: proto.TargetAddress, Address: "bob"},
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
				_, err = c.Recv(0, proto.TypeRcpt)
				_, err = c.Recv(0, proto.TypeRcpt)
				if err == nil {
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

// What the submitter asked for goes along to dma-remote; extension and token of a
// file to dma-local.
func TestRequests(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	token := proto.Token{Index: 3, Entry: [32]byte{1}}
	w.forwards["alice"] = []proto.Target{{Kind: proto.TargetFile, Token: token}, {Kind: proto.TargetCommand, Token: token}}
	var files []proto.Deliver
	w.deliver = func(d *proto.Deliver, _ string) *proto.Result {
		w.mu.Lock()
		defer w.mu.Unlock()
		files = append(files, *d)
		return result(outcome.Success("ok"))
	}
	w.submitEnvelope(spool.Submission{
		Sender: "carol@host.example", SenderGiven: true, Ret: 1, EnvID: "an id",
		Recipients: []spool.Recipient{{Address: "x@remote.example", Notify: 2, Original: "rfc822;y@z"}, {Address: "alice+Lists"}},
	})
	w.start()
	w.finish()
	if len(w.sends) != 1 || w.sends[0].Ret != 1 || w.sends[0].EnvID != "an id" {
		t.Errorf("sent %+v", w.sends)
	}
	if len(w.rcpts) != 1 || w.rcpts[0] != (proto.Rcpt{Address: "x@remote.example", Notify: 2, Original: "rfc822;y@z"}) {
		t.Errorf("recipients %+v", w.rcpts)
	}
	if !slices.Equal(w.extensions, []string{"lists"}) || len(files) != 2 {
		t.Fatalf("extensions %q, %d deliveries", w.extensions, len(files))
	}
	for _, f := range files {
		if f.Extension != "lists" || f.Token != token || f.Recipient != "alice@host.example" || f.Kind != proto.TargetFile && f.Kind != proto.TargetCommand {
			t.Errorf("%+v", f)
		}
	}
	if !slices.Contains(w.starts, "user alice") {
		t.Errorf("started %q", w.starts)
	}
	w.empty()
}

// Mail of senders with a way out of their own waits apart.
func TestRoutes(t *testing.T) {
	s := &Site{Route: func(sender, address string) string {
		switch sender {
		case "a":
			return RoutePrefix + "a"
		case "b":
			return ""
		}
		return address
	}}
	for sender, want := range map[string]laneKey{"a": {proto.RoleRemote, "=a"}, "b": {proto.RoleRemote, ""}, "c": {proto.RoleRemote, "d.example"}} {
		key, ok := s.laneOf(sender, &queue.Target{Kind: queue.Remote, Address: "d.example"})
		if !ok || key != want {
			t.Errorf("%s: %+v", sender, key)
		}
		domain, limit := "", smarthostJobs
		if sender == "c" {
			domain, limit = "d.example", domainJobs
		}
		if key.domain() != domain || key.limit() != limit {
			t.Errorf("%s: domain %q, limit %d", sender, key.domain(), key.limit())
		}
	}
}
