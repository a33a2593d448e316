package schedule

import (
	"bytes"
	"crypto/rand"
	"errors"
	"flag"
	"io"
	mrand "math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"dma/common/aliases"
	"dma/common/durable"
	"dma/common/maillog"
	"dma/dma-queue/internal/expand"
	"dma/dma-queue/internal/queue"
	"dma/dma-queue/internal/spool"
	"dma/proto"
)

const host = "host.example"

// patience is for machines that do other things too.
const patience = time.Minute

// These tests wait more than they work.
func TestMain(m *testing.M) {
	flag.Parse()
	if err := flag.Set("test.parallel", "60"); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}

// world is a scheduler with a queue on disk and a dma-spawn that starts
// goroutines in place of programs.
type world struct {
	t     *testing.T
	root  string
	fault func(durable.Step, string) error
	site  atomic.Pointer[Site]
	clock atomic.Int64 // offset to real time

	s       *Scheduler
	ended   chan error
	helpers sync.WaitGroup // dma-spawn too

	mu       sync.Mutex
	forwards map[string][]proto.Target // by login; nil: none
	refuse   map[string]proto.Refusal  // by login
	deliver  func(d *proto.Deliver, message string) *proto.Result
	send     func(d *proto.Send, rcpts []string) []*proto.Result
	dieOnce  map[proto.Role]bool
	babble   proto.Role // a helper of this role answers nonsense
	hijack   func(role proto.Role, login string, c *proto.Conn) bool
	pickErr  func(spool.ID) error
	bouncing func()           // called while a bounce is written
	spawning func(proto.Role) // called before a helper is started

	forbidMailbox bool
	hops          int      // Received fields of what is picked up
	lines         []string // of the log
	starts        []string // "role login", in order
	got           []string // "kind recipient", deliveries that ended done, in order
	sends         []*proto.Send
	sent          []string // recipients of all sends, done or not
	bounces       []*Bounce
	extensions    []string // of all Expands
	rcpts         []proto.Rcpt
}

