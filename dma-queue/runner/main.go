// Dma-queue-runner owns the queue: it takes up submissions, decides what is tried
// when, keeps the journal and writes the bounces.
//
// Account: user and group _dmaq (site.QueueUser), no rights anywhere else. In a
// private build, whoever starts it.
// Descriptors: 3 is the channel to dma-spawn; 0, 1, 2 are /dev/null.
// Peers: dma-spawn, which starts its helpers and nothing that is not in the table
// of DESIGN 1; the helpers; front ends on the control socket.
// It can not: run a program, become a user, open a network connection, read a
// password, a mailbox or a .forward. A command is known to it only by its hash.
package main

import (
	"crypto/rand"
	"errors"
	"fmt"
	mrand "math/rand/v2"
	"os"
	"slices"
	"time"

	"dma/common/maillog"
	"dma/common/priv"
	"dma/common/sandbox"
	"dma/common/site"
	"dma/common/sysexits"
	"dma/dma-queue/internal/control"
	"dma/dma-queue/internal/pickup"
	"dma/dma-queue/internal/queue"
	"dma/dma-queue/internal/schedule"
	"dma/dma-queue/internal/spool"
	"dma/proto"
)

// maxFiles bounds the descriptor table: messages being sent, a channel a helper,
// control clients, and the spool.
const maxFiles = 1024

func main() {
	inherited := priv.HelperStart()
	log := maillog.Open(site.LogSocket, "dma", maillog.Stderr(), time.Now)
	if inherited != nil {
		log.Problem("start runner", inherited)
	}
	spawn, err := proto.FromParent()
	if err != nil {
		fmt.Fprintln(os.Stderr, "dma-queue-runner is started by dma-spawn, not by hand; to have the queue tried, run: sendmail -q")
		os.Exit(sysexits.Usage)
	}
	hello, err := spawn.Greet()
	if err != nil {
		log.Problem("greet dma-spawn", err)
		os.Exit(sysexits.Protocol)
	}
	if err := priv.Check(hello.Queue); err != nil {
		log.Problem("start runner", err)
		os.Exit(sysexits.NoPerm)
	}
	limits, err := sandbox.Apply(sandbox.Profile{Files: maxFiles})
	if err != nil {
		log.Problem("sandbox of dma-queue-runner", err)
	}
	log.Confined("dma-queue-runner", limits)
	os.Exit(run(spawn, log))
}

// run is the life of a runner: lock, listen, scan, work; when there is nothing
// left, close the listener, scan again, unlock (DESIGN 6; scripts/model has the
// proof). The lock is given back by the kernel, however this process ends.
func run(spawn *proto.Conn, log *maillog.Log) int {
	held, err := lock(site.Spool + "/run")
	if err != nil {
		log.Problem("lock queue", err)
		if errors.Is(err, errLocked) {
			return sysexits.TempFail // dma-spawn has us try again: there may be mail
		}
		return sysexits.OSFile
	}
	if held == nil {
		return sysexits.OK // another runner works, and knows that there is mail
	}
	defer held.Close()
	queue, err := queue.OpenQueue(site.Spool)
	if err != nil {
		log.Problem("open queue", err)
		return sysexits.OSFile
	}
	conf := newConfiguration(log)
	picker := &pickup.Picker{Queue: queue, Log: log, Site: conf.names, SysHost: sysHost(), Now: time.Now}
	newID := func() (spool.ID, error) { return spool.NewID(time.Now(), rand.Reader) }
	bouncer := &bouncer{queue: queue, hostname: conf.hostname, now: time.Now}
	s, err := schedule.New(schedule.Config{
		Queue: queue, Spawn: spawn, Log: log, Site: conf.site, Pick: picker.Pick, Bounce: bouncer.write,
		Now: clock(), Rand: mrand.New(mrand.NewPCG(mrand.Uint64(), mrand.Uint64())), NewID: newID,
	})
	if err != nil {
		log.Problem("take over queue", err)
		return sysexits.TempFail
	}
	s.Start()
	clients := control.New(s, log, callers(log))
	err = serve(s, clients, picker, queue, func() bool { return conf.site().Defer })
	if eerr := s.End(); err == nil {
		err = eerr
	}
	held.Close()
	clients.Wait() // they only read, or hear that it is over
	if err != nil {
		log.Problem("run queue", err)
		return sysexits.TempFail
	}
	return sysexits.OK
}

// serve listens and works until nothing is left, not even after the listener was
// closed: from then on a front end starts a runner of its own.
func serve(s *schedule.Scheduler, clients *control.Server, picker *pickup.Picker, queue *queue.Queue, deferred func() bool) error {
	for {
		l, err := proto.Listen(site.Spool + "/run/control")
		if err != nil {
			return err
		}
		clients.Start(l)
		err = s.Run()
		l.Close()
		if err != nil {
			return err
		}
		left, err := queue.Submitted()
		if err != nil {
			return err
		}
		// With DEFER, what is there waits for a flush, which starts a runner.
		if deferred() || !slices.ContainsFunc(left, picker.Ready) {
			return nil
		}
	}
}

// clock tells the time by a watch that is set once: whatever happens to the
// system's clock, it goes forward, a second a second (RULES F4). It is for
// deciding what is due, not for dates that others see.
func clock() func() time.Time {
	started := time.Now()
	return func() time.Time { return started.Add(time.Since(started)) }
}

// Limits of waiting for the lock.
const (
	lockRetry = 50 * time.Millisecond
	lockLimit = time.Minute // a runner that neither works nor ends for so long is stopped or broken
)

var errLocked = errors.New("another runner has held the lock for a minute and answers nobody; look for a stopped dma-queue-runner")

// lock takes the lock of the queue. If another runner has it, that one is woken
// instead, and lock returns nil. A runner that is just ending may hold the lock
// and not listen any more: then it is waited for, never left alone (DESIGN 6).
func lock(run string) (*os.File, error) {
	f, err := os.OpenFile(run+"/lock", os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	timer := time.NewTimer(0)
	defer timer.Stop()
	for end := time.Now().Add(lockLimit); time.Now().Before(end); {
		<-timer.C
		if spool.Lock(f) {
			return f, nil
		}
		if c, err := proto.Dial(run+"/control", lockRetry); err == nil {
			c.Close() // to connect is to wake
			f.Close()
			return nil, nil
		}
		timer.Reset(lockRetry)
	}
	f.Close()
	return nil, errLocked
}
