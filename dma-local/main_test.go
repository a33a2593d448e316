package main

import (
	"fmt"
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

// The programs under test. They have relative paths, so that scripts can have
// directories of their own.
const (
	private   = "private"   // serves both roles
	installed = "installed" // tells its role by its group
)

// world is where the tests' programs are, and where those that work for a runner
// have their mail directory.
func world() string { return os.Getenv("DMA_LOCAL_TEST_WORLD") }

func mailDir() string { return filepath.Join(world(), "mail") }

func TestMain(m *testing.M) { os.Exit(testMain(m)) }

func testMain(m *testing.M) int {
	dir, err := os.MkdirTemp("", "dma-local")
	if err != nil {
		fmt.Println(err)
		return 1
	}
	defer os.RemoveAll(dir)
	os.Setenv("DMA_LOCAL_TEST_WORLD", dir)
	// Other accounts have to get there.
	if err := os.Chmod(dir, 0o755); err != nil {
		fmt.Println(err)
		return 1
	}
	if err := os.Mkdir(mailDir(), 0o755); err != nil {
		fmt.Println(err)
		return 1
	}
	for name, variables := range map[string]map[string]string{
		private:   {"QueueUser": "", "Mail": mailDir(), "Conf": dir, "LogSocket": dir + "/none"},
		"script":  {"QueueUser": "", "Mail": "mail", "Conf": "etc", "Passwd": "passwd", "LogSocket": "none"},
		installed: {"Mail": mailDir(), "Conf": dir, "LogSocket": dir + "/none"},
	} {
		flags := "-X dma/common/site.Version=1.2.3"
		for variable, value := range variables {
			flags += " -X dma/common/site." + variable + "=" + value
		}
		cmd := exec.Command("go", "build", "-buildvcs=false", "-ldflags", flags, "-o", filepath.Join(dir, name, "dma-local"), ".")
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
			env.Setenv("UID", fmt.Sprint(os.Getuid()))
			env.Setenv("GID", fmt.Sprint(os.Getgid()))
			home := filepath.Join(env.WorkDir, "home")
			env.Setenv("H", home)
			for _, dir := range []string{home, filepath.Join(env.WorkDir, "etc")} {
				if err := os.Mkdir(dir, 0o755); err != nil {
					return err
				}
			}
			return os.WriteFile(filepath.Join(env.WorkDir, "passwd"),
				fmt.Appendf(nil, "alice:x:%d:%d:Alice:%s:/bin/sh\n", os.Getuid(), os.Getgid(), home), 0o600)
		},
	})
}

// helper is a running dma-local, with the test in the runner's place.
type helper struct {
	t     *testing.T
	conn  *proto.Conn
	cmd   *exec.Cmd
	login string
	home  string
	last  uint32 // request number
}

// start starts a program as dma-spawn would, for a user of its own. The account may
// be nil: this process's own.
func start(t *testing.T, program string, account *syscall.Credential) *helper {
	t.Helper()
	hello := proto.Hello{Login: fmt.Sprintf("u%d", time.Now().UnixNano()%1e12), UID: uint32(os.Getuid()), Home: t.TempDir(), Shell: "/bin/sh"}
	if account != nil {
		hello.UID = account.Uid
	}
	return startFor(t, program, account, hello)
}

// startFor does that for the user of hello.
func startFor(t *testing.T, program string, account *syscall.Credential, hello proto.Hello) *helper {
	t.Helper()
	h := &helper{t: t, login: hello.Login, home: hello.Home}
	conn, other, err := proto.Pair()
	if err != nil {
		t.Fatal(err)
	}
	h.conn = conn
	h.cmd = exec.Command(filepath.Join(world(), program, "dma-local"))
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
	hello.Version, hello.Queue = proto.Version, uint32(os.Getuid())
	if err := h.conn.Send(0, &hello, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := h.conn.RecvHello(); err != nil {
		t.Fatal(err)
	}
	return h
}

// configure writes dma.conf for this test.
func configure(t *testing.T, text string) {
	t.Helper()
	path := filepath.Join(world(), "dma.conf")
	if err := os.WriteFile(path, []byte(text+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.Remove(path) })
}

func (h *helper) mailbox() string { return filepath.Join(mailDir(), h.login) }

// forward writes the user's .forward file and returns the tokens of its entries.
func (h *helper) forward(text string) []proto.Token {
	h.t.Helper()
	if err := os.WriteFile(filepath.Join(h.home, ".forward"), []byte(text), 0o600); err != nil {
		h.t.Fatal(err)
	}
	return tokens(h.t, h, text)
}

func tokens(t *testing.T, h *helper, text string) []proto.Token {
	t.Helper()
	entries, err := forward.Parse([]byte(text), h.login, h.home)
	if err != nil {
		t.Fatal(err)
	}
	var tokens []proto.Token
	for i, e := range entries {
		tokens = append(tokens, proto.Token{Index: uint16(i), File: forward.FileHash([]byte(text)), Entry: forward.EntryHash(e)})
	}
	return tokens
}

// message makes a message file and opens it as the runner does.
func message(t *testing.T, text string) *os.File {
	t.Helper()
	path := filepath.Join(t.TempDir(), "message")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

// send asks for a delivery of text and returns the number of the request.
func (h *helper) send(d proto.Deliver, text string) uint32 {
	h.t.Helper()
	f := message(h.t, text)
	d.Size = int64(len(text))
	return h.sendFile(d, f)
}

func (h *helper) sendFile(d proto.Deliver, f *os.File) uint32 {
	h.t.Helper()
	h.last++
	if err := h.conn.Send(h.last, &d, f); err != nil {
		h.t.Fatal(err)
	}
	return h.last
}

// result receives the answer to request.
func (h *helper) result(request uint32) *proto.Result {
	h.t.Helper()
	p, err := answer(h.conn, proto.TypeResult)
	if err != nil {
		h.t.Fatal(err)
	}
	if p.Request != request {
		h.t.Fatalf("answer to request %d, want %d", p.Request, request)
	}
	return p.Message.(*proto.Result)
}

func (h *helper) want(request uint32, class outcome.Class, scope proto.Scope, text string) {
	h.t.Helper()
	r := h.result(request)
	if r.Outcome.Class != class || r.Scope != scope || !strings.Contains(r.Outcome.Text, text) {
		h.t.Errorf("request %d: got %v, scope %d; want %v with %q, scope %d", request, r.Outcome, r.Scope, class, text, scope)
	}
}

// ends waits for the end of the program.
func (h *helper) ends(code int) {
	h.t.Helper()
	timer := time.AfterFunc(30*time.Second, func() { h.cmd.Process.Kill() })
	defer timer.Stop()
	h.cmd.Wait()
	if got := h.cmd.ProcessState.ExitCode(); got != code {
		h.t.Errorf("program ended with %v, want exit code %d", h.cmd.ProcessState, code)
	}
}

// finish closes the channel, which is how a helper is told that it is not needed any more.
func (h *helper) finish() {
	h.t.Helper()
	h.conn.Close()
	h.ends(sysexits.OK)
}

// answer receives what is not for the log.
func answer(c *proto.Conn, accept ...proto.Type) (proto.Packet, error) {
	for {
		p, err := c.Recv(30*time.Second, append(accept, proto.TypeLog)...)
		if err != nil || p.Message.Type() != proto.TypeLog {
			return p, err
		}
	}
}
