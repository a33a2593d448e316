package mbox

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"dma/common/outcome"
	"dma/dma-local/internal/letter"
	"dma/proto"

	"golang.org/x/sys/unix"
)

// testLocked has another process hold a lock, first for too long, then for a while.
func testLocked(t *testing.T, role, text string) {
	box := newBox(t.TempDir())
	if err := os.WriteFile(box.path(), []byte("old\n\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	release := startHolder(t, role, box.path())
	start := time.Now()
	r := box.Deliver(context.Background(), []letter.Letter{letterOf("\nnew\n")})[0]
	want(t, r, outcome.Later, proto.ScopeDestination, "4.2.0", text)
	if d := time.Since(start); d < box.LockWait || d > box.LockWait+5*time.Second {
		t.Errorf("waited for %v", d)
	}
	if got := contents(t, box); got != "old\n\n" {
		t.Errorf("locked mailbox was written to: %q", got)
	}
	box.LockWait = time.Minute
	timer := time.AfterFunc(100*time.Millisecond, release)
	r = box.Deliver(context.Background(), []letter.Letter{letterOf("\nnew\n")})[0]
	if timer.Stop() {
		t.Error("delivered before the lock was released")
	}
	want(t, r, outcome.Done, proto.ScopeTarget, "2.0.0", "")
	onlyMailbox(t, box)
}

func TestLockedFlock(t *testing.T) { testLocked(t, "flock", "by another program") }
func TestLockedPosix(t *testing.T) { testLocked(t, "posix", "by another program") }

func TestDotlock(t *testing.T) {
	tests := []struct {
		name string
		text string // in the lock file
		age  time.Duration
		held bool // by the kernel, too
		done bool
	}{
		{"new", "1\n", 0, false, false},
		{"of the future", "1\n", -time.Hour, false, false},
		{"almost stale", "1\n", staleAfter - 10*time.Second, false, false},
		{"stale", "1\n", staleAfter + 10*time.Second, false, true},
		{"stale and empty", "", staleAfter + 10*time.Second, false, true},
		{"old, but the mailbox is in use", "1\n", staleAfter + 10*time.Second, true, false},
		{"of a dma-local that was killed", "1\n" + mark() + "\n", 0, false, true},
		{"of a dma-local that lives", "1\n" + mark() + "\n", 0, true, false},
		{"of a dma-local of another host", "1\n" + mark() + "x\n", 0, false, false},
		{"of a dma-local that was killed while it was writing", "1\n" + mark(), 0, false, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			box := newBox(t.TempDir())
			dot := box.path() + ".lock"
			for name, text := range map[string]string{box.path(): "", dot: tt.text} {
				if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			made := time.Now().Add(-tt.age)
			if err := os.Chtimes(dot, made, made); err != nil {
				t.Fatal(err)
			}
			if tt.held {
				startHolder(t, "posix", box.path())
			}
			r := box.Deliver(context.Background(), []letter.Letter{letterOf("\nnew\n")})[0]
			if tt.done {
				want(t, r, outcome.Done, proto.ScopeTarget, "2.0.0", "")
				onlyMailbox(t, box)
				return
			}
			want(t, r, outcome.Later, proto.ScopeDestination, "4.2.0", "mailbox is locked by")
			if _, err := os.Stat(dot); err != nil {
				t.Errorf("foreign lock file: %v", err)
			}
		})
	}
}

func TestDotlockReleased(t *testing.T) {
	box := newBox(t.TempDir())
	box.LockWait = time.Minute
	dot := box.path() + ".lock"
	if err := os.WriteFile(dot, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	removed := make(chan error, 1)
	time.AfterFunc(100*time.Millisecond, func() { removed <- os.Remove(dot) })
	r := box.Deliver(context.Background(), []letter.Letter{letterOf("\nnew\n")})[0]
	want(t, r, outcome.Done, proto.ScopeTarget, "2.0.0", "")
	if err := <-removed; err != nil {
		t.Error(err)
	}
	onlyMailbox(t, box)
}

func TestStopWaiting(t *testing.T) {
	box := newBox(t.TempDir())
	box.LockWait = time.Hour
	if err := os.WriteFile(box.path()+".lock", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	r := box.Deliver(ctx, []letter.Letter{letterOf("\nnew\n")})[0]
	want(t, r, outcome.Later, proto.ScopeDestination, "4.2.0", "mailbox is locked by")
}

// TestReplaced has a mail reader replace or remove the mailbox between open and lock.
func TestReplaced(t *testing.T) {
	tests := []struct {
		name   string
		change func(box *Box) error
	}{
		{"replaced", func(box *Box) error {
			other := filepath.Join(box.Dir, "other")
			if err := os.WriteFile(other, nil, 0o600); err != nil {
				return err
			}
			return os.Rename(other, box.path())
		}},
		{"removed", func(box *Box) error { return os.Remove(box.path()) }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			box := newBox(t.TempDir())
			dir, err := os.Open(box.Dir)
			if err != nil {
				t.Fatal(err)
			}
			defer dir.Close()
			l, err := box.try(dir)
			if err != nil {
				t.Fatal(err)
			}
			defer l.release()
			if err := box.same(l); err != nil {
				t.Errorf("nothing changed: %v", err)
			}
			if err := tt.change(box); err != nil {
				t.Fatal(err)
			}
			if err := box.same(l); !errors.Is(err, errBusy) {
				t.Errorf("got %v", err)
			}
		})
	}
}

// TestReader has a mail reader empty the mailbox again and again, by a new file
// in its place: no message goes into a file that is not the mailbox any more.
func TestReader(t *testing.T) {
	const messages = 200
	box := newBox(t.TempDir())
	box.LockWait = time.Minute
	box.Pause = func() time.Duration { return 100 * time.Microsecond }
	if err := os.WriteFile(box.path(), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	stop, read := make(chan struct{}), make(chan int)
	go func() {
		total := 0
		for done := false; !done; {
			select {
			case <-stop:
				done = true // once more
			default:
			}
			n, err := takeOut(box)
			if err != nil {
				t.Error(err)
			}
			total += n
		}
		read <- total
	}()
	for range messages {
		r := box.Deliver(context.Background(), []letter.Letter{letterOf("\nnew\n")})[0]
		want(t, r, outcome.Done, proto.ScopeTarget, "2.0.0", "")
	}
	close(stop)
	if total := <-read; total != messages {
		t.Errorf("%d messages delivered, %d read", messages, total)
	}
}

// takeOut reads the mailbox, under one kind of lock, and puts an empty one in its place.
func takeOut(box *Box) (messages int, err error) {
	f, err := os.Open(box.path())
	if err != nil {
		return 0, err
	}
	defer f.Close()
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX); err != nil {
		return 0, err
	}
	text, err := io.ReadAll(f)
	if err == nil {
		err = os.WriteFile(box.path()+".new", nil, 0o600)
	}
	if err == nil {
		err = os.Rename(box.path()+".new", box.path())
	}
	return strings.Count(string(text), "Return-Path: "), err
}

// TestForeignDotlock: only our own lock file is removed.
func TestForeignDotlock(t *testing.T) {
	box := newBox(t.TempDir())
	dir, err := os.Open(box.Dir)
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	l, err := box.try(dir)
	if err != nil {
		t.Fatal(err)
	}
	dot := box.path() + ".lock"
	if text, err := os.ReadFile(dot); err != nil || strings.TrimSpace(string(text)) == "" {
		t.Errorf("lock file holds %q, %v", text, err)
	}
	if err := os.Rename(dot, dot+".old"); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(dot, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	l.release()
	if _, err := os.Stat(dot); err != nil {
		t.Errorf("foreign lock file: %v", err)
	}
}

// TestContention has several processes deliver to one mailbox at once.
func TestContention(t *testing.T) {
	const writers = 4
	box := newBox(t.TempDir())
	results := make(chan error, writers)
	for i := range writers {
		cmd := roleCommand(t, "many", box.Dir, string(rune('a'+i)))
		cmd.Stdout = os.Stderr
		go func() { results <- cmd.Run() }()
	}
	for range writers {
		if err := <-results; err != nil {
			t.Error(err)
		}
	}
	entries := strings.Split(contents(t, box), "\nFrom a@b.example  ")
	if len(entries) != writers*19 {
		t.Errorf("%d entries, want %d", len(entries), writers*19)
	}
	size := map[int]int{}
	for i, e := range entries {
		if i == 0 {
			e = strings.TrimPrefix(e, "From a@b.example  ")
		}
		if i == len(entries)-1 {
			e = strings.TrimSuffix(e, "\n")
		}
		size[len(e)]++
	}
	if len(size) != 1 {
		t.Errorf("entries are not whole: sizes and counts %v", size)
	}
	onlyMailbox(t, box)
}
