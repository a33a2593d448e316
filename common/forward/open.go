package forward

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// UnsafeError says why a home directory or a .forward file is not used although
// it can be reached. The mail waits until the user has set it right.
type UnsafeError struct {
	Path    string
	Problem string
	Fix     string // a command that sets it right, or empty
}

func (e *UnsafeError) Error() string {
	s := printable(e.Path) + ": " + e.Problem
	if e.Fix != "" {
		s += "; run: " + e.Fix + " " + printable(e.Path)
	}
	return s
}

// Source is a file with entries, as it was read.
type Source struct {
	Path string
	Text []byte
}

// Names are the names under which the file for mail to login+extension may be, the
// first that exists being the one: with name ".forward" they are .forward+extension
// and .forward (RULES C6). An empty name stands for no file at all, and an extension
// that is no part of a file name for none.
func Names(name, extension string) []string {
	extension = strings.ToLower(extension)
	switch {
	case name == "":
		return nil
	case extension == "", len(extension) > MaxExtension, strings.ContainsAny(extension, "/\x00"), strings.Contains(extension, ".."):
		return []string{name}
	}
	return []string{name + "+" + extension, name}
}

// Open reads the first file of names that exists in the directory home, as the user
// uid, who is also who runs this (RULES C1 and C2). If there is none exists is false
// and the mail goes to the mailbox. With any error it waits. Home is followed when it
// is a link; the file is not. That root's file is never read (RULES C9) is for the
// caller to see to.
func Open(home string, uid uint32, names []string) (f Source, exists bool, err error) {
	if len(names) == 0 || home == "/" || home == "/nonexistent" || home == "" { // an empty field means / (passwd(5))
		return Source{}, false, nil
	}
	dir, err := openDir(home)
	if err != nil {
		return Source{}, false, fmt.Errorf("open home directory %s: %w", printable(home), err)
	}
	defer unix.Close(dir)
	if err := checkHome(dir, home, uid); err != nil {
		return Source{}, false, err
	}
	for _, name := range names {
		f, exists, err := openAt(dir, strings.TrimRight(home, "/"), name, uid)
		if exists || err != nil {
			return f, exists, err
		}
	}
	return Source{}, false, nil
}

// OpenInclude reads the file at path, which an entry of uid's file names. It must be
// as safe as that one (RULES C3), and so must its directory.
func OpenInclude(path string, uid uint32) (Source, error) {
	parent, name := filepath.Split(path)
	dir, err := openDir(parent)
	if err != nil {
		return Source{}, fmt.Errorf("open directory %s: %w", printable(parent), err)
	}
	defer unix.Close(dir)
	var st unix.Stat_t
	if err := unix.Fstat(dir, &st); err != nil {
		return Source{}, fmt.Errorf("stat %s: %w", printable(parent), err)
	}
	if err := checkOwner(&st, parent, uid); err != nil {
		return Source{}, err
	}
	f, exists, err := openAt(dir, strings.TrimRight(parent, "/"), name, uid)
	if err == nil && !exists {
		err = fmt.Errorf("open %s: %w", printable(path), unix.ENOENT)
	}
	return f, err
}

func openDir(path string) (int, error) {
	return retry(func() (int, error) {
		return unix.Open(path, dirFlags|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	})
}

func checkHome(dir int, home string, uid uint32) error {
	var st unix.Stat_t
	if err := unix.Fstat(dir, &st); err != nil {
		return fmt.Errorf("stat home directory %s: %w", printable(home), err)
	}
	if err := checkOwner(&st, home, uid); err != nil {
		return err
	}
	if st.Mode&unix.S_ISVTX != 0 { // how users hold their mail while they edit the file
		return &UnsafeError{home, "the home directory is sticky, which holds its mail", "chmod -t"}
	}
	return nil
}

// openAt reads the file with this name in dir, whose path is parent.
func openAt(dir int, parent, name string, uid uint32) (file Source, exists bool, err error) {
	path := parent + "/" + name
	// O_NONBLOCK: neither a FIFO nor a device holds us up.
	fd, err := retry(func() (int, error) {
		return unix.Openat(dir, name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	})
	if errors.Is(err, unix.ENOENT) {
		return Source{}, false, nil
	}
	if err != nil {
		return Source{}, true, explain(dir, path, name, err)
	}
	f := os.NewFile(uintptr(fd), path)
	defer f.Close()
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return Source{}, true, fmt.Errorf("stat %s: %w", printable(path), err)
	}
	if err := checkFile(&st, path, uid); err != nil {
		return Source{}, true, err
	}
	text, err := io.ReadAll(io.LimitReader(f, MaxFile+1))
	if err != nil {
		return Source{}, true, fmt.Errorf("read %s: %w", printable(path), err)
	}
	if len(text) > MaxFile {
		return Source{}, true, &UnsafeError{path, fmt.Sprintf("larger than %d KiB", MaxFile>>10), ""}
	}
	return Source{path, text}, true, nil
}

// explain looks for a better reason than the error number, which for a link is
// another one on each system.
func explain(dir int, path, name string, cause error) error {
	var st unix.Stat_t
	if unix.Fstatat(dir, name, &st, unix.AT_SYMLINK_NOFOLLOW) == nil {
		if err := checkType(&st, path); err != nil {
			return err
		}
	}
	return fmt.Errorf("open %s: %w", printable(path), cause)
}

func checkFile(st *unix.Stat_t, path string, uid uint32) error {
	if err := checkType(st, path); err != nil {
		return err
	}
	if st.Nlink != 1 { // somebody may have linked another's file here
		return &UnsafeError{path, fmt.Sprintf("has %d names (hard links); it must have one", st.Nlink), ""}
	}
	return checkOwner(st, path, uid)
}

func checkType(st *unix.Stat_t, path string) error {
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFREG:
		return nil
	case unix.S_IFLNK:
		return &UnsafeError{path, "a symbolic link; put the file itself there", ""}
	}
	return &UnsafeError{path, "not a regular file", ""}
}

// checkOwner: nobody but the user and root can have written it.
func checkOwner(st *unix.Stat_t, path string, uid uint32) error {
	if st.Uid != uid && st.Uid != 0 {
		return &UnsafeError{path, fmt.Sprintf("belongs to uid %d; it must belong to uid %d or to root", st.Uid, uid), ""}
	}
	group, others := st.Mode&unix.S_IWGRP != 0, st.Mode&unix.S_IWOTH != 0
	switch {
	case group && others:
		return &UnsafeError{path, "writable by everyone", "chmod go-w"}
	case group:
		return &UnsafeError{path, "writable by its group", "chmod g-w"}
	case others:
		return &UnsafeError{path, "writable by others", "chmod o-w"}
	}
	return nil
}

// retry: a signal is no failure.
func retry(open func() (int, error)) (int, error) {
	for {
		fd, err := open()
		if !errors.Is(err, unix.EINTR) {
			return fd, err
		}
	}
}
