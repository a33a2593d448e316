//go:build system

package compat

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// The tests of the tests.

func TestCompare(t *testing.T) {
	d := &result{Exit: 65, Stdout: "a\nb\nc\n", Mail: []message{
		{To: "x@far.example", From: "a@b", Text: "one\ntwo\n"},
		{To: "y@far.example", From: "a@b", Text: "one\ntwo\n"},
		{To: "mailbox alice", From: "a@b", Text: "one\n\ntwo"},
	}}
	s := &result{Stdout: "a\nB\nc\n", Mail: []message{
		{To: "x@far.example", From: "c@d", Text: "one\n2\r\n"},
		{To: "z@far.example", From: "a@b", Text: "one\ntwo\n"},
		{To: "mailbox alice", From: "a@b", Text: "one\ntwo\n"},
	}}
	want := []string{
		`+ 2\r`, "+ B", "+ to z@far.example", "- b", "- to y@far.example", "- two", "exit 65, 0",
		"mailbox + two", "mailbox - (empty)", "mailbox - two (no newline)", "sender <a@b>, <c@d>",
	}
	if diff := cmp.Diff(want, compare(d, s)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if same := compare(d, d); same != nil {
		t.Errorf("differs from itself: %q", same)
	}
}

func TestNormal(t *testing.T) {
	in := func(login, uid, id, version, date string) *result {
		return &result{
			Stdout: "ID\t: " + id + "*\nFrom\t: " + login + "@h\nTo\t: b\n--\nID\t: 1.2\nFrom\t: " + login + "@h\nTo\t: a\n",
			Mail: []message{{To: "mailbox " + login, From: login + "@h", Text: "From " + login + "@h  Mon Nov 23 22:59:53 2026\n" +
				"Received: from " + login + " (uid " + uid + ")\n\t(envelope-from " + login + "@h)\n\tid " + id + "\n\tby h (DragonFly Mail Agent " + version + ");\n\t" + date + "\n" +
				"Subject: Mon, 23 Nov 2026 22:59:53 +0000\nDate: " + date + "\nMessage-Id: <" + id + "@h>\n\nDate: Mon, 23 Nov 2026 22:59:53 +0000\n"}},
		}
	}
	a := normal(7, in("u007", "20007", "a1.b2", "v0.13", "Mon, 23 Nov 2026 22:59:53 +0000"))
	b := normal(8, in("u008", "20008", "3.4", "v0.1 on h", "Tue, 24 Nov 2026 01:02:03 +0100"))
	if diff := compare(a, b); diff != nil {
		t.Errorf("%q", diff)
	}
	want := "Date: NOW\nMessage-Id: <ID@h>\nFrom me@h  NOW\nReceived: from me (uid UID)\n\t(envelope-from me@h)\n\tid ID\n\tby h (DragonFly Mail Agent VERSION);\n\tNOW\n" +
		"Subject: Mon, 23 Nov 2026 22:59:53 +0000\n\nDate: Mon, 23 Nov 2026 22:59:53 +0000\n"
	if diff := cmp.Diff(want, a.Mail[0].Text); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if want := "ID\t: ID\nFrom\t: me@h\nTo\t: a\n--\nID\t: ID*\nFrom\t: me@h\nTo\t: b\n"; a.Stdout != want {
		t.Errorf("mailq: %q, want %q", a.Stdout, want)
	}
}

func TestSplitBox(t *testing.T) {
	want := []message{
		{From: "a@b", Text: "From a@b  now\nS: 1\n\nbody\n"},
		{From: "", Text: "From MAILER-DAEMON  now\nS: 2\n\n\nmore\n\n"},
		{From: "c@d", Text: "From c@d  now\nS: 3\n\nlast\n"},
	}
	var texts []string
	for _, m := range want {
		texts = append(texts, m.Text)
	}
	for mailer, box := range map[string]string{debian: strings.Join(texts, "\n"), suite: strings.Join(texts, "\n") + "\n"} {
		if diff := cmp.Diff(want, (&runner{mailer: mailer}).splitBox(box)); diff != "" {
			t.Errorf("%s: -want +got:\n%s", mailer, diff)
		}
	}
}

func TestAccount(t *testing.T) {
	const file = "# about\n\nOne. RULES A1\n    exit 65, *\n    + more\nin a b\n\nTwo\nof them\n    - x*z\nin any\n"
	tests := map[string]struct {
		found    map[string][]string
		unlisted map[string][]string
		stale    int
	}{
		"all":          {map[string][]string{"a": {"exit 65, 0", "- xyz"}, "b": {"+ more"}, "c": nil}, map[string][]string{}, 0},
		"unlisted":     {map[string][]string{"a": {"exit 65, 0", "- xyz", "+ new"}, "b": {"+ more"}, "c": {"exit 65, 0"}}, map[string][]string{"a": {"+ new"}, "c": {"exit 65, 0"}}, 0},
		"gone in b":    {map[string][]string{"a": {"exit 65, 0", "+ more", "- xz"}, "b": nil}, map[string][]string{}, 1},
		"line is gone": {map[string][]string{"a": {"exit 65, 0", "- xz"}, "b": {"exit 65, 0"}}, map[string][]string{}, 1},
		"any is gone":  {map[string][]string{"a": {"exit 65, 0"}, "b": {"+ more"}}, map[string][]string{}, 1},
	}
	list, err := parseDifferences(file)
	if err != nil || len(list) != 2 || list[1].reason != "Two of them" {
		t.Fatalf("%+v, %v", list, err)
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			unlisted, stale := account(list, tt.found)
			if diff := cmp.Diff(tt.unlisted, unlisted); diff != "" {
				t.Errorf("unlisted: -want +got:\n%s", diff)
			}
			if len(stale) != tt.stale {
				t.Errorf("stale: %q", stale)
			}
		})
	}
	for _, bad := range []string{"Reason\n    + x\n", "    + x\nin a\n", "Reason\nin a\n"} {
		if _, err := parseDifferences(bad); err == nil {
			t.Errorf("%q: no error", bad)
		}
	}
}
