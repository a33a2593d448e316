package expand

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"dma/common/aliases"
	"dma/common/mailaddr"
	"dma/common/outcome"
	"dma/dma-queue/internal/queue"
)

const host = "host.example"

func expander(t *testing.T, file string) *Expander {
	t.Helper()
	table := aliases.Parse([]byte(file), "aliases")
	table.Warn = func(w aliases.Warning) { t.Error(w) }
	return &Expander{Aliases: table, List: readList, Host: host, Local: func(d string) bool { return d == "" || strings.EqualFold(d, host) || strings.HasSuffix(d, ".local") }}
}

// readList reads the lists of the tables below.
func readList(path string) ([]aliases.Target, error) {
	switch path {
	case "/list":
		return []aliases.Target{{Kind: aliases.Address, Addr: mailaddr.Addr{Local: "bob"}}, {Kind: aliases.Address, Addr: mailaddr.Addr{Local: "c", Domain: "far.example"}}}, nil
	case "/self":
		return []aliases.Target{{Kind: aliases.Address, Addr: mailaddr.Addr{Local: "A"}}, {Kind: aliases.Address, NoExpand: true, Addr: mailaddr.Addr{Local: "bob"}}}, nil
	case "/empty":
		return nil, nil
	}
	return nil, errors.New("chmod it")
}

func nullClient(t *testing.T, file, domain string) *Expander {
	t.Helper()
	e := expander(t, file)
	e.NullClient, e.NullDomain, e.Local = true, domain, func(d string) bool { return d == "" }
	return e
}

func message(to ...string) *queue.Message {
	m := &queue.Message{}
	for _, a := range to {
		m.Targets = append(m.Targets, queue.Target{Kind: queue.Recipient, State: queue.Open, Parent: queue.NoParent, Address: a, Original: a})
	}
	return m
}

