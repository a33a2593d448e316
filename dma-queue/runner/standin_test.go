package main

import (
	"crypto/rand"
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"dma/common/durable"
	"dma/common/outcome"
	"dma/dma-queue/internal/spool"
	"dma/proto"
)

// patience is for what must happen soon.
const patience = 15 * time.Second

// build makes a private runner whose paths are relative: every installation is
// the directory that it is started in.
func build(t *testing.T) string {
	t.Helper()
	program := t.TempDir() + "/dma-queue-runner"
	flags := "-X dma/common/site.QueueUser= -X dma/common/site.Version=1.2.3"
	for name, value := range map[string]string{
		"Libexec": "libexec", "Spool": "spool", "Conf": "etc", "Aliases": "etc/aliases", "Mail": "mail",
		"Passwd": "etc/passwd", "Nsswitch": "etc/nsswitch.conf", "LogSocket": "log",
	} {
		flags += " -X dma/common/site." + name + "=" + value
	}
	c := exec.Command("go", "build", "-ldflags", flags, "-o", program, ".")
	c.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	return program
}

// root is an installation, with a stand-in for dma-spawn and its helpers.
type root struct {
	program, dir string
	hold         chan struct{} // helpers of mailboxes wait for it, if it is not nil

	mu        sync.Mutex
	refuse    bool           // every helper, for now
	delivered map[string]int // logins whose mailbox had a message, and how many
	started   []string       // logins of helpers asked for
	log       strings.Builder
}

func newRoot(t *testing.T, program string) *root {
	t.Helper()
	r := &root{program: program, dir: t.TempDir(), delivered: make(map[string]int)}
	for _, dir := range []string{"spool/incoming", "spool/queue", "spool/failed", "spool/run", "etc"} {
		must(t, os.MkdirAll(r.dir+"/"+dir, 0o700))
	}
	r.configure(t, "MAILNAME first.example\n")
	must(t, os.WriteFile(r.dir+"/etc/aliases", nil, 0o600))
	must(t, os.WriteFile(r.dir+"/etc/passwd", nil, 0o600))
	socket, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: r.dir + "/log", Net: "unixgram"})
	must(t, err)
	t.Cleanup(func() { socket.Close() })
	go func() {
		b := make([]byte, 4096)
		for {
			n, err := socket.Read(b)
			if err != nil {
				return
			}
			r.mu.Lock()
			r.log.Write(append(b[:n:n], '\n'))
			r.mu.Unlock()
		}
	}()
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("log:\n%s", r.logged())
		}
	})
	return r
}

func (r *root) configure(t *testing.T, text string) {
	t.Helper()
	must(t, os.WriteFile(r.dir+"/etc/dma.conf", []byte(text), 0o600))
}

func (r *root) logged() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.log.String()
}

// waitLog waits for the log to say text: it is read when there is time for it.
func (r *root) waitLog(t *testing.T, text string) {
	t.Helper()
	eventually(t, "log line with "+text, func() bool { return strings.Contains(r.logged(), text) })
}

// count says how often the mailbox of login had a message.
func (r *root) count(login string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.delivered[login]
}

func (r *root) asked() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return strings.Join(r.started, " ")
}

// files lists a directory of the spool.
func (r *root) files(t *testing.T, dir string) []string {
	t.Helper()
	list, err := os.ReadDir(r.dir + "/spool/" + dir)
	must(t, err)
	var names []string
	for _, e := range list {
		names = append(names, e.Name())
	}
	return names
}

// submit commits a message and tells nobody.
func (r *root) submit(t *testing.T, to string) {
	t.Helper()
	id, err := spool.NewID(time.Now(), rand.Reader)
	must(t, err)
	r.submitAs(t, id, to)
}

func (r *root) submitAs(t *testing.T, id spool.ID, to string) {
	t.Helper()
	dir, err := durable.OpenDir(r.dir + "/spool/incoming")
	must(t, err)
	defer dir.Close()
	in, err := spool.NewIncoming(dir, id)
	must(t, err)
	must(t, in.SetEnvelope(spool.Submission{Recipients: spool.To(to)}))
	_, err = in.Write([]byte("Subject: x\n\nbody\n"))
	must(t, err)
	must(t, in.Commit())
}

// wake does what a front end does after its commit: it connects, or else starts
// a runner, which may find that another one is there.
func (r *root) wake(t *testing.T) *runner {
	t.Helper()
	c, err := proto.Dial(r.dir+"/spool/run/control", patience)
	if err == nil {
		err = c.Send(0, &proto.Hello{Version: proto.Version}, nil)
		c.Close()
	}
	if err != nil {
		return r.start(t)
	}
	return nil
}

