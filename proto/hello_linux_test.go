package proto

import (
	"errors"
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// TestCheckFilePath: an O_PATH descriptor looks like O_RDONLY, but its sender
// may not be allowed to read the file that it names.
func TestCheckFilePath(t *testing.T) {
	path := messageFile(t, "12345").Name()
	f := openFile(t, path, unix.O_PATH)
	if err := CheckFile(f, uint32(os.Getuid()), 5); !errors.Is(err, ErrProtocol) {
		t.Errorf("error %v", err)
	}
}
