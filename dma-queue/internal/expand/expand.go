// Package expand says where a message goes: it turns recipients into targets,
// with the alias file and with what dma-forward found in a user's .forward.
// It only computes; programs are started elsewhere.
package expand

import (
	"crypto/sha256"
	"slices"
	"strings"
	"sync"

	"dma/common/aliases"
	"dma/common/aliases/token"
	"dma/common/conf"
	"dma/common/mailaddr"
	"dma/common/outcome"
	"dma/common/passwd"
	"dma/dma-queue/internal/queue"
	"dma/proto"
)

// Limits of RULES C4 and C5. Going over the first two defers, as a mistake in a
// file is behind it; going over the third means that the mail runs in a circle.
const (
	MaxDepth = proto.MaxChain   // aliases in aliases, and users passed through
	MaxTotal = queue.MaxTargets // targets of a message, besides the recipients that it was given
	MaxHops  = 50               // Received fields
)

// ListReader reads a list of addresses. Its error says what to do.
type ListReader func(path string) ([]aliases.Target, error)

// Expander knows the host's names and aliases.
type Expander struct {
	Aliases    *aliases.Table
	AliasErr   error         // why there are no Aliases; defers what would need them
	List       ListReader    // reads the lists that aliases include
	Host       string        // of canonical recipients: login@Host
	NullDomain string        // of bare names on a null client; empty means Host
	NullClient bool          // nothing is local (NULLCLIENT)
	Delivery   conf.Delivery // what is delivered at all (DELIVERY)
	// AliasCommands: commands and files that the alias file names are delivered to
	// (ALIASCOMMANDS).
	AliasCommands bool
	Login         func(name string) string // the login that a name means, which may be written in other case; nil: as it is
	Local         func(domain string) bool // of domains whose mail stays here; true for ""
}

// Canonical is the address that Delivered-To fields have for a login.
func (e *Expander) Canonical(login string) string { return login + "@" + e.Host }

// Fold is an address as two spellings of one have in common. Of the domains that
// stay here only Host means no domain: others may have aliases of their own.
func (e *Expander) Fold(address string) string {
	a, err := mailaddr.Parse(address)
	if err != nil {
		return address
	}
	if strings.EqualFold(a.Domain, e.Host) && !e.NullClient {
		a.Domain = ""
	}
	return a.Key()
}

// A Run expands targets of one message. It remembers what the message already
// has, so that a thousand recipients are not each compared with all others.
type Run struct {
	e    *Expander
	m    *queue.Message
	have map[queue.Identity]int   // live targets by what they are
	room int                      // for more of them
	file func() [sha256.Size]byte // names the alias file; a long one is read once
}

// Begin looks at the targets of m. The Run is good until somebody else changes them.
func (e *Expander) Begin(m *queue.Message) *Run {
	r := &Run{e: e, m: m, have: make(map[queue.Identity]int, len(m.Targets)), room: MaxTotal}
	r.file = sync.OnceValue(func() [sha256.Size]byte { return token.File(e.Aliases) })
	given := 0
	for i := range m.Targets {
		t := &m.Targets[i]
		if t.Parent == queue.NoParent {
			given++
		}
		if t.State != queue.Dropped && t.State != queue.Expanded {
			r.have[t.Identity(e.Fold)]++
			r.room--
		}
	}
	// Only what multiplies is bounded: a thousand recipients on a command line are no loop.
	r.room += max(given-1, 0)
	return r
}

// Resolve looks up target i, a Recipient, in the aliases. It becomes a User, a
// Mailbox or a Remote, or is replaced by several of them. An outcome that is not
// zero says why it was not, and then nothing has changed.
func (r *Run) Resolve(i int) outcome.Outcome {
	t := &r.m.Targets[i]
	w := walk{e: r.e, file: r.file}
	w.address(t.Address, t.Parent != queue.NoParent)
	switch {
	case w.fault.Class == outcome.Failed && t.Parent != queue.NoParent:
		// The user's file is wrong, which the sender cannot help.
		return outcome.Defer("4.3.5", "%s is forwarded to %q: %s", t.Original, t.Address, w.fault.Text)
	case w.fault.Class != 0:
		return w.fault
	case len(w.leaves) == 0 && w.discard:
		t.State, t.Outcome = queue.Done, outcome.Success("discarded: the alias is /dev/null")
		r.m.Touch(i)
		return outcome.Outcome{}
	case len(w.leaves) == 0:
		return outcome.Defer("4.3.5", "the aliases of %s lead nowhere but back to it; correct the alias file", t.Address)
	}
	for k := range w.leaves {
		// RULES C5. What an alias sends on has no Delivered-To of the alias, and is
		// stopped by its Received fields; a command is given one.
		if n := &w.leaves[k]; n.OfAlias() && n.Kind == queue.Command && r.seen(n.Address) {
			return loop(n.Address)
		}
	}
	return r.replace(i, w.leaves, t.Chain)
}

// seen reports whether the message was at address before.
func (r *Run) seen(address string) bool {
	return slices.ContainsFunc(r.m.Seen, func(s string) bool { return strings.EqualFold(s, address) })
}

func loop(address string) outcome.Outcome {
	return outcome.Fail("5.4.6", "mail forwarding loop for %s: the message has been here before", address)
}

