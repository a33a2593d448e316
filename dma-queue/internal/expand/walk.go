package expand

import (
	"strings"

	"dma/common/aliases"
	"dma/common/mailaddr"
	"dma/common/outcome"
	"dma/common/passwd"
	"dma/dma-queue/internal/queue"
	"dma/proto"
)

// walk is one recipient's way through the aliases.
type walk struct {
	e      *Expander
	path   []string        // aliases passed on the way to where the walk is
	seen   map[string]bool // aliases ever passed: what they stand for is there, or comes
	leaves []queue.Target
	fault  outcome.Outcome
	// discard: an alias names /dev/null, as many files do for accounts that nobody
	// reads. It needs no delivery to a file.
	discard bool
}

// fail ends the walk. What the submitter did not write, the submitter cannot
// help: it waits until somebody has put the alias right.
func (w *walk) fail(o outcome.Outcome) {
	if w.fault.Class != 0 {
		return
	}
	if w.fault = o; o.Class == outcome.Failed && len(w.path) > 0 {
		w.fault = outcome.Defer("4.3.5", "alias %q: %s", w.path[len(w.path)-1], o.Text)
	}
}

// address adds what addr stands for. Names that an alias or a .forward names are
// exact: they do not fall to the alias *, or all would end there.
func (w *walk) address(address string, exact bool) {
	a, err := mailaddr.Parse(address)
	if err != nil {
		w.fail(outcome.Fail("5.1.3", "%q is not an address: %v", address, err))
		return
	}
	if !w.e.Local(a.Domain) {
		w.remote(a)
		return
	}
	if w.e.AliasErr != nil {
		w.fail(outcome.Defer("4.3.0", "the alias file cannot be read: %v", w.e.AliasErr))
		return
	}
	name := strings.ToLower(a.Local)
	self := len(w.path) > 0 && w.path[len(w.path)-1] == name
	targets, found := w.lookup(a.Local, exact)
	switch {
	case self, !found:
		w.here(queue.User, a) // a name that stands for itself is the user of that name
	case w.seen[name]: // a longer circle ends
	case len(w.path) == MaxDepth:
		w.fail(outcome.Defer("4.4.6", "alias %q goes through more than %d others; correct the alias file", w.path[0], MaxDepth))
	default:
		w.alias(name, targets)
	}
}

// lookup finds an alias by its name, or by its name at this host.
func (w *walk) lookup(name string, exact bool) ([]aliases.Target, bool) {
	if w.e.Aliases == nil {
		return nil, false
	}
	if name += "@" + w.e.Host; exact || w.e.NullClient {
		return w.e.Aliases.Exact(name)
	}
	return w.e.Aliases.Lookup(name)
}

func (w *walk) alias(name string, targets []aliases.Target) {
	if w.seen == nil {
		w.seen = make(map[string]bool)
	}
	w.seen[name] = true
	w.path = append(w.path, name)
	for _, t := range targets {
		switch {
		case w.fault.Class != 0:
			return
		case t.Kind == aliases.File && t.Text == "/dev/null":
			w.discard = true
		case t.Kind != aliases.Address:
			w.fail(outcome.Defer("4.3.5", "alias %q names a command, a file or an :include: list, which this version does not deliver to; name an address instead", name))
		case t.NoExpand:
			w.here(queue.Mailbox, t.Addr)
		default:
			w.address(t.Addr.String(), true)
		}
	}
	w.path = w.path[:len(w.path)-1]
}

// here adds a user of this host, which on a null client is one of another.
func (w *walk) here(kind queue.Kind, a mailaddr.Addr) {
	switch {
	case w.e.NullClient && a.Domain == "" && w.e.NullDomain != "":
		w.remote(a.In(w.e.NullDomain))
	case w.e.NullClient:
		w.remote(a.In(w.e.Host))
	default:
		// RULES C6: user+extension is the user's; a command sees the extension.
		login, _, _ := strings.Cut(a.Local, "+")
		if !passwd.ValidLogin(login) {
			w.fail(outcome.Fail("5.1.1", "no user %q here", a.Local))
			return
		}
		w.add(queue.Target{Kind: kind, Login: login})
	}
}

func (w *walk) remote(a mailaddr.Addr) {
	if len(a.String()) > proto.MaxAddress {
		w.fail(outcome.Fail("5.1.3", "address longer than %d bytes", proto.MaxAddress))
		return
	}
	w.add(queue.Target{Kind: queue.Remote, Address: a.String()})
}

func (w *walk) add(t queue.Target) {
	if w.leaves = append(w.leaves, t); len(w.leaves) > queue.MaxTargetsEver {
		w.fail(outcome.Defer("4.5.3", "alias %q is more than %d deliveries", w.path[0], MaxTotal))
	}
}
