package proto

import "dma/common/outcome"

// Version is the version of this protocol. All programs of the suite are
// installed together; a peer of another version is refused.
const Version = 1

// Type tells messages apart. Values are part of the protocol.
type Type uint16

// All message types, by channel.
const (
	TypeHello Type = 1 // both ways, first on every channel

	// Runner and dma-spawn.
	TypeStart   Type = 10
	TypeStarted Type = 11
	TypeRefused Type = 12

	// Runner and dma-forward.
	TypeExpand Type = 20
	TypeTarget Type = 21
	TypeEnd    Type = 22 // also ends a listing on the control socket
	TypeFail   Type = 23

	// Runner and dma-local or dma-remote.
	TypeDeliver Type = 30
	TypeSend    Type = 31
	TypeRcpt    Type = 32
	TypeResult  Type = 33

	// Front end and runner, over the control socket.
	TypeWake  Type = 40
	TypeFlush Type = 41
	TypeList  Type = 42
	TypeAck   Type = 43
	TypeItem  Type = 44
	TypeState Type = 45
)

// Message is one of the message types below.
type Message interface {
	Type() Type
	walk(*wire)
}

// Which types carry a descriptor. A message of these has exactly one, a message
// of any other type none.
func (t Type) carriesFile() bool {
	return t == TypeStarted || t == TypeDeliver || t == TypeSend
}

// newMessage returns an empty message of type t, nil for an unknown type.
func newMessage(t Type) Message {
	switch t {
	case TypeHello:
		return new(Hello)
	case TypeStart:
		return new(Start)
	case TypeStarted:
		return new(Started)
	case TypeRefused:
		return new(Refused)
	case TypeExpand:
		return new(Expand)
	case TypeTarget:
		return new(Target)
	case TypeEnd:
		return new(End)
	case TypeFail:
		return new(Fail)
	case TypeDeliver:
		return new(Deliver)
	case TypeSend:
		return new(Send)
	case TypeRcpt:
		return new(Rcpt)
	case TypeResult:
		return new(Result)
	case TypeWake:
		return new(Wake)
	case TypeFlush:
		return new(Flush)
	case TypeList:
		return new(List)
	case TypeAck:
		return new(Ack)
	case TypeItem:
		return new(Item)
	case TypeState:
		return new(State)
	}
	return nil
}

// Hello is the first message each way on every channel. What a helper receives
// was sent by dma-spawn before it gave the other end away, so that a helper
// hears from root, not from the queue, who it is. All other Hellos have only
// the version.
type Hello struct {
	Version uint16
	Login   string // the account this helper works for; empty for dma-remote and the runner
	UID     uint32 // uid of Login: in a mailbox helper for root 0, though it runs as another
	Home    string
	Shell   string
	Queue   uint32 // uid that owns message files (RULES B5)
}

// Type of Hello.
func (*Hello) Type() Type { return TypeHello }

func (m *Hello) walk(w *wire) {
	w.u16(&m.Version)
	w.str(&m.Login, MaxLogin)
	w.u32(&m.UID)
	w.str(&m.Home, MaxPath)
	w.str(&m.Shell, MaxPath)
	w.u32(&m.Queue)
}

// Role is a program and account that dma-spawn may start (DESIGN 1).
type Role uint8

// The roles that a runner may ask for.
const (
	RoleForward Role = 1 // dma-forward as the user
	RoleMailbox Role = 2 // dma-local as the user with egid mail
	RoleUser    Role = 3 // dma-local as the user with the user's gid
	RoleRemote  Role = 4 // dma-remote; no login
)

func (r Role) String() string {
	switch r {
	case RoleForward:
		return "forward"
	case RoleMailbox:
		return "mailbox"
	case RoleUser:
		return "user"
	case RoleRemote:
		return "remote"
	}
	return "invalid"
}

// Start asks dma-spawn for a helper. Answered by Started or Refused.
type Start struct {
	Role  Role
	Login string // empty for RoleRemote
}

// Type of Start.
func (*Start) Type() Type { return TypeStart }

func (m *Start) walk(w *wire) {
	w.enum((*uint8)(&m.Role), uint8(RoleRemote))
	w.str(&m.Login, MaxLogin)
}

// Started hands over the channel to a new helper, as its descriptor.
type Started struct {
	PID uint32
}

// Type of Started.
func (*Started) Type() Type { return TypeStarted }

