package queue

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"syscall"

	"dma/dma-queue/internal/spool"
)

// maxDead bounds the dead letters kept in failed. When they are so many,
// nothing more is set aside: it stays where it is, and the log says so.
const maxDead = 1000

// ErrFull is the error of setting aside one dead letter too many.
var ErrFull = errors.New("failed/ is full: look at its messages with mailq, then remove them")

// Dead lists failed, oldest first.
func (q *Queue) Dead() ([]spool.ID, error) { return ids(q.failed, "") }

// SetAside moves whatever there is of id to failed (RULES F2, F4). Nothing is
// read, so nothing can be too damaged for it.
func (q *Queue) SetAside(id spool.ID) error {
	if _, err := q.roomForDead(); err != nil {
		return fmt.Errorf("set aside %s: %w", id, err)
	}
	// The journal goes last: what is left in queue without one counts as finished.
	for _, n := range []string{string(id), string(id) + journalSuffix} {
		if err := q.queue.Rename(n, q.failed, n); err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("set aside: %w", err)
		}
	}
	q.newQueue.Store(true)
	if err := q.failed.Sync(); err != nil {
		return fmt.Errorf("set aside %s: %w", id, err)
	}
	return nil
}

// roomForDead lists the dead letters, which are not too many.
func (q *Queue) roomForDead() ([]spool.ID, error) {
	dead, err := q.Dead()
	if err == nil && len(dead) >= maxDead {
		err = ErrFull
	}
	return dead, err
}

// SetAsideSubmitted moves a submission that cannot be read to failed. Its name,
// like all of it, is its maker's: it replaces no dead letter.
func (q *Queue) SetAsideSubmitted(id spool.ID) error {
	dead, err := q.roomForDead()
	if err == nil && slices.Contains(dead, id) {
		err = os.ErrExist
	}
	if err != nil {
		return fmt.Errorf("set aside %s: %w", id, err)
	}
	if err := q.incoming.Rename(string(id), q.failed, string(id)); err != nil {
		return fmt.Errorf("set aside: %w", err)
	}
	q.newIncoming.Store(true)
	if err := q.failed.Sync(); err != nil {
		return fmt.Errorf("set aside %s: %w", id, err)
	}
	return nil
}

// LoadDead reads the envelope of a dead letter, as far as it has one: what was a
// submission, and could not be read, has nothing but its owner.
func (q *Queue) LoadDead(id spool.ID) (*Message, error) {
	f, err := q.failed.Open(string(id) + journalSuffix)
	if errors.Is(err, os.ErrNotExist) {
		return q.statDead(id)
	}
	if err != nil {
		return nil, fmt.Errorf("load dead letter: %w", err)
	}
	defer f.Close()
	m, _, err := readJournal(f)
	if err != nil {
		return nil, fmt.Errorf("load dead letter %s: %w", id, err)
	}
	return m, nil
}

func (q *Queue) statDead(id spool.ID) (*Message, error) {
	st, err := os.Lstat(q.root + "/failed/" + string(id))
	if err != nil {
		return nil, fmt.Errorf("load dead letter: %w", err)
	}
	m := &Message{ID: id, Arrived: st.ModTime(), Size: st.Size()}
	if sys, ok := st.Sys().(*syscall.Stat_t); ok {
		m.UID = sys.Uid
	}
	return m, nil
}

// OpenDead opens the file of a dead letter for reading. Whoever submitted it may
// have made it anything; what is no file with contents is an error.
func (q *Queue) OpenDead(id spool.ID) (*os.File, error) {
	f, err := q.failed.Open(string(id))
	if err != nil {
		return nil, fmt.Errorf("open dead letter: %w", err)
	}
	if st, err := f.Stat(); err != nil || !st.Mode().IsRegular() {
		f.Close()
		return nil, fmt.Errorf("open dead letter %s: %w", id, errors.Join(err, ErrMessage))
	}
	return f, nil
}

// RemoveDead removes a dead letter, for good.
func (q *Queue) RemoveDead(id spool.ID) error {
	for _, n := range []string{string(id), string(id) + journalSuffix} {
		if err := q.failed.Remove(n); err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("remove dead letter: %w", err)
		}
	}
	if err := q.failed.Sync(); err != nil {
		return fmt.Errorf("remove dead letter %s: %w", id, err)
	}
	return nil
}
