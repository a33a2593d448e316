package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"dma/common/outcome"
	"dma/common/passwd"
	"dma/common/site"
	"dma/common/sysexits"
	"dma/proto"
)

const text = "Subject: x\n\nhello\n"

func TestMailbox(t *testing.T) {
	h := start(t, private, nil)
	d := proto.Deliver{Kind: proto.TargetMailbox, Sender: "s@x", Recipient: h.login + "@h", Original: "root@h", DeliveredTo: []string{h.login + "@h"}}
	var requests []uint32
	for i := range 5 {
		requests = append(requests, h.send(d, fmt.Sprintf("Subject: %d\n\nFrom me\n", i)))
	}
	for _, request := range requests {
		h.want(request, outcome.Done, proto.ScopeTarget, "delivered to mailbox")
	}
	h.finish()
	got, err := os.ReadFile(h.mailbox())
	if err != nil {
		t.Fatal(err)
	}
	entries := strings.SplitAfter(string(got), "\n>From me\n\n")
	if len(entries) != 6 || entries[5] != "" {
		t.Fatalf("mailbox holds %q", got)
	}
	for i, e := range entries[:5] {
		want := fmt.Sprintf("\nReturn-Path: <s@x>\nDelivered-To: %s@h\nSubject: %d\n\n>From me\n\n", h.login, i)
		if !strings.HasPrefix(e, "From s@x  ") || !strings.HasSuffix(e, want) {
			t.Errorf("entry %d is %q", i, e)
		}
	}
	st, err := os.Stat(h.mailbox())
	if err != nil || st.Mode() != 0o660 {
		t.Errorf("mailbox: %v, %v", st, err)
	}
}

func TestCommand(t *testing.T) {
	h := start(t, private, nil)
	tokens := h.forward("|cat > letter; umask > umask\nbob@example.com, \"|exit 67\"\n")
	d := proto.Deliver{Kind: proto.TargetCommand, Token: tokens[0], Sender: "s@x", Recipient: "a@h", Original: "a@h"}
	h.want(h.send(d, text), outcome.Done, proto.ScopeTarget, "delivered to command")
	d.Token = tokens[2]
	h.want(h.send(d, text), outcome.Failed, proto.ScopeTarget, "command exited with status 67")
	h.finish()
	if got, err := os.ReadFile(filepath.Join(h.home, "letter")); err != nil || !strings.HasSuffix(string(got), "\nReturn-Path: <s@x>\n"+text) {
		t.Errorf("command read %q, %v", got, err)
	}
	if got, err := os.ReadFile(filepath.Join(h.home, "umask")); err != nil || strings.TrimLeft(string(got), "0") != "77\n" {
		t.Errorf("umask of commands is %q, %v", got, err)
	}
}

