package proto

import (
	"dma/common/dsn"
	"dma/common/outcome"
)

// Deliver asks dma-local for one delivery; the message is its descriptor.
// Answered by Result with index 0.
type Deliver struct {
	Kind        TargetKind // any but TargetAddress
	Token       Token      // for a command or a file
	Sender      string     // envelope sender, empty for the null sender
	Recipient   string     // canonical recipient: login@host
	Original    string     // recipient as it was submitted
	Extension   string     // what follows the + in the recipient (RULES C6)
	DeliveredTo []string   // Delivered-To fields to put in front, topmost first
	Size        int64      // of the message, in bytes
}

// Type of Deliver.
func (*Deliver) Type() Type { return TypeDeliver }

func (m *Deliver) walk(w *wire) {
	w.enum((*uint8)(&m.Kind), uint8(TargetFile))
	if w.err == nil && m.Kind == TargetAddress {
		w.fail("delivery to an address")
	}
	m.Token.walk(w)
	w.str(&m.Sender, MaxAddress)
	w.str(&m.Recipient, MaxAddress)
	w.str(&m.Original, MaxAddress)
	w.str(&m.Extension, MaxExtension)
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
	Ret         dsn.Ret  // RET, for a server that offers DSN (RFC 3461 4.3)
	EnvID       string   // ENVID, decoded (RFC 3461 4.4); may be empty
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
	w.u8((*uint8)(&m.Ret))
	w.str(&m.EnvID, dsn.MaxEnvID)
	if w.err == nil && !m.Ret.Valid() {
		w.fail("return of %d", m.Ret)
	}
	if w.err == nil && (m.Recipients == 0 || m.Recipients > MaxRecipients) {
		w.fail("%d recipients", m.Recipients)
	}
}

// Rcpt is one recipient of a Send.
type Rcpt struct {
	Index    uint32 // 0 to Recipients-1, in order
	Address  string
	Notify   dsn.Notify // NOTIFY, for a server that offers DSN (RFC 3461 4.1)
	Original string     // ORCPT, decoded: "type;address" (RFC 3461 4.2); may be empty
}

// Type of Rcpt.
func (*Rcpt) Type() Type { return TypeRcpt }

func (m *Rcpt) walk(w *wire) {
	w.u32(&m.Index)
	w.str(&m.Address, MaxAddress)
	w.u8((*uint8)(&m.Notify))
	w.str(&m.Original, dsn.MaxOriginal)
	if w.err == nil && !m.Notify.Valid() {
		w.fail("notification %d", m.Notify)
	}
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
	Reports bool   // that server does what NOTIFY asks for, from now on
	Outcome outcome.Outcome
}

// Type of Result.
func (*Result) Type() Type { return TypeResult }

func (m *Result) walk(w *wire) {
	w.u32(&m.Index)
	w.enum((*uint8)(&m.Scope), uint8(ScopeStale))
	w.str(&m.Remote, MaxText)
	w.flag(&m.Reports)
	w.outcome(&m.Outcome)
	if w.err == nil && m.Scope != ScopeTarget && m.Outcome.Class != outcome.Later {
		w.fail("outcome %v for more than its target", m.Outcome.Class)
	}
}

// Cancel asks to give up the Deliver or Send that has its request number. That is
// answered as ever: what is not done when its Results come, and will not be, is
// deferred. It may cross the last of them, and means nothing then.
type Cancel struct{}

// Type of Cancel.
func (*Cancel) Type() Type { return TypeCancel }
func (*Cancel) walk(*wire) {}
