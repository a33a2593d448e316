package oldspool

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// fixture is a spool, and a sendmail that keeps what it is given.
type fixture struct {
	*Importer
	dir, kept string
	out, errs bytes.Buffer
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	f := &fixture{dir: t.TempDir(), kept: t.TempDir()}
	program := f.kept + "/sendmail"
	text := fmt.Sprintf("#!/bin/sh\nfor last; do :; done\ncase $last in *refused*) exit 67;; *killed*) kill -9 $$;; esac\n"+
		"{ printf '%%s|' \"$@\"; echo; cat; } >>%s/mail\n", f.kept)
	must(t, os.WriteFile(program, []byte(text), 0o755))
	f.Importer = &Importer{Program: program, GID: -1, Stdout: &f.out, Stderr: &f.errs}
	return f
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// add makes a pair as dma 0.13 does.
func (f *fixture) add(t *testing.T, id, sender, recipient, message string) {
	t.Helper()
	must(t, os.WriteFile(f.dir+"/Q"+id, []byte("ID: "+id+"\nSender: "+sender+"\nRecipient: "+recipient+"\n"), 0o660))
	must(t, os.WriteFile(f.dir+"/M"+id, []byte(message), 0o660))
}

func (f *fixture) names(t *testing.T) (names []string) {
	t.Helper()
	list, err := os.ReadDir(f.dir)
	must(t, err)
	for _, e := range list {
		names = append(names, e.Name())
	}
	return names
}

func (f *fixture) mail(t *testing.T) string {
	t.Helper()
	b, err := os.ReadFile(f.kept + "/mail")
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	return string(b)
}

func TestImport(t *testing.T) {
	f := newFixture(t)
	f.add(t, "1.a", "carol@host.example", "-x@far.example", "Subject: one\n\nbody\n")
	f.add(t, "2.b", "", "root", "two\n")
	must(t, os.Link(f.dir+"/M1.a", f.dir+"/M3.c")) // the same message to another recipient
	must(t, os.WriteFile(f.dir+"/Q3.c", []byte("ID: 3.c\nSender: carol@host.example\nRecipient: bob\n"), 0o660))
	must(t, os.WriteFile(f.dir+"/flush", nil, 0o660))
	must(t, os.Mkdir(f.dir+"/queue", 0o700))
	res, err := f.Import(f.dir)
	if err != nil || res != (Result{Imported: 3}) || f.errs.Len() > 0 {
		t.Errorf("%+v, %v, %s", res, err, f.errs.String())
	}
	got := f.mail(t)
	for _, want := range []string{
		"-i|-bq|-fcarol@host.example|--|-x@far.example|\nSubject: one\n\nbody\n",
		"-i|-bq|-f<>|--|root|\ntwo\n",
		"-i|-bq|-fcarol@host.example|--|bob|\nSubject: one\n\nbody\n",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in %q", want, got)
		}
	}
	if left := f.names(t); !slices.Equal(left, []string{"flush", "queue"}) {
		t.Errorf("left: %q", left)
	}
	if res, err := f.Import(f.dir); err != nil || res != (Result{}) || f.mail(t) != got {
		t.Errorf("again: %+v, %v", res, err)
	}
}

