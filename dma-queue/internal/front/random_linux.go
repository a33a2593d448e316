package front

import (
	"io"

	"golang.org/x/sys/unix"
)

// Random is the kernel's randomness. Package crypto/rand would take longer to
// start than the rest of this program.
func Random() io.Reader { return random{} }

type random struct{}

func (random) Read(p []byte) (int, error) {
	for {
		if n, err := unix.Getrandom(p, 0); err != unix.EINTR {
			return max(n, 0), err
		}
	}
}
