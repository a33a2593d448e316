//go:build system

package system

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

const quick = "MINRETRY 2s\nMAXRETRY 3s\n"

// mailFile checks owner and mode of a mailbox and returns it.
func (w *world) mailbox(login string) string {
	w.t.Helper()
	var st syscall.Stat_t
	path := "/var/mail/" + login
	if err := syscall.Lstat(path, &st); err != nil {
		return ""
	}
	uid, _ := ids(w.t, login)
	if int(st.Uid) != uid || st.Mode != syscall.S_IFREG|0o660 {
		w.t.Errorf("%s belongs to uid %d and has mode %o", path, st.Uid, st.Mode)
	}
	return w.read(path)
}

// The whole way: a real client, three kinds of targets in a .forward, a smarthost.
func TestFirstMail(t *testing.T) {
	for name, forward := range map[string]string{
		"lines":  "!alice\n|cat > ~/piped; id -un > ~/who; env > ~/env\nfar@remote.example\n",
		"commas": `!alice, "|cat > ~/piped; id -un > ~/who; env > ~/env", far@remote.example` + "\n",
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, quick)
			w.home("alice", ".forward", forward)
			const body = "From here on\n>From there\n.\n..\nlast line"
			w.must("carol", body, "bsd-mailx", "-s", "greetings", "alice", "bob", "x@remote.example", "y@remote.example")
			w.drained(20 * time.Second)

			for _, u := range []string{"alice", "bob"} {
				box := w.mailbox(u)
				if !strings.HasPrefix(box, "From carol@client.example.net ") || strings.Count("\n"+box, "\nFrom ") != 1 || !strings.HasSuffix(box, "\n\n") {
					t.Errorf("mailbox of %s is no mbox with one message:\n%s", u, box)
				}
				for _, want := range []string{"\nReturn-Path: <carol@client.example.net>\n", "\nDelivered-To: " + u + "@client.example.net\n", "\nSubject: greetings\n", "\n>From here on\n>>From there\n.\n..\nlast line\n"} {
					if !strings.Contains("\n"+box, want) {
						t.Errorf("mailbox of %s lacks %q:\n%s", u, want, box)
					}
				}
			}
			if who := w.read("/home/alice/who"); who != "alice\n" {
				t.Errorf("the command ran as %q", who)
			}
			if piped := w.read("/home/alice/piped"); !strings.Contains(piped, "\nFrom here on\n") || !strings.HasPrefix(piped, "From carol@client.example.net ") {
				t.Errorf("the command got:\n%s", piped)
			}
			w.checkEnvironment(w.read("/home/alice/env"))
			w.checkTransactions(body)
			w.quiet()
			if left, err := os.ReadDir("/var/mail"); err != nil || len(left) != 3 { // alice, bob, root
				t.Errorf("mail directory: %v %v", left, err)
			}
		})
	}
}

func (w *world) checkEnvironment(env string) {
	w.t.Helper()
	var names []string
	for line := range strings.Lines(env) {
		name, _, _ := strings.Cut(line, "=")
		if name != "PWD" && name != "OLDPWD" && name != "_" && name != "SHLVL" { // the shell's own
			names = append(names, name)
		}
	}
	slices.Sort(names)
	want := []string{"DOMAIN", "EXTENSION", "HOME", "LOCAL", "LOGNAME", "ORIGINAL_RECIPIENT", "PATH", "RECIPIENT", "SENDER", "SHELL", "USER"}
	if !slices.Equal(names, want) {
		w.t.Errorf("environment of the command: %v, want %v", names, want)
	}
}

func (w *world) checkTransactions(body string) {
	w.t.Helper()
	taken := w.taken()
	if len(taken) != 2 {
		w.t.Fatalf("%d transactions: %+v", len(taken), taken)
	}
	for _, e := range taken {
		message := w.read(w.sink + "/" + e.File)
		forwarded := strings.HasPrefix(message, "Delivered-To: alice@client.example.net\r\n")
		want := []string{"x@remote.example", "y@remote.example"}
		if forwarded {
			want = []string{"far@remote.example"}
		}
		if !slices.Equal(e.Recipients, want) || e.Sender != "carol@client.example.net" {
			w.t.Errorf("transaction from %s to %v, forwarded %t", e.Sender, e.Recipients, forwarded)
		}
		if !strings.HasSuffix(message, "\r\n\r\n"+strings.ReplaceAll(body, "\n", "\r\n")+"\r\n") {
			w.t.Errorf("message at the smarthost:\n%q", message)
		}
	}
}

