//go:build system

package system

import (
	"slices"
	"strings"
	"testing"
	"time"
)

// sendmail -v prints what becomes of each recipient at the first try, whatever
// that is, and ends with 0.
func TestOperatorWatch(t *testing.T) {
	w := newWorld(t, "MINRETRY 1h\n", "0|^RCPT TO:<x@|450 4.2.1 mailbox is busy", "0|^RCPT TO:<y@|550 5.1.1 nobody of that name", "-rtt=50ms")
	w.home("alice", ".forward", "!alice\n|cat > ~/piped\nfar@remote.example\n")
	a := w.call("alice", "hello\n", "sendmail", "-v", "team", "x@remote.example", "y@remote.example")
	first, rest, _ := strings.Cut(a.out, "\n")
	if a.code != 0 || a.err != "" || !strings.HasPrefix(first, "message ") || !strings.HasSuffix(first, " is accepted") {
		t.Errorf("sendmail -v: %+v", a)
	}
	got := slices.Sorted(strings.Lines(rest))
	host := strings.TrimSuffix(w.oldAddress(), "\n")
	host, _, _ = strings.Cut(host, ":")
	host += " [" + host + "]"
	want := slices.Sorted(strings.Lines(`team: goes on to alice@client.example.net
team: goes on to bob@client.example.net
alice@client.example.net: goes on to the mailbox of alice
alice@client.example.net: goes on to a command of alice
alice@client.example.net: goes on to far@remote.example
alice@client.example.net: trying
alice@client.example.net: delivered to mailbox
alice@client.example.net: delivered to command
bob@client.example.net: trying
bob@client.example.net: delivered to mailbox
far@remote.example: trying
far@remote.example: delivered: 250 2.0.0 kept (` + host + `)
x@remote.example: trying
x@remote.example: deferred, tried again later: ` + host + ` did not like our RCPT TO: 450 4.2.1 mailbox is busy
y@remote.example: trying
y@remote.example: failed: ` + host + ` did not like our RCPT TO: 550 5.1.1 nobody of that name
`))
	if got = slices.Compact(got); !slices.Equal(got, want) { // alice's two targets may be tried one by one
		t.Errorf("sendmail -v:\n%s\nwant\n%s", strings.Join(got, ""), strings.Join(want, ""))
	}
	w.foreground()
	w.watchWhileDown()
}

// foreground: -D prints nothing and returns when all was tried.
func (w *world) foreground() {
	w.t.Helper()
	if a := w.call("alice", "in the foreground\n", "sendmail", "-D", "bob", "x@remote.example", "z@remote.example"); a != (answer{}) {
		w.t.Errorf("sendmail -D: %+v", a)
	}
	if !strings.Contains(w.mailbox("bob"), "in the foreground") || !slices.Contains(w.arrived(), "z@remote.example") {
		w.t.Errorf("when sendmail -D returns bob has %q and %v arrived", w.mailbox("bob"), w.arrived())
	}
	tries := 0
	for _, e := range w.events("rcpt") {
		if e.Recipient == "x@remote.example" {
			tries++
		}
	}
	if tries != 2 { // with TestOperatorWatch's own
		w.t.Errorf("x was tried %d times", tries)
	}
}

// watchWhileDown: nobody waits for a smarthost that is known not to answer.
func (w *world) watchWhileDown() {
	w.t.Helper()
	w.stop()
	for range 2 {
		began := time.Now()
		a := w.call("bob", "hello\n", "sendmail", "-v", "z@remote.example")
		if a.code != 0 || !strings.Contains(a.out, "z@remote.example: deferred, tried again later: ") || !strings.Contains(a.out, "refused") {
			w.t.Errorf("sendmail -v with the smarthost down: %+v", a)
		}
		if took := time.Since(began); took > 5*time.Second {
			w.t.Errorf("sendmail -v took %v", took)
		}
	}
	w.expect(0, "root", "dma-queue", "--remove", "--all")
}

