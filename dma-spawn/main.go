// Dma-spawn starts the queue runner and, when the runner asks for them, the
// programs that work as a user or talk to the network. It is the only program
// of the suite that runs as root for longer than a moment.
//
// Account: root, by a set-uid bit that only the group of the front end may use,
// or started by init. In a private build: the user.
// Descriptors: 0 to 2 /dev/null, but 2 may be a pipe if root itself starts it,
// which takes the log where there is no other, and which the runner gets too; for each child one end of a channel, until it
// is given away.
// Peers: the runner, whose requests hold a role and a login, and nothing else
// counts. It reads the password and group files, nsswitch.conf and the time zone,
// no other file; it takes no option, variable or descriptor from its caller.
// The one exception are its own children: each is dma-spawn, still root, until
// it has become who and what it was started for, see package child.
//
// It cannot be confined, since what it starts may be anybody. So it is small.
package main

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"time"

	"dma/common/maillog"
	"dma/common/priv"
	"dma/common/site"
	"dma/common/sysexits"
	"dma/dma-spawn/internal/child"
	"dma/dma-spawn/internal/role"
	"dma/dma-spawn/internal/supervise"
	"dma/dma-spawn/internal/world"
)

func main() { os.Exit(run()) }

func run() int {
	self := site.Libexec + "/dma-spawn"
	runtime.LockOSThread() // for child.Become and world.Renew
	dirt := world.Dirt()
	os.Clearenv() // or a log line would be dated by the file that TZ names
	if err := mayRun(self); err != nil {
		fmt.Fprintf(os.Stderr, "dma-spawn: %v\n", err)
		openLog().Problem("start", err)
		return sysexits.NoPerm
	}
	if !site.Private() && world.OnlyRoot() && child.Wanted(os.Args) {
		openLog().Problem("start", child.Become(os.Args))
		return sysexits.OSFile
	}
	// Looking at the state, not at an argument or variable, leaves nobody a way
	// to skip the cleaning.
	if dirt != "" {
		openLog().Problem("start", world.Renew(self))
		return sysexits.OSErr
	}
	runtime.UnlockOSThread()

	log := openLog()
	if err := priv.InheritNothing(); err != nil {
		log.Problem("start", err)
		return sysexits.OSErr
	}
	accounts, err := role.LoadAccounts()
	if err != nil {
		log.Problem("start", err)
		return sysexits.OSFile
	}
	return supervise.New(log, role.Rules{Accounts: accounts, Lookup: accounts.Find}).Run()
}

// mayRun looks whether the program is installed as it must be.
func mayRun(self string) error {
	if site.Private() {
		return priv.Check(0)
	}
	if os.Geteuid() != 0 {
		return errors.New("not root: the set-uid bit of " + self +
			" is missing (install it again) or without effect here (no_new_privs)")
	}
	return nil
}

func openLog() *maillog.Log {
	return maillog.Open(site.LogSocket, "dma", maillog.Stderr(), time.Now)
}
