package check

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"dma/common/site"
	"dma/proto"
)

// finding is one thing that is wrong with a world.
type finding struct {
	name  string
	wrong func(w *world)
	want  []string // findings, or beginnings of them
	code  int
}

const smarthost = "MAILNAME host.example.org\nSMARTHOST relay.example.org:587\n"

func accountFindings() []finding {
	return []finding{
		{"no accounts file", func(w *world) { w.remove("etc/group") }, []string{
			"error: etc/group: open ", "error: account _dmaq: there is no group of that name", "error: account _dmar: there is no group", "error: group _dmas: not in etc/group", "error: group mail: not in etc/group", "error: etc/dma/auth.conf: _dmar cannot read it",
			"error: mail: root:64004, mode 2775: the group mail can make no mailboxes in it",
		}, 78},
		{"no queue account", func(w *world) { w.change("etc/passwd", "_dmaq", "other") }, []string{"error: account _dmaq: not in etc/passwd; install dma again"}, 78},
		{"queue account is root", func(w *world) { w.change("etc/passwd", "_dmaq:x:64001:64001", "_dmaq:x:0:64001") }, []string{"error: account _dmaq: uid 0, gid 64001: it must have no privileges", "error: spool/incoming: belongs to 64001:_dmas, not _dmaq:_dmas", "error: spool/queue", "error: spool/failed", "error: spool/run"}, 78},
		{"wrong group", func(w *world) { w.change("etc/passwd", "_dmar:x:64003:64003", "_dmar:x:64003:100") }, []string{"error: account _dmar: its group is users, not _dmar; run: usermod -g _dmar _dmar"}, 78},
		{"shared uid", func(w *world) { w.add("etc/passwd", "eve:x:64001:100::/nonexistent:/bin/sh\n") }, []string{"error: account _dmaq: shares its uid with eve, who has all rights of it"}, 1},
		{"shared group", func(w *world) { w.add("etc/group", "evil:x:64001:\n") }, []string{"error: account _dmaq: shares its gid 64001 with the group evil"}, 1},
		{"member", func(w *world) { w.change("etc/group", "_dmar:x:64003:", "_dmar:x:64003:ann") }, []string{"error: account _dmar: ann is in the group _dmar"}, 1},
		{"primary group", func(w *world) { w.add("etc/passwd", "eve:x:64444:64002::/nonexistent:/bin/sh\n") }, []string{"error: group _dmas: eve is in the group _dmas, and may disturb the queue"}, 1},
		{"runner may submit", func(w *world) { w.change("etc/group", "_dmas:x:64002:", "_dmas:x:64002:_dmaq") }, []string{"error: account _dmaq: is a member of _dmas, which it must be kept apart from; run: gpasswd -d _dmaq _dmas", "error: group _dmas: _dmaq is in the group _dmas"}, 1},
		{"shell", func(w *world) {
			w.change("etc/passwd", "_dmar:x:64003:64003::/nonexistent:/usr/sbin/nologin", "_dmar:x:64003:64003::/nonexistent:/bin/sh")
		}, []string{`warning: account _dmar: its shell is "/bin/sh", with which one can log in; run: usermod`}, 1},
		{"no shell", func(w *world) {
			w.change("etc/passwd", "_dmar:x:64003:64003::/nonexistent:/usr/sbin/nologin", "_dmar:x:64003:64003::/nonexistent:")
		}, []string{`warning: account _dmar: its shell is ""`}, 1},
		{"no submit group", func(w *world) { w.change("etc/group", "_dmas", "other") }, []string{"error: group _dmas: not in etc/group; install dma again"}, 78},
		{"submit group is root", func(w *world) { w.change("etc/group", "_dmas:x:64002", "_dmas:x:0") }, []string{"error: group _dmas: its gid is 0", "error: sbin/dma-queue: belongs to root:64002, not root:_dmas", "error: libexec/dma-spawn", "error: spool/incoming", "error: spool/run"}, 78},
		{"no mail group", func(w *world) { w.change("etc/group", "mail:", "post:") }, []string{"error: group mail: not in etc/group", "error: mail: root:post, mode 2775: the group mail can make no"}, 78},
		{"no nobody", func(w *world) { w.change("etc/passwd", "\nnobody:", "\nnoone:") }, []string{"error: account nobody: not in etc/passwd; mail that root sends is not taken"}, 78},
	}
}

