package front

import (
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"dma/common/site"
	"dma/common/sysexits"
	"dma/proto"
)

// Limits of waiting for the runner.
const (
	dialTimeout  = time.Second           // for room in the queue of its socket
	startTimeout = 5 * time.Second       // from starting dma-spawn to the runner's first answer
	startPoll    = 10 * time.Millisecond // between two looks whether it listens
	replyTimeout = 30 * time.Second      // for an answer while it is at work
	wakeTries    = 3                     // connections tried before dma-spawn is started
)

func controlPath() string { return site.Spool + "/run/control" }

// Wake tells the runner that there is new mail, or starts one. Whoever answers
// or is started now looks into incoming afterwards (DESIGN 6), so nobody waits
// for an answer. If the runner's Hello comes after we left, it may not see our
// Wake: to connect is to wake.
func Wake() error {
	for range wakeTries {
		conn, err := proto.Dial(controlPath(), dialTimeout)
		switch {
		case nobodyListens(err):
			return startRunner()
		case errors.Is(err, unix.EAGAIN):
			return nil // there are so many before us that it will look again
		case err != nil:
			return err
		}
		err = conn.Send(0, &proto.Hello{Version: proto.Version}, nil)
		if err == nil {
			err = conn.Send(1, &proto.Wake{}, nil)
		}
		conn.Close()
		if err == nil {
			return nil
		}
		// It ends or has died: see who is there now.
	}
	return startRunner()
}

// nobodyListens: the socket is not there, or was left by a runner that is gone.
func nobodyListens(err error) bool {
	return errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ECONNREFUSED)
}

// startRunner starts dma-spawn, which needs nothing of this process, and does
// not wait for it: it stays for as long as there is mail.
func startRunner() error {
	null, err := os.OpenFile("/dev/null", os.O_RDWR, 0)
	if err != nil {
		return fmt.Errorf("start runner: %w", err)
	}
	defer null.Close()
	path := site.Libexec + "/dma-spawn"
	_, err = syscall.ForkExec(path, []string{"dma-spawn"}, &syscall.ProcAttr{
		Dir:   "/",
		Env:   []string{},
		Files: []uintptr{null.Fd(), null.Fd(), null.Fd()},
		Sys:   &syscall.SysProcAttr{Setsid: true},
	})
	if err != nil {
		return fmt.Errorf("start runner: execute %s: %w", path, err)
	}
	return nil
}

// errStarted says that a conversation had begun, and must not begin again.
var errStarted = errors.New("conversation broke off")

// converse has talk speak with the runner, and starts one if none is there. A
// runner that ends just then is no failure, as long as talk had no answer.
func converse(talk func(*proto.Conn) error) error {
	giveUp := time.NewTimer(startTimeout)
	defer giveUp.Stop()
	poll := time.NewTicker(startPoll)
	defer poll.Stop()
	started := false
	for {
		conn, err := proto.Dial(controlPath(), dialTimeout)
		if err == nil {
			if _, err = conn.Greet(); err == nil {
				err = talk(conn)
			}
			conn.Close()
		}
		switch {
		case err == nil:
			return nil
		case nobodyListens(err) && !started:
			if serr := startRunner(); serr != nil {
				return reachError(serr)
			}
			started = true
		case nobodyListens(err), goneAway(err) && !errors.Is(err, errStarted):
		default:
			return reachError(err)
		}
		select {
		case <-poll.C:
		case <-giveUp.C:
			return failf(sysexits.TempFail, "the queue runner does not answer: %w", err)
		}
	}
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

// FlushQueue has the runner try everything now. It returns when the runner has
// begun with it.
func FlushQueue() error {
	return converse(func(c *proto.Conn) error {
		if err := c.Send(1, &proto.Flush{Selection: proto.All()}, nil); err != nil {
			return err
		}
		_, err := c.Recv(replyTimeout, proto.TypeAck)
		return err
	})
}
