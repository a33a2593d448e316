package schedule

import (
	"fmt"

	"dma/dma-queue/internal/spool"
	"dma/proto"
)

// Limits of what helpers may have logged. A user's helper is that user (RULES B3).
const (
	logLines = 100  // for each job that it has, and one for its start
	logFlood = 1000 // more, which are dropped, before it loses its channel
)

// allowLog lets a helper say so much more: it has got a job.
func (w *worker) allowLog() {
	for {
		n := w.lines.Load()
		if w.lines.CompareAndSwap(n, min(max(n, 0)+logLines, int64(w.key.perWorker())*logLines)) {
			return
		}
	}
}

// relay writes a line of a helper to the log. It is called by the reader of the
// helper's channel, not in the loop, which so has no work with it.
func (s *Scheduler) relay(w *worker, m *proto.Log) error {
	left := w.lines.Add(-1)
	id := m.ID
	if _, err := spool.ParseID(id); err != nil {
		id = ""
	}
	switch {
	case left >= 0:
		s.log.Message(id).Helper(m.Priority, w.key.program(), m.Text)
	case left == -1:
		s.log.Message("").Helper(m.Priority, w.key.program(), "more lines were dropped")
	case left < -logFlood:
		return fmt.Errorf("%w: the log is flooded", proto.ErrProtocol)
	}
	return nil
}

// program says whose word a line is. What dma-remote says is the suite's own.
func (k laneKey) program() string {
	switch k.role {
	case proto.RoleForward:
		return "dma-forward for " + k.name
	case proto.RoleMailbox, proto.RoleUser:
		return "dma-local for " + k.name
	case proto.RoleAlias:
		return "dma-local for aliases"
	}
	return ""
}