func programFindings() []finding {
	return []finding{
		{"no front end", func(w *world) { w.remove("sbin/dma-queue") }, []string{"error: sbin/dma-queue: no such file or directory; install dma again"}, 78},
		{"front end without set-gid bit", func(w *world) { w.chmod("sbin/dma-queue", 0o755) }, []string{"error: sbin/dma-queue: its mode is 0755, not 2755; run: chmod 2755 sbin/dma-queue"}, 78},
		{"front end of another group", func(w *world) { w.own("sbin/dma-queue", 0, 100, 0o2755) }, []string{"error: sbin/dma-queue: belongs to root:users, not root:_dmas; run: chown root:_dmas sbin/dma-queue && chmod 2755 sbin/dma-queue"}, 78},
		{"launcher for all", func(w *world) { w.chmod("libexec/dma-spawn", 0o4755) }, []string{"error: libexec/dma-spawn: its mode is 4755, not 4750; run: chmod 4750"}, 1},
		{"launcher without set-uid bit", func(w *world) { w.chmod("libexec/dma-spawn", 0o750) }, []string{"error: libexec/dma-spawn: its mode is 0750, not 4750"}, 78},
		{"runner of a user", func(w *world) { w.own("libexec/dma-queue-runner", annID, 100, 0o755) }, []string{"error: libexec/dma-queue-runner: belongs to ann:users, not root:root"}, 78},
		{"helper that all may write", func(w *world) { w.chmod("libexec/dma-local", 0o777) }, []string{"error: libexec/dma-local: its mode is 0777, not 0755"}, 1},
		{"helper is a link", func(w *world) { w.link("libexec/dma-remote", "dma-local") }, []string{"error: libexec/dma-remote: is a symbolic link; move it away"}, 78},
		{"open directory", func(w *world) { w.chmod("libexec", 0o777) }, []string{"warning: libexec: its mode is 0777: others can change it"}, 1},
		{"directory of a user", func(w *world) { w.own("sbin", annID, 0, 0o755) }, []string{"warning: sbin: belongs to ann, who can change it; run: chown root sbin"}, 1},
		{"nosuid", func(w *world) {
			w.checker.noSetID = func(p string) (bool, error) { return strings.Contains(p, "spawn"), nil }
		}, []string{"error: libexec/dma-spawn: is on a file system that is mounted nosuid"}, 78},
		{"no link", func(w *world) { w.remove("bin/mailq") }, []string{"warning: bin/mailq: stat "}, 1},
		{"another mailer", func(w *world) { w.file("opt/exim", "", 0, 0, 0o755); w.link("sbin/sendmail", "../opt/exim") }, []string{"warning: sbin/sendmail: is another mailer's (opt/exim): mail that programs give to it is not dma's; remove that mailer, and run: ln -sf sbin/dma-queue sbin/sendmail"}, 1},
		{"mailwrapper", func(w *world) {
			w.wrapper("mailq /usr/libexec/other\nsendmail " + w.path("sbin/dma-queue") + "\nmailq " + w.path("sbin/dma-queue") + "\n")
		}, nil, 0},
		{"mailwrapper for others", func(w *world) { w.wrapper("sendmail /usr/libexec/other\nmailq " + w.path("sbin/dma-queue") + "\n") }, []string{`warning: sbin/sendmail: is mailwrapper, and etc/mail/mailer.conf names another program; write a line "sendmail sbin/dma-queue"`}, 1},
		{"mailwrapper without its file", func(w *world) { w.wrapper(""); w.remove("etc/mail") }, []string{"warning: sbin/sendmail: is mailwrapper, and open", "warning: bin/mailq: is mailwrapper"}, 1},
	}
}

func (w *world) wrapper(text string) {
	w.file("sbin/mailwrapper", "", 0, 0, 0o755)
	w.link("sbin/sendmail", "mailwrapper")
	w.link("bin/mailq", "../sbin/mailwrapper")
	w.file("etc/mail/mailer.conf", text, 0, 0, 0o644)
}

