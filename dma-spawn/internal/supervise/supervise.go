// Package supervise runs the queue runner, serves its requests for helpers, and
// sees to it that all of them end (DESIGN 1, RULES B6).
package supervise

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"sync"
	"time"

	"dma/common/site"
	"dma/common/sysexits"
	"dma/dma-spawn/internal/role"
	"dma/proto"

	"golang.org/x/sys/unix"
)

// Limits.
const (
	maxHelpers = 64 // alive at a time, of all runners; a runner uses about 25
	maxPerUser = 8  // of these as one user: a user can stop helpers and keep them (RULES B7)

	firstWait = 100 * time.Millisecond // before a runner that crashed is started again; doubles
	lastWait  = time.Minute            // up to this
	steady    = time.Minute            // a runner that lived so long is no early crash
	runnerEnd = 10 * time.Second       // from the end of its channel to its exit
	helperEnd = time.Minute            // from the end of the runner to that of a helper
	killAfter = 30 * time.Second       // from TERM to KILL (RULES B6)
)

// Log is the part of the mail log that is used here.
type Log interface {
	Problem(operation string, err error)
}

// Supervisor is the state of dma-spawn: the helpers that are alive.
type Supervisor struct {
	log     Log
	rules   role.Rules
	slots   chan struct{} // one element per helper
	helpers sync.WaitGroup
	ending  chan struct{} // closed when no runner is left

	helperEnd, killAfter time.Duration // the constants, but for tests

	mu      sync.Mutex
	perUser map[uint32]int // helpers by uid, none of which is 0
}

// New makes a supervisor that answers requests by rules.
func New(log Log, rules role.Rules) *Supervisor {
	return &Supervisor{
		log: log, rules: rules,
		slots: make(chan struct{}, maxHelpers), ending: make(chan struct{}), perUser: make(map[uint32]int),
		helperEnd: helperEnd, killAfter: killAfter,
	}
}

// Run runs the queue runner, again when it crashed, until it ends by itself.
// It returns the exit code.
func (s *Supervisor) Run() int {
	defer s.drain()
	wait := firstWait
	for {
		started := time.Now()
		code, err := s.runner()
		if err == nil {
			return sysexits.OK
		}
		s.log.Problem("run queue runner", err)
		if code == sysexits.Config || code == sysexits.OSFile {
			return code // trying again would not help
		}
		if time.Since(started) > steady {
			wait = firstWait
		}
		turn, err := takeTurn()
		if err != nil {
			s.log.Problem("restart queue runner", err)
			return sysexits.OK
		}
		<-time.NewTimer(wait).C
		turn.Close()
		wait = min(2*wait, lastWait)
	}
}

