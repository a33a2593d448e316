package role

import (
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"dma/common/passwd"
	"dma/proto"
)

func rules() Rules {
	known := map[string]passwd.Account{
		"root":   {Login: "root", UID: 0, GID: 0, Home: "/root", Shell: "/bin/sh"},
		"toor":   {Login: "toor", UID: 0, GID: 5},
		"alice":  {Login: "alice", UID: 1000, GID: 100, Home: "/home/alice", Shell: "/bin/sh"},
		"zero":   {Login: "zero", UID: 1001, GID: 0},
		"minus":  {Login: "minus", UID: math.MaxUint32, GID: 100},
		"minusg": {Login: "minusg", UID: 1002, GID: math.MaxUint32},
		"_dmaq":  {Login: "_dmaq", UID: 71, GID: 71},
		"_dmar":  {Login: "_dmar", UID: 72, GID: 72},
		"queue2": {Login: "queue2", UID: 71, GID: 100},
		"remote": {Login: "remote", UID: 72, GID: 100},
		"liar":   {Login: "alice", UID: 1000, GID: 100},
	}
	return Rules{
		Accounts: Accounts{Queue: known["_dmaq"], Remote: known["_dmar"], Nobody: passwd.Account{Login: "nobody", Home: "/nonexistent", UID: 65534, GID: 65534}, Mail: 8},
		Lookup: func(login string) (passwd.Account, error) {
			if login == "broken" {
				return passwd.Account{}, errors.New("name service is down")
			}
			a, ok := known[login]
			if !ok {
				return a, passwd.ErrNotFound
			}
			return a, nil
		},
	}
}

func TestProgram(t *testing.T) {
	const f, m, u, r, a = proto.RoleForward, proto.RoleMailbox, proto.RoleUser, proto.RoleRemote, proto.RoleAlias
	tests := []struct {
		name     string
		role     proto.Role
		login    string
		refused  proto.Refusal
		program  string
		uid, gid uint32
		cap      time.Duration
	}{
		{name: "forward", role: f, login: "alice", program: "dma-forward", uid: 1000, gid: 100, cap: 10 * time.Minute},
		{name: "mailbox", role: m, login: "alice", program: "dma-local", uid: 1000, gid: 8, cap: 30 * time.Minute},
		{name: "user", role: u, login: "alice", program: "dma-local", uid: 1000, gid: 100, cap: 30 * time.Minute},
		{name: "remote", role: r, program: "dma-remote", uid: 72, gid: 72, cap: 6 * time.Hour},
		{name: "mailbox of root", role: m, login: "root", program: "dma-local", uid: 65534, gid: 8, cap: 30 * time.Minute},
		{name: "mailbox of root by another name", role: m, login: "toor", program: "dma-local", uid: 65534, gid: 8, cap: 30 * time.Minute},
		{name: "forward of root", role: f, login: "root", refused: proto.RefusedForbidden},
		{name: "command of root", role: u, login: "root", refused: proto.RefusedForbidden},
		{name: "command of root by another name", role: u, login: "toor", refused: proto.RefusedForbidden},
		{name: "mailbox, gid 0", role: m, login: "zero", refused: proto.RefusedForbidden},
		{name: "forward, gid 0", role: f, login: "zero", refused: proto.RefusedForbidden},
		{name: "uid -1", role: m, login: "minus", refused: proto.RefusedForbidden},
		{name: "gid -1", role: m, login: "minusg", refused: proto.RefusedForbidden},
		{name: "queue account", role: m, login: "_dmaq", refused: proto.RefusedForbidden},
		{name: "remote account", role: f, login: "_dmar", refused: proto.RefusedForbidden},
		{name: "queue's uid", role: u, login: "queue2", refused: proto.RefusedForbidden},
		{name: "remote's uid", role: u, login: "remote", refused: proto.RefusedForbidden},
		{name: "unknown", role: u, login: "bob", refused: proto.RefusedUnknown},
		{name: "look-up fails", role: u, login: "broken", refused: proto.RefusedLater},
		{name: "look-up finds another", role: u, login: "liar", refused: proto.RefusedLater},
		{name: "path", role: u, login: "../alice", refused: proto.RefusedUnknown},
		{name: "option", role: u, login: "-alice", refused: proto.RefusedUnknown},
		{name: "empty", role: u, login: "", refused: proto.RefusedUnknown},
		{name: "too long", role: u, login: strings.Repeat("a", 33), refused: proto.RefusedUnknown},
		{name: "control byte", role: u, login: "alice\n", refused: proto.RefusedUnknown},
		{name: "remote with login", role: r, login: "alice", refused: proto.RefusedForbidden},
		{name: "alias with login", role: a, login: "alice", refused: proto.RefusedForbidden},
		{name: "alias with its own login", role: a, login: "nobody", refused: proto.RefusedForbidden},
		{name: "alias as root", role: a, login: "root", refused: proto.RefusedForbidden},
		{name: "role 0", role: 0, login: "alice", refused: proto.RefusedForbidden},
		{name: "role 6", role: 6, login: "alice", refused: proto.RefusedForbidden},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p, refused := rules().Program(&proto.Start{Role: tt.role, Login: tt.login})
			if refused != nil {
				if refused.Why != tt.refused || refused.Text == "" {
					t.Errorf("refused with %d, %q; want %d", refused.Why, refused.Text, tt.refused)
				}
				if p != (Program{}) {
					t.Errorf("refused and %+v", p)
				}
				return
			}
			if p.Path != "/usr/libexec/dma/"+tt.program || p.UID != tt.uid || p.GID != tt.gid || p.Cap != tt.cap {
				t.Errorf("%+v, want %+v", p, tt)
			}
			if p.Hello.Login != tt.login || p.Hello.Queue != 71 || p.Hello.Version != proto.Version {
				t.Errorf("Hello %+v", p.Hello)
			}
			if p.Hello.Aliases {
				t.Error("it works for the alias file")
			}
			if tt.login == "alice" && (p.Hello.UID != 1000 || p.Hello.Home != "/home/alice" || p.Hello.Shell != "/bin/sh") {
				t.Errorf("Hello %+v", p.Hello)
			}
		})
	}
}

