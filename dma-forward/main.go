// Dma-forward tells what a user's .forward file says.
//
// Account: that user, with the user's primary group. Never root.
// Descriptors: 0 to 2 /dev/null, 3 the channel.
// Peers: dma-spawn, which says whom the process works for, and after that the
// queue runner. What it answers is the user's word and no more (RULES B3): it
// names commands by hashes alone (RULES C7).
// It reads dma.conf, which says how the file is called.
// It can read what the user can read. It writes no file, starts no program, and
// links no network.
//
// Called with --check by a person it tells that person what the file means.
package main

import (
	"errors"
	"fmt"
	"os"
	"time"

	"dma/common/forward"
	"dma/common/maillog"
	"dma/common/passwd"
	"dma/common/priv"
	"dma/common/sandbox"
	"dma/common/site"
	"dma/common/sysexits"
	"dma/common/userconf"
	"dma/proto"
)

// maxFiles is how many descriptors are ever open at once: 0 to 3, the home
// directory and the file, dma.conf, the log, and those of the Go runtime.
const maxFiles = 16

const usage = "usage: dma-forward --check [file | +extension] | --version\n" +
	"Without an option, dma-forward works for dma-spawn alone.\n"

func main() { os.Exit(run(os.Args[1:])) }

func run(args []string) int {
	switch {
	case len(args) == 0:
		return help()
	case args[0] == "--check" && len(args) == 1:
		return check("", os.Stdout, os.Stderr)
	case args[0] == "--check" && len(args) == 2 && args[1] != "":
		return check(args[1], os.Stdout, os.Stderr)
	case args[0] == "--version" && len(args) == 1:
		fmt.Printf("dma-forward %s\n", site.Version)
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
		log.Problem("start dma-forward", unclean)
	}
	hello, err := conn.Greet()
	if err == nil {
		err = mayWork(hello)
	}
	if err != nil {
		log.Problem("start dma-forward", err)
		return sysexits.NoPerm
	}
	log.Relay(conn.Log)
	// The sandbox goes here.
	limits, err := sandbox.Apply(sandbox.Profile{Files: maxFiles, WriteNothing: true})
	if err != nil {
		log.Problem("confine dma-forward", err)
	}
	log.Confined("dma-forward as "+hello.Login, limits)
	u := user{hello.Login, hello.UID, hello.Home, hello.Shell, forward.Shells}
	if err := (server{conn, u, userconf.Load, answerLimit}).serve(); err != nil {
		log.Problem("serve "+hello.Login, err)
		return sysexits.Protocol
	}
	return sysexits.OK
}

// mayWork makes sure that this process is who hello says, and nobody special.
func mayWork(hello *proto.Hello) error {
	if !passwd.ValidLogin(hello.Login) {
		return fmt.Errorf("login %q: not a valid name", hello.Login)
	}
	if hello.UID == 0 && !site.Private() {
		return errors.New("root's .forward is never read")
	}
	return priv.Check(hello.UID)
}
