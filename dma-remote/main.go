// Dma-remote is the SMTP client: it brings messages to the smarthost or to the
// mail hosts of a domain.
//
// Account: user and group _dmar (site.RemoteUser), which may read auth.conf and
// nothing else that others may not. In a private build, whoever starts it.
// Descriptors: 3 is the channel to the runner; 0, 1, 2 are /dev/null; each
// request brings the message to send, open for reading. It opens connections.
// Peers: the runner, who says what to send where, but not who the smarthost is
// nor how it is spoken to: that is in dma.conf. Servers and the DNS, who may be
// anybody.
// By hand, with --probe, it tries the way out as the account that it has in service
// if root calls it, and else as its caller.
// It can not: read the queue or a user's file, start a program, write a file.
package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"time"

	"dma/common/maillog"
	"dma/common/priv"
	"dma/common/sandbox"
	"dma/common/site"
	"dma/common/sysexits"
	"dma/dma-remote/internal/courier"
	"dma/dma-remote/internal/resolve"
	"dma/dma-remote/internal/serve"
	"dma/dma-remote/internal/session"
	"dma/dma-remote/internal/settings"
	"dma/proto"
)

const notByHand = "dma-remote is started by dma-spawn, not by hand; to have the queue tried, run: sendmail -q; to try the way out: dma-remote --probe [host[:port]]"

// maxFiles bounds the descriptor table: a message and a connection for each
// request, connections between two messages, questions to the DNS.
const maxFiles = 4 * serve.MaxRequests

func main() { os.Exit(run()) }

func run() int {
	if len(os.Args) > 1 {
		return byHand(os.Args[1:])
	}
	inherited := priv.HelperStart()
	log := maillog.Open(site.LogSocket, "dma", nil, time.Now)
	if inherited != nil {
		log.Problem("start dma-remote", inherited)
	}
	runner, err := proto.FromParent()
	if err != nil {
		fmt.Fprintln(os.Stderr, notByHand)
		return sysexits.Usage
	}
	hello, err := runner.Greet()
	if err != nil {
		log.Problem("greet dma-spawn", err)
		return sysexits.Protocol
	}
	log.Relay(runner.Log)
	log.Relay(runner.Log)
	if err := priv.Check(hello.UID); err != nil {
		log.Problem("start dma-remote", err)
		return sysexits.NoPerm
	}
	keeper := settings.NewKeeper(site.Conf+"/dma.conf", base(), log)
	limits, err := sandbox.Apply(sandbox.Profile{Files: maxFiles, WriteNothing: true})
	if err != nil {
		log.Problem("sandbox of dma-remote", err)
	}
	log.Confined("dma-remote", limits)

	server := &serve.Server{
		Conn:    runner,
		Owner:   hello.Queue,
		Courier: keeper,
		Log:     func(id string) courier.Log { return entry{log.Message(id)} },
	}
	err = server.Run(context.Background())
	keeper.Close()
	if err != nil {
		log.Problem("serve the queue", err)
		return sysexits.Protocol
	}
	return sysexits.OK
}

// entry has the events that no other program has.
type entry struct{ maillog.Entry }

// UsingTLS logs how a connection is secured.
func (e entry) UsingTLS(host, ip, how string) {
	e.Helper(levelInfo, "", fmt.Sprintf("using TLS with %s [%s]: %s", host, ip, how))
}

const levelInfo = 6 // of syslog (RFC 3164 4.1.1)

// base is what no file says. Trusted certificates are the system's, which package
// tls reads when the first server is to be verified: that takes longer than all
// else of the start.
func base() courier.Config {
	dialer := &net.Dialer{}
	dialer.SetMultipathTCP(false) // the sandbox's rules for TCP do not cover it
	return courier.Config{
		Resolver: &resolve.Resolver{
			DNS:     resolve.System(),
			Local:   resolve.Interfaces,
			Shuffle: rand.Shuffle,
		},
		Dialer: dialer,
		Limits: session.DefaultLimits(),
		Now:    time.Now,
	}
}