// What cannot be imported stays, and the others go on.
func TestStays(t *testing.T) {
	for name, c := range map[string]struct {
		spoil func(t *testing.T, f *fixture, q, m string)
		want  string
	}{
		"refused":         {func(t *testing.T, f *fixture, _, _ string) { f.add(t, "bad", "a", "refused", "x") }, "exit code 67"},
		"sendmail killed": {func(t *testing.T, f *fixture, _, _ string) { f.add(t, "bad", "a", "killed", "x") }, "ended by signal"},
		"no message":      {func(t *testing.T, _ *fixture, _, m string) { must(t, os.Remove(m)) }, "open Mbad"},
		"Q is a link":     {func(t *testing.T, _ *fixture, q, m string) { must(t, os.Remove(q)); must(t, os.Symlink(m, q)) }, "open Qbad"},
		"M is a link":     {func(t *testing.T, _ *fixture, q, m string) { must(t, os.Remove(m)); must(t, os.Symlink(q, m)) }, "open Mbad"},
		"M is a FIFO":     {func(t *testing.T, _ *fixture, _, m string) { must(t, os.Remove(m)); must(t, unix.Mkfifo(m, 0o600)) }, "not a regular"},
		"Q has two names": {func(t *testing.T, f *fixture, q, _ string) { must(t, os.Link(q, f.dir+"/x")) }, "another name"},
		"cut off":         {func(t *testing.T, _ *fixture, q, _ string) { must(t, os.Truncate(q, 10)) }, "cut off"},
		"empty":           {func(t *testing.T, _ *fixture, q, _ string) { must(t, os.Truncate(q, 0)) }, "no sender"},
		"other lines":     {func(t *testing.T, _ *fixture, q, _ string) { must(t, os.WriteFile(q, []byte("root:x:0\n"), 0o600)) }, "not one of a queue file"},
		"two recipients": {func(t *testing.T, _ *fixture, q, _ string) {
			must(t, os.WriteFile(q, []byte("Sender: a\nRecipient: b\nRecipient: c\n"), 0o600))
		}, "not one of"},
		"control character": {func(t *testing.T, _ *fixture, q, _ string) {
			must(t, os.WriteFile(q, []byte("Sender: a\nRecipient: b\x00\n"), 0o600))
		}, "address"},
		"too long": {func(t *testing.T, _ *fixture, q, _ string) { must(t, os.Truncate(q, 9000)) }, "longer than"},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			f.add(t, "bad", "carol@host.example", "bob", "bad\n")
			f.add(t, "good", "carol@host.example", "bob", "good\n")
			c.spoil(t, f, f.dir+"/Qbad", f.dir+"/Mbad")
			before := len(f.names(t))
			res, err := f.Import(f.dir)
			if err != nil || res != (Result{1, 1}) || !strings.Contains(f.errs.String(), c.want) || !strings.HasSuffix(f.mail(t), "good\n") {
				t.Errorf("%+v, %v: %s", res, err, f.errs.String())
			}
			if strings.Contains(f.mail(t), "bad\n") || len(f.names(t)) != before-2 {
				t.Errorf("left %q, sent %q", f.names(t), f.mail(t))
			}
		})
	}
}

func TestLocked(t *testing.T) {
	f := newFixture(t)
	f.add(t, "1", "a", "b", "x\n")
	q, err := os.Open(f.dir + "/Q1")
	must(t, err)
	must(t, unix.Flock(int(q.Fd()), unix.LOCK_EX))
	if res, err := f.Import(f.dir); err != nil || res.Left != 1 || !strings.Contains(f.errs.String(), "import again") {
		t.Errorf("%+v, %v: %s", res, err, f.errs.String())
	}
	q.Close()
	if res, err := f.Import(f.dir); err != nil || res.Imported != 1 {
		t.Errorf("%+v, %v", res, err)
	}
}

// A file of somebody else's under the name of a message is not mailed.
func TestForeignMessage(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root, as which CI runs it, to make a file of another group")
	}
	f := newFixture(t)
	f.add(t, "1", "a", "b", "secret\n")
	must(t, os.Chown(f.dir+"/M1", -1, 1))
	if res, err := f.Import(f.dir); err != nil || res.Left != 1 || f.mail(t) != "" {
		t.Errorf("%+v, %v: %s", res, err, f.mail(t))
	}
}

func TestNoSpool(t *testing.T) {
	f := newFixture(t)
	if _, err := f.Import(f.dir + "/none"); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
	must(t, os.Symlink(f.dir, f.kept+"/link"))
	if _, err := f.Import(f.kept + "/link"); err == nil {
		t.Error("followed a link")
	}
}

func FuzzQueueFile(f *testing.F) {
	for _, s := range []string{"ID: 1.a\nSender: a@b\nRecipient: c@d\n", "Sender: \nRecipient: -x\n", "Sender:\n", "", "Recipient: b"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := parse(bytes.NewReader(b))
		if err == nil && (strings.ContainsAny(e.sender+e.recipient, "\n\x00") || !bytes.Contains(b, []byte("Recipient: "+e.recipient+"\n"))) {
			t.Errorf("%q: %+v", b, e)
		}
	})
}
