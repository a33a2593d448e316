package mbox

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"dma/common/outcome"
	"dma/dma-local/internal/letter"
	"dma/proto"

	"golang.org/x/sys/unix"
)

// The test binary plays other processes when this variable names one of roles.
const roleVar = "DMA_MBOX_TEST_ROLE"

func roles() map[string]func(args []string) error {
	r := map[string]func([]string) error{
		"flock":   holdFlock,
		"posix":   holdPosix,
		"deliver": deliverRole,
		"many":    manyRole,
		"die":     dieRole,
		"limit":   limitRole,
	}
	addSystemRoles(r)
	addTracedRoles(r)
	return r
}

func TestMain(m *testing.M) {
	role := os.Getenv(roleVar)
	if role == "" {
		os.Exit(m.Run())
	}
	if err := roles()[role](os.Args[1:]); err != nil {
		fmt.Println("error:", err)
		os.Exit(1)
	}
}

func roleCommand(t *testing.T, role string, args ...string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self, args...)
	cmd.Env = []string{roleVar + "=" + role}
	cmd.Stderr = os.Stderr
	return cmd
}

// runRole runs a role to its end and returns what it printed.
func runRole(t *testing.T, role string, args ...string) string {
	t.Helper()
	out, err := roleCommand(t, role, args...).Output()
	if err != nil {
		t.Fatalf("role %s: %v: %s", role, err, out)
	}
	return string(out)
}

// startHolder starts a process that holds a lock until release is called.
func startHolder(t *testing.T, role, path string) (release func()) {
	t.Helper()
	cmd := roleCommand(t, role, path)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	release = sync.OnceFunc(func() {
		in.Close()
		cmd.Wait()
	})
	t.Cleanup(release)
	if line, err := bufio.NewReader(out).ReadString('\n'); line != "held\n" {
		t.Fatalf("holder of %s said %q, %v", role, line, err)
	}
	return release
}

// hold says that the lock is held and waits for the end of standard input.
func hold() error {
	fmt.Println("held")
	_, err := io.Copy(io.Discard, os.Stdin)
	return err
}

func holdFlock(args []string) error {
	f, err := os.OpenFile(args[0], os.O_RDWR, 0)
	if err == nil {
		err = unix.Flock(int(f.Fd()), unix.LOCK_EX)
	}
	if err != nil {
		return err
	}
	defer f.Close()
	return hold()
}

func holdPosix(args []string) error {
	f, err := os.OpenFile(args[0], os.O_RDWR, 0)
	if err == nil {
		err = unix.FcntlFlock(f.Fd(), unix.F_SETLK, &unix.Flock_t{Type: unix.F_WRLCK})
	}
	if err != nil {
		return err
	}
	defer f.Close()
	return hold()
}

var noon = time.Date(2026, 3, 4, 12, 5, 6, 0, time.UTC)

const entryHead = "From a@b.example  Wed Mar  4 12:05:06 2026\nReturn-Path: <a@b.example>\n"

func letterOf(text string) letter.Letter {
	return letter.Letter{Sender: "a@b.example", Text: strings.NewReader(text), Size: int64(len(text))}
}

// newBox is a box of this process's user in a directory of its own.
func newBox(dir string) *Box {
	return &Box{
		Dir: dir, Login: "alice", UID: uint32(os.Geteuid()), Group: "mail",
		LockWait: 300 * time.Millisecond,
		Pause:    func() time.Duration { return 5 * time.Millisecond },
		Now:      time.Now,
	}
}

func deliverRole(args []string) error {
	box := newBox(args[0])
	if len(args) > 1 { // another owner than this process
		fmt.Sscan(args[1], &box.UID)
	}
	r := box.Deliver(context.Background(), []letter.Letter{letterOf("A: b\n\nhello\n")})[0]
	fmt.Println(r.Outcome.Class, r.Outcome.Code, r.Outcome.Text)
	return nil
}

func manyRole(args []string) error {
	box := newBox(args[0])
	box.LockWait = time.Minute
	for i := range 10 {
		var batch []letter.Letter
		for j := range 1 + i%3 {
			batch = append(batch, letterOf(fmt.Sprintf("A: b\n\n%s %d %d\n%s", args[1], i, j, strings.Repeat("From x\n", 3000))))
		}
		for _, r := range box.Deliver(context.Background(), batch) {
			if r.Outcome.Class != outcome.Done {
				return fmt.Errorf("%v", r.Outcome)
			}
		}
	}
	return nil
}

// deadlyText kills the process that reads far enough.
type deadlyText struct{}

func (deadlyText) ReadAt(p []byte, off int64) (int, error) {
	if off > 1<<20 {
		unix.Kill(os.Getpid(), unix.SIGKILL)
		select {}
	}
	for i := range p {
		p[i] = 'x'
	}
	return len(p), nil
}

func dieRole(args []string) error {
	newBox(args[0]).Deliver(context.Background(), []letter.Letter{letterOf("A: b\n\nhello\n"), {Text: deadlyText{}, Size: 2 << 20}})
	return fmt.Errorf("still alive")
}

// limitRole delivers while no file may get longer than 100 000 bytes.
func limitRole(args []string) error {
	signal.Notify(make(chan os.Signal, 1), syscall.SIGXFSZ)
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: 100_000, Max: 100_000}); err != nil {
		return err
	}
	return tooMuch(newBox(args[0]))
}

// tooMuch delivers a small letter, one that does not fit, and another small one.
func tooMuch(box *Box) error {
	big := letterOf("A: b\n\n" + strings.Repeat("big\n", 100_000))
	box.Now = func() time.Time { return noon }
	for _, r := range box.Deliver(context.Background(), []letter.Letter{letterOf("\n1\n"), big, letterOf("\n2\n")}) {
		fmt.Println(r.Outcome.Class, r.Outcome.Code)
	}
	text, err := os.ReadFile(box.path())
	if err != nil {
		return err
	}
	if want := entryHead + "\n1\n\n" + entryHead + "\n2\n\n"; string(text) != want {
		return fmt.Errorf("mailbox holds %d bytes: %.300q", len(text), text)
	}
	return nil
}

func want(t *testing.T, r proto.Result, class outcome.Class, scope proto.Scope, code, text string) {
	t.Helper()
	if r.Outcome.Class != class || r.Scope != scope || r.Outcome.Code != code || !strings.Contains(r.Outcome.Text, text) {
		t.Errorf("got %v, scope %d; want %v %s with %q, scope %d", r.Outcome, r.Scope, class, code, text, scope)
	}
	if !r.Outcome.Valid() {
		t.Errorf("invalid outcome %v", r.Outcome)
	}
}

func contents(t *testing.T, box *Box) string {
	t.Helper()
	text, err := os.ReadFile(box.path())
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// onlyMailbox makes sure that no lock file is left.
func onlyMailbox(t *testing.T, box *Box) {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(box.Dir, "*"))
	if err != nil || len(names) != 1 || names[0] != box.path() {
		t.Errorf("mail directory holds %q, %v", names, err)
	}
}
