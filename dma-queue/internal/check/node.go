package check

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"dma/common/site"
)

// Bits of a mode.
const (
	permissions = 0o7777
	setIDs      = 0o6000
	sticky      = 0o1000
	othersWrite = 0o022
)

// status is what of a file's status is looked at.
type status struct {
	kind     uint32 // unix.S_IFREG and the like
	mode     uint32 // permissions
	uid, gid uint32
	links    uint64
}

// lstat looks at path itself, stat at what it leads to.
func lstat(path string) (status, error) { return statusOf(unix.Lstat, path) }
func stat(path string) (status, error)  { return statusOf(unix.Stat, path) }

func statusOf(call func(string, *unix.Stat_t) error, path string) (status, error) {
	var st unix.Stat_t
	for {
		err := call(path, &st)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return status{}, err
		}
		mode := uint32(st.Mode)
		return status{mode & unix.S_IFMT, mode & permissions, st.Uid, st.Gid, uint64(st.Nlink)}, nil
	}
}

// node is a file or directory as it has to be.
type node struct {
	path         string
	owner, group string
	mode         uint32
	directory    bool
	vital        bool // mail does not flow without it
}

func (n node) kind() uint32 {
	if n.directory {
		return unix.S_IFDIR
	}
	return unix.S_IFREG
}

// checkNode compares a file or directory with what it has to be.
func (c *checker) checkNode(n node) bool {
	broken := c.bad
	if n.vital {
		broken = c.stop
	}
	st, err := lstat(n.path)
	switch {
	case err != nil:
		broken(n.path, err.Error(), "install dma again")
		return false
	case st.kind != n.kind():
		broken(n.path, "is "+kindName(st.kind), "move it away and install dma again")
		return false
	case site.Private():
		return c.checkPrivateNode(n, st)
	}
	return c.checkOwner(n, st) && c.checkMode(n, st, broken)
}

// checkPrivateNode: in a private build everything is its user's.
func (c *checker) checkPrivateNode(n node, st status) bool {
	need := n.mode & 0o700
	switch {
	case st.uid != c.uid:
		c.stop(n.path, "belongs to "+c.accounts.userName(st.uid), "a private build works for its owner alone")
	case st.mode&need != need:
		c.stop(n.path, fmt.Sprintf("its mode is %04o", st.mode), fmt.Sprintf("run: chmod u+rwx %s", n.path))
	case !n.directory && st.mode&setIDs != 0:
		c.stop(n.path, fmt.Sprintf("its mode is %04o: a private build has no set-id bits", st.mode), "run: chmod ug-s "+n.path)
	default:
		c.ok(n.path, "mode %04o", st.mode)
		return true
	}
	return false
}

// checkOwner: accounts that are not there were reported.
func (c *checker) checkOwner(n node, st status) bool {
	uid, gid, known := c.ids(n.owner, n.group)
	if !known || st.uid == uid && st.gid == gid {
		return true
	}
	group := n.group
	if group == "root" { // wheel on the BSDs
		group = c.accounts.groupName(gid)
	}
	found := fmt.Sprintf("belongs to %s:%s, not %s:%s", c.accounts.userName(st.uid), c.accounts.groupName(st.gid), n.owner, group)
	do := fmt.Sprintf("run: chown %s:%s %s && chmod %04o %s", n.owner, group, n.path, n.mode, n.path)
	if n.vital {
		c.stop(n.path, found, do)
	} else {
		c.bad(n.path, found, do)
	}
	return false
}

// checkMode: rights that are missing stop mail, those that are too many do not.
func (c *checker) checkMode(n node, st status, missing func(about, found, do string)) bool {
	if st.mode == n.mode {
		c.ok(n.path, "%s:%s, mode %04o", c.accounts.userName(st.uid), c.accounts.groupName(st.gid), st.mode)
		return true
	}
	report := missing
	if n.mode&^st.mode == 0 {
		report = c.bad
	}
	report(n.path, fmt.Sprintf("its mode is %04o, not %04o", st.mode, n.mode), fmt.Sprintf("run: chmod %04o %s", n.mode, n.path))
	return false
}

// ids are those of an owner and a group. root's group has other names on the BSDs.
func (c *checker) ids(owner, groupName string) (uid, gid uint32, known bool) {
	if owner != "root" {
		u, found := c.accounts.user(owner)
		if !found {
			return 0, 0, false
		}
		uid = u.UID
	}
	if groupName != "root" {
		g, found := c.accounts.group(groupName)
		if !found {
			return 0, 0, false
		}
		gid = g.gid
	}
	return uid, gid, true
}

func kindName(kind uint32) string {
	switch kind {
	case unix.S_IFREG:
		return "a file"
	case unix.S_IFDIR:
		return "a directory"
	case unix.S_IFLNK:
		return "a symbolic link"
	case unix.S_IFIFO:
		return "a pipe"
	case unix.S_IFSOCK:
		return "a socket"
	}
	return "a device"
}
