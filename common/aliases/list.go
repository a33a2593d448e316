package aliases

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"dma/common/site"
)

// Limits of a list that an alias includes (RULES C4). A list over one of them is in error.
const (
	maxList     = 64 << 10 // bytes in the file
	maxListLine = 1000     // bytes in a line, without its end
	maxMembers  = 1000     // addresses, as many as a message may have targets
)

// ReadList reads the addresses of the file that :include:path names (RULES C10).
// The file must be root's, or the user's in a private build, and writable by nobody
// else: what it holds is then as good as what the alias file holds, wherever it is.
// An address that is wrong gives a warning and is passed over; with an error, which
// says what to do, the list as a whole is not used.
func ReadList(path string) ([]Target, []Warning, error) {
	return readList(path, trusted())
}

// trusted is whose word an alias file or a list is, besides root's.
func trusted() uint32 {
	if site.Private() {
		return uint32(os.Geteuid())
	}
	return 0
}

// readList is ReadList of a file that belongs to root or owner.
func readList(path string, owner uint32) ([]Target, []Warning, error) {
	text, err := readFile(path, unix.O_NOFOLLOW, maxList, func(f *os.File) error { return checkOwner(f, path, owner) })
	switch {
	case err == nil:
		return parseList(string(text), path)
	case isLink(path): // for which each system has an error of its own
		return nil, nil, fmt.Errorf("open %s: a symbolic link; name the file itself", path)
	}
	return nil, nil, advise(err)
}

func isLink(path string) bool {
	info, err := os.Lstat(path)
	return err == nil && info.Mode()&fs.ModeSymlink != 0
}

func checkOwner(f *os.File, path string, owner uint32) error {
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return fmt.Errorf("stat %s: %w", path, err)
	}
	switch {
	case st.Uid != 0 && st.Uid != owner:
		return fmt.Errorf("%s belongs to uid %d, who is not root; run: chown root %s", path, st.Uid, path)
	case st.Mode&(unix.S_IWGRP|unix.S_IWOTH) != 0:
		return fmt.Errorf("others may write %s; run: chmod go-w %s", path, path)
	}
	return nil
}

// checkRoots: nobody but root, or owner, can have written the file that was opened
// as path, or have put it there.
func checkRoots(f *os.File, path string, owner uint32) error {
	if err := checkOwner(f, path, owner); err != nil {
		return err
	}
	real, err := filepath.EvalSymlinks(path)
	if err != nil {
		return fmt.Errorf("follow %s: %w", path, err)
	}
	for _, p := range []string{path, real} {
		for dir := filepath.Dir(p); ; dir = filepath.Dir(dir) {
			if err := checkDir(dir, owner); err != nil {
				return err
			}
			if dir == filepath.Dir(dir) {
				break
			}
		}
	}
	return nil
}

func checkDir(dir string, owner uint32) error {
	var st unix.Stat_t
	if err := unix.Stat(dir, &st); err != nil {
		return fmt.Errorf("stat %s: %w", dir, err)
	}
	switch {
	case st.Uid != 0 && st.Uid != owner:
		return fmt.Errorf("directory %s belongs to uid %d, who is not root; put the alias file elsewhere", dir, st.Uid)
	case st.Mode&(unix.S_IWGRP|unix.S_IWOTH) != 0 && st.Mode&unix.S_ISVTX == 0:
		return fmt.Errorf("others may write into the directory %s; run: chmod go-w %s", dir, dir)
	}
	return nil
}

// parseList reads addresses, with line ends or commas between.
func parseList(text, path string) (members []Target, warnings []Warning, err error) {
	n := 0
	for line := range strings.SplitSeq(text, "\n") {
		if n++; len(strings.TrimSuffix(line, "\r")) > maxListLine {
			return nil, nil, fmt.Errorf("%s:%d: line longer than %d bytes; put each address into a line of its own", path, n, maxListLine)
		}
	}
	p := parser{file: path, rest: text, line: 1}
	for p.separator() {
		t, raw, err := p.target()
		switch {
		case err != nil:
			p.wrong("%q ignored: %v", short(raw), err)
		case t.Kind != Address:
			return nil, nil, fmt.Errorf("%s:%d: %q is no address, and a list has nothing else; take it out", path, p.line, short(raw))
		case len(members) == maxMembers:
			return nil, nil, fmt.Errorf("%s: more than %d addresses; make several lists of it", path, maxMembers)
		default:
			members = append(members, t)
		}
	}
	if len(members) == 0 && p.bad > 0 {
		return nil, nil, fmt.Errorf("%s has no line that is right; the first mistake is at %v", path, p.warnings[0])
	}
	return members, p.warnings, nil
}
