package schedule

import (
	"dma/dma-queue/internal/queue"
	"dma/proto"
)

// Caller is who asks something of the queue. The zero Caller is a stranger, who
// reaches nobody's messages.
type Caller struct {
	Known bool // the kernel says who it is
	UID   uint32
	Login string // of UID, if the host knows it
	All   bool   // reaches everybody's messages: root, and whoever runs a private build
}

// may reports whether c may see and change what uid submitted. A bounce is the
// queue's own: only root reaches it.
func (c Caller) may(uid uint32) bool { return c.All || c.Known && c.UID == uid && uid != noUID }

// filter is a Selection, ready to be compared with many messages.
type filter struct {
	by    proto.By
	value string // folded
	fold  func(string) string
}

func (c *Site) filter(sel proto.Selection) filter {
	f := filter{by: sel.By, value: sel.Value, fold: c.Expand.Fold}
	if f.by == proto.ByRecipient || f.by == proto.BySender {
		f.value = f.fold(f.value)
	}
	return f
}

// reads reports whether only a look at a message tells if it is selected.
func (f filter) reads() bool { return f.by == proto.ByRecipient || f.by == proto.BySender }

// selects reports whether m is selected: by an open recipient, as it was submitted
// or as it was forwarded, or by its sender.
func (f filter) selects(m *queue.Message) bool {
	switch f.by {
	case proto.ByAll:
		return true
	case proto.ByID:
		return string(m.ID) == f.value
	case proto.BySender:
		return f.fold(m.Sender) == f.value
	case proto.ByRecipient:
		for i := range m.Targets {
			if t := &m.Targets[i]; listed(t) && (f.fold(t.Address) == f.value || f.fold(t.Original) == f.value) {
				return true
			}
		}
	}
	return false
}

// listed reports whether a target is still of interest.
func listed(t *queue.Target) bool { return t.State == queue.Open || t.State == queue.Failed }
