package check

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"dma/common/conf"
	"dma/common/passwd"
	"dma/common/site"
	"dma/proto"
)

// TestFindings: what is wrong is found, with what to do about it, and nothing else.
func TestFindings(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root, as which CI runs it")
	}
	all := slices.Concat([]finding{{"nothing", func(*world) {}, nil, 0}},
		accountFindings(), programFindings(), spoolFindings(), configFindings(), authFindings(), localFindings(), userFindings(), remoteFindings())
	for _, f := range all {
		t.Run(f.name, func(t *testing.T) {
			w := newWorld(t)
			f.wrong(w)
			code, got := w.run()
			last := len(got) - 1
			if last < 0 || !strings.HasPrefix(got[last], "Errors: ") {
				t.Fatalf("got %q", got)
			}
			compare(t, got[:last], f.want)
			if code != f.code || !w.left {
				t.Errorf("exit code %d, want %d; root given up: %v", code, f.code, w.left)
			}
			if strings.Contains(w.out.String(), "hunter") {
				t.Errorf("a password is printed: %s", w.out.String())
			}
		})
	}
}

func compare(t *testing.T, got, want []string) {
	t.Helper()
	for i := range max(len(got), len(want)) {
		switch {
		case i >= len(got):
			t.Fatalf("missing: %s", want[i])
		case i >= len(want):
			t.Fatalf("too much: %s", got[i])
		case !strings.HasPrefix(got[i], want[i]):
			t.Errorf("got %s\nwant %s", got[i], want[i])
		}
	}
}

// TestUser: what a user may see, who is told what is not looked at.
func TestUser(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root, as which CI runs it")
	}
	const unseen = "Not looked at, as only root may: dead letters, the lines of etc/dma/auth.conf, files of other users, DNS, routes, TLS and login."
	for _, f := range []finding{
		{"nothing", func(*world) {}, []string{unseen, "Errors: 0, warnings: 0."}, 0},
		{"own forward", func(w *world) { w.chmod("home/ann/.forward", 0o666) }, []string{"error: home/ann/.forward: its mode is 0666", unseen, "Errors: 1, warnings: 0."}, 1},
		{"forward of another", func(w *world) { w.own("home/bob", annID, 100, 0o755) }, []string{unseen, "Errors: 0, warnings: 0."}, 0},
		{"no group", func(w *world) { w.checker.egid = 100 }, []string{"error: group _dmas: this program runs without it: its set-gid bit has no effect here, and no mail is taken", unseen, "Errors: 1, warnings: 0."}, 78},
		{"own dma.conf", func(w *world) {
			w.file("own.conf", smarthost, 0, 0, 0o644)
			w.checker.path, w.checker.egid = w.path("own.conf"), 100
		}, []string{"Not looked at, as only root may: dead letters, files of other users, the queue runner, with a dma.conf of one's own.", "Errors: 0, warnings: 0."}, 0},
	} {
		t.Run(f.name, func(t *testing.T) {
			w := newWorld(t)
			w.as(annID)
			f.wrong(w)
			code, got := w.run()
			compare(t, got, f.want)
			if code != f.code || len(w.asked) > 0 {
				t.Errorf("exit code %d, want %d; probes %q", code, f.code, w.asked)
			}
		})
	}
}