// TestTakenOverRunner: whoever has the channel cannot make a command run that is
// not in the user's file, and cannot change one that is (RULES C7).
func TestTakenOverRunner(t *testing.T) {
	const file = "|touch ran-first; echo \"$SENDER $RECIPIENT\" > said\nbob\n|touch ran-third\n"
	const evil = "$(touch evil)`touch evil`;touch evil|touch evil&"
	h := start(t, private, nil)
	foreign := tokens(t, h, "|touch evil\n")
	before := tokens(t, h, file+"#\n")
	good := h.forward(file)
	if err := os.WriteFile(filepath.Join(h.home, "other"), []byte("|touch evil\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	attacks := map[string]proto.Token{
		"nothing":                     {},
		"a file of the runner's":      foreign[0],
		"an entry of the runner's":    {Index: 0, File: good[0].File, Entry: foreign[0].Entry},
		"a file as it was before":     before[0],
		"an entry in another's place": {Index: 2, File: good[0].File, Entry: good[0].Entry},
		"an address":                  good[1],
		"no entry":                    {Index: 3, File: good[0].File, Entry: good[0].Entry},
		"an entry far away":           {Index: 65535, File: good[0].File, Entry: good[0].Entry},
	}
	for name, token := range attacks {
		t.Log(name)
		d := proto.Deliver{Kind: proto.TargetCommand, Token: token, Sender: evil, Recipient: evil, Original: evil, DeliveredTo: []string{evil}}
		h.want(h.send(d, evil), outcome.Later, proto.ScopeStale, "changed in between")
	}
	if names, err := filepath.Glob(filepath.Join(h.home, "[^.]*")); err != nil || len(names) != 1 {
		t.Fatalf("home has %q, %v: something ran", names, err)
	}

	// The right command, with an envelope made to do harm.
	d := proto.Deliver{Kind: proto.TargetCommand, Token: good[0], Sender: evil, Recipient: evil + "@" + evil, Original: h.login + "+" + evil + "@h"}
	h.want(h.send(d, evil), outcome.Done, proto.ScopeTarget, "")
	if _, err := os.Stat(filepath.Join(h.home, "evil")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a command of the runner's ran: %v", err)
	}
	if said, err := os.ReadFile(filepath.Join(h.home, "said")); err != nil || strings.ContainsAny(string(said), "$`;|&()") {
		t.Errorf("command was told %q, %v", said, err)
	}
	if _, err := os.Stat(filepath.Join(h.home, "ran-third")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a command ran that was not asked for: %v", err)
	}

	// The user takes the command back: from then on it cannot be asked for.
	os.Remove(filepath.Join(h.home, "ran-first"))
	h.forward("#" + file)
	h.want(h.send(d, text), outcome.Later, proto.ScopeStale, "changed in between")
	if _, err := os.Stat(filepath.Join(h.home, "ran-first")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a command that was taken back ran: %v", err)
	}
	h.finish()
}

// TestWrongDescriptor: what is no message file ends the channel (RULES B5).
func TestWrongDescriptor(t *testing.T) {
	tests := []struct {
		name string
		file func(dir string) (*os.File, error)
		size int64
		want string
	}{
		{"open for writing", func(dir string) (*os.File, error) {
			return os.OpenFile(dir+"/m", os.O_RDWR|os.O_CREATE, 0o600)
		}, 0, "descriptor with flags"},
		{"FIFO", func(dir string) (*os.File, error) {
			if err := syscall.Mkfifo(dir+"/m", 0o600); err != nil {
				return nil, err
			}
			return os.OpenFile(dir+"/m", os.O_RDONLY|syscall.O_NONBLOCK, 0)
		}, 0, "not regular"},
		{"directory", os.Open, 0, "not regular"},
		{"wrong size", func(dir string) (*os.File, error) {
			if err := os.WriteFile(dir+"/m", []byte(text), 0o600); err != nil {
				return nil, err
			}
			return os.Open(dir + "/m")
		}, 1 << 40, "message of 18 bytes said to have 1099511627776"},
		{"somebody else's", func(dir string) (*os.File, error) {
			if os.Getuid() == 0 {
				if err := os.WriteFile(dir+"/m", nil, 0o600); err != nil {
					return nil, err
				}
				if err := os.Chown(dir+"/m", 64001, -1); err != nil {
					return nil, err
				}
				return os.Open(dir + "/m")
			}
			return os.Open("/etc/passwd")
		}, 0, "descriptor of a file of uid"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h := start(t, private, nil)
			f, err := tt.file(t.TempDir())
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			good := h.send(proto.Deliver{Kind: proto.TargetMailbox}, text)
			bad := h.sendFile(proto.Deliver{Kind: proto.TargetMailbox, Size: tt.size}, f)
			// Which comes first is up to how the two were taken in.
			results := map[uint32]*proto.Result{}
			for range 2 {
				p, err := answer(h.conn, proto.TypeResult)
				if err != nil {
					t.Fatal(err)
				}
				results[p.Request] = p.Message.(*proto.Result)
			}
			if r := results[good]; r == nil || r.Outcome.Class != outcome.Done {
				t.Errorf("delivery before: %v", r)
			}
			if r := results[bad]; r == nil || r.Outcome.Class != outcome.Later || !strings.Contains(r.Outcome.Text, tt.want) {
				t.Errorf("got %v, want later with %q", r, tt.want)
			}
			if _, err := answer(h.conn, proto.TypeResult); !errors.Is(err, io.EOF) {
				t.Errorf("channel is still open: %v", err)
			}
			h.ends(sysexits.Protocol)
		})
	}
}

func TestWrongMessage(t *testing.T) {
	for name, m := range map[string]proto.Message{
		"for dma-forward": &proto.Expand{},
		"for dma-spawn":   &proto.Start{Role: proto.RoleUser, Login: "root"},
		"second greeting": &proto.Hello{Version: proto.Version, Login: "root"},
		"an answer":       &proto.Result{Scope: proto.ScopeTarget, Outcome: outcome.Success("")},
	} {
		t.Run(name, func(t *testing.T) {
			h := start(t, private, nil)
			if err := h.conn.Send(1, m, nil); err != nil {
				t.Fatal(err)
			}
			h.ends(sysexits.Protocol)
		})
	}
}

func TestWrongGreeting(t *testing.T) {
	for name, hello := range map[string]*proto.Hello{
		"login":   {Version: proto.Version, Login: "../x", UID: uint32(os.Getuid())},
		"account": {Version: proto.Version, Login: "alice", UID: uint32(os.Getuid()) + 1},
	} {
		t.Run(name, func(t *testing.T) {
			conn, other, err := proto.Pair()
			if err != nil {
				t.Fatal(err)
			}
			defer other.Close()
			if err := conn.Send(0, hello, nil); err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			c, err := proto.NewConn(other)
			if err != nil {
				t.Fatal(err)
			}
			got, err := c.Greet()
			if err != nil {
				t.Fatal(err)
			}
			// As in a private build, where the rest of the check would pass.
			if s, err := newServer(c, got); err == nil {
				t.Errorf("accepted: %+v", s)
			}
		})
	}
}

