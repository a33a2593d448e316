package maillog

import (
	"errors"
	"fmt"
	"io"
	"time"

	"golang.org/x/sys/unix"
)

// Where a log can go besides the path of a file (LOG in dma.conf).
const (
	toSyslog = "syslog"
	toStderr = "stderr"
)

// fileMode is that of a log file that is not there yet. Others read mail logs by
// their group, which the system gives the file.
const fileMode = 0o640

// To says where lines go from now on: "syslog", "stderr" or the path of a file.
// What cannot be written there goes the way of syslog, which tells why, once.
func (l *Log) To(where string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.where, l.trouble = where, ""
}

// Relay has lines go to send first, as long as that works: a helper's way to the
// runner, which knows where the log is.
func (l *Log) Relay(send func(level uint8, id, text string) error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.relay = send
}

// elsewhere writes a line where Relay or To say; false: it is for syslog.
func (l *Log) elsewhere(tag string, p priority, id, text string) bool {
	if l.relay != nil && l.relay(uint8(p&7), id, text) == nil {
		return true
	}
	switch l.where {
	case "", toSyslog:
		return false
	case toStderr:
		l.fall(p, head(tag, id)+text)
		return true
	}
	err := l.toFile(l.now().Format(time.Stamp) + " " + head(tag, id) + text + "\n")
	if err == nil {
		l.trouble = ""
		return true
	}
	if l.trouble != err.Error() {
		l.trouble = err.Error()
		why := line(l.now(), l.tag, warning, "", fmt.Sprintf("write log: %v; lines go to syslog until it works", err))
		if l.send(why) != nil {
			l.fall(warning, l.trouble)
		}
	}
	return false
}

// toFile opens the file for each line: whoever rotates it need not tell us.
func (l *Log) toFile(text string) error {
	fd, err := unix.Open(l.where, unix.O_WRONLY|unix.O_APPEND|unix.O_CREAT|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_NOCTTY|unix.O_CLOEXEC, fileMode)
	if err != nil {
		return fmt.Errorf("open %s: %w", l.where, err)
	}
	_, err = unix.Write(fd, []byte(text))
	if cerr := unix.Close(fd); err == nil {
		err = cerr
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", l.where, err)
	}
	return nil
}

// fall writes a line to the fallback, with its level in front in the way of
// sd-daemon(3), which journald takes off again.
func (l *Log) fall(p priority, text string) {
	if l.fallback != nil {
		_, _ = fmt.Fprintf(l.fallback, "<%d>%s\n", p&7, text) // nowhere left to complain to
	}
}

// Stderr is standard error as a fallback: a line that it does not take soon is
// lost, as whoever reads it may have stopped and mail must go on. It is nil if that
// is /dev/null, as it mostly is, which would cost four system calls a line.
func Stderr() io.Writer {
	var null, st unix.Stat_t
	if unix.Stat("/dev/null", &null) == nil && unix.Fstat(2, &st) == nil && st.Mode == null.Mode && st.Rdev == null.Rdev {
		return nil
	}
	return stderr{}
}

type stderr struct{}

func (stderr) Write(p []byte) (int, error) {
	waitFor(2, fullWait)
	// A socket takes the line or does not; of a pipe, POLLOUT says that there is
	// room for a line (POSIX, PIPE_BUF).
	err := unix.Send(2, p, unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL)
	if errors.Is(err, unix.ENOTSOCK) && ready(2) {
		_, err = unix.Write(2, p)
	}
	return len(p), err
}

// waitFor returns when fd takes something, or after limit.
func waitFor(fd int, limit time.Duration) {
	fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLOUT}}
	for end := time.Now().Add(limit); ; { // the Go runtime interrupts at will
		_, err := unix.Poll(fds, int(time.Until(end).Milliseconds()))
		if !errors.Is(err, unix.EINTR) || time.Now().After(end) {
			return
		}
	}
}

func ready(fd int) bool {
	fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLOUT}}
	n, err := unix.Poll(fds, 0)
	return err == nil && n > 0
}
