package admin

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"dma/common/sysexits"
	"dma/dma-queue/internal/front"
	"dma/proto"
)

const arrived = 1795000000 // Fri Nov 18 2026

var queued = []struct {
	item   proto.Item
	states []proto.State
}{
	{
		proto.Item{ID: "aaa.1", Sender: "carol@host.example", Arrived: arrived, Size: 1500, UID: 1002, Active: true, States: 2},
		[]proto.State{
			{Recipient: "x@far.example", Original: "x@far.example", Tries: 2, Next: arrived + 7200, Reason: "connection \"refused\"ä"},
			{Recipient: "y@far.example", Original: "list", Tries: 0},
		},
	},
	{
		proto.Item{ID: "bbb.2", Arrived: arrived + 1, Size: 700, Held: true, States: 1},
		[]proto.State{{Recipient: "root", Original: "root"}},
	},
	{proto.Item{ID: "ccc.3", Sender: "a@b", Arrived: arrived + 2, Size: 10, Dead: true}, nil},
}

// runner answers one connection as a runner would: script gives the answers to
// each request.
func runner(t *testing.T, c *proto.Conn, answer func(c *proto.Conn, p proto.Packet) error) {
	t.Helper()
	for {
		p, err := c.Recv(0, proto.TypeList, proto.TypeShow, proto.TypeHold, proto.TypeRelease, proto.TypeRemove, proto.TypeFlush)
		if err != nil {
			return
		}
		if err := answer(c, p); err != nil {
			c.Close()
			return
		}
	}
}

// command runs o against a runner and returns what is printed.
func command(t *testing.T, o front.Options, answer func(c *proto.Conn, p proto.Packet) error) (out, errs string, err error) {
	t.Helper()
	mine, file, err := proto.Pair()
	if err != nil {
		t.Fatal(err)
	}
	theirs, err := proto.NewConn(file)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() { runner(t, theirs, answer); close(done) }()
	var stdout, stderr bytes.Buffer
	w := bufio.NewWriter(&stdout)
	s := session{o: o, w: w, stderr: &stderr}
	err = s.talk(mine)
	w.Flush()
	mine.Close()
	<-done
	theirs.Close()
	return stdout.String(), stderr.String(), err
}

func list(c *proto.Conn, p proto.Packet) error {
	for i := range queued {
		if err := c.Send(p.Request, &queued[i].item, nil); err != nil {
			return err
		}
		for j := range queued[i].states {
			if err := c.Send(p.Request, &queued[i].states[j], nil); err != nil {
				return err
			}
		}
	}
	return c.Send(p.Request, &proto.End{Count: uint32(len(queued))}, nil)
}

func empty(c *proto.Conn, p proto.Packet) error { return c.Send(p.Request, &proto.End{}, nil) }

func all(name string) front.Options {
	return front.Options{Command: "list", By: proto.ByAll, Format: name}
}

func TestFormats(t *testing.T) {
	for name, want := range map[string]string{
		"": "ID\t: aaa.1*\nFrom\t: carol@host.example\nTo\t: x@far.example\n--\n" +
			"ID\t: aaa.1*\nFrom\t: carol@host.example\nTo\t: y@far.example\n--\n" +
			"ID\t: bbb.2\nFrom\t: \nTo\t: root\n--\n" +
			"ID\t: ccc.3!\nFrom\t: a@b\nTo\t: \n",
		"postfix": "-Queue ID-               --Size-- ----Arrival Time---- -Sender/Recipient-------\n" +
			"aaa.1*                       1500 Wed Nov 18 11:06:40  carol@host.example\n" +
			"                                                         (connection \"refused\"ä)\n" +
			"                                                       x@far.example\n" +
			"                                                       y@far.example\n\n" +
			"bbb.2!                        700 Wed Nov 18 11:06:41  MAILER-DAEMON\n" +
			"                                                       root\n\n" +
			"ccc.3!                         10 Wed Nov 18 11:06:42  a@b\n\n" +
			"-- 3 Kbytes in 3 Requests.\n",
		"sendmail": "---------Q-ID---------- --Size-- -----Q-Time----- ------------Sender/Recipient-----------\n" +
			"aaa.1*                      1500 Wed Nov 18 11:06 <carol@host.example>\n" +
			"                 (Deferred: connection \"refused\"ä)\n" +
			"                                                  <x@far.example>\n" +
			"                                                  <y@far.example>\n" +
			"bbb.2                        700 Wed Nov 18 11:06 <>\n" +
			"                                                  <root>\n" +
			"ccc.3                         10 Wed Nov 18 11:06 <a@b>\n" +
			"\t\tTotal requests: 3\n",
	} {
		out, _, err := command(t, all(name), list)
		if d := cmp.Diff(want, out); d != "" || err != nil {
			t.Errorf("%q: %v (-want +got):\n%s", name, err, d)
		}
	}
}

