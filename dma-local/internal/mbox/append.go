package mbox

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"time"

	"dma/dma-local/internal/letter"
)

// mailboxFile is what an append needs of the open mailbox, for tests that make
// each step fail.
type mailboxFile interface {
	io.Writer // at the end, wherever that is
	io.ReaderAt
	Truncate(size int64) error
	Sync() error
	Fd() uintptr
}

// around is room for what a letter's text is not: lines in front, quoting, an end.
// In bytes; more than that only makes reserve less certain.
const around = 4096

// appendAll appends letters to f, which has size bytes, and syncs once. It
// returns an error or nil for each. The file then holds what it held and the
// letters without an error, whole: all others were cut off again (RULES D3).
func appendAll(f mailboxFile, size int64, letters []letter.Letter, at time.Time) []error {
	errs := make([]error, len(letters))
	end := size // of the last whole letter
	var broken error
	for i, l := range letters {
		if broken != nil {
			errs[i] = broken
			continue
		}
		// On a file system that writes nothing in place, a file that has run into a
		// quota cannot be cut either. So room is asked for first.
		var n int64
		err := reserve(f.Fd(), end, l.Size+around)
		if err == nil {
			n, err = appendOne(f, end == size, size, l, at)
		}
		if err == nil {
			end += n
			continue
		}
		errs[i] = err
		if n == 0 {
			_ = f.Truncate(end) // gives back what was reserved; the file is as it was, with or without that
			continue
		}
		if terr := f.Truncate(end); terr != nil {
			// Half a letter stays. What comes next would look like its rest.
			broken = fmt.Errorf("cut off what was not whole: %w", terr)
			errs[i] = errors.Join(err, broken)
		}
	}
	if err := f.Sync(); err != nil {
		undo := f.Truncate(size)
		if undo == nil {
			undo = f.Sync()
		}
		for i := range errs {
			errs[i] = errors.Join(errs[i], fmt.Errorf("sync: %w", err), undo)
		}
	}
	return errs
}

// appendOne appends l, and before the first letter what the end of the file lacks.
func appendOne(f mailboxFile, first bool, size int64, l letter.Letter, at time.Time) (int64, error) {
	w := &counter{w: f}
	if first {
		repair, err := missingEnd(f, size)
		if err != nil {
			return 0, err
		}
		if _, err := w.Write(repair); err != nil {
			return w.n, err
		}
	}
	err := l.WriteMbox(w, at)
	return w.n, err
}

// missingEnd returns what has to come behind the first size bytes of f before the
// next From line. That is nothing, but for a mailbox that a killed program left:
// a line end, and a blank line, since some readers, BSD mail for one, see a From
// line only behind one.
func missingEnd(f io.ReaderAt, size int64) ([]byte, error) {
	tail := make([]byte, min(size, 2))
	if _, err := f.ReadAt(tail, size-int64(len(tail))); err != nil && len(tail) > 0 {
		return nil, fmt.Errorf("read its end: %w", err)
	}
	switch {
	case len(tail) == len(bytes.TrimRight(tail, "\n")) && len(tail) > 0:
		return []byte("\n\n"), nil
	case len(tail) == 2 && tail[0] != '\n':
		return []byte("\n"), nil
	}
	return nil, nil
}

// counter counts what arrived.
type counter struct {
	w io.Writer
	n int64
}

func (c *counter) Write(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	n, err := c.w.Write(p)
	c.n += int64(n)
	return n, err
}
