package main

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"dma/common/sysexits"
	"dma/dma-queue/internal/spool"
	"dma/proto"
)

// These tests wait more than they work.
func TestMain(m *testing.M) {
	flag.Parse()
	if err := flag.Set("test.parallel", "40"); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}

// TestRunner runs the program; all at once, as most of the time it waits.
func TestRunner(t *testing.T) {
	program := build(t)
	for name, test := range map[string]func(*testing.T, *root){
		"delivers and ends":      delivers,
		"nothing to do":          nothingToDo,
		"two at once":            twoAtOnce,
		"hands its wake over":    handsOver,
		"dma-spawn is gone":      spawnGone,
		"dma-spawn is another":   spawnAnother,
		"killed":                 killed,
		"configuration reloaded": reloaded,
		"operated":               operated,
		"verified":               verified,
		"watched":                watched,
		"deferred by choice":     deferred,
		"names in other case":    otherCase,
		"no spool":               noSpool,
		"started by hand":        byHand,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, newRoot(t, program))
		})
	}
	for i := range 20 {
		t.Run(fmt.Sprintf("ends while mail arrives %d", i), func(t *testing.T) {
			t.Parallel()
			lateMail(t, newRoot(t, program))
		})
	}
}

func delivers(t *testing.T, r *root) {
	r.submit(t, "bob")
	if code := r.start(t).exit(t); code != sysexits.OK {
		t.Errorf("exit code %d", code)
	}
	r.check(t, "bob")
	for _, text := range []string{"new mail from user=", "delivery successful"} {
		r.waitLog(t, text)
	}
}

// check looks whether each login had one message and nothing is left.
func (r *root) check(t *testing.T, logins ...string) {
	t.Helper()
	for _, l := range logins {
		if n := r.count(l); n != 1 {
			t.Errorf("%s had %d messages", l, n)
		}
	}
	for _, dir := range []string{"incoming", "queue", "failed"} {
		if left := r.files(t, dir); len(left) > 0 {
			t.Errorf("left in %s: %q", dir, left)
		}
	}
}

// nothingToDo: a runner stays for a moment, then it ends; nobody listens then.
func nothingToDo(t *testing.T, r *root) {
	begun := time.Now()
	n := r.start(t)
	eventually(t, "listens", r.listens)
	if !r.held(t) {
		t.Error("listens without the lock")
	}
	if code := n.exit(t); code != sysexits.OK {
		t.Errorf("exit code %d", code)
	}
	if d := time.Since(begun); d < time.Second {
		t.Errorf("ended after %v", d)
	}
	if r.listens() || r.held(t) {
		t.Error("somebody still listens or has the lock")
	}
}

func twoAtOnce(t *testing.T, r *root) {
	r.hold = make(chan struct{})
	r.submit(t, "bob")
	runners := []*runner{r.start(t), r.start(t)}
	eventually(t, "one has ended", func() bool { return !runners[0].running() || !runners[1].running() })
	worker, other := runners[0], runners[1]
	if !worker.running() {
		worker, other = other, worker
	}
	if code := other.exit(t); code != sysexits.OK {
		t.Errorf("the other one has exit code %d", code)
	}
	if !worker.running() || !r.held(t) {
		t.Error("nobody works")
	}
	close(r.hold)
	if code := worker.exit(t); code != sysexits.OK {
		t.Errorf("exit code %d", code)
	}
	r.check(t, "bob")
}

// handsOver: nobody tells the first runner of the mail but the second one.
func handsOver(t *testing.T, r *root) {
	r.refuse = true
	r.submit(t, "first")
	first := r.start(t) // does not end, as there is deferred mail
	eventually(t, "first deferred", func() bool { return len(r.files(t, "queue")) == 2 && len(r.files(t, "incoming")) == 0 })
	r.submit(t, "second")
	if code := r.start(t).exit(t); code != sysexits.OK {
		t.Errorf("exit code %d", code)
	}
	eventually(t, "second deferred", func() bool { return len(r.files(t, "queue")) == 4 && len(r.files(t, "incoming")) == 0 })
	if !first.running() {
		t.Error("the first one has ended")
	}
}

// spawnGone: without dma-spawn nothing can be done, and its successor comes with
// a runner of its own. What is deferred stays.
func spawnGone(t *testing.T, r *root) {
	r.refuse = true
	r.submit(t, "bob")
	n := r.start(t)
	eventually(t, "deferred", func() bool { return len(r.files(t, "queue")) == 2 && len(r.files(t, "incoming")) == 0 })
	// The stand-in's goroutine is in Recv, so the socket is shut down, not closed.
	raw, err := n.spawn.File().SyscallConn()
	must(t, err)
	must(t, raw.Control(func(fd uintptr) { err = unix.Shutdown(int(fd), unix.SHUT_RDWR) }))
	must(t, err)
	if code := n.exit(t); code != sysexits.TempFail {
		t.Errorf("exit code %d", code)
	}
	r.waitLog(t, "dma-spawn is gone")
	if n := len(r.files(t, "queue")); n != 2 || r.held(t) {
		t.Errorf("%d files in the queue, or the lock is held", n)
	}
}

func spawnAnother(t *testing.T, r *root) {
	if code := r.startAs(t, proto.Version+1).exit(t); code != sysexits.Protocol {
		t.Errorf("exit code %d", code)
	}
}