func spoolFindings() []finding {
	return []finding{
		{"no spool", func(w *world) { w.remove("spool") }, []string{"error: spool: no such", "error: spool/incoming: no such", "error: spool/queue", "error: spool/failed", "error: spool/run"}, 78},
		{"incoming without sticky bit", func(w *world) { w.chmod("spool/incoming", 0o730) }, []string{"error: spool/incoming: its mode is 0730, not 1730"}, 78},
		{"incoming that can be listed", func(w *world) { w.chmod("spool/incoming", 0o1770) }, []string{"error: spool/incoming: its mode is 1770, not 1730"}, 1},
		{"queue of root", func(w *world) { w.own("spool/queue", 0, 0, 0o700) }, []string{"error: spool/queue: belongs to root:root, not _dmaq:_dmaq; run: chown _dmaq:_dmaq spool/queue && chmod 0700 spool/queue"}, 78},
		{"queue is a link", func(w *world) { w.link("spool/queue", "/tmp") }, []string{"error: spool/queue: is a symbolic link"}, 78},
		{"run is a file", func(w *world) { w.remove("spool/run"); w.file("spool/run", "", queueID, submitID, 0o710) }, []string{"error: spool/run: is a file"}, 78},
		{"full", func(w *world) { w.checker.space = func(p string, n int) error { return fmt.Errorf("%s: %d%%", p, n) } }, []string{"error: spool: spool/incoming: 1%; make room"}, 78},
		{"dead letters", func(w *world) {
			w.file("spool/failed/x", "", queueID, queueID, 0o600)
			w.file("spool/failed/y", "", queueID, queueID, 0o600)
		}, []string{"warning: spool/failed: 2 files of mail that could be neither delivered nor returned; mailq lists them"}, 1},
		{"old spool", func(w *world) { w.file("spool/Q1.2", "", 0, 0, 0o600); w.file("spool/M1.2", "", 0, 0, 0o600) }, []string{"warning: spool: 1 messages of an older dma wait in it; run: dma-queue --import "}, 1},
	}
}

func configFindings() []finding {
	return []finding{
		{"no dma.conf", func(w *world) {
			w.remove("etc/dma/dma.conf")
			set(w.t, &site.Mail, w.path("mail"))
		}, []string{"warning: host name"}, 1},
		{"dma.conf not for all", func(w *world) { w.chmod("etc/dma/dma.conf", 0o640) }, []string{"error: etc/dma/dma.conf: its mode is 0640: it must be readable for all; run: chmod a+r etc/dma/dma.conf"}, 78},
		{"dma.conf of a user", func(w *world) { w.own("etc/dma/dma.conf", annID, 100, 0o644) }, []string{"error: etc/dma/dma.conf: belongs to ann, who can change it; run: chown root"}, 1},
		{"dma.conf that others write", func(w *world) { w.chmod("etc/dma/dma.conf", 0o664) }, []string{"error: etc/dma/dma.conf: its mode is 0664: others can change it"}, 1},
		{"dma.conf is a directory", func(w *world) { w.remove("etc/dma/dma.conf"); w.directory("etc/dma/dma.conf", 0, 0, 0o755) }, []string{"error: etc/dma/dma.conf: read ", "warning: host name"}, 78},
		{"unknown key", func(w *world) { w.conf(smarthost + "SMARTHOSTS x\n") }, []string{`warning: etc/dma/dma.conf:3: unknown key "SMARTHOSTS"; did you mean SMARTHOST?`}, 1},
		{"line for which mail waits", func(w *world) { w.conf(smarthost + "FINGERPRINT x\n") }, []string{"error: etc/dma/dma.conf:3: FINGERPRINT"}, 78},
		{"insecure", func(w *world) { w.conf(smarthost + "INSECURE\n") }, []string{"warning: etc/dma/dma.conf: INSECURE: passwords may be sent without TLS"}, 1},
		{"insecure undone", func(w *world) { w.conf(smarthost + "INSECURE\nSECURE\n") }, nil, 0},
		{"no such MDA", func(w *world) { w.conf(smarthost + "MDA /nonexistent\n") }, []string{"error: /nonexistent: MDA names it, and it is no program"}, 78},
		{"MDA", func(w *world) { w.conf(smarthost + "MDA /bin/sh\n") }, nil, 0},
		{"no virtual", func(w *world) { w.conf(smarthost + "VIRTUAL\n") }, []string{"error: etc/dma/virtual: open"}, 1},
		{"bad virtual", func(w *world) {
			w.conf(smarthost + "VIRTUAL\n")
			w.file("etc/dma/virtual", "ann: a@x\nbob\n", 0, 0, 0o644)
		}, []string{"warning: etc/dma/virtual:2: no address behind the login"}, 1},
		{"virtual", func(w *world) { w.conf(smarthost + "VIRTUAL\n"); w.file("etc/dma/virtual", "ann: a@x\n", 0, 0, 0o644) }, nil, 0},
		{"host name without dot", func(w *world) { w.conf("MAILNAME host\n") }, []string{`warning: host name: "host" is not known in the rest of the world`}, 1},
		{"localdomain", func(w *world) { w.conf("MAILNAME localhost.localdomain\n") }, []string{`warning: host name: "localhost.localdomain"`}, 1},
		{"no resolv.conf", func(w *world) { w.remove("etc/resolv.conf") }, []string{"warning: etc/resolv.conf: open"}, 1},
		{"empty resolv.conf", func(w *world) { w.file("etc/resolv.conf", "search example.org\n", 0, 0, 0o644) }, []string{"warning: etc/resolv.conf: names no server"}, 1},
		{"no log", func(w *world) { w.remove("log") }, []string{"warning: log: nobody listens there, so there is no log; start a syslog daemon, or write LOG"}, 1},
		{"log elsewhere", func(w *world) { w.remove("log"); w.conf(smarthost + "LOG stderr\n") }, nil, 0},
	}
}

