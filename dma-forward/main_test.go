package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"dma/common/forward"
	"dma/common/outcome"
	"dma/common/sysexits"
	"dma/proto"

	"github.com/rogpeppe/go-internal/testscript"
)

func world() string { return os.Getenv("DMA_FORWARD_TEST_WORLD") }

func TestMain(m *testing.M) { os.Exit(testMain(m)) }

// testMain builds the program with a password file relative to where it is
// called, so that each script can have its own.
func testMain(m *testing.M) int {
	dir, err := os.MkdirTemp("", "dma-forward")
	if err != nil {
		fmt.Println(err)
		return 1
	}
	defer os.RemoveAll(dir)
	os.Setenv("DMA_FORWARD_TEST_WORLD", dir)
	for name, more := range map[string]string{
		"private":   " -X dma/common/site.QueueUser= -X dma/common/site.Conf=" + dir,
		"script":    " -X dma/common/site.QueueUser= -X dma/common/site.Conf=etc",
		"installed": " -X dma/common/site.Conf=" + dir,
	} {
		flags := "-X dma/common/site.Version=1.2.3 -X dma/common/site.Passwd=passwd -X dma/common/site.LogSocket=none" + more
		cmd := exec.Command("go", "build", "-buildvcs=false", "-ldflags", flags, "-o", filepath.Join(dir, name, "dma-forward"), ".")
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			fmt.Printf("build: %v\n%s", err, out)
			return 1
		}
	}
	return m.Run()
}

func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Setup: func(env *testscript.Env) error {
			env.Setenv("PATH", filepath.Join(world(), "script")+":"+env.Getenv("PATH"))
			home := filepath.Join(env.WorkDir, "home")
			env.Setenv("HOME", "/not/to/be/used")
			env.Setenv("H", home)
			if err := errors.Join(os.Mkdir(home, 0o755), os.Mkdir(filepath.Join(env.WorkDir, "etc"), 0o755)); err != nil {
				return err
			}
			return os.WriteFile(filepath.Join(env.WorkDir, "passwd"),
				fmt.Appendf(nil, "alice:x:%d:%d:Alice:%s:/bin/sh\n", os.Getuid(), os.Getgid(), home), 0o600)
		},
	})
}

// helper is a running dma-forward, with the test in the runner's place.
type helper struct {
	t    *testing.T
	conn *proto.Conn
	cmd  *exec.Cmd
	home string
	last uint32
}

// start starts the program as dma-spawn would.
func start(t *testing.T, program string, hello proto.Hello) *helper {
	t.Helper()
	return startAs(t, program, hello, nil)
}

// startAs does that as an account; nil is this process's own.
func startAs(t *testing.T, program string, hello proto.Hello, account *syscall.Credential) *helper {
	t.Helper()
	conn, other, err := proto.Pair()
	if err != nil {
		t.Fatal(err)
	}
	h := &helper{t: t, conn: conn, home: hello.Home}
	h.cmd = exec.Command(filepath.Join(world(), program, "dma-forward"))
	h.cmd.Env = []string{}
	h.cmd.Dir = "/"
	h.cmd.ExtraFiles = []*os.File{other}
	h.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Credential: account}
	if err := h.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	other.Close()
	t.Cleanup(func() {
		h.conn.Close()
		if h.cmd.ProcessState == nil {
			h.cmd.Process.Kill()
			h.cmd.Wait()
		}
	})
	hello.Version = proto.Version
	if err := h.conn.Send(0, &hello, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := h.conn.RecvHello(); err != nil {
		t.Fatal(err)
	}
	return h
}

func startAlice(t *testing.T) *helper {
	return start(t, "private", proto.Hello{Login: "alice", UID: uint32(os.Getuid()), Home: t.TempDir(), Shell: "/bin/sh"})
}

func (h *helper) write(text string) {
	h.t.Helper()
	if err := os.WriteFile(h.path(), []byte(text), 0o600); err != nil {
		h.t.Fatal(err)
	}
}

func (h *helper) path() string { return filepath.Join(h.home, ".forward") }

// configure writes dma.conf for this test.
func configure(t *testing.T, text string) {
	t.Helper()
	path := filepath.Join(world(), "dma.conf")
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.Remove(path) })
}

