package proto

import (
	"dma/common/outcome"
)

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
	TypeLog     Type = 34 // from any helper
	TypeProbe   Type = 35 // to dma-remote; from a front end, too
	TypeReport  Type = 36
	TypeCancel  Type = 37 // to dma-local and dma-remote

	// Front end and runner, over the control socket.
	TypeWake    Type = 40
	TypeFlush   Type = 41
	TypeList    Type = 42
	TypeAck     Type = 43
	TypeItem    Type = 44
	TypeState   Type = 45
	TypeShow    Type = 46
	TypeContent Type = 47
	TypeHold    Type = 48
	TypeRelease Type = 49
	TypeRemove  Type = 50
	TypeWatch   Type = 51
	TypeEvent   Type = 52
	TypeVerify  Type = 53
	TypeVerdict Type = 54
)

// Message is one of the message types below.
type Message interface {
	Type() Type
	walk(*wire)
}

// Which types carry a descriptor. A message of these has exactly one, a message
// of any other type none.
func (t Type) carriesFile() bool {
	return t == TypeStarted || t == TypeDeliver || t == TypeSend || t == TypeContent
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
	case TypeLog:
		return new(Log)
	case TypeProbe:
		return new(Probe)
	case TypeReport:
		return new(Report)
	case TypeCancel:
		return new(Cancel)
	case TypeShow:
		return new(Show)
	case TypeContent:
		return new(Content)
	case TypeHold:
		return new(Hold)
	case TypeRelease:
		return new(Release)
	case TypeRemove:
		return new(Remove)
	case TypeWatch:
		return new(Watch)
	case TypeEvent:
		return new(Event)
	case TypeVerify:
		return new(Verify)
	case TypeVerdict:
		return new(Verdict)
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
	Aliases bool   // to dma-local: it works for what the alias file names (RULES C10)
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
	w.flag(&m.Aliases)
}

// Role is a program and account that dma-spawn may start (DESIGN 1).
type Role uint8

// The roles that a runner may ask for.
const (
	RoleForward Role = 1 // dma-forward as the user
	RoleMailbox Role = 2 // dma-local as the user with egid mail
	RoleUser    Role = 3 // dma-local as the user with the user's gid
	RoleRemote  Role = 4 // dma-remote; no login
	RoleAlias   Role = 5 // dma-local as nobody, for what the alias file names; no login
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
	case RoleAlias:
		return "alias"
	}
	return "invalid"
}

// Start asks dma-spawn for a helper. Answered by Started or Refused.
type Start struct {
	Role  Role
	Login string // empty for RoleRemote and RoleAlias
}

// Type of Start.
func (*Start) Type() Type { return TypeStart }

func (m *Start) walk(w *wire) {
	w.enum((*uint8)(&m.Role), uint8(RoleAlias))
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
	Extension string // what follows the + in user+ext (RULES C6); may be empty
}

// Type of Expand.
func (*Expand) Type() Type { return TypeExpand }

func (m *Expand) walk(w *wire) { w.str(&m.Extension, MaxExtension) }

// TargetKind tells the entries of a .forward apart.
type TargetKind uint8

// Kinds of targets.
const (
	TargetMailbox TargetKind = 1 // Address is a login; its mailbox, no expansion
	TargetAddress TargetKind = 2 // Address is to be expanded on
	TargetCommand TargetKind = 3 // Token says which; the text stays with the user
	TargetFile    TargetKind = 4 // a file or a maildir: Token says which, too
)

// ByToken reports whether a target of this kind is known by its token alone.
func (k TargetKind) ByToken() bool { return k == TargetCommand || k == TargetFile }

// Token names an entry of a user's .forward, or of the alias file, without telling
// what it says (RULES C7, C10). dma-local acts only if file and entry still have
// these hashes.
type Token struct {
	Index uint16   // position among the entries of a .forward, from 0; 0 in the alias file
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
	Address string // empty for a command or a file
	Token   Token  // zero but for these
}

// Type of Target.
func (*Target) Type() Type { return TypeTarget }

func (m *Target) walk(w *wire) {
	w.enum((*uint8)(&m.Kind), uint8(TargetFile))
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
