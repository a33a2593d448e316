package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"dma/common/conf"
	"dma/common/forward"
	"dma/common/outcome"
	"dma/common/sysexits"
	"dma/proto"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// newUser is this process's user with a home of its own, that holds files.
func newUser(t *testing.T, files map[string]string) user {
	t.Helper()
	u := user{"alice", uint32(os.Getuid()), t.TempDir(), "/bin/sh", filepath.Join(t.TempDir(), "shells")}
	must(t, os.Chmod(u.home, 0o755))
	must(t, os.WriteFile(u.shells, []byte("/bin/sh\n"), 0o600))
	for name, text := range files {
		must(t, os.WriteFile(filepath.Join(u.home, name), []byte(strings.ReplaceAll(text, "%", u.home)), 0o600))
	}
	return u
}

func config(t *testing.T, text string) *conf.Config {
	t.Helper()
	c, _, err := conf.Parse(strings.NewReader(text), "dma.conf")
	must(t, err)
	return c
}

// show is targets in a short form.
func show(targets []proto.Target) string {
	var words []string
	for _, t := range targets {
		word := t.Address
		switch t.Kind {
		case proto.TargetMailbox:
			word = "!" + t.Address
		case proto.TargetCommand:
			word = fmt.Sprintf("|%d", t.Token.Index)
		case proto.TargetFile:
			word = fmt.Sprintf("/%d", t.Token.Index)
		}
		words = append(words, word)
	}
	return strings.Join(words, " ")
}

func TestIncludes(t *testing.T) {
	chain := map[string]string{".forward": ":include:%/l1\n"}
	for i := 1; i <= maxDepth; i++ {
		chain[fmt.Sprintf("l%d", i)] = fmt.Sprintf(":include:%%/l%d\n", i+1)
	}
	deep := map[string]string{fmt.Sprintf("l%d", maxDepth): "end@x\n"}
	for name, text := range chain {
		if deep[name] == "" {
			deep[name] = text
		}
	}
	many := map[string]string{".forward": strings.Repeat(":include:%/list\n", 11), "list": strings.Repeat("a@b,", 99) + "a@b\n"}
	tests := []struct {
		name  string
		files map[string]string
		want  string // after a blank: the beginning of the error's code and text
	}{
		{"one", map[string]string{".forward": "!\n:include:~/list\n|cmd\n", "list": "# list\na@b, alice, \\bob\nc@d"}, "!alice a@b !alice !bob c@d |2"},
		{"nested", deep, "end@x"},
		{"too deep", chain, " 4.3.5 %/.forward: line 1: %/l11: more than 10 files that include each other"},
		{"itself", map[string]string{".forward": "a@b\n:include:%/.forward\n"}, " 4.3.5 %/.forward: line 2: %/.forward: more than 10"},
		{"too many", many, " 4.3.5 more than 1000 targets"},
		{"command", map[string]string{".forward": "\n:include:%/list", "list": "a\n|cmd\n"}, " 4.3.5 %/.forward: line 2: %/list: line 2: a command in a file that is included: not allowed"},
		{"file", map[string]string{".forward": ":include:%/list", "list": "/a"}, " 4.3.5 a file in a file that is included"},
		{"maildir", map[string]string{".forward": ":include:%/list", "list": "/a/"}, " 4.3.5 a maildir in a file that is included"},
		{"syntax", map[string]string{".forward": ":include:%/list", "list": "\n\n|"}, " 4.3.5 %/.forward: line 1: %/list: line 3: "},
		{"NUL", map[string]string{".forward": ":include:%/list", "list": "a\x00"}, " 4.3.5 %/list: line 1: contains a NUL byte"},
		{"missing", map[string]string{".forward": ":include:%/list"}, " 4.3.0 open %/list: no such file or directory"},
		{"empty", map[string]string{".forward": ":include:%/list", "list": "# nobody\n"}, " 4.3.5 %/.forward: the lists that it includes have no entries"},
		{"empty and another", map[string]string{".forward": ":include:%/list\n!", "list": ""}, "!alice"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			u := newUser(t, tt.files)
			got, err := u.expand(config(t, ""), "")
			want, failure := tt.want, ""
			if rest, bad := strings.CutPrefix(tt.want, " "); bad {
				want, failure = "", strings.ReplaceAll(rest, "%", u.home)
			}
			if failure == "" {
				if err != nil || show(got) != want {
					t.Errorf("got %s, %v; want %s", show(got), err, want)
				}
				return
			}
			code, text, _ := strings.Cut(failure, " ")
			if err == nil {
				t.Fatalf("got %s, want %s", show(got), failure)
			}
			if o := deferral(err); o.Class != outcome.Later || o.Code != code || !strings.Contains(o.Text, text) {
				t.Errorf("got %v, want %s", o, failure)
			}
		})
	}
	u := newUser(t, map[string]string{".forward": ":include:%/list", "list": "a@b"})
	must(t, os.Chmod(u.home+"/list", 0o666))
	_, err := u.expand(config(t, ""), "")
	if o := deferral(err); o.Code != "4.7.0" || !strings.Contains(o.Text, "/list: writable by everyone; run: chmod go-w "+u.home+"/list") {
		t.Errorf("unsafe: %v", o)
	}
}