func (m *Started) walk(w *wire) { w.u32(&m.PID) }

// Refusal says why dma-spawn started nothing.
type Refusal uint8

// Refusals. Only Unknown and Forbidden are final; the others defer.
const (
	RefusedUnknown   Refusal = 1 // the user database has no such login
	RefusedForbidden Refusal = 2 // uid 0, gid 0, or an account of the suite
	RefusedLater     Refusal = 3 // look-up or start failed, or too many helpers
)

// Refused answers Start.
type Refused struct {
	Why  Refusal
	Text string
}

// Type of Refused.
func (*Refused) Type() Type { return TypeRefused }

func (m *Refused) walk(w *wire) {
	w.enum((*uint8)(&m.Why), uint8(RefusedLater))
	w.str(&m.Text, MaxText)
}

// Expand asks dma-forward what the user's .forward says. Answered by any number
// of Target and one End, or by Fail. No targets means the user's own mailbox.
type Expand struct {
	Extension string // what follows the + in user+ext; not used yet
}

// Type of Expand.
func (*Expand) Type() Type { return TypeExpand }

func (m *Expand) walk(w *wire) { w.str(&m.Extension, 64) }

// TargetKind tells the entries of a .forward apart.
type TargetKind uint8

// Kinds of targets.
const (
	TargetMailbox TargetKind = 1 // Address is a login; its mailbox, no expansion
	TargetAddress TargetKind = 2 // Address is to be expanded on
	TargetCommand TargetKind = 3 // Token says which; the text stays with the user
)

// Token names an entry of a user's .forward without telling what it says
// (RULES C7). dma-local acts only if file and entry still have these hashes.
type Token struct {
	Index uint16   // position among the entries of the file, from 0
	File  [32]byte // SHA-256 of the file
	Entry [32]byte // SHA-256 of the entry
}

func (t *Token) walk(w *wire) {
	w.u16(&t.Index)
	w.hash(&t.File)
	w.hash(&t.Entry)
}

// Target is one entry of a .forward.
type Target struct {
	Kind    TargetKind
	Address string // empty for a command
	Token   Token  // zero but for a command
}

// Type of Target.
func (*Target) Type() Type { return TypeTarget }

func (m *Target) walk(w *wire) {
	w.enum((*uint8)(&m.Kind), uint8(TargetCommand))
	w.str(&m.Address, MaxAddress)
	m.Token.walk(w)
}

// End ends a list and says how long it was.
type End struct {
	Count uint32
}

// Type of End.
func (*End) Type() Type { return TypeEnd }

func (m *End) walk(w *wire) { w.u32(&m.Count) }

// Fail answers Expand: no targets, and why. Its outcome is never Done.
type Fail struct {
	Outcome outcome.Outcome
}

// Type of Fail.
func (*Fail) Type() Type { return TypeFail }

func (m *Fail) walk(w *wire) {
	w.outcome(&m.Outcome)
	if w.err == nil && m.Outcome.Class == outcome.Done {
		w.fail("failure that is a success")
	}
}

// outcome checks both ways: no program may say that a thing is done with a
// code that says it failed.
func (w *wire) outcome(o *outcome.Outcome) {
	w.enum((*uint8)(&o.Class), uint8(outcome.Failed))
	w.str(&o.Code, len("5.999.999"))
	w.str(&o.Text, outcome.MaxText)
	if w.err == nil && !o.Valid() {
		w.fail("invalid outcome")
	}
}

// Deliver asks dma-local for one delivery; the message is its descriptor.
// Answered by Result with index 0.
type Deliver struct {
	Kind        TargetKind // TargetMailbox or TargetCommand
	Token       Token      // for a command
	Sender      string     // envelope sender, empty for the null sender
	Recipient   string     // canonical recipient: login@host
	Original    string     // recipient as it was submitted
	DeliveredTo []string   // Delivered-To fields to put in front, topmost first
	Size        int64      // of the message, in bytes
}

// Type of Deliver.
func (*Deliver) Type() Type { return TypeDeliver }

func (m *Deliver) walk(w *wire) {
	w.enum((*uint8)(&m.Kind), uint8(TargetCommand))
	if w.err == nil && m.Kind == TargetAddress {
		w.fail("delivery to an address")
	}
	m.Token.walk(w)
	w.str(&m.Sender, MaxAddress)
	w.str(&m.Recipient, MaxAddress)
	w.str(&m.Original, MaxAddress)
	w.strs(&m.DeliveredTo, MaxAddress, MaxChain)
	w.i64(&m.Size)
}

