package forward

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
)

// Shells is the file that lists login shells.
const Shells = "/etc/shells"

// maxShells bounds that file, in bytes.
const maxShells = 1 << 20

// NeedsShell reports whether an entry of this kind is only for accounts with a
// listed shell (RULES C8): one whose mail may run a program or write a file could
// otherwise leave what it is confined to.
func (k Kind) NeedsShell() bool { return k == Command || k == File || k == Maildir }

// CheckShell returns an error, and what to do, unless shell stands in the file at
// path as a shell of people. An empty one is /bin/sh (passwd(5)).
func CheckShell(path, shell string) error {
	if shell == "" {
		shell = "/bin/sh"
	}
	listed, err := isListed(path, shell)
	if err != nil || listed {
		return err
	}
	return &UnsafeError{
		Path:    path,
		Problem: fmt.Sprintf("does not list %s, and commands and files are only for users with a shell that is listed; the administrator can add it, or write ANYSHELL into dma.conf", printable(shell)),
	}
}

func isListed(path, shell string) (bool, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) { // as getusershell(3) has it
		return shell == "/bin/sh" || shell == "/bin/csh", nil
	}
	if err != nil {
		return false, err
	}
	defer f.Close()
	lines := bufio.NewScanner(io.LimitReader(f, maxShells))
	for lines.Scan() {
		line, _, _ := strings.Cut(lines.Text(), "#")
		if strings.TrimSpace(line) == shell {
			return true, nil
		}
	}
	if err := lines.Err(); err != nil {
		return false, fmt.Errorf("read %s: %w", path, err)
	}
	return false, nil
}
