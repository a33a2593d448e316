package maildir

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// newMode is the mode of what is missing and made.
const newMode = 0o700

const dirFlags = unix.O_RDONLY | unix.O_DIRECTORY | unix.O_CLOEXEC

// dirs are the open directories of a maildir that are needed for a delivery.
type dirs struct{ tmp, new *os.File }

func (d *dirs) close() {
	for _, f := range []*os.File{d.tmp, d.new} {
		if f != nil {
			f.Close()
		}
	}
}

// open opens the maildir, and makes of it what is missing.
func (m *Maildir) open() (*dirs, error) {
	dir, err := m.openTop()
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	d := &dirs{}
	cur, err := m.enter(dir, "cur") // for the mail reader
	if err == nil {
		cur.Close()
		d.tmp, err = m.enter(dir, "tmp")
	}
	if err == nil {
		d.new, err = m.enter(dir, "new")
	}
	if err != nil {
		d.close()
		return nil, err
	}
	return d, nil
}

func (m *Maildir) openTop() (*os.File, error) {
	if m.Base == "" {
		return m.openOwn(filepath.Clean(m.Path))
	}
	dir, err := os.OpenFile(m.Base, dirFlags, 0)
	if err != nil {
		return nil, err
	}
	for name := range strings.SplitSeq(strings.Trim(m.Path, "/"), "/") {
		if name == "" {
			continue
		}
		next, err := m.enter(dir, name)
		dir.Close()
		if err != nil {
			return nil, err
		}
		dir = next
	}
	return dir, nil
}

// openOwn opens a directory of the user's at path. What is missing on the way is
// made if the user can.
func (m *Maildir) openOwn(path string) (*os.File, error) {
	dir, err := os.OpenFile(path, dirFlags, 0)
	if !errors.Is(err, unix.ENOENT) || path == "/" {
		return dir, err
	}
	parent, err := m.openOwn(filepath.Dir(path))
	if err != nil {
		return nil, err
	}
	defer parent.Close()
	return m.enter(parent, filepath.Base(path))
}

// enter opens a directory in dir, and makes it if there is none.
func (m *Maildir) enter(dir *os.File, name string) (*os.File, error) {
	f, err := m.openIn(dir, name)
	if errors.Is(err, unix.ENOENT) {
		err = unix.Mkdirat(int(dir.Fd()), name, newMode)
		if err == nil {
			err = dir.Sync() // a maildir without its name is lost with all that is in it
		}
		if err != nil && !errors.Is(err, unix.EEXIST) { // somebody else made it just now
			return nil, fmt.Errorf("make directory %s: %w", name, err)
		}
		f, err = m.openIn(dir, name)
	}
	if err != nil {
		return nil, fmt.Errorf("open directory %s: %w", name, err)
	}
	return f, nil
}

func (m *Maildir) openIn(dir *os.File, name string) (*os.File, error) {
	flags := dirFlags
	if m.Base != "" {
		flags |= unix.O_NOFOLLOW
	}
	for {
		fd, err := unix.Openat(int(dir.Fd()), name, flags, 0)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return nil, err
		}
		f := os.NewFile(uintptr(fd), name)
		if err := m.mine(f); err != nil {
			f.Close()
			return nil, err
		}
		return f, nil
	}
}

// mine makes sure that nobody else has made a directory in the place of the user's.
func (m *Maildir) mine(f *os.File) error {
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return err
	}
	if m.Base != "" && st.Uid != m.UID && st.Uid != 0 {
		return fmt.Errorf("it belongs to uid %d, not to uid %d", st.Uid, m.UID)
	}
	return nil
}
