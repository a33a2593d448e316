//go:build system

package system

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"dma/scripts/machine"
)

// report looks for one report about the action in a mailbox, and the fields that
// it has to have.
func (w *world) report(login, action string, fields ...string) {
	w.t.Helper()
	box := w.mailbox(login)
	if n := strings.Count("\n"+box, "\nFrom MAILER-DAEMON "); n != 1 {
		w.t.Errorf("%s has %d reports:\n%s", login, n, box)
		return
	}
	for _, want := range append(fields, "Content-Type: multipart/report; report-type=delivery-status;", "Auto-Submitted: auto-replied", "Action: "+action) {
		if !strings.Contains(box, "\n"+want+"\n") {
			w.t.Errorf("the report to %s lacks %q:\n%s", login, want, box)
		}
	}
}

// What -N, -R and -V ask for is done by whoever delivers (RFC 3461).
func TestOperatorReports(t *testing.T) {
	w := newWorld(t, quick+"FULLBOUNCE\n", "0|^RCPT TO:<y@|550 5.1.1 nobody of that name")
	w.must("alice", "Subject: told\n\nhello\n", "sendmail", "-N", "success,delay,failure", "-R", "hdrs", "-V", "order+207", "bob")
	w.must("carol", "Subject: hushed\n\nhello\n", "sendmail", "-N", "never", "y@remote.example")
	w.must("bob", "Subject: bounced\n\nall of it\n", "sendmail", "-Nfailure", "-Rfull", "y@remote.example", "z@remote.example")
	w.drained(10 * time.Second)
	w.report("alice", "delivered", "Subject: Mail delivered", "Original-Envelope-Id: order 7", "Final-Recipient: rfc822; bob@client.example.net", "Content-Type: text/rfc822-headers", "Subject: told")
	if box := w.mailbox("alice"); strings.Contains(box, "\nhello\n") {
		t.Errorf("-R hdrs gives the body back:\n%s", box)
	}
	if box := w.mailbox("carol"); box != "" {
		t.Errorf("-N never gives a bounce:\n%s", box)
	}
	bob := w.mailbox("bob") // has alice's mail, too
	if !strings.Contains(bob, "\nAction: failed\n") || !strings.Contains(bob, "\nContent-Type: message/rfc822\n") || !strings.Contains(bob, "\nall of it\n") || strings.Contains(bob, "z@remote.example>.") {
		t.Errorf("mailbox of bob:\n%s", bob)
	}
	w.quiet()
}

// Who waits is told once, unless that is not wanted.
func TestOperatorDelay(t *testing.T) {
	w := newWorld(t, "MINRETRY 1s\nMAXRETRY 1s\nDELAYWARN 2s\n", "0|^RCPT|450 4.2.1 mailbox is busy")
	w.must("alice", "Subject: late\n\nhello\n", "sendmail", "x@remote.example")
	w.must("bob", "Subject: late\n\nhello\n", "sendmail", "-N", "failure", "x@remote.example")
	w.eventually(15*time.Second, "alice is told", func() bool { return w.mailbox("alice") != "" })
	tries := len(w.events("rcpt"))
	w.eventually(15*time.Second, "two more tries of each", func() bool { return len(w.events("rcpt")) >= tries+4 })
	w.report("alice", "delayed", "Subject: Mail delivery delayed", "Final-Recipient: rfc822; x@remote.example", "Status: 4.2.1", "Diagnostic-Code: smtp; 450 4.2.1 mailbox is busy")
	if box := w.mailbox("bob"); box != "" {
		t.Errorf("bob is told:\n%s", box)
	}
	if n := len(queuedIDs()); n != 2 {
		t.Errorf("%d messages wait", n)
	}
	w.expect(0, "root", "dma-queue", "--remove", "--all")
	w.quiet()
}

// old puts a message of an old dma into the spool.
func (w *world) old(id, login, sender, recipient, message string) {
	w.t.Helper()
	uid, _ := ids(w.t, login)
	for name, text := range map[string]string{
		"M" + id: message,
		"Q" + id: fmt.Sprintf("ID: %s\nSender: %s\nRecipient: %s\n", id, sender, recipient),
	} {
		path := "/var/spool/dma/" + name
		if err := os.WriteFile(path, []byte(text), 0o660); err != nil {
			w.t.Fatal(err)
		}
		if err := os.Chown(path, uid, 8); err != nil { // group mail
			w.t.Fatal(err)
		}
		w.t.Cleanup(func() { _ = os.Remove(path) })
	}
}

