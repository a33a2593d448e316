package schedule

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"dma/common/durable"
	"dma/common/outcome"
	"dma/dma-queue/internal/queue"
	"dma/proto"
)

// What is done is written down while another target of the message is under way,
// which may take long: a crash repeats that one alone (RULES D9).
func TestDoneIsWrittenWhileAnotherFlies(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	gate := make(chan struct{})
	var begun atomic.Bool
	w.deliver = func(d *proto.Deliver, _ string) *proto.Result {
		if strings.HasPrefix(d.Recipient, "bob") {
			begun.Store(true)
			<-gate
		}
		return result(outcome.Success("ok"))
	}
	id := w.submit("carol@host.example", "team")
	w.start()
	w.eventually("alice's mail is written down", func() bool {
		return begun.Load() && len(w.got) == 1 && slices.Contains(w.dir("queue"), string(id)+".log")
	})
	w.s.post(func() { w.s.fatal = errStopped }) // the runner dies; bob's helper goes on
	time.AfterFunc(100*time.Millisecond, func() { close(gate) })
	<-w.ended
	w.start()
	w.finish()
	if want := []string{"1 alice@host.example", "1 bob@host.example", "1 bob@host.example"}; !slices.Equal(sorted(w.got), want) {
		t.Errorf("delivered %q, want %q", w.got, want)
	}
	w.empty()
}

// The journal of a message whose submission stands for it is synced with the
// message: alone it would not count after a power cut.
func TestLazySyncHasTheMessage(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	gate := make(chan struct{})
	w.deliver = func(d *proto.Deliver, _ string) *proto.Result {
		if strings.HasPrefix(d.Recipient, "bob") {
			<-gate
		}
		return result(outcome.Success("ok"))
	}
	synced := make(map[string]bool)
	w.fault = func(s durable.Step, name string) error {
		if s == durable.StepSync || s == durable.StepSyncDir {
			synced[name] = true
		}
		return nil
	}
	id := string(w.submit("carol@host.example", "team"))
	w.start()
	w.eventually("synced", func() bool { return synced[id] && synced[id+".log"] && synced[""] })
	close(gate)
	w.finish()
	w.empty()
}

// After a sync that failed nothing is known of the file; to sync it again would
// not tell. It is written anew, and only then the submission goes.
func TestSyncFailureRewrites(t *testing.T) {
	t.Parallel()
	for _, suffix := range []string{"", ".log"} {
		t.Run("message"+suffix, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			id := string(w.submit("carol@host.example", "bob"))
			w.forwards["bob"] = []proto.Target{{Address: "unsafe"}}
			failed := false
			var inode uint64
			w.fault = func(s durable.Step, name string) error {
				if s == durable.StepSync && name == id+suffix && !failed {
					failed = true
					inode = w.inode("queue/" + id + suffix)
					return syscall.EIO
				}
				return nil
			}
			w.start()
			w.eventually("the failure", func() bool { return failed })
			w.eventually("it is told", func() bool {
				return slices.ContainsFunc(w.lines, func(l string) bool { return strings.Contains(l, "commit") })
			})
			if !slices.Contains(w.dir("incoming"), id) {
				t.Error("the submission is gone")
			}
			w.advance(2 * retryDisk)
			w.eventually("the message is safe", func() bool { return len(w.dir("incoming")) == 0 })
			if w.inode("queue/"+id+suffix) == inode {
				t.Error("the file whose sync failed is still there")
			}
			w.stop()
			clear(w.forwards)
			w.start()
			w.flush()
			w.finish()
			if !slices.Equal(w.got, []string{"1 bob@host.example"}) {
				t.Errorf("delivered %q", w.got)
			}
			w.empty()
		})
	}
}

func (w *world) inode(name string) uint64 {
	st, err := os.Stat(filepath.Join(w.root, name))
	if err != nil {
		w.t.Error(err)
		return 0
	}
	return st.Sys().(*syscall.Stat_t).Ino
}

// What fails while the bounce of others is written gets a bounce too.
func TestFailureWhileBouncing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.refuse["nobodyhere"] = proto.RefusedUnknown
	var tries atomic.Int32
	w.send = func(*proto.Send, []string) []*proto.Result {
		if tries.Add(1) == 1 {
			return []*proto.Result{dead("connection refused")}
		}
		return []*proto.Result{result(outcome.Fail("5.1.1", "550 no such user"))}
	}
	var once sync.Once
	w.bouncing = func() {
		once.Do(func() { // destinations come up in this moment
			w.flush()
			time.Sleep(300 * time.Millisecond)
		})
	}
	w.submit("carol@host.example", "nobodyhere", "x@remote.example")
	w.start()
	w.finish()
	var told []string
	for _, b := range w.bounces {
		for _, f := range b.About {
			told = append(told, f.Original)
		}
	}
	if want := []string{"nobodyhere", "x@remote.example"}; !slices.Equal(sorted(told), want) {
		t.Errorf("bounces tell of %q, want %q", told, want)
	}
	w.empty()
}

