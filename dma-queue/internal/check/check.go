// Package check is dma-queue --check: it looks at everything that mail on this
// host depends on, and says of each what it found and what to do about it.
//
// Of what belongs to users it looks at owners and modes, and opens nothing. What
// could be foreign text is made printable. What the queue runner and dma-remote
// answer is printed and nothing else.
package check

import (
	"fmt"
	"io"
	"os"

	"dma/common/conf"
	"dma/common/outcome"
	"dma/common/site"
	"dma/common/sysexits"
	"dma/dma-queue/internal/front"
	"dma/proto"
)

// Exit codes, besides 0.
const (
	exitFindings = 1               // mail flows, and there is something to be told
	exitStopped  = sysexits.Config // mail does not flow, or only some of it
)

// checker is one run.
type checker struct {
	out  io.Writer
	path string // of dma.conf

	// The world, which tests have one of their own of.
	etc     string // where group, shells, resolv.conf and mail/mailer.conf are
	names   []string
	uid     uint32
	gid     uint32
	egid    uint32
	noSetID func(path string) (bool, error)
	space   func(path string, percent int) error
	connect func(talk func(*proto.Conn) error) error
	leave   func() error // nil for those who are not root
	look    func(userLook) []problem

	config   *conf.Config
	accounts accounts
	unseen   []string // what only root may look at
	warnings int
	errors   int
	stopped  bool
}

// Run checks everything by the dma.conf at path, prints a line for each finding,
// and returns the exit code: 0 if all is well, 1 for warnings and for errors that
// stop no mail, 78 for those that do. Leave gives up root; nil for other callers.
func Run(out io.Writer, path string, leave func() error) int {
	c := &checker{
		out: out, path: path, etc: "/etc", names: otherNames(),
		uid: uint32(os.Getuid()), gid: uint32(os.Getgid()), egid: uint32(os.Getegid()),
		noSetID: noSetID, space: front.CheckSpace,
		connect: func(talk func(*proto.Conn) error) error { return front.Converse(leave, talk) },
		leave:   leave,
		look:    userLook.problems,
	}
	return c.run()
}

func (c *checker) run() int {
	c.checkAccounts()
	c.checkPrograms()
	c.checkNames()
	c.checkConfig()
	c.checkSpool()
	c.checkAuth()
	c.checkHost()
	c.checkMailboxes()
	c.checkUsers()
	c.checkRunner() // as nobody from here on
	return c.sum()
}

// sum prints the last lines.
func (c *checker) sum() int {
	if len(c.unseen) > 0 {
		list := c.unseen[0]
		for _, what := range c.unseen[1:] {
			list += ", " + what
		}
		fmt.Fprintf(c.out, "Not looked at, as only root may: %s.\n", list)
	}
	fmt.Fprintf(c.out, "Errors: %d, warnings: %d.\n", c.errors, c.warnings)
	switch {
	case c.stopped:
		return exitStopped
	case c.errors+c.warnings > 0:
		return exitFindings
	}
	return sysexits.OK
}

// isRoot reports whether everything may be looked at.
func (c *checker) isRoot() bool { return c.uid == 0 && !site.Private() }

// needsRoot notes what a user cannot see.
func (c *checker) needsRoot(what string) { c.unseen = append(c.unseen, what) }

// The findings. About is what was looked at; do is what to do about it.

func (c *checker) ok(about, format string, args ...any) {
	c.print(proto.LevelOK, about, fmt.Sprintf(format, args...), "")
}

func (c *checker) warn(about, found, do string) { c.print(proto.LevelWarning, about, found, do) }

// bad is an error that stops no mail, or that of few.
func (c *checker) bad(about, found, do string) { c.print(proto.LevelError, about, found, do) }

// stop is an error for which mail waits, or is not taken.
func (c *checker) stop(about, found, do string) {
	c.stopped = true
	c.print(proto.LevelError, about, found, do)
}

func (c *checker) print(level proto.Level, about, found, do string) {
	switch level {
	case proto.LevelWarning:
		c.warnings++
	case proto.LevelError:
		c.errors++
	}
	line := fmt.Sprintf("%v: %s: %s", level, outcome.Clean(about), outcome.Clean(found))
	if do != "" {
		line += "; " + outcome.Clean(do)
	}
	fmt.Fprintln(c.out, line)
}
