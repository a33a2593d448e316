package schedule

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"dma/dma-queue/internal/queue"
	"dma/dma-queue/internal/spool"
)

// queued puts n messages into the queue as an earlier run left them.
func (w *world) queued(n int, set func(i int, m *queue.Message)) {
	w.t.Helper()
	q, err := queue.OpenQueue(w.root)
	if err != nil {
		w.t.Fatal(err)
	}
	for i := range n {
		m := &queue.Message{ID: spool.ID(fmt.Sprintf("%013x.%012x", 1<<48+i, i)), Arrived: w.now(), Sender: "carol@host.example"}
		m.Targets = []queue.Target{{Kind: queue.Recipient, State: queue.Open, Parent: queue.NoParent, Original: "alice", Address: "alice"}}
		set(i, m)
		if err := q.Save(m); err != nil {
			w.t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(w.root, "queue", string(m.ID)), nil, 0o600); err != nil {
			w.t.Fatal(err)
		}
	}
}

// RULES F5: a message at rest is a small record.
func TestMemoryAtRest(t *testing.T) { // not parallel: it measures
	const n, most = 10000, 400
	w := newWorld(t)
	w.start()
	w.stop() // what is not the messages'
	w.queued(n, func(i int, m *queue.Message) {
		m.Targets[0].Kind, m.Targets[0].Address, m.Targets[0].Blocked = queue.Remote, "x@remote.example", i%2 == 0
		m.Targets[0].Tries, m.Targets[0].Next = 1, w.now().Add(time.Hour)
	})
	heap := func() uint64 {
		var s runtime.MemStats
		runtime.GC()
		runtime.GC()
		runtime.ReadMemStats(&s)
		return s.HeapAlloc
	}
	before := heap()
	w.start()
	w.s.call(func() {
		if len(w.s.refs) != n || len(w.s.resting) != n || len(w.s.active) != 0 {
			t.Errorf("%d messages, %d at rest, %d in memory", len(w.s.refs), len(w.s.resting), len(w.s.active))
		}
	})
	after := heap()
	each := (float64(after) - float64(before)) / n
	t.Logf("%.0f bytes a message", each)
	if each > most {
		t.Errorf("more than %d", most)
	}
	w.stop()
}