// What an old dma has left is taken over by the installation, once, and what
// cannot be stays for somebody to look at.
func TestOperatorImport(t *testing.T) {
	w := newWorld(t, quick)
	const received = "Received: from %s (uid %d)\n\t(envelope-from %s)\n\tid 9be077\n\tby old.example (DragonFly Mail Agent v0.13);\n\tMon, 23 Nov 2020 10:00:00 +0000\n"
	const alice = "alice@client.example.net"
	w.old("9be077.55d08b670fd0", "alice", alice, "x@remote.example", fmt.Sprintf(received, "alice", 5001, alice)+"Subject: old\n\nfrom alice\n.\nend\n")
	w.old("9be078.55d08b670fd1", "bob", "", "carol", fmt.Sprintf(received, "bob", 5002, "")+"Subject: old\n\nfrom bob\n")
	w.old("9be079.55d08b670fd2", "bob", "bob@client.example.net", "nosuchuser", "Subject: old\n\nto nobody\n")
	install := exec.Command("make", "-s", "-C", machine.Repository(), "install", "BUILD="+os.Getenv(buildVariable))
	out, err := install.CombinedOutput()
	if err != nil {
		t.Fatalf("make install: %v\n%s", err, out)
	}
	for _, want := range []string{"imported 9be077.55d08b670fd0\n", "imported from the spool of an old dma in /var/spool/dma: 2\n", "Q9be079.55d08b670fd2 stays: "} {
		if !strings.Contains(string(out), want) {
			t.Errorf("make install does not say %q:\n%s", want, out)
		}
	}
	w.drained(10 * time.Second)
	for _, line := range []string{"new mail from user=alice uid=5001 envelope_from=<" + alice + ">", "new mail from user=bob uid=5002 envelope_from=<>"} {
		if strings.Count(w.log(), line+"\n") != 1 {
			t.Errorf("the log lacks %q", line)
		}
	}
	if box := w.mailbox("carol"); !strings.HasPrefix(box, "From MAILER-DAEMON ") || !strings.Contains(box, "\n\nfrom bob\n") || !strings.Contains(box, "by old.example") {
		t.Errorf("mailbox of carol:\n%s", box)
	}
	if taken := w.taken(); len(taken) != 1 || taken[0].Sender != alice || !strings.HasSuffix(w.read(w.sink+"/"+taken[0].File), "\r\n\r\nfrom alice\r\n.\r\nend\r\n") {
		t.Errorf("taken: %+v", taken)
	}
	w.expect(exNoPerm, "bob", "dma-queue", "--import")
	a := w.expect(75, "root", "dma-queue", "--import") // again: it is still there, alone
	if !strings.Contains(a.out, "in /var/spool/dma: 0\n") || w.read("/var/spool/dma/M9be079.55d08b670fd2") == "" {
		t.Errorf("second import: %+v", a)
	}
}

// LOG with a file: root makes it, the runner writes it for all.
func TestOperatorLog(t *testing.T) {
	const path = "/var/log/dma.log"
	w := newWorld(t, quick+"LOG "+path+"\n")
	if err := os.WriteFile(path, nil, 0o640); err != nil {
		t.Fatal(err)
	}
	uid, gid := ids(t, "_dmaq")
	if err := os.Chown(path, uid, gid); err != nil {
		t.Fatal(err)
	}
	w.must("alice", "hello\n", "sendmail", "bob", "x@remote.example")
	w.drained(10 * time.Second)
	w.quiet()
	log := w.read(path)
	for _, want := range []string{"]: new mail from user=alice uid=5001 ", "]: using smarthost (127.0.0.1:", "]: trying remote delivery to 127.0.0.1 [127.0.0.1] pref ", "]: <x@remote.example> delivery successful", "]: <bob@client.example.net> delivery successful"} {
		if n := strings.Count(log, want); n != 1 {
			t.Errorf("%d lines with %q:\n%s", n, want, log)
		}
	}
	if other := w.log(); strings.Contains(other, "x@remote.example") || strings.Contains(other, "smarthost") {
		t.Errorf("syslog has lines, too:\n%s", other)
	}
	if err := os.Chmod(path, 0o000); err != nil { // and a file that cannot be written loses no line
		t.Fatal(err)
	}
	if err := os.Chown(path, 0, 0); err != nil {
		t.Fatal(err)
	}
	w.must("alice", "hello\n", "sendmail", "y@remote.example")
	w.drained(10 * time.Second)
	w.eventually(5*time.Second, "syslog has the lines and the reason", func() bool {
		return strings.Contains(w.log(), "<y@remote.example> delivery successful") && strings.Contains(w.log(), path)
	})
}
