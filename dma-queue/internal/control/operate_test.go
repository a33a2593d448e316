package control

import (
	"errors"
	"io"
	"os"
	"slices"
	"testing"
	"time"

	"dma/common/outcome"
	"dma/dma-queue/internal/schedule"
	"dma/proto"
)

const someID = "0123456789abc.0123456789ab"

func (q *fakeQueue) requests() []string {
	q.mu.Lock()
	defer q.mu.Unlock()
	return slices.Clone(q.asked)
}

// TestOperations: one connection serves for many, and each is done for whom the
// kernel names.
func TestOperations(t *testing.T) {
	q := &fakeQueue{tally: schedule.Tally{Done: 3, Denied: 1, Busy: 2}}
	c := begin(t, q).greet(t)
	sel := proto.Selection{By: proto.ByRecipient, Value: "x@y.example"}
	for i, m := range []proto.Message{&proto.Flush{Selection: sel}, &proto.Hold{Selection: sel}, &proto.Release{Selection: sel}, &proto.Remove{Selection: sel}} {
		must(t, c.Send(uint32(i+5), m, nil))
		p, err := c.Recv(patience, proto.TypeAck)
		must(t, err)
		if ack := *p.Message.(*proto.Ack); ack != (proto.Ack{Count: 3, Denied: 1, Busy: 2}) || p.Request != uint32(i+5) {
			t.Errorf("request %d: %+v", p.Request, ack)
		}
	}
	leave(t, c)
	want := []string{"1007 flush 3 x@y.example", "1007 hold 3 x@y.example", "1007 release 3 x@y.example", "1007 remove 3 x@y.example"}
	if got := q.requests(); !slices.Equal(got, want) {
		t.Errorf("asked %q", got)
	}
}

// TestEnding: what the run does not carry out any more is not answered.
func TestEnding(t *testing.T) {
	for _, m := range []proto.Message{&proto.Hold{Selection: proto.All()}, &proto.Release{Selection: proto.All()}, &proto.Remove{Selection: proto.All()}} {
		q := &fakeQueue{ending: true}
		c := begin(t, q).greet(t)
		must(t, c.Send(1, m, nil))
		over(t, c)
	}
}

func TestShow(t *testing.T) {
	path := t.TempDir() + "/message"
	must(t, os.WriteFile(path, []byte("text"), 0o600))
	for _, tt := range []struct {
		name, id, file string
		there          bool
		want           []proto.Type
	}{
		{"with its file", someID, path, true, []proto.Type{proto.TypeItem, proto.TypeState, proto.TypeState, proto.TypeContent, proto.TypeEnd}},
		{"without", someID, "", true, []proto.Type{proto.TypeItem, proto.TypeState, proto.TypeState, proto.TypeEnd}},
		{"not there", someID, "", false, []proto.Type{proto.TypeEnd}},
		{"no id", "../../etc/passwd", path, true, []proto.Type{proto.TypeEnd}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			q := &fakeQueue{file: tt.file}
			if tt.there {
				q.listings = many(1)
			}
			c := begin(t, q).greet(t)
			must(t, c.Send(4, &proto.Show{ID: tt.id}, nil))
			for _, want := range tt.want {
				p, err := c.Recv(patience, want)
				must(t, err)
				if p.File != nil {
					text, err := io.ReadAll(p.File)
					p.File.Close()
					if err != nil || string(text) != "text" {
						t.Errorf("read %q, %v", text, err)
					}
				}
			}
			leave(t, c)
		})
	}
}

func TestVerify(t *testing.T) {
	q := &fakeQueue{verdict: []proto.Verdict{
		{Address: "team", Outcome: outcome.Success("an alias of 2")},
		{Depth: 1, Address: "alice@h", Outcome: outcome.Fail("5.1.1", "no")},
	}}
	c := begin(t, q).greet(t)
	for request := range uint32(2) { // one after the other
		must(t, c.Send(request, &proto.Verify{Sender: "s@h", Address: "team"}, nil))
		for i := range q.verdict {
			p, err := c.Recv(patience, proto.TypeVerdict)
			must(t, err)
			if got := *p.Message.(*proto.Verdict); got != q.verdict[i] {
				t.Errorf("verdict %+v", got)
			}
		}
		p, err := c.Recv(patience, proto.TypeEnd)
		must(t, err)
		if p.Request != request || p.Message.(*proto.End).Count != 2 {
			t.Errorf("end %+v", p)
		}
	}
	leave(t, c)
}

