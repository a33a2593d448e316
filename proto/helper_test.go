package proto

import (
	"bytes"
	"encoding/binary"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// childTests are tests that need a process of their own, by name.
var childTests = map[string]func() error{
	"greet":     childGreet,
	"full":      childFullTable,
	"in-flight": childInFlight,
	"no parent": childNoParent,
	"peer":      childPeer,
}

// TestMain is also the entry of such a process.
func TestMain(m *testing.M) {
	if name := os.Getenv("PROTO_TEST_CHILD"); name != "" {
		if err := childTests[name](); err != nil {
			os.Stderr.WriteString(err.Error() + "\n")
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// runChild runs one of childTests with the given descriptor 3, if any.
func runChild(t *testing.T, name string, fd3 *os.File) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "PROTO_TEST_CHILD="+name)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if fd3 != nil {
		cmd.ExtraFiles = []*os.File{fd3}
	}
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v: %s", err, strings.TrimSpace(stderr.String()))
	}
}

// newPair makes a channel that is closed at the end of the test.
func newPair(t testing.TB) (*Conn, *Conn) {
	t.Helper()
	a, f, err := Pair()
	if err != nil {
		t.Fatal(err)
	}
	b, err := NewConn(f)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.Close(); b.Close() })
	return a, b
}

// messageFile makes a file with content, open for reading.
func messageFile(t testing.TB, content string) *os.File {
	t.Helper()
	path := filepath.Join(t.TempDir(), "message")
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return openFile(t, path, os.O_RDONLY)
}

func openFile(t testing.TB, path string, flags int) *os.File {
	t.Helper()
	f, err := os.OpenFile(path, flags, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

// descriptors counts the descriptors of this process.
func descriptors() int {
	n := 0
	for fd := range uintptr(4096) {
		if _, err := unix.FcntlInt(fd, unix.F_GETFD, 0); err == nil {
			n++
		}
	}
	return n
}

// sendRaw sends a packet with copies of file past all checks.
func sendRaw(c *Conn, packet []byte, file *os.File, copies int) error {
	var rights []byte
	if copies > 0 {
		fds := make([]int, copies)
		for i := range fds {
			fds[i] = int(file.Fd())
		}
		rights = unix.UnixRights(fds...)
	}
	return c.sendmsg(packet, rights)
}

// header makes a header with a length that is right for a body of n bytes.
func header(typ Type, flags uint16, n int) []byte {
	h := binary.BigEndian.AppendUint16(nil, uint16(typ))
	h = binary.BigEndian.AppendUint16(h, flags)
	h = binary.BigEndian.AppendUint32(h, uint32(HeaderSize+n))
	return binary.BigEndian.AppendUint32(h, 7)
}

const testTimeout = 10 * time.Second