func newWorld(t *testing.T) *world {
	w := &world{t: t, root: t.TempDir(), forwards: make(map[string][]proto.Target), refuse: make(map[string]proto.Refusal), dieOnce: make(map[proto.Role]bool)}
	for _, d := range []string{"incoming", "queue", "failed"} {
		if err := os.Mkdir(filepath.Join(w.root, d), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	table := aliases.Parse([]byte("team: alice, bob\nself: self, alice\n"), "aliases")
	w.site.Store(&Site{
		Expand: expand.Expander{Aliases: table, Host: host, Local: func(d string) bool { return d == "" || d == host }},
		Route: func(_, a string) string {
			_, d, _ := strings.Cut(a, "@")
			return d
		},
		Backoff: Backoff{5 * time.Minute, 3 * time.Hour},
		MaxAge:  5 * 24 * time.Hour,
	})
	return w
}

func (w *world) now() time.Time { return time.Now().Add(time.Duration(w.clock.Load())) }

// advance lets time pass.
func (w *world) advance(d time.Duration) {
	w.clock.Add(int64(d))
	w.s.post(func() {})
}

func (w *world) dir(name string) []string {
	w.t.Helper()
	entries, err := os.ReadDir(filepath.Join(w.root, name))
	if err != nil {
		w.t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// start begins a run, as the runner program does.
func (w *world) start() {
	w.t.Helper()
	w.start2(func() {})
}

// start2 calls taken between taking over the queue and the run.
func (w *world) start2(taken func()) {
	w.t.Helper()
	q, err := queue.OpenQueue(w.root, durable.WithFault(func(s durable.Step, name string) error {
		w.mu.Lock()
		defer w.mu.Unlock()
		if w.fault == nil {
			return nil
		}
		return w.fault(s, name)
	}))
	if err != nil {
		w.t.Fatal(err)
	}
	runner, file, err := proto.Pair()
	if err != nil {
		w.t.Fatal(err)
	}
	spawn, err := proto.NewConn(file)
	if err != nil {
		w.t.Fatal(err)
	}
	log := maillog.Open(w.root+"/log", "dma", w, time.Now)
	w.s, err = New(Config{
		Queue: q, Spawn: runner, Log: log, Site: w.site.Load, Now: w.now, Rand: mrand.New(mrand.NewPCG(1, 2)),
		Pick: func(id spool.ID) (*queue.Message, error) { return w.pick(q, id) },
		Bounce: func(b *Bounce) error {
			w.mu.Lock()
			w.bounces = append(w.bounces, b)
			w.mu.Unlock()
			if w.bouncing != nil {
				w.bouncing()
			}
			m := b.Message
			if err := q.Discard(m.ID); err != nil {
				return err
			}
			var err error
			m.Size, m.Sum, err = q.Create(m.ID, func(out io.Writer) error { _, err := io.WriteString(out, "bounce\n"); return err })
			if err != nil {
				return err
			}
			return q.Save(m)
		},
		NewID: func() (spool.ID, error) { return spool.NewID(w.now(), rand.Reader) },
	})
	if err != nil {
		w.t.Fatal(err)
	}
	taken()
	ended := make(chan error, 1)
	w.ended = ended
	w.helpers.Go(func() { w.spawn(spawn) })
	w.s.Start()
	s := w.s
	go func() {
		err := s.Run()
		err = errors.Join(err, s.End())
		spawn.Close()
		w.helpers.Wait()
		ended <- err
	}()
}

// root may do anything.
var root = Caller{Known: true, All: true}

// flush makes everything due; false if the run is over.
func (w *world) flush() bool {
	_, err := w.s.Flush(root, proto.All())
	return err == nil
}

// idle reports whether no helper has anything to do.
func (w *world) idle() bool {
	jobs := 0
	w.s.call(func() {
		for r := range w.s.active {
			jobs += r.msg.jobs
		}
	})
	return jobs == 0
}

// stop ends a run in the middle, as a kill would but for the last sync.
func (w *world) stop() {
	w.t.Helper()
	w.s.post(func() { w.s.fatal = errStopped })
	select {
	case <-w.ended:
	case <-time.After(patience):
		w.t.Fatal("the run does not stop")
	}
}

var errStopped = errors.New("stopped by the test")

// finish waits until nothing is left to do.
func (w *world) finish() {
	w.t.Helper()
	select {
	case err := <-w.ended:
		if err != nil {
			w.t.Fatalf("run ended: %v", err)
		}
	case <-time.After(patience):
		w.t.Fatalf("the run does not end; queue %v incoming %v got %v", w.dir("queue"), w.dir("incoming"), w.got)
	}
}

// eventually waits for a condition that is read under the world's lock.
func (w *world) eventually(what string, ok func() bool) {
	w.t.Helper()
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		w.mu.Lock()
		done := ok()
		w.mu.Unlock()
		if done {
			return
		}
	}
	w.t.Fatalf("not in time: %s; got %v, sent %v, starts %v, queue %v", what, w.got, w.sent, w.starts, w.dir("queue"))
}

// eventuallyIdle waits until no helper has anything to do.
func (w *world) eventuallyIdle() {
	w.t.Helper()
	for end := time.Now().Add(patience); !w.idle(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			w.t.Fatal("helpers do not end their work")
		}
	}
}

// Write takes a line of the log.
func (w *world) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	line := string(bytes.TrimSpace(p))
	if _, text, ok := strings.Cut(line, ">"); ok && line[0] == '<' {
		line = text // without its level
	}
	w.lines = append(w.lines, line)
	if len(w.lines) < 200 {
		w.t.Logf("%s", bytes.TrimSpace(p))
	}
	return len(p), nil
}

// submit puts a message into incoming as a front end does.
func (w *world) submit(sender string, rcpts ...string) spool.ID {
	w.t.Helper()
	return w.submitEnvelope(spool.Submission{Sender: sender, SenderGiven: true, Recipients: spool.To(rcpts...)})
}

func (w *world) submitEnvelope(envelope spool.Submission) spool.ID {
	w.t.Helper()
	dir, err := durable.OpenDir(w.root + "/incoming")
	if err != nil {
		w.t.Fatal(err)
	}
	defer dir.Close()
	id, err := spool.NewID(w.now(), rand.Reader)
	if err != nil {
		w.t.Fatal(err)
	}
	in, err := spool.NewIncoming(dir, id)
	if err != nil {
		w.t.Fatal(err)
	}
	if err := in.SetEnvelope(envelope); err != nil {
		w.t.Fatal(err)
	}
	if _, err := in.Write([]byte("Subject: x\n\nbody of " + string(id) + "\n")); err != nil {
		w.t.Fatal(err)
	}
	if err := in.Commit(); err != nil {
		w.t.Fatal(err)
	}
	return id
}

// submitMany is submit n times, without the syncs.
func (w *world) submitMany(n int, rcpts ...string) {
	w.t.Helper()
	first := w.submit("carol@host.example", rcpts...)
	text, err := os.ReadFile(filepath.Join(w.root, "incoming", string(first)))
	if err != nil {
		w.t.Fatal(err)
	}
	for range n - 1 {
		id, err := spool.NewID(w.now(), rand.Reader)
		if err == nil {
			err = os.WriteFile(filepath.Join(w.root, "incoming", string(id)), text, 0o600)
		}
		if err != nil {
			w.t.Fatal(err)
		}
	}
}

// looksLater waits until trouble with incoming has come to the loop.
func (w *world) looksLater() {
	w.t.Helper()
	for end := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		later := false
		w.s.call(func() { later = !w.s.lookAt.IsZero() })
		if later {
			return
		}
		if time.Now().After(end) {
			w.t.Fatal("there is no trouble")
		}
	}
}

// pick is package pickup without the header.
func (w *world) pick(q *queue.Queue, id spool.ID) (*queue.Message, error) {
	w.mu.Lock()
	fail := w.pickErr
	w.mu.Unlock()
	if fail != nil {
		if err := fail(id); err != nil {
			return nil, err
		}
	}
	f, err := q.OpenSubmitted(id)
	if err != nil {
		return nil, ErrSkip
	}
	defer f.Close()
	r, err := spool.OpenIncoming(f)
	if err != nil {
		return nil, err
	}
	m := queue.NewMessage(id, r)
	m.Hops = w.hops
	m.Size, m.Sum, err = q.Create(id, func(out io.Writer) error { _, err := io.Copy(out, r.Reader()); return err })
	return m, err
}
