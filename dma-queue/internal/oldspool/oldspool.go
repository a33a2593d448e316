// Package oldspool takes over what DragonFly's dma(8) has left in its spool: for
// each recipient of a message a file Q<id>, with lines "ID:", "Sender:" and
// "Recipient:", and a file M<id>, the message, which recipients share by links.
//
// Each pair is handed to sendmail, run as the owner of the files, and removed when
// that has committed it. So an import can be broken off and begun again; if it is
// killed between the two, one message is there twice.
package oldspool

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"dma/common/mailaddr"
	"dma/common/outcome"
)

// maxQueueFile bounds a Q file, in bytes: it has three lines.
const maxQueueFile = 8 << 10

// Importer takes over a spool.
type Importer struct {
	Program string // sendmail
	GID     int    // the group that may submit; -1: run sendmail as whoever this is
	Stdout  io.Writer
	Stderr  io.Writer
}

// Result is what became of the messages of a spool.
type Result struct {
	Imported int
	Left     int // with a line on Stderr each, and the reason
}

// Import takes over the spool in dir. The error is one of reading dir itself.
func (im *Importer) Import(dir string) (Result, error) {
	var res Result
	d, err := os.OpenFile(dir, os.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return res, err
	}
	defer d.Close()
	names, err := d.Readdirnames(-1)
	if err != nil {
		return res, fmt.Errorf("list %s: %w", dir, err)
	}
	for _, name := range names {
		id, ok := strings.CutPrefix(name, "Q")
		if !ok || id == "" {
			continue
		}
		if err := im.pair(int(d.Fd()), id); err != nil {
			res.Left++
			fmt.Fprintf(im.Stderr, "dma-queue: %s/%s stays: %s\n", dir, outcome.Clean(name), outcome.Clean(err.Error()))
			continue
		}
		res.Imported++
		fmt.Fprintf(im.Stdout, "imported %s\n", outcome.Clean(id))
	}
	return res, nil
}

// pair imports Q<id> and M<id>.
func (im *Importer) pair(dir int, id string) error {
	q, qst, err := open(dir, "Q"+id)
	if err != nil {
		return err
	}
	defer q.Close()
	// A dma at work holds the lock while it delivers.
	if err := unix.Flock(int(q.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return errors.New("an old dma is delivering it; let it end, or end it, and import again")
	}
	m, mst, err := open(dir, "M"+id)
	if err != nil {
		return err
	}
	defer m.Close()
	// Other names of a file of somebody else's could stand here; they must not be
	// mailed to whoever put them here.
	if qst.Nlink != 1 || qst.Uid != mst.Uid || qst.Gid != mst.Gid {
		return fmt.Errorf("files Q%s and M%s do not have the same owner and group, or Q%s has another name; look at them", id, id, id)
	}
	e, err := parse(q)
	if err != nil {
		return err
	}
	code, err := im.submit(m, e, mst.Uid)
	if err != nil {
		return err
	}
	if code != 0 {
		return fmt.Errorf("sendmail did not take it (exit code %d)", code)
	}
	for _, name := range []string{"Q" + id, "M" + id} {
		if err := unix.Unlinkat(dir, name, 0); err != nil {
			return fmt.Errorf("it is imported, but %s cannot be removed; remove it, or it is imported again: %w", name, err)
		}
	}
	return nil
}

// open opens a regular file of the spool and nothing else.
func open(dir int, name string) (*os.File, unix.Stat_t, error) {
	var st unix.Stat_t
	fd, err := unix.Openat(dir, name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, st, fmt.Errorf("open %s: %w", name, err)
	}
	f := os.NewFile(uintptr(fd), name)
	if err := unix.Fstat(fd, &st); err != nil {
		f.Close()
		return nil, st, fmt.Errorf("stat %s: %w", name, err)
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG {
		f.Close()
		return nil, st, fmt.Errorf("%s is not a regular file", name)
	}
	return f, st, nil
}

// envelope is what a Q file says.
type envelope struct{ sender, recipient string }

func parse(r io.Reader) (e envelope, err error) {
	b, err := io.ReadAll(io.LimitReader(r, maxQueueFile+1))
	if err != nil {
		return e, err
	}
	if len(b) > maxQueueFile {
		return e, fmt.Errorf("longer than the %d bytes of a queue file", maxQueueFile)
	}
	var sender, recipient bool
	for line := range strings.Lines(string(b)) {
		line, ended := strings.CutSuffix(line, "\n")
		key, value, _ := strings.Cut(line, ": ")
		switch {
		case !ended:
			return e, errors.New("its last line is cut off")
		case key == "Sender" && !sender:
			e.sender, sender = value, true
		case key == "Sender:" && !sender: // the null sender, with its blank lost
			sender = true
		case key == "Recipient" && !recipient:
			e.recipient, recipient = value, true
		case key == "ID" || line == "":
		default:
			return e, fmt.Errorf("line %q is not one of a queue file", line)
		}
	}
	if !sender || !recipient {
		return e, errors.New("no sender or no recipient in it")
	}
	for _, s := range []string{e.sender, e.recipient} {
		if err := mailaddr.Check(s); err != nil && s != "" {
			return e, fmt.Errorf("address %q: %w", s, err)
		}
	}
	return e, nil
}

// submit has sendmail take the message m as the user uid. Nothing of e can be an
// option or another word.
func (im *Importer) submit(m *os.File, e envelope, uid uint32) (code int, err error) {
	null, err := os.OpenFile("/dev/null", os.O_WRONLY, 0)
	if err != nil {
		return 0, err
	}
	defer null.Close()
	attr := &syscall.ProcAttr{Dir: "/", Env: []string{}, Files: []uintptr{m.Fd(), null.Fd(), 2}}
	if im.GID >= 0 {
		attr.Sys = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uint32(im.GID)}}
	}
	argv := []string{"sendmail", "-i", "-bq", "-f" + sender(e.sender), "--", e.recipient}
	pid, err := syscall.ForkExec(im.Program, argv, attr)
	if err != nil {
		return 0, fmt.Errorf("execute %s: %w", im.Program, err)
	}
	for {
		var status syscall.WaitStatus
		_, err := syscall.Wait4(pid, &status, 0, nil)
		switch {
		case errors.Is(err, syscall.EINTR):
		case err != nil:
			return 0, fmt.Errorf("wait for %s: %w", im.Program, err)
		case !status.Exited():
			return 0, fmt.Errorf("%s ended by signal %v", im.Program, status.Signal())
		default:
			return status.ExitStatus(), nil
		}
	}
}

// sender is a sender as a glued argument, which cannot be empty.
func sender(s string) string {
	if s == "" {
		return "<>"
	}
	return s
}
