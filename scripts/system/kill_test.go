//go:build system

package system

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

var killFor = flag.Duration("kill", time.Minute, "how long TestKills kills")

// victims are killed in turn.
var victims = []string{"dma-queue", "dma-spawn", "dma-queue-runner", "dma-forward", "dma-local", "dma-remote"}

const killMessages = 300

// A submission of TestKills: who should get it, and what its front end said.
type killed struct {
	number   int
	accepted bool
	targets  []string
}

// While mail of all kinds flows, every program in turn is killed at random
// moments. What a front end has accepted arrives, each target of it; only a target
// that was under way when something died may arrive twice (RULES F1, D9).
func TestKills(t *testing.T) {
	w := newWorld(t, "MINRETRY 1s\nMAXRETRY 2s\n")
	if err := os.MkdirAll("/home/bob/in", 0o755); err != nil {
		t.Fatal(err)
	}
	uid, gid := ids(t, "bob")
	if err := os.Chown("/home/bob/in", uid, gid); err != nil {
		t.Fatal(err)
	}
	w.home("bob", ".forward", "|f=$(mktemp ~/in/XXXXXXXX) && cat > $f\n")

	done := make(chan struct{})
	var killing sync.WaitGroup
	kills := make(map[string]int)
	killing.Go(func() { w.kill(done, kills) })
	sent := w.submitUnder(*killFor)
	close(done)
	killing.Wait()
	w.eventually(2*time.Minute, fmt.Sprintf("the queue is empty: %d files", len(queued())), func() bool {
		if !slices.ContainsFunc(queued(), complete) {
			return true
		}
		_ = as(t, "carol", "", "sendmail", "-q").Run()
		time.Sleep(500 * time.Millisecond)
		return false
	})

	arrived := w.arrivals()
	accepted, lost, twice := 0, 0, 0
	for _, m := range sent {
		if !m.accepted {
			continue
		}
		accepted++
		for _, target := range m.targets {
			n := arrived[fmt.Sprintf("%s %d", target, m.number)]
			if n == 0 {
				lost++
				t.Errorf("message %d to %s is lost", m.number, target)
			}
			twice += max(0, n-1)
		}
	}
	fmt.Printf("kill test: %d submitted, %d accepted, %d lost, %d targets reached twice; killed %v\n", len(sent), accepted, lost, twice, kills)
	if box := w.read("/var/mail/carol"); box != "" {
		t.Errorf("bounces:\n%s", box)
	}
	w.repeatsHaveReason()
	if accepted < killMessages/2 {
		t.Errorf("only %d of %d accepted", accepted, len(sent))
	}
	for _, v := range victims {
		if kills[v] == 0 {
			t.Errorf("%s was never killed", v)
		}
	}
}

// complete reports whether a spool file is more than what a killed front end left.
func complete(path string) bool {
	if !strings.Contains(path, "/incoming/") {
		return true
	}
	b, err := os.ReadFile(path)
	return err == nil && strings.HasPrefix(string(b), "dma-incoming")
}

// kill kills a program after another until done, and writes each into the mail
// log, so that its place among the events is known.
func (w *world) kill(done <-chan struct{}, kills map[string]int) {
	log, err := net.Dial("unixgram", "/dev/log")
	if err != nil {
		w.t.Error(err)
		return
	}
	defer log.Close()
	for i := 0; ; {
		select {
		case <-done:
			return
		case <-time.After(time.Duration(rand.IntN(80)) * time.Millisecond):
		}
		want := victims[i%len(victims)]
		for _, p := range processes() {
			if p.program == want && syscall.Kill(p.pid, syscall.SIGKILL) == nil {
				fmt.Fprintf(log, "<22>KILL %s %d", want, p.pid)
				kills[want]++
				i++
				break
			}
		}
		if rand.IntN(10) == 0 {
			i++ // it may not run at all at the moment
		}
	}
}

// submitUnder submits messages for about as long as d, each slowly enough for
// its front end to be caught.
func (w *world) submitUnder(d time.Duration) (sent []*killed) {
	kinds := [][]string{{"alice"}, {"bob"}, {"x@remote.example"}, {"alice", "bob", "x@remote.example"}}
	start := time.Now()
	for i := range killMessages {
		m := &killed{number: i, targets: kinds[i%len(kinds)]}
		sent = append(sent, m)
		cmd := as(w.t, "carol", "", append([]string{"sendmail", "-i", "--"}, m.targets...)...)
		cmd.Stdin = nil
		in, err := cmd.StdinPipe()
		if err == nil {
			err = cmd.Start()
		}
		if err != nil {
			w.t.Fatal(err)
		}
		fmt.Fprintf(in, "Subject: %d\n\nBEGIN %d\n%s\n", i, i, strings.Repeat("text\n", 400))
		time.Sleep(time.Duration(rand.IntN(40)) * time.Millisecond)
		fmt.Fprintf(in, "END %d\n", i)
		in.Close()
		m.accepted = cmd.Wait() == nil
		time.Sleep(time.Until(start.Add(d * time.Duration(i+1) / killMessages)))
	}
	return sent
}

// arrivals counts the complete messages by target and number.
func (w *world) arrivals() map[string]int {
	count := make(map[string]int)
	tally := func(target, text string) {
		for line := range strings.Lines(text) {
			var n int
			if _, err := fmt.Sscanf(line, "END %d", &n); err == nil {
				count[fmt.Sprintf("%s %d", target, n)]++
			}
		}
	}
	tally("alice", w.read("/var/mail/alice"))
	files, _ := filepath.Glob("/home/bob/in/*")
	for _, f := range files {
		tally("bob", w.read(f))
	}
	for _, e := range w.taken() {
		tally("x@remote.example", w.read(w.sink+"/"+e.File))
	}
	return count
}

