package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"syscall"
	"time"

	"dma/common/outcome"
	"dma/dma-local/internal/letter"
)

const (
	// maxOutput is how much of a command's output is kept, in bytes. The rest is
	// read and forgotten, so that the command need not wait for it.
	maxOutput = 4096
	// lookAgain is how often the rest of a terminated process group is looked for.
	lookAgain = 50 * time.Millisecond
)

// end is how a command ended.
type end struct {
	name    string           // of what was run
	state   *os.ProcessState // nil if the system would not tell
	output  string           // the beginning of it, in one line
	limit   time.Duration
	late    bool  // it did not end within limit
	stopped bool  // this process was told to end
	input   error // why it did not get the whole message
}

// process is a running command.
type process struct {
	group   int // its process group, which is also its pid
	input   *os.File
	output  *os.File
	workers sync.WaitGroup
	exited  chan *os.ProcessState
	written chan error  // result of writing the input
	read    chan string // the output, when all who could write it have closed it
}

// run runs a program. It returns when that has ended, whatever it left running.
func (r *Runner) run(ctx context.Context, what program, environment []string, l letter.Letter) (end, error) {
	p, err := start(what, environment)
	if err != nil {
		return end{}, err
	}
	p.workers.Go(func() {
		err := l.Write(p.input, r.Now())
		if !errors.Is(err, letter.ErrText) { // half a message must not look like a whole one
			p.input.Close()
		}
		p.written <- err
	})
	p.workers.Go(func() { p.read <- collect(p.output) })
	e, reading := r.watch(ctx, p)
	p.input.Close() // ends the workers, whatever they wait for
	p.output.Close()
	p.workers.Wait()
	if reading {
		e.output = <-p.read
	}
	e.name = what.name
	return e, nil
}

// watch waits for the end of p, and sees to it that there is one. It also tells
// whether p.read is still to come.
func (r *Runner) watch(ctx context.Context, p *process) (e end, reading bool) {
	e.limit = r.Timeout
	limit := time.NewTimer(r.Timeout)
	defer limit.Stop()
	var tick, grace <-chan time.Time // to look again, and to wait no longer
	stop, written := ctx.Done(), p.written
	terminate := func(wait time.Duration) {
		p.signal(syscall.SIGTERM)
		tick, grace = time.Tick(lookAgain), time.After(wait)
	}
	running, reading, waited := true, true, false
	for running || !waited && (tick == nil && reading || tick != nil && p.alive()) {
		select {
		case e.state = <-p.exited:
			running = false
			if grace == nil {
				grace = time.After(r.OutputWait)
			}
		case e.output = <-p.read:
			reading = false
		case err := <-written:
			written = nil
			if errors.Is(err, letter.ErrText) {
				e.input = err
				p.signal(syscall.SIGKILL)
			}
		case <-limit.C:
			if running && !e.stopped {
				e.late = true
				terminate(r.KillAfter)
			}
		case <-stop:
			stop = nil
			if running {
				e.stopped = true
				terminate(r.StopAfter)
			}
		case <-grace:
			waited = true
			if tick != nil {
				p.signal(syscall.SIGKILL)
			}
		case <-tick:
		}
	}
	return e, reading
}

// start starts a program in a process group of its own, with pipes for its
// input and output. It has no other descriptors: all of ours are close-on-exec.
func start(what program, environment []string) (*process, error) {
	stdin, input, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("make pipe: %w", err)
	}
	defer stdin.Close()
	output, stdout, err := os.Pipe()
	if err != nil {
		input.Close()
		return nil, fmt.Errorf("make pipe: %w", err)
	}
	defer stdout.Close()
	child, err := os.StartProcess(what.args[0], what.args, &os.ProcAttr{
		Dir:   what.dir,
		Env:   environment,
		Files: []*os.File{stdin, stdout, stdout},
		Sys:   &syscall.SysProcAttr{Setpgid: true},
	})
	if err != nil {
		input.Close()
		output.Close()
		return nil, fmt.Errorf("start in %s: %w", what.dir, err)
	}
	p := &process{
		group: child.Pid, input: input, output: output,
		exited: make(chan *os.ProcessState, 1), written: make(chan error, 1), read: make(chan string, 1),
	}
	p.workers.Go(func() {
		state, _ := child.Wait() // nil after an error
		p.exited <- state
	})
	return p, nil
}

// signal signals the whole process group. That it is gone is fine.
func (p *process) signal(s syscall.Signal) { _ = syscall.Kill(-p.group, s) }

// alive tells whether any process of the group is left.
func (p *process) alive() bool { return syscall.Kill(-p.group, 0) == nil }

// collect reads r to its end and returns the beginning, as one line.
func collect(r io.Reader) string {
	var head strings.Builder
	// Whatever ends the output, what there was of it counts.
	_, _ = io.CopyN(&head, r, maxOutput)
	_, _ = io.Copy(io.Discard, r)
	return outcome.Clean(head.String())
}