func TestEmpty(t *testing.T) {
	for name, want := range map[string]string{
		"":         "Mail queue is empty\n",
		"dma":      "Mail queue is empty\n",
		"postfix":  "Mail queue is empty\n",
		"sendmail": "mqueue is empty\n\t\tTotal requests: 0\n",
		"json":     "[\n]\n",
	} {
		if out, _, err := command(t, all(name), empty); out != want || err != nil {
			t.Errorf("%q: %q, %v", name, out, err)
		}
	}
}

func TestVerbose(t *testing.T) {
	var b strings.Builder
	f := &dma{w: &b, verbose: true, now: time.Unix(arrived+3600, 0)}
	for i := range queued {
		f.item(&queued[i].item, queued[i].states)
	}
	for _, want := range []string{
		"Arrived\t: 2026-11-18 11:06:40 UTC, 60 min ago\nSize\t: 1500 bytes from uid 1002\nTries\t: 2\nNext\t: 2026-11-18 13:06:40 UTC, in 60 min\nReason\t: connection \"refused\"ä\n",
		"To\t: y@far.example\nFor\t: list\n", "Next\t: now\n", "Next\t: when it is released: held\n", "Next\t: never: dead letter\n",
	} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("no %q in\n%s", want, b.String())
		}
	}
}

func TestAge(t *testing.T) {
	for seconds, want := range map[int64]string{-5: "0 s", 0: "0 s", 119: "119 s", 120: "2 min", 7199: "119 min", 7200: "2 h", 172799: "47 h", 172800: "2 d"} {
		if got := age(seconds); got != want {
			t.Errorf("%d: %q", seconds, got)
		}
	}
}

func TestJSON(t *testing.T) {
	out, _, err := command(t, all("json"), list)
	if err != nil {
		t.Fatal(err)
	}
	var got []struct {
		ID, Sender, State  string
		UID, Arrived, Size int64
		Recipients         []struct {
			Recipient, Original, Reason string
			Tries, Next                 int64
		}
	}
	if err := json.Unmarshal([]byte(out), &got); err != nil {
		t.Fatalf("%v in %s", err, out)
	}
	if len(got) != 3 || got[0].State != "active" || got[1].State != "held" || got[2].State != "dead" || got[0].UID != 1002 ||
		len(got[0].Recipients) != 2 || got[0].Recipients[0].Reason != queued[0].states[0].Reason || got[0].Recipients[1].Original != "list" ||
		got[0].Recipients[0].Next != arrived+7200 {
		t.Errorf("%+v", got)
	}
}

func TestQuote(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := rapid.String().Draw(t, "text")
		var got string
		if err := json.Unmarshal([]byte(quote(s)), &got); err != nil || got != strings.ToValidUTF8(s, "\ufffd") {
			t.Errorf("%q is %s, read as %q: %v", s, quote(s), got, err)
		}
	})
}