// listens reports whether a runner accepts connections.
func (r *root) listens() bool {
	c, err := proto.Dial(r.dir+"/spool/run/control", patience)
	if err == nil {
		c.Close()
	}
	return err == nil
}

// runner is a runner at work, and the test's end of its descriptor 3.
type runner struct {
	cmd   *exec.Cmd
	spawn *proto.Conn
	ended chan struct{} // closed when it has ended
}

func (r *root) start(t *testing.T) *runner {
	t.Helper()
	return r.startAs(t, proto.Version)
}

func (r *root) startAs(t *testing.T, version uint16) *runner {
	t.Helper()
	spawn, theirs, err := proto.Pair()
	must(t, err)
	c := exec.Command(r.program)
	c.Dir, c.Env, c.ExtraFiles = r.dir, []string{}, []*os.File{theirs}
	must(t, c.Start())
	theirs.Close()
	n := &runner{c, spawn, make(chan struct{})}
	go func() {
		_ = c.Wait() // exit looks
		close(n.ended)
	}()
	t.Cleanup(func() {
		_ = c.Process.Kill()
		<-n.ended
		spawn.Close()
	})
	must(t, spawn.Send(0, &proto.Hello{Version: version, Queue: uint32(os.Getuid())}, nil))
	go r.serve(spawn)
	return n
}

// exit waits for the end and gives the exit code.
func (n *runner) exit(t *testing.T) int {
	t.Helper()
	select {
	case <-n.ended:
	case <-time.After(patience):
		t.Fatal("a runner does not end")
	}
	return n.cmd.ProcessState.ExitCode()
}

func (n *runner) running() bool {
	select {
	case <-n.ended:
		return false
	default:
		return true
	}
}

// serve is what dma-spawn does.
func (r *root) serve(spawn *proto.Conn) {
	defer spawn.Close()
	if _, err := spawn.RecvHello(); err != nil {
		return
	}
	for {
		p, err := spawn.Recv(0, proto.TypeStart)
		if err != nil {
			return
		}
		m := p.Message.(*proto.Start)
		r.mu.Lock()
		r.started = append(r.started, m.Login)
		refuse := r.refuse
		r.mu.Unlock()
		if refuse || m.Role == proto.RoleRemote {
			err = spawn.Send(p.Request, &proto.Refused{Why: proto.RefusedLater, Text: "not now"}, nil)
		} else {
			err = r.help(spawn, p.Request, m.Login)
		}
		if err != nil {
			return
		}
	}
}

// help starts a stand-in for a helper.
func (r *root) help(spawn *proto.Conn, request uint32, login string) error {
	c, theirs, err := proto.Pair()
	if err != nil {
		return err
	}
	go func() {
		defer c.Close()
		err := c.Send(0, &proto.Hello{Version: proto.Version}, nil)
		for err == nil {
			err = r.answer(c, login)
		}
	}()
	err = spawn.Send(request, &proto.Started{PID: 1}, theirs)
	theirs.Close()
	return err
}

// answer answers one request to a helper: there is no .forward, and every
// mailbox takes the message.
func (r *root) answer(c *proto.Conn, login string) error {
	p, err := c.Recv(0, proto.TypeExpand, proto.TypeDeliver)
	if err != nil {
		return err
	}
	if p.File == nil {
		return c.Send(p.Request, &proto.End{}, nil)
	}
	b, err := io.ReadAll(p.File)
	p.File.Close()
	if err != nil || !strings.HasSuffix(string(b), "\n\nbody\n") {
		return errors.Join(err, errors.New("not the message"))
	}
	if r.hold != nil {
		<-r.hold
	}
	r.mu.Lock()
	r.delivered[login]++
	r.mu.Unlock()
	return c.Send(p.Request, &proto.Result{Scope: proto.ScopeTarget, Outcome: outcome.Outcome{Class: outcome.Done, Code: "2.0.0"}}, nil)
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("never: " + what)
		}
	}
}

// held reports whether somebody has the lock of the queue.
func (r *root) held(t *testing.T) bool {
	t.Helper()
	f, err := os.OpenFile(r.dir+"/spool/run/lock", os.O_CREATE|os.O_RDWR, 0o600)
	must(t, err)
	defer f.Close()
	err = unix.Flock(int(f.Fd()), unix.LOCK_SH|unix.LOCK_NB)
	return errors.Is(err, unix.EWOULDBLOCK)
}
