// Package queue is the spool as the runner has it: messages with their targets,
// the journal that each of them gets when it outlives its first try, and dead
// letters (DESIGN 4). Package spool has what the front end needs too.
package queue

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"sync/atomic"

	"dma/common/durable"
	"dma/dma-queue/internal/spool"
)

// copyBuffer is how much of a message is handled at a time, in bytes.
const copyBuffer = 64 << 10

// Queue is the spool as the runner sees it (DESIGN 4). Its methods do not
// change a Message but as they say; those of different messages may run at the
// same time.
type Queue struct {
	root                    string
	incoming, queue, failed *durable.Dir

	writers sync.Pool // of *bufio.Writer

	// A name was made or removed that Commit has not synced yet.
	newIncoming, newQueue atomic.Bool
}

// OpenQueue opens the spool below root.
func OpenQueue(root string, options ...durable.Option) (*Queue, error) {
	q := &Queue{root: root}
	for name, dir := range map[string]**durable.Dir{"incoming": &q.incoming, "queue": &q.queue, "failed": &q.failed} {
		d, err := durable.OpenDir(root+"/"+name, options...)
		if err != nil {
			return nil, fmt.Errorf("open spool: %w", err)
		}
		*dir = d
	}
	return q, nil
}

// Submitted lists incoming, oldest first, damaged and unfinished files included.
// What is no id there is not ours and left alone.
func (q *Queue) Submitted() ([]spool.ID, error) { return ids(q.incoming, "") }

func ids(dir *durable.Dir, suffix string) ([]spool.ID, error) {
	names, err := dir.Names()
	if err != nil {
		return nil, fmt.Errorf("list spool: %w", err)
	}
	var list []spool.ID
	for _, n := range names {
		if base, ok := strings.CutSuffix(n, suffix); ok {
			if id, err := spool.ParseID(base); err == nil {
				list = append(list, id)
			}
		}
	}
	return list, nil
}

// Recover lists the messages with a journal and removes what a crash left
// beside them: copies whose submission is still there, which will be made
// again, copies that were finished but for their removal, and the beginnings of
// rewritten journals.
//
// A copy with neither journal nor submission is finished, because the
// submission is removed only when all is done or when the journal is durable.
func (q *Queue) Recover() ([]spool.ID, error) {
	names, err := q.queue.Names()
	if err != nil {
		return nil, fmt.Errorf("recover queue: %w", err)
	}
	var journaled []spool.ID
	has := make(map[string]bool, len(names))
	for _, n := range names {
		base, ok := strings.CutSuffix(n, journalSuffix)
		if id, err := spool.ParseID(base); ok && err == nil {
			journaled = append(journaled, id)
			has[base] = true
		}
	}
	for _, n := range names {
		_, err := spool.ParseID(n)
		if (err == nil && !has[n]) || strings.HasPrefix(n, ".") {
			if err := q.queue.Remove(n); err != nil {
				return nil, fmt.Errorf("recover queue: %w", err)
			}
		}
	}
	return journaled, nil
}

// OpenSubmitted opens a submission for reading.
func (q *Queue) OpenSubmitted(id spool.ID) (*os.File, error) { return q.incoming.Open(string(id)) }

// StatSubmitted looks at a submission without opening it.
func (q *Queue) StatSubmitted(id spool.ID) (os.FileInfo, error) {
	return os.Lstat(q.root + "/incoming/" + string(id))
}

// RemoveSubmitted removes a submission: after Commit of its message, or because
// it was abandoned.
func (q *Queue) RemoveSubmitted(id spool.ID) error {
	if err := q.incoming.Remove(string(id)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("remove submission: %w", err)
	}
	q.newIncoming.Store(true)
	return nil
}