func authFindings() []finding {
	const with = smarthost + "AUTHPATH "
	return []finding{
		{"no auth.conf", func(w *world) { w.remove("etc/dma/auth.conf") }, []string{"error: etc/dma/auth.conf: no such file or directory; make it, as it is named for AUTHPATH"}, 78},
		{"auth.conf for all", func(w *world) { w.chmod("etc/dma/auth.conf", 0o644) }, []string{"error: etc/dma/auth.conf: its mode is 0644: others can get at what is in it; run: chmod o-rwx etc/dma/auth.conf"}, 78},
		{"auth.conf for root alone", func(w *world) { w.chmod("etc/dma/auth.conf", 0o600) }, []string{"error: etc/dma/auth.conf: _dmar cannot read it (root:_dmar, mode 0600); run: chown root:_dmar etc/dma/auth.conf && chmod 0640 etc/dma/auth.conf"}, 78},
		{"auth.conf of another group", func(w *world) { w.own("etc/dma/auth.conf", 0, 100, 0o640) }, []string{"error: etc/dma/auth.conf: _dmar cannot read it (root:users, mode 0640)"}, 78},
		{"auth.conf of _dmar", func(w *world) { w.own("etc/dma/auth.conf", remoteID, 0, 0o600) }, nil, 0},
		{"auth.conf of a user", func(w *world) { w.own("etc/dma/auth.conf", annID, remoteID, 0o640) }, []string{"error: etc/dma/auth.conf: belongs to ann, who can change it"}, 1},
		{"auth.conf that the group writes", func(w *world) { w.chmod("etc/dma/auth.conf", 0o660) }, []string{"error: etc/dma/auth.conf: its mode is 0660: its group can change it"}, 1},
		{"auth.conf is a directory", func(w *world) { w.remove("etc/dma/auth.conf"); w.directory("etc/dma/auth.conf", 0, 0, 0o750) }, []string{"error: etc/dma/auth.conf: is a directory"}, 78},
		{"auth.conf with mistakes", func(w *world) { w.add("etc/dma/auth.conf", "hunter2\nv|other.example:hunter2\n") }, []string{"warning: etc/dma/auth.conf:2: no | behind the user; write user|host:password", "warning: etc/dma/auth.conf:3: this line is not used"}, 1},
		{"no line", func(w *world) { w.file("etc/dma/auth.conf", "", 0, remoteID, 0o640) }, []string{"warning: etc/dma/auth.conf: no line for relay.example.org, so nobody logs in there; write user|relay.example.org:password"}, 1},
		{"password in a file", func(w *world) {
			w.file("etc/dma/auth.conf", "u|relay.example.org<"+w.path("secret"), 0, remoteID, 0o640)
			w.file("secret", "hunter2\n", 0, remoteID, 0o640)
		}, nil, 0},
		{"password in a file for all", func(w *world) {
			w.file("etc/dma/auth.conf", "u|relay.example.org<"+w.path("secret"), 0, remoteID, 0o640)
			w.file("secret", "hunter2\n", 0, remoteID, 0o644)
		}, []string{"error: secret: its mode is 0644: others can get at what is in it"}, 78},
		{"password in no file", func(w *world) {
			w.file("etc/dma/auth.conf", "u|relay.example.org<"+w.path("secret"), 0, remoteID, 0o640)
		}, []string{"error: secret: no such file or directory; make it, as it is named for the password for u at relay.example.org"}, 78},
		{"no certificate", func(w *world) { w.conf(smarthost + "CERTFILE " + w.path("cert") + "\n") }, []string{"error: cert: no such file or directory; make it, as it is named for CERTFILE"}, 78},
		{"CA file for root", func(w *world) { w.conf(smarthost + "CAFILE " + w.path("ca") + "\n"); w.file("ca", "", 0, 0, 0o600) }, []string{"error: ca: _dmar cannot read it"}, 78},
		{"CA file", func(w *world) { w.conf(smarthost + "CAFILE " + w.path("ca") + "\n"); w.file("ca", "", 0, 0, 0o644) }, nil, 0},
		{"local only", func(w *world) {
			w.remove("etc/dma/auth.conf")
			w.remove("etc/resolv.conf")
			w.conf(with + "/nonexistent\nDELIVERY local\n")
		}, nil, 0},
	}
}

