package queue

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"dma/common/dsn"
	"dma/common/durable"
	"dma/common/outcome"
	"dma/dma-queue/internal/spool"
	"dma/proto"
)

// diff compares what a journal has of two messages.
func diff(want, got *Message) string {
	w, g := *want, *got
	w.incoming, g.incoming, w.journal, g.journal = false, false, journalState{}, journalState{}
	if reflect.DeepEqual(w, g) { // far quicker
		return ""
	}
	return cmp.Diff(want, got, cmpopts.IgnoreUnexported(Message{}), cmpopts.EquateEmpty())
}

// clone is m as it is now.
func clone(m *Message) *Message {
	c := *m
	c.Targets = slices.Clone(m.Targets)
	return &c
}

func journal(t tester, q *Queue) []byte {
	t.Helper()
	b, err := os.ReadFile(q.root + "/queue/" + string(testID) + journalSuffix)
	must(t, err)
	return b
}

// checkLoad loads the message and compares it.
func checkLoad(t interface {
	tester
	Fatalf(string, ...any)
}, q *Queue, want *Message,
) *Message {
	t.Helper()
	got, err := q.Load(want.ID)
	must(t, err)
	if d := diff(want, got); d != "" {
		t.Fatalf("loaded (-want +got):\n%s", d)
	}
	return got
}

func drawTarget(t *rapid.T, i int) Target {
	str := rapid.StringMatching(`[ -~äß]{0,20}`)
	hash := rapid.Custom(func(t *rapid.T) (h [32]byte) {
		copy(h[:], rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(t, "hash"))
		return h
	})
	n := Target{
		Kind: Kind(rapid.IntRange(1, int(File)).Draw(t, "kind")), State: State(rapid.IntRange(1, int(Dropped)).Draw(t, "state")),
		Parent: rapid.IntRange(NoParent, i-1).Draw(t, "parent"), Address: str.Draw(t, "address"), Login: str.Draw(t, "login"),
		Token:    proto.Token{Index: rapid.Uint16().Draw(t, "index"), File: hash.Draw(t, "file"), Entry: hash.Draw(t, "entry")},
		Original: str.Draw(t, "original"), Chain: rapid.SliceOfN(str, 0, proto.MaxChain).Draw(t, "chain"),
		Tries: rapid.IntRange(0, 1<<20).Draw(t, "tries"), Blocked: rapid.Bool().Draw(t, "blocked"), Tell: dsn.Notify(rapid.SampledFrom([]int{0, 1, 4}).Draw(t, "tell")), Warned: rapid.Bool().Draw(t, "warned"),
		Notify: dsn.Notify(rapid.IntRange(0, int(dsn.Never)).Draw(t, "notify")), ORcpt: str.Draw(t, "orcpt"), Extension: str.Draw(t, "extension"), Remote: str.Draw(t, "remote"),
	}
	if s := rapid.Int64Range(0, 1<<40).Draw(t, "next"); s > 0 {
		n.Next = time.Unix(s, 0)
	}
	n.Outcome = rapid.SampledFrom([]outcome.Outcome{
		{}, outcome.Success("ok"), outcome.Defer("4.4.999", "wait\n%s", strings.Repeat("ö", 400)), outcome.Fail("5.1.1", "no %q", "\x00"),
	}).Draw(t, "outcome")
	return n
}

