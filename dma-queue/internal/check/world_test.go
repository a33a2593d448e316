package check

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"dma/common/site"
	"dma/proto"
)

// Accounts of the world that is checked.
const (
	queueID  = 64001
	submitID = 64002
	remoteID = 64003
	mailID   = 64004
	nobodyID = 65534
	annID    = 64101
	bobID    = 64102
)

// world is an installation in a directory, with nothing wrong with it.
type world struct {
	t       *testing.T
	dir     string
	checker *checker
	out     strings.Builder
	reports map[string][]*proto.Report // what dma-remote finds, by sender or domain of the probe
	asked   []string                   // the probes
	err     error                      // of connecting
	left    bool                       // root was given up
}

func (w *world) path(name string) string { return filepath.Join(w.dir, name) }

func (w *world) file(name, text string, uid, gid int, mode uint32) {
	w.t.Helper()
	path := w.path(name)
	_ = os.Remove(path)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		w.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		w.t.Fatal(err)
	}
	w.own(name, uid, gid, mode)
}

func (w *world) directory(name string, uid, gid int, mode uint32) {
	w.t.Helper()
	if err := os.MkdirAll(w.path(name), 0o755); err != nil {
		w.t.Fatal(err)
	}
	w.own(name, uid, gid, mode)
}

func (w *world) own(name string, uid, gid int, mode uint32) {
	w.t.Helper()
	if err := os.Lchown(w.path(name), uid, gid); err != nil {
		w.t.Fatal(err)
	}
	w.chmod(name, mode)
}

func (w *world) chmod(name string, mode uint32) {
	w.t.Helper()
	if err := unix.Chmod(w.path(name), mode); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) link(name, target string) {
	w.t.Helper()
	_ = os.RemoveAll(w.path(name))
	_ = os.MkdirAll(filepath.Dir(w.path(name)), 0o755)
	if err := os.Symlink(target, w.path(name)); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) remove(name string) {
	w.t.Helper()
	if err := os.RemoveAll(w.path(name)); err != nil {
		w.t.Fatal(err)
	}
}

// conf makes text the configuration.
func (w *world) conf(text string) { w.file("etc/dma/dma.conf", text, 0, 0, 0o644) }

// add puts lines behind those of a file.
func (w *world) add(name, text string) {
	w.t.Helper()
	b, err := os.ReadFile(w.path(name))
	if err == nil {
		err = os.WriteFile(w.path(name), append(b, text...), 0o600)
	}
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) change(name, from, to string) {
	w.t.Helper()
	b, err := os.ReadFile(w.path(name))
	if err == nil && !strings.Contains(string(b), from) {
		err = fmt.Errorf("%s has no %q", name, from)
	}
	if err == nil {
		err = os.WriteFile(w.path(name), []byte(strings.Replace(string(b), from, to, 1)), 0o600)
	}
	if err != nil {
		w.t.Fatal(err)
	}
}

// set changes what is fixed at link time, for the time of the test.
func set(t *testing.T, variable *string, value string) {
	old := *variable
	*variable = value
	t.Cleanup(func() { *variable = old })
}