// expand asks for the targets, and returns them or the failure.
func (h *helper) expand() ([]proto.Target, *outcome.Outcome) {
	h.t.Helper()
	return h.expandFor("")
}

func (h *helper) expandFor(extension string) ([]proto.Target, *outcome.Outcome) {
	h.t.Helper()
	h.last++
	if err := h.conn.Send(h.last, &proto.Expand{Extension: extension}, nil); err != nil {
		h.t.Fatal(err)
	}
	var targets []proto.Target
	for {
		p, err := receive(h.conn, proto.TypeTarget, proto.TypeEnd, proto.TypeFail)
		if err != nil {
			h.t.Fatal(err)
		}
		if p.Request != h.last {
			h.t.Fatalf("answer to request %d, want %d", p.Request, h.last)
		}
		switch m := p.Message.(type) {
		case *proto.Target:
			targets = append(targets, *m)
		case *proto.End:
			if int(m.Count) != len(targets) {
				h.t.Errorf("%d targets, and End says %d", len(targets), m.Count)
			}
			return targets, nil
		case *proto.Fail:
			return targets, &m.Outcome
		}
	}
}

func (h *helper) ends(code int) {
	h.t.Helper()
	timer := time.AfterFunc(30*time.Second, func() { h.cmd.Process.Kill() })
	defer timer.Stop()
	h.cmd.Wait()
	if got := h.cmd.ProcessState.ExitCode(); got != code {
		h.t.Errorf("program ended with %v, want exit code %d", h.cmd.ProcessState, code)
	}
}

func TestExpand(t *testing.T) {
	const file = "# mine\nalice, !bob\n|secret command\ncarol@example.com, \"|other secret\"\n/a/file, ~/dir/\n"
	h := startAlice(t)
	h.write(file)
	entries, err := forward.Parse([]byte(file), "alice", h.home)
	if err != nil || len(entries) != 7 {
		t.Fatalf("%d entries, %v", len(entries), err)
	}
	token := func(i uint16) proto.Token {
		return proto.Token{Index: i, File: forward.FileHash([]byte(file)), Entry: forward.EntryHash(entries[i])}
	}
	want := []proto.Target{
		{Kind: proto.TargetMailbox, Address: "alice"},
		{Kind: proto.TargetMailbox, Address: "bob"},
		{Kind: proto.TargetCommand, Token: token(2)},
		{Kind: proto.TargetAddress, Address: "carol@example.com"},
		{Kind: proto.TargetCommand, Token: token(4)},
		{Kind: proto.TargetFile, Token: token(5)},
		{Kind: proto.TargetFile, Token: token(6)},
	}
	got, failure := h.expand()
	if failure != nil || fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got %v, %v\nwant %v", got, failure, want)
	}
	// The file is read anew for each request.
	h.write("dave\n")
	if got, failure = h.expand(); failure != nil || len(got) != 1 || got[0].Address != "dave" {
		t.Errorf("after a change: got %v, %v", got, failure)
	}
	os.Remove(h.path())
	if got, failure = h.expand(); failure != nil || len(got) != 0 {
		t.Errorf("after removal: got %v, %v", got, failure)
	}
	h.conn.Close()
	h.ends(sysexits.OK)
}