func TestChanges(t *testing.T) {
	acks := map[string]proto.Ack{"mine": {Count: 1}, "theirs": {Denied: 1}, "stuck": {Busy: 1}, "": {Count: 4}}
	for name, c := range map[string]struct {
		command   string
		by        proto.By
		args      []string
		typ       proto.Type
		out, errs string
		code      int
	}{
		"hold":          {"hold", proto.ByID, []string{"mine"}, proto.TypeHold, "held: 1 message\n", "", 0},
		"release all":   {"release", proto.ByAll, nil, proto.TypeRelease, "released: 4 messages\n", "", 0},
		"remove sender": {"remove", proto.BySender, nil, proto.TypeRemove, "removed: 4 messages\n", "", 0},
		"flush":         {"flush", proto.ByRecipient, nil, proto.TypeFlush, "to be tried now: 4 messages\n", "", 0},
		"denied":        {"remove", proto.ByID, []string{"mine", "theirs"}, proto.TypeRemove, "removed: 1 message\n", "", sysexits.NoPerm},
		"busy":          {"remove", proto.ByID, []string{"stuck", "mine"}, proto.TypeRemove, "removed: 1 message\n", "", sysexits.TempFail},
		"missing":       {"release", proto.ByID, []string{"no", "mine"}, proto.TypeRelease, "released: 1 message\n", "dma-queue: no: no such message in the queue, or it is not held\n", sysexits.NoInput},
	} {
		out, errs, err := command(t, front.Options{Command: c.command, By: c.by, Args: c.args}, func(conn *proto.Conn, p proto.Packet) error {
			var which proto.Selection
			switch m := p.Message.(type) {
			case *proto.Hold:
				which = m.Selection
			case *proto.Release:
				which = m.Selection
			case *proto.Remove:
				which = m.Selection
			case *proto.Flush:
				which = m.Selection
			}
			if p.Message.Type() != c.typ || which.By != c.by {
				t.Errorf("%s: %v %+v", name, p.Message.Type(), which)
			}
			ack := acks[which.Value]
			return conn.Send(p.Request, &ack, nil)
		})
		if out != c.out || code(err) != c.code || errors.Is(err, front.ErrStarted) {
			t.Errorf("%s: %q %v", name, out, err)
		}
		if errs != c.errs {
			t.Errorf("%s: stderr %q", name, errs)
		}
	}
}

func code(err error) int {
	var f *front.Failure
	switch {
	case err == nil:
		return 0
	case errors.As(err, &f):
		return f.Code
	}
	return -1
}

func TestShow(t *testing.T) {
	const text = "Subject: x\n\nbell \a and colour \x1b[31m, tab\tand \xff\n"
	path := t.TempDir() + "/message"
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	content := true
	answer := func(c *proto.Conn, p proto.Packet) error {
		if p.Message.(*proto.Show).ID != "aaa.1" {
			return empty(c, p)
		}
		err := c.Send(p.Request, &queued[0].item, nil)
		for j := range queued[0].states {
			err = errors.Join(err, c.Send(p.Request, &queued[0].states[j], nil))
		}
		if content {
			f, ferr := os.Open(path)
			if ferr != nil {
				return ferr
			}
			defer f.Close()
			err = errors.Join(err, c.Send(p.Request, &proto.Content{}, f))
		}
		return errors.Join(err, c.Send(p.Request, &proto.End{Count: 1}, nil))
	}
	show := func(ids ...string) front.Options { return front.Options{Command: "show", By: proto.ByID, Args: ids} }
	out, _, err := command(t, show("aaa.1"), answer)
	if err != nil || !strings.HasPrefix(out, "ID\t: aaa.1*\n") || !strings.HasSuffix(out, "\n\nSubject: x\n\nbell ? and colour ?[31m, tab\tand \xff\n") {
		t.Errorf("%q, %v", out, err)
	}
	if out, _, err := command(t, show("none"), answer); code(err) != sysexits.NoInput || out != "" {
		t.Errorf("none: %q, %v", out, err)
	}
	content = false
	if _, _, err := command(t, show("aaa.1"), answer); code(err) != sysexits.IOErr {
		t.Errorf("no file: %v", err)
	}
}

// What has been printed or done must not be printed or done again with the next runner.
func TestBrokenOff(t *testing.T) {
	half := func(c *proto.Conn, p proto.Packet) error {
		if err := c.Send(p.Request, &queued[2].item, nil); err != nil {
			return err
		}
		return io.EOF
	}
	if _, _, err := command(t, all(""), half); !errors.Is(err, front.ErrStarted) {
		t.Errorf("half a listing: %v", err)
	}
	none := func(*proto.Conn, proto.Packet) error { return io.EOF }
	if _, _, err := command(t, all(""), none); errors.Is(err, front.ErrStarted) || !errors.Is(err, io.EOF) {
		t.Errorf("no listing: %v", err)
	}
	wrong := func(c *proto.Conn, p proto.Packet) error { return c.Send(p.Request, &proto.End{Count: 1}, nil) }
	if _, _, err := command(t, all(""), wrong); !errors.Is(err, proto.ErrProtocol) {
		t.Errorf("wrong count: %v", err)
	}
	many := func(c *proto.Conn, p proto.Packet) error {
		return c.Send(p.Request, &proto.Item{ID: "x", States: maxStates + 1}, nil)
	}
	if _, _, err := command(t, all(""), many); !errors.Is(err, proto.ErrProtocol) {
		t.Errorf("too many recipients: %v", err)
	}
}
