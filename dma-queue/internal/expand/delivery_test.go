package expand

import (
	"strings"
	"testing"

	"dma/common/conf"
	"dma/dma-queue/internal/queue"
)

// What is not delivered at all is refused, if the submitter asked for it, and
// waits, if an alias did.
func TestDelivery(t *testing.T) {
	const file = "root: bob@far.example\nlist: bob\n"
	for name, c := range map[string]struct {
		delivery             conf.Delivery
		nullClient           bool
		to, want, wantStatus string
	}{
		"both":                    {conf.DeliverBoth, false, "alice bob@far.example", "alice, bob@far.example", ""},
		"local, here":             {conf.DeliverLocal, false, "alice", "alice", ""},
		"local, elsewhere":        {conf.DeliverLocal, false, "bob@far.example", "?bob@far.example", "5.7.1"},
		"local, alias elsewhere":  {conf.DeliverLocal, false, "root", "?root", "4.3.5"},
		"remote, here":            {conf.DeliverRemote, false, "alice", "?alice", "5.1.1"},
		"remote, alias here":      {conf.DeliverRemote, false, "list", "?list", "4.3.5"},
		"remote, alias elsewhere": {conf.DeliverRemote, false, "root", "bob@far.example", ""},
		"remote, elsewhere":       {conf.DeliverRemote, false, "x@far.example", "x@far.example", ""},
		"remote, null client":     {conf.DeliverRemote, true, "alice", "alice@mail.example", ""},
	} {
		t.Run(name, func(t *testing.T) {
			e := expander(t, file)
			if c.nullClient {
				e = nullClient(t, file, "mail.example")
			}
			e.Delivery = c.delivery
			m := message(strings.Fields(c.to)...)
			if o := resolve(e.Begin(m)); show(m) != c.want || o.Code != c.wantStatus {
				t.Errorf("%s, %+v; want %s", show(m), o, c.want)
			}
		})
	}
}

// A name is the login that the host says it means, and quotes say nothing; on a
// null client localhost is no name that others could know.
func TestNamesOfUsers(t *testing.T) {
	e := expander(t, "")
	e.Login = func(name string) string {
		if name == "Alice" {
			return "alice"
		}
		return name
	}
	for to, want := range map[string]string{"Alice": "alice", "Alice+x": "alice", `"Alice"`: "alice", `"al\ice"`: "alice", "Bob": "Bob", "alice Alice": "alice"} {
		m := message(strings.Fields(to)...)
		if o := resolve(e.Begin(m)); show(m) != want || o.Class != 0 {
			t.Errorf("%s: %s, %+v; want %s", to, show(m), o, want)
		}
	}
	n := nullClient(t, "", "mail.example")
	n.Local = func(d string) bool { return d == "" || d == "localhost" }
	m := message("alice@localhost")
	if o := resolve(n.Begin(m)); show(m) != "alice@mail.example" || o.Class != 0 {
		t.Errorf("%s, %+v", show(m), o)
	}
}

// The extension goes on to the user's own mailbox, for an MDA to see.
func TestExtensionForMDA(t *testing.T) {
	e := expander(t, "")
	m := message("alice+lists")
	r := e.Begin(m)
	if o := resolve(r); o.Class != 0 {
		t.Fatalf("%+v", o)
	}
	if o := r.Forwarded(0, nil); o.Class != 0 || m.Targets[0].Kind != queue.Mailbox || m.Targets[0].Extension != "lists" {
		t.Errorf("%+v, %+v", o, m.Targets[0])
	}
}