// MaxRecipients bounds the recipients of one Send (RULES C4).
const MaxRecipients = 1000

// Send asks dma-remote to send a message, its descriptor, to the recipients in
// the Recipients messages of type Rcpt that follow with the same request
// number. Answered by one Result per recipient.
type Send struct {
	Domain      string   // whose MX hosts to ask; empty means the smarthost of dma.conf
	Sender      string   // envelope sender, empty for the null sender
	DeliveredTo []string // Delivered-To fields to put in front, topmost first
	Size        int64    // of the message, in bytes
	Recipients  uint32   // how many Rcpt follow
	ID          string   // the message's id, for the log
}

// Type of Send.
func (*Send) Type() Type { return TypeSend }

func (m *Send) walk(w *wire) {
	w.str(&m.Domain, MaxAddress)
	w.str(&m.Sender, MaxAddress)
	w.strs(&m.DeliveredTo, MaxAddress, MaxChain)
	w.i64(&m.Size)
	w.u32(&m.Recipients)
	w.str(&m.ID, MaxID)
	if w.err == nil && (m.Recipients == 0 || m.Recipients > MaxRecipients) {
		w.fail("%d recipients", m.Recipients)
	}
}

// Rcpt is one recipient of a Send.
type Rcpt struct {
	Index   uint32 // 0 to Recipients-1, in order
	Address string
}

// Type of Rcpt.
func (*Rcpt) Type() Type { return TypeRcpt }

func (m *Rcpt) walk(w *wire) {
	w.u32(&m.Index)
	w.str(&m.Address, MaxAddress)
}

// Scope says what a deferral is about.
type Scope uint8

// Scopes of a Result.
const (
	ScopeTarget      Scope = 1 // this message or recipient alone
	ScopeDestination Scope = 2 // whatever goes there: its other mail waits with it
	ScopeStale       Scope = 3 // the token is out of date: expand the user anew
)

// Result ends one recipient of a Deliver or a Send.
type Result struct {
	Index   uint32
	Scope   Scope
	Remote  string // who said so: "host [address]" of an SMTP server, else empty
	Outcome outcome.Outcome
}

// Type of Result.
func (*Result) Type() Type { return TypeResult }

func (m *Result) walk(w *wire) {
	w.u32(&m.Index)
	w.enum((*uint8)(&m.Scope), uint8(ScopeStale))
	w.str(&m.Remote, MaxText)
	w.outcome(&m.Outcome)
	if w.err == nil && m.Scope != ScopeTarget && m.Outcome.Class != outcome.Later {
		w.fail("outcome %v for more than its target", m.Outcome.Class)
	}
}

// Wake tells the runner that incoming has a new file. It is not answered.
type Wake struct{}

// Type of Wake.
func (*Wake) Type() Type { return TypeWake }
func (*Wake) walk(*wire) {}

// Flush asks the runner to try everything now. Answered by Ack.
type Flush struct{}

// Type of Flush.
func (*Flush) Type() Type { return TypeFlush }
func (*Flush) walk(*wire) {}

// Ack says that a request was carried out.
type Ack struct{}

// Type of Ack.
func (*Ack) Type() Type { return TypeAck }
func (*Ack) walk(*wire) {}

// List asks for the queue. Answered by any number of Item, each followed by its
// State messages, and one End that counts the Items.
type List struct{}

// Type of List.
func (*List) Type() Type { return TypeList }
func (*List) walk(*wire) {}

// Item is one message of the queue.
type Item struct {
	ID      string
	Sender  string // empty for the null sender
	Arrived int64  // seconds since 1970
	Size    int64  // bytes
	UID     uint32 // submitter
	Active  bool   // being tried now
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
	w.flag(&m.Dead)
	w.u32(&m.States)
}

// State is one recipient of an Item that is not done.
type State struct {
	Recipient string // as submitted, or where it was forwarded
	Tries     uint32
	Next      int64  // seconds since 1970 of the next try; 0 if under way
	Reason    string // of the last deferral, empty before the first try
}

// Type of State.
func (*State) Type() Type { return TypeState }

func (m *State) walk(w *wire) {
	w.str(&m.Recipient, MaxAddress)
	w.u32(&m.Tries)
	w.i64(&m.Next)
	w.str(&m.Reason, MaxText)
}
