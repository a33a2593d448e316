package expand

import (
	"crypto/sha256"
	"strings"

	"dma/common/aliases"
	"dma/common/aliases/token"
	"dma/common/conf"
	"dma/common/mailaddr"
	"dma/common/outcome"
	"dma/common/passwd"
	"dma/dma-queue/internal/queue"
	"dma/proto"
)

// walk is one recipient's way through the aliases.
type walk struct {
	e      *Expander
	file   func() [sha256.Size]byte // names the alias file
	path   []string                 // aliases passed on the way to where the walk is
	seen   map[string]bool          // aliases ever passed: what they stand for is there, or comes
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
	key, targets, found := w.find(a, exact)
	switch {
	case !found, len(w.path) > 0 && w.path[len(w.path)-1] == key:
		w.here(queue.User, a) // a name that stands for itself is the user of that name
	case w.seen[key]: // a longer circle ends
	case len(w.path) == MaxDepth:
		w.fail(outcome.Defer("4.4.6", "alias %q goes through more than %d others; correct the alias file", w.path[0], MaxDepth))
	default:
		w.alias(a, key, targets)
	}
}

func (w *walk) find(a mailaddr.Addr, exact bool) (key string, targets []aliases.Target, found bool) {
	if w.e.Aliases == nil {
		return "", nil, false
	}
	return w.e.Aliases.Find(a, w.e.Host, !exact && !w.e.NullClient)
}

// alias adds the targets of the alias that was found as key of a.
func (w *walk) alias(a mailaddr.Addr, key string, targets []aliases.Target) {
	if w.seen == nil {
		w.seen = make(map[string]bool)
	}
	w.seen[key] = true
	w.path = append(w.path, key)
	for _, t := range targets {
		switch {
		case t.Kind == aliases.Include:
			w.list(key, t.Text)
		case t.ByToken():
			w.token(a, key, t)
		default:
			w.target(t)
		}
	}
	w.path = w.path[:len(w.path)-1]
}

// target adds one target of an alias or of its list.
func (w *walk) target(t aliases.Target) {
	switch {
	case w.fault.Class != 0:
	case t.Discards():
		w.discard = true
	case t.NoExpand:
		w.here(queue.Mailbox, t.Addr)
	default:
		w.address(t.Addr.String(), true)
	}
}

// list adds what the list at path holds. Its trouble is never the sender's.
func (w *walk) list(key, path string) {
	if w.fault.Class != 0 {
		return
	}
	members, err := w.e.List(path)
	if err != nil {
		w.fail(outcome.Defer("4.3.5", "alias %q includes a list that cannot be used: %v", key, err))
		return
	}
	for _, t := range members {
		w.target(t) // an address, as lists have nothing else
	}
}

// token adds the command or file t of the alias that was found as key of a.
func (w *walk) token(a mailaddr.Addr, key string, t aliases.Target) {
	n := queue.Target{Kind: queue.Command}
	if t.Kind == aliases.File {
		n.Kind = queue.File
	}
	n.Address, n.Extension = w.e.named(a, key)
	switch {
	case w.fault.Class != 0:
	case !w.e.AliasCommands:
		w.fail(outcome.Defer("4.3.5", "alias %q names a command or a file, which are not delivered to; write ALIASCOMMANDS into dma.conf, or name an address", key))
	case w.e.Delivery == conf.DeliverRemote:
		w.fail(outcome.Fail("5.1.1", "a command or a file is not delivered to on this host (DELIVERY remote)"))
	case len(n.Address) > proto.MaxAddress:
		w.fail(outcome.Fail("5.1.3", "address longer than %d bytes", proto.MaxAddress))
	default:
		n.Token = proto.Token{File: w.file(), Entry: token.Entry(t)}
		w.add(n)
	}
}

// named is the canonical form of a, an address of the alias key, and its extension,
// if the alias is without it.
func (e *Expander) named(a mailaddr.Addr, key string) (address, ext string) {
	a.Local = strings.ToLower(a.Local)
	if user, rest, ok := strings.Cut(a.Local, "+"); ok && (key == user || strings.HasPrefix(key, user+"@")) {
		a.Local, ext = user, extension(rest)
	}
	if a.Domain == "" || strings.EqualFold(a.Domain, "localhost") {
		a.Domain = e.Host
	}
	return a.Key(), ext
}

// here adds a user of this host, which on a null client is one of another.
func (w *walk) here(kind queue.Kind, a mailaddr.Addr) {
	if strings.EqualFold(a.Domain, "localhost") {
		a.Domain = "" // elsewhere it is another host's name
	}
	switch {
	case w.e.NullClient && a.Domain == "" && w.e.NullDomain != "":
		w.remote(a.In(w.e.NullDomain))
	case w.e.NullClient:
		w.remote(a.In(w.e.Host))
	case w.e.Delivery == conf.DeliverRemote:
		w.fail(outcome.Fail("5.1.1", "mail for %q is not delivered on this host (DELIVERY remote); an alias can send it elsewhere", a.Local))
	default:
		// RULES C6: user+extension is the user's; a command sees the extension.
		login, ext, _ := strings.Cut(mailaddr.Unquote(a.Local), "+")
		if w.e.Login != nil {
			login = w.e.Login(login)
		}
		if !passwd.ValidLogin(login) {
			w.fail(outcome.Fail("5.1.1", "no user %q here", a.Local))
			return
		}
		t := queue.Target{Kind: kind, Login: login}
		if kind == queue.User {
			t.Extension = extension(ext)
		}
		w.add(t)
	}
}

// extension is what of user+ext a .forward is chosen by: part of a file name. One
// that cannot be that is none (RULES C6).
func extension(s string) string {
	s = strings.ToLower(s)
	if len(s) > proto.MaxExtension || strings.ContainsAny(s, "/\x00") || strings.Contains(s, "..") {
		return ""
	}
	return s
}

func (w *walk) remote(a mailaddr.Addr) {
	if w.e.Delivery == conf.DeliverLocal {
		w.fail(outcome.Fail("5.7.1", "mail for other hosts is not sent from this one (DELIVERY local)"))
		return
	}
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
