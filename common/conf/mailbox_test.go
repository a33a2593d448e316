package conf

import (
	"strings"
	"testing"
)

type mailboxCase struct {
	value, home, want string // want: empty if the value is wrong
	problem           string
}

func mailboxes() []mailboxCase {
	const home = "/home/ann"
	return []mailboxCase{
		{"/var/mail", home, "/var/mail/ann", ""},
		{"~/Maildir/", home, "/home/ann/Maildir/", ""},
		{"%h/Maildir/", home, "/home/ann/Maildir/", ""},
		{"~/%u/%%u/", home, "/home/ann/ann/%u/", ""},
		{"/var/vmail/%u/", home, "/var/vmail/ann/", ""},
		{"/var/vmail/%u/", "", "/var/vmail/ann/", ""},
		{"~/Maildir/", "/home/ann/", "/home/ann/Maildir/", ""},
		{"~/Maildir/", "/home/a%u", "/home/a%u/Maildir/", ""},
		{"~/Maildir/", "", "", "ann has no home directory"},
		{"~/Maildir/", "/", "", "ann has no home directory"},
		{"~/Maildir/", "x", "", "ann has no home directory"},
		{"mail", home, "", "not an absolute path; write one"},
		{"~ann/Maildir/", home, "", "not an absolute path; write one"},
		{"%u/", home, "", "not an absolute path; write one"},
		{"/var/mail/", home, "", "one maildir for all; write %u"},
		{"/var/mail/%u", home, "", "put a slash at its end"},
		{"~/mbox", home, "", "put a slash at its end"},
		{"/var/%d/", home, "", "%d is not known; write %u"},
		{"/var/%", home, "", "% is not known; write %u"},
		{"/a b", home, "", "has a blank"},
	}
}

func TestMailbox(t *testing.T) {
	for _, tt := range mailboxes() {
		c, w, err := Parse(strings.NewReader("MAILBOX "+tt.value), "F")
		if err != nil {
			t.Fatal(err)
		}
		path, maildir, err := c.MailboxOf("ann", tt.home)
		if tt.problem != "" {
			if path != "" || err == nil || !strings.Contains(err.Error(), tt.problem) {
				t.Errorf("%s: %q, %v; want %q", tt.value, path, err, tt.problem)
			}
			continue
		}
		if err != nil || path != tt.want || maildir != strings.HasSuffix(path, "/") || len(w) != 0 {
			t.Errorf("%s: %q, %v, %v, %v; want %q", tt.value, path, maildir, w, err, tt.want)
		}
	}
	if path, maildir, err := new(Config).MailboxOf("ann", "/home/ann"); err != nil || maildir || path != "/var/mail/ann" {
		t.Errorf("without a configuration: %q, %v, %v", path, maildir, err)
	}
}

func TestMDA(t *testing.T) {
	for value, want := range map[string]string{
		"/bin/mda":                            "/bin/mda",
		"/usr/lib/dovecot/dovecot-lda -d  %u": "/usr/lib/dovecot/dovecot-lda|-d|ann",
		"/bin/mda -f %s -a %r %h/x 100%% %%u": "/bin/mda|-f|s@x|-a|r@y|/home/ann/x|100%|%u",
		"mda":                                 "!no absolute path; write MDA /path",
		"/bin/%u":                             "!no absolute path",
		"/bin/mda %x":                         "!%x is not known; write %u",
		"/bin/mda 5%":                         "!% is not known",
		"/bin/mda 'a b'":                      "!has quotes",
		"/bin/mda" + strings.Repeat(" a", 64): "!more than 64 words",
	} {
		c, w, err := Parse(strings.NewReader("MDA "+value), "F")
		if problem, bad := strings.CutPrefix(want, "!"); bad {
			if err != nil || len(w) != 1 || !strings.Contains(w[0].Text, problem) || c.MDA != nil {
				t.Errorf("%s: %q, %v, %v", value, c.MDA, w, err)
			}
			continue
		}
		var words []string
		for _, word := range c.MDA {
			words = append(words, Expand(word, "ann", "/home/ann", "s@x", "r@y"))
		}
		if got := strings.Join(words, "|"); err != nil || got != want || len(w) != 0 {
			t.Errorf("%s: %q, %v, %v; want %q", value, got, w, err, want)
		}
	}
}
