// Reference does no more than any front end has to: it creates the file that its
// argument names, writes standard input into it, and syncs file and directory.
// The benchmark of the front end compares the time that both take.
package main

import (
	"io"
	"os"
	"path/filepath"
)

func main() {
	if err := create(os.Args[1]); err != nil {
		os.Stderr.WriteString(err.Error() + "\n")
		os.Exit(1)
	}
}

func create(path string) error {
	message, err := io.ReadAll(os.Stdin)
	if err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o604)
	if err != nil {
		return err
	}
	if _, err := f.Write(message); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	if err := dir.Sync(); err != nil {
		return err
	}
	return dir.Close()
}
