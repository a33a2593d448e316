package front

import (
	"fmt"
	"os"
	"sync"
	"time"

	"dma/common/sysexits"
	"dma/dma-queue/internal/spool"
	"dma/proto"
)

// Limits of watching.
const (
	watchReply   = 5 * time.Second        // for an answer: the message is not committed yet
	watchTimeout = time.Hour              // a first try that takes longer is not waited for
	redrawEvery  = 200 * time.Millisecond // on a terminal
)

// Watch is a connection on which the runner tells what becomes of a message.
type Watch struct {
	conn *proto.Conn
	id   spool.ID
}

// StartWatch has the runner tell of the message id, which is about to be
// committed. While somebody watches, the runner stays.
func StartWatch(id spool.ID) (*Watch, error) {
	tries := 0
	conn, err := converse(nil, func(c *proto.Conn) error {
		err := c.Send(1, &proto.Watch{ID: string(id)}, nil)
		if err == nil {
			_, err = c.Recv(watchReply, proto.TypeAck)
		}
		if tries++; err != nil && tries == wakeTries { // it hangs up because it has enough who watch
			err = fmt.Errorf("%w: %w", ErrStarted, err)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return &Watch{conn, id}, nil
}

// Close ends the watch, if there is one.
func (w *Watch) Close() {
	if w != nil {
		w.conn.Close()
	}
}

// Follow has the runner look for the message, which is committed now, and shows
// its first try until that is over, or stop tells that nobody wants to know any
// more. The error says why the end is not known; the message is accepted.
func (w *Watch) Follow(show *Progress, stop <-chan os.Signal) error {
	if err := w.conn.Send(2, &proto.Wake{}, nil); err != nil {
		return reachError(err)
	}
	events := make(chan *proto.Event)
	ended := make(chan error, 1)
	done := make(chan struct{})
	var receiver sync.WaitGroup
	receiver.Go(func() { ended <- w.receive(events, done) })
	defer receiver.Wait()
	defer w.conn.Close()
	defer close(done)
	redraw := time.NewTicker(redrawEvery)
	defer redraw.Stop()
	tooLong := time.NewTimer(watchTimeout)
	defer tooLong.Stop()
	defer show.End()
	for {
		select {
		case m := <-events:
			show.Event(m)
		case err := <-ended:
			return err
		case <-redraw.C:
			show.Redraw()
		case sig := <-stop:
			return fmt.Errorf("%v: message %s is accepted and goes on being delivered; mailq shows it", sig, w.id)
		case <-tooLong.C:
			return fmt.Errorf("message %s is accepted and still being tried after %v; mailq shows it", w.id, watchTimeout)
		}
		if show.Broken() {
			return nil
		}
	}
}

// receive passes events on until the end of the first try.
func (w *Watch) receive(events chan<- *proto.Event, done <-chan struct{}) error {
	for {
		p, err := w.conn.Recv(watchTimeout, proto.TypeEvent, proto.TypeEnd)
		if err != nil {
			return failf(sysexits.TempFail, "the queue runner says nothing more: %w", err)
		}
		event, ok := p.Message.(*proto.Event)
		if !ok {
			return nil
		}
		select {
		case events <- event:
		case <-done:
			return nil
		}
	}
}
