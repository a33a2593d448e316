package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"dma/proto"
)

// slowRunner stands in for a runner that tries a message and never ends with it.
// It closes tried when it has said so.
func slowRunner(t *testing.T, r root) (tried chan struct{}) {
	t.Helper()
	l, err := proto.Listen(string(r) + "/spool/run/control")
	must(t, err)
	tried = make(chan struct{})
	ended := make(chan error, 1)
	go func() { ended <- tryForEver(l, tried) }()
	t.Cleanup(func() {
		l.Close()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return tried
}

func tryForEver(l *proto.Listener, tried chan struct{}) error {
	c, err := l.Accept()
	if err != nil {
		return err
	}
	defer c.Close()
	if _, err = c.Greet(); err != nil {
		return err
	}
	for _, m := range []proto.Message{&proto.Ack{Count: 1}, &proto.Event{Step: proto.StepTrying, Recipient: "alice"}} {
		p, err := c.Recv(10*time.Second, proto.TypeWatch, proto.TypeWake)
		if err == nil {
			err = c.Send(p.Request, m, nil)
		}
		if err != nil {
			return err
		}
	}
	close(tried)
	if _, err := c.Recv(10*time.Second, proto.TypeWake); !errors.Is(err, io.EOF) {
		return fmt.Errorf("it did not go: %w", err)
	}
	return nil
}

// terminal makes a pseudo-terminal. What is written to tty is read from pty.
func terminal(t *testing.T) (pty, tty *os.File) {
	t.Helper()
	pty, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	must(t, err)
	n, err := unix.IoctlGetInt(int(pty.Fd()), unix.TIOCGPTN)
	must(t, err)
	must(t, unix.IoctlSetPointerInt(int(pty.Fd()), unix.TIOCSPTLCK, 0))
	tty, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	must(t, err)
	t.Cleanup(func() { pty.Close(); tty.Close() })
	return pty, tty
}

// TestInterrupted: whoever does not want to see the end of a delivery leaves it,
// and the message stays accepted (RULES A5).
func TestInterrupted(t *testing.T) {
	r := build(t)
	for name, c := range map[string]struct {
		args     []string
		terminal bool
		term     string
		shown    string
	}{
		"foreground":         {[]string{"-D"}, false, "xterm", ""},
		"verbose":            {[]string{"-v"}, false, "xterm", "alice: trying\n"},
		"on a terminal":      {[]string{"-v"}, true, "xterm", "alice: trying, 0 s\r\n\x1b[1A\r\x1b[J"},
		"on a dumb terminal": {[]string{"-v"}, true, "dumb", "alice: trying\r\n"},
		"on no terminal":     {[]string{"-v"}, true, "", "alice: trying\r\n"},
	} {
		t.Run(name, func(t *testing.T) {
			r.reset(t)
			tried := slowRunner(t, r)
			var out, stderr bytes.Buffer
			cmd := exec.Command(string(r)+"/bin/sendmail", append(c.args, "alice")...)
			cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader("x\n"), &out, &stderr
			cmd.Env = []string{"TERM=" + c.term}
			var pty, tty *os.File
			if c.terminal {
				pty, tty = terminal(t)
				cmd.Stdout = tty
			}
			must(t, cmd.Start())
			tty.Close() // so that reading ends with the program; nil has nothing to close
			<-tried
			time.Sleep(100 * time.Millisecond) // for it to show what it was told
			must(t, cmd.Process.Signal(syscall.SIGINT))
			if got := exitCode(cmd.Wait()); got != 0 {
				t.Errorf("exit code %d", got)
			}
			if !strings.Contains(stderr.String(), "interrupt: message ") || !strings.Contains(stderr.String(), " is accepted") {
				t.Errorf("stderr %q", &stderr)
			}
			if c.terminal {
				_, err := io.Copy(&out, pty)
				if !errors.Is(err, syscall.EIO) { // which is how a terminal ends
					t.Error(err)
				}
			}
			if !strings.Contains(out.String(), c.shown) || c.shown == "" && out.Len() > 0 {
				t.Errorf("shown %q", &out)
			}
			if got := r.incoming(t); len(got) != 1 {
				t.Errorf("incoming holds %q", got)
			}
		})
	}
}