func TestJournalRoundTrip(t *testing.T) {
	q := open(t)
	rapid.Check(t, func(t *rapid.T) {
		m := &Message{
			ID: testID, Arrived: time.UnixMicro(rapid.Int64Range(0, maxTime).Draw(t, "arrived")), UID: rapid.Uint32().Draw(t, "uid"),
			Sender: rapid.StringMatching(`[ -~]{0,30}`).Draw(t, "sender"), Size: rapid.Int64Range(0, 1<<50).Draw(t, "size"),
			Sum: rapid.Uint32().Draw(t, "sum"), Hops: rapid.IntRange(0, 200).Draw(t, "hops"),
			Ret: dsn.Ret(rapid.IntRange(0, 2).Draw(t, "ret")), EnvID: rapid.StringMatching(`[ -~]{0,30}`).Draw(t, "envid"), Held: rapid.Bool().Draw(t, "held"),
			Seen: rapid.SliceOfN(rapid.StringMatching(`[a-z@]{1,20}`), 0, maxSeen).Draw(t, "seen"),
		}
		for i := range rapid.IntRange(1, 3).Draw(t, "targets") {
			m.Targets = append(m.Targets, drawTarget(t, i))
		}
		must(t, q.Save(m))
		live := m // is saved on, as the runner does; or loaded anew, as after a crash
		for range rapid.IntRange(0, 5).Draw(t, "saves") {
			for range rapid.IntRange(0, 3).Draw(t, "changes") {
				switch rapid.SampledFrom([]string{"touch", "add", "bounce", "no bounce", "hold", "release", "distrust"}).Draw(t, "change") {
				case "touch":
					i := rapid.IntRange(0, len(live.Targets)-1).Draw(t, "i")
					live.Targets[i] = drawTarget(t, i)
					live.Touch(i)
				case "add":
					if i := live.Add(drawTarget(t, len(live.Targets))); i != len(live.Targets)-1 {
						t.Fatalf("Add = %d", i)
					}
				case "bounce":
					live.Bounce = otherID
				case "no bounce":
					live.Bounce = ""
				case "hold", "release":
					live.Held = !live.Held
				case "distrust":
					live.Distrust()
				}
			}
			must(t, q.Save(live))
			if got := checkLoad(t, q, live); rapid.Bool().Draw(t, "crash") {
				live = got
			}
		}
		must(t, q.Discard(testID))
	})
}

// history makes a journal with a record for each Save. ends has where the
// records end, states what was true then.
func history(t tester, q *Queue) (ends []int, states []*Message) {
	t.Helper()
	m := queued(t, q, testID)
	m.Seen = []string{"dave@host.example"}
	step := func() {
		must(t, q.Save(m))
		ends, states = append(ends, len(journal(t, q))), append(states, clone(m))
	}
	step()
	m.Targets[0].State = Expanded
	m.Touch(0)
	step()
	m.Add(Target{Kind: Command, State: Open, Parent: 0, Address: "alice@host.example", Login: "alice", Original: "alice", Token: proto.Token{Entry: [32]byte{1, '\n', 2}}})
	step()
	m.Targets[1].State, m.Targets[1].Outcome = Failed, outcome.Fail("5.1.1", "no such user")
	m.Touch(1)
	step()
	m.Bounce = otherID
	step()
	m.Targets[1].State = Bounced
	m.Touch(1)
	step()
	m.Bounce = ""
	step()
	m.Held = true
	step()
	m.Held = false
	step()
	return ends, states
}

func TestTornJournal(t *testing.T) {
	q := open(t)
	ends, states := history(t, q)
	whole := journal(t, q)
	name := "queue/" + string(testID) + journalSuffix
	for n := range len(whole) + 1 {
		put(t, q, name, string(whole[:n]))
		last := -1 // state that is complete
		for i, end := range ends {
			if end <= n {
				last = i
			}
		}
		got, err := q.Load(testID)
		if last < 0 { // it was never complete; some of the recipients are not all
			if !errors.Is(err, ErrJournal) {
				t.Fatalf("cut to %d of %d bytes: %v, %+v", n, ends[0], err, got)
			}
			continue
		}
		if err != nil || diff(states[last], got) != "" {
			t.Fatalf("cut to %d bytes: %v, %s", n, err, diff(states[last], got))
		}
		if n != ends[last] && n%97 != 0 { // a rewrite waits for the disk
			continue
		}
		got.Targets[1].Tries = 7
		got.Touch(1)
		must(t, q.Save(got))
		checkLoad(t, q, got)
		if b := journal(t, q); bytes.HasPrefix(b, whole[:n]) != (n == ends[last]) {
			t.Fatalf("cut to %d bytes: a torn journal is to be rewritten, a whole one appended to", n)
		}
		got.Add(Target{Kind: Remote, State: Open, Parent: NoParent, Address: "x@y.example"})
		must(t, q.Save(got))
		checkLoad(t, q, got)
	}
}

