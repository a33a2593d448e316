package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"time"
)

// maxDatagram is more than any log line has, in bytes.
const maxDatagram = 64 << 10

// A collector stands in for syslogd.
type collector struct {
	socket *net.UnixConn
	file   *os.File
}

func newCollector(socket, file string) (*collector, error) {
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	if err = os.Remove(socket); err == nil || errors.Is(err, os.ErrNotExist) {
		var c *net.UnixConn
		if c, err = net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"}); err == nil {
			if err = os.Chmod(socket, 0o666); err == nil { // every account logs
				return &collector{c, f}, nil
			}
			c.Close()
		}
	}
	f.Close()
	return nil, fmt.Errorf("collect log: %w", err)
}

// run writes "time text" for each datagram, without the priority "<22>" before it.
func (c *collector) run() error {
	buf := make([]byte, maxDatagram)
	for {
		n, err := c.socket.Read(buf)
		if err != nil {
			return fmt.Errorf("collect log: %w", err)
		}
		text := string(buf[:n])
		if rest, ok := strings.CutPrefix(text, "<"); ok {
			if _, after, found := strings.Cut(rest, ">"); found {
				text = after
			}
		}
		if _, err := fmt.Fprintf(c.file, "%s %s\n", time.Now().Format("15:04:05.000"), strings.TrimRight(text, "\n\x00")); err != nil {
			return fmt.Errorf("collect log: %w", err)
		}
	}
}

func (c *collector) close() {
	c.socket.Close()
	c.file.Close()
}
