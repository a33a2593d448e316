//go:build system

package compat

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"dma/scripts/machine"
)

// Limits of a run.
const (
	caseLimit  = 20 * time.Second // for one call, deliveries with -D included
	batchLimit = 60 * time.Second // until nothing moves any more
	stillness  = 2 * time.Second  // nothing moves when nothing has for this long
	atOnce     = 4                // calls at the same time
)

const (
	sinkAddress = "127.0.0.1:2525"
	spoolDir    = "/var/spool/dma"
	mailDir     = "/var/mail"
)

// report is what one mailer did.
type report struct {
	Results map[string]*result // by case
	Stray   []string           // what came and belongs to no case
	Log     map[string]string  // mail log, by batch
	Time    map[string]time.Duration
}

// result is what came of one case.
type result struct {
	Exit           int // negative: it was ended
	Stdout, Stderr string
	Mail           []message
}

// message is one message that arrived somewhere.
type message struct {
	To   string // an address at the smarthost, or "mailbox" and a login
	From string // envelope sender
	Text string
}

type runner struct {
	mailer string
	report report
	number map[string]int // of each case
	dir    string         // of the batch: smarthost and log
	sink   *exec.Cmd
}

// runAll runs all cases, batch by batch.
func runAll(mailer string) (*report, error) {
	r := &runner{
		mailer: mailer,
		report: report{Results: make(map[string]*result), Log: make(map[string]string), Time: make(map[string]time.Duration)},
		number: make(map[string]int),
	}
	for i, c := range allCases() {
		if _, twice := r.number[c.name]; twice {
			return nil, fmt.Errorf("two cases are called %q", c.name)
		}
		r.number[c.name] = i
	}
	for i, b := range batches() {
		if b.only != "" && b.only != mailer {
			continue
		}
		r.dir = fmt.Sprintf("/run/batch%d", i)
		if err := r.batch(b); err != nil {
			return nil, fmt.Errorf("batch %s: %w", b.name, err)
		}
	}
	return &r.report, nil
}

func (r *runner) batch(b batch) error {
	start := time.Now()
	if err := r.prepare(b); err != nil {
		return err
	}
	var wg sync.WaitGroup
	var mu sync.Mutex
	var failed error
	turns := make(chan struct{}, atOnce)
	call := func(c testCase) {
		res, err := r.call(c)
		mu.Lock()
		defer mu.Unlock()
		r.report.Results[c.name] = res
		failed = errors.Join(failed, err)
	}
	for _, c := range b.cases {
		turns <- struct{}{}
		wg.Go(func() {
			call(c)
			<-turns
		})
	}
	wg.Wait()
	r.settle()
	for _, c := range b.after {
		call(c)
		if !c.looks {
			r.settle()
		}
	}
	err := errors.Join(failed, r.collect())
	log, _ := os.ReadFile(r.dir + "/mail.log")
	r.report.Log[b.name] = string(log)
	err = errors.Join(err, r.stop())
	r.report.Time[b.name] = time.Since(start)
	return err
}

// prepare makes the machine clean, configures it, and starts a smarthost.
func (r *runner) prepare(b batch) error {
	for _, pattern := range []string{spoolDir + "/[QMt]*", spoolDir + "/*/*", mailDir + "/*"} {
		paths, err := filepath.Glob(pattern)
		if err != nil {
			return err
		}
		for _, p := range paths {
			// Root's mailbox was made when the suite was installed, and is written to only.
			if r.mailer == suite && p == mailDir+"/root" {
				err = os.Truncate(p, 0)
			} else {
				err = os.RemoveAll(p)
			}
			if err != nil {
				return err
			}
		}
	}
	files := map[string]string{
		"/etc/mailname":     machine.Hostname + "\n",
		"/etc/dma/dma.conf": b.conf,
		"/etc/aliases":      b.aliases,
	}
	for path, text := range b.files {
		files[path] = text
	}
	for path, text := range files {
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			return err
		}
	}
	if err := os.Mkdir(r.dir, 0o755); err != nil {
		return err
	}
	args := []string{"-dir", r.dir, "-addr", sinkAddress, "-log", "/dev/log"}
	for _, a := range b.answers {
		args = append(args, "-answer", a)
	}
	r.sink = exec.Command(os.Getenv(buildVariable)+"/sink", args...)
	r.sink.Stderr = os.Stderr
	if err := r.sink.Start(); err != nil {
		return err
	}
	for range 500 {
		if _, err := os.Stat(r.dir + "/address"); err == nil {
			return nil
		}
		time.Sleep(10 * time.Millisecond)
	}
	return errors.New("the smarthost does not listen")
}