func TestDamagedJournal(t *testing.T) {
	q := open(t)
	ends, _ := history(t, q)
	whole := journal(t, q)
	for n := range ends[len(ends)-2] { // all before the last record
		b := bytes.Clone(whole)
		b[n] ^= 0x08
		if _, _, err := readJournal(bytes.NewReader(b)); !errors.Is(err, ErrJournal) {
			t.Fatalf("byte %d changed: %v", n, err)
		}
	}
	rec := func(kind byte, fields ...string) []byte { return spool.AppendRecord(nil, kind, fields...) }
	first := whole[len(journalMagic):ends[0]]
	target := func(i string, parent string) []byte {
		return rec(recTarget, i, "1", "1", parent, "a", "", "0", strings.Repeat("\x00", 32), strings.Repeat("\x00", 32), "a", "0", "0", "0", "0", "", "", "", "0", "", "0", "0", "")
	}
	for name, tail := range map[string][]byte{
		"unknown record":        rec('X'),
		"second envelope":       first,
		"target out of order":   target("3", "-1"),
		"parent out of range":   target("2", "3"),
		"parent of itself":      target("2", "2"),
		"parent that is later":  target("0", "1"),
		"target without fields": rec(recTarget),
		"bounce that is no id":  rec(recBounce, "../x"),
		"two bounces":           rec(recBounce, string(otherID), string(otherID)),
		"held how":              rec(recHeld, "2"),
		"held without fields":   rec(recHeld),
		"torn, then whole":      append([]byte("torn\n"), target("2", "0")...),
	} {
		if m, _, err := readJournal(bytes.NewReader(append(bytes.Clone(whole[:ends[0]]), tail...))); !errors.Is(err, ErrJournal) {
			t.Errorf("%s: %v, %+v", name, err, m)
		}
	}
	if m, torn, err := readJournal(bytes.NewReader(append(bytes.Clone(whole[:ends[0]]), target("2", "1")...))); err != nil || torn || len(m.Targets) != 3 {
		t.Errorf("a right target: %v", err)
	}
	for name, b := range map[string]string{
		"empty": "", "another version": "dma-queue 2\n" + string(first), "no envelope": journalMagic + string(target("0", "-1")),
		"no bounce before the envelope": journalMagic + string(rec(recBounce)),
	} {
		if _, _, err := readJournal(strings.NewReader(b)); !errors.Is(err, ErrJournal) {
			t.Errorf("%s: %v", name, err)
		}
	}
	put(t, q, "queue/"+string(otherID)+journalSuffix, string(whole))
	if _, err := q.Load(otherID); !errors.Is(err, ErrJournal) {
		t.Errorf("journal of another message: %v", err)
	}
}

func TestFailedSave(t *testing.T) {
	for _, fail := range []string{"write ID.log", "close ID.log", "open ID.log"} {
		t.Run(fail, func(t *testing.T) {
			var s steps
			q := open(t, durable.WithFault(s.fault))
			m := queued(t, q, testID)
			must(t, q.Save(m))
			before := clone(m)
			m.Targets[0].State = Done
			m.Touch(0)
			m.Bounce = otherID
			s.fail = fail
			if err := q.Save(m); !errors.Is(err, errInjected) {
				t.Fatal(err)
			}
			s.fail = ""
			got, err := q.Load(testID)
			must(t, err)
			if fail == "open ID.log" && diff(before, got) != "" {
				t.Errorf("changed: %s", diff(before, got))
			}
			must(t, q.Save(m)) // what was to be written is still to be
			checkLoad(t, q, m)
		})
	}
	var s steps
	q := open(t, durable.WithFault(s.fault))
	m := queued(t, q, testID)
	s.fail = "write ID.log"
	if err := q.Save(m); !errors.Is(err, errInjected) || m.Journaled() || files(t, q) != "queue/ID" {
		t.Errorf("a first one: %v, left %q", err, files(t, q))
	}
	s.fail = ""
	must(t, q.Save(m))
	checkLoad(t, q, m)
}

