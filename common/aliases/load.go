package aliases

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// maxReads is how often a file is read that changes meanwhile.
const maxReads = 3

// Errors of readWhole.
var (
	errTooBig     = errors.New("too big")
	errNotRegular = errors.New("not a regular file; put one there")
)

// errChanging: somebody writes the file just now. What it holds at the moment may
// be half of it, and a name that is missing would bounce.
var errChanging = errors.New("it changes while it is read; it is read again later")

// errUnexamined is Unsafe of what Load has read.
var errUnexamined = errors.New("who can have written it was not looked at")

// Load reads the file at path. One that is not there is an empty table; one that
// cannot be read is an error and says nothing about any name.
func Load(path string) (*Table, error) {
	t, _, err := load(path, func(*os.File) error { return errUnexamined })
	return t, err
}

// Examine is Load for who does, or shows, what the file says: it also finds out whose word that
// is, in Unsafe.
func Examine(path string) (*Table, error) {
	t, _, err := examine(path)
	return t, err
}

func examine(path string) (t *Table, missing bool, err error) {
	return load(path, func(f *os.File) error { return checkRoots(f, path, trusted()) })
}

// load reads the file, and asks whose of it while it is open.
func load(path string, whose func(*os.File) error) (t *Table, missing bool, err error) {
	if path == os.DevNull { // how some say that they want none
		return Parse(nil, path), false, nil
	}
	var unsafe error
	text, err := readFile(path, 0, MaxFile, func(f *os.File) error {
		unsafe = whose(f)
		return nil // the addresses in it are used all the same
	})
	if errors.Is(err, fs.ErrNotExist) {
		if err := reallyMissing(path); err != nil {
			return nil, false, err
		}
		return Parse(nil, path), true, nil
	}
	if err != nil {
		return nil, false, advise(err)
	}
	t = Parse(text, path)
	t.Unsafe = unsafe
	return t, false, nil
}

// advise says what to do about an error of readFile.
func advise(err error) error {
	switch {
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%w; the accounts of the mail system must be able to read it: chmod a+r, and a+x for its directories", err)
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("%w; make the file or take it out of the alias", err)
	case errors.Is(err, errTooBig):
		return fmt.Errorf("%w; make several of it", err)
	}
	return err
}

// reallyMissing tells no alias file, which is well, from one on a file system that
// is not mounted: there mail for an alias would bounce.
func reallyMissing(path string) error {
	if _, err := os.Lstat(path); err == nil {
		return fmt.Errorf("open %s: a symbolic link to nothing", path)
	}
	if _, err := os.Stat(filepath.Dir(path)); err != nil {
		return fmt.Errorf("look for %s: %w", path, err)
	}
	return nil
}

// readFile reads a whole regular file. Check, if not nil, looks at it before.
func readFile(path string, flags int, most int64, check func(f *os.File) error) ([]byte, error) {
	// O_NONBLOCK: a FIFO does not hold us up.
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK|unix.O_NOCTTY|flags, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if check != nil {
		if err := check(f); err != nil {
			return nil, err
		}
	}
	text, err := readWhole(f, most)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	return text, nil
}

// file is what readWhole needs of an *os.File.
type file interface {
	io.ReaderAt
	Stat() (fs.FileInfo, error)
}

func readWhole(f file, most int64) ([]byte, error) {
	for range maxReads {
		before, err := f.Stat()
		switch {
		case err != nil:
			return nil, err
		case !before.Mode().IsRegular():
			return nil, errNotRegular
		case before.Size() > most:
			return nil, fmt.Errorf("%w: larger than %d KiB", errTooBig, most>>10)
		}
		text := make([]byte, before.Size()+1) // one more, to meet the end
		n, err := f.ReadAt(text, 0)
		if err != nil && !errors.Is(err, io.EOF) {
			return nil, err
		}
		after, serr := f.Stat()
		if serr != nil {
			return nil, serr
		}
		if err != nil && int64(n) == before.Size() && after.Size() == before.Size() && after.ModTime().Equal(before.ModTime()) {
			return text[:n], nil
		}
	}
	return nil, errChanging
}
