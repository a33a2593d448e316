package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"dma/dma-queue/internal/spool"
	"dma/proto"
)

// root is the private installation that the tests use, one after the other.
type root string

// build installs dma-queue below a new directory, and the test binary as its dma-spawn.
func build(t *testing.T) root {
	t.Helper()
	r := root(t.TempDir())
	flags := ""
	for name, value := range map[string]string{
		"Libexec": "/libexec", "Sbin": "/bin", "Spool": "/spool", "Conf": "/etc", "Aliases": "/etc/aliases",
		"Mail": "/mail", "Passwd": "/etc/passwd", "Nsswitch": "/etc/nsswitch.conf", "LogSocket": "/log",
	} {
		flags += " -X dma/common/site." + name + "=" + string(r) + value
	}
	flags += " -X dma/common/site.QueueUser= -X dma/common/site.Version=1.2.3"
	c := exec.Command("go", "build", "-ldflags", flags, "-o", string(r)+"/bin/dma-queue", ".")
	c.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	self, err := os.Executable()
	must(t, err)
	must(t, os.Mkdir(string(r)+"/libexec", 0o700))
	for _, name := range []string{"sendmail", "mailq", "newaliases"} {
		must(t, os.Symlink("dma-queue", string(r)+"/bin/"+name))
	}
	must(t, os.Symlink(self, string(r)+"/libexec/late-runner"))
	r.reset(t)
	return r
}

// reset empties the installation.
func (r root) reset(t testing.TB) {
	t.Helper()
	for _, dir := range []string{"spool", "etc"} {
		must(t, os.RemoveAll(string(r)+"/"+dir))
	}
	for _, dir := range []string{"spool/incoming", "spool/run", "etc"} {
		must(t, os.MkdirAll(string(r)+"/"+dir, 0o700))
	}
	must(t, os.WriteFile(string(r)+"/etc/passwd", []byte("alice:x:1:1::/:/bin/sh\nbob:x:2:2::/:/bin/sh\n"), 0o600))
	must(t, os.RemoveAll(string(r)+"/libexec/dma-spawn"))
	must(t, os.Symlink("/bin/true", string(r)+"/libexec/dma-spawn"))
}

// reportSpawn is a stand-in for dma-spawn that writes down how it was started.
const reportSpawn = `#!/bin/sh
fds=$(ls -l /proc/$$/fd | sed -n 's/.* \([0-9]\) -> /fd \1 /p' | grep -v 'fd 3 pipe') # that and those above 9 are the shell's own
{
	echo "args $0 $*"
	pwd
	env | grep -v '^PWD='
	echo "$fds"
	[ "$(cut -d' ' -f6 /proc/$$/stat)" = $$ ] && echo leader
} > %[1]s/spool/spawned.new
mv %[1]s/spool/spawned.new %[1]s/spool/spawned
`

// lateSpawn is one that starts a runner that takes its time.
const lateSpawn = `#!/bin/sh
exec %[1]s/libexec/late-runner %[1]s/spool
`

func (r root) setSpawn(script string) error {
	path := string(r) + "/libexec/dma-spawn"
	if err := os.RemoveAll(path); err != nil {
		return err
	}
	return os.WriteFile(path, fmt.Appendf(nil, script, r), 0o700)
}

// incoming lists what was submitted and is committed.
func (r root) incoming(t testing.TB) []string {
	t.Helper()
	names, err := filepath.Glob(string(r) + "/spool/incoming/*")
	must(t, err)
	return names
}

