// Package sandbox takes from a process what its program does not need
// (RULES B8). Each program calls Apply in one place, after priv.Check and before
// it reads anything that somebody else wrote.
package sandbox

import (
	"errors"
	"fmt"
	"strings"
	"syscall"

	"dma/common/priv"
)

// Profile says what a program needs.
type Profile struct {
	// AllowExecGain leaves the programs that this one starts the rights that
	// their set-id bits and file capabilities give: for a user's command. They
	// also inherit no other limit than that on core dumps.
	AllowExecGain bool
	// Files is how many descriptors the program may have open; 0 leaves the limit alone.
	Files uint64
	// WriteNothing forbids to make any file longer. Sockets and pipes are not files.
	WriteNothing bool
}

// Apply puts the profile in force, for good and on all threads. It returns what
// is in force, for people, as "no_new_privs, not dumpable, ...", and an error if
// the system lacks anything of it; the rest is in force nevertheless.
func Apply(p Profile) (string, error) {
	done, err := applySystem(p)
	limits := []struct {
		wanted   bool
		name     string
		resource int
		value    uint64
	}{
		{true, "no core dumps", syscall.RLIMIT_CORE, 0},
		{p.Files > 0, fmt.Sprintf("at most %d descriptors", p.Files), syscall.RLIMIT_NOFILE, p.Files},
		{p.WriteNothing, "no writing to files", syscall.RLIMIT_FSIZE, 0},
	}
	for _, l := range limits {
		if !l.wanted {
			continue
		}
		if lerr := priv.SetLimit(l.resource, l.value, l.value); lerr != nil {
			err = errors.Join(err, fmt.Errorf("limit to %s: %w", l.name, lerr))
			continue
		}
		done = append(done, l.name)
	}
	return strings.Join(done, ", "), err
}
