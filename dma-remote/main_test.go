package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"dma/common/sysexits"
	"dma/dma-remote/internal/smtptest"
	"dma/proto"
)

const soon = 10 * time.Second

// suite is a private build of dma-remote, with its files in dir, and a log.
type suite struct {
	t      *testing.T
	dir    string
	binary string
	log    *net.UnixConn
	mu     sync.Mutex
	lines  strings.Builder
}

func build(t *testing.T) *suite {
	t.Helper()
	s := &suite{t: t, dir: t.TempDir()}
	s.binary = filepath.Join(s.dir, "dma-remote")
	flags := fmt.Sprintf("-X dma/common/site.QueueUser= -X dma/common/site.Conf=%s -X dma/common/site.LogSocket=%s/log", s.dir, s.dir)
	cmd := exec.Command("go", "build", "-o", s.binary, "-ldflags", flags, ".")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	log, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: s.dir + "/log", Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	s.log = log
	var wg sync.WaitGroup
	wg.Go(func() {
		buf := make([]byte, 64<<10)
		for {
			n, err := log.Read(buf)
			if err != nil {
				return
			}
			s.mu.Lock()
			s.lines.Write(append(buf[:n:n], '\n'))
			s.mu.Unlock()
		}
	})
	t.Cleanup(func() {
		log.Close()
		wg.Wait()
	})
	return s
}

func (s *suite) logged() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.lines.String()
}

func (s *suite) write(name, text string, mode os.FileMode) *os.File {
	s.t.Helper()
	path := filepath.Join(s.dir, name)
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		s.t.Fatal(err)
	}
	f, err := os.Open(path)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { f.Close() })
	return f
}

// start starts dma-remote as dma-spawn does, and says hello.
func (s *suite) start() (*proto.Conn, *exec.Cmd) {
	s.t.Helper()
	conn, child, err := proto.Pair()
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(conn.Close)
	cmd := exec.Command(s.binary)
	cmd.Env, cmd.Dir, cmd.ExtraFiles = []string{}, "/", []*os.File{child}
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	child.Close()
	s.t.Cleanup(func() { _ = cmd.Process.Kill() })
	uid := uint32(os.Getuid())
	if err := conn.Send(0, &proto.Hello{Version: proto.Version, UID: uid, Queue: uid}, nil); err != nil {
		s.t.Fatal(err)
	}
	if _, err := conn.RecvHello(); err != nil {
		s.t.Fatal(err)
	}
	return conn, cmd
}

func (s *suite) send(conn *proto.Conn, f *os.File, rcpts ...string) string {
	s.t.Helper()
	st, err := f.Stat()
	if err != nil {
		s.t.Fatal(err)
	}
	err = conn.Send(1, &proto.Send{Sender: "s@x.example", DeliveredTo: []string{"d@x.example"}, Size: st.Size(), Recipients: uint32(len(rcpts)), ID: "abc123"}, f)
	for i, r := range rcpts {
		if err == nil {
			err = conn.Send(1, &proto.Rcpt{Index: uint32(i), Address: r}, nil)
		}
	}
	var out []string
	for range rcpts {
		if err != nil {
			s.t.Fatal(err)
		}
		var p proto.Packet
		if p, err = s.answer(conn, proto.TypeResult); err == nil {
			r := p.Message.(*proto.Result)
			out = append(out, fmt.Sprintf("%d %s %s %s|", r.Index, r.Outcome.Class, r.Outcome.Code, r.Outcome.Text))
		}
	}
	if err != nil {
		s.t.Fatal(err)
	}
	return strings.Join(out, "\n")
}

func TestProgram(t *testing.T) {
	s := build(t)
	for _, tt := range []struct {
		name string
		test func(*testing.T)
	}{
		{"delivers", s.delivers},
		{"aborts", s.aborts},
		{"refuses auth.conf", s.refusesAuthFile},
		{"by hand", s.byHand},
		{"probe", s.probe},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s.t = t
			tt.test(t)
		})
	}
}