func TestCompaction(t *testing.T) {
	q := open(t)
	m := queued(t, q, testID)
	m.Targets[0].Chain = []string{strings.Repeat("x", 900)}
	must(t, q.Save(m))
	largest, shrunk := 0, 0
	for i := range 500 {
		m.Targets[0].Tries = i
		m.Touch(0)
		before := len(journal(t, q))
		must(t, q.Save(m))
		n := len(journal(t, q))
		largest = max(largest, n)
		if n < before {
			shrunk++
		}
	}
	if largest > compactOver || largest < compactOver*9/10 || shrunk < 3 || shrunk > 5 {
		t.Errorf("at most %d bytes, %d times rewritten", largest, shrunk)
	}
	checkLoad(t, q, m)
	if got := files(t, q); got != "queue/ID queue/ID.log" {
		t.Errorf("left %q", got)
	}
	must(t, q.Save(m))
	before := journal(t, q)
	must(t, q.Save(m))
	if !bytes.Equal(before, journal(t, q)) {
		t.Error("a Save with nothing to say wrote something")
	}
}

func TestCompactionOfLargeJournals(t *testing.T) {
	q := open(t)
	m := queued(t, q, testID)
	for i := range 1000 {
		m.Targets = append(m.Targets, Target{Kind: Remote, State: Open, Parent: NoParent, Address: fmt.Sprintf("%d@far.example", i)})
	}
	must(t, q.Save(m))
	base := len(journal(t, q))
	if base < compactOver {
		t.Fatalf("%d bytes are not large", base)
	}
	rewritten := false
	for range 2 * compactGrowth {
		m = checkLoad(t, q, m) // what was loaded knows what a rewrite would save
		for i := range m.Targets {
			m.Targets[i].Tries++
			m.Touch(i)
		}
		before := len(journal(t, q))
		must(t, q.Save(m))
		n := len(journal(t, q))
		rewritten = rewritten || n < before
		if n > (compactGrowth+1)*base {
			t.Fatalf("grew from %d to %d bytes", base, n)
		}
	}
	if !rewritten {
		t.Error("never rewritten")
	}
	checkLoad(t, q, m)
}

func TestJournalLimits(t *testing.T) {
	q := open(t)
	m := queued(t, q, testID)
	for range MaxTargetsEver - len(m.Targets) {
		m.Targets = append(m.Targets, Target{Kind: Recipient, State: Open, Parent: NoParent, Address: "a"})
	}
	must(t, q.Save(m))
	checkLoad(t, q, m)
	m.Add(Target{Kind: Recipient, State: Open, Parent: NoParent})
	m.Distrust()
	if err := q.Save(m); !errors.Is(err, spool.ErrLimit) {
		t.Errorf("too many targets: %v", err)
	}
	m.Targets = m.Targets[:len(m.Targets)-1]
	checkLoad(t, q, m)
	must(t, os.Truncate(q.root+"/queue/"+string(testID)+journalSuffix, maxJournal+1))
	if _, err := q.Load(testID); !errors.Is(err, ErrJournal) || !strings.Contains(err.Error(), "not a journal") {
		t.Errorf("too large: %v", err)
	}
}

func FuzzReadJournal(f *testing.F) {
	for _, n := range []int{1, 2, 5} {
		m := &Message{ID: testID, Arrived: time.UnixMicro(1), Sender: "a@b", Seen: []string{"c@d"}, Bounce: otherID}
		for i := range n {
			m.Targets = append(m.Targets, Target{Kind: Command, State: Failed, Parent: i - 1, Address: "x@y", Chain: []string{"c@d"}, Outcome: outcome.Fail("5.1.1", "no")})
		}
		b, err := snapshot(m)
		must(f, err)
		f.Add(b)
		f.Add(b[:len(b)-3])
		f.Add(append(bytes.Clone(b), b[len(journalMagic):]...))
	}
	f.Add([]byte(journalMagic))
	f.Fuzz(func(t *testing.T, b []byte) {
		m, _, err := readJournal(bytes.NewReader(b))
		if err != nil {
			if !errors.Is(err, ErrJournal) {
				t.Fatal(err)
			}
			return
		}
		for i := range m.Targets {
			if p := m.Targets[i].Parent; p < NoParent || p >= i {
				t.Fatalf("target %d has the parent %d", i, p)
			}
		}
		again, err := snapshot(m)
		must(t, err)
		got, torn, err := readJournal(bytes.NewReader(again))
		if err != nil || torn || diff(m, got) != "" {
			t.Fatalf("written again: %v, torn %v, %s", err, torn, diff(m, got))
		}
	})
}
