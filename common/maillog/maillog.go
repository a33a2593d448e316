// Package maillog writes the mail log: one method per event, with the phrases that
// people grep for. It speaks to the log socket itself (RFC 3164, as
// syslog(3) does), which costs nothing at start and waits for nobody.
package maillog

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// maxLine bounds a line, in bytes: what every syslogd takes, and room for two
// addresses of the largest size that outcome.Clean leaves.
const maxLine = 2000

// priority is the first number of a line: facility mail (2) and a level.
type priority int

// The levels in use (RFC 3164 4.1.1).
const (
	debug   priority = 2<<3 | 7
	info    priority = 2<<3 | 6
	notice  priority = 2<<3 | 5
	warning priority = 2<<3 | 4
)

// Log is a connection to the system's log. Any number of goroutines may use it.
type Log struct {
	socket, tag string
	fallback    io.Writer
	now         func() time.Time

	mu      sync.Mutex
	relay   func(level uint8, id, text string) error // tried first, if there is one
	where   string                                   // "syslog", "stderr" or a file; empty: syslog
	trouble string                                   // with the file, as it was told last
	fd      int                                      // -1: not connected
	absent  time.Time                                // when it last was not there
	dropped int                                      // lines that the log had no room for
}

// Open connects to the log socket. It never fails: while there is no socket, lines
// go to fallback (nil: nowhere) with their level in front. now gives the time; its
// zone is the one that lines show, and syslogd expects the local one.
func Open(socket, tag string, fallback io.Writer, now func() time.Time) *Log {
	l := &Log{socket: socket, tag: tag, fallback: fallback, now: now, fd: -1}
	_ = l.connect() // write tries again
	return l
}

// Close ends the connection. Later lines make a new one.
func (l *Log) Close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.disconnect()
}

// absentWait is how long nobody is taken to listen after that was found out: where
// there is no syslogd a line costs no system call for it.
const absentWait = 100 * time.Millisecond

// fullWait is how long a line waits for room in a full log: a burst of lines is
// more than the kernel queues for syslogd, which takes them in a moment.
const fullWait = 100 * time.Millisecond

// write sends one line under the log's own tag.
func (l *Log) write(p priority, id, text string) { l.writeAs(l.tag, p, id, text) }

// writeAs sends one line. Its cost is bounded: a log that stays full is not waited
// for again until it has taken a line; what was lost is counted, and told then.
func (l *Log) writeAs(tag string, p priority, id, text string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.elsewhere(tag, p, id, text) {
		return
	}
	if l.dropped > 0 && l.send(line(l.now(), l.tag, warning, "", fmt.Sprintf("the log was full, lines lost: %d", l.dropped))) == nil {
		l.dropped = 0
	}
	packet := line(l.now(), tag, p, id, text)
	err := l.send(packet)
	if isFull(err) && l.dropped == 0 {
		waitFor(l.fd, fullWait)
		err = l.send(packet)
	}
	switch {
	case err == nil:
	case isFull(err):
		l.dropped++
	default:
		l.fall(p, head(tag, id)+text)
	}
}

func isFull(err error) bool { return errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.ENOBUFS) }

func line(now time.Time, tag string, p priority, id, text string) string {
	line := fmt.Sprintf("<%d>%s %s%s", p, now.Format(time.Stamp), head(tag, id), text)
	if len(line) > maxLine {
		line = strings.ToValidUTF8(line[:maxLine-3], "") + "..."
	}
	return line
}

func head(tag, id string) string {
	if id == "" {
		return tag + ": "
	}
	return tag + "[" + word(id) + "]: "
}

// send tries once more on a new connection, as syslogd may have been restarted.
func (l *Log) send(line string) error {
	err := l.sendOnce(line)
	if err != nil && !isFull(err) {
		l.disconnect()
		if err = l.connect(); err == nil {
			err = l.sendOnce(line)
		}
	}
	return err
}

func (l *Log) sendOnce(line string) error {
	if l.fd < 0 {
		return unix.ENOTCONN
	}
	for {
		_, err := unix.Write(l.fd, []byte(line))
		if !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

func (l *Log) connect() error {
	now := time.Now() // l.now may be anything
	if now.Sub(l.absent) < absentWait {
		return unix.ENOTCONN
	}
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return err
	}
	if err := unix.Connect(fd, &unix.SockaddrUnix{Name: l.socket}); err != nil {
		_ = unix.Close(fd) // nothing was written
		l.absent = now
		return err
	}
	l.fd = fd
	return nil
}

func (l *Log) disconnect() {
	if l.fd >= 0 {
		_ = unix.Close(l.fd) // a datagram socket holds nothing back
		l.fd = -1
	}
}
