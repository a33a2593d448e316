package supervise

import (
	"fmt"
	"os"
	"path"
	"syscall"
	"time"

	"dma/dma-spawn/internal/child"
	"dma/dma-spawn/internal/role"
	"dma/proto"
)

// launch starts a program with a channel and with stderr as its standard error.
// What it is told about itself is in the channel before anybody else can write there.
func launch(program role.Program, stderr *os.File) (*os.Process, *proto.Conn, error) {
	conn, end, err := proto.Pair()
	if err != nil {
		return nil, nil, err
	}
	defer end.Close()
	if err := conn.Send(0, &program.Hello, nil); err != nil {
		conn.Close()
		return nil, nil, fmt.Errorf("start %s: %w", program.Path, err)
	}
	files := []*os.File{os.Stdin, os.Stdout, stderr, end}
	process, err := child.Start(program.Path, []string{path.Base(program.Path)}, program.UID, program.GID, files)
	if err != nil {
		conn.Close()
		return nil, nil, fmt.Errorf("start: %w", err)
	}
	return process, conn, nil
}

// wait waits for the end of a process; how it ended comes through the channel,
// nil if the system would not tell, whose exit code is -1.
func wait(process *os.Process) <-chan *os.ProcessState {
	exited := make(chan *os.ProcessState, 1)
	go func() {
		state, _ := process.Wait()
		exited <- state
	}()
	return exited
}

// end waits for a process, sends it first after limit, and kills it in the end.
func (s *Supervisor) end(process *os.Process, exited <-chan *os.ProcessState, limit time.Duration, first syscall.Signal) *os.ProcessState {
	for _, signal := range []struct {
		number syscall.Signal
		after  time.Duration
	}{{first, limit}, {syscall.SIGKILL, s.killAfter}} {
		timer := time.NewTimer(signal.after)
		select {
		case state := <-exited:
			timer.Stop()
			return state
		case <-timer.C:
			_ = process.Signal(signal.number) // fails if it has just ended
		}
	}
	return <-exited
}
