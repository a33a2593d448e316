package main

import (
	"fmt"
	"io"
	"os"
	"time"

	"dma/common/dsn"
	"dma/common/site"
	"dma/dma-queue/internal/bounce"
	"dma/dma-queue/internal/queue"
	"dma/dma-queue/internal/schedule"
)

// bouncer writes bounces into the queue.
type bouncer struct {
	queue    *queue.Queue
	hostname func() string
	now      func() time.Time
}

// write makes the bounce b with its journal. It is durable after the commit that
// the scheduler makes next. An earlier attempt with the same id is replaced.
func (b *bouncer) write(w *schedule.Bounce) error {
	original, err := b.queue.OpenMessage(w.Original.ID)
	if err != nil {
		return fmt.Errorf("write bounce: %w", err)
	}
	defer original.Close()
	now := b.now()
	report := bounce.Report{
		ID: string(w.Message.ID), OriginalID: string(w.Original.ID), Host: b.hostname(), SysHost: sysHost(), Version: site.Version,
		Sender: w.Original.Sender, Arrived: w.Original.Arrived, Now: now, Full: w.Full, Message: original, EnvID: w.Original.EnvID,
	}
	for _, t := range w.About {
		r := bounce.Recipient{
			Action: action(&t), Original: t.Original, ORcpt: t.ORcpt, Final: t.Address,
			Status: t.Outcome.Code, Text: t.Outcome.Text, Remote: t.Remote, RetryUntil: w.RetryUntil,
		}
		if t.Outcome.Code == schedule.GaveUp {
			r.GaveUpAfter = now.Sub(w.Original.Arrived)
		}
		report.Recipients = append(report.Recipients, r)
	}
	m := w.Message
	if err := b.queue.Discard(m.ID); err != nil {
		return fmt.Errorf("write bounce: %w", err)
	}
	m.UID = uint32(os.Getuid())
	m.Size, m.Sum, err = b.queue.Create(m.ID, func(out io.Writer) error { return bounce.Compose(out, report) })
	if err != nil {
		return fmt.Errorf("write bounce: %w", err)
	}
	return b.queue.Save(m)
}

// action is the news about a target.
func action(t *queue.Target) bounce.Action {
	switch {
	case t.State == queue.Failed:
		return bounce.Failed
	case t.Tell == dsn.Delay:
		return bounce.Delayed
	case t.Kind == queue.Remote:
		return bounce.Relayed
	}
	return bounce.Delivered
}