func TestProbe(t *testing.T) {
	news := func() (*schedule.Stream, error) {
		s := schedule.NewStream(nil)
		s.Put(&proto.Report{Level: proto.LevelOK, About: "DNS", Found: "x"})
		s.End(io.EOF)
		return s, nil
	}
	for name, tt := range map[string]struct {
		stream func() (*schedule.Stream, error)
		want   string
	}{
		"asked":  {news, "ok DNS x"},
		"denied": {func() (*schedule.Stream, error) { return nil, schedule.ErrDenied }, "error probe only root may do that"},
	} {
		t.Run(name, func(t *testing.T) {
			c := begin(t, &fakeQueue{stream: tt.stream}).greet(t)
			must(t, c.Send(1, &proto.Probe{Domain: "d.example"}, nil))
			p, err := c.Recv(patience, proto.TypeReport)
			must(t, err)
			if r := p.Message.(*proto.Report); r.Level.String()+" "+r.About+" "+r.Found != tt.want {
				t.Errorf("report %+v", r)
			}
			p, err = c.Recv(patience, proto.TypeEnd)
			must(t, err)
			if p.Message.(*proto.End).Count != 1 {
				t.Errorf("end %+v", p.Message)
			}
			leave(t, c)
		})
	}
}

// TestWatch: events come while the client says that its message is there, and it
// reads all of them though the server has nothing more to say.
func TestWatch(t *testing.T) {
	stream := schedule.NewStream(nil)
	q := &fakeQueue{stream: func() (*schedule.Stream, error) { return stream, nil }}
	c := begin(t, q).greet(t)
	must(t, c.Send(1, &proto.Watch{ID: someID}, nil))
	_, err := c.Recv(patience, proto.TypeAck)
	must(t, err)
	stream.Put(&proto.Event{Step: proto.StepTrying, Recipient: "a"})
	_, err = c.Recv(patience, proto.TypeEvent)
	must(t, err)
	must(t, c.Send(2, &proto.Wake{}, nil))
	must(t, c.Send(2, &proto.Wake{}, nil))
	eventually(t, "woken", func() bool { return q.wakes.Load() == 3 })
	stream.Put(&proto.Event{Step: proto.StepDone, Recipient: "a"})
	stream.End(io.EOF)
	must(t, c.Send(2, &proto.Wake{}, nil)) // late
	for _, want := range []proto.Type{proto.TypeEvent, proto.TypeEnd} {
		p, err := c.Recv(patience, want)
		must(t, err)
		if p.Request != 1 {
			t.Errorf("request %d", p.Request)
		}
	}
	leave(t, c)
}

// TestWatchEnds: whoever leaves, is too slow, or breaks the rules ends it all.
func TestWatchEnds(t *testing.T) {
	slow := errors.New("slow")
	for name, act := range map[string]func(*testing.T, *proto.Conn, *schedule.Stream){
		"leaves":   func(_ *testing.T, c *proto.Conn, _ *schedule.Stream) { c.Close() },
		"too slow": func(t *testing.T, c *proto.Conn, s *schedule.Stream) { s.End(slow); over(t, c) },
		"asks for more": func(t *testing.T, c *proto.Conn, _ *schedule.Stream) {
			must(t, c.Send(2, &proto.List{Selection: proto.All()}, nil))
			over(t, c)
		},
		"watches another": func(t *testing.T, c *proto.Conn, _ *schedule.Stream) {
			must(t, c.Send(2, &proto.Watch{ID: someID}, nil))
			over(t, c)
		},
	} {
		t.Run(name, func(t *testing.T) {
			stream := schedule.NewStream(nil)
			c := begin(t, &fakeQueue{stream: func() (*schedule.Stream, error) { return stream, nil }}).greet(t)
			must(t, c.Send(1, &proto.Watch{ID: someID}, nil))
			_, err := c.Recv(patience, proto.TypeAck)
			must(t, err)
			act(t, c, stream)
			eventually(t, "stream closed", func() bool {
				stream.Put(&proto.Event{Step: proto.StepDone})
				_, err := stream.Next()
				return err != nil
			})
		})
	}
	t.Run("the run ends", func(t *testing.T) {
		quit := make(chan struct{})
		c := begin(t, &fakeQueue{stream: func() (*schedule.Stream, error) { return schedule.NewStream(quit), nil }}).greet(t)
		must(t, c.Send(1, &proto.Watch{ID: someID}, nil))
		_, err := c.Recv(patience, proto.TypeAck)
		must(t, err)
		close(quit)
		over(t, c)
	})
	t.Run("no id", func(t *testing.T) {
		c := begin(t, new(fakeQueue)).greet(t)
		must(t, c.Send(1, &proto.Watch{ID: "../x"}, nil))
		over(t, c)
	})
}

// TestWatchTakesNothing: events for somebody who does not read are dropped with it.
func TestWatchTakesNothing(t *testing.T) {
	stream := schedule.NewStream(nil)
	c := begin(t, &fakeQueue{stream: func() (*schedule.Stream, error) { return stream, nil }}).greet(t)
	must(t, c.Send(1, &proto.Watch{ID: someID}, nil))
	start := time.Now()
	for range 100000 { // more than there is room for
		stream.Put(&proto.Event{Step: proto.StepTrying, Recipient: "a"})
	}
	if d := time.Since(start); d > patience {
		t.Errorf("took %v", d)
	}
	c.Close()
}