// Create writes the message file of id with what write writes, and returns its
// size and checksum. It is not synced: see Commit. What an earlier attempt left
// is replaced.
func (q *Queue) Create(id spool.ID, write func(io.Writer) error) (size int64, sum uint32, err error) {
	var s summer
	err = q.write(string(id), func(f *durable.File) error {
		s.w = f
		b, _ := q.writers.Get().(*bufio.Writer)
		if b == nil {
			b = bufio.NewWriterSize(nil, copyBuffer)
		}
		defer q.writers.Put(b)
		b.Reset(&s)
		if err := write(b); err != nil {
			return err
		}
		return b.Flush()
	})
	if err != nil {
		return 0, 0, fmt.Errorf("create message %s: %w", id, err)
	}
	return s.size, s.sum, nil
}

// write makes a file in queue, in place of what is there; after an error there is none.
func (q *Queue) write(name string, content func(*durable.File) error) error {
	f, err := q.queue.Create(name, 0o600)
	if err != nil { // what is rare costs more
		if rerr := q.queue.Remove(name); errors.Is(rerr, os.ErrNotExist) {
			return err
		} else if rerr != nil {
			return errors.Join(err, rerr)
		}
		if f, err = q.queue.Create(name, 0o600); err != nil {
			return err
		}
	}
	q.newQueue.Store(true)
	err = content(f)
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		err = errors.Join(err, q.queue.Remove(name))
	}
	return err
}

// summer counts and sums up what is written through it.
type summer struct {
	w    io.Writer
	size int64
	sum  uint32
}

func (s *summer) Write(p []byte) (int, error) {
	n, err := s.w.Write(p)
	s.size += int64(n)
	s.sum = spool.Checksum(s.sum, p[:n])
	return n, err
}

// Adopt says that m, new from Create, has a submission behind it.
func (m *Message) Adopt() { m.incoming = true }

// Load reads a message with a journal and checks that its file is whole.
func (q *Queue) Load(id spool.ID) (*Message, error) {
	f, err := q.queue.Open(string(id) + journalSuffix)
	if err != nil {
		return nil, fmt.Errorf("load message: %w", err)
	}
	defer f.Close()
	m, _, err := readJournal(f)
	if err != nil {
		return nil, fmt.Errorf("load message %s: %w", id, err)
	}
	if m.ID != id {
		return nil, fmt.Errorf("load message %s: %w: it is that of %s", id, ErrJournal, m.ID)
	}
	return m, nil
}

// Verify checks the file of m against its journal.
func (q *Queue) Verify(m *Message) error {
	if err := q.copy(io.Discard, m); err != nil {
		return fmt.Errorf("verify message %s: %w", m.ID, err)
	}
	return nil
}

// Renew writes the file of m anew and syncs it: after an error of Commit nothing
// is known about the old one, and to sync that again would not tell (package
// durable). The error wraps ErrMessage if it is lost already.
func (q *Queue) Renew(m *Message) error {
	name := "." + string(m.ID) // Recover removes what a crash leaves
	err := q.write(name, func(f *durable.File) error {
		if err := q.copy(f, m); err != nil {
			return err
		}
		return f.Sync()
	})
	if err == nil {
		err = q.queue.Rename(name, q.queue, string(m.ID))
	}
	if err != nil {
		return fmt.Errorf("renew message %s: %w", m.ID, err)
	}
	return nil
}

// copy copies the file of m and checks it.
func (q *Queue) copy(w io.Writer, m *Message) error {
	f, err := q.OpenMessage(m.ID)
	if errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("%w: %w", ErrMessage, err)
	}
	if err != nil {
		return err
	}
	defer f.Close()
	s := summer{w: w}
	if _, err := io.CopyBuffer(&s, struct{ io.Reader }{f}, make([]byte, copyBuffer)); err != nil {
		return err
	}
	if s.size != m.Size || s.sum != m.Sum {
		return fmt.Errorf("%w: %d bytes with checksum %08x, not %d with %08x", ErrMessage, s.size, s.sum, m.Size, m.Sum)
	}
	return nil
}

// OpenMessage opens the file of a message anew, for reading: every delivery gets
// a descriptor of its own, since those who share one share its offset.
func (q *Queue) OpenMessage(id spool.ID) (*os.File, error) { return q.queue.Open(string(id)) }

// Unsynced names what Commit is to make durable.
type Unsynced struct {
	ID      spool.ID
	Message bool // the message file too: it was made since the last Commit
}

