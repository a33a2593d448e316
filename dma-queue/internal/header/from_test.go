package header

import (
	"bytes"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const dateAndID = "Date: d\nMessage-ID: <i@b>\n"

// rewriting are headers and what becomes of them with RewriteFrom; Date and
// Message-ID, which they lack here, are left out of both.
var rewriting = []struct{ name, in, want string }{
	{"bare", "From: root\n", "From: carol@example.org\nX-Original-From: root\n"},
	{"cron", "From: root (Cron Daemon)\n", "From: carol@example.org (Cron Daemon)\nX-Original-From: root (Cron Daemon)\n"},
	{"address", "From: a@b\nTo: x@y\n", "From: carol@example.org\nX-Original-From: a@b\nTo: x@y\n"},
	{"name", "From: Al B. <a@b>\n", "From: Al B. <carol@example.org>\nX-Original-From: Al B. <a@b>\n"},
	{"quoted name", "From: \"B, Al\" <a@b>\n", "From: \"B, Al\" <carol@example.org>\nX-Original-From: \"B, Al\" <a@b>\n"},
	{
		"folded, encoded", "FROM :\n =?utf-8?q?K=C3=A4the?=\n\t=?utf-8?b?RG9l?= <k@d>\nSubject: s\n",
		"From: =?utf-8?q?K=C3=A4the?=\n\t=?utf-8?b?RG9l?= <carol@example.org>\nX-Original-From:\n =?utf-8?q?K=C3=A4the?=\n\t=?utf-8?b?RG9l?= <k@d>\nSubject: s\n",
	},
	{"several", "From: Al <a@b>, Bo <c@d>\nSender: c@d\n", "From: Al <carol@example.org>\nX-Original-From: Al <a@b>, Bo <c@d>\nSender: c@d\n"},
	{"the sender and others", "From: Al <carol@example.org>, a@b\n", "From: Al <carol@example.org>\nX-Original-From: Al <carol@example.org>, a@b\n"},
	{"group", "From: Us: Al <a@b>, c@d;\n", "From: Al <carol@example.org>\nX-Original-From: Us: Al <a@b>, c@d;\n"},
	{"two fields", "From: a@b\nX: y\nFrom: Bo <c@d>\n", "From: carol@example.org\nX-Original-From: a@b\nX: y\nX-Original-From: Bo <c@d>\n"},
	{"a bad field and a good one", "From: a b\nFrom: Bo <c@d>\n", "From: Bo <carol@example.org>\nX-Original-From: a b\nX-Original-From: Bo <c@d>\n"},
	{"address as a name", "From: a@b <c@d>\n", "From: \"a@b\" <carol@example.org>\nX-Original-From: a@b <c@d>\n"},
	{"no newline", "From: a@b", "From: carol@example.org\nX-Original-From: a@b\n"},
	{"the sender's own", "From: Al <carol@EXAMPLE.org>\n", "From: Al <carol@EXAMPLE.org>\n"},
	{"the sender's own, bare", "From: carol (x)\n", "From: carol@example.org (x)\n"},
	{"another local part", "From: Carol@example.org\n", "From: carol@example.org\nX-Original-From: Carol@example.org\n"},
	{"none", "", wantFrom},
	{"none that is one", "From: Al Bo\nSubject: x\n", wantFrom + "X-Original-From: Al Bo\nSubject: x\n"},
	{"null", "From: <>\n", wantFrom + "X-Original-From: <>\n"},
	{"empty", "From:\nSubject: x\n", wantFrom + "Subject: x\n"},
	{"empty, folded", "From: \n \n\nbody", wantFrom + "\nbody"},
	{"resent", "Resent-From: root\nFrom: a@b\n", "Resent-From: root@example.org\nFrom: carol@example.org\nX-Original-From: a@b\n"},
	{"original kept twice", "X-Original-From: x@y\nFrom: a@b\n", "X-Original-From: x@y\nFrom: carol@example.org\nX-Original-From: a@b\n"},
}

func TestRewriteFrom(t *testing.T) {
	for _, c := range rewriting {
		p := params()
		p.RewriteFrom = true
		body := "\n"
		if strings.Contains(c.in, "\n\n") {
			body = ""
		}
		want := dateAndID + c.want + body
		if got := repaired(t, dateAndID+c.in, p); got != want {
			t.Errorf("%s: -want +got:\n%s", c.name, cmp.Diff(want, got))
		}
	}
}

// Without RewriteFrom a From field with an address stays, completed; one without
// is replaced all the same.
func TestFromIsAnAddress(t *testing.T) {
	for in, want := range map[string]string{
		"From: a@b\n":                  "From: a@b\n",
		"From: Al <a@b>, root\n":       "From: Al <a@b>, root@example.org\n",
		"From: a@b\nFrom: c@d\n":       "From: a@b\nFrom: c@d\n",
		"From: Al Bo\n":                wantFrom + "X-Original-From: Al Bo\n",
		"From:\n":                      wantFrom,
		"From: x y\nFrom: root\n":      "From: x y\nFrom: root@example.org\n",
		"From: undisclosed:;\nTo: x\n": wantFrom + "X-Original-From: undisclosed:;\nTo: x@example.org\n",
	} {
		if got := repaired(t, dateAndID+in, params()); got != dateAndID+want+"\n" {
			t.Errorf("%q becomes %q, want %q", in, got, want)
		}
	}
}

func TestNullSenderIsNoAuthor(t *testing.T) {
	p := params()
	p.RewriteFrom, p.Sender, p.FullName = true, "", ""
	var out bytes.Buffer
	if _, err := Repair(&out, strings.NewReader("From: a@b\n"), p); err != nil || !strings.Contains(out.String(), "\nFrom: a@b\n") {
		t.Errorf("%v, %q", err, out.String())
	}
	out.Reset()
	if _, err := Repair(&out, strings.NewReader(""), p); err != nil || !strings.Contains(out.String(), "\nFrom: carol@example.org\n") {
		t.Errorf("%v, %q", err, out.String())
	}
}

// Names of this host are completed in one way where they are authors, in another
// where they are recipients.
func TestNames(t *testing.T) {
	p := params()
	p.Sender, p.FullName = "", ""
	p.Domain = "clients.example"
	p.Address = func(name string) string {
		if name == "carol" {
			return "carol.doe@isp.example"
		}
		return name + "@masked.example"
	}
	in := "Sender: carol\nReply-To: root, x@y\nTo: root\nCc: carol\nResent-From: carol\nResent-To: carol\n"
	want := "Sender: carol.doe@isp.example\nReply-To: root@masked.example, x@y\nTo: root@clients.example\nCc: carol@clients.example\n" +
		"Resent-From: carol.doe@isp.example\nResent-To: carol@clients.example\nFrom: carol.doe@isp.example\n"
	var out bytes.Buffer
	if _, err := Repair(&out, strings.NewReader(dateAndID+in), p); err != nil {
		t.Fatal(err)
	}
	if _, got, _ := strings.Cut(out.String(), dateAndID); got != want+"\n" {
		t.Errorf("-want +got:\n%s", cmp.Diff(want+"\n", got))
	}
}

// TestSigned: what a signature covers stays as it is, byte for byte.
func TestSigned(t *testing.T) {
	for _, name := range []string{"DKIM-Signature", "dkim-signature ", "ARC-Seal", "ARC-Message-Signature"} {
		for head, kept := range map[string]bool{
			"From: root\nTo: bob\nFrom: x\n":     true,
			"From : Al\n <a@b>\nCc: (x\n":        true,
			"From: Al Bo\n":                      true,
			"Subject: no From and no Date\n":     true,
			"From: X <carol@example.org>\n":      false,
			"From: carol\nBcc: x\nReply-To: y\n": false,
		} {
			p := params()
			p.RewriteFrom = true
			signature := name + ": v=1; h=From:To;\n b=xyz\n"
			var out bytes.Buffer
			info, err := Repair(&out, strings.NewReader("Resent-Bcc: y\n"+signature+head+"\nbody"), p)
			if err != nil || info.FromKept != kept {
				t.Errorf("%s, %q: %v, from kept %v", name, head, err, info.FromKept)
			}
			want := wantReceived + signature + strings.ReplaceAll(head, "Bcc: x\n", "") + "\nbody"
			if out.String() != want {
				t.Errorf("-want +got:\n%s", cmp.Diff(want, out.String()))
			}
		}
	}
	if info, err := Repair(&bytes.Buffer{}, strings.NewReader("DKIM-Signature: x\nFrom: a@b\n"), params()); err != nil || info.FromKept {
		t.Errorf("without RewriteFrom: %v, from kept %v", err, info.FromKept)
	}
}

// A signature of the body is none of the header's.
func TestSignedBody(t *testing.T) {
	p := params()
	p.RewriteFrom = true
	for _, head := range []string{
		"Content-Type: multipart/signed; micalg=pgp-sha512; protocol=\"application/pgp-signature\"; boundary=b\n",
		"Content-Type: application/pkcs7-mime; smime-type=signed-data\n",
	} {
		const body = "\n-----BEGIN PGP SIGNED MESSAGE-----\n\n- --b\nFrom: root\n"
		want := dateAndID + "From: Al <carol@example.org>\nX-Original-From: Al <a@b>\n" + head + body
		if got := repaired(t, dateAndID+"From: Al <a@b>\n"+head+body, p); got != want {
			t.Errorf("-want +got:\n%s", cmp.Diff(want, got))
		}
	}
}

// Return-Path is for whoever delivers to write (RFC 5321 4.4): one that comes from
// elsewhere would stand beside it.
func TestReturnPathGoes(t *testing.T) {
	var out bytes.Buffer
	if _, err := Repair(&out, strings.NewReader("Return-Path: <x@y>\nFrom: a@b\n\nReturn-Path: <body>\n"), params()); err != nil {
		t.Fatal(err)
	}
	if got := out.String(); strings.Contains(got, "<x@y>") || !strings.HasSuffix(got, "\n\nReturn-Path: <body>\n") {
		t.Errorf("%s", got)
	}
}
