package front

import (
	"errors"
	"fmt"
	"io"
	"time"

	"golang.org/x/sys/unix"

	"dma/common/sysexits"
	"dma/proto"
)

// ErrStarted marks an error behind which a conversation must not begin again:
// what came of it before is done, or printed.
var ErrStarted = errors.New("conversation broke off")

// Converse has talk speak with the runner, and starts one if none is there. A
// runner that ends just then is no failure: talk is called again with the next
// one, unless its error is ErrStarted. A Failure of talk is passed on as it is.
//
// Leave, if there is one, gives up root. Who asks is seen by the runner when the
// connection is made, so leave is called behind that, and before anything that
// the runner says is read.
func Converse(leave func() error, talk func(*proto.Conn) error) error {
	conn, err := converse(leave, talk)
	if err == nil {
		conn.Close()
	}
	return err
}

// converse is Converse for those who have more to say: if there is no error, the
// connection is open still.
func converse(leave func() error, talk func(*proto.Conn) error) (*proto.Conn, error) {
	c := newCaller(leave)
	defer c.stop()
	for {
		conn, err := c.connect()
		if err != nil {
			return nil, err
		}
		if err = talk(conn); err == nil {
			return conn, nil
		}
		conn.Close()
		var failure *Failure
		switch {
		case errors.As(err, &failure):
			return nil, err
		case !goneAway(err) || errors.Is(err, ErrStarted):
			return nil, reachError(err)
		case c.left:
			return nil, failf(sysexits.TempFail, "the queue runner ended just now, and only root may ask again: %w", err)
		}
		if err := c.wait(err); err != nil {
			return nil, err
		}
	}
}

// caller connects to the runner.
type caller struct {
	leave   func() error
	left    bool // leave was called
	started bool // dma-spawn was
	poll    *time.Ticker
	giveUp  *time.Timer
}

func newCaller(leave func() error) *caller {
	return &caller{leave: leave, poll: time.NewTicker(startPoll), giveUp: time.NewTimer(startTimeout)}
}

func (c *caller) stop() {
	c.poll.Stop()
	c.giveUp.Stop()
}

// connect makes a connection to a runner that has said Hello.
func (c *caller) connect() (*proto.Conn, error) {
	for {
		conn, err := proto.Dial(controlPath(), dialTimeout)
		if err == nil {
			if err = c.greet(conn); err == nil {
				return conn, nil
			}
			conn.Close()
		}
		var failure *Failure
		switch {
		case errors.As(err, &failure):
			return nil, err
		case nobodyListens(err) && !c.started:
			if serr := startRunner(); serr != nil {
				return nil, reachError(serr)
			}
			c.started = true
		case nobodyListens(err), goneAway(err) && !c.left:
		default:
			return nil, reachError(err)
		}
		if err := c.wait(err); err != nil {
			return nil, err
		}
	}
}

// wait is for the runner to come.
func (c *caller) wait(why error) error {
	select {
	case <-c.poll.C:
		return nil
	case <-c.giveUp.C:
		return failf(sysexits.TempFail, "the queue runner does not answer: %w", why)
	}
}

// greet is proto.Greet, by root without looking at the answer before it is
// somebody else: a runner that is ending hangs up, and then root can ask the next.
func (c *caller) greet(conn *proto.Conn) error {
	if c.leave == nil {
		_, err := conn.Greet()
		return err
	}
	if err := conn.Send(0, &proto.Hello{Version: proto.Version}, nil); err != nil {
		return err
	}
	if !c.left {
		if err := answers(conn); err != nil {
			return err
		}
		if err := c.leave(); err != nil {
			return err
		}
		c.left = true
	}
	_, err := conn.RecvHello()
	return err
}

// answers waits until there is something to receive, and leaves it there.
func answers(conn *proto.Conn) error {
	f := conn.File() // lent, not given away
	if err := f.SetReadDeadline(time.Now().Add(proto.HelloTimeout)); err != nil {
		return err
	}
	raw, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var n int
	var rerr error
	err = raw.Read(func(fd uintptr) bool {
		for {
			n, _, rerr = unix.Recvfrom(int(fd), make([]byte, 1), unix.MSG_PEEK)
			if !errors.Is(rerr, unix.EINTR) {
				return !errors.Is(rerr, unix.EAGAIN)
			}
		}
	})
	if err == nil {
		err = rerr
	}
	if err == nil && n == 0 {
		err = io.EOF
	}
	return err
}

func goneAway(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, unix.EPIPE) || errors.Is(err, unix.ECONNRESET) || errors.Is(err, unix.EAGAIN)
}

func reachError(err error) error {
	code := sysexits.TempFail
	if errors.Is(err, unix.EACCES) || errors.Is(err, unix.EPERM) {
		code = sysexits.NoPerm
		if noSetGID() {
			err = fmt.Errorf("%w (%s)", err, setGIDHint)
		}
	}
	return failf(code, "reach queue runner: %w", err)
}
