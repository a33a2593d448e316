// Package admin is what people do with the queue: see it, hold it, drop from it
// (dma-queue.8, QUEUE CONTROL). The runner does it; whose messages one may reach is
// the runner's decision, too, by the uid that the kernel tells it.
package admin

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"time"

	"dma/common/outcome"
	"dma/common/sysexits"
	"dma/dma-queue/internal/front"
	"dma/proto"
)

// replyTimeout is how long the runner may take for an answer, or for the next part
// of one. To stop a delivery that is under way takes it longest.
const replyTimeout = time.Minute

// Run carries out what o asks for. Leave gives up root, if there is any to give
// up, once the runner knows who asks; see front.Converse.
func Run(o front.Options, stdout, stderr io.Writer, leave func() error) error {
	w := bufio.NewWriter(stdout)
	s := session{o: o, w: w, stderr: stderr}
	err := front.Converse(leave, s.talk)
	if ferr := w.Flush(); err == nil && ferr != nil {
		err = &front.Failure{Code: sysexits.IOErr, Err: ferr}
	}
	return err
}

// session is one command on its way.
type session struct {
	o       front.Options
	w       *bufio.Writer
	stderr  io.Writer
	request uint32
	begun   bool // something was printed or changed: it cannot begin again
}

func (s *session) talk(c *proto.Conn) error {
	err := s.command(c)
	var failure *front.Failure
	if err != nil && s.begun && !errors.As(err, &failure) {
		return fmt.Errorf("%w: %w", front.ErrStarted, err)
	}
	return err
}

func (s *session) command(c *proto.Conn) error {
	switch s.o.Command {
	case "list":
		return s.list(c)
	case "show":
		return s.show(c)
	}
	return s.change(c)
}

// selections are what is asked for: one, or one for each id.
func (s *session) selections() []proto.Selection {
	if s.o.By != proto.ByID {
		return []proto.Selection{{By: s.o.By, Value: s.o.Value}}
	}
	var list []proto.Selection
	for _, id := range s.o.Args {
		list = append(list, proto.Selection{By: proto.ByID, Value: id})
	}
	return list
}

// send makes a request.
func (s *session) send(c *proto.Conn, m proto.Message) error {
	s.request++
	return c.Send(s.request, m, nil)
}

// change has messages held, released, removed or tried now, and says how many.
func (s *session) change(c *proto.Conn) error {
	var total proto.Ack
	missing := 0
	for _, which := range s.selections() {
		if err := s.send(c, s.message(which)); err != nil {
			return err
		}
		p, err := c.Recv(replyTimeout, proto.TypeAck)
		if err != nil {
			return err
		}
		s.begun = true
		ack := p.Message.(*proto.Ack)
		if which.By == proto.ByID && ack.Count+ack.Denied+ack.Busy == 0 {
			missing++
			fmt.Fprintf(s.stderr, "dma-queue: %s: no such message in the queue%s\n", outcome.Clean(which.Value), s.orState())
		}
		total.Count += ack.Count
		total.Denied += ack.Denied
		total.Busy += ack.Busy
	}
	fmt.Fprintf(s.w, "%s: %s\n", s.done(), count(total.Count))
	switch {
	case total.Denied > 0:
		return &front.Failure{Code: sysexits.NoPerm, Err: fmt.Errorf("%s not yours, and left alone; root may", count(total.Denied))}
	case total.Busy > 0:
		return &front.Failure{Code: sysexits.TempFail, Err: fmt.Errorf("%s still being delivered; what is under way does not stop yet, and the rest is removed when it has", count(total.Busy))}
	case missing > 0:
		return &front.Failure{Code: sysexits.NoInput, Err: fmt.Errorf("%s not found; mailq shows what there is", count(uint32(missing)))}
	}
	return nil
}

func (s *session) message(which proto.Selection) proto.Message {
	switch s.o.Command {
	case "hold":
		return &proto.Hold{Selection: which}
	case "release":
		return &proto.Release{Selection: which}
	case "remove":
		return &proto.Remove{Selection: which}
	}
	return &proto.Flush{Selection: which}
}

// done names what has happened.
func (s *session) done() string {
	switch s.o.Command {
	case "hold":
		return "held"
	case "release":
		return "released"
	case "remove":
		return "removed"
	}
	return "to be tried now"
}

