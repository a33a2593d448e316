package durable

import (
	"errors"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"
)

// ErrGone is the error of Secure and Commit when somebody has removed the file.
var ErrGone = errors.New("file was removed while it was written")

// File is a file that is written to last.
type File struct {
	dir  *Dir
	name string
	file *os.File
}

func (d *Dir) file(fd int, name string) *File {
	return &File{d, name, os.NewFile(uintptr(fd), d.path+"/"+name)}
}

// Name is the file's name in its directory.
func (f *File) Name() string { return f.name }

// File is the file itself, for locks, sizes and reading.
func (f *File) File() *os.File { return f.file }

// Write writes all of p or fails. What it wrote survives the process at once, a
// power cut only after Sync.
func (f *File) Write(p []byte) (int, error) {
	if err := f.dir.fail(StepWrite, f.name); err != nil {
		n, _ := f.file.Write(p[:len(p)/2]) // as a disk does that gets full
		return n, f.dir.check(StepWrite, f.name, err)
	}
	return f.file.Write(p)
}

// WriteAt is Write at an offset; not for files from Append.
func (f *File) WriteAt(p []byte, offset int64) (int, error) {
	if err := f.dir.fail(StepWrite, f.name); err != nil {
		n, _ := f.file.WriteAt(p[:len(p)/2], offset)
		return n, f.dir.check(StepWrite, f.name, err)
	}
	return f.file.WriteAt(p, offset)
}

// Sync makes all bytes survive a power cut.
func (f *File) Sync() error {
	if err := f.dir.fail(StepSync, f.name); err != nil {
		return f.dir.check(StepSync, f.name, err)
	}
	return f.file.Sync()
}

// Close closes the file. It makes nothing durable, but what the file system
// held back is reported here at the latest.
func (f *File) Close() error {
	if err := f.dir.fail(StepClose, f.name); err != nil {
		f.file.Close()
		return f.dir.check(StepClose, f.name, err)
	}
	return f.file.Close()
}

// Secure makes file and name durable: sync, sync of the directory, a look
// whether the file still has its name. When it returns nil the file survives a
// power cut at that moment. The file stays open, so that its maker can take it
// back after an error.
func (f *File) Secure() error {
	err := f.Sync()
	if err == nil {
		err = f.dir.Sync()
	}
	if err == nil {
		err = f.linked()
	}
	return err
}

// Commit is Secure and Close. The file is closed in any case.
func (f *File) Commit() error {
	err := f.Secure()
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	return err
}

func (f *File) linked() error {
	var st unix.Stat_t
	err := f.dir.fail(StepStat, f.name)
	if err == nil {
		err = unix.Fstat(int(f.file.Fd()), &st)
	}
	if err == nil && st.Nlink == 0 {
		err = ErrGone
	}
	return f.dir.check(StepStat, f.name, err)
}

// check puts operation and object in front of an error.
func (d *Dir) check(s Step, name string, err error) error {
	if err == nil {
		return nil
	}
	path := d.path
	if name != "" {
		path += "/" + name
	}
	return &fs.PathError{Op: s.String(), Path: path, Err: err}
}