func localFindings() []finding {
	return []finding{
		{"no mail directory", func(w *world) { w.remove("mail") }, []string{"error: mail: no such file or directory; run: mkdir mail && chgrp mail mail && chmod 2775 mail"}, 78},
		{"mail directory is a file", func(w *world) { w.remove("mail"); w.file("mail", "", 0, 0, 0o644) }, []string{"error: mail: is a file"}, 78},
		{"closed mail directory", func(w *world) { w.chmod("mail", 0o755) }, []string{"error: mail: root:mail, mode 0755: the group mail can make no mailboxes in it, and mail for users without one waits; run: chgrp mail mail && chmod 2775 mail"}, 1},
		{"mail directory of another group", func(w *world) { w.own("mail", 0, 100, 0o2775) }, []string{"error: mail: root:users, mode 2775: the group mail"}, 1},
		{"open mail directory", func(w *world) { w.chmod("mail", 0o777) }, []string{"error: mail: root:mail, mode 0777: anybody can take the mailboxes away"}, 1},
		{"sticky mail directory", func(w *world) { w.own("mail", 0, 0, 0o1777) }, nil, 0},
		{"maildirs", func(w *world) { w.remove("mail"); w.conf(smarthost + "MAILBOX ~/Maildir/\n") }, nil, 0},
		{"remote only", func(w *world) { w.remove("mail"); w.remove("home"); w.conf(smarthost + "DELIVERY remote\n") }, nil, 0},

		{"alias with mistakes", func(w *world) { w.file("etc/aliases", "root: ann\nx\n", 0, 0, 0o644) }, []string{"error: etc/aliases:2: no colon after the name"}, 1},
		{"aliases is a directory", func(w *world) { w.remove("etc/aliases"); w.directory("etc/aliases", 0, 0, 0o755) }, []string{"error: etc/aliases: read"}, 78},
		{"aliases that others write", func(w *world) { w.chmod("etc/aliases", 0o666) }, []string{"error: etc/aliases: its mode is 0666: others can change it"}, 1},
		{"no alias for root", func(w *world) {
			w.file("etc/aliases", "x: ann\n", 0, 0, 0o644)
			w.file("mail/root", "", 0, mailID, 0o660)
		}, []string{"warning: mail for root: there is no alias for root, and root's mailbox is read by nobody who does not work as root; write a line into etc/aliases, root: you@example.org"}, 1},
		{"no mailbox for root", func(w *world) { w.remove("etc/aliases") }, []string{"warning: mail for root", "error: mail/root: no such file or directory, and mail for root waits"}, 1},
		{"closed mailbox of root", func(w *world) { w.remove("etc/aliases"); w.file("mail/root", "", 0, 0, 0o600) }, []string{"warning: mail for root", "error: mail/root: mode 0600, group root, and mail for root waits; run: chgrp mail mail/root && chmod g+rw mail/root"}, 1},
		{"root without mailboxes", func(w *world) { w.remove("etc/aliases"); w.conf(smarthost + "DELIVERY remote\n") }, []string{"warning: mail for root: there is no alias for root, and DELIVERY remote has no mailboxes"}, 1},
		{"root of a null client", func(w *world) { w.remove("etc/aliases"); w.conf(smarthost + "NULLCLIENT\n") }, nil, 0},
	}
}

