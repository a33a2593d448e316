package queue

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"dma/common/dsn"
	"dma/common/durable"
	"dma/common/outcome"
	"dma/dma-queue/internal/spool"
	"dma/proto"

	"github.com/google/renameio/v2"
)

// The journal of a message, queue/<id>.log, is a line with the version and then
// records (record.go): the envelope, then a record for every target and, in
// time, another for every change of one. The last record of a target counts.
// What a crash cut off at the end is passed over; damage before the end is not
// (RULES F4).
const (
	journalMagic   = "dma-queue 1\n"
	journalSuffix  = ".log"
	maxJournal     = 64 << 20                // bytes; larger is not ours
	compactOver    = 128 << 10               // bytes: journals below are never rewritten
	compactGrowth  = 4                       // rewrite when so many times as large as its contents need
	MaxTargets     = 1000                    // targets that one recipient may become (RULES C4)
	MaxTargetsEver = 2 * spool.MaxRecipients // of a message, with those that were expanded or dropped
)

const (
	recEnvelope = 'E'
	recTarget   = 'T'
	recBounce   = 'B'
	recHeld     = 'H'
)

// Errors of reading a journal or the file of a message.
var (
	ErrJournal = errors.New("damaged journal")
	ErrMessage = errors.New("damaged message")
)

type journalState struct {
	exists  bool
	tried   bool     // to make it: something may have its name
	first   int      // targets that it was made with: one with fewer was never complete
	rewrite bool     // has a torn tail, or may not be on the disk as it was written: append nothing to it
	size    int64    // now
	base    int64    // of what a rewrite would write, about
	dirty   []int    // targets to be written by the next Save
	bounce  spool.ID // as written last
	held    bool     // the same
}

// Save writes what has changed since the last Save, all of it the first time.
// After Save the changes survive a crash of the program; Sync of Queue.Commit
// makes them survive a crash of the machine.
func (q *Queue) Save(m *Message) error {
	j := &m.journal
	switch {
	case !j.exists:
		return q.createJournal(m)
	case j.rewrite:
		return q.rewriteJournal(m)
	}
	var b []byte
	slices.Sort(j.dirty)
	for _, i := range slices.Compact(j.dirty) {
		b = appendTarget(b, i, &m.Targets[i])
	}
	if m.Bounce != j.bounce {
		b = appendBounce(b, m.Bounce)
	}
	if m.Held != j.held {
		b = spool.AppendRecord(b, recHeld, flag(m.Held))
	}
	if len(b) == 0 {
		return nil
	}
	if j.size+int64(len(b)) > min(max(compactOver, compactGrowth*j.base), maxJournal) {
		return q.rewriteJournal(m)
	}
	f, err := q.queue.Append(string(m.ID) + journalSuffix)
	if err != nil {
		return fmt.Errorf("append to journal of %s: %w", m.ID, err)
	}
	_, err = f.Write(b)
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		j.rewrite = true // how much of b is there is not known
		return fmt.Errorf("append to journal of %s: %w", m.ID, err)
	}
	j.size += int64(len(b))
	j.dirty, j.bounce, j.held = j.dirty[:0], m.Bounce, m.Held
	return nil
}

// snapshot is a journal that says what m is now. One that could not be read
// again is an error.
func snapshot(m *Message) ([]byte, error) {
	b := []byte(journalMagic)
	b = spool.AppendRecord(b, recEnvelope, append([]string{
		string(m.ID), num(m.Arrived.UnixMicro()), num(m.UID), m.Sender, num(m.Size), num(m.Sum), num(m.Hops), num(len(m.Targets)),
		num(m.Ret), m.EnvID, flag(m.Held),
	}, m.Seen...)...)
	for i := range m.Targets {
		b = appendTarget(b, i, &m.Targets[i])
	}
	if m.Bounce != "" {
		b = appendBounce(b, m.Bounce)
	}
	if len(b) > maxJournal || len(m.Targets) > MaxTargetsEver {
		return nil, fmt.Errorf("%d targets in %d bytes: %w", len(m.Targets), len(b), spool.ErrLimit)
	}
	return b, nil
}

// appendBounce writes which bounce is under way, or with no id that none is.
func appendBounce(b []byte, id spool.ID) []byte {
	if id == "" {
		return spool.AppendRecord(b, recBounce)
	}
	return spool.AppendRecord(b, recBounce, string(id))
}

