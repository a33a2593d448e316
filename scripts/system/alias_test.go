//go:build system

package system

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// aliasDir is where the account of aliases may write.
func aliasDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/var/tmp", "aliases-")
	if err == nil {
		uid, gid := ids(t, "nobody")
		err = os.Chown(dir, uid, gid)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

func (w *world) aliases(text string) {
	w.t.Helper()
	if err := os.WriteFile("/etc/aliases", []byte(text), 0o644); err != nil {
		w.t.Fatal(err)
	}
}

// waits waits until mailq gives this reason.
func (w *world) waits(reason string) {
	w.t.Helper()
	w.eventually(10*time.Second, "mailq says "+reason, func() bool { return strings.Contains(w.must("root", "", "mailq", "-v"), reason) })
}

// Commands and files of the alias file (RULES C10): they wait while they are off, and
// while others may write the file; then nobody runs and writes them.
func TestAliasCommands(t *testing.T) {
	w := newWorld(t, quick)
	dir := aliasDir(t)
	command := fmt.Sprintf("cat > %[1]s/letter; id -un > %[1]s/id; id -G >> %[1]s/id; pwd >> %[1]s/id; umask >> %[1]s/id; env > %[1]s/env", dir)
	w.aliases(fmt.Sprintf("List: \"|%s\", alice\narch: %s/box, %s/dir/\n", command, dir, dir))

	w.must("carol", "hello\n", "sendmail", "List+Ext", "arch")
	w.waits("write ALIASCOMMANDS into dma.conf")
	if a := w.expect(75, "carol", "sendmail", "-bv", "list"); !strings.Contains(a.out, `list: would wait: alias "list" names a command or a file`) {
		t.Errorf("-bv: %s", a.out)
	}
	for _, args := range [][]string{{"newaliases"}, {"dma", "--check"}} {
		if a := w.call("root", "", args...); a.code == 0 || !strings.Contains(a.out+a.err, `mail for "List" waits: dma.conf has no ALIASCOMMANDS`) {
			t.Errorf("%q: exit %d\n%s%s", args, a.code, a.out, a.err)
		}
	}

	if err := os.Chmod("/etc/aliases", 0o664); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.Chmod("/etc/aliases", 0o644) })
	w.configure(quick + "ALIASCOMMANDS\n")
	w.waits("others may write /etc/aliases; run: chmod go-w /etc/aliases")
	if a := w.call("root", "", "dma", "--check"); a.code == 0 || !strings.Contains(a.out, "must be root's word, and others may write /etc/aliases") {
		t.Errorf("--check: exit %d\n%s", a.code, a.out)
	}
	if names, err := os.ReadDir(dir); err != nil || len(names) > 0 {
		t.Fatalf("%v, %v: something was done", names, err)
	}

	if err := os.Chmod("/etc/aliases", 0o644); err != nil {
		t.Fatal(err)
	}
	if a := w.expect(0, "carol", "sendmail", "-bv", "list"); !strings.Contains(a.out, "list@client.example.net: command: "+command+"\n") {
		t.Errorf("-bv: %s", a.out)
	}
	w.must("root", "", "sendmail", "-q")
	w.drained(20 * time.Second)
	_, gid := ids(t, "nobody")
	if got, want := w.read(dir+"/id"), fmt.Sprintf("nobody\n%d\n/\n0077\n", gid); got != want {
		t.Errorf("the command is %q, want %q", got, want)
	}
	env := "\n" + w.read(dir+"/env")
	w.checkEnvironment(env[1:])
	for _, want := range []string{"HOME=/", "LOGNAME=nobody", "SHELL=/bin/sh", "SENDER=carol@client.example.net", "RECIPIENT=list@client.example.net", "LOCAL=list", "EXTENSION=ext"} {
		if !strings.Contains(env, "\n"+want+"\n") {
			t.Errorf("the command has no %s:%s", want, env)
		}
	}
	boxes, _ := filepath.Glob(dir + "/dir/new/*")
	for _, path := range append(boxes, dir+"/letter", dir+"/box", dir+"/dir") {
		var st syscall.Stat_t
		if err := syscall.Lstat(path, &st); err != nil || int(st.Gid) != gid || st.Mode&0o077 != 0 {
			t.Errorf("%s: group %d, mode %o, %v", path, st.Gid, st.Mode, err)
		}
	}
	if letter := w.read(dir + "/letter"); !strings.Contains(letter, "\nDelivered-To: list@client.example.net\n") || !strings.HasSuffix(letter, "\nhello\n") {
		t.Errorf("the command read\n%s", letter)
	}
	if box := w.read(dir + "/box"); strings.Count(box, "\nDelivered-To: arch@client.example.net\n") != 1 || len(boxes) != 1 {
		t.Errorf("file and maildir %v:\n%s", boxes, box)
	}
	if n := strings.Count(w.mailbox("alice"), "\nhello\n"); n != 1 {
		t.Errorf("alice has it %d times", n)
	}
	if log := w.log(); !strings.Contains(log, "<list@client.example.net> delivery successful") {
		t.Error("the log does not say that it was delivered")
	}
}

