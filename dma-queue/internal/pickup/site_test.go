package pickup

import (
	"fmt"
	"io"
	"os"
	"strings"
	"testing"

	"dma/common/conf"
	"dma/common/mailaddr"
	"dma/common/passwd"
	"dma/common/site"
	"dma/dma-queue/internal/spool"
)

// me is the account of whoever runs the test.
func me(t *testing.T) passwd.Account {
	t.Helper()
	a, err := passwd.LookupUID(site.Passwd, uint32(os.Getuid()))
	must(t, err)
	return a
}

// picked is a message that was picked up, with its log line.
func (f *fixture) picked(t *testing.T, s spool.Submission, text string) (sender, message string) {
	t.Helper()
	id := f.newID(t)
	s.Recipients = spool.To("bob")
	f.submit(t, id, s, text)
	m, err := f.Pick(id)
	must(t, err)
	if want := "new mail from user=" + me(t).Login + " uid=" + fmt.Sprint(os.Getuid()) + " envelope_from=<" + m.Sender[:min(len(m.Sender), 500)]; !strings.Contains(f.log.String(), want) {
		t.Errorf("%q is not in %q", want, f.log)
	}
	copied, err := f.Queue.OpenMessage(id)
	must(t, err)
	defer copied.Close()
	b, err := io.ReadAll(copied)
	must(t, err)
	return m.Sender, string(b)
}

// TestSender: MASQUERADE, what the submitter gave, the submitter; VIRTUAL says
// where a name is at home (COMPAT 1).
func TestSender(t *testing.T) {
	login := me(t).Login
	users := conf.Virtual{login: mailaddr.Addr{Local: "me", Domain: "isp.example"}, "carol": {Local: "c.doe", Domain: "isp.example"}}
	for _, c := range []struct {
		name       string
		masquerade string
		virtual    conf.Virtual
		sender     string // as given; "-" if none was
		want       string
	}{
		{"not given", "", nil, "-", login + "@" + host},
		{"null sender", "", nil, "", ""},
		{"bare name", "", nil, "carol", "carol@" + host},
		{"address", "", nil, "carol@else.example", "carol@else.example"},
		{"quoted", "", nil, `"a b"`, `"a b"@` + host},
		{"virtual, not given", "", users, "-", "me@isp.example"},
		{"virtual, bare name", "", users, "carol", "c.doe@isp.example"},
		{"virtual, other name", "", users, "root2", "root2@" + host},
		{"virtual, address", "", users, "carol@" + host, "carol@" + host},
		{"virtual, null sender", "", users, "", ""},
		{"host, not given", "mask.example", nil, "-", login + "@mask.example"},
		{"host, bare name", "@mask.example", nil, "carol", "carol@mask.example"},
		{"host, address", "mask.example", nil, "carol@else.example", "carol@else.example"},
		{"host, null sender", "mask.example", nil, "", ""},
		{"host and virtual", "mask.example", users, "carol", "c.doe@isp.example"},
		{"host and virtual, other name", "mask.example", users, "root2", "root2@mask.example"},
		{"user, not given", "joe@", nil, "-", "joe@" + host},
		{"user, bare name", "joe@", nil, "carol", "joe@" + host},
		{"user and host, address", "joe@mask.example", nil, "carol@else.example", "joe@mask.example"},
		{"user and virtual", "joe@mask.example", users, "-", "joe@mask.example"},
		{"user who is virtual", "carol@", users, "-", "carol@" + host},
		{"user, null sender", "joe@mask.example", users, "", ""},
		{"user with an @", "joe@x.example@mask.example", nil, "-", "joe@x.example"},
		{"user that is none", "jo e@mask.example", nil, "-", login + "@mask.example"},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := newFixture(t)
			f.site.Masquerade, f.site.Virtual = c.masquerade, c.virtual
			s := spool.Submission{}
			if c.sender != "-" {
				s.Sender, s.SenderGiven = c.sender, true
			}
			sender, message := f.picked(t, s, text)
			if sender != c.want {
				t.Errorf("the sender is %q, not %q", sender, c.want)
			}
			if c.want != "" && !strings.Contains(message, c.want+">") && !strings.Contains(message, "\nFrom: "+c.want+"\n") {
				t.Errorf("%q is not the author of\n%s", c.want, message)
			}
		})
	}
}