// One recipient answered 450, one 550: the first is retried alone, the second
// bounces to the sender once, the rest is not sent again.
func TestEachRecipientItsOwnEnd(t *testing.T) {
	w := newWorld(t, quick, "1|^RCPT TO:<x@|450 4.2.1 not now", "0|^RCPT TO:<y@|550 5.1.1 nobody of that name")
	w.home("alice", ".forward", "!alice\nfar@remote.example\n")
	w.must("carol", "hello\n", "bsd-mailx", "-s", "greetings", "alice", "bob", "x@remote.example", "y@remote.example", "z@remote.example")
	w.drained(20 * time.Second)

	var recipients []string
	for _, e := range w.taken() {
		recipients = append(recipients, strings.Join(e.Recipients, " "))
	}
	slices.Sort(recipients)
	if want := []string{"far@remote.example", "x@remote.example", "z@remote.example"}; !slices.Equal(recipients, want) {
		t.Errorf("transactions %q, want %q", recipients, want)
	}
	tries := make(map[string]int)
	for _, e := range w.events("rcpt") {
		tries[e.Recipient]++
	}
	if tries["x@remote.example"] != 2 || tries["y@remote.example"] != 1 || tries["z@remote.example"] != 1 {
		t.Errorf("tries: %v", tries)
	}
	box := w.mailbox("carol")
	if strings.Count("\n"+box, "\nFrom MAILER-DAEMON ") != 1 || !strings.Contains(box, "y@remote.example") || !strings.Contains(box, "550 5.1.1 nobody of that name") || strings.Contains(box, "There was an error delivering your mail to <x@") {
		t.Errorf("mailbox of carol:\n%s", box)
	}
	for _, u := range []string{"alice", "bob"} {
		if n := strings.Count("\n"+w.mailbox(u), "\nFrom "); n != 1 {
			t.Errorf("%s has %d messages", u, n)
		}
	}
	w.quiet()
}

// Each process has the account and the descriptors that DESIGN gives it.
func TestPrivileges(t *testing.T) {
	w := newWorld(t, quick, "-rtt=300ms")
	w.home("alice", ".forward", "!alice\n|sleep 2; cat > ~/piped\nfar@remote.example\n")
	for range 3 {
		w.must("carol", "hello\n", "sendmail", "alice", "bob", "x@remote.example")
	}
	account := func(login string) int { uid, _ := ids(t, login); return uid }
	owners := map[string][]int{
		"dma-spawn": {0}, "dma-queue-runner": {account("_dmaq")}, "dma-remote": {account("_dmar")},
		"dma-forward": {account("alice"), account("bob")}, "dma-local": {account("alice"), account("bob")},
	}
	allowed := map[string][]string{ // prefixes of what a descriptor may be
		"dma-spawn":        {"/dev/null", "socket:", "anon_inode:", "/etc/passwd", "/etc/nsswitch.conf", "/etc/group", "pipe:"},
		"dma-queue-runner": {"/dev/null", "socket:", "anon_inode:", "/var/spool/dma", "/etc/dma", "/etc/aliases", "/etc/passwd", "/etc/mailname"},
		"dma-remote":       {"/dev/null", "socket:", "anon_inode:", "/var/spool/dma/queue/", "/etc/"},
		"dma-forward":      {"/dev/null", "socket:", "anon_inode:", "/home/alice", "/home/bob"},
		"dma-local":        {"/dev/null", "socket:", "anon_inode:", "/var/spool/dma/queue/", "/var/mail", "/home/alice", "/home/bob", "pipe:"},
	}
	seen := make(map[string]bool)
	for end := time.Now().Add(4 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		for _, p := range processes() {
			if p.program == "dma-queue" {
				continue
			}
			seen[p.program] = true
			if !slices.Contains(owners[p.program], p.uid) && !starting(p) {
				t.Errorf("%s runs as uid %d", p.program, p.uid)
			}
			for _, fd := range p.fds {
				_, to, _ := strings.Cut(fd, " ")
				if !slices.ContainsFunc(allowed[p.program], func(prefix string) bool { return strings.HasPrefix(to, prefix) }) && !starting(p) {
					t.Errorf("%s (uid %d) has descriptor %s", p.program, p.uid, fd)
				}
				if (p.program == "dma-local" || p.program == "dma-forward") && strings.HasPrefix(to, "/var/spool/dma") && !strings.HasPrefix(to, "/var/spool/dma/queue/") {
					t.Errorf("%s has descriptor %s", p.program, fd)
				}
			}
		}
		if t.Failed() {
			return
		}
	}
	for name := range owners {
		if !seen[name] {
			t.Errorf("%s was never seen", name)
		}
	}
	w.drained(20 * time.Second)
	w.quiet()
}

