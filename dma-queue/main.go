// Dma-queue is sendmail, mailq and newaliases: the one program of the suite that
// anybody may call. It puts a message into the spool's incoming, has the queue
// runner woken and is done; or it asks the runner for the queue.
//
// It runs as the caller with gid _dmas (installed set-gid), which lets it make
// files in incoming, connect to the runner's control socket and start dma-spawn.
// Called by root it becomes nobody, with the same group, once its file is made, or
// the connection to the runner, which tells the runner that it is root who asks;
// and before it reads a byte of anybody's. Only --check and --import, which are
// about other accounts' files, stay root, as their packages say. It inherits nothing
// from its caller but standard input, output and error, its arguments and the
// variables EMAIL, LOGNAME, USER and TERM; it holds no lock that another program
// waits for, and no secret. Its peers are the runner, which it believes only for
// what it prints, and dma-spawn, which it starts with nothing.
//
// It links no network, no regular expressions, no TLS, and of other people's code
// x/sys alone (HACKING, Laws): its time is the start of a process and two syncs.
package main

import (
	"errors"
	"fmt"
	"os"
	"time"

	"dma/common/maillog"
	"dma/common/outcome"
	"dma/common/passwd"
	"dma/common/priv"
	"dma/common/site"
	"dma/common/sysexits"
	"dma/dma-queue/internal/admin"
	"dma/dma-queue/internal/check"
	"dma/dma-queue/internal/front"
)

func main() { os.Exit(run()) }

func run() int {
	if err := priv.InheritNothing("EMAIL", "LOGNAME", "USER", "TERM"); err != nil {
		return report(&front.Failure{Code: sysexits.OSErr, Err: err}, false)
	}
	o, err := front.Parse(os.Args)
	if err == nil && o.ConfigFile != "" {
		err = ownConfig(o)
	}
	if err != nil {
		return report(err, false)
	}
	if o.Mode == front.Check {
		return check.Run(os.Stdout, configPath(o), leaver())
	}
	return report(do(o), o.Quiet)
}

func do(o front.Options) error {
	switch o.Mode {
	case front.Version:
		fmt.Printf("dma %s\n", site.Version)
		return nil
	case front.Help:
		fmt.Print(front.Usage)
		return nil
	case front.Submit:
		return submit(o)
	case front.Flush:
		return front.FlushQueue(leaver())
	case front.Operate:
		return admin.Run(o, os.Stdout, os.Stderr, leaver())
	case front.Verify:
		return verify(o)
	case front.Import:
		return importSpool(o)
	}
	if err := leaveRoot(); err != nil {
		return err
	}
	if o.Mode == front.SMTP {
		return serveSMTP(o)
	}
	return front.CheckAliases(configPath(o), os.Stdout, os.Stderr)
}

func verify(o front.Options) error {
	if len(o.Recipients) == 0 {
		return errNoRecipients()
	}
	return front.VerifyAddresses(os.Stdout, o, leaver())
}

func errNoRecipients() error {
	return &front.Failure{Code: sysexits.NoInput, Err: errors.New("no recipients")}
}

// ownConfig is for a configuration that the caller chose. Of anybody but root it
// would decide, with the rights of the group, what is refused: so these rights go
// first (RULES A7), and with them the way to hand in mail and to reach the runner.
func ownConfig(o front.Options) error {
	if site.Private() || os.Getuid() == 0 {
		return nil
	}
	if err := priv.LeaveGroup(); err != nil {
		return &front.Failure{Code: sysexits.OSErr, Err: err}
	}
	switch o.Mode {
	case front.Aliases, front.Check, front.Version, front.Help:
		return nil
	}
	return &front.Failure{Code: sysexits.NoPerm, Err: errors.New("with -C of a caller who is not root this program gives up the group that lets it hand in mail and speak with the queue runner; leave -C out")}
}

// isRoot reports whether there are rights to leave. A private build has no
// account to become, and whoever runs it has only their own mail.
func isRoot() bool { return os.Geteuid() == 0 && !site.Private() }

// leaver is leaveRoot for those who have it called, and nil for those who are not root.
func leaver() func() error {
	if !isRoot() {
		return nil
	}
	return leaveRoot
}

// leaveRoot makes root nobody, with the group that the set-gid bit gives.
func leaveRoot() error {
	if !isRoot() {
		return nil
	}
	nobody, err := passwd.Lookup(site.Passwd, "nobody")
	if err != nil {
		return &front.Failure{Code: sysexits.OSErr, Err: fmt.Errorf("look up nobody, as whom this program goes on for root: %w", err)}
	}
	gid, err := submitGroup()
	if err != nil {
		return err
	}
	if err := priv.Drop(nobody.UID, gid); err != nil {
		return &front.Failure{Code: sysexits.OSErr, Err: err}
	}
	return nil
}

// submitGroup is the group that may hand in mail, for root.
func submitGroup() (uint32, error) {
	if gid := uint32(os.Getegid()); gid != 0 {
		return gid, nil
	}
	// No set-gid bit, or one without effect: root needs none.
	gid, err := passwd.LookupGroup("/etc/group", site.SubmitGroup)
	if err != nil {
		return 0, &front.Failure{Code: sysexits.OSErr, Err: fmt.Errorf("look up group %s: %w", site.SubmitGroup, err)}
	}
	return gid, nil
}

// report tells the caller of an error, and the log if it is not the caller's.
func report(err error, quiet bool) int {
	if err == nil {
		return sysexits.OK
	}
	code := sysexit(err)
	if !quiet {
		fmt.Fprintf(os.Stderr, "sendmail: %s\n", outcome.Clean(err.Error()))
	}
	if code >= sysexits.Unavailable {
		warn(fmt.Sprintf("call by uid %d", os.Getuid()), err)
	}
	return code
}

// sysexit is the exit code of an error. One that nobody has thought of is ours.
func sysexit(err error) int {
	if f := (*front.Failure)(nil); errors.As(err, &f) {
		return f.Code
	}
	return sysexits.Software
}

// warn writes a line to the mail log. Most runs of this program have none.
func warn(operation string, err error) {
	log := maillog.Open(site.LogSocket, "dma", nil, time.Now)
	defer log.Close()
	log.Problem(operation, err)
}
