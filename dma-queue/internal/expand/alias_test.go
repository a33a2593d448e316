package expand

import (
	"fmt"
	"strings"
	"testing"

	"dma/common/aliases"
	"dma/common/aliases/token"
	"dma/common/conf"
	"dma/dma-queue/internal/queue"
	"dma/proto"
)

func withCommands(t *testing.T, file string) *Expander {
	t.Helper()
	e := expander(t, file)
	e.AliasCommands = true
	return e
}

// Commands and files of the alias file are known by token alone (RULES C10).
func TestAliasCommands(t *testing.T) {
	const remote = conf.DeliverRemote
	for name, c := range map[string]struct {
		aliases, to string
		delivery    conf.Delivery
		seen        string
		want        string
		fault       string
	}{
		"command":                      {aliases: "a: |/x\n", to: "A@HOST.example", want: "|a@host.example"},
		"command and others":           {aliases: "a: alice, |/x, b@far.example\n", to: "a", want: "alice, |a@host.example, b@far.example"},
		"two commands":                 {aliases: "a: |/x, |/y\n", to: "a", want: "|a@host.example, |a@host.example"},
		"twice the same":               {aliases: "a: |/x\na: \"|/x\"\n", to: "a A a@host.example", want: "|a@host.example"},
		"two names of it":              {aliases: "a: |/x\nb: |/x\n", to: "a b", want: "|a@host.example, |b@host.example"},
		"behind another alias":         {aliases: "a: b\nb: |/x\n", to: "a", want: "|b@host.example"},
		"file":                         {aliases: "a: /var/x\n", to: "a", want: "file of a@host.example"},
		"two names of a file":          {aliases: "a: /var/x\nb: /var/x, c\n", to: "a b", want: "file of a@host.example, c"},
		"/dev/null and a file":         {aliases: "a: /dev/null, /var/x\n", to: "a", want: "file of a@host.example"},
		"extension":                    {aliases: "a: |/x\n", to: "a+Bounce a+other", want: "|a@host.example+bounce, |a@host.example+other"},
		"extension that the alias has": {aliases: "a+b: |/x\n", to: "a+b", want: "|a+b@host.example"},
		"domain":                       {aliases: "a@one.local: |/x\n", to: "a@ONE.local", want: "|a@one.local"},
		"name for two domains":         {aliases: "a: |/x\n", to: "a@one.local a@two.local a", want: "|a@one.local, |a@two.local, |a@host.example"},
		"extension in a domain":        {aliases: "a@one.local: |/x\n", to: "a+e@one.local", want: "|a@one.local+e"},
		"star":                         {aliases: "*: |/x\n", to: "bob Carol", want: "|bob@host.example, |carol@host.example"},
		"star with extension":          {aliases: "*: |/x\n", to: "bob+e", want: "|bob+e@host.example"},
		"on no delivery":               {aliases: "a: |/x\n", to: "a", delivery: remote, want: "?a", fault: "4.3.5"},
		"seen":                         {aliases: "a: |/x, alice\n", to: "a", seen: "A@Host.Example", want: "?a", fault: "5.4.6"},
		"seen, behind another":         {aliases: "a: b\nb: |/x\n", to: "a", seen: "b@host.example", want: "?a", fault: "5.4.6"},
		"seen, another":                {aliases: "a: |/x\n", to: "a", seen: "b@host.example", want: "|a@host.example"},
		"seen, a file":                 {aliases: "a: /x\n", to: "a", seen: "a@host.example", want: "file of a@host.example"},
		"too long": {
			aliases: strings.Repeat("x", 995) + ": |/x\n", to: strings.Repeat("x", 995), want: "?" + strings.Repeat("x", 995), fault: "4.3.5",
		},
	} {
		t.Run(name, func(t *testing.T) {
			e := withCommands(t, c.aliases)
			e.Aliases.Warn = nil
			e.Delivery = c.delivery
			m := message(strings.Fields(c.to)...)
			if c.seen != "" {
				m.Seen = []string{c.seen}
			}
			o := resolve(e.Begin(m))
			if got := show(m); got != c.want || o.Code != c.fault || o.Class != 0 && !o.Valid() {
				t.Errorf("%s, %+v; want %s, %s", got, o, c.want, c.fault)
			}
			for _, n := range m.Targets {
				if n.OfAlias() && (n.Token.File != token.File(e.Aliases) || n.Token.Index != 0 || n.Login != "" || m.Targets[n.Parent].State != queue.Expanded) {
					t.Errorf("%+v", n)
				}
			}
		})
	}
}