// newWorld makes an installation with accounts of its own. Root may do that.
func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, dir: t.TempDir(), reports: map[string][]*proto.Report{}}
	for variable, value := range map[*string]string{
		&site.Sbin: "sbin", &site.Libexec: "libexec", &site.Spool: "spool", &site.Conf: "etc/dma", &site.Aliases: "etc/aliases", &site.Mail: "mail",
		&site.Passwd: "etc/passwd", &site.Nsswitch: "etc/nsswitch.conf", &site.LogSocket: "log",
	} {
		set(t, variable, w.path(value))
	}
	if err := os.Chmod(w.dir, 0o755); err != nil {
		t.Fatal(err)
	}
	w.file("etc/passwd", fmt.Sprintf("root:x:0:0:root:/root:/bin/sh\ndaemon:x:1:1::%[1]s/gone:/usr/sbin/nologin\n_dmaq:x:%[2]d:%[2]d::/nonexistent:/usr/sbin/nologin\n_dmar:x:%[3]d:%[3]d::/nonexistent:/usr/sbin/nologin\nnobody:x:%[4]d:%[4]d::/nonexistent:/usr/sbin/nologin\nann:x:%[5]d:100::%[1]s/home/ann:/bin/sh\nbob:x:%[6]d:100::%[1]s/home/bob:/bin/sh\n",
		w.dir, queueID, remoteID, nobodyID, annID, bobID), 0, 0, 0o644)
	w.file("etc/group", fmt.Sprintf("root:x:0:\nusers:x:100:ann,bob\n_dmaq:x:%d:\n_dmas:x:%d:\n_dmar:x:%d:\nmail:x:%d:ann\nnogroup:x:%d:\n", queueID, submitID, remoteID, mailID, nobodyID), 0, 0, 0o644)
	w.file("etc/shells", "/bin/sh\n", 0, 0, 0o644)
	w.file("etc/resolv.conf", "# c\nnameserver 127.0.0.1\n", 0, 0, 0o644)
	w.file("etc/dma/dma.conf", "MAILNAME host.example.org\nSMARTHOST relay.example.org:587\nAUTHPATH "+w.path("etc/dma/auth.conf")+"\n", 0, 0, 0o644)
	w.file("etc/dma/auth.conf", "u|relay.example.org:hunter2\n", 0, remoteID, 0o640)
	w.file("etc/aliases", "root: ann\nlist: ann, bob@example.org\n", 0, 0, 0o644)
	w.file("sbin/dma-queue", "", 0, submitID, 0o2755)
	w.file("libexec/dma-spawn", "", 0, submitID, 0o4750)
	for _, name := range []string{"dma-queue-runner", "dma-forward", "dma-local", "dma-remote"} {
		w.file("libexec/"+name, "", 0, 0, 0o755)
	}
	w.link("sbin/sendmail", "dma-queue")
	w.link("bin/mailq", w.path("sbin/dma-queue"))
	w.directory("spool", 0, 0, 0o711)
	w.directory("spool/incoming", queueID, submitID, 0o1730)
	w.directory("spool/queue", queueID, queueID, 0o700)
	w.directory("spool/failed", queueID, queueID, 0o700)
	w.directory("spool/run", queueID, submitID, 0o710)
	w.directory("mail", 0, mailID, 0o2775)
	w.file("mail/ann", "", annID, mailID, 0o660)
	w.directory("home/ann", annID, 100, 0o755)
	w.directory("home/bob", bobID, 100, 0o700)
	w.file("home/ann/.forward", "!\n", annID, 100, 0o644)
	w.socket()
	w.checker = &checker{
		out: &w.out, path: w.path("etc/dma/dma.conf"), etc: w.path("etc"), names: []string{w.path("sbin/sendmail"), w.path("bin/mailq")},
		noSetID: func(string) (bool, error) { return false, nil },
		space:   func(string, int) error { return nil },
		connect: w.connect,
		leave:   func() error { w.left = true; return nil },
		look:    userLook.problems,
	}
	return w
}

func (w *world) socket() {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM, 0)
	if err == nil {
		err = unix.Bind(fd, &unix.SockaddrUnix{Name: site.LogSocket})
	}
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { unix.Close(fd) })
}

// as has somebody else ask.
func (w *world) as(uid uint32) {
	w.checker.uid, w.checker.gid, w.checker.egid, w.checker.leave = uid, 100, submitID, nil
}

// connect stands in for the queue runner.
func (w *world) connect(talk func(*proto.Conn) error) error {
	if w.err != nil {
		return w.err
	}
	if w.checker.leave != nil {
		if err := w.checker.leave(); err != nil {
			return err
		}
	}
	here, file, err := proto.Pair()
	if err != nil {
		return err
	}
	defer here.Close()
	there, err := proto.NewConn(file)
	if err != nil {
		return err
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer there.Close()
		for w.answer(there) == nil {
		}
	}()
	err = talk(here)
	here.Close()
	<-done
	return err
}

func (w *world) answer(c *proto.Conn) error {
	packet, err := c.Recv(0, proto.TypeProbe)
	if err != nil {
		return err
	}
	p := packet.Message.(*proto.Probe)
	w.asked = append(w.asked, p.Sender+"|"+p.Domain)
	reports := w.reports[p.Sender+p.Domain]
	for _, r := range reports {
		if r == nil {
			return os.ErrClosed // hang up
		}
		if err := c.Send(packet.Request, r, nil); err != nil {
			return err
		}
	}
	return c.Send(packet.Request, &proto.End{Count: uint32(len(reports))}, nil)
}

// run gives the exit code, and the lines that are not ok, without the directory.
func (w *world) run() (code int, findings []string) {
	code = w.checker.run()
	for line := range strings.Lines(w.out.String()) {
		if !strings.HasPrefix(line, "ok: ") {
			findings = append(findings, strings.ReplaceAll(strings.TrimSuffix(line, "\n"), w.dir+"/", ""))
		}
	}
	return code, findings
}
