package front

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"dma/proto"
)

func event(step proto.Step, recipient string) *proto.Event {
	return &proto.Event{Step: step, Recipient: recipient}
}

// shown feeds events to a Progress, a second apart, and returns what it wrote.
func shown(width int, events ...*proto.Event) string {
	var out strings.Builder
	now := time.Unix(0, 0)
	p := NewProgress(&out, width, func() time.Time { return now })
	for _, e := range events {
		p.Event(e)
		now = now.Add(time.Second)
	}
	p.Redraw()
	p.End()
	return out.String()
}

func TestProgressLines(t *testing.T) {
	got := shown(0,
		&proto.Event{Step: proto.StepForwarded, Recipient: "alice", Text: "bob@far.example"},
		event(proto.StepTrying, "bob@far.example"),
		&proto.Event{Step: proto.StepDone, Recipient: "bob@far.example", Remote: "mx.far.example [192.0.2.1]", Text: "250 ok"},
		&proto.Event{Step: proto.StepLater, Recipient: "c", Text: "450 \x1b[2J\nlater"},
		event(proto.StepFailed, "d\u009b"),
		event(proto.StepDone, "e"),
		&proto.Event{Step: proto.StepDone, Recipient: "f", Text: "delivered to mailbox"},
		&proto.Event{Step: proto.StepLater, Recipient: "g", Remote: "mx [192.0.2.1]", Text: "mx [192.0.2.1] refused"},
	)
	want := "alice: goes on to bob@far.example\n" +
		"bob@far.example: trying\n" +
		"bob@far.example: delivered: 250 ok (mx.far.example [192.0.2.1])\n" +
		"c: deferred, tried again later: 450 ?[2J later\n" +
		"d?: failed\n" +
		"e: delivered\n" +
		"f: delivered to mailbox\n" +
		"g: deferred, tried again later: mx [192.0.2.1] refused\n"
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// screen is what a terminal shows after text: it knows the sequences in use.
func screen(t *testing.T, text string) string {
	t.Helper()
	var lines []string
	for text != "" {
		if rest, ok := strings.CutPrefix(text, "\x1b["); ok {
			up := 0
			if n, err := fmt.Sscanf(rest, "%dA\r\x1b[J", &up); n != 1 || err != nil || up > len(lines) {
				t.Fatalf("%q on a screen of %d lines", text, len(lines))
			}
			lines = lines[:len(lines)-up]
			text = rest[strings.IndexByte(rest, 'J')+1:]
			continue
		}
		line, rest, ok := strings.Cut(text, "\n")
		if !ok || strings.Contains(line, "\x1b") {
			t.Fatalf("%q", text)
		}
		lines, text = append(lines, line), rest
	}
	return strings.Join(lines, "\n")
}

func TestProgressOnTerminal(t *testing.T) {
	var many []*proto.Event
	for i := range maxLive + 3 {
		many = append(many, event(proto.StepTrying, fmt.Sprint("r", i)))
	}
	for name, c := range map[string]struct {
		events []*proto.Event
		end    bool
		want   string
	}{
		"trying":      {[]*proto.Event{event(proto.StepTrying, "a")}, false, "a: trying, 1 s"},
		"two":         {[]*proto.Event{event(proto.StepTrying, "a"), event(proto.StepTrying, "b")}, false, "a: trying, 2 s\nb: trying, 1 s"},
		"one is done": {[]*proto.Event{event(proto.StepTrying, "a"), event(proto.StepTrying, "b"), event(proto.StepDone, "a")}, false, "a: delivered\nb: trying, 2 s"},
		"again":       {[]*proto.Event{event(proto.StepTrying, "a"), event(proto.StepTrying, "a")}, false, "a: trying, 1 s"},
		"long":        {[]*proto.Event{event(proto.StepTrying, strings.Repeat("ä", 50))}, false, strings.Repeat("ä", 36) + "..."},
		"over":        {[]*proto.Event{event(proto.StepTrying, "a"), event(proto.StepLater, "a")}, true, "a: deferred, tried again later"},
		"given up":    {[]*proto.Event{event(proto.StepTrying, "a")}, true, ""},
		"many": {many, false, strings.Join([]string{
			"r0: trying, 13 s", "r1: trying, 12 s", "r2: trying, 11 s", "r3: trying, 10 s", "r4: trying, 9 s",
			"r5: trying, 8 s", "r6: trying, 7 s", "r7: trying, 6 s", "r8: trying, 5 s", "r9: trying, 4 s", "and 3 more",
		}, "\n")},
	} {
		var out strings.Builder
		now := time.Unix(0, 0)
		p := NewProgress(&out, 40, func() time.Time { return now })
		for _, e := range c.events {
			p.Event(e)
			now = now.Add(time.Second)
		}
		p.Redraw()
		if c.end {
			p.End()
		}
		if got := screen(t, out.String()); got != c.want {
			t.Errorf("%s: screen\n%s\nwant\n%s", name, got, c.want)
		}
	}
}

// brokenPipe is where nobody reads.
type brokenPipe struct{}

func (brokenPipe) Write([]byte) (int, error) { return 0, io.ErrClosedPipe }

func TestProgressIntoNothing(t *testing.T) {
	p := NewProgress(brokenPipe{}, 0, time.Now)
	p.Event(event(proto.StepTrying, "a"))
	p.Event(event(proto.StepDone, "a"))
	if !p.Broken() || !errors.Is(p.err, io.ErrClosedPipe) {
		t.Errorf("error %v", p.err)
	}
	p = nil // shows nothing, and cannot break
	p.Event(event(proto.StepTrying, "a"))
	p.Redraw()
	p.End()
	if p.Broken() {
		t.Error("broken")
	}
}

func TestNoTerminal(t *testing.T) {
	f, err := os.Open("/dev/null")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if w := TerminalWidth(f); w != 0 {
		t.Errorf("/dev/null is a terminal of %d columns", w)
	}
}
