package queue

import (
	"time"

	"dma/common/dsn"
	"dma/common/outcome"
	"dma/dma-queue/internal/spool"
	"dma/proto"
)

// Kind says what a target is and so who takes the next step.
type Kind uint8

// Kinds of targets. Values are part of the journal's format.
const (
	Recipient Kind = 1 // an address as submitted or as an alias or .forward names it: to be looked up
	User      Kind = 2 // a login: to be expanded by its .forward
	Mailbox   Kind = 3 // a login's mailbox
	Command   Kind = 4 // an entry of a login's .forward, or of the alias file, known by its token
	Remote    Kind = 5 // an address elsewhere
	File      Kind = 6 // the same, of a file or a maildir
)

// State is how far a target is.
type State uint8

// States of targets. Values are part of the journal's format.
const (
	Open     State = 1 // to be tried at Next
	Done     State = 2 // delivered
	Failed   State = 3 // refused for good; the sender does not know yet
	Bounced  State = 4 // refused, and a bounce exists
	Expanded State = 5 // replaced by the targets that name it as their parent
	Dropped  State = 6 // went away when its parent was expanded anew
)

// NoParent is the Parent of a target that the submitter named.
const NoParent = -1

// Target is one thing that a message is to become: first a recipient, then what
// aliases and .forward files make of it.
type Target struct {
	Kind     Kind
	State    State
	Parent   int         // index of the target that named this one
	Address  string      // Recipient, Remote: an address; otherwise login@host
	Login    string      // of all others: whose; empty for a Command or File of the alias file
	Token    proto.Token // of a Command or a File
	Original string      // the recipient as submitted
	Chain    []string    // Delivered-To addresses of the users passed through, latest first
	Notify   dsn.Notify  // when the sender wants to be told; children have their parent's
	ORcpt    string      // "type;address" that reports call Original, if anything

	Extension string // of a User and what its .forward names: what followed the + (RULES C6)

	Tries   int
	Next    time.Time  // not before; zero means at once
	Blocked bool       // waits for its destination, not for itself
	Tell    dsn.Notify // what the sender is to be told of: Success, or Delay; failures are in State
	Warned  bool       // the sender was told that it is late, or is going to be
	Outcome outcome.Outcome
	Remote  string // who said Outcome, if it was an SMTP server
}

// Identity tells whether two targets are the same delivery (DESIGN 3, duplicates
// folded; RULES C7, what is done stays done). A command is known by its own text,
// not by the rest of the file, which may have changed around it.
type Identity struct {
	kind  Kind
	where string
	entry [32]byte
	with  string // extension, of a User or Command: what they do may depend on it
}

// Identity returns what t is compared by.
func (t *Target) Identity(fold func(address string) string) Identity {
	switch t.Kind {
	case Recipient, Remote:
		return Identity{kind: t.Kind, where: fold(t.Address)}
	case Command:
		if t.OfAlias() { // it is told which alias, of which there may be several
			return Identity{Command, fold(t.Address), t.Token.Entry, t.Extension}
		}
		return Identity{Command, t.Login, t.Token.Entry, t.Extension}
	case File:
		return Identity{kind: File, where: t.Login, entry: t.Token.Entry}
	case User:
		return Identity{kind: User, where: t.Login, with: t.Extension}
	}
	return Identity{kind: t.Kind, where: t.Login}
}

// Message is the envelope of a message in the queue and the state of its targets.
type Message struct {
	ID      spool.ID
	Arrived time.Time
	UID     uint32
	Sender  string   // empty for the null sender
	Size    int64    // of the message file
	Sum     uint32   // CRC-32C of the message file
	Ret     dsn.Ret  // what a failure report gives back
	EnvID   string   // what reports call it, if anything
	Held    bool     // not tried until somebody releases it
	Seen    []string // Delivered-To addresses found in its header (RULES C5)
	Hops    int      // Received fields found in its header
	Targets []Target

	// Bounce is the id of the bounce that is being written for the failed
	// targets. It stands in the journal before the bounce exists, so that after
	// a crash the same bounce is made again, not a second one.
	Bounce spool.ID

	incoming bool // the submitted file is still there
	journal  journalState
}

// Incoming reports whether the submitted file is still there: whether the
// message would survive the loss of everything in queue.
func (m *Message) Incoming() bool { return m.incoming }

// Journaled reports whether the message has a journal.
func (m *Message) Journaled() bool { return m.journal.exists }

// Distrust says that an error of Commit leaves open what of the journal is on the
// disk: the next Save writes another one.
func (m *Message) Distrust() { m.journal.rewrite = m.journal.exists }

// Touch says that target i has changed since the last Save.
func (m *Message) Touch(i int) {
	m.journal.dirty = append(m.journal.dirty, i)
}

// Add appends a target and returns its index.
func (m *Message) Add(t Target) int {
	m.Targets = append(m.Targets, t)
	m.Touch(len(m.Targets) - 1)
	return len(m.Targets) - 1
}

// Finished reports whether nothing is left to do.
func (m *Message) Finished() bool {
	for i := range m.Targets {
		if t := &m.Targets[i]; t.State == Open || t.News() {
			return false
		}
	}
	return true
}

// News reports whether the sender is still to be told of t.
func (t *Target) News() bool { return t.State == Failed || t.Tell != 0 }

// OfAlias reports whether t is a Command or a File that the alias file names.
func (t *Target) OfAlias() bool { return (t.Kind == Command || t.Kind == File) && t.Login == "" }

// NewMessage makes the envelope of a submission. Its targets are the recipients
// as they were given, looked at by nobody yet.
func NewMessage(id spool.ID, r *spool.Received) *Message {
	m := &Message{ID: id, Arrived: r.Arrived, UID: r.UID, Sender: r.Sender, Size: r.Size, Ret: r.Ret, EnvID: r.EnvID, incoming: true}
	for _, to := range r.Recipients {
		m.Targets = append(m.Targets, Target{
			Kind: Recipient, State: Open, Parent: NoParent, Address: to.Address, Original: to.Address, Notify: to.Notify, ORcpt: to.Original,
		})
	}
	for _, a := range r.Bad {
		m.Targets = append(m.Targets, Target{
			Kind: Recipient, State: Failed, Parent: NoParent, Address: a, Original: a,
			Outcome: outcome.Fail("5.1.3", "%q is not an address", a),
		})
	}
	return m
}