// The program as dma-spawn starts it: a message goes to the smarthost of dma.conf
// with the credentials of auth.conf; the log has the lines that people look for,
// and no password; at the end of the channel the program ends at once.
func (s *suite) delivers(t *testing.T) {
	var received string
	server := smtptest.Start(t, func(p *smtptest.Peer) {
		p.Hello("PIPELINING", "AUTH PLAIN")
		p.Answer("AUTH PLAIN ", "235 welcome hunter2")
		p.Answer("MAIL FROM:<s@x.example>", "250 ok")
		p.Answer("RCPT TO:<a@y.example>", "250 ok")
		p.Answer("RCPT TO:<b@y.example>", "550 5.1.1 no b here, hunter2")
		p.Answer("DATA", "354 go on")
		received = p.Message()
		p.Say("250 2.0.0 queued")
		p.Quit()
	})
	port := server.Addr().Port()
	s.write("dma.conf", fmt.Sprintf("SMARTHOST 127.0.0.1:%d\nAUTHPATH %s/auth.conf\nINSECURE\n", port, s.dir), 0o644)
	s.write("auth.conf", "u|127.0.0.1:hunter2\n", 0o600)
	f := s.write("message", "Subject: t\n\nhi\n", 0o600)
	conn, cmd := s.start()
	got := s.send(conn, f, "a@y.example", "b@y.example")
	want := "1 failed 5.1.1 127.0.0.1 [127.0.0.1] did not like our RCPT TO: 550 5.1.1 no b here, [redacted]|\n0 done 2.0.0 250 2.0.0 queued|"
	if got != want {
		t.Errorf("results:\n%s\nwant:\n%s", got, want)
	}
	begin := time.Now()
	conn.Close()
	if err := cmd.Wait(); err != nil || time.Since(begin) > soon/2 {
		t.Errorf("ended after %v: %v", time.Since(begin), err)
	}
	server.Finish()
	if want := "Delivered-To: d@x.example\nSubject: t\n\nhi\n"; received != want {
		t.Errorf("received %q, want %q", received, want)
	}
	log := s.logged()
	for _, line := range []string{
		fmt.Sprintf("dma[abc123]: using smarthost (127.0.0.1:%d)", port),
		"dma[abc123]: trying remote delivery to 127.0.0.1 [127.0.0.1] pref 0",
		"dma[abc123]: using SMTP authentication for user u",
		"dma[abc123]: remote delivery to 127.0.0.1 [127.0.0.1] failed after RCPT TO: 550 5.1.1 no b here, [redacted]",
		"no_new_privs",
	} {
		if !strings.Contains(log, line) {
			t.Errorf("no %q in the log:\n%s", line, log)
		}
	}
	if strings.Contains(log, "hunter2") {
		t.Errorf("the password is in the log:\n%s", log)
	}
}

// With a request under way, the end of the channel still ends the program at once.
func (s *suite) aborts(t *testing.T) {
	talking := make(chan bool, 1)
	server := smtptest.Start(t, func(p *smtptest.Peer) {
		p.Say("220 hi")
		p.Expect("EHLO")
		talking <- true
		p.Wait()
	})
	s.write("dma.conf", fmt.Sprintf("SMARTHOST 127.0.0.1:%d\n", server.Addr().Port()), 0o644)
	f := s.write("message", "Subject: t\n\nhi\n", 0o600)
	conn, cmd := s.start()
	err := conn.Send(1, &proto.Send{Size: 15, Recipients: 1, ID: "1"}, f)
	if err == nil {
		err = conn.Send(1, &proto.Rcpt{Address: "a@y.example"}, nil)
	}
	if err != nil {
		t.Fatal(err)
	}
	<-talking
	begin := time.Now()
	conn.Close()
	if err := cmd.Wait(); err != nil || time.Since(begin) > soon/2 {
		t.Errorf("ended after %v: %v", time.Since(begin), err)
	}
}