// orState is what else can be the matter when nothing was found.
func (s *session) orState() string {
	switch s.o.Command {
	case "flush":
		return ", or it is held"
	case "release":
		return ", or it is not held"
	}
	return ""
}

func count(n uint32) string {
	if n == 1 {
		return "1 message"
	}
	return fmt.Sprintf("%d messages", n)
}

// list prints the messages asked for.
func (s *session) list(c *proto.Conn) error {
	f := s.format()
	f.begin()
	found := 0
	for _, which := range s.selections() {
		if err := s.send(c, &proto.List{Selection: which}); err != nil {
			return err
		}
		n, err := s.items(c, f)
		if err != nil {
			return err
		}
		found += n
	}
	f.end()
	if s.o.By == proto.ByID && found < len(s.o.Args) {
		return &front.Failure{Code: sysexits.NoInput, Err: fmt.Errorf("%s not found, or not yours", count(uint32(len(s.o.Args)-found)))}
	}
	return nil
}

// items prints what the runner lists, up to its End.
func (s *session) items(c *proto.Conn, f format) (n int, err error) {
	for {
		p, err := c.Recv(replyTimeout, proto.TypeItem, proto.TypeEnd)
		if err != nil {
			return n, err
		}
		switch m := p.Message.(type) {
		case *proto.Item:
			n++
			states, err := s.states(c, m)
			if err != nil {
				return n, err
			}
			s.begun = true
			f.item(m, states)
		case *proto.End:
			if int(m.Count) != n {
				return n, fmt.Errorf("%w: %d messages announced, %d listed", proto.ErrProtocol, m.Count, n)
			}
			return n, nil
		}
	}
}

// maxStates bounds what a listing holds at a time: it is one message.
const maxStates = 20000

func (s *session) states(c *proto.Conn, m *proto.Item) ([]proto.State, error) {
	if m.States > maxStates {
		return nil, fmt.Errorf("%w: message with %d recipients", proto.ErrProtocol, m.States)
	}
	var list []proto.State
	for range m.States {
		p, err := c.Recv(replyTimeout, proto.TypeState)
		if err != nil {
			return nil, err
		}
		list = append(list, *p.Message.(*proto.State))
	}
	return list, nil
}

// errUnread is the error of a message whose file the runner did not hand over.
var errUnread = errors.New("the file of the message cannot be had; see the log")

// show prints messages as they are in the queue, behind what is known of them.
func (s *session) show(c *proto.Conn) error {
	for _, id := range s.o.Args {
		if err := s.send(c, &proto.Show{ID: id}); err != nil {
			return err
		}
		if err := s.showOne(c, id); err != nil {
			return err
		}
	}
	return nil
}

func (s *session) showOne(c *proto.Conn, id string) error {
	p, err := c.Recv(replyTimeout, proto.TypeItem, proto.TypeEnd)
	if err != nil {
		return err
	}
	item, ok := p.Message.(*proto.Item)
	if !ok {
		return &front.Failure{Code: sysexits.NoInput, Err: fmt.Errorf("%s: no such message in the queue, or not yours", outcome.Clean(id))}
	}
	states, err := s.states(c, item)
	if err != nil {
		return err
	}
	s.begun = true
	f := s.format()
	f.begin()
	f.item(item, states)
	f.end()
	p, err = c.Recv(replyTimeout, proto.TypeContent, proto.TypeEnd)
	switch {
	case err != nil:
		return err
	case p.File == nil:
		return &front.Failure{Code: sysexits.IOErr, Err: fmt.Errorf("%s: %w", id, errUnread)}
	}
	defer p.File.Close()
	if s.o.Format != formatJSON {
		fmt.Fprintln(s.w)
		if err := copyPrintable(s.w, p.File); err != nil {
			return &front.Failure{Code: sysexits.IOErr, Err: fmt.Errorf("print %s: %w", id, err)}
		}
	}
	_, err = c.Recv(replyTimeout, proto.TypeEnd)
	return err
}

// copyPrintable copies the message, whose control characters could be meant for
// the terminal. Everything else is as it is in the queue.
func copyPrintable(w io.Writer, r io.Reader) error {
	b := make([]byte, 32<<10)
	for {
		n, err := r.Read(b)
		for i, c := range b[:n] {
			if c < ' ' && c != '\n' && c != '\t' || c == 0x7f {
				b[i] = '?'
			}
		}
		if _, werr := w.Write(b[:n]); werr != nil {
			return werr
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}