// starting reports whether p was looked at on its way: between fork and exec it
// has the name of its parent. What lasts for a second is no longer on its way.
func starting(p process) bool {
	for range 20 {
		time.Sleep(50 * time.Millisecond)
		same := func(q process) bool { return q.pid == p.pid && q.program == p.program && q.uid == p.uid }
		if !slices.ContainsFunc(processes(), same) {
			return true
		}
	}
	return false
}

// A chmod slip, a typo and a dead smarthost defer, say why in mailq, and bounce nothing.
func TestMistakesWait(t *testing.T) {
	w := newWorld(t, "MINRETRY 1h\n")
	w.stop()
	w.home("alice", ".forward", "!alice\n")
	if err := os.Chmod("/home/alice/.forward", 0o666); err != nil {
		t.Fatal(err)
	}
	w.home("bob", ".forward", "|cat > ~/piped\n\"unclosed\n")
	w.must("carol", "hello\n", "sendmail", "alice", "bob", "x@remote.example")
	w.eventually(10*time.Second, "all three deferred", func() bool {
		out := w.must("carol", "", "mailq", "-v")
		return strings.Contains(out, "/home/alice/.forward") && strings.Contains(out, "/home/bob/.forward") && strings.Contains(out, "refused")
	})
	if box := w.mailbox("carol") + w.mailbox("alice") + w.mailbox("bob"); box != "" {
		t.Errorf("mail came: %s", box)
	}
	w.eventually(5*time.Second, "helpers have ended", func() bool { return len(processes()) == 2 })
	// All is put right; nothing was lost.
	if err := os.Chmod("/home/alice/.forward", 0o600); err != nil {
		t.Fatal(err)
	}
	w.home("bob", ".forward", "|cat > ~/piped\n")
	w.start("-addr=" + strings.TrimSpace(w.oldAddress()))
	w.must("carol", "", "sendmail", "-q")
	w.drained(20 * time.Second)
	if w.mailbox("alice") == "" || len(w.taken()) != 1 {
		t.Errorf("alice %q, smarthost %+v", w.mailbox("alice"), w.taken())
	}
}

// oldAddress is where dma.conf says that the smarthost is.
func (w *world) oldAddress() string {
	first, _, _ := strings.Cut(w.read("/etc/dma/dma.conf"), "\n")
	return strings.TrimPrefix(first, "SMARTHOST ")
}

// root's mail is written by nobody, into a mailbox that make install prepared.
func TestRootMailbox(t *testing.T) {
	w := newWorld(t, quick)
	before := len(w.read("/var/mail/root"))
	w.must("root", "hello root\n", "sendmail", "postmaster")
	w.drained(10 * time.Second)
	var st syscall.Stat_t
	if err := syscall.Lstat("/var/mail/root", &st); err != nil || st.Uid != 0 || st.Mode != syscall.S_IFREG|0o660 {
		t.Errorf("root's mailbox: uid %d mode %o %v", st.Uid, st.Mode, err)
	}
	if box := w.read("/var/mail/root")[before:]; !strings.Contains(box, "hello root") || !strings.Contains(box, "from root (uid 0)") {
		t.Errorf("root's mailbox:\n%s", box)
	}
}

// An unknown recipient is refused at once; the exit codes are those of sendmail.
func TestExitCodes(t *testing.T) {
	w := newWorld(t, quick)
	for _, c := range []struct {
		args []string
		want int
	}{
		{[]string{"sendmail", "nosuchuser"}, 67},
		{[]string{"sendmail", "bob"}, 0},
		{[]string{"sendmail", "-t"}, 66},
		{[]string{"sendmail", "a\nb@x.example"}, 65},
		{[]string{"sendmail", "-bp", "bob"}, 64},
		{[]string{"mailq"}, 0},
		{[]string{"newaliases"}, 0},
	} {
		cmd := as(t, "carol", "Subject: x\n\nx\n", c.args...)
		out, _ := cmd.CombinedOutput()
		if got := cmd.ProcessState.ExitCode(); got != c.want {
			t.Errorf("%q: exit %d, want %d\n%s", c.args, got, c.want, out)
		}
	}
	w.drained(10 * time.Second)
	if out := w.must("carol", "", "mailq"); out != "Mail queue is empty\n" {
		t.Errorf("mailq: %q", out)
	}
	_ = fmt.Sprint
}
