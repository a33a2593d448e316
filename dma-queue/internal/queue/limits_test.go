package queue

import (
	"fmt"
	"testing"

	"dma/dma-queue/internal/spool"
)

// The largest submission that is accepted can be deferred, and so can all of it
// when each recipient has a .forward.
func TestLargestSubmission(t *testing.T) {
	r := &spool.Received{}
	for i := range spool.MaxRecipients {
		r.Recipients = append(r.Recipients, spool.To(fmt.Sprintf("u%d@far.example", i))...)
	}
	q := open(t)
	m := NewMessage(testID, r)
	m.Arrived = queued(t, q, testID).Arrived
	for i := range m.Targets {
		m.Targets[i].State = Expanded
		m.Add(Target{Kind: Remote, State: Open, Parent: i, Address: "x@far.example", Original: m.Targets[i].Original})
	}
	must(t, q.Save(m))
	checkLoad(t, q, m)
}