// A user edits the file while one of its commands runs: that one is not run again.
func TestStaleWhileAnotherFlies(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	command := func(file, entry byte) proto.Target {
		return proto.Target{Kind: proto.TargetCommand, Token: proto.Token{File: [32]byte{file}, Entry: [32]byte{entry}}}
	}
	w.forwards["alice"] = []proto.Target{command(1, 1), command(1, 2)}
	gate := make(chan struct{})
	var ran [4]atomic.Int32
	w.deliver = func(d *proto.Deliver, _ string) *proto.Result {
		switch d.Token.Entry[0] {
		case 1:
			w.mu.Lock()
			w.forwards["alice"] = []proto.Target{command(2, 3), command(2, 2)}
			w.mu.Unlock()
			return &proto.Result{Scope: proto.ScopeStale, Outcome: outcome.Defer("4.3.5", "the file has changed")}
		case 2:
			<-gate
		case 3:
			time.AfterFunc(200*time.Millisecond, func() { close(gate) })
		}
		ran[d.Token.Entry[0]].Add(1)
		return result(outcome.Success("ok"))
	}
	w.submit("carol@host.example", "alice")
	w.start()
	w.finish()
	if ran[2].Load() != 1 || ran[3].Load() != 1 {
		t.Errorf("the command that stayed ran %d times, the new one %d", ran[2].Load(), ran[3].Load())
	}
	w.empty()
}

// A journal that cannot be read just now holds up nobody else.
func TestUnreadableJournal(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.forwards["bob"] = []proto.Target{{Address: "unsafe"}}
	id := string(w.submit("carol@host.example", "bob"))
	w.start()
	w.eventually("bob waits", func() bool { return len(w.dir("queue")) == 2 && len(w.dir("incoming")) == 0 })
	w.stop()
	clear(w.forwards)
	broken := true
	w.fault = func(s durable.Step, name string) error {
		if broken && s == durable.StepOpen && name == id+".log" {
			return syscall.EIO
		}
		return nil
	}
	w.submit("carol@host.example", "alice")
	w.start()
	w.eventually("alice's mail", func() bool { return slices.Contains(w.got, "1 alice@host.example") })
	w.mu.Lock()
	broken = false
	w.mu.Unlock()
	w.flush()
	w.finish()
	if !slices.Contains(w.got, "1 bob@host.example") {
		t.Errorf("delivered %q", w.got)
	}
	w.empty()
}

// The file of a message in memory is gone: its delivery is put off, the helper
// lives, the others go on.
func TestMessageFileGone(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	bad := w.submit("carol@host.example", "alice")
	w.fault = func(s durable.Step, name string) error {
		if s == durable.StepOpen && name == string(bad) && slices.Contains(w.starts, "mailbox alice") {
			return syscall.EMFILE
		}
		return nil
	}
	w.start()
	w.eventually("put off", func() bool {
		return slices.ContainsFunc(w.lines, func(l string) bool { return strings.Contains(l, "local delivery deferred") })
	})
	w.mu.Lock()
	w.fault = nil
	if len(w.starts) != 2 {
		t.Errorf("helpers started: %q", w.starts)
	}
	w.mu.Unlock()
	w.submit("carol@host.example", "alice")
	w.s.Wake()
	w.eventually("the other", func() bool { return len(w.got) == 1 })
	w.flush()
	w.finish()
	if len(w.got) != 2 {
		t.Errorf("delivered %q", w.got)
	}
	w.empty()
}

// A damaged copy of a message is set aside (RULES F4).
func TestDamagedMessage(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.forwards["bob"] = []proto.Target{{Address: "unsafe"}}
	id := string(w.submit("carol@host.example", "bob"))
	w.start()
	w.eventually("bob waits", func() bool { return len(w.dir("queue")) == 2 && len(w.dir("incoming")) == 0 })
	w.eventuallyIdle()
	f, err := os.OpenFile(filepath.Join(w.root, "queue", id), os.O_WRONLY, 0)
	if err == nil {
		_, err = f.WriteAt([]byte("X"), 3)
		err = errors.Join(err, f.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
	w.flush()
	w.finish()
	if got := w.dir("failed"); len(got) != 2 || len(w.got) > 0 || len(w.bounces) > 0 {
		t.Errorf("failed %q, delivered %q, %d bounces", got, w.got, len(w.bounces))
	}
}

// Both are there after a crash between the journal and the removal of the
// submission: the journal counts, nothing is done twice.
func TestSubmissionAndJournal(t *testing.T) {
	for name, damage := range map[string]func(root, id string) error{
		"both":            func(string, string) error { return nil },
		"message torn":    func(root, id string) error { return os.Truncate(root+"/queue/"+id, 7) },
		"message missing": func(root, id string) error { return os.Remove(root + "/queue/" + id) },
		"journal torn":    func(root, id string) error { return os.Truncate(root+"/queue/"+id+".log", 7) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			id := w.submit("carol@host.example", "alice", "bob")
			q, err := queue.OpenQueue(w.root)
			if err != nil {
				t.Fatal(err)
			}
			m, err := w.pick(q, id)
			if err != nil {
				t.Fatal(err)
			}
			m.Targets[0].State = queue.Done
			if err := q.Save(m); err != nil {
				t.Fatal(err)
			}
			want := []string{"1 bob@host.example"}
			if name != "both" {
				want = []string{"1 alice@host.example", "1 bob@host.example"}
			}
			if err := damage(w.root, string(id)); err != nil {
				t.Fatal(err)
			}
			w.start()
			w.finish()
			if !slices.Equal(sorted(w.got), want) {
				t.Errorf("delivered %q, want %q", w.got, want)
			}
			w.empty()
		})
	}
}

// Removals are synced within a second or two, though nothing else is to be synced.
func TestRemovalIsSynced(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	dirs := 0
	w.fault = func(s durable.Step, name string) error {
		if s == durable.StepSyncDir {
			dirs++
		}
		if s == durable.StepSync {
			return io.ErrUnexpectedEOF
		}
		return nil
	}
	w.submit("carol@host.example", "alice")
	w.start()
	w.finish()
	if dirs < 2 || dirs > 6 {
		t.Errorf("%d syncs of directories", dirs)
	}
	w.empty()
}
