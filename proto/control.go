package proto

import "dma/common/outcome"

// Wake tells the runner that incoming has a new file. It is not answered.
type Wake struct{}

// Type of Wake.
func (*Wake) Type() Type { return TypeWake }
func (*Wake) walk(*wire) {}

// By is what a Selection goes by.
type By uint8

// The ways to select.
const (
	ByAll       By = 1 // every message; Value is empty
	ByID        By = 2
	ByRecipient By = 3 // those with this open recipient, as submitted or as forwarded
	BySender    By = 4 // those with this sender; empty is the null sender
)

// Selection says which messages a request is about. Of these, it reaches those
// that the caller submitted; root's reaches all.
type Selection struct {
	By    By
	Value string
}

// All selects every message.
func All() Selection { return Selection{By: ByAll} }

func (s *Selection) walk(w *wire) {
	w.enum((*uint8)(&s.By), uint8(BySender))
	w.str(&s.Value, MaxAddress)
}

// Flush asks the runner to try messages now. Answered by Ack.
type Flush struct{ Selection }

// Type of Flush.
func (*Flush) Type() Type { return TypeFlush }

// Hold asks not to try messages until they are released. Answered by Ack.
type Hold struct{ Selection }

// Type of Hold.
func (*Hold) Type() Type { return TypeHold }

// Release undoes Hold. Answered by Ack.
type Release struct{ Selection }

// Type of Release.
func (*Release) Type() Type { return TypeRelease }

// Remove asks to drop messages without telling their senders. One that is being
// delivered is stopped first. Dead letters are reached by id alone. Answered by
// Ack, which counts what is gone for good and will not be delivered any more.
type Remove struct{ Selection }

// Type of Remove.
func (*Remove) Type() Type { return TypeRemove }

// Ack says that a request was carried out, and for how many messages.
type Ack struct {
	Count  uint32
	Denied uint32 // 1 if the one with the id that was asked for is not the caller's
	Busy   uint32 // how many are still being stopped: they go as soon as that is done
}

// Type of Ack.
func (*Ack) Type() Type { return TypeAck }

func (m *Ack) walk(w *wire) {
	w.u32(&m.Count)
	w.u32(&m.Denied)
	w.u32(&m.Busy)
}

// List asks for the queue. Answered by any number of Item, each followed by its
// State messages, and one End that counts the Items.
type List struct{ Selection }

// Type of List.
func (*List) Type() Type { return TypeList }

// Show asks for one message. Answered by an Item, its State messages and, if its
// file is there, a Content; then an End.
type Show struct{ ID string }

// Type of Show.
func (*Show) Type() Type { return TypeShow }

func (m *Show) walk(w *wire) { w.str(&m.ID, MaxID) }

// Content hands over the file of a message, to be read.
type Content struct{}

// Type of Content.
func (*Content) Type() Type { return TypeContent }
func (*Content) walk(*wire) {}

// Item is one message of the queue.
type Item struct {
	ID      string
	Sender  string // empty for the null sender
	Arrived int64  // seconds since 1970
	Size    int64  // bytes
	UID     uint32 // submitter
	Active  bool   // being tried now
	Held    bool   // not to be tried until it is released
	Dead    bool   // in failed: never tried again
	States  uint32 // how many State follow
}

// Type of Item.
func (*Item) Type() Type { return TypeItem }

func (m *Item) walk(w *wire) {
	w.str(&m.ID, MaxID)
	w.str(&m.Sender, MaxAddress)
	w.i64(&m.Arrived)
	w.i64(&m.Size)
	w.u32(&m.UID)
	w.flag(&m.Active)
	w.flag(&m.Held)
	w.flag(&m.Dead)
	w.u32(&m.States)
}

// State is one recipient of an Item that is not done.
type State struct {
	Recipient string // as submitted, or where it was forwarded
	Original  string // as submitted
	Tries     uint32
	Next      int64  // seconds since 1970 of the next try; 0 if under way
	Reason    string // of the last deferral, empty before the first try
}

// Type of State.
func (*State) Type() Type { return TypeState }

func (m *State) walk(w *wire) {
	w.str(&m.Recipient, MaxAddress)
	w.str(&m.Original, MaxAddress)
	w.u32(&m.Tries)
	w.i64(&m.Next)
	w.str(&m.Reason, MaxText)
}

// Watch asks to be told of the first try of a message that is about to be
// submitted. Whoever knows its id before it is there is its submitter. Answered by
// Ack at once, then by any number of Event, and by End when the first try is over.
type Watch struct{ ID string }

// Type of Watch.
func (*Watch) Type() Type { return TypeWatch }

func (m *Watch) walk(w *wire) { w.str(&m.ID, MaxID) }

// Step is what has happened to a recipient.
type Step uint8

// The steps.
const (
	StepForwarded Step = 1 // Text is where to
	StepTrying    Step = 2
	StepDone      Step = 3
	StepLater     Step = 4
	StepFailed    Step = 5
)

// Event is a step of a message that is being watched.
type Event struct {
	Step      Step
	Recipient string
	Remote    string // "host [address]" of the server that Text is from, else empty
	Text      string
}

// Type of Event.
func (*Event) Type() Type { return TypeEvent }

func (m *Event) walk(w *wire) {
	w.enum((*uint8)(&m.Step), uint8(StepFailed))
	w.str(&m.Recipient, MaxAddress)
	w.str(&m.Remote, MaxText)
	w.str(&m.Text, MaxText)
}

// Verify asks where mail for an address would go, without sending any. Answered by
// one or more Verdict, depth first, and End.
type Verify struct {
	Sender  string // decides about the way out (SENDERMAP)
	Address string
}

// Type of Verify.
func (*Verify) Type() Type { return TypeVerify }

func (m *Verify) walk(w *wire) {
	w.str(&m.Sender, MaxAddress)
	w.str(&m.Address, MaxAddress)
}

// Verdict is one station of an address.
type Verdict struct {
	Depth   uint8           // 0 for the address that was asked for, 1 for what it stands for, and so on
	Address string          // the address or login@host of this station
	Outcome outcome.Outcome // Done: mail would go on as Text says; else why it would not
}

// Type of Verdict.
func (*Verdict) Type() Type { return TypeVerdict }

func (m *Verdict) walk(w *wire) {
	w.u8(&m.Depth)
	w.str(&m.Address, MaxAddress)
	w.outcome(&m.Outcome)
}
