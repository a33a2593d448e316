package schedule

import (
	"container/heap"
	"time"

	"dma/dma-queue/internal/queue"
	"dma/dma-queue/internal/spool"
)

// A ref is what is kept in memory for every message, tried or resting (RULES F5).
type ref struct {
	id    spool.ID
	msg   *message // while it is being worked on; nil at rest
	due   int64    // at rest: unix time in nanoseconds of the next look at it
	index int32    // in the heap of resting messages, -1 if not there
	uid   uint32   // who submitted it; noUID while that is not known
	in    []*lane  // where it waits
	loads uint32   // how often it was loaded: what was read of it meanwhile is of before
	own   bool     // at rest: a target waits for its own time, not for a destination
	flush bool     // at rest: when it is loaded, all open targets are due
	held  bool     // as its message says; at rest, it is not in the heap
}

// noUID is no account's.
const noUID = ^uint32(0)

// message is a message in memory.
type message struct {
	*queue.Message
	flying     map[int]bool // targets that a job has
	jobs       int          // jobs under way
	since      time.Time    // of the last thing that happened to it
	called     time.Time    // when it was there to be tried: what is read later counts for it
	committing bool         // its journal is being synced, so that its submission can go
	bouncing   bool         // its bounce is being written: until then nothing else may fail
	doubtful   bool         // its file may not be on the disk as it was written
	crashes    int          // helpers that died with it
	removal    *dismissal   // somebody wants it gone: it goes when nothing is under way
}

// stopped reports whether nothing of m may be started now. Who ends that routes it anew.
func (m *message) stopped() bool { return m.bouncing || m.Held || m.removal != nil }

// distrust has the files of m written anew after a sync of one failed.
func (m *message) distrust() {
	m.Distrust()
	m.doubtful = m.Incoming()
}

// resting orders refs by when they are due.
type resting []*ref

func (h resting) Len() int           { return len(h) }
func (h resting) Less(i, j int) bool { return h[i].due < h[j].due }
func (h resting) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = int32(i), int32(j)
}

// Push is for package heap.
func (h *resting) Push(x any) {
	r := x.(*ref)
	r.index = int32(len(*h))
	*h = append(*h, r)
}

// Pop is for package heap.
func (h *resting) Pop() any {
	old := *h
	r := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	r.index = -1
	return r
}

// wakeAt puts r to rest until due, or moves it if it rests already.
func (h *resting) wakeAt(r *ref, due time.Time) {
	r.due = due.UnixNano()
	if r.index >= 0 {
		heap.Fix(h, int(r.index))
	} else {
		heap.Push(h, r)
	}
}

func (h *resting) remove(r *ref) {
	if r.index >= 0 {
		heap.Remove(h, int(r.index))
	}
}