// show writes the open targets and those that are done: user a, box a, cmd a, address.
func show(m *queue.Message) string {
	var list []string
	for _, t := range m.Targets {
		var s string
		switch t.Kind {
		case queue.Recipient:
			s = "?" + t.Address
		case queue.User:
			s = t.Login
		case queue.Mailbox:
			s = `\` + t.Login
		case queue.Command:
			s = "|" + t.Login
			if t.OfAlias() {
				s = "|" + strings.TrimSuffix(t.Address+"+"+t.Extension, "+")
			}
		case queue.File:
			s = "file of " + t.Login + t.Address
		case queue.Remote:
			s = t.Address
		}
		switch t.State {
		case queue.Open:
			list = append(list, s)
		case queue.Done:
			list = append(list, s+" done")
		}
	}
	return strings.Join(list, ", ")
}

// resolve looks up all recipients and gives the first outcome that is not zero.
func resolve(r *Run) (first outcome.Outcome) {
	for i := 0; i < len(r.m.Targets); i++ {
		if t := r.m.Targets[i]; t.Kind != queue.Recipient || t.State != queue.Open {
			continue
		}
		if o := r.Resolve(i); first.Class == 0 {
			first = o
		}
	}
	return first
}

// chained are n aliases in a row: a1 to a2 and on to the user end.
func chained(n int) string {
	var b strings.Builder
	for i := 1; i < n; i++ {
		fmt.Fprintf(&b, "a%d: a%d\n", i, i+1)
	}
	fmt.Fprintf(&b, "a%d: end\n", n)
	return b.String()
}

func TestResolve(t *testing.T) {
	const long = "abcdefghijklmnopqrstuvwxyz0123456789" // no login
	for name, c := range map[string]struct {
		aliases, to string // to: several between blanks
		want        string // targets
		fault       string // code
	}{
		"user":                              {to: "alice", want: "alice"},
		"user at this host":                 {to: "alice@host.example", want: "alice"},
		"host in capitals":                  {to: "alice@HOST.Example", want: "alice"},
		"remote":                            {to: "bob@far.example", want: "bob@far.example"},
		"remote name that is an alias here": {aliases: "bob: carol\n", to: "bob@far.example", want: "bob@far.example"},
		"alias":                             {aliases: "root: alice\n", to: "root", want: "alice"},
		"alias in capitals":                 {aliases: "root: alice\n", to: "ROOT", want: "alice"},
		"alias at this host":                {aliases: "root: alice\n", to: "root@Host.example", want: "alice"},
		"alias with this host":              {aliases: "root@host.example: alice\n", to: "root", want: "alice"},
		"alias to several":                  {aliases: "root: alice, bob, c@far.example\n", to: "root", want: "alice, bob, c@far.example"},
		"nested":                            {aliases: "a: b, c\nb: d, e@far.example\nd: alice\n", to: "a", want: "alice, e@far.example, c"},
		"self":                              {aliases: "root: root, a@far.example\n", to: "root", want: "root, a@far.example"},
		"self at this host":                 {aliases: "root: root@host.example\n", to: "root", want: "root"},
		"self in capitals":                  {aliases: "root: Root\n", to: "root", want: "Root"},
		"self behind another":               {aliases: "all: root\nroot: root, alice\n", to: "all", want: "root, alice"},
		"circle":                            {aliases: "a: b\nb: a\n", to: "a", want: "?a", fault: "4.3.5"},
		"circle with a way out":             {aliases: "a: b\nb: a, alice\n", to: "a", want: "alice"},
		"twice the same alias":              {aliases: "a: b, c\nb: d\nc: d\nd: alice\n", to: "a", want: "alice"},
		"ten aliases":                       {aliases: chained(MaxDepth), to: "a1", want: "end"},
		"eleven aliases":                    {aliases: chained(MaxDepth + 1), to: "a1", want: "?a1", fault: "4.4.6"},
		"star":                              {aliases: "*: alice\n", to: "bob", want: "alice"},
		"star comes last":                   {aliases: "*: alice\nbob: carol\n", to: "bob", want: "carol"},
		"star for the submitter's own":      {aliases: "*: alice\nroot: bob\n", to: "root", want: "bob"},
		"star and nobody remote":            {aliases: "*: alice\n", to: "bob@far.example", want: "bob@far.example"},
		"mailbox":                           {aliases: "root: \\alice\nalice: bob\n", to: "root", want: `\alice`},
		"own mailbox and another":           {aliases: "alice: \\alice, bob\n", to: "alice", want: `\alice, bob`},
		"command":                           {aliases: "a: bob, |/bin/x\n", to: "a", want: "?a", fault: "4.3.5"},
		"file":                              {aliases: "a: /var/x\n", to: "a", want: "?a", fault: "4.3.5"},
		"include":                           {aliases: "a: alice, :include:/list\n", to: "a", want: "alice, bob, c@far.example"},
		"include twice":                     {aliases: "a: :include:/list, b\nb: :include:/list\n", to: "a", want: "bob, c@far.example"},
		"include with aliases in it":        {aliases: "a: :include:/list\nbob: alice\n", to: "a", want: "alice, c@far.example"},
		"include that names the alias":      {aliases: "a: :include:/self\n", to: "a", want: `A, \bob`},
		"include that cannot be read":       {aliases: "a: bob, :include:/x\n", to: "a", want: "?a", fault: "4.3.5"},
		"include behind another alias":      {aliases: "a: b\nb: :include:/x\n", to: "a", want: "?a", fault: "4.3.5"},
		"empty include":                     {aliases: "a: :include:/empty\n", to: "a", want: "?a", fault: "4.3.5"},
		"empty include and another":         {aliases: "a: :include:/empty, bob\n", to: "a", want: "bob"},
		"discarded":                         {aliases: "a: /dev/null\n", to: "a", want: "?a done"},
		"discarded and another":             {aliases: "a: /dev/null, bob\n", to: "a", want: "bob"},
		"extension":                         {aliases: "root: alice\n", to: "root+cron", want: "alice"},
		"extension with an alias":           {aliases: "root: alice\nroot+cron: bob\n", to: "root+cron", want: "bob"},
		"extension of oneself":              {aliases: "alice: alice+x, bob\n", to: "alice", want: "alice, bob"},
		"extension that is no alias":        {aliases: "root: alice\n", to: "bob+root", want: "bob"},
		"alias with another local domain":   {aliases: "info@one.local: alice\ninfo@two.local: bob\n", to: "info@one.local info@two.local", want: "alice, bob"},
		"other local domain, no alias":      {aliases: "info@one.local: alice\n", to: "info@two.local", want: "info"},
		"name for all local domains":        {aliases: "info: alice\n", to: "info@two.local", want: "alice"},
		"from one domain to the other":      {aliases: "info@one.local: info@two.local\ninfo@two.local: bob\n", to: "info@one.local", want: "bob"},
		"circle of domains":                 {aliases: "info@one.local: info@two.local\ninfo@two.local: info@one.local\n", to: "info@one.local", want: "?info@one.local", fault: "4.3.5"},
		"command behind another alias":      {aliases: "a: b\nb: |/bin/x\n", to: "a", want: "?a", fault: "4.3.5"},
		"no login out of an alias":          {aliases: "a: bob, " + long + "\n", to: "a", want: "?a", fault: "4.3.5"},
		"no mailbox out of an alias":        {aliases: "a: \\" + long + "\n", to: "a", want: "?a", fault: "4.3.5"},
		"no login of the submitter":         {to: long, want: "?" + long, fault: "5.1.1"},
		"quoted":                            {to: `"a_b"@host.example`, want: "a_b"},
		"malformed":                         {to: "alice@", want: "?alice@", fault: "5.1.3"},
		"the others of a faulty one":        {aliases: "a: |/bin/x\n", to: "a bob", want: "?a, bob", fault: "4.3.5"},
		"twice":                             {to: "alice alice@host.example ALICE@host.example", want: "alice, ALICE"},
		"twice by alias":                    {aliases: "root: alice, bob\n", to: "alice root", want: "alice, bob"},
		"twice remote":                      {to: "b@far.example b@FAR.example B@far.example", want: "b@far.example, B@far.example"},
		"twice in an alias":                 {aliases: "a: b@far.example, c, b@Far.Example, c\n", to: "a", want: "b@far.example, c"},
		"user and mailbox are two":          {aliases: "a: \\alice, alice\n", to: "a", want: `\alice, alice`},
	} {
		t.Run(name, func(t *testing.T) {
			m := message(strings.Fields(c.to)...)
			o := resolve(expander(t, c.aliases).Begin(m))
			if got := show(m); got != c.want || o.Code != c.fault || o.Class != 0 && !o.Valid() {
				t.Errorf("%s, %+v; want %s, %s", got, o, c.want, c.fault)
			}
		})
	}
}

func TestNullClient(t *testing.T) {
	for name, c := range map[string]struct {
		aliases, domain, to, want string
	}{
		"name":                         {to: "alice", want: "alice@host.example"},
		"name with domain":             {domain: "mail.example", to: "alice", want: "alice@mail.example"},
		"address at this host":         {domain: "mail.example", to: "alice@host.example", want: "alice@host.example"},
		"remote":                       {domain: "mail.example", to: "alice@far.example", want: "alice@far.example"},
		"alias":                        {aliases: "root: bob@far.example\n", domain: "mail.example", to: "root", want: "bob@far.example"},
		"alias to a name":              {aliases: "root: bob\n", domain: "mail.example", to: "root", want: "bob@mail.example"},
		"alias to a name, no domain":   {aliases: "root: bob\n", to: "root", want: "bob@host.example"},
		"alias to a mailbox":           {aliases: "root: \\bob\n", domain: "mail.example", to: "root", want: "bob@mail.example"},
		"self":                         {aliases: "root: root\n", domain: "mail.example", to: "root", want: "root@mail.example"},
		"star":                         {aliases: "*: bob\n", domain: "mail.example", to: "root", want: "root@mail.example"},
		"as long as may be":            {domain: "mail.example", to: strings.Repeat("x", 987), want: strings.Repeat("x", 987) + "@mail.example"},
		"what would be no login":       {domain: "mail.example", to: "a+b", want: "a+b@mail.example"},
		"name, and the same spelt out": {domain: "mail.example", to: "alice alice@MAIL.example", want: "alice@mail.example"},
	} {
		t.Run(name, func(t *testing.T) {
			m := message(strings.Fields(c.to)...)
			o := resolve(nullClient(t, c.aliases, c.domain).Begin(m))
			if got := show(m); got != c.want || o.Class != 0 {
				t.Errorf("%s, %+v; want %s", got, o, c.want)
			}
		})
	}
}

// An address must fit into a journal and a message with its domain too.
func TestTooLongWithDomain(t *testing.T) {
	m := message(strings.Repeat("x", 988))
	if o := resolve(nullClient(t, "", "mail.example").Begin(m)); o.Code != "5.1.3" || m.Targets[0].Kind != queue.Recipient {
		t.Errorf("%+v", o)
	}
}

func TestUnreadableAliases(t *testing.T) {
	e := expander(t, "")
	e.Aliases, e.AliasErr = nil, errors.New("permission denied")
	m := message("alice", "bob@far.example")
	if o := resolve(e.Begin(m)); o.Code != "4.3.0" || show(m) != "?alice, bob@far.example" {
		t.Errorf("%s, %+v", show(m), o)
	}
	e.AliasErr = nil
	if o := resolve(e.Begin(m)); o.Class != 0 || show(m) != "alice, bob@far.example" {
		t.Errorf("no alias file: %s, %+v", show(m), o)
	}
}

// Of what a user's .forward names, nothing is the sender's fault, and nothing falls to *.
func TestOutOfForward(t *testing.T) {
	for address, want := range map[string]string{
		"nobody@":               "4.3.5",
		strings.Repeat("x", 40): "4.3.5",
		"cmd":                   "4.3.5",
		"bob":                   "",
	} {
		e := expander(t, "*: carol\ncmd: |/bin/x\n")
		m := &queue.Message{Targets: []queue.Target{
			{Kind: queue.User, State: queue.Expanded, Parent: queue.NoParent, Address: "alice@host.example", Login: "alice", Original: "al"},
			{Kind: queue.Recipient, State: queue.Open, Parent: 0, Address: address, Original: "al"},
		}}
		o := resolve(e.Begin(m))
		if o.Code != want || want == "" && show(m) != "bob" {
			t.Errorf("%s: %s, %+v", address, show(m), o)
		}
	}
}