// repeatsHaveReason checks in the mail log that a target which was reported done
// is tried again only if the runner, or what supervises it, was killed after that.
func (w *world) repeatsHaveReason() {
	done := make(map[string]bool) // "id target" reported done since the last kill of a runner
	for line := range strings.Lines(w.log()) {
		if strings.Contains(line, "KILL dma-queue-runner") || strings.Contains(line, "KILL dma-spawn") {
			clear(done)
			continue
		}
		id, rest, ok := strings.Cut(line, "]: <")
		target, event, ok2 := strings.Cut(rest, ">")
		if !ok || !ok2 {
			continue
		}
		key := id[strings.LastIndexByte(id, '[')+1:] + " " + target
		switch {
		case strings.HasPrefix(event, " delivery successful"):
			done[key] = true
		case strings.HasPrefix(event, " trying delivery") && done[key]:
			w.t.Errorf("%s was done and is tried again", key)
		}
	}
}

// Draining costs neither a process nor a connection per message.
func TestDrain(t *testing.T) {
	w := newWorld(t, "")
	const n = 1000
	w.submitMany(n, "-bq", func(i int) []string { return []string{fmt.Sprintf("u%d@remote.example", i)} })
	if got := len(queued()); got != n {
		t.Fatalf("%d in the queue, want %d", got, n)
	}
	remotes := make(map[int]bool)
	start := time.Now()
	w.must("carol", "", "sendmail", "-q")
	w.eventually(time.Minute, "all are taken", func() bool {
		for _, p := range processes() {
			if p.program == "dma-remote" {
				remotes[p.pid] = true
			}
		}
		return len(w.taken()) >= n
	})
	took := time.Since(start)
	w.drained(5 * time.Second)
	connections, most := 0, 0
	for _, e := range w.events("connect") {
		connections++
		most = max(most, e.Open)
	}
	fmt.Printf("drain: %d messages in %.2f s over %d connections, %d dma-remote\n", n, took.Seconds(), connections, len(remotes))
	if connections > 20 || len(remotes) != 1 || len(w.taken()) != n {
		t.Errorf("%d connections (%d at once), %d dma-remote, %d messages", connections, most, len(remotes), len(w.taken()))
	}
	w.quiet()
}

func (w *world) submitMany(n int, option string, rcpts func(int) []string) {
	w.t.Helper()
	var group sync.WaitGroup
	next := make(chan int)
	for range 8 {
		group.Go(func() {
			for i := range next {
				cmd := as(w.t, "carol", fmt.Sprintf("Subject: %d\n\n%s", i, strings.Repeat("text\n", 400)), append([]string{"sendmail", option, "--"}, rcpts(i)...)...)
				if out, err := cmd.CombinedOutput(); err != nil {
					w.t.Errorf("message %d: %v\n%s", i, err, out)
				}
			}
		})
	}
	for i := range n {
		next <- i
	}
	close(next)
	group.Wait()
}

func TestManyRecipients(t *testing.T) {
	w := newWorld(t, "")
	args := []string{"sendmail", "--"}
	for i := range 1000 {
		args = append(args, fmt.Sprintf("u%d@d%d.example", i, i%20))
	}
	start := time.Now()
	w.must("carol", "Subject: x\n\nx\n", args...)
	w.drained(30 * time.Second)
	recipients := 0
	for _, e := range w.taken() {
		recipients += len(e.Recipients)
	}
	fmt.Printf("recipients: %d in %d transactions, %.2f s\n", recipients, len(w.taken()), time.Since(start).Seconds())
	if n := len(w.taken()); recipients != 1000 || n > 10 {
		t.Errorf("%d recipients in %d transactions", recipients, n)
	}
}

// Five hundred messages for a dead smarthost are two small sleeping processes.
func TestDeadSmarthost(t *testing.T) {
	w := newWorld(t, "")
	w.stop()
	const n = 500
	w.submitMany(n, "-i", func(i int) []string { return []string{fmt.Sprintf("u%d@remote.example", i)} })
	journals := func() int { l, _ := filepath.Glob("/var/spool/dma/queue/*.log"); return len(l) }
	w.eventually(30*time.Second, "all are in the queue", func() bool { return journals() == n })
	w.eventually(15*time.Second, "two processes", func() bool { return len(processes()) == 2 })
	time.Sleep(3 * time.Second) // memory is given back when nothing has happened for a while
	total, cpu := 0, cpuTime()
	list := processes()
	for _, p := range list {
		total += p.rss
	}
	time.Sleep(2 * time.Second)
	fmt.Printf("dead smarthost: %d messages, %d processes, %.1f MiB resident, %d ms of processor in 2 s\n", n, len(list), float64(total)/1024, cpuTime()-cpu)
	if len(list) != 2 || total >= 16<<10 {
		t.Errorf("%d processes with %d KiB", len(list), total)
	}
	if d := cpuTime() - cpu; d > 20 {
		t.Errorf("%d ms of processor time while asleep", d)
	}
	w.start("-addr=" + strings.TrimSpace(w.oldAddress()))
	w.must("carol", "", "sendmail", "-q")
	w.drained(30 * time.Second)
	if got := len(w.taken()); got != n {
		t.Errorf("%d of %d arrived", got, n)
	}
	w.quiet()
}

// cpuTime is what the suite's processes have used, in milliseconds.
func cpuTime() (ms int) {
	for _, p := range processes() {
		out, err := exec.Command("awk", "{ print ($14+$15)*10 }", fmt.Sprintf("/proc/%d/stat", p.pid)).Output()
		if err == nil {
			var n int
			_, _ = fmt.Sscan(string(out), &n)
			ms += n
		}
	}
	return ms
}