// What the alias file names is run by nobody, and not if that is somebody (RULES C10).
func TestForAliases(t *testing.T) {
	p, refused := rules().Program(&proto.Start{Role: proto.RoleAlias})
	want := Program{
		Path: "/usr/libexec/dma/dma-local", UID: 65534, GID: 65534, Cap: 30 * time.Minute,
		Hello: proto.Hello{Version: proto.Version, Login: "nobody", UID: 65534, Home: "/nonexistent", Queue: 71, Aliases: true},
	}
	if refused != nil || p != want {
		t.Errorf("%+v, %+v; want %+v", p, refused, want)
	}
	for name, change := range map[string]func(a *passwd.Account){
		"root":           func(a *passwd.Account) { a.UID = 0 },
		"group 0":        func(a *passwd.Account) { a.GID = 0 },
		"queue account":  func(a *passwd.Account) { a.UID = 71 },
		"remote account": func(a *passwd.Account) { a.UID = 72 },
		"group mail":     func(a *passwd.Account) { a.GID = 8 },
		"queue's group":  func(a *passwd.Account) { a.GID = 71 },
	} {
		r := rules()
		change(&r.Accounts.Nobody)
		p, refused := r.Program(&proto.Start{Role: proto.RoleAlias})
		if refused == nil || refused.Why != proto.RefusedLater || p != (Program{}) {
			t.Errorf("%s: %+v, %+v", name, p, refused)
		}
	}
}

func TestRunner(t *testing.T) {
	want := Program{
		Path: "/usr/libexec/dma/dma-queue-runner", UID: 71, GID: 71,
		Hello: proto.Hello{Version: proto.Version, Queue: 71},
	}
	if p := rules().Runner(); p != want {
		t.Errorf("%+v, want %+v", p, want)
	}
}

func TestAnswer(t *testing.T) {
	const line = "alice:x:1000:100:Alice:/home/alice:/bin/sh\n"
	tests := []struct {
		name  string
		code  int
		out   string
		found bool
		none  bool
	}{
		{"found", 0, line, true, false},
		{"not found", 2, "", false, true},
		{"not found, but says something", 2, line, false, false},
		{"failed", 1, "", false, false},
		{"killed", -1, "", false, false},
		{"killed after answer", -1, line, false, false},
		{"success without answer", 0, "", false, false},
		{"line not ended", 0, strings.TrimSpace(line), false, false},
		{"two lines", 0, line + line, false, false},
		{"empty line more", 0, line + "\n", false, false},
		{"too long", 0, "alice:x:1000:100:" + strings.Repeat("x", 4096) + ":/home/alice:/bin/sh\n", false, false},
		{"not a password line", 0, "alice\n", false, false},
		{"uid is no number", 0, "alice:x:0x10:100::/:/bin/sh\n", false, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a, err := answer(tt.code, tt.out)
			if found := err == nil; found != tt.found || found != (a.Login == "alice") {
				t.Errorf("account %+v, error %v", a, err)
			}
			if errors.Is(err, passwd.ErrNotFound) != tt.none {
				t.Errorf("error %v", err)
			}
		})
	}
}