// createJournal replaces what an attempt that failed may have left.
func (q *Queue) createJournal(m *Message) error {
	m.journal.tried = true
	b, err := snapshot(m)
	if err == nil {
		err = q.write(string(m.ID)+journalSuffix, func(f *durable.File) error { _, err := f.Write(b); return err })
	}
	if err != nil {
		return fmt.Errorf("create journal of %s: %w", m.ID, err)
	}
	m.written(b)
	return nil
}

func (q *Queue) rewriteJournal(m *Message) error {
	dir := q.root + "/queue"
	b, err := snapshot(m)
	if err == nil { // the new file is synced before it takes the name
		err = renameio.WriteFile(dir+"/"+string(m.ID)+journalSuffix, b, 0o600, renameio.WithTempDir(dir), renameio.IgnoreUmask())
	}
	if err != nil {
		return fmt.Errorf("rewrite journal of %s: %w", m.ID, err)
	}
	q.newQueue.Store(true)
	m.written(b)
	return nil
}

func (m *Message) written(snapshot []byte) {
	size := int64(len(snapshot))
	m.journal = journalState{exists: true, size: size, base: size, bounce: m.Bounce, held: m.Held}
}

func num[T int | int64 | uint32 | Kind | State | outcome.Class | dsn.Notify | dsn.Ret](n T) string {
	return strconv.FormatInt(int64(n), 10)
}

func flag(on bool) string {
	if on {
		return "1"
	}
	return "0"
}

func appendTarget(b []byte, i int, t *Target) []byte {
	next := int64(0)
	if !t.Next.IsZero() {
		next = t.Next.Unix()
	}
	return spool.AppendRecord(b, recTarget, append([]string{
		num(i), num(t.Kind), num(t.State), num(t.Parent), t.Address, t.Login,
		num(int(t.Token.Index)), string(t.Token.File[:]), string(t.Token.Entry[:]), t.Original,
		num(t.Tries), num(next), flag(t.Blocked), num(t.Outcome.Class), t.Outcome.Code, t.Outcome.Text, t.Remote,
		num(t.Notify), t.ORcpt, num(t.Tell), flag(t.Warned), t.Extension,
	}, t.Chain...)...)
}

// readJournal parses a journal. torn reports bytes at its end that are no record.
func readJournal(r io.Reader) (m *Message, torn bool, err error) {
	b, err := io.ReadAll(io.LimitReader(r, maxJournal+1))
	if err != nil {
		return nil, false, fmt.Errorf("read journal: %w", err)
	}
	size := int64(len(b))
	b, ok := bytes.CutPrefix(b, []byte(journalMagic))
	if !ok || size > maxJournal {
		return nil, false, fmt.Errorf("%w: not a journal of version 1", ErrJournal)
	}
	for len(b) > 0 {
		kind, fields, rest, err := spool.NextRecord(b)
		if err != nil {
			if m == nil || laterRecord(b) {
				return nil, false, fmt.Errorf("%w: at byte %d", ErrJournal, size-int64(len(b)))
			}
			torn = true
			break
		}
		d := fieldReader{fields: fields}
		switch {
		case kind == recEnvelope && m == nil:
			m = d.envelope()
		case kind == recTarget && m != nil:
			d.target(m)
		case kind == recBounce && m != nil && len(fields) == 0:
			m.Bounce = ""
		case kind == recBounce && m != nil && len(fields) == 1:
			m.Bounce = d.id()
		case kind == recHeld && m != nil && len(fields) == 1:
			m.Held = d.flag()
		default:
			d.bad = true
		}
		if d.bad {
			return nil, false, fmt.Errorf("%w: record %q at byte %d", ErrJournal, kind, size-int64(len(b)))
		}
		b = rest
	}
	if m == nil || len(m.Targets) < m.journal.first {
		return nil, false, fmt.Errorf("%w: no envelope or not all recipients", ErrJournal)
	}
	m.journal = journalState{exists: true, rewrite: torn, size: size, base: size, bounce: m.Bounce, held: m.Held}
	if size > compactOver { // or it would grow with every run that reads it
		b, err := snapshot(m)
		if err != nil {
			return nil, false, fmt.Errorf("%w: %w", ErrJournal, err)
		}
		m.journal.base = int64(len(b))
	}
	return m, torn, nil
}

