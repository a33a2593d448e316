package check

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"dma/common/site"
)

// maxSmall bounds a file of the system's that is looked through, in bytes.
const maxSmall = 1 << 20

// checkPrograms looks at what is installed (DESIGN 1).
func (c *checker) checkPrograms() {
	front, launcher := site.Sbin+"/dma-queue", site.Libexec+"/dma-spawn"
	programs := []node{
		{path: front, owner: "root", group: site.SubmitGroup, mode: 0o2755},
		{path: launcher, owner: "root", group: site.SubmitGroup, mode: 0o4750},
	}
	for _, name := range []string{"dma-queue-runner", "dma-forward", "dma-local", "dma-remote"} {
		programs = append(programs, node{path: site.Libexec + "/" + name, owner: "root", group: "root", mode: 0o755})
	}
	for _, n := range programs {
		n.vital = true
		c.checkNode(n)
	}
	if site.Private() {
		return
	}
	for _, dir := range []string{site.Sbin, site.Libexec} {
		c.checkSafe(dir, 0)
	}
	for _, path := range []string{front, launcher} {
		if nosuid, err := c.noSetID(path); err == nil && nosuid {
			c.stop(path, "is on a file system that is mounted nosuid, so its set-id bit has no effect", "mount it without nosuid")
		}
	}
	c.checkGroupRight()
}

// checkGroupRight: has the set-gid bit given the group?
func (c *checker) checkGroupRight() {
	g, found := c.accounts.group(site.SubmitGroup)
	if !found || c.uid == 0 || c.foreignConfig() || c.egid == g.gid {
		return
	}
	why := "look for a nosuid mount or a user namespace"
	if noNewPrivileges() {
		why = "this process runs under no_new_privs; in a service of systemd look for NoNewPrivileges and what implies it"
	}
	c.stop("group "+site.SubmitGroup, "this program runs without it: its set-gid bit has no effect here, and no mail is taken", why)
}

// foreignConfig: for a dma.conf of their own choice, other callers than root have
// given up the group (RULES A7).
func (c *checker) foreignConfig() bool {
	return c.uid != 0 && !site.Private() && c.path != site.Conf+"/dma.conf"
}

func noNewPrivileges() bool {
	text, err := readSmall("/proc/self/status")
	return err == nil && strings.Contains(text, "\nNoNewPrivs:\t1\n")
}

// checkSafe makes sure that a file or directory is root's alone to change, and
// that all have these rights.
func (c *checker) checkSafe(path string, rights uint32) bool {
	st, err := stat(path)
	owner := uint32(0)
	if site.Private() {
		owner = c.uid
	}
	changed := c.bad
	if st.kind == unix.S_IFDIR {
		changed = c.warn // as /usr/local is on some systems
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return true
	case err != nil:
		c.stop(path, err.Error(), "run: chmod a+r "+path+", and a+x for its directories")
	case st.uid != 0 && st.uid != owner:
		changed(path, "belongs to "+c.accounts.userName(st.uid)+", who can change it", "run: chown root "+path)
	case st.mode&othersWrite != 0:
		changed(path, fmt.Sprintf("its mode is %04o: others can change it", st.mode), "run: chmod go-w "+path)
	case st.mode&rights != rights && !site.Private():
		c.stop(path, fmt.Sprintf("its mode is %04o: it must be readable for all", st.mode), "run: chmod a+r "+path)
	default:
		return true
	}
	return false
}

// otherNames are those by which others know dma-queue (COMPAT 1).
func otherNames() []string {
	names := []string{"/usr/sbin/sendmail", "/usr/lib/sendmail", "/usr/bin/mailq", "/usr/bin/newaliases"}
	if own := site.Sbin + "/sendmail"; !slices.Contains(names, own) {
		names = append([]string{own}, names...)
	}
	return names
}

// checkNames: do programs that call sendmail call this one?
func (c *checker) checkNames() {
	program := site.Sbin + "/dma-queue"
	own, err := os.Stat(program)
	if err != nil || site.Private() {
		return
	}
	for _, name := range c.names {
		led, err := os.Stat(name)
		target, _ := filepath.EvalSymlinks(name)
		switch {
		case err == nil && os.SameFile(led, own):
			c.ok(name, "leads to %s", program)
		case err != nil:
			c.warn(name, err.Error(), "run: ln -sf "+program+" "+name)
		case filepath.Base(target) == "mailwrapper":
			c.checkWrapper(name, program)
		default:
			c.warn(name, fmt.Sprintf("is another mailer's (%s): mail that programs give to it is not dma's", target), "remove that mailer, and run: ln -sf "+program+" "+name)
		}
	}
}

// checkWrapper reads mailer.conf(5) of the BSDs.
func (c *checker) checkWrapper(name, program string) {
	file := c.etc + "/mail/mailer.conf"
	text, err := readSmall(file)
	if err != nil {
		c.warn(name, "is mailwrapper, and "+err.Error(), "write "+file)
		return
	}
	for line := range strings.SplitSeq(text, "\n") {
		if f := strings.Fields(line); len(f) == 2 && f[0] == filepath.Base(name) && f[1] == program {
			c.ok(name, "leads to %s by %s", program, file)
			return
		}
	}
	c.warn(name, "is mailwrapper, and "+file+" names another program", fmt.Sprintf("write a line %q into it", filepath.Base(name)+" "+program))
}

func readSmall(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxSmall))
	return string(b), err
}
