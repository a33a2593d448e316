package conf

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// maxSecret bounds a file with a password, in bytes; tokens can be long.
const maxSecret = 64 << 10

// openPrivate opens a file that holds passwords. One that others than owner and
// group may read or change is an error (RULES E10). It does not wait for a FIFO.
func openPrivate(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK|unix.O_NOCTTY, 0)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	switch {
	case err != nil:
	case !info.Mode().IsRegular():
		err = fmt.Errorf("read %s: not a regular file", path)
	case info.Mode()&0o007 != 0:
		err = fmt.Errorf("read %s: it holds passwords and others have access to it; run: chmod o-rwx %s", path, path)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// readSecret reads a file that has a password and nothing else. The error holds
// nothing of its text.
func readSecret(path string) (Secret, error) {
	f, err := openPrivate(path)
	if err != nil {
		return Secret{}, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxSecret+1))
	if err != nil {
		return Secret{}, fmt.Errorf("read %s: %w", path, err)
	}
	if len(b) > maxSecret {
		return Secret{}, fmt.Errorf("read %s: larger than %d KiB", path, maxSecret>>10)
	}
	text := strings.TrimSuffix(strings.TrimSuffix(string(b), "\n"), "\r")
	switch {
	case text == "":
		err = errors.New("it is empty; write the password into it")
	case strings.ContainsAny(text, "\n\x00"):
		err = errors.New("it has more than one line, or a NUL; write the password alone into it")
	}
	if err != nil {
		return Secret{}, fmt.Errorf("read %s: %w", path, err)
	}
	return NewSecret(text), nil
}