// sendmail -bv says where mail would go, to each what that one may know, and why
// some would not arrive.
func TestOperatorVerify(t *testing.T) {
	w := newWorld(t, quick)
	w.home("alice", ".forward", "!alice\n|cat > ~/secret\nfar@remote.example\n")
	const hidden = "user; what this user's .forward says is not shown to others\n"
	const shown = `alice@client.example.net: .forward
  alice@client.example.net: mailbox
  alice@client.example.net: command, entry 2 of the .forward
  far@remote.example: smarthost `
	for _, c := range []struct {
		name, login, address string
		code                 int
		want                 string // how the answer begins
	}{
		{"alias", "bob", "team", 0, "team: alias\n  alice@client.example.net: " + hidden + "  bob@client.example.net: mailbox\n"},
		{"own .forward", "alice", "alice", 0, shown},
		{"root", "root", "alice@client.example.net", 0, shown},
		{"somebody else's", "bob", "alice", 0, "alice@client.example.net: " + hidden},
		{"remote", "bob", "far@remote.example", 0, "far@remote.example: smarthost "},
		{"unknown", "bob", "nosuchuser", exNoUser, "nosuchuser@client.example.net: would fail: no user \"nosuchuser\" here\n"},
		{"malformed", "bob", "a b", 65, "a b: malformed: "},
	} {
		for _, runner := range []string{"none", "there"} {
			if runner == "none" {
				stopSuite()
			}
			a := w.expect(c.code, c.login, "sendmail", "-bv", c.address)
			if !strings.HasPrefix(a.out, c.want) {
				t.Errorf("%s, runner %s:\n%swant\n%s", c.name, runner, a.out, c.want)
			}
			if (a.err == "") != (c.code == 0) {
				t.Errorf("%s: %+v", c.name, a)
			}
			if c.login == "bob" && strings.Contains(a.out, "secret") {
				t.Errorf("%s shows a command:\n%s", c.name, a.out)
			}
		}
	}
	if w.read("/home/alice/secret") != "" || len(w.events("connect")) > 0 || len(queued()) > 0 {
		t.Errorf("-bv has sent something: %v", queued())
	}
	w.home("bob", ".forward", "\"unclosed\n")
	if a := w.expect(75, "bob", "sendmail", "-bv", "bob"); !strings.HasPrefix(a.out, "bob@client.example.net: would wait: ") {
		t.Errorf("broken .forward: %+v", a)
	}
	w.quiet()
}

// dialogue of SMTP on standard input; replies are compared by their beginnings.
var dialogue = []struct{ command, reply string }{
	{"", "220 client.example.net ESMTP"},
	{"EHLO here", "250-client.example.net"},
	{"MAIL FROM:<alice@client.example.net> RET=HDRS ENVID=order+2B7", "250 2.1.0 "},
	{"RCPT TO:<bob> NOTIFY=SUCCESS ORCPT=rfc822;robert@elsewhere.example", "250 2.1.5 "},
	{"RCPT TO:<nosuchuser@client.example.net>", "550 5.1.1 "},
	{"RCPT TO:<z@remote.example> NOTIFY=NEVER", "250 2.1.5 "},
	{"DATA", "354 "},
	{"Subject: over there\r\n\r\n..two\r\nlast\r\n.", "250 2.0.0 "},
	{"MAIL FROM:<>", "250 2.1.0 "},
	{"RSET", "250 2.0.0 "},
	{"QUIT", "221 2.0.0 "},
}

// sendmail -bs takes mail by SMTP. What root hands in so is nobody's.
func TestOperatorSMTP(t *testing.T) {
	for login, submitter := range map[string]string{"alice": "alice (uid 5001)", "root": "nobody (uid 65534)"} {
		t.Run(login, func(t *testing.T) {
			w := newWorld(t, quick)
			var input strings.Builder
			for _, d := range dialogue[1:] {
				input.WriteString(d.command + "\r\n")
			}
			a := w.call(login, input.String(), "sendmail", "-bs")
			if a.code != 0 || a.err != "" {
				t.Errorf("exit %d\n%s", a.code, a.err)
			}
			var replies []string // first line of each
			for line := range strings.Lines(a.out) {
				if !strings.HasPrefix(line, "250-") || strings.Contains(line, "client.example.net") {
					replies = append(replies, line)
				}
			}
			replies = slices.DeleteFunc(replies, func(r string) bool { return r == "250 HELP\r\n" })
			if len(replies) != len(dialogue) {
				t.Fatalf("%d replies to %d commands:\n%s", len(replies), len(dialogue), a.out)
			}
			for i, d := range dialogue {
				if !strings.HasPrefix(replies[i], d.reply) {
					t.Errorf("%q is answered %q, want %q", d.command, replies[i], d.reply)
				}
			}
			for _, extension := range []string{"PIPELINING", "8BITMIME", "SMTPUTF8", "SIZE", "DSN"} {
				if !strings.Contains(a.out, "250-"+extension) {
					t.Errorf("no %s offered:\n%s", extension, a.out)
				}
			}
			w.drained(10 * time.Second)
			for _, want := range []string{"\nReceived: from " + submitter + "\n", "\nSubject: over there\n", "\n\n.two\nlast\n\n"} {
				if box := w.mailbox("bob"); !strings.Contains(box, want) {
					t.Errorf("mailbox of bob lacks %q:\n%s", want, box)
				}
			}
			if got := w.arrived(); !slices.Equal(got, []string{"z@remote.example"}) {
				t.Errorf("arrived: %v", got)
			}
			w.report("alice", "delivered", "Original-Envelope-Id: order+7", "Original-Recipient: rfc822; robert@elsewhere.example")
		})
	}
}