// stop ends everything in this world but this process.
func (r *runner) stop() error {
	_ = r.sink.Process.Signal(syscall.SIGTERM)
	if err := r.sink.Wait(); err != nil {
		return fmt.Errorf("smarthost: %w", err)
	}
	for range 100 {
		left := processes()
		if len(left) == 0 {
			return nil
		}
		for _, pid := range left {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
		time.Sleep(10 * time.Millisecond)
	}
	return errors.New("processes do not end")
}

// processes are those of this world that run, but for this one.
func processes() (list []int) {
	dirs, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, d := range dirs {
		stat, err := os.ReadFile(d)
		if err != nil {
			continue
		}
		var pid int
		if _, err := fmt.Sscan(string(stat), &pid); err != nil || pid == os.Getpid() {
			continue
		}
		_, rest, _ := bytes.Cut(stat, []byte(") "))
		if !bytes.HasPrefix(rest, []byte("Z")) {
			list = append(list, pid)
		}
	}
	return list
}

// call runs one case.
func (r *runner) call(c testCase) (*result, error) {
	number := r.number[c.name]
	own := strings.NewReplacer("{me}", fmt.Sprintf("u%03d", number), "{twin}", fmt.Sprintf("t%03d", number))
	argv := c.argv()
	for i := range argv {
		argv[i] = own.Replace(argv[i])
	}
	uid := uint32(firstCase + number)
	switch c.as {
	case asStranger:
		uid += stranger
	case asRoot:
		uid = 0
	}
	var stdout, stderr bytes.Buffer
	cmd := &exec.Cmd{
		Path:      c.program(),
		Args:      argv,
		Env:       []string{"PATH=/usr/bin:/bin"},
		Dir:       "/",
		Stdin:     strings.NewReader(own.Replace(c.input())),
		Stdout:    &stdout,
		Stderr:    &stderr,
		WaitDelay: time.Second,
		SysProcAttr: &syscall.SysProcAttr{
			Credential: &syscall.Credential{Uid: uid, Gid: 100},
		},
	}
	for _, e := range c.env {
		cmd.Env = append(cmd.Env, own.Replace(e))
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("case %s: %w", c.name, err)
	}
	timer := time.AfterFunc(caseLimit, func() { _ = cmd.Process.Kill() })
	defer timer.Stop()
	err := cmd.Wait()
	var exit *exec.ExitError
	// A mailer that does not read its input is no failure of the test.
	if err != nil && !errors.As(err, &exit) && !errors.Is(err, syscall.EPIPE) && !errors.Is(err, exec.ErrWaitDelay) {
		return nil, fmt.Errorf("case %s: %w", c.name, err)
	}
	return &result{Exit: cmd.ProcessState.ExitCode(), Stdout: stdout.String(), Stderr: stderr.String()}, nil
}

// settle waits until nothing moves: until the queue is empty, or everything has
// been as it is for a while.
func (r *runner) settle() {
	last, since := "", time.Now()
	for end := since.Add(batchLimit); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		now, queued := r.state()
		if now != last {
			last, since = now, time.Now()
		}
		if !queued || time.Since(since) > stillness {
			return
		}
	}
}

// state describes everything that a mailer changes, and says whether it has any
// mail in its queue.
func (r *runner) state() (state string, queued bool) {
	var names []string
	for _, pattern := range []string{
		spoolDir + "/[QMt]*", spoolDir + "/incoming/*", spoolDir + "/queue/*", spoolDir + "/failed/*",
	} {
		paths, _ := filepath.Glob(pattern)
		names = append(names, paths...)
	}
	queued = len(names) > 0
	boxes, _ := filepath.Glob(mailDir + "/*")
	for _, path := range append(boxes, r.dir+"/log.jsonl") {
		if st, err := os.Stat(path); err == nil {
			names = append(names, fmt.Sprint(path, st.Size()))
		}
	}
	slices.Sort(names)
	return strings.Join(names, " "), queued
}
