package durable

import (
	"errors"
	"io/fs"
	"os"
	"slices"

	"golang.org/x/sys/unix"
)

// Dir is an open directory. All names given to it are names of its files, never paths.
type Dir struct {
	path     string
	fd       int    // of the directory, or AT_FDCWD
	prefix   string // what goes in front of a name, where fd is AT_FDCWD
	readable bool
	fault    func(Step, string) error
}

// OpenDir opens the directory at path. Where reading it is not permitted, Names
// fails and Sync does nothing; see the package comment.
func OpenDir(path string, options ...Option) (*Dir, error) {
	d := &Dir{path: path, readable: true}
	for _, o := range options {
		o(d)
	}
	err := d.fail(StepOpen, path)
	if err == nil {
		d.fd, err = open(unix.AT_FDCWD, path, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	}
	if errors.Is(err, unix.EACCES) {
		d.readable = false
		d.fd, d.prefix, err = openSearch(path)
	}
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	return d, nil
}

// Close closes the directory. Files opened from it stay open.
func (d *Dir) Close() error {
	if d.fd == unix.AT_FDCWD {
		return nil
	}
	return d.check(StepClose, "", unix.Close(d.fd))
}

// Create makes a file that is not there yet, with exactly this mode. After a
// power cut it may be there or not, with any content, until it is committed.
func (d *Dir) Create(name string, mode os.FileMode) (*File, error) {
	if err := d.fail(StepCreate, name); err != nil {
		return nil, d.check(StepCreate, name, err)
	}
	const flags = unix.O_RDWR | unix.O_CREAT | unix.O_EXCL | unix.O_NOFOLLOW | unix.O_CLOEXEC
	fd, err := open(d.fd, d.prefix+name, flags, uint32(mode.Perm()))
	if err != nil {
		return nil, d.check(StepCreate, name, err)
	}
	f := d.file(fd, name)
	if err = d.fail(StepMode, name); err == nil { // the umask took bits away
		err = unix.Fchmod(fd, uint32(mode.Perm()))
	}
	if err != nil {
		f.file.Close()
		_ = unix.Unlinkat(d.fd, d.prefix+name, 0) // an empty file; whoever reads it knows
		return nil, d.check(StepMode, name, err)
	}
	return f, nil
}

// Open opens a file for reading. It never waits, whatever stands under the name;
// that it is a regular file is for the caller to check.
func (d *Dir) Open(name string) (*os.File, error) {
	if err := d.fail(StepOpen, name); err != nil {
		return nil, d.check(StepOpen, name, err)
	}
	fd, err := open(d.fd, d.prefix+name, unix.O_RDONLY|guard, 0)
	if err != nil {
		return nil, d.check(StepOpen, name, err)
	}
	return os.NewFile(uintptr(fd), d.path+"/"+name), nil
}

// Append opens a file for reading and for writing at its end.
func (d *Dir) Append(name string) (*File, error) {
	if err := d.fail(StepOpen, name); err != nil {
		return nil, d.check(StepOpen, name, err)
	}
	fd, err := open(d.fd, d.prefix+name, unix.O_RDWR|unix.O_APPEND|guard, 0)
	if err != nil {
		return nil, d.check(StepOpen, name, err)
	}
	return d.file(fd, name), nil
}

// guard keeps an open from following a link, waiting for a pipe's other end,
// taking a terminal, or leaking to a child.
const guard = unix.O_NOFOLLOW | unix.O_NONBLOCK | unix.O_NOCTTY | unix.O_CLOEXEC

// Remove removes a file. Until the next Sync a power cut may bring it back.
func (d *Dir) Remove(name string) error {
	err := d.fail(StepRemove, name)
	if err == nil {
		err = unix.Unlinkat(d.fd, d.prefix+name, 0)
	}
	return d.check(StepRemove, name, err)
}

// Rename moves a file to another directory or name, in place of what stood
// there. Until both directories are synced a power cut may undo it; it never
// leaves the file without a name. The bytes are safe only if the file was synced before.
func (d *Dir) Rename(old string, to *Dir, name string) error {
	err := d.fail(StepRename, old)
	if err == nil {
		err = unix.Renameat(d.fd, d.prefix+old, to.fd, to.prefix+name)
	}
	return d.check(StepRename, old, err)
}

// Names lists the directory as it is now, in order.
func (d *Dir) Names() ([]string, error) {
	if err := d.fail(StepNames, ""); err != nil {
		return nil, d.check(StepNames, "", err)
	}
	// A descriptor of its own, as d's would remember how far it was read.
	fd, err := open(d.fd, d.prefix+".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, d.check(StepNames, "", err)
	}
	f := os.NewFile(uintptr(fd), d.path)
	defer f.Close()
	names, err := f.Readdirnames(-1)
	if err != nil {
		return nil, err
	}
	slices.Sort(names)
	return names, nil
}

// Sync makes durable what was made, renamed and removed in the directory. In
// one that may not be read it does nothing.
func (d *Dir) Sync() error {
	err := d.fail(StepSyncDir, "")
	if err == nil && d.readable {
		err = again(func() error { return unix.Fsync(d.fd) })
	}
	return d.check(StepSyncDir, "", err)
}

func open(dir int, path string, flags int, mode uint32) (fd int, err error) {
	err = again(func() error {
		fd, err = unix.Openat(dir, path, flags, mode)
		return err
	})
	return fd, err
}

// again repeats what a signal interrupted.
func again(call func() error) error {
	for {
		if err := call(); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}
