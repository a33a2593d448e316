package queue

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"dma/common/durable"
	"dma/dma-queue/internal/spool"
)

const (
	testID  = spool.ID("5b1234567890a.00ff01020304")
	otherID = spool.ID("5b1234567890b.00ff01020304")
	text    = "Subject: x\n\nline\n"
)

type tester interface {
	Helper()
	Fatal(...any)
}

func must(t tester, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// open makes a spool.
func open(t *testing.T, options ...durable.Option) *Queue {
	t.Helper()
	root := t.TempDir()
	for _, d := range []string{"incoming", "queue", "failed"} {
		must(t, os.Mkdir(filepath.Join(root, d), 0o700))
	}
	q, err := OpenQueue(root, options...)
	must(t, err)
	return q
}

func put(t tester, q *Queue, name, content string) {
	t.Helper()
	must(t, os.WriteFile(filepath.Join(q.root, name), []byte(content), 0o600))
}

// files lists the spool.
func files(t tester, q *Queue) string {
	t.Helper()
	names, err := filepath.Glob(q.root + "/*/*")
	must(t, err)
	hidden, err := filepath.Glob(q.root + "/*/.*")
	must(t, err)
	var list []string
	for _, n := range append(names, hidden...) {
		n, err := filepath.Rel(q.root, n)
		must(t, err)
		list = append(list, strings.ReplaceAll(n, string(testID), "ID"))
	}
	slices.Sort(list)
	return strings.Join(list, " ")
}

// queued makes a message with a file and no journal.
func queued(t tester, q *Queue, id spool.ID) *Message {
	t.Helper()
	size, sum, err := q.Create(id, func(w io.Writer) error { _, err := io.WriteString(w, text); return err })
	must(t, err)
	return &Message{
		ID: id, Arrived: time.UnixMicro(1700000000123456), UID: 1000, Sender: "carol@host.example", Size: size, Sum: sum,
		Targets: []Target{
			{Kind: Recipient, State: Open, Parent: NoParent, Address: "alice", Original: "alice"},
			{Kind: Recipient, State: Open, Parent: NoParent, Address: "bob@far.example", Original: "bob@far.example"},
		},
	}
}

func submit(t *testing.T, q *Queue, id spool.ID) {
	t.Helper()
	in, err := spool.NewIncoming(q.incoming, id)
	must(t, err)
	must(t, in.SetEnvelope(spool.Submission{Sender: "carol@host.example", SenderGiven: true, Recipients: spool.To("alice", "b@c.example"), Bad: []string{"x y"}}))
	_, err = io.WriteString(in, text)
	must(t, err)
	must(t, in.Commit())
}

func TestRecover(t *testing.T) {
	for name, c := range map[string]struct {
		before, after string
		journaled     int
	}{
		"nothing":                         {},
		"copy":                            {before: "queue/ID"},
		"copy and submission":             {before: "incoming/ID queue/ID", after: "incoming/ID"},
		"journal and copy":                {before: "queue/ID queue/ID.log", after: "queue/ID queue/ID.log", journaled: 1},
		"journal":                         {before: "queue/ID.log", after: "queue/ID.log", journaled: 1},
		"journal, copy and submission":    {before: "incoming/ID queue/ID queue/ID.log", after: "incoming/ID queue/ID queue/ID.log", journaled: 1},
		"beginning of a rewritten one":    {before: "queue/.ID.log123 queue/ID queue/ID.log", after: "queue/ID queue/ID.log", journaled: 1},
		"beginning of a renewed message":  {before: "queue/.ID queue/ID queue/ID.log", after: "queue/ID queue/ID.log", journaled: 1},
		"files of others":                 {before: "queue/x queue/x.log", after: "queue/x queue/x.log"},
		"a dead letter of the same name":  {before: "failed/ID queue/ID", after: "failed/ID"},
		"a hidden file and no other ones": {before: "queue/.ID.log9"},
	} {
		t.Run(name, func(t *testing.T) {
			q := open(t)
			for _, n := range strings.Fields(c.before) {
				put(t, q, strings.ReplaceAll(n, "ID", string(testID)), "")
			}
			got, err := q.Recover()
			must(t, err)
			if len(got) != c.journaled || c.journaled == 1 && got[0] != testID {
				t.Errorf("journaled: %q", got)
			}
			if got := files(t, q); got != c.after {
				t.Errorf("left %q, want %q", got, c.after)
			}
		})
	}
}

// steps records what is done to a spool, and fails what it is told to.
type steps struct {
	list []string
	fail string
}

var errInjected = errors.New("injected")

func (s *steps) fault(step durable.Step, name string) error {
	line := strings.ReplaceAll(strings.TrimSpace(fmt.Sprintf("%s %s", step, name)), string(testID), "ID")
	if line == s.fail {
		return errInjected
	}
	if step == durable.StepSync || step == durable.StepSyncDir || step == durable.StepRemove || step == durable.StepRename {
		s.list = append(s.list, line)
	}
	return nil
}

func TestOrder(t *testing.T) {
	for name, c := range map[string]struct {
		do   func(*Queue, *Message) error
		fail string
		want string // steps
		left string
	}{
		"commit": {
			do:   func(q *Queue, m *Message) error { return q.Commit([]Unsynced{{m.ID, true}}) },
			want: "sync ID.log, sync ID, sync of", left: "incoming/ID queue/ID queue/ID.log",
		},
		"commit of the journal": {
			do:   func(q *Queue, m *Message) error { return q.Commit([]Unsynced{{m.ID, false}}) },
			want: "sync ID.log, sync of", left: "incoming/ID queue/ID queue/ID.log",
		},
		"commit of what is finished": {
			do:   func(q *Queue, _ *Message) error { return q.Commit([]Unsynced{{otherID, true}}) },
			want: "sync of", left: "incoming/ID queue/ID queue/ID.log",
		},
		"commit without the journal": {
			do:   func(q *Queue, m *Message) error { return q.Commit([]Unsynced{{m.ID, true}}) },
			fail: "sync ID.log", left: "incoming/ID queue/ID queue/ID.log",
		},
		"commit without the message": {
			do:   func(q *Queue, m *Message) error { return q.Commit([]Unsynced{{m.ID, true}}) },
			fail: "sync ID", want: "sync ID.log", left: "incoming/ID queue/ID queue/ID.log",
		},
		"commit without the names": {
			do:   func(q *Queue, m *Message) error { return q.Commit([]Unsynced{{m.ID, true}}) },
			fail: "sync of", want: "sync ID.log, sync ID", left: "incoming/ID queue/ID queue/ID.log",
		},
		"release":        {do: (*Queue).Release, want: "remove ID", left: "queue/ID queue/ID.log"},
		"release failed": {do: (*Queue).Release, fail: "remove ID", left: "incoming/ID queue/ID queue/ID.log"},
		"finish":         {do: (*Queue).Finish, want: "remove ID, remove ID.log, remove ID"},
		"finish without the submission": {
			do: (*Queue).Finish, fail: "remove ID", left: "incoming/ID queue/ID queue/ID.log",
		},
		"finish without the journal": {
			do: (*Queue).Finish, fail: "remove ID.log", want: "remove ID", left: "queue/ID queue/ID.log",
		},
		"discard": {
			do:   func(q *Queue, m *Message) error { return q.Discard(m.ID) },
			want: "remove ID.log, remove ID", left: "incoming/ID",
		},
		"discard failed": {
			do:   func(q *Queue, m *Message) error { return q.Discard(m.ID) },
			fail: "remove ID", want: "remove ID.log", left: "incoming/ID queue/ID",
		},
		"set aside": {
			do:   func(q *Queue, m *Message) error { return q.SetAside(m.ID) },
			want: "rename ID, rename ID.log, sync of", left: "failed/ID failed/ID.log incoming/ID",
		},
		"set aside in part": {
			do:   func(q *Queue, m *Message) error { return q.SetAside(m.ID) },
			fail: "rename ID.log", want: "rename ID", left: "failed/ID incoming/ID queue/ID.log",
		},
	} {
		t.Run(name, func(t *testing.T) {
			var s steps
			q := open(t, durable.WithFault(s.fault))
			submit(t, q, testID)
			m := queued(t, q, testID)
			must(t, q.Save(m))
			m.Adopt()
			q.newIncoming.Store(false) // the submitter has synced it
			s.list, s.fail = nil, strings.TrimSuffix(c.fail, " of")
			err := c.do(q, m)
			if (err != nil) != (c.fail != "") || err != nil && !errors.Is(err, errInjected) {
				t.Errorf("error %v", err)
			}
			want := strings.ReplaceAll(c.want, "sync of", "sync")
			if got := strings.Join(s.list, ", "); got != want {
				t.Errorf("steps %q, want %q", got, want)
			}
			if got := files(t, q); got != c.left {
				t.Errorf("left %q, want %q", got, c.left)
			}
			s.fail = ""
			must(t, c.do(q, m)) // another attempt does what is left
		})
	}
}

func TestNamesAreSyncedUntilTheyAre(t *testing.T) {
	var s steps
	q := open(t, durable.WithFault(s.fault))
	m := queued(t, q, testID)
	must(t, q.Save(m))
	s.fail = "sync"
	if err := q.SyncNames(); !errors.Is(err, errInjected) || !q.Changed() {
		t.Errorf("error %v, changed %v", err, q.Changed())
	}
	s.fail, s.list = "", nil
	must(t, q.SyncNames())
	must(t, q.SyncNames()) // nothing left
	if q.Changed() || len(s.list) != 1 {
		t.Errorf("changed %v, steps %q", q.Changed(), s.list)
	}
	must(t, q.RemoveSubmitted(testID)) // not there: nothing else to say
	if !q.Changed() {
		t.Error("a removal counts as no change")
	}
}

func TestVerifyAndRenew(t *testing.T) {
	for name, c := range map[string]struct {
		text string
		ok   bool
	}{
		"whole":   {text, true},
		"cut":     {text[:len(text)-1], false},
		"longer":  {text + "\n", false},
		"changed": {strings.Replace(text, "line", "lime", 1), false},
		"empty":   {"", false},
	} {
		t.Run(name, func(t *testing.T) {
			q := open(t)
			m := queued(t, q, testID)
			put(t, q, "queue/"+string(testID), c.text)
			for _, err := range []error{q.Verify(m), q.Renew(m)} {
				if (err == nil) != c.ok || err != nil && !errors.Is(err, ErrMessage) {
					t.Errorf("error %v", err)
				}
			}
			b, err := os.ReadFile(q.root + "/queue/" + string(testID))
			if err != nil || string(b) != c.text || files(t, q) != "queue/ID" {
				t.Errorf("%q, %v, %s", b, err, files(t, q))
			}
		})
	}
	q := open(t)
	m := queued(t, q, testID)
	must(t, q.Discard(testID))
	if err := q.Verify(m); !errors.Is(err, ErrMessage) {
		t.Errorf("of a lost file: %v", err)
	}
}

func TestCreateFails(t *testing.T) {
	for _, fail := range []string{"write ID", "close ID", "create ID"} {
		var s steps
		q := open(t, durable.WithFault(s.fault))
		put(t, q, "queue/"+string(testID), "an earlier attempt")
		s.fail = fail
		_, _, err := q.Create(testID, func(w io.Writer) error { _, err := io.WriteString(w, text); return err })
		if !errors.Is(err, errInjected) || files(t, q) != "" {
			t.Errorf("%s: %v, left %q", fail, err, files(t, q))
		}
	}
}

func TestDeadLetters(t *testing.T) {
	q := open(t)
	m := queued(t, q, testID)
	must(t, q.Save(m))
	must(t, q.SetAside(testID))
	dead, err := q.Dead()
	if err != nil || !slices.Equal(dead, []spool.ID{testID}) {
		t.Fatalf("dead %q, %v", dead, err)
	}
	got, err := q.LoadDead(testID)
	must(t, err)
	if got.Sender != m.Sender || len(got.Targets) != 2 {
		t.Errorf("got %+v", got)
	}
	if _, err := q.LoadDead(otherID); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("without a journal: %v", err)
	}
	put(t, q, "failed/"+string(testID)+".log", "x")
	if _, err := q.LoadDead(testID); !errors.Is(err, ErrJournal) {
		t.Errorf("with a damaged journal: %v", err)
	}
	put(t, q, "incoming/"+string(testID), "another")
	if err := q.SetAsideSubmitted(testID); !errors.Is(err, os.ErrExist) {
		t.Errorf("a submission took the place of a dead letter: %v", err)
	}
	put(t, q, "incoming/"+string(otherID), "damaged")
	must(t, q.SetAsideSubmitted(otherID))
	if dead, _ = q.Dead(); len(dead) != 2 {
		t.Errorf("dead %q", dead)
	}
}