// TestShell: what can do more than send mail on needs a shell of people (RULES C8).
func TestShell(t *testing.T) {
	for text, needs := range map[string]bool{
		"|cmd\n": true, "/file\n": true, "~/dir/\n": true, "!\n": false, "a@b\n": false, ":include:~/list\n": false,
	} {
		u := newUser(t, map[string]string{".forward": "#\n" + text, "list": "x@y"})
		u.shell = "/usr/sbin/nologin"
		got, err := u.expand(config(t, ""), "")
		if !needs {
			if err != nil || len(got) != 1 {
				t.Errorf("%q: %s, %v", text, show(got), err)
			}
			continue
		}
		if err == nil {
			t.Errorf("%q: %s", text, show(got))
			continue
		}
		if o := deferral(err); o.Code != "4.7.0" || !strings.Contains(o.Text, ".forward: line 2: "+u.shells+": does not list /usr/sbin/nologin") {
			t.Errorf("%q: %v", text, o)
		}
		if got, err := u.expand(config(t, "ANYSHELL"), ""); err != nil || len(got) != 1 {
			t.Errorf("ANYSHELL: %q: %s, %v", text, show(got), err)
		}
	}
}

// TestConfigured: dma.conf names the file, or none, and its trouble defers.
func TestConfigured(t *testing.T) {
	h := startAlice(t)
	h.write("a@b\n")
	must(t, os.WriteFile(h.home+"/.way", []byte("way@b\n"), 0o600))
	must(t, os.WriteFile(h.home+"/.way+lists", []byte("lists@b\n"), 0o600))
	for _, tt := range []struct{ conf, extension, want string }{
		{"", "", "a@b"},
		{"", "lists", "a@b"},
		{"FORWARD .way", "", "way@b"},
		{"FORWARD .way", "LISTS", "lists@b"},
		{"FORWARD .way", "other", "way@b"},
		{"FORWARD .none", "lists", ""},
		{"FORWARD off", "", ""},
		{"FORWARD off", "lists", ""},
	} {
		configure(t, tt.conf)
		if got, failure := h.expandFor(tt.extension); failure != nil || show(got) != tt.want {
			t.Errorf("%q, %q: got %s, %v; want %s", tt.conf, tt.extension, show(got), failure, tt.want)
		}
	}
	must(t, os.Chmod(filepath.Join(world(), "dma.conf"), 0o666))
	got, failure := h.expand()
	if failure == nil || failure.Class != outcome.Later || failure.Code != "4.3.5" || !strings.Contains(failure.Text, "dma.conf: writable by others than root") {
		t.Errorf("unsafe dma.conf: %s, %v", show(got), failure)
	}
	h.conn.Close()
	h.ends(sysexits.OK)
}

// TestNoAnswer: a file system that hangs defers, and ends the program.
func TestNoAnswer(t *testing.T) {
	conn, other, err := proto.Pair()
	must(t, err)
	defer conn.Close()
	c, err := proto.NewConn(other)
	must(t, err)
	hang := make(chan bool)
	defer close(hang)
	s := server{
		conn: c, user: user{home: "/home/alice"}, limit: 50 * time.Millisecond,
		config: func() (*conf.Config, error) { <-hang; return nil, errors.New("too late") },
	}
	must(t, conn.Send(7, &proto.Expand{}, nil))
	if err := s.serve(); !errors.Is(err, errNoAnswer) {
		t.Errorf("serve: %v", err)
	}
	c.Close()
	p, err := conn.Recv(time.Minute, proto.TypeFail)
	must(t, err)
	if o := p.Message.(*proto.Fail).Outcome; p.Request != 7 || o.Code != "4.3.0" || o.Text != "read the forward file in /home/alice: no answer from the file system within 50ms" {
		t.Errorf("request %d: %v", p.Request, o)
	}
}

// TestReadsAgain: every file is read for each answer, so that a change counts with
// the next mail.
func TestReadsAgain(t *testing.T) {
	u := newUser(t, map[string]string{".forward": "|cmd\n"})
	first, err := u.expand(config(t, ""), "")
	must(t, err)
	must(t, os.WriteFile(u.path(".forward"), []byte("|cmd\n#\n"), 0o600))
	second, err := u.expand(config(t, ""), "")
	must(t, err)
	if first[0].Token.File == second[0].Token.File || first[0].Token.Entry != second[0].Token.Entry {
		t.Errorf("got %v and %v", first, second)
	}
	must(t, os.WriteFile(u.path(".forward+x"), []byte("|cmd\n"), 0o600))
	extended, err := u.expand(config(t, ""), "x")
	must(t, err)
	if extended[0].Token != first[0].Token || extended[0].Token.File != forward.FileHash([]byte("|cmd\n")) {
		t.Errorf("got %v, want %v", extended, first)
	}
}