// Credentials that everybody may read are not used, and neither is the smarthost
// without them.
func (s *suite) refusesAuthFile(t *testing.T) {
	server := smtptest.Start(t, func(*smtptest.Peer) { t.Error("a connection was made") })
	s.write("dma.conf", fmt.Sprintf("SMARTHOST 127.0.0.1:%d\nAUTHPATH %s/auth.conf\n", server.Addr().Port(), s.dir), 0o644)
	s.write("auth.conf", "u|127.0.0.1:hunter2\n", 0o644)
	if err := os.Chmod(s.dir+"/auth.conf", 0o644); err != nil {
		t.Fatal(err)
	}
	conn, _ := s.start()
	got := s.send(conn, s.write("message", "Subject: t\n\nhi\n", 0o600), "a@y.example")
	if !strings.HasPrefix(got, "0 later 4.3.5 configuration: ") || !strings.Contains(got, "chmod") {
		t.Errorf("result %s", got)
	}
}

// Started by hand it says what it is.
func (s *suite) byHand(t *testing.T) {
	cmd := exec.Command(s.binary)
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != sysexits.Usage || !strings.Contains(string(out), "dma-spawn") {
		t.Errorf("%v, says %q", err, out)
	}
}

// answer receives what is not for the log, and keeps what is.
func (s *suite) answer(c *proto.Conn, accept ...proto.Type) (proto.Packet, error) {
	for {
		p, err := c.Recv(soon, append(accept, proto.TypeLog)...)
		if err != nil {
			return p, err
		}
		m, ok := p.Message.(*proto.Log)
		if !ok {
			return p, nil
		}
		s.mu.Lock()
		fmt.Fprintf(&s.lines, "dma[%s]: %s\n", m.ID, m.Text)
		s.mu.Unlock()
	}
}

// With --probe it tells what it finds, with an exit code.
func (s *suite) probe(t *testing.T) {
	server := smtptest.Start(t, func(p *smtptest.Peer) {
		p.Hello("AUTH PLAIN")
		switch line := p.Read(); {
		case line == "QUIT":
			p.Say("221 bye")
		case strings.HasPrefix(line, "AUTH PLAIN"):
			p.Say("535 not with hunter2")
			p.Quit()
		default:
			t.Errorf("client sent %q", line)
		}
	})
	port := server.Addr().Port()
	here := fmt.Sprintf("127.0.0.1:%d", port)
	login := fmt.Sprintf("SMARTHOST %s\nAUTHPATH %s/auth.conf\nINSECURE\n", here, s.dir)
	s.write("auth.conf", "u|127.0.0.1:hunter2\n", 0o600)
	if err := os.Chmod(s.dir+"/auth.conf", 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name, conf string
		args       []string
		code       int
		want       string // in what it prints
	}{
		{"smarthost", "SMARTHOST " + here, nil, sysexits.OK, "greeting     220 test.example ready\n"},
		{"host and port", "", []string{here}, sysexits.OK, "warning  TLS "},
		{"host with its port", "SMARTHOST " + here, []string{"127.0.0.1"}, sysexits.OK, "greeting "},
		{"wrong password", login, nil, sysexits.NoPerm, "error    auth         127.0.0.1 [127.0.0.1] did not like our AUTH: 535 not with [redacted]\n                   -> check"},
		{"no smarthost", "", nil, sysexits.OK, "there is no SMARTHOST"},
		{"wrong configuration", "SMARTHOST :x", nil, sysexits.Config, "dma.conf:1"},
		{"no host", "", []string{"[x"}, sysexits.Usage, "usage"},
		{"two hosts", "", []string{"a", "b"}, sysexits.Usage, "--probe"},
	} {
		s.write("dma.conf", tt.conf+"\n", 0o644)
		cmd := exec.Command(s.binary, append([]string{"--probe"}, tt.args...)...)
		out, err := cmd.CombinedOutput()
		code := 0
		if exit := new(exec.ExitError); errors.As(err, &exit) {
			code = exit.ExitCode()
		}
		if code != tt.code || !strings.Contains(string(out), tt.want) || strings.Contains(string(out), "hunter2") {
			t.Errorf("%s: exit code %d, want %d with %q; it prints\n%s", tt.name, code, tt.code, tt.want, out)
		}
	}
}
