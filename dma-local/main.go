// Dma-local ends the way of a message on this host: it puts it into a user's
// mailbox, runs a command, or writes a file that the user wrote into ~/.forward, or
// root into the alias file.
//
// Account: the recipient; for what the alias file names, nobody. To write a mailbox, with the group mail, which may
// write in the mail directory (for root's mailbox: nobody, with that group); to
// run commands and to write what is in the home directory, with the recipient's own
// group. Which of the two a process does is told by its group, and it does not do
// the other: a process with the group mail never starts a program, and follows no
// name that the user has chosen (RULES B3). In a private build, the user, for both.
// Descriptors: 0 to 2 /dev/null, 3 the channel, and for a time the messages
// that it is to deliver.
// Peers: dma-spawn, which says whom the process works for, and after that the
// queue runner, which says what to deliver, but not which command to run and
// which file to write: that comes from the user's file (RULES C7), the alias file
// (RULES C10) and dma.conf.
// It links no network.
//
// Called with --check by a person it tells whether mail can be delivered to that
// person's mailbox.
package main

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/signal"
	"syscall"
	"time"

	"dma/common/forward"
	"dma/common/maillog"
	"dma/common/passwd"
	"dma/common/priv"
	"dma/common/sandbox"
	"dma/common/site"
	"dma/common/sysexits"
	"dma/common/userconf"
	"dma/dma-local/internal/command"
	"dma/dma-local/internal/entry"
	"dma/proto"
)

// maxFiles is how many descriptors a process for mailboxes ever has open at
// once: a batch of messages, as many that came in meanwhile, and a few for
// everything else.
const maxFiles = 2*maxBatch + 32

// Pauses between two tries to lock a mailbox: by chance, so that two who try
// at the same time do not go on doing so.
const (
	minPause = 50 * time.Millisecond
	maxPause = 250 * time.Millisecond
)

// groupFile is where the number of the group mail is found.
const groupFile = "/etc/group"

const usage = "usage: dma-local --check | --version\n" +
	"Without an option, dma-local works for dma-spawn alone.\n"

func main() { os.Exit(run(os.Args[1:])) }

func run(args []string) int {
	switch {
	case len(args) == 0:
		return help()
	case args[0] == "--check" && len(args) == 1:
		return check(os.Stdout, os.Stderr)
	case args[0] == "--version" && len(args) == 1:
		fmt.Printf("dma-local %s\n", site.Version)
		return sysexits.OK
	}
	fmt.Fprint(os.Stderr, usage)
	return sysexits.Usage
}

// help is the helper that dma-spawn starts.
func help() int {
	unclean := priv.HelperStart()
	conn, err := proto.FromParent()
	if err != nil { // a person's call
		fmt.Fprint(os.Stderr, usage)
		return sysexits.Usage
	}
	defer conn.Close()
	log := maillog.Open(site.LogSocket, "dma", nil, time.Now)
	if unclean != nil {
		log.Problem("start dma-local", unclean)
	}
	hello, err := conn.Greet()
	var s *server
	if err == nil {
		s, err = newServer(conn, hello)
	}
	if err != nil {
		log.Problem("start dma-local", err)
		return sysexits.NoPerm
	}
	log.Relay(conn.Log)
	// The sandbox goes here. It must leave commands what they may need.
	profile := sandbox.Profile{Files: maxFiles}
	if s.commands != nil {
		profile = sandbox.Profile{AllowExecGain: true}
	}
	limits, err := sandbox.Apply(profile)
	if err != nil {
		log.Problem("confine dma-local", err)
	}
	log.Confined("dma-local as "+hello.Login, limits)
	// A write beyond a limit is an error like any other, not the end. The signal
	// is caught, not ignored, so that commands do not inherit that.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGXFSZ)
	if err := s.serve(); err != nil {
		log.Problem("serve "+hello.Login, err)
		return sysexits.Protocol
	}
	return sysexits.OK
}

// newServer makes sure that this process is who hello says, and finds out what
// it is for.
func newServer(conn *proto.Conn, hello *proto.Hello) (*server, error) {
	if !passwd.ValidLogin(hello.Login) {
		return nil, fmt.Errorf("login %q: not a valid name", hello.Login)
	}
	if err := priv.Check(hello.UID); err != nil {
		return nil, err
	}
	if hello.Aliases {
		hello.Home, hello.Shell = "/", "/bin/sh" // the account is nobody's home (RULES C10)
	}
	s := &server{
		conn: conn, queue: hello.Queue, config: userconf.Load, now: time.Now,
		account: entry.Account{Login: hello.Login, UID: hello.UID, Home: hello.Home, Shell: hello.Shell, Shells: forward.Shells, Aliases: hello.Aliases},
	}
	s.mail = site.Private()
	if !s.mail {
		gid, err := passwd.LookupGroup(groupFile, site.MailGroup)
		if err != nil && !errors.Is(err, passwd.ErrNotFound) {
			return nil, fmt.Errorf("look up group %s: %w", site.MailGroup, err)
		}
		s.mail = err == nil && uint32(os.Getegid()) == gid
	}
	if s.mail { // else the runner waits for each answer
		s.pace = pace
	}
	if !s.mail || site.Private() {
		s.commands = &command.Runner{
			Login: hello.Login, Home: hello.Home, Shell: hello.Shell,
			Timeout: command.Timeout, KillAfter: command.KillAfter, StopAfter: command.StopAfter,
			OutputWait: command.OutputWait, Now: time.Now,
		}
	}
	if !s.mail && hello.UID == 0 {
		return nil, errors.New("nothing is ever run or written for root")
	}
	return s, nil
}

// pause is a time to wait before a lock is tried again.
func pause() time.Duration { return minPause + rand.N(maxPause-minPause) }
