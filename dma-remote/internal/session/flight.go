package session

import "time"

// A flight writes while its owner reads. With many commands under way, or half a
// message, a server that answers each at once may otherwise wait for us to read
// while we wait for it to do so.
type flight struct {
	done chan error
	late *time.Timer // ends the wait for a reply after a failed write
}

// startFlight starts write. The caller reads what it has to and then calls wait;
// closing the connection ends a write that hangs.
func (c *Conn) startFlight(write func() error) *flight {
	f := &flight{done: make(chan error, 1)}
	go func() {
		err := write()
		if err != nil {
			f.late = time.AfterFunc(c.cfg.Limits.Linger, c.abort) // a reply that explains it may be on its way
		}
		f.done <- err
	}()
	return f
}

// wait waits for the writer and returns its error.
func (f *flight) wait() error {
	err := <-f.done
	if f.late != nil {
		f.late.Stop()
	}
	return err
}