// TestPrivate is the check of a private build, which needs no privileges.
func TestPrivate(t *testing.T) {
	private := func(t *testing.T) *world {
		w := &world{t: t, dir: t.TempDir(), reports: map[string][]*proto.Report{}}
		for variable, value := range map[*string]string{
			&site.Sbin: "bin", &site.Libexec: "bin", &site.Spool: "spool", &site.Conf: "etc", &site.Aliases: "etc/aliases", &site.Mail: "mail",
			&site.Passwd: "etc/passwd", &site.Nsswitch: "etc/nsswitch.conf", &site.LogSocket: "log",
		} {
			set(t, variable, w.path(value))
		}
		set(t, &site.QueueUser, "")
		uid, gid := os.Getuid(), os.Getgid()
		w.directory("home", uid, gid, 0o700)
		w.file("etc/passwd", fmt.Sprintf("me:x:%d:%d::%s:/bin/sh\n", uid, gid, w.path("home")), uid, gid, 0o600)
		w.file("etc/group", "", uid, gid, 0o600)
		w.file("etc/resolv.conf", "nameserver ::1\n", uid, gid, 0o600)
		w.file("etc/dma.conf", smarthost+"AUTHPATH "+w.path("etc/auth.conf")+"\n", uid, gid, 0o600)
		w.file("etc/auth.conf", "u|relay.example.org:hunter2\n", uid, gid, 0o600)
		w.file("etc/aliases", "root: me\n", uid, gid, 0o600)
		for _, name := range []string{"dma-queue", "dma-spawn", "dma-queue-runner", "dma-forward", "dma-local", "dma-remote"} {
			w.file("bin/"+name, "", uid, gid, 0o755)
		}
		for _, name := range []string{"spool", "spool/incoming", "spool/queue", "spool/failed", "spool/run", "mail"} {
			w.directory(name, uid, gid, 0o755)
		}
		w.socket()
		w.checker = &checker{
			out: &w.out, path: w.path("etc/dma.conf"), etc: w.path("etc"), uid: uint32(uid), gid: uint32(gid), egid: uint32(gid),
			noSetID: func(string) (bool, error) { return true, nil }, space: func(string, int) error { return nil }, connect: w.connect, look: userLook.problems,
		}
		return w
	}
	for _, f := range []finding{
		{"nothing", func(*world) {}, nil, 0},
		{"no program", func(w *world) { w.remove("bin/dma-local") }, []string{"error: bin/dma-local: no such"}, 78},
		{"set-id bit", func(w *world) { w.chmod("bin/dma-queue", 0o2755) }, []string{"error: bin/dma-queue: its mode is 2755: a private build has no set-id bits; run: chmod ug-s bin/dma-queue"}, 78},
		{"closed directory", func(w *world) { w.chmod("spool/queue", 0o500) }, []string{"error: spool/queue: its mode is 0500; run: chmod u+rwx spool/queue"}, 78},
		{"mode of the home", func(w *world) { w.chmod("home", 0o770) }, []string{"error: home: its mode is 0770: others can change it, and mail for me waits"}, 1},
		{"report", func(w *world) { w.reports[""] = []*proto.Report{{Level: proto.LevelError, About: "TLS", Found: "no"}} }, []string{"error: TLS: no"}, 1},
	} {
		t.Run(f.name, func(t *testing.T) {
			w := private(t)
			f.wrong(w)
			code, got := w.run()
			compare(t, got[:len(got)-1], f.want)
			if code != f.code {
				t.Errorf("exit code %d, want %d", code, f.code)
			}
		})
	}
}

// TestHangingHomes: what does not answer is waited for, but not for long.
func TestHangingHomes(t *testing.T) {
	var w world
	synctest.Test(t, func(t *testing.T) {
		hang := make(chan struct{})
		c := &checker{out: &w.out, look: func(l userLook) []problem {
			if l.user.Login != "fine" {
				<-hang
			}
			return nil
		}}
		config, _, err := conf.Parse(strings.NewReader(""), "F")
		if err != nil {
			t.Fatal(err)
		}
		c.config = config
		for i, login := range []string{"a", "fine", "b", "c", "d"} {
			c.accounts.users = append(c.accounts.users, passwd.Account{Login: login, UID: uint32(i + 1000), Home: "/home/" + login})
		}
		c.checkUsers()
		close(hang)
		got := strings.Split(strings.TrimSuffix(w.out.String(), "\n"), "\n")
		compare(t, got, []string{
			"error: /home/a: does not answer within 2s, and mail for a waits; see to the file system", "error: /home/b", "error: /home/c", "warning: users: 3 homes hang, the others were not looked at",
		})
	})
}

// TestProbes: which ways out are tried.
func TestProbes(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root, as which CI runs it")
	}
	for text, want := range map[string]string{
		smarthost: "|",
		"MAILNAME h.example\nSENDERMAP @x.example a\n":                               "postmaster@x.example|",
		"MAILNAME h.example\nSMARTHOST s\nSENDERMAP u@ a\nSENDERMAP u@x.example a\n": "| u@h.example| u@x.example|",
		"MAILNAME h.example\nDELIVERY local\nSMARTHOST s\n":                          "",
	} {
		w := newWorld(t)
		w.conf(text)
		w.run()
		if got := strings.Join(w.asked, " "); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}
