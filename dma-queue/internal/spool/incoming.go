package spool

import (
	"bufio"
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"dma/common/durable"
)

const (
	incomingMode  = 0o604 // the runner reads as other; the group may not (DESIGN 4)
	incomingMagic = "dma-incoming"
	headerSize    = 64
	writeBuffer   = 64 << 10 // bytes collected before a write
)

// Incoming is a submission that is being written. It is locked and incomplete
// until Commit returns; then nothing loses it. It is not for several goroutines.
type Incoming struct {
	// MaxSize is the limit of the message in bytes; 0 is no limit.
	MaxSize int64

	dir      *durable.Dir
	file     *durable.File // nil after Commit and Abort
	left     bool          // aborted, but the file is still there
	buf      *bufio.Writer
	sum      uint32
	envelope int64
	message  int64
}

// NewIncoming makes the file of a submission in dir and locks it.
func NewIncoming(dir *durable.Dir, id ID) (*Incoming, error) {
	f, err := dir.Create(string(id), incomingMode)
	if err != nil {
		return nil, err
	}
	in := &Incoming{dir: dir, file: f, buf: bufio.NewWriterSize(f, writeBuffer)}
	// A runner that looks at the file in this moment holds it for as long as it
	// takes to see that it is empty.
	if err := flock(f.File(), unix.LOCK_EX); err != nil {
		in.Abort()
		return nil, fmt.Errorf("lock %s: %w", f.File().Name(), err)
	}
	return in, nil
}

// SetEnvelope writes the envelope. It comes before the message, once.
func (in *Incoming) SetEnvelope(s Submission) error {
	if err := s.Check(); err != nil {
		return fmt.Errorf("write envelope: %w", err)
	}
	b := s.append(make([]byte, headerSize, 1024))
	in.envelope = int64(len(b) - headerSize)
	if in.envelope > MaxEnvelope {
		return fmt.Errorf("write envelope: %d bytes %w of %d", in.envelope, ErrLimit, MaxEnvelope)
	}
	in.sum = Checksum(0, b[headerSize:])
	_, err := in.buf.Write(b)
	return err
}

// Write adds to the message.
func (in *Incoming) Write(p []byte) (int, error) {
	if in.envelope == 0 {
		return 0, errors.New("write message: no envelope yet")
	}
	if in.MaxSize > 0 && in.message+int64(len(p)) > in.MaxSize {
		return 0, fmt.Errorf("message %w of %d bytes", ErrLimit, in.MaxSize)
	}
	n, err := in.buf.Write(p)
	in.sum = Checksum(in.sum, p[:n])
	in.message += int64(n)
	return n, err
}

// Commit completes the file and makes it durable (RULES A4). If it returns nil
// the submission survives a power cut at that moment; otherwise it has been aborted.
func (in *Incoming) Commit() error {
	if in.file == nil || in.envelope == 0 {
		return errors.New("commit submission: nothing to commit")
	}
	err := in.buf.Flush()
	if err == nil {
		_, err = in.file.WriteAt(appendHeader(nil, in.envelope, in.message, in.sum), 0)
	}
	if err == nil {
		err = in.file.Secure()
	}
	if err != nil {
		in.Abort()
		return err
	}
	// Unlocked by name, not by the close: a process that is just being forked, by
	// whoever links this package, has the descriptor too until its exec, and the
	// runner would take the submission for one that is still being written.
	_ = flock(in.file.File(), unix.LOCK_UN)
	if err = in.file.Close(); err != nil {
		_ = in.dir.Remove(in.file.Name()) // safe on disk, but its sender hears that it failed
	}
	in.file = nil
	return err
}

// Abort takes the file back, and reports whether it is gone. Called by root, the
// front end has become somebody who may not remove a file of root's: then it
// leaves one that says that there is no message in it, which the runner removes.
// That takes no space, as the disk may be full.
func (in *Incoming) Abort() (gone bool) {
	if in.file == nil {
		return !in.left
	}
	f := in.file.File()
	err := in.dir.Remove(in.file.Name())
	in.left = err != nil && !errors.Is(err, unix.ENOENT)
	if in.left && f.Truncate(0) == nil {
		_ = f.Truncate(headerSize)
	}
	f.Close()
	in.file = nil
	return !in.left
}

// appendHeader appends the header of a complete file.
func appendHeader(b []byte, envelope, message int64, sum uint32) []byte {
	start := len(b)
	b = fmt.Appendf(b, "%s 1 %010d %018d %08x", incomingMagic, envelope, message, sum)
	for len(b) < start+headerSize-1 {
		b = append(b, ' ')
	}
	return append(b, '\n')
}

// TryLock reports whether f is nobody's: its writer has committed it or is dead.
// The lock, taken by this call, ends when f is closed.
func TryLock(f *os.File) bool { return flock(f, unix.LOCK_SH|unix.LOCK_NB) == nil }

// Lock takes the lock on f, which ends with the process; false if another has it.
func Lock(f *os.File) bool { return flock(f, unix.LOCK_EX|unix.LOCK_NB) == nil }

func flock(f *os.File, how int) error {
	for {
		if err := unix.Flock(int(f.Fd()), how); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}
