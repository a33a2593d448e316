//go:build !linux

package front

import (
	"crypto/rand"
	"io"
)

// Random is the kernel's randomness.
func Random() io.Reader { return rand.Reader }
