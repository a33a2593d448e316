package front

import (
	"bufio"
	"fmt"
	"io"
	"time"

	"dma/common/outcome"
	"dma/common/sysexits"
	"dma/proto"
)

// ListQueue prints the queue in the format of dma(8), which others parse: one
// entry for each recipient of a message, "--" between entries. With verbose, each
// has more lines, which nobody should count on.
func ListQueue(stdout io.Writer, verbose bool) error {
	w := bufio.NewWriter(stdout)
	list := listing{w: w, verbose: verbose}
	if err := converse(list.talk); err != nil {
		w.Flush() // what came before it broke off
		return err
	}
	if list.entries == 0 {
		fmt.Fprintln(w, "Mail queue is empty")
	}
	if err := w.Flush(); err != nil {
		return failf(sysexits.IOErr, "%w", err)
	}
	return nil
}

// listing is a listing on its way from the runner to the output. It holds one
// message at most, however long the queue is.
type listing struct {
	w       io.Writer
	verbose bool
	items   uint32
	entries int
}

func (l *listing) talk(c *proto.Conn) error {
	if err := c.Send(1, &proto.List{Selection: proto.All()}, nil); err != nil {
		return err
	}
	for {
		p, err := c.Recv(replyTimeout, proto.TypeItem, proto.TypeEnd)
		if err != nil {
			return l.broken(err)
		}
		switch m := p.Message.(type) {
		case *proto.Item:
			l.items++
			if err := l.item(c, m); err != nil {
				return l.broken(err)
			}
		case *proto.End:
			if m.Count != l.items {
				return fmt.Errorf("%w: %d messages announced, %d listed", proto.ErrProtocol, m.Count, l.items)
			}
			return nil
		}
	}
}

// broken marks an error behind which the conversation cannot start again: part
// of the queue is printed.
func (l *listing) broken(err error) error {
	if l.items > 0 {
		return fmt.Errorf("%w: %w", errStarted, err)
	}
	return err
}

func (l *listing) item(c *proto.Conn, m *proto.Item) error {
	if m.States == 0 { // expansion is still to come, or a dead letter
		l.print(m, &proto.State{})
	}
	for range m.States {
		p, err := c.Recv(replyTimeout, proto.TypeState)
		if err != nil {
			return err
		}
		l.print(m, p.Message.(*proto.State))
	}
	return nil
}

func (l *listing) print(m *proto.Item, s *proto.State) {
	if l.entries++; l.entries > 1 {
		fmt.Fprintln(l.w, "--")
	}
	mark := ""
	switch {
	case m.Dead:
		mark = "!"
	case m.Active:
		mark = "*"
	}
	l.line("ID", m.ID+mark)
	l.line("From", m.Sender)
	l.line("To", s.Recipient)
	if !l.verbose {
		return
	}
	l.line("Arrived", utc(m.Arrived))
	l.line("Size", fmt.Sprintf("%d bytes from uid %d", m.Size, m.UID))
	if m.Dead {
		l.line("Next", "never: dead letter")
		return
	}
	l.line("Tries", fmt.Sprint(s.Tries))
	if s.Next > 0 {
		l.line("Next", utc(s.Next))
	}
	if s.Reason != "" {
		l.line("Reason", s.Reason)
	}
}

// line prints one line. Addresses and reasons are foreign, and this is a terminal.
func (l *listing) line(name, value string) {
	fmt.Fprintf(l.w, "%s\t: %s\n", name, outcome.Clean(value))
}

// utc formats a time in the one zone that needs no file (RULES A1).
func utc(seconds int64) string { return time.Unix(seconds, 0).UTC().Format("2006-01-02 15:04:05 UTC") }