// TestRoles: a process with the group of mailboxes runs no command, and one
// without it writes no mailbox. Only root can start both.
func TestRoles(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root")
	}
	const uid = 64001
	mail, err := passwd.LookupGroup(groupFile, site.MailGroup)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(mailDir(), 0, int(mail)); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(mailDir(), 0o775); err != nil {
		t.Fatal(err)
	}
	home := func(h *helper) []proto.Token {
		if err := os.Chmod(filepath.Dir(h.home), 0o755); err != nil {
			t.Fatal(err)
		}
		tokens := h.forward("|touch ran; ls /proc/$PPID/fd > descriptors\n")
		for _, name := range []string{h.home, h.home + "/.forward"} {
			if err := os.Chown(name, uid, -1); err != nil {
				t.Fatal(err)
			}
		}
		return tokens
	}

	h := start(t, installed, &syscall.Credential{Uid: uid, Gid: mail})
	tokens := home(h)
	h.want(h.send(proto.Deliver{Kind: proto.TargetMailbox}, text), outcome.Done, proto.ScopeTarget, "")
	h.want(h.send(proto.Deliver{Kind: proto.TargetCommand, Token: tokens[0]}, text), outcome.Later, proto.ScopeTarget, "runs no command")
	h.ends(sysexits.Protocol)
	if _, err := os.Stat(filepath.Join(h.home, "ran")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a command ran with the group mail: %v", err)
	}

	h = start(t, installed, &syscall.Credential{Uid: uid, Gid: uid})
	tokens = home(h)
	h.want(h.send(proto.Deliver{Kind: proto.TargetCommand, Token: tokens[0]}, text), outcome.Failed, proto.ScopeTarget, "cannot open directory")
	if b, err := os.ReadFile(filepath.Join(h.home, "descriptors")); err != nil || len(b) != 0 {
		t.Errorf("command can see the descriptors of dma-local: %q, %v", b, err)
	}
	h.want(h.send(proto.Deliver{Kind: proto.TargetMailbox}, text), outcome.Later, proto.ScopeDestination, "another process has to deliver it")
	h.finish()
	if _, err := os.Stat(h.mailbox()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a mailbox was made: %v", err)
	}
}

// TestTerm: SIGTERM ends the command, then the program, and the runner hears of it.
func TestTerm(t *testing.T) {
	h := start(t, private, nil)
	tokens := h.forward("|echo $$ > pid; sleep 1000\n")
	request := h.send(proto.Deliver{Kind: proto.TargetCommand, Token: tokens[0]}, text)
	pid := 0
	for end := time.Now().Add(30 * time.Second); pid == 0 && time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if b, err := os.ReadFile(filepath.Join(h.home, "pid")); err == nil && strings.HasSuffix(string(b), "\n") {
			fmt.Sscan(string(b), &pid)
		}
	}
	if err := h.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	h.want(request, outcome.Later, proto.ScopeTarget, "command was stopped")
	h.ends(sysexits.OK)
	if err := syscall.Kill(pid, 0); !errors.Is(err, syscall.ESRCH) {
		t.Errorf("command %d: %v", pid, err)
	}

	idle := start(t, private, nil)
	if err := idle.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	idle.ends(-1)
}

// TestTake: what waits for the mailbox is taken together, up to the limits.
func TestTake(t *testing.T) {
	conn, other, err := proto.Pair()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	c, err := proto.NewConn(other)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	in, end := startIntake(c)
	defer end()
	s := &server{conn: c, in: in, queue: uint32(os.Getuid()), mail: true}
	big := filepath.Join(t.TempDir(), "big")
	if err := os.WriteFile(big, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(big, maxBatchBytes/2); err != nil {
		t.Fatal(err)
	}
	send := func(path string, size int64) {
		f, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if err := conn.Send(1, &proto.Deliver{Kind: proto.TargetMailbox, Size: size}, f); err != nil {
			t.Fatal(err)
		}
	}
	take := func(want int) {
		t.Helper()
		jobs, err := s.take()
		if len(jobs) != want || err != nil {
			t.Errorf("took %d jobs, %v; want %d", len(jobs), err, want)
		}
		for _, j := range jobs {
			j.file.Close()
		}
	}
	small := message(t, text).Name()
	send(small, int64(len(text)))
	take(1) // which nothing is to be gathered behind
	s.took, s.pace = time.Time{}, time.Second
	send(small, int64(len(text)))
	began := time.Now()
	take(1)
	if d := time.Since(began); d > s.pace/2 {
		t.Errorf("the first waited %v for others", d)
	}
	for range maxBatch + 3 {
		send(small, int64(len(text)))
	}
	take(maxBatch)
	if d := time.Since(began); d > s.pace {
		t.Errorf("a full batch waited %v", d)
	}
	take(3)
	if d := time.Since(began); d < s.pace {
		t.Errorf("%v for three batches, pace %v", d, s.pace)
	}
	for range 3 {
		send(big, maxBatchBytes/2)
	}
	take(2)
	take(1)
}