func userFindings() []finding {
	const path = "home/ann/.forward"
	waits := ", and mail for ann waits; "
	return []finding{
		{"forward is a link", func(w *world) { w.link(path, "x") }, []string{"error: " + path + ": is a symbolic link" + waits + "make a file of it"}, 1},
		{"forward is a pipe", func(w *world) {
			w.remove(path)
			if err := unix.Mkfifo(w.path(path), 0o600); err != nil {
				w.t.Fatal(err)
			}
		}, []string{"error: " + path + ": is a pipe" + waits}, 1},
		{"forward is a directory", func(w *world) { w.remove(path); w.directory(path, annID, 100, 0o755) }, []string{"error: " + path + ": is a directory" + waits}, 1},
		{"forward with two names", func(w *world) {
			if err := os.Link(w.path(path), w.path("home/ann/x")); err != nil {
				w.t.Fatal(err)
			}
		}, []string{"error: " + path + ": has more than one name" + waits}, 1},
		{"forward of another", func(w *world) { w.own(path, bobID, 100, 0o644) }, []string{"error: " + path + ": belongs to uid 64102" + waits + "run: chown ann " + path}, 1},
		{"forward of root", func(w *world) { w.own(path, 0, 0, 0o644) }, nil, 0},
		{"forward that others write", func(w *world) { w.chmod(path, 0o664) }, []string{"error: " + path + ": its mode is 0664: others can change it" + waits + "run: chmod go-w " + path}, 1},
		{"no forward", func(w *world) { w.remove(path) }, nil, 0},
		{"no forward, open home", func(w *world) { w.remove(path); w.chmod("home/ann", 0o775) }, []string{"error: home/ann: its mode is 0775: others can change it" + waits}, 1},
		{"forward off", func(w *world) { w.link(path, "x"); w.conf(smarthost + "FORWARD off\n") }, nil, 0},
		{"forward of another name", func(w *world) {
			w.link(path, "x")
			w.file("home/ann/.fwd", "", bobID, 100, 0o644)
			w.conf(smarthost + "FORWARD .fwd\n")
		}, []string{"error: home/ann/.fwd: belongs to uid 64102"}, 1},
		{"no home", func(w *world) { w.remove("home/ann") }, []string{"error: home/ann: no such file or directory" + waits}, 1},
		{"home is a file", func(w *world) { w.remove("home/ann"); w.file("home/ann", "", annID, 100, 0o644) }, []string{"error: home/ann/.forward: not a directory" + waits}, 1},
		{"home of another", func(w *world) { w.own("home/ann", bobID, 100, 0o755) }, []string{"error: home/ann: belongs to uid 64102" + waits}, 1},
		{"sticky home", func(w *world) { w.chmod("home/ann", 0o1755) }, []string{"error: home/ann: is sticky, as while .forward is being edited" + waits + "run: chmod -t home/ann"}, 1},
		{"forward of a program's account", func(w *world) { w.directory("gone", 1, 1, 0o777); w.file("gone/.forward", "", 1, 1, 0o644) }, []string{"error: gone: its mode is 0777: others can change it, and mail for daemon waits"}, 1},
		{"home of a program's account", func(w *world) { w.directory("gone", 1, 1, 0o777) }, nil, 0},

		{"what is root's", func(w *world) {
			w.change("etc/passwd", ":/root:", ":"+w.path("rooty")+":")
			w.file("rooty/.forward", "", annID, 100, 0o666)
		}, []string{"warning: rooty/.forward: is root's, and never read; write an alias for root into etc/aliases instead"}, 1},

		{"mailbox is a link", func(w *world) { w.link("mail/ann", "/etc/passwd") }, []string{"error: mail/ann: is a symbolic link" + waits}, 1},
		{"mailbox of another", func(w *world) { w.own("mail/ann", bobID, mailID, 0o660) }, []string{"error: mail/ann: belongs to uid 64102" + waits + "run: chown ann mail/ann"}, 1},
		{"mailbox that can be executed", func(w *world) { w.chmod("mail/ann", 0o770) }, []string{"error: mail/ann: its mode is 0770: one that can be executed is no mailbox" + waits}, 1},
		{"mailbox with two names", func(w *world) {
			if err := os.Link(w.path("mail/ann"), w.path("x")); err != nil {
				w.t.Fatal(err)
			}
		}, []string{"error: mail/ann: has more than one name" + waits}, 1},
	}
}