// Forwarded replaces target i, a User, by what the user's .forward says; nothing
// means the mailbox. What of it was done before, when the file was expanded
// earlier, stays done.
func (r *Run) Forwarded(i int, entries []proto.Target) outcome.Outcome {
	t := &r.m.Targets[i]
	if len(entries) == 0 {
		return r.replace(i, []queue.Target{{Kind: queue.Mailbox, Login: t.Login, Extension: t.Extension}}, t.Chain)
	}
	leaves := make([]queue.Target, 0, len(entries))
	forwards := false
	for _, n := range entries {
		switch n.Kind {
		case proto.TargetMailbox:
			if !passwd.ValidLogin(n.Address) { // who answers is the user, and may answer anything (RULES B3)
				return outcome.Defer("4.3.5", "%s is forwarded to the mailbox of %q, which is no login", t.Original, n.Address)
			}
			leaves = append(leaves, queue.Target{Kind: queue.Mailbox, Login: n.Address})
		case proto.TargetCommand:
			leaves = append(leaves, queue.Target{Kind: queue.Command, Login: t.Login, Token: n.Token, Extension: t.Extension})
			forwards = true
		case proto.TargetFile:
			leaves = append(leaves, queue.Target{Kind: queue.File, Login: t.Login, Token: n.Token, Extension: t.Extension})
		default:
			leaves = append(leaves, queue.Target{Kind: queue.Recipient, Address: n.Address})
			forwards = true
		}
	}
	self := r.e.Canonical(t.Login)
	// RULES C5. A mailbox ends the way, so only what goes on can be a circle.
	if forwards && r.seen(self) {
		return loop(self)
	}
	if len(t.Chain) >= MaxDepth {
		return outcome.Defer("4.4.6", "forwarded through more than %d users", MaxDepth)
	}
	return r.replace(i, leaves, append([]string{self}, t.Chain...))
}

// replace puts leaves in the place of target i: one in place of it, several
// behind it. A leaf that the message already has is left out.
func (r *Run) replace(i int, leaves []queue.Target, chain []string) outcome.Outcome {
	parent := r.m.Targets[i]
	r.have[parent.Identity(r.e.Fold)]--
	fresh := make([]queue.Target, 0, len(leaves))
	for _, t := range leaves {
		t = r.child(t, i, chain)
		if id := t.Identity(r.e.Fold); r.have[id] == 0 {
			r.have[id]++
			fresh = append(fresh, t)
		}
	}
	// A User stays as the parent of what its file says, and a Recipient as that of a
	// command, so that the file can be read again (Stale); but for the mailbox, which
	// needs no file.
	inPlace := len(leaves) == 1 && len(fresh) == 1 && (parent.Kind != queue.User || fresh[0].Kind == queue.Mailbox) && !fresh[0].OfAlias()
	if len(fresh) > 1 && len(fresh)-1 > r.room || !inPlace && len(r.m.Targets)+len(fresh) > queue.MaxTargetsEver {
		for k := range fresh {
			r.have[fresh[k].Identity(r.e.Fold)]--
		}
		r.have[parent.Identity(r.e.Fold)]++
		return outcome.Defer("4.5.3", "%s becomes more than %d deliveries", parent.Address, MaxTotal)
	}
	r.room -= len(fresh) - 1
	t := &r.m.Targets[i]
	if inPlace {
		*t = fresh[0]
		t.Parent = parent.Parent
	} else {
		t.State = queue.Expanded
		for _, n := range fresh {
			r.m.Add(n)
		}
	}
	r.m.Touch(i)
	return outcome.Outcome{}
}

// child fills in leaf t of target i.
func (r *Run) child(t queue.Target, i int, chain []string) queue.Target {
	parent := &r.m.Targets[i]
	t.State, t.Parent, t.Original, t.Chain = queue.Open, i, parent.Original, chain
	t.Notify, t.ORcpt = parent.Notify, parent.ORcpt
	if t.Kind == queue.Recipient || t.Kind == queue.Remote || t.OfAlias() {
		return t
	}
	t.Address = r.e.Canonical(t.Login)
	switch {
	case t.Kind == queue.Mailbox && parent.Kind == queue.User && t.Login == parent.Login:
		t.Chain = parent.Chain // the user is no station on the way to the user's own mailbox
	case t.Kind == queue.User && slices.Contains(chain, t.Address):
		t.Kind, t.Extension = queue.Mailbox, "" // a to b to a ends in a's mailbox (RULES C5)
	}
	return t
}

// Stale takes back what target i, a Command whose token no longer fits, was made
// of: its user, or the alias that names it, is to be expanded anew (RULES C7, C10).
// Targets that are done stay, and so do those that are flying: they may be done in a
// moment.
func (e *Expander) Stale(m *queue.Message, i int, flying map[int]bool) (user int) {
	user = m.Targets[i].Parent
	if user < 0 || m.Targets[user].Kind != queue.User && !m.Targets[i].OfAlias() {
		return -1
	}
	for j := range m.Targets {
		if t := &m.Targets[j]; t.Parent == user && t.State == queue.Open && (j == i || !flying[j]) {
			t.State = queue.Dropped
			m.Touch(j)
		}
	}
	m.Targets[user].State = queue.Open
	m.Touch(user)
	return user
}
