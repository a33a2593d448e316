package schedule

import (
	"errors"
	"io"
	"sync"

	"dma/proto"
)

// maxStream bounds what waits for a reader of a Stream, in messages: two for each
// recipient that a message may have. Who is slower loses the stream, and holds up nobody.
const maxStream = 2 * 10000

// errSlow is the error of a reader that did not keep up.
var errSlow = errors.New("events were not read in time")

// Stream is news for somebody outside the loop, in order.
type Stream struct {
	more chan struct{}   // has one element when there may be more
	quit <-chan struct{} // closed when the run is over
	stop func()          // tells the loop that nobody reads any more

	mu   sync.Mutex
	list []proto.Message
	err  error // what comes behind the list
}

// NewStream makes a stream that breaks off when quit is closed.
func NewStream(quit <-chan struct{}) *Stream {
	return &Stream{more: make(chan struct{}, 1), quit: quit, stop: func() {}}
}

// Put adds m, unless the stream is over.
func (t *Stream) Put(m proto.Message) {
	t.mu.Lock()
	if t.err == nil {
		t.list = append(t.list, m)
	}
	if len(t.list) > maxStream {
		t.list, t.err = nil, errSlow
	}
	t.mu.Unlock()
	t.wake()
}

// End ends the stream with err; io.EOF says that all is told.
func (t *Stream) End(err error) {
	t.mu.Lock()
	if t.err == nil {
		t.err = err
	}
	t.mu.Unlock()
	t.wake()
}

func (t *Stream) wake() {
	select {
	case t.more <- struct{}{}:
	default:
	}
}

// Next waits for the next message. The error is io.EOF when there are no more.
func (t *Stream) Next() (proto.Message, error) {
	for {
		t.mu.Lock()
		if len(t.list) > 0 {
			m := t.list[0]
			t.list[0] = nil
			t.list = t.list[1:]
			t.mu.Unlock()
			return m, nil
		}
		err := t.err
		t.mu.Unlock()
		if err != nil {
			return nil, err
		}
		select {
		case <-t.more:
		case <-t.quit:
			return nil, ErrEnding
		}
	}
}

// Close says that nobody reads any more. Next returns what there is, then fails.
func (t *Stream) Close() {
	t.End(io.ErrClosedPipe)
	t.stop()
}