// laterRecord reports whether a whole record follows the bad one that b starts
// with: then it is damage, not the end of an interrupted write. It looks at every
// byte, as the line end of the bad one may be what is damaged. No address or text
// has a line end in it, so none can look like a record.
func laterRecord(b []byte) bool {
	for i := 1; i < len(b); i++ {
		if _, _, _, err := spool.NextRecord(b[i:]); err == nil {
			return true
		}
	}
	return false
}

// fieldReader takes the fields of a record in order; anything out of bounds
// makes the record bad.
type fieldReader struct {
	fields []string
	bad    bool
}

func (d *fieldReader) str(limit int) string {
	if len(d.fields) == 0 || len(d.fields[0]) > limit || strings.ContainsFunc(d.fields[0], control) {
		d.bad = true
		return ""
	}
	s := d.fields[0]
	d.fields = d.fields[1:]
	return s
}

func control(r rune) bool { return r < 0x20 || r == 0x7f }

func (d *fieldReader) num(low, high int64) int64 {
	n, err := strconv.ParseInt(d.str(20), 10, 64)
	if err != nil || n < low || n > high {
		d.bad = true
		return low
	}
	return n
}

func (d *fieldReader) flag() bool { return d.num(0, 1) == 1 }

func (d *fieldReader) id() spool.ID {
	id, err := spool.ParseID(d.str(proto.MaxID))
	d.bad = d.bad || err != nil
	return id
}

func (d *fieldReader) hash() (h [32]byte) {
	if len(d.fields) == 0 || len(d.fields[0]) != len(h) {
		d.bad = true
		return h
	}
	copy(h[:], d.fields[0])
	d.fields = d.fields[1:]
	return h
}

// rest is what is left: a list of at most most addresses.
func (d *fieldReader) rest(most int) (list []string) {
	if len(d.fields) > most {
		d.bad = true
	}
	for !d.bad && len(d.fields) > 0 {
		list = append(list, d.str(proto.MaxAddress))
	}
	return list
}

const (
	maxTime = 1 << 55 // microseconds: the year 3111
	maxSeen = 100     // Delivered-To fields remembered
)

func (d *fieldReader) envelope() *Message {
	return &Message{
		ID: d.id(), Arrived: time.UnixMicro(d.num(0, maxTime)), UID: uint32(d.num(0, 1<<32-1)), Sender: d.str(proto.MaxAddress),
		Size: d.num(0, 1<<50), Sum: uint32(d.num(0, 1<<32-1)), Hops: int(d.num(0, 1<<20)),
		journal: journalState{first: int(d.num(1, MaxTargetsEver))},
		Ret:     dsn.Ret(d.num(0, int64(dsn.RetHeaders))), EnvID: d.str(dsn.MaxEnvID), Held: d.flag(),
		Seen: d.rest(maxSeen),
	}
}

func (d *fieldReader) target(m *Message) {
	i := int(d.num(0, int64(min(len(m.Targets), MaxTargetsEver-1))))
	t := Target{
		Kind: Kind(d.num(1, int64(File))), State: State(d.num(1, int64(Dropped))), Parent: int(d.num(NoParent, int64(i)-1)),
		Address: d.str(proto.MaxAddress), Login: d.str(proto.MaxLogin),
		Token:    proto.Token{Index: uint16(d.num(0, 1<<16-1)), File: d.hash(), Entry: d.hash()},
		Original: d.str(proto.MaxAddress), Tries: int(d.num(0, 1<<30)),
	}
	if next := d.num(0, maxTime); next > 0 {
		t.Next = time.Unix(next, 0)
	}
	t.Blocked = d.flag()
	t.Outcome = outcome.Outcome{Class: outcome.Class(d.num(0, int64(outcome.Failed))), Code: d.str(len("5.999.999")), Text: d.str(outcome.MaxText)}
	t.Remote = d.str(proto.MaxText)
	t.Notify, t.ORcpt = dsn.Notify(d.num(0, int64(dsn.Never))), d.str(dsn.MaxOriginal)
	t.Tell, t.Warned, t.Extension = dsn.Notify(d.num(0, int64(dsn.Never))), d.flag(), d.str(proto.MaxExtension)
	t.Chain = d.rest(proto.MaxChain)
	switch {
	case d.bad:
	case i == len(m.Targets):
		m.Targets = append(m.Targets, t)
	default:
		m.Targets[i] = t
	}
}