// TestOutcomes: what is wrong defers with its cause; it neither bounces nor goes
// to the mailbox (RULES C2).
func TestOutcomes(t *testing.T) {
	write := func(text string) func(*helper) error {
		return func(h *helper) error { return os.WriteFile(h.path(), []byte(text), 0o600) }
	}
	tests := []struct {
		name string
		make func(h *helper) error
		want string // empty: the mailbox
	}{
		{"no file", func(*helper) error { return nil }, ""},
		{"empty", write(""), ""},
		{"comments", write("# nothing\n\n"), ""},
		{"syntax", write("bob\n|\n"), "4.3.5 line 2"},
		{"NUL", write("bob\x00\n"), "4.3.5 NUL"},
		{"too many", write(strings.Repeat("bob\n", forward.MaxEntries+1)), "4.3.5 more than 100 entries"},
		{"too large", write(strings.Repeat("#\n", forward.MaxFile)), "4.7.0 larger than 64 KiB"},
		{"include, missing", write("bob, :include:/none/list\n"), "4.3.0 /.forward: line 1: open directory /none/: no such file or directory"},
		{"mode", func(h *helper) error {
			if err := write("bob\n")(h); err != nil {
				return err
			}
			return os.Chmod(h.path(), 0o660)
		}, "4.7.0 writable by its group; run: chmod g-w"},
		{"home", func(h *helper) error {
			if err := write("bob\n")(h); err != nil {
				return err
			}
			return os.Chmod(h.home, 0o777)
		}, "4.7.0 writable by everyone"},
		{"link", func(h *helper) error { return os.Symlink("/etc/passwd", h.path()) }, "4.7.0 symbolic link"},
		{"FIFO", func(h *helper) error { return syscall.Mkfifo(h.path(), 0o600) }, "4.7.0 not a regular file"},
		{"directory", func(h *helper) error { return os.Mkdir(h.path(), 0o700) }, "4.7.0 not a regular file"},
		{"no home", func(h *helper) error { return os.Remove(h.home) }, "4.3.0 no such file or directory"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h := startAlice(t)
			if err := tt.make(h); err != nil {
				t.Fatal(err)
			}
			got, failure := h.expand()
			if len(got) != 0 {
				t.Errorf("got targets %v", got)
			}
			code, text, _ := strings.Cut(tt.want, " ")
			switch {
			case tt.want == "" && failure != nil:
				t.Errorf("got %v, want the mailbox", failure)
			case tt.want != "" && failure == nil:
				t.Errorf("got the mailbox, want %s", tt.want)
			case tt.want != "" && (failure.Class != outcome.Later || failure.Code != code || !strings.Contains(failure.Text, text)):
				t.Errorf("got %v, want later %s", failure, tt.want)
			}
			// It goes on serving.
			os.RemoveAll(h.home)
			if err := os.Mkdir(h.home, 0o700); err != nil {
				t.Fatal(err)
			}
			h.write("bob\n")
			if got, failure := h.expand(); failure != nil || len(got) != 1 {
				t.Errorf("after repair: got %v, %v", got, failure)
			}
		})
	}
}

func TestWrongMessage(t *testing.T) {
	h := startAlice(t)
	if err := h.conn.Send(1, &proto.Start{Role: proto.RoleUser, Login: "root"}, nil); err != nil {
		t.Fatal(err)
	}
	h.ends(sysexits.Protocol)
}

// TestWrongGreeting: root's file, or with somebody else's rights, nothing is read.
func TestWrongGreeting(t *testing.T) {
	me := uint32(os.Getuid())
	tests := []struct {
		name, program string
		hello         proto.Hello
	}{
		{"login", "private", proto.Hello{Login: "../x", UID: me}},
		{"no login", "private", proto.Hello{UID: me}},
		{"account", "private", proto.Hello{Login: "alice", UID: me + 1}},
		{"root", "installed", proto.Hello{Login: "root", UID: 0}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.hello.Home = t.TempDir()
			h := start(t, tt.program, tt.hello)
			if _, err := receive(h.conn, proto.TypeEnd); !errors.Is(err, io.EOF) {
				t.Errorf("channel is still open: %v", err)
			}
			h.ends(sysexits.NoPerm)
		})
	}
}

// TestCheckRoot: root is told that a .forward has no effect (RULES C9).
func TestCheckRoot(t *testing.T) {
	u := user{"root", 0, t.TempDir(), "/bin/sh", forward.Shells}
	var out strings.Builder
	if code := checkRoot(u, &out); code != sysexits.OK || !strings.Contains(out.String(), "never read") {
		t.Errorf("without a file: %d, %s", code, out.String())
	}
	if err := os.WriteFile(u.path(".forward"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if code := checkRoot(u, &out); code != 1 || !strings.Contains(out.String(), "has no effect") {
		t.Errorf("with a file: %d, %s", code, out.String())
	}
}

// receive receives what is not for the log.
func receive(c *proto.Conn, accept ...proto.Type) (proto.Packet, error) {
	for {
		p, err := c.Recv(30*time.Second, append(accept, proto.TypeLog)...)
		if err != nil || p.Message.Type() != proto.TypeLog {
			return p, err
		}
	}
}