// Commit makes what list names survive a crash of the machine, and also every
// removal before it.
func (q *Queue) Commit(list []Unsynced) error {
	if err := q.Sync(list); err != nil {
		return err
	}
	return q.SyncNames()
}

// Sync is the first half of Commit: the files, without their names.
func (q *Queue) Sync(list []Unsynced) error {
	for _, u := range list {
		names := []string{string(u.ID) + journalSuffix}
		if u.Message {
			names = append(names, string(u.ID))
		}
		for _, n := range names {
			if err := q.sync(n); err != nil && !errors.Is(err, os.ErrNotExist) { // finished meanwhile
				return fmt.Errorf("commit message %s: %w", u.ID, err)
			}
		}
	}
	return nil
}

// SyncNames is the second half of Commit. Many may share it.
func (q *Queue) SyncNames() error {
	for _, d := range []struct {
		changed *atomic.Bool
		dir     *durable.Dir
	}{{&q.newQueue, q.queue}, {&q.newIncoming, q.incoming}} {
		if !d.changed.Swap(false) {
			continue
		}
		if err := d.dir.Sync(); err != nil {
			d.changed.Store(true)
			return fmt.Errorf("commit messages: %w", err)
		}
	}
	return nil
}

// Changed reports whether there are names for SyncNames to sync.
func (q *Queue) Changed() bool { return q.newQueue.Load() || q.newIncoming.Load() }

func (q *Queue) sync(name string) error {
	f, err := q.queue.Append(name)
	if err != nil {
		return err
	}
	err = f.Sync()
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	return err
}

// Finish removes a message of which nothing is left to do. Submission first,
// journal second: whatever a crash leaves is what is done, not what is to do.
func (q *Queue) Finish(m *Message) error {
	if m.incoming {
		if err := q.RemoveSubmitted(m.ID); err != nil {
			return err
		}
		m.incoming = false
	}
	return q.remove(m.ID, m.journal.exists || m.journal.tried)
}

// Drop removes a message whether or not anything is left to do: submission first,
// message last, so that a crash in between leaves all of it or nothing. The error
// is ErrLeft if it is gone but for its file.
func (q *Queue) Drop(id spool.ID) error {
	if err := q.RemoveSubmitted(id); err != nil {
		return err
	}
	q.newQueue.Store(true)
	if err := q.queue.Remove(string(id) + journalSuffix); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("drop message: %w", err)
	}
	if err := q.queue.Remove(string(id)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("%w: %w", ErrLeft, err)
	}
	return nil
}

// ErrLeft is the error of removing the file of a message that has nothing else any
// more, and so is none: Recover removes it.
var ErrLeft = errors.New("the file of a removed message is left until the next start of the runner")

// Discard removes what a crash left of a message whose submission is still there.
func (q *Queue) Discard(id spool.ID) error { return q.remove(id, true) }

// remove removes a message's journal, if there may be one, and then its file.
func (q *Queue) remove(id spool.ID, journal bool) error {
	names := []string{string(id) + journalSuffix, string(id)}
	if !journal {
		names = names[1:]
	}
	for _, n := range names {
		if err := q.queue.Remove(n); err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("finish message: %w", err)
		}
	}
	q.newQueue.Store(true)
	return nil
}

// Release removes the submission of a message whose journal is durable.
func (q *Queue) Release(m *Message) error {
	if !m.incoming {
		return nil
	}
	if err := q.RemoveSubmitted(m.ID); err != nil {
		return err
	}
	m.incoming = false
	return nil
}

// LoadSubmitted reads the envelope of a submission that nobody has picked up
// yet, for a listing.
func (q *Queue) LoadSubmitted(id spool.ID) (*Message, error) {
	f, err := q.OpenSubmitted(id)
	if err != nil {
		return nil, fmt.Errorf("load submission: %w", err)
	}
	defer f.Close()
	r, err := spool.OpenIncoming(f)
	if err != nil {
		return nil, fmt.Errorf("load submission %s: %w", id, err)
	}
	return NewMessage(id, r), nil
}
