package expand

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"dma/common/outcome"
	"dma/dma-queue/internal/queue"
	"dma/proto"
)

func address(a string) proto.Target { return proto.Target{Kind: proto.TargetAddress, Address: a} }
func mailbox(l string) proto.Target { return proto.Target{Kind: proto.TargetMailbox, Address: l} }

func command(entry byte) proto.Target {
	return proto.Target{Kind: proto.TargetCommand, Token: proto.Token{File: [32]byte{entry}, Entry: [32]byte{entry}}}
}

// expand does all there is to do with these .forward files, and gives the last
// outcome that is not zero.
func expand(t *testing.T, e *Expander, m *queue.Message, files map[string][]proto.Target) (last outcome.Outcome) {
	t.Helper()
	r := e.Begin(m)
	for i := 0; i < len(m.Targets); i++ {
		if len(m.Targets) > 100 {
			t.Fatal("no end of it")
		}
		n := m.Targets[i]
		var o outcome.Outcome
		switch {
		case n.State != queue.Open:
		case n.Kind == queue.Recipient:
			if o = r.Resolve(i); o.Class == 0 {
				i-- // it may be a User now
			}
		case n.Kind == queue.User:
			o = r.Forwarded(i, files[n.Login])
		}
		if o.Class != 0 {
			last = o
		}
	}
	return last
}

func TestForwarded(t *testing.T) {
	type files = map[string][]proto.Target
	for name, c := range map[string]struct {
		aliases, to string
		files       files
		seen        []string
		want, fault string
	}{
		"none":            {to: "a", want: `\a`},
		"address":         {to: "a", files: files{"a": {address("x@far.example")}}, want: "x@far.example"},
		"all kinds":       {to: "a", files: files{"a": {mailbox("a"), command(1), address("b")}}, want: `\a, |a, \b`},
		"own mailbox":     {to: "a", files: files{"a": {mailbox("a")}}, want: `\a`},
		"other's mailbox": {to: "a", files: files{"a": {mailbox("b")}, "b": {address("x@far.example")}}, want: `\b`},
		"to another":      {to: "a", files: files{"a": {address("b")}, "b": {address("x@far.example")}}, want: "x@far.example"},
		"circle":          {to: "a", files: files{"a": {address("b")}, "b": {address("a")}}, want: `\a`},
		"circle of one":   {to: "a", files: files{"a": {address("a")}}, want: `\a`},
		"circle of three": {to: "a", files: files{"a": {address("b")}, "b": {address("c")}, "c": {address("a@HOST.example")}}, want: `\a`},
		"circle that goes on": {
			to: "a", files: files{"a": {address("b"), address("x@far.example")}, "b": {address("a")}}, want: `x@far.example, \a`,
		},
		"by alias":             {aliases: "al: a, c\n", to: "al", files: files{"a": {address("c")}}, want: `\c`},
		"to an alias":          {aliases: "al: b, c\n", to: "a", files: files{"a": {address("al")}}, want: `\b, \c`},
		"two to one":           {to: "a b", files: files{"a": {address("x@far.example")}, "b": {address("x@FAR.example")}}, want: "x@far.example"},
		"mailbox of no login":  {to: "a", files: files{"a": {mailbox("../b")}}, want: "a", fault: "4.3.5"},
		"malformed":            {to: "a", files: files{"a": {address("b@")}}, want: "?b@", fault: "4.3.5"},
		"seen":                 {to: "a", files: files{"a": {address("x@far.example")}}, seen: []string{"A@host.EXAMPLE"}, want: "a", fault: "5.4.6"},
		"seen, a command":      {to: "a", files: files{"a": {command(1), mailbox("a")}}, seen: []string{"b@x", "a@host.example"}, want: "a", fault: "5.4.6"},
		"seen, no file":        {to: "a", seen: []string{"a@host.example"}, want: `\a`},
		"seen, the mailbox":    {to: "a", files: files{"a": {mailbox("a")}}, seen: []string{"a@host.example"}, want: `\a`},
		"seen by another host": {to: "a", files: files{"a": {address("x@far.example")}}, seen: []string{"a@far.example"}, want: "x@far.example"},
	} {
		t.Run(name, func(t *testing.T) {
			m := message(strings.Fields(c.to)...)
			m.Seen = c.seen
			o := expand(t, expander(t, c.aliases), m, c.files)
			if got := show(m); got != c.want || o.Code != c.fault || o.Class != 0 && !o.Valid() {
				t.Errorf("%s, %+v; want %s, %s", got, o, c.want, c.fault)
			}
			for i, n := range m.Targets {
				if n.Parent >= i || n.Original == "" {
					t.Errorf("target %d: %+v", i, n)
				}
			}
		})
	}
}

func TestChain(t *testing.T) {
	m := message("a")
	expand(t, expander(t, ""), m, map[string][]proto.Target{
		"a": {mailbox("a"), address("b")}, "b": {address("x@far.example"), mailbox("b")},
	})
	got := make(map[string]string)
	for _, n := range m.Targets {
		if n.State == queue.Open {
			got[n.Address] = strings.Join(n.Chain, " ")
		}
	}
	want := map[string]string{"a@host.example": "", "x@far.example": "b@host.example a@host.example", "b@host.example": "a@host.example"}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("chains %q, want %q", got, want)
	}
}

