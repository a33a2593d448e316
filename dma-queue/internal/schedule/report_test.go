package schedule

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"dma/common/dsn"
	"dma/common/outcome"
	"dma/dma-queue/internal/queue"
	"dma/dma-queue/internal/spool"
	"dma/proto"
)

// news says what the reports of w are about.
func (w *world) news() (list []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, b := range w.bounces {
		var about []string
		for _, t := range b.About {
			what := "failed"
			if t.State != queue.Failed {
				what = t.Tell.String()
			}
			about = append(about, what+" "+t.Original)
		}
		slices.Sort(about)
		list = append(list, strings.Join(about, ", ")+fmt.Sprintf(" full=%t", b.Full))
	}
	return list
}

// A submitter hears of what NOTIFY names, and of nothing else (RFC 3461 4.1); of a
// delivery only if the server does not report it.
func TestNotify(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.send = func(_ *proto.Send, rcpts []string) (list []*proto.Result) {
		for _, r := range rcpts {
			o := outcome.Success("250 ok")
			if strings.HasPrefix(r, "bad") {
				o = outcome.Fail("5.1.1", "550 no")
			}
			list = append(list, &proto.Result{Scope: proto.ScopeTarget, Remote: "mx [192.0.2.1]", Reports: strings.HasSuffix(r, "reports.example"), Outcome: o})
		}
		return list
	}
	const said = dsn.Success | dsn.Failure
	w.submitEnvelope(spool.Submission{
		Sender: "carol@far.example", SenderGiven: true, Ret: dsn.RetFull,
		Recipients: []spool.Recipient{
			{Address: "plain@far.example"},
			{Address: "relayed@far.example", Notify: said},
			{Address: "quiet@reports.example", Notify: said},
			{Address: "bad@far.example", Notify: said},
			{Address: "badquiet@far.example", Notify: dsn.Never},
			{Address: "badsuccess@far.example", Notify: dsn.Success},
			{Address: "alice", Notify: dsn.Success},
		},
	})
	w.start()
	w.finish()
	want := []string{"SUCCESS alice, SUCCESS relayed@far.example, failed bad@far.example full=true"}
	if got := w.news(); !slices.Equal(got, want) {
		t.Errorf("told of %q", got)
	}
	w.empty()
}

// A message of which nobody wants to hear anything just ends.
func TestNeverNotify(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.send = func(_ *proto.Send, rcpts []string) []*proto.Result {
		return []*proto.Result{result(outcome.Fail("5.1.1", "550 no"))}
	}
	w.submitEnvelope(spool.Submission{
		Sender: "carol@far.example", SenderGiven: true, Recipients: []spool.Recipient{{Address: "bad@far.example", Notify: dsn.Never}},
	})
	w.start()
	w.finish()
	if got := w.news(); len(got) > 0 {
		t.Errorf("told of %q", got)
	}
	w.empty()
}

// Nobody is told of what becomes of a report, whatever its submitter wants.
func TestNullSenderIsNotTold(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.submitEnvelope(spool.Submission{SenderGiven: true, Recipients: []spool.Recipient{{Address: "alice", Notify: dsn.Success}}})
	w.start()
	w.finish()
	if got := w.news(); len(got) > 0 {
		t.Errorf("told of %q", got)
	}
	w.empty()
}

// A late message is told of once, with its header alone, also by a runner that was
// not there before.
func TestDelayWarning(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	site := *w.site.Load()
	site.DelayWarn, site.FullSize = 4*time.Hour, true
	w.site.Store(&site)
	w.send = func(d *proto.Send, rcpts []string) (list []*proto.Result) {
		for range rcpts {
			if d.Domain == "home.example" {
				list = append(list, result(outcome.Success("250 ok")))
				continue
			}
			list = append(list, &proto.Result{Scope: proto.ScopeDestination, Outcome: outcome.Defer("4.4.1", "connection refused")})
		}
		return list
	}
	id := w.submitEnvelope(spool.Submission{
		Sender: "carol@home.example", SenderGiven: true,
		Recipients: []spool.Recipient{{Address: "late@down.example"}, {Address: "quiet@down.example", Notify: dsn.Failure}, {Address: "alice"}},
	})
	w.start()
	w.eventually("first try", func() bool { return len(w.sent) >= 2 })
	w.eventuallyIdle()
	w.advance(3 * time.Hour)
	w.eventually("a try in between", func() bool { return len(w.sent) >= 4 })
	if got := w.news(); len(got) > 0 {
		t.Errorf("told early of %q", got)
	}
	w.stop()
	w.start()
	w.advance(2 * time.Hour)
	w.eventually("warning to carol", func() bool { return slices.Contains(w.sent, "carol@home.example") })
	want := []string{"DELAY late@down.example full=false"}
	if got := w.news(); !slices.Equal(got, want) || !w.bounces[0].RetryUntil.After(w.now().Add(4*24*time.Hour)) {
		t.Errorf("told of %q", got)
	}
	for range 3 {
		w.advance(10 * time.Hour)
		w.eventuallyIdle()
	}
	if got := w.news(); !slices.Equal(got, want) || !slices.Contains(w.dir("queue"), string(id)) {
		t.Errorf("told of %q, and the message is there: %q", got, w.dir("queue"))
	}
	w.stop()
}
