package front

import (
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"dma/common/site"
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

// FlushQueue has the runner try everything now. It returns when the runner has
// begun with it.
func FlushQueue(leave func() error) error {
	return Converse(leave, func(c *proto.Conn) error {
		if err := c.Send(1, &proto.Flush{Selection: proto.All()}, nil); err != nil {
			return err
		}
		_, err := c.Recv(replyTimeout, proto.TypeAck)
		return err
	})
}