func TestTooManyUsers(t *testing.T) {
	files := make(map[string][]proto.Target)
	for i := range MaxDepth + 1 {
		files[fmt.Sprintf("u%d", i)] = []proto.Target{address(fmt.Sprintf("u%d", i+1))}
	}
	m := message("u0")
	if o := expand(t, expander(t, ""), m, files); o.Code != "4.4.6" || show(m) != fmt.Sprintf("u%d", MaxDepth) {
		t.Errorf("%s, %+v", show(m), o)
	}
	delete(files, fmt.Sprintf("u%d", MaxDepth))
	m = message("u0")
	if o := expand(t, expander(t, ""), m, files); o.Class != 0 || show(m) != fmt.Sprintf(`\u%d`, MaxDepth) {
		t.Errorf("%s, %+v", show(m), o)
	}
}

// list is an alias that is n addresses.
func list(name string, n int) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s0@far.example", name, name)
	for i := 1; i < n; i++ {
		fmt.Fprintf(&b, ", %s%d@far.example", name, i)
	}
	return b.String() + "\n"
}

func live(m *queue.Message) (n int) {
	for _, t := range m.Targets {
		if t.Kind == queue.Remote && t.State == queue.Open {
			n++
		}
	}
	return n
}

func TestTotal(t *testing.T) {
	m := message("all")
	if o := resolve(expander(t, list("all", MaxTotal)).Begin(m)); o.Class != 0 || live(m) != MaxTotal {
		t.Errorf("as many as may be: %d, %+v", live(m), o)
	}
	m = message("all")
	e := expander(t, list("all", MaxTotal+1))
	r := e.Begin(m)
	if o := resolve(r); o.Code != "4.5.3" || len(m.Targets) != 1 || m.Targets[0].State != queue.Open {
		t.Errorf("one more: %d, %+v", len(m.Targets), o)
	}
	if o := resolve(r); o.Code != "4.5.3" { // nothing has changed
		t.Errorf("again: %+v", o)
	}

	many := make([]string, 1500)
	for i := range many {
		many[i] = fmt.Sprintf("u%d@far.example", i)
	}
	m = message(many...)
	if o := resolve(expander(t, "").Begin(m)); o.Class != 0 || live(m) != len(many) {
		t.Errorf("many recipients: %d, %+v", live(m), o)
	}
	m = message(append(many, "all")...)
	if o := resolve(expander(t, list("all", 900)).Begin(m)); o.Class != 0 || live(m) != len(many)+900 {
		t.Errorf("many recipients and a list: %d, %+v", live(m), o)
	}
	m = message("one", "two")
	o := resolve(expander(t, list("one", 600)+list("two", 600)).Begin(m))
	if o.Code != "4.5.3" || live(m) != 600 || m.Targets[1].State != queue.Open {
		t.Errorf("two lists: %d, %+v", live(m), o)
	}
	o = resolve(expander(t, list("one", 600)+list("two", 600)).Begin(m)) // another run counts what the first has made
	if o.Code != "4.5.3" || live(m) != 600 {
		t.Errorf("two lists, later: %d, %+v", live(m), o)
	}
}

func TestStale(t *testing.T) {
	e := expander(t, "")
	m := message("a")
	old := map[string][]proto.Target{"a": {mailbox("a"), command(1), command(2), address("x@far.example"), address("y@far.example")}}
	expand(t, e, m, old)
	find := func(want string) int {
		return slices.IndexFunc(m.Targets, func(n queue.Target) bool { return show(&queue.Message{Targets: []queue.Target{n}}) == want })
	}
	m.Targets[find(`\a`)].State = queue.Done
	m.Targets[find("x@far.example")].State = queue.Done
	stale := find("|a")
	flying := map[int]bool{find("y@far.example"): true, stale: true}
	user := e.Stale(m, stale, flying)
	if user != 0 || m.Targets[user].Kind != queue.User || show(m) != `a, \a done, x@far.example done, y@far.example` {
		t.Fatalf("user %d: %s", user, show(m))
	}
	changed := map[string][]proto.Target{"a": {command(2), mailbox("a"), address("x@FAR.example"), address("y@far.example"), command(3)}}
	o := expand(t, e, m, changed)
	if want := `\a done, x@far.example done, y@far.example, |a, |a`; o.Class != 0 || show(m) != want {
		t.Errorf("%s, %+v; want %s", show(m), o, want)
	}
	if got := e.Stale(m, find("y@far.example"), nil); got != 0 {
		t.Errorf("again: user %d", got)
	}
	m = message("x@far.example")
	if got := e.Stale(m, 0, nil); got != -1 || m.Targets[0].State != queue.Open {
		t.Errorf("of no user: %d", got)
	}
}

// A command that is done is known by its own text when the file around it changes.
func TestCommandThatIsDone(t *testing.T) {
	e := expander(t, "")
	m := message("a")
	expand(t, e, m, map[string][]proto.Target{"a": {command(1), command(2)}})
	m.Targets[1].State = queue.Done
	e.Stale(m, 2, nil)
	moved := command(1)
	moved.Token.File, moved.Token.Index = [32]byte{9}, 4
	expand(t, e, m, map[string][]proto.Target{"a": {moved, command(3)}})
	if got := show(m); got != "|a done, |a" || m.Targets[len(m.Targets)-1].Token != command(3).Token {
		t.Errorf("%s", got)
	}
}