// takeTurn lets one dma-spawn wait for its next try where each mail finds the
// runner dead and starts another. The others may end: a runner will be started
// later than this. The lock is on a directory that only root can open.
func takeTurn() (*os.File, error) {
	dir, err := os.Open(site.Spool)
	if err == nil {
		err = unix.Flock(int(dir.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if errors.Is(err, unix.EWOULDBLOCK) {
			dir.Close()
			return nil, errors.New("left to another dma-spawn")
		}
	}
	return dir, nil // a spool that cannot be locked is the runner's trouble
}

// runner runs the runner once. There is an error unless it ended with code 0.
func (s *Supervisor) runner() (code int, err error) {
	process, conn, err := launch(s.rules.Runner(), os.Stderr)
	if err != nil {
		if errors.Is(err, os.ErrNotExist) || errors.Is(err, os.ErrPermission) {
			code = sysexits.OSFile
		}
		return code, err
	}
	served := make(chan error, 1)
	go func() { served <- s.serve(conn) }()
	exited := wait(process)

	var state *os.ProcessState
	select {
	case state = <-exited:
		conn.Close()
		<-served
	case err = <-served:
		conn.Close()
		limit := time.Duration(0) // one that broke the protocol is out of its mind
		if errors.Is(err, io.EOF) {
			err, limit = nil, runnerEnd
		}
		state = s.end(process, exited, limit, unix.SIGKILL)
	}
	switch {
	case err != nil:
		return 0, err
	case state.ExitCode() != 0:
		return state.ExitCode(), errors.New(state.String())
	}
	return 0, nil
}

// serve answers the requests of one runner until its channel ends.
func (s *Supervisor) serve(conn *proto.Conn) error {
	if _, err := conn.RecvHello(); err != nil {
		return err
	}
	for {
		p, err := conn.Recv(0, proto.TypeStart)
		if err != nil {
			return err
		}
		select {
		case s.slots <- struct{}{}:
			s.helpers.Add(1)
			go func() {
				s.helper(conn, p.Request, p.Message.(*proto.Start))
				<-s.slots
				s.helpers.Done()
			}()
		default:
			text := fmt.Sprintf("%d helpers are running", maxHelpers)
			err := conn.Send(p.Request, &proto.Refused{Why: proto.RefusedLater, Text: text}, nil)
			if err != nil {
				return err
			}
		}
	}
}

// helper answers one request and stays with the helper until it has ended.
func (s *Supervisor) helper(runner *proto.Conn, request uint32, start *proto.Start) {
	program, refused := s.rules.Program(start)
	if refused == nil && program.Hello.Login != "" {
		if s.enter(program.UID) {
			defer s.leave(program.UID)
		} else {
			text := fmt.Sprintf("%d helpers are running as uid %d", maxPerUser, program.UID)
			refused = &proto.Refused{Why: proto.RefusedLater, Text: text}
		}
	}
	var process *os.Process
	var conn *proto.Conn
	if refused == nil {
		var err error
		// Helpers log by way of the runner: they get /dev/null, which os.Stdout is.
		if process, conn, err = launch(program, os.Stdout); err != nil {
			s.log.Problem("start helper", err)
			refused = &proto.Refused{Why: proto.RefusedLater, Text: "start " + path.Base(program.Path) + " failed"}
		}
	}
	var err error
	if refused != nil {
		err = runner.Send(request, refused, nil)
	} else {
		err = runner.Send(request, &proto.Started{PID: uint32(process.Pid)}, conn.File())
		conn.Close() // from now on, or never, the runner has it
	}
	if err != nil {
		if errors.Is(err, os.ErrDeadlineExceeded) { // else it is gone, which is logged elsewhere
			s.log.Problem("answer queue runner", err)
		}
		runner.Close() // ends serve, and so the runner
	}
	if process != nil {
		s.reap(process, program)
	}
}

func (s *Supervisor) enter(uid uint32) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.perUser[uid] == maxPerUser && !site.Private() {
		return false
	}
	s.perUser[uid]++
	return true
}

func (s *Supervisor) leave(uid uint32) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.perUser[uid]--; s.perUser[uid] == 0 {
		delete(s.perUser, uid)
	}
}

// reap waits for the end of a helper and brings it about when its time is over.
func (s *Supervisor) reap(process *os.Process, program role.Program) {
	name := path.Base(program.Path) + " " + program.Hello.Login
	exited := wait(process)
	life := time.NewTimer(program.Cap)
	defer life.Stop()
	var state *os.ProcessState
	select {
	case state = <-exited:
	case <-s.ending:
		state = s.end(process, exited, s.helperEnd, unix.SIGTERM)
	case <-life.C:
		s.log.Problem(name, fmt.Errorf("still running after %v", program.Cap))
		state = s.end(process, exited, 0, unix.SIGTERM)
	}
	if state.ExitCode() != 0 {
		s.log.Problem(name, errors.New(state.String()))
	}
}

// drain waits for all helpers. Their channels end with the runner.
func (s *Supervisor) drain() {
	close(s.ending)
	drained := make(chan struct{})
	go func() {
		s.helpers.Wait()
		close(drained)
	}()
	limit := time.NewTimer(s.helperEnd + 2*s.killAfter)
	defer limit.Stop()
	select {
	case <-drained:
	case <-limit.C:
		s.log.Problem("end", errors.New("helpers are left that cannot be killed"))
	}
}
