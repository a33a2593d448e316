package proto

import (
	"os"
	"path/filepath"
	"sync"
	"testing"
)

// A socket that has its name is open to all: a process that dies at any moment
// leaves none that shuts others out.
func TestListenOpen(t *testing.T) {
	path := filepath.Join(t.TempDir(), "control")
	done := make(chan struct{})
	var watch sync.WaitGroup
	watch.Go(func() {
		for {
			select {
			case <-done:
				return
			default:
			}
			if st, err := os.Lstat(path); err == nil && st.Mode().Perm() != 0o666 {
				t.Errorf("there is a socket of mode %v", st.Mode())
				return
			}
		}
	})
	for range 500 {
		l, err := Listen(path)
		if err != nil {
			t.Fatal(err)
		}
		l.Close()
	}
	close(done)
	watch.Wait()
}
