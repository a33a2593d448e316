package courier

import "time"

// Limits of opening connections.
const (
	paceGain = 1.05        // how much faster the drain must have become for more
	paceHold = time.Minute // before more are tried again
)

// A pace decides how many connections a lane opens: more as long as the drain gets
// faster by it (DESIGN 6). It takes the rate from the number of connections and the
// longest time of a message: a server that can do one thing at a time is as fast as
// ever with the first of many, and as slow as it is with the last.
type pace struct {
	since time.Time     // the last connection was opened
	worst time.Duration // time that a message took that was begun since then
	done  int           // how many were
	conns int           // at the last decision
	rate  float64       // messages a second then
	until time.Time     // no more until then
}

// opened notes another connection, which makes what was measured before worthless.
func (p *pace) opened(now time.Time) { p.since, p.worst, p.done = now, 0, 0 }

// ended notes a message.
func (p *pace) ended(begun, now time.Time) {
	if !begun.Before(p.since) {
		p.worst = max(p.worst, now.Sub(begun))
		p.done++
	}
}

// more is how many connections may be in the making while live ones are at work:
// twice as many, if the last ones were worth it. So a long queue has its 20 after
// three steps.
func (p *pace) more(live int, now time.Time) int {
	switch {
	case live == 0:
		return 1
	case p.done < live || now.Before(p.until):
		return 0
	}
	rate := float64(live) / max(p.worst, time.Microsecond).Seconds()
	grown, better := live > p.conns, rate >= paceGain*p.rate
	p.conns, p.rate, p.worst, p.done = live, rate, 0, 0
	switch {
	case !grown:
		return 1
	case !better:
		p.until = now.Add(paceHold)
		return 0
	}
	return 2 * live
}