// dump prints a submission for scripts to compare.
func dump(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	m, err := spool.OpenIncoming(f)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	if m.SenderGiven {
		fmt.Fprintf(&b, "sender %q\n", m.Sender)
	}
	for _, s := range m.Recipients {
		fmt.Fprintf(&b, "to %q", s.Address)
		if s.Notify != 0 {
			fmt.Fprintf(&b, " notify %s", s.Notify)
		}
		fmt.Fprintln(&b)
	}
	for _, s := range m.Bad {
		fmt.Fprintf(&b, "bad %q\n", s)
	}
	if m.FullName != "" {
		fmt.Fprintf(&b, "name %q\n", m.FullName)
	}
	if m.FromHeader {
		fmt.Fprintln(&b, "-t")
	}
	if m.Ret != 0 || m.EnvID != "" {
		fmt.Fprintf(&b, "ret %s envid %q\n", m.Ret, m.EnvID)
	}
	if m.Tag != "" {
		fmt.Fprintf(&b, "tag %q\n", m.Tag)
	}
	text := new(strings.Builder)
	if _, err := io.Copy(text, m.Reader()); err != nil {
		return "", err
	}
	return b.String() + "--\n" + text.String(), nil
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// serial keeps scripts from running side by side: they share one installation,
// as its paths are fixed in the binary.
type serial struct{ *testing.T }

func (s serial) Parallel() {}
func (s serial) Run(name string, f func(testscript.T)) {
	s.T.Run(name, func(t *testing.T) { f(serial{t}) })
}
func (s serial) Verbose() bool { return testing.Verbose() }

func TestScripts(t *testing.T) {
	r := build(t)
	testscript.RunT(serial{t}, testscript.Params{
		Dir: "testdata/script",
		Setup: func(e *testscript.Env) error {
			r.reset(t)
			e.Setenv("ROOT", string(r))
			e.Setenv("PATH", string(r)+"/bin:"+os.Getenv("PATH"))
			return nil
		},
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			// received prints the one message in incoming.
			"received": func(ts *testscript.TestScript, neg bool, args []string) {
				names := r.incoming(t)
				if neg {
					if len(names) > 0 {
						ts.Fatalf("incoming holds %q", names)
					}
					return
				}
				if len(names) != 1 {
					ts.Fatalf("incoming holds %q", names)
				}
				text, err := dump(names[0])
				ts.Check(err)
				ts.Check(os.WriteFile(ts.MkAbs("received"), []byte(text), 0o600))
				ts.Check(os.Remove(names[0]))
			},
			// runner starts a stand-in for the runner that answers from a file.
			"runner": func(ts *testscript.TestScript, neg bool, args []string) {
				l, err := proto.Listen(string(r) + "/spool/run/control")
				ts.Check(err)
				s := &standIn{listener: l, log: ts.MkAbs("requests")}
				if len(args) > 0 && args[0] == "-flaky" {
					s.flaky = true
				} else if len(args) > 0 {
					ts.Check(s.parse(ts.ReadFile(args[0])))
				}
				done := make(chan struct{})
				go func() { s.serve(); close(done) }()
				ts.Defer(func() { l.Close(); <-done })
			},
			// requests waits until the stand-in has had n requests of a kind.
			"requests": func(ts *testscript.TestScript, neg bool, args []string) {
				for end := time.Now().Add(10 * time.Second); ; time.Sleep(5 * time.Millisecond) {
					text, _ := os.ReadFile(ts.MkAbs("requests"))
					n := strings.Count(string(text), args[0]+"\n")
					if fmt.Sprint(n) == args[1] {
						return
					}
					if time.Now().After(end) {
						ts.Fatalf("%d requests %s:\n%s", n, args[0], text)
					}
				}
			},
			// spawn sets what dma-spawn is.
			"spawn": func(ts *testscript.TestScript, neg bool, args []string) {
				ts.Check(r.setSpawn(map[string]string{"report": reportSpawn, "late": lateSpawn}[args[0]]))
			},
			// spawned waits for the stand-in for dma-spawn to have written its report.
			"spawned": func(ts *testscript.TestScript, neg bool, args []string) {
				text, err := waitFor(string(r) + "/spool/spawned")
				ts.Check(err)
				ts.Check(os.WriteFile(ts.MkAbs("spawned"), text, 0o600))
			},
			// exit runs a command and checks its exit code.
			"exit": func(ts *testscript.TestScript, neg bool, args []string) {
				err := ts.Exec(args[1], args[2:]...)
				code := 0
				if e := (*exec.ExitError)(nil); errors.As(err, &e) {
					code = e.ExitCode()
				} else {
					ts.Check(err)
				}
				if fmt.Sprint(code) != args[0] {
					ts.Fatalf("exit code %d, want %s", code, args[0])
				}
			},
		},
	})
}
