// Dma-queue is sendmail, mailq and newaliases: the one program of the suite that
// anybody may call. It puts a message into the spool's incoming, has the queue
// runner woken and is done; or it asks the runner for the queue.
//
// It runs as the caller with gid _dmas (installed set-gid), which lets it make
// files in incoming, connect to the runner's control socket and start dma-spawn.
// Called by root it becomes nobody, with the same group, once its file is made and
// before it reads a byte of anybody's. It inherits nothing from its caller but
// standard input, output and error, its arguments and the variable EMAIL; it holds
// no lock that another program waits for, and no secret. Its peers are the runner, which it
// believes only for what it prints, and dma-spawn, which it starts with nothing.
//
// It links no network, no regular expressions, no TLS, and of other people's code
// x/sys alone (HACKING, Laws): its time is the start of a process and two syncs.
package main

import (
	"errors"
	"fmt"
	"os"
	"time"

	"dma/common/conf"
	"dma/common/maillog"
	"dma/common/outcome"
	"dma/common/passwd"
	"dma/common/priv"
	"dma/common/site"
	"dma/common/sysexits"
	"dma/dma-queue/internal/front"
)

func main() { os.Exit(run()) }

func run() int {
	if err := priv.InheritNothing("EMAIL"); err != nil {
		return report(&front.Failure{Code: sysexits.OSErr, Err: err})
	}
	o, err := front.Parse(os.Args)
	if err != nil {
		return report(err)
	}
	switch o.Mode {
	case front.Submit:
		return report(submit(o))
	case front.Version:
		fmt.Printf("dma %s\n", site.Version)
		return sysexits.OK
	case front.Help:
		fmt.Print(front.Usage)
		return sysexits.OK
	}
	if err := leaveRoot(); err != nil {
		return report(err)
	}
	switch o.Mode {
	case front.List:
		err = front.ListQueue(os.Stdout, o.Verbose)
	case front.Flush:
		err = front.FlushQueue()
	case front.Aliases:
		err = front.CheckAliases(site.Conf+"/dma.conf", os.Stdout, os.Stderr)
	}
	return report(err)
}

// submit takes a message. What it returns is about the message: once that is
// safe, trouble with the runner is only told.
func submit(o front.Options) error {
	if len(o.Recipients) == 0 && !o.FromHeader {
		return &front.Failure{Code: sysexits.NoInput, Err: errors.New("no recipients")}
	}
	s := front.New(site.Spool+"/incoming", time.Now(), front.Random())
	if isRoot() {
		if err := s.Begin(); err != nil {
			return err
		}
		if err := leaveRoot(); err != nil {
			s.Abort()
			return err
		}
	}
	for _, option := range o.Ignored {
		warn("option "+option, errors.New("not supported by this version, ignored"))
	}
	config, _, err := conf.Load(site.Conf + "/dma.conf") // the runner logs the warnings
	if err != nil {
		warn("read configuration", err)
		config = nil
	}
	err = s.Take(front.Input{
		Options: o, Config: config, Email: os.Getenv("EMAIL"),
		Message: os.Stdin, Ready: front.StdinReady, Stderr: os.Stderr, Warn: warn,
	})
	quiet := o.Quiet || config != nil && config.Defer
	if err == nil && quiet || err != nil && !s.LeftFile() {
		return err
	}
	if werr := front.Wake(); werr != nil && err == nil {
		warn("wake queue runner", werr)
		fmt.Fprintf(os.Stderr, "sendmail: message %s is accepted, but nobody delivers it now: %v\n", s.ID, werr)
	}
	return err
}

// isRoot reports whether there are rights to leave. A private build has no
// account to become, and whoever runs it has only their own mail.
func isRoot() bool { return os.Geteuid() == 0 && !site.Private() }

// leaveRoot makes root nobody, with the group that the set-gid bit gives.
func leaveRoot() error {
	if !isRoot() {
		return nil
	}
	nobody, err := passwd.Lookup(site.Passwd, "nobody")
	if err != nil {
		return &front.Failure{Code: sysexits.OSErr, Err: fmt.Errorf("look up nobody, as whom this program goes on for root: %w", err)}
	}
	gid := uint32(os.Getegid())
	if gid == 0 { // no set-gid bit, or one without effect: root needs none
		if gid, err = passwd.LookupGroup("/etc/group", site.SubmitGroup); err != nil {
			return &front.Failure{Code: sysexits.OSErr, Err: fmt.Errorf("look up group %s: %w", site.SubmitGroup, err)}
		}
	}
	if err := priv.Drop(nobody.UID, gid); err != nil {
		return &front.Failure{Code: sysexits.OSErr, Err: err}
	}
	return nil
}

// report tells the caller of an error, and the log if it is not the caller's.
func report(err error) int {
	if err == nil {
		return sysexits.OK
	}
	code := sysexits.Software
	if f := (*front.Failure)(nil); errors.As(err, &f) {
		code = f.Code
	}
	fmt.Fprintf(os.Stderr, "sendmail: %s\n", outcome.Clean(err.Error()))
	if code >= sysexits.Unavailable {
		warn(fmt.Sprintf("call by uid %d", os.Getuid()), err)
	}
	return code
}

// warn writes a line to the mail log. Most runs of this program have none.
func warn(operation string, err error) {
	log := maillog.Open(site.LogSocket, "dma", nil, time.Now)
	defer log.Close()
	log.Problem(operation, err)
}