func TestAliasTokens(t *testing.T) {
	m := message("a")
	resolve(withCommands(t, "a: |/x, /y\n").Begin(m))
	for i, want := range []aliases.Target{{Kind: aliases.Command, Text: "/x"}, {Kind: aliases.File, Text: "/y"}} {
		if got := m.Targets[i+1].Token.Entry; got != token.Entry(want) {
			t.Errorf("%+v has the token %x", want, got)
		}
	}
}

// A token that does not fit any more: what the alias says now counts, and what is done
// stays done.
func TestStaleAlias(t *testing.T) {
	m := message("a")
	resolve(withCommands(t, "a: |/x, |/y, alice, /z\n").Begin(m))
	if got, want := show(m), "|a@host.example, |a@host.example, alice, file of a@host.example"; got != want {
		t.Fatalf("%s; want %s", got, want)
	}
	m.Targets[1].State = queue.Done
	e := withCommands(t, "# edited\na: |/x, |/w, bob, /z\n")
	if at := e.Stale(m, 2, map[int]bool{4: true}); at != 0 || m.Targets[0].Kind != queue.Recipient {
		t.Fatalf("expand target %d anew", at)
	}
	resolve(e.Begin(m))
	if got, want := show(m), "|a@host.example done, file of a@host.example, |a@host.example, bob"; got != want {
		t.Errorf("%s; want %s", got, want)
	}
	// Nor are they run that went away, or if the alias did.
	for i := range m.Targets {
		if m.Targets[i].OfAlias() && m.Targets[i].State == queue.Open {
			e.Stale(m, i, nil)
		}
	}
	e = withCommands(t, "b: |/x\n")
	if o := resolve(e.Begin(m)); o.Class != 0 || show(m) != "a, |a@host.example done" {
		t.Errorf("%s, %+v", show(m), o)
	}
}

// RULES C4, C5: circles through aliases, users and back end, each in a mailbox or with
// a reason, and no mail is multiplied on the way.
func TestCircles(t *testing.T) {
	type files = map[string][]proto.Target
	for name, c := range map[string]struct {
		aliases, to string
		files       files
		seen        []string
		want, fault string
	}{
		"alias, user, alias":              {aliases: "al: u\n", to: "al", files: files{"u": {address("al")}}, want: `\u`},
		"user, alias, user":               {aliases: "al: u\n", to: "u", files: files{"u": {address("al")}}, want: `\u`},
		"alias, two users, alias":         {aliases: "al: u, v\n", to: "al", files: files{"u": {address("al")}, "v": {address("al")}}, want: `\u, \v`},
		"two aliases and two users":       {aliases: "al: u\nbl: v\n", to: "al", files: files{"u": {address("bl")}, "v": {address("al")}}, want: `\u`},
		"the alias is the user's name":    {aliases: "u: u, al\nal: u\n", to: "u", files: files{"u": {address("al")}}, want: `\u`},
		"with a command":                  {aliases: "al: u, |/x\n", to: "al", files: files{"u": {address("al")}}, want: `|al@host.example, \u`},
		"with a way out":                  {aliases: "al: u, x@far.example\n", to: "al", files: files{"u": {address("al"), address("y@far.example")}}, want: `x@far.example, y@far.example, \u`},
		"by an extension":                 {aliases: "al: u+one\n", to: "al", files: files{"u": {address("al")}}, want: `\u`},
		"by another extension each":       {aliases: "al: u+one\nbl: u+two\n", to: "al", files: files{"u": {address("bl")}}, want: `\u`},
		"back from outside by an alias":   {aliases: "al: u\n", to: "al", files: files{"u": {address("x@far.example")}}, seen: []string{"u@host.example"}, want: "u", fault: "5.4.6"},
		"back from outside to a mailbox":  {aliases: "al: u\n", to: "al", seen: []string{"u@host.example"}, want: `\u`},
		"back from a command of an alias": {aliases: "al: bl\nbl: |/x\n", to: "al", seen: []string{"bl@host.example"}, want: "?al", fault: "5.4.6"},
		"back by a user to the command":   {aliases: "al: |/x\n", to: "u", files: files{"u": {address("al")}}, seen: []string{"al@host.example"}, want: "?al", fault: "5.4.6"},
	} {
		t.Run(name, func(t *testing.T) {
			m := message(strings.Fields(c.to)...)
			m.Seen = c.seen
			o := expand(t, withCommands(t, c.aliases), m, c.files)
			if got := show(m); got != c.want || o.Code != c.fault || o.Class != 0 && !o.Valid() {
				t.Errorf("%s, %+v; want %s, %s", got, o, c.want, c.fault)
			}
		})
	}
}

