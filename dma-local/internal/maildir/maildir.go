// Package maildir delivers messages into a maildir (RULES D5): each is a file of
// its own, which is written in tmp and appears in new when it is whole and on the
// disk. Nothing has to be locked.
package maildir

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"dma/common/outcome"
	"dma/dma-local/internal/letter"
	"dma/proto"

	"golang.org/x/sys/unix"
)

const (
	maxNames = 100 // tries to find a name that nobody has
	maxHost  = 64  // bytes of the host's name in one
)

// Maildir is a maildir of the user who runs this.
type Maildir struct {
	// Base is a directory that is there, and to which names lead that the
	// administrator has chosen. Path goes on from there. Where the user could have
	// put links into Path that lead this process where the user alone may not go,
	// because it has another group, Base is not empty, and no link is followed and no
	// directory of another user's used behind it. Without Base, Path is the whole path.
	Base, Path string
	UID        uint32
	Host       string // this host's name
	Now        func() time.Time

	count int // files that were begun
}

func (m *Maildir) path() string { return m.Base + m.Path }

// Deliver delivers letters and returns one result for each, in their order. No
// result says done before the file and its name are on the disk. The context is
// not used: nothing here waits for anybody.
func (m *Maildir) Deliver(_ context.Context, letters []letter.Letter) []proto.Result {
	results := make([]proto.Result, len(letters))
	d, err := m.open()
	if err != nil {
		for i := range results {
			results[i] = proto.Result{Scope: proto.ScopeDestination, Outcome: letter.Deferral(fmt.Errorf("maildir %s: %w", m.path(), err))}
		}
		return results
	}
	defer d.close()
	for i, err := range m.deliver(d, letters) {
		results[i] = proto.Result{Scope: proto.ScopeTarget, Outcome: outcome.Success("delivered to maildir")}
		if err != nil {
			results[i].Outcome = letter.Deferral(fmt.Errorf("deliver to maildir %s: %w", m.path(), err))
		}
	}
	return results
}

// deliver writes all letters, and then makes all their names durable at once. A
// crash in between may leave a letter in new that is delivered again later.
func (m *Maildir) deliver(d *dirs, letters []letter.Letter) []error {
	errs := make([]error, len(letters))
	names := make([]string, len(letters))
	for i, l := range letters {
		if names[i], errs[i] = m.write(d, l); errs[i] == nil {
			errs[i] = m.publish(d, names[i])
		}
	}
	synced := d.new.Sync()
	for i, name := range names {
		if synced != nil && errs[i] == nil { // it may be there or not, and is delivered again
			errs[i] = fmt.Errorf("sync new: %w", synced)
			_ = unix.Unlinkat(int(d.new.Fd()), name, 0)
		}
		if name != "" {
			// What stays behind in tmp is removed by mail readers after 36 hours.
			_ = unix.Unlinkat(int(d.tmp.Fd()), name, 0)
		}
	}
	return errs
}

// write writes l to a file in tmp. The name is empty if there is no file.
func (m *Maildir) write(d *dirs, l letter.Letter) (name string, err error) {
	f, name, err := m.create(d)
	if err != nil {
		return "", fmt.Errorf("make file in tmp: %w", err)
	}
	err = l.WriteMaildir(f)
	if err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	return name, err
}

func (m *Maildir) create(d *dirs) (*os.File, string, error) {
	for range maxNames {
		name := m.name()
		fd, err := unix.Openat(int(d.tmp.Fd()), name, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
		switch {
		case err == nil:
			return os.NewFile(uintptr(fd), name), name, nil
		case !errors.Is(err, unix.EEXIST) && !errors.Is(err, unix.EINTR):
			return nil, "", err
		}
	}
	return nil, "", unix.EEXIST
}

// publish gives the file in tmp its name in new. Linking, unlike renaming, never
// replaces another file, and the name is as unique as that in tmp.
func (m *Maildir) publish(d *dirs, name string) error {
	if err := unix.Linkat(int(d.tmp.Fd()), name, int(d.new.Fd()), name, 0); err != nil {
		return fmt.Errorf("link tmp/%s into new: %w", name, err)
	}
	return nil
}

// name is one that no other delivery has: second, microsecond, process, number in
// the process, and host.
func (m *Maildir) name() string {
	now := m.Now()
	m.count++
	return fmt.Sprintf("%d.M%06dP%dQ%d.%s", now.Unix(), now.Nanosecond()/1000, os.Getpid(), m.count, escape(m.Host))
}

// escape makes a host's name part of the name of a file: readers take that apart
// at the colon.
func escape(host string) string {
	if host == "" {
		return "localhost"
	}
	var b strings.Builder
	for i := 0; i < len(host) && i < maxHost; i++ {
		switch c := host[i]; {
		case c == '/', c == ':', c <= ' ', c >= 0x7f:
			fmt.Fprintf(&b, `\%03o`, c)
		default:
			b.WriteByte(c)
		}
	}
	return b.String()
}