func remoteFindings() []finding {
	bad := &proto.Report{Level: proto.LevelError, About: "login", Found: "535 \u009b31mno", Do: "put auth.conf right"}
	return []finding{
		{"no runner", func(w *world) { w.err = errors.New("it does not answer") }, []string{"error: queue runner: it does not answer; look at the errors above"}, 78},
		{"no runner, and root stays", func(w *world) {
			w.err, w.checker.leave, w.left = errors.New("it does not answer"), func() error { return errors.New("no nobody") }, true
			w.file("etc/aliases", "x\n", 0, 0, 0o644) // which is not looked at
		}, []string{"error: queue runner: it does not answer"}, 78},
		{"reports", func(w *world) {
			w.reports[""] = []*proto.Report{{Level: proto.LevelOK, About: "DNS", Found: "1.2.3.4"}, {Level: proto.LevelWarning, About: "TLS", Found: "old"}, bad}
		}, []string{"warning: TLS: old", "error: login: 535 ?31mno; put auth.conf right"}, 1},
		{"endless reports", func(w *world) { w.reports[""] = slices.Repeat([]*proto.Report{bad}, maxReports+1) }, slices.Concat(slices.Repeat([]string{"error: login"}, maxReports), []string{"error: queue runner: conversation broke off: more than 1000 reports"}), 1},
		{"hang-up", func(w *world) { w.reports[""] = []*proto.Report{bad, nil} }, []string{"error: login", "error: queue runner: conversation broke off: "}, 1},
		{"sender map", func(w *world) {
			w.conf("MAILNAME host.example.org\nSENDERMAP @x.example a\nSENDERMAP cron@ b\nSENDERMAP u@x c\nSMARTHOST d\n")
			for _, sender := range []string{"postmaster@x.example", "cron@host.example.org", "u@x", ""} {
				w.reports[sender] = []*proto.Report{{Level: proto.LevelWarning, About: "TLS", Found: sender}}
			}
		}, []string{"warning: TLS: ", "warning: TLS: postmaster@x.example", "warning: TLS: cron@host.example.org", "warning: TLS: u@x"}, 1},
		{"exchangers", func(w *world) {
			w.conf("MAILNAME host.example.org\n")
			w.file("etc/aliases", "root: ann, me@example.net\n", 0, 0, 0o644)
			w.reports["example.net"] = []*proto.Report{bad}
		}, []string{"error: login"}, 1},
		{"nothing to try", func(w *world) { w.conf("MAILNAME host.example.org\n") }, nil, 0},
	}
}