// TestAuthorWithoutSender: what has no sender has an author, and a right one.
func TestAuthorWithoutSender(t *testing.T) {
	login := me(t).Login
	for masquerade, want := range map[string]string{
		"": login + "@" + host, "mask.example": login + "@mask.example", "joe@mask.example": "joe@mask.example",
		"joe@": "joe@" + host, "jo e@mask.example": login + "@mask.example",
	} {
		f := newFixture(t)
		f.site.Masquerade = masquerade
		sender, message := f.picked(t, spool.Submission{SenderGiven: true}, text)
		if sender != "" || !strings.Contains(message, "\nFrom: "+want+"\n") {
			t.Errorf("%q: sender %q, no From: %s in\n%s", masquerade, sender, want, message)
		}
	}
}

// TestAuthors: names in a header are completed as senders are, and REWRITEFROM is
// carried out unless the header is signed, which the log says.
func TestAuthors(t *testing.T) {
	f := newFixture(t)
	f.site = Site{
		Hostname: host, Domain: "null.example", Masquerade: "mask.example", RewriteFrom: true,
		Virtual: conf.Virtual{"root": {Local: "me", Domain: "isp.example"}}, Account: accountOf,
	}
	s := spool.Submission{Sender: "root", SenderGiven: true}
	const in = "From: Al <al>\nReply-To: root, joe\nTo: root\n\n"
	_, message := f.picked(t, s, in)
	const want = "\nFrom: Al <me@isp.example>\nX-Original-From: Al <al>\nReply-To: me@isp.example, joe@mask.example\nTo: root@null.example\n"
	if !strings.Contains(message, want) {
		t.Errorf("%q is not in\n%s", want, message)
	}
	if strings.Contains(f.log.String(), "rewrite From") {
		t.Errorf("logged %q", f.log)
	}
	_, message = f.picked(t, s, "DKIM-Signature: v=1\n"+in)
	if !strings.Contains(message, "\n"+in) || !strings.Contains(f.log.String(), "]: rewrite From: not done") {
		t.Errorf("logged %q, left\n%s", f.log, message)
	}
}

// TestFullName: the password file names the submitter, and nobody else.
func TestFullName(t *testing.T) {
	account := me(t)
	name := account.FullName()
	if name == "" {
		t.Fatal("whoever runs this test has no full name")
	}
	name += " <"
	for _, c := range []struct {
		what   string
		sender string
		full   string
		want   string
	}{
		{"not given", "-", "", name},
		{"own login", account.Login, "", name},
		{"own address", account.Login + "@" + host, "", ""},
		{"other login", "nobody2", "", ""},
		{"other address", "x@y.example", "", ""},
		{"null sender", "", "", ""},
		{"with -F", "x@y.example", "Y Z", "Y Z <"},
		{"with -F, not given", "-", "Y Z", "Y Z <"},
	} {
		s := spool.Submission{FullName: c.full}
		if c.sender != "-" {
			s.Sender, s.SenderGiven = c.sender, true
		}
		f := newFixture(t)
		_, message := f.picked(t, s, text)
		_, from, _ := strings.Cut(message, "\nFrom: ")
		from, _, _ = strings.Cut(from, "\n")
		if !strings.HasPrefix(from, c.want) || c.want == "" && strings.Contains(from, "<") {
			t.Errorf("%s: From is %q, not %q", c.what, from, c.want)
		}
	}
}

func TestUnknownUID(t *testing.T) {
	here := Site{Hostname: host, Account: accountOf}
	from, err := here.from(&spool.Received{UID: 4123456789})
	if want := (submitter{"uid=4123456789", "", "uid=4123456789@" + host}); err != nil || from != want {
		t.Errorf("the submitter is %+v, %v", from, err)
	}
}

// TestLongestSender: what the front end lets through is never set aside here.
func TestLongestSender(t *testing.T) {
	f := newFixture(t)
	label := strings.Repeat("h", 62) + "."
	f.site.Hostname = strings.Repeat(label, 4) + "abc" // 255 bytes
	longest := ""
	for n := mailaddr.MaxAddr; longest == ""; n-- {
		if _, err := mailaddr.ParseSender(strings.Repeat("a", n)); err == nil {
			longest = strings.Repeat("a", n)
		}
	}
	if sender, _ := f.picked(t, spool.Submission{Sender: longest, SenderGiven: true}, text); sender != longest+"@"+f.site.Hostname {
		t.Errorf("the sender is %q", sender)
	}
}

func TestTag(t *testing.T) {
	f := newFixture(t)
	f.picked(t, spool.Submission{Tag: "backup"}, text)
	for _, line := range f.logged() {
		if !strings.HasPrefix(line, "backup[") {
			t.Errorf("logged %q", line)
		}
	}
}