// killed: what a runner had in its hands when it was killed is the next one's.
func killed(t *testing.T, r *root) {
	r.hold = make(chan struct{})
	r.submit(t, "bob")
	n := r.start(t)
	eventually(t, "helper asked", func() bool { return strings.Count(r.asked(), "bob") == 2 })
	must(t, n.cmd.Process.Kill())
	n.exit(t)
	next := r.start(t)
	eventually(t, "helper asked again", func() bool { return strings.Count(r.asked(), "bob") > 2 })
	close(r.hold)
	if code := next.exit(t); code != sysexits.OK {
		t.Errorf("exit code %d", code)
	}
	for _, dir := range []string{"incoming", "queue", "failed"} {
		if left := r.files(t, dir); len(left) > 0 {
			t.Errorf("left in %s: %q", dir, left)
		}
	}
	if r.count("bob") == 0 {
		t.Error("lost")
	}
}

// reloaded: a runner that stays, as it has deferred mail, sees what has changed.
func reloaded(t *testing.T, r *root) {
	r.refuse = true
	n := r.start(t)
	eventually(t, "listens", r.listens)
	for _, c := range []struct{ conf, aliases, sender, login string }{
		{"MAILNAME first.example\n", "", "@first.example>", "bob"},
		{"MAILNAME other.example\n", "", "@other.example>", "bob"},
		{"MAILNAME other.example\n", "bob: carol\n", "@other.example>", "carol"},
		{"MAILNAME third.example\n", "bob: dave\n", "@third.example>", "dave"},
	} {
		r.configure(t, c.conf)
		must(t, os.WriteFile(r.dir+"/etc/aliases", []byte(c.aliases), 0o600))
		senders, helpers := strings.Count(r.logged(), c.sender), strings.Count(r.asked(), c.login)
		r.submit(t, "bob")
		if r.wake(t) != nil {
			t.Fatal("the runner did not listen")
		}
		eventually(t, "sender with "+c.sender, func() bool { return strings.Count(r.logged(), c.sender) > senders })
		// A second message for a mailbox whose helper could not be started waits with the first.
		if helpers == 0 {
			eventually(t, "helper for "+c.login, func() bool { return strings.Contains(r.asked(), c.login) })
		}
	}
	if !n.running() {
		t.Error("the runner has ended")
	}
}

func noSpool(t *testing.T, r *root) {
	must(t, os.RemoveAll(r.dir+"/spool"))
	if code := r.start(t).exit(t); code != sysexits.OSFile {
		t.Errorf("exit code %d", code)
	}
	r.waitLog(t, "lock queue: ")
}

// byHand: whoever starts it in a shell hears what to do instead.
func byHand(t *testing.T, r *root) {
	file, err := os.Open("/dev/null")
	must(t, err)
	defer file.Close()
	for name, extra := range map[string][]*os.File{"nothing": nil, "a file": {file}} {
		c := exec.Command(r.program)
		var stderr bytes.Buffer
		c.Dir, c.Stderr, c.ExtraFiles = r.dir, &stderr, extra
		err := c.Run()
		if e := (*exec.ExitError)(nil); !errors.As(err, &e) || e.ExitCode() != sysexits.Usage {
			t.Errorf("%s on descriptor 3: %v", name, err)
		}
		if s := stderr.String(); strings.Count(s, "\n") != 1 || !strings.Contains(s, "sendmail -q") {
			t.Errorf("%s on descriptor 3: says %q", name, s)
		}
	}
}

// lateMail: mail that comes at any moment of a runner's end is not left behind
// (DESIGN 6). Nobody wakes anybody once more if it was.
func lateMail(t *testing.T, r *root) {
	runners := []*runner{r.start(t)}
	const rounds = 2
	for i := range rounds {
		eventually(t, "listens", r.listens)
		// A runner without work ends after a second, at the next of its ticks.
		<-time.NewTimer(950*time.Millisecond + rand.N(400*time.Millisecond)).C
		login := fmt.Sprintf("late%d", i)
		r.submit(t, login)
		if n := r.wake(t); n != nil {
			runners = append(runners, n)
		}
		eventually(t, login+" is delivered", func() bool { return r.count(login) == 1 })
	}
	for _, n := range runners {
		if code := n.exit(t); code != sysexits.OK {
			t.Errorf("exit code %d", code)
		}
	}
	r.check(t, "late0", "late1")
}

// TestLock: a runner that is just ending is waited for, one that listens is woken.
func TestLock(t *testing.T) {
	begin := func(t *testing.T) (string, *os.File) {
		run := t.TempDir()
		f, err := lock(run)
		must(t, err)
		if f == nil {
			t.Fatal("no lock, though nobody has it")
		}
		t.Cleanup(func() { f.Close() })
		return run, f
	}
	t.Run("ending", func(t *testing.T) {
		for name, stale := range map[string]bool{"no socket": false, "a dead socket": true} {
			run, f := begin(t)
			if stale {
				l, err := proto.Listen(run + "/control")
				must(t, err)
				l.Close()
			}
			const life = 3 * lockRetry
			begun := time.Now()
			timer := time.AfterFunc(life, func() { f.Close() })
			defer timer.Stop()
			second, err := lock(run)
			must(t, err)
			if second == nil || time.Since(begun) < life {
				t.Fatalf("%s: have %v after %v", name, second, time.Since(begun))
			}
			if third, err := os.Open(run + "/lock"); err != nil || spool.Lock(third) {
				t.Errorf("%s: the lock is free: %v", name, err)
			}
			second.Close()
		}
	})
	t.Run("listening", func(t *testing.T) {
		run, _ := begin(t)
		l, err := proto.Listen(run + "/control")
		must(t, err)
		defer l.Close()
		if second, err := lock(run); second != nil || err != nil {
			t.Errorf("have %v, %v", second, err)
		}
		c, err := l.Accept() // to connect is to wake
		must(t, err)
		c.Close()
	})
	t.Run("no directory", func(t *testing.T) {
		if f, err := lock(t.TempDir() + "/none"); f != nil || !errors.Is(err, os.ErrNotExist) {
			t.Errorf("have %v, %v", f, err)
		}
	})
}