// What was a submission has no journal, and may be anything.
func TestDeadSubmissions(t *testing.T) {
	q := open(t)
	put(t, q, "failed/"+string(testID), "text")
	must(t, os.Mkdir(q.root+"/failed/"+string(otherID), 0o700))
	m, err := q.LoadDead(testID)
	if err != nil || m.ID != testID || m.UID != uint32(os.Getuid()) || m.Size != 4 || len(m.Targets) != 0 {
		t.Errorf("loaded %+v, %v", m, err)
	}
	f, err := q.OpenDead(testID)
	must(t, err)
	f.Close()
	if f, err := q.OpenDead(otherID); err == nil {
		f.Close()
		t.Error("a directory was opened")
	}
	must(t, q.RemoveDead(testID))
	must(t, q.RemoveDead(testID)) // by two at once
	if dead, err := q.Dead(); err != nil || !slices.Equal(dead, []spool.ID{otherID}) {
		t.Errorf("dead %q, %v", dead, err)
	}
	if err := q.RemoveDead(otherID); err == nil {
		t.Error("a directory was removed")
	}
}

// A message is dropped as a whole, whatever there is of it.
func TestDrop(t *testing.T) {
	q := open(t)
	m := queued(t, q, testID)
	must(t, q.Save(m))
	put(t, q, "incoming/"+string(testID), "x")
	must(t, q.Drop(testID))
	must(t, q.Drop(testID))
	for _, name := range []string{"incoming/" + string(testID), "queue/" + string(testID), "queue/" + string(testID) + journalSuffix} {
		if _, err := os.Lstat(q.root + "/" + name); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if !q.newIncoming.Load() || !q.newQueue.Load() {
		t.Error("not to be synced")
	}
}

func TestTooManyDeadLetters(t *testing.T) {
	q := open(t)
	for i := range maxDead {
		put(t, q, fmt.Sprintf("failed/%013x.000000000000", i), "")
	}
	m := queued(t, q, testID)
	must(t, q.Save(m))
	put(t, q, "incoming/"+string(otherID), "")
	if err := q.SetAside(testID); !errors.Is(err, ErrFull) {
		t.Errorf("a message: %v", err)
	}
	if err := q.SetAsideSubmitted(otherID); !errors.Is(err, ErrFull) {
		t.Errorf("a submission: %v", err)
	}
	if _, err := q.Load(testID); err != nil {
		t.Error(err)
	}
	must(t, os.Remove(q.root+"/failed/0000000000000.000000000000"))
	must(t, q.SetAside(testID))
}

func TestLoadSubmitted(t *testing.T) {
	q := open(t)
	submit(t, q, testID)
	m, err := q.LoadSubmitted(testID)
	must(t, err)
	if m.ID != testID || m.Sender != "carol@host.example" || m.Size != int64(len(text)) || !m.Incoming() || m.Journaled() || len(m.Targets) != 3 {
		t.Errorf("got %+v", m)
	}
	if a, bad := m.Targets[0], m.Targets[2]; a.State != Open || a.Address != "alice" || bad.State != Failed || bad.Outcome.Code != "5.1.3" || m.Finished() {
		t.Errorf("targets %+v", m.Targets)
	}
	put(t, q, "incoming/"+string(otherID), "x")
	if _, err := q.LoadSubmitted(otherID); !errors.Is(err, spool.ErrIncomplete) {
		t.Errorf("of a beginning: %v", err)
	}
	put(t, q, "incoming/not-an-id", "x")
	list, err := q.Submitted()
	if err != nil || !slices.Equal(list, []spool.ID{testID, otherID}) {
		t.Errorf("submitted %q, %v", list, err)
	}
}

// A journal that could not be made, and not removed again, goes with its message; one
// that was never tried is not looked for.
func TestFinishWithoutJournal(t *testing.T) {
	var s steps
	q := open(t, durable.WithFault(s.fault))
	m := &Message{ID: testID}
	put(t, q, "queue/"+string(testID), text)
	must(t, q.Finish(m))
	if got := strings.Join(s.list, ", "); got != "remove ID" || files(t, q) != "" {
		t.Errorf("%s, left %q", got, files(t, q))
	}
	put(t, q, "queue/"+string(testID)+journalSuffix, "torn")
	s.fail = "create ID.log"
	if err := q.Save(m); err == nil {
		t.Error("a journal was made")
	}
	put(t, q, "queue/"+string(testID)+journalSuffix, "torn")
	s.fail = ""
	must(t, q.Finish(m))
	if files(t, q) != "" {
		t.Errorf("left %q", files(t, q))
	}
}

func TestFinished(t *testing.T) {
	for s, want := range map[State]bool{Open: false, Failed: false, Done: true, Bounced: true, Expanded: true, Dropped: true} {
		if m := (&Message{Targets: []Target{{State: Done}, {State: s}}}); m.Finished() != want {
			t.Errorf("state %d: %v", s, !want)
		}
	}
}