// What the command's exit code means is what it means for users (RULES D8), and an
// alias file of somebody else's runs nothing.
func TestAliasCommandFails(t *testing.T) {
	w := newWorld(t, quick+"ALIASCOMMANDS\n")
	w.aliases("no: \"|echo 5.7.1 not for you; exit 1\"\n")
	w.must("carol", "hello\n", "sendmail", "no")
	w.drained(20 * time.Second)
	if box := w.mailbox("carol"); !strings.Contains(box, "not for you") || !strings.Contains(box, "Status: 5.7.1") {
		t.Errorf("carol is told\n%s", box)
	}
	dir := aliasDir(t)
	w.aliases("no: |touch " + dir + "/ran\n")
	uid, _ := ids(t, "alice")
	if err := os.Chown("/etc/aliases", uid, 0); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.Chown("/etc/aliases", 0, 0) })
	w.must("carol", "hello\n", "sendmail", "no")
	w.waits(fmt.Sprintf("/etc/aliases belongs to uid %d, who is not root; run: chown root /etc/aliases", uid))
	if names, err := os.ReadDir(dir); err != nil || len(names) > 0 {
		t.Errorf("%v, %v: something was done", names, err)
	}
}

// RULES C5: a command that hands the mail in again, for the same alias by way of a
// user, and mail that has been everywhere, end in one bounce.
func TestAliasCircles(t *testing.T) {
	w := newWorld(t, quick+"ALIASCOMMANDS\n")
	dir := aliasDir(t)
	w.aliases("again: \"|echo x >> " + dir + "/runs; exec /usr/sbin/sendmail -i -f carol@client.example.net bob\"\nround: bob\n")
	w.home("bob", ".forward", "again\n")
	t.Cleanup(func() { _ = os.Remove("/home/bob/.forward") })
	w.must("carol", "Subject: circle\n\nhello\n", "sendmail", "-i", "round")
	w.drained(30 * time.Second)
	if runs := w.read(dir + "/runs"); runs != "x\n" {
		t.Errorf("the command ran %d times", strings.Count(runs, "x"))
	}
	box := w.mailbox("carol")
	if strings.Count("\n"+box, "\nFrom ") != 1 || !strings.Contains(box, "Status: 5.4.6") {
		t.Errorf("carol is told\n%s", box)
	}

	hops := strings.Repeat("Received: from a by b; Mon, 23 Nov 2026 12:00:00 +0000\n", 51)
	w.must("carol", hops+"Subject: hops\n\nhello\n", "sendmail", "-i", "alice")
	w.drained(20 * time.Second)
	if box := w.mailbox("carol"); strings.Count(box, "Status: 5.4.6") != 2 || w.mailbox("alice") != "" {
		t.Errorf("carol is told\n%s\nalice has\n%s", box, w.mailbox("alice"))
	}
}