// Aliases between users do not make the way longer than that of users alone, nor
// endless.
func TestTooManyStations(t *testing.T) {
	for _, n := range []int{MaxDepth, MaxDepth + 1} {
		files := make(map[string][]proto.Target)
		var table strings.Builder
		for i := range n {
			files[fmt.Sprintf("u%d", i)] = []proto.Target{address(fmt.Sprintf("al%d", i+1))}
			fmt.Fprintf(&table, "al%d: u%d\n", i+1, i+1)
		}
		m := message("u0")
		o := expand(t, expander(t, table.String()), m, files)
		if n == MaxDepth && (o.Class != 0 || show(m) != fmt.Sprintf(`\u%d`, n)) || n > MaxDepth && (o.Code != "4.4.6" || show(m) != fmt.Sprintf("u%d", MaxDepth)) {
			t.Errorf("%d users: %s, %+v", n, show(m), o)
		}
	}
}

// Delivered-To fields name the users on the way; aliases between them leave no gap.
func TestChainThroughAliases(t *testing.T) {
	m := message("al")
	expand(t, withCommands(t, "al: u\nbl: v\ncl: |/x\n"), m, map[string][]proto.Target{"u": {address("bl")}, "v": {address("cl")}})
	if show(m) != "|cl@host.example" {
		t.Fatal(show(m))
	}
	if got := m.Targets[len(m.Targets)-1]; strings.Join(got.Chain, " ") != "v@host.example u@host.example" {
		t.Errorf("chain %q", got.Chain)
	}
}

// RULES C4: 1000 targets of a message, however they come about.
func TestTotalByUsers(t *testing.T) {
	const each = 100 // entries of a .forward
	files := make(map[string][]proto.Target)
	var users []string
	for u := range MaxTotal/each + 1 {
		login := fmt.Sprintf("u%d", u)
		users = append(users, login)
		for i := range each {
			files[login] = append(files[login], address(fmt.Sprintf("%s-%d@far.example", login, i)))
		}
	}
	e := expander(t, "all: "+strings.Join(users, ", ")+"\n")
	m := message("all")
	r := e.Begin(m)
	resolve(r)
	later := 0
	for i := 0; i < len(m.Targets); i++ {
		if n := m.Targets[i]; n.Kind == queue.User && n.State == queue.Open {
			if o := r.Forwarded(i, files[n.Login]); o.Code == "4.5.3" {
				later++
			} else if o.Class != 0 {
				t.Fatal(o)
			}
		}
	}
	resolve(r)
	// The last two have no room: one user is one of the 1000 as long as it waits.
	if later != 2 || live(m) != MaxTotal-each {
		t.Errorf("%d users wait, %d targets", later, live(m))
	}
	if o := r.Forwarded(len(users), files[users[len(users)-1]]); o.Code != "4.5.3" {
		t.Errorf("again: %+v", o)
	}
}
