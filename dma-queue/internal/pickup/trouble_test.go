package pickup

import (
	"errors"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"dma/common/durable"
	"dma/dma-queue/internal/queue"
	"dma/dma-queue/internal/schedule"
)

// Trouble with opening says nothing about the submission: it stays, and there is
// something to do later. But one that its front end has just made has no mode yet
// and cannot be read; that front end wakes the queue.
func TestCannotOpen(t *testing.T) {
	for name, c := range map[string]struct {
		err         error
		age         time.Duration
		skip, ready bool
		where       string
	}{
		"no descriptors":     {err: unix.EMFILE, ready: true, where: "incoming"},
		"disk":               {err: unix.EIO, age: 48 * time.Hour, ready: true, where: "incoming"},
		"being made":         {err: unix.EACCES, skip: true, where: "incoming"},
		"made and left":      {err: unix.EACCES, age: 37 * time.Hour, skip: true, ready: true, where: "failed"},
		"gone in the moment": {err: unix.ENOENT, ready: true, where: "incoming"},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			id := f.newID(t)
			f.submit(t, id, plain, text)
			f.age(t, id, c.age)
			f.reopen(t, func(s durable.Step, n string) error {
				if s == durable.StepOpen && n == string(id) {
					return c.err
				}
				return nil
			})
			if got := f.Ready(id); got != c.ready {
				t.Errorf("ready: %v", got)
			}
			if _, err := f.Pick(id); errors.Is(err, schedule.ErrSkip) != c.skip || err == nil {
				t.Errorf("error %v", err)
			}
			if got := f.where(t, id); got != c.where {
				t.Errorf("left in %q", got)
			}
		})
	}
}

// A front end that failed takes its file back while the Picker has it in hand.
func TestTakenBack(t *testing.T) {
	f := newFixture(t)
	id := f.newID(t)
	must(t, os.WriteFile(f.incoming(id), make([]byte, 100), 0o644)) // a mode that is not ours
	f.reopen(t, func(s durable.Step, n string) error {
		if s == durable.StepRename {
			return os.Remove(f.incoming(id))
		}
		return nil
	})
	if _, err := f.Pick(id); !errors.Is(err, schedule.ErrSkip) || f.log.Len() > 0 {
		t.Errorf("%v, logged %q", err, f.log)
	}
}

// reopen has the spool's steps fail.
func (f *fixture) reopen(t *testing.T, fault func(durable.Step, string) error) {
	t.Helper()
	q, err := queue.OpenQueue(f.root, durable.WithFault(fault))
	must(t, err)
	f.Queue = q
}
