package mbox

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"dma/common/outcome"
	"dma/dma-local/internal/letter"
	"dma/proto"
)

// publicDir is like t.TempDir, but others may go there.
func publicDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "mbox")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

// TestAccounts delivers as other accounts, which only root can try: as a user
// with the mail group, and for root's mailbox as an account that is not root.
func TestAccounts(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root")
	}
	const user, group, nobody = 64001, 64002, 64003
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	image, err := os.ReadFile(self)
	if err != nil {
		t.Fatal(err)
	}
	// Others may not look into the directory that the test binary was built in.
	binary := filepath.Join(publicDir(t), "deliver")
	if err := os.WriteFile(binary, image, 0o755); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name          string
		uid, owner    uint32
		dirMode, mode os.FileMode // of the mailbox, 0 if there is none
		want          string
	}{
		{"user, new", user, user, 0o2775 | os.ModeSetgid, 0, "done 2.0.0"},
		{"user, existing", user, user, 0o775, 0o600, "done 2.0.0"},
		{"user, read-only", user, user, 0o775, 0o400, "permission denied; run: chmod u+rw "},
		{"user, closed directory", user, user, 0o755, 0, "as root run: chgrp mail "},
		{"user, no lock files in the directory", user, user, 0o755, 0o600, "done 2.0.0"},
		{"user, for all", user, user, 0o777 | os.ModeSticky, 0, "done 2.0.0"},
		{"user, somebody else's", user, nobody, 0o775, 0o660, "belongs to uid 64003, not to uid 64001"},
		{"root", nobody, 0, 0o775, 0o660, "done 2.0.0"},
		{"root, missing", nobody, 0, 0o775, 0, "install -m 660 -o alice -g mail /dev/null "},
		{"root, not for the group", nobody, 0, 0o775, 0o600, "permission denied; as root run: chgrp mail "},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := publicDir(t)
			box := newBox(dir)
			owner := int(tt.owner)
			if tt.mode != 0 {
				if err := os.WriteFile(box.path(), nil, 0o600); err != nil {
					t.Fatal(err)
				}
				if err := os.Chown(box.path(), owner, group); err != nil {
					t.Fatal(err)
				}
				if err := os.Chmod(box.path(), tt.mode); err != nil {
					t.Fatal(err)
				}
			}
			if err := os.Chown(dir, 0, group); err != nil {
				t.Fatal(err)
			}
			if err := os.Chmod(dir, tt.dirMode); err != nil {
				t.Fatal(err)
			}
			box.UID = tt.owner
			if tt.uid == user {
				box.UID = user
			}
			cmd := roleCommand(t, "deliver", dir, fmt.Sprint(box.UID))
			cmd.Path = binary
			cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: tt.uid, Gid: group}}
			out, err := cmd.Output()
			if err != nil || !strings.Contains(string(out), tt.want) {
				t.Fatalf("got %v, %s; want %s", err, out, tt.want)
			}
			if cerr := box.Check(Writer{tt.uid, group}); (cerr == nil) != strings.HasPrefix(tt.want, "done") {
				t.Errorf("Check: %v", cerr)
			}
			if !strings.HasPrefix(tt.want, "done") {
				return
			}
			mode := tt.mode
			if mode == 0 {
				mode = newMode
			}
			st, err := os.Stat(box.path())
			if err != nil {
				t.Fatal(err)
			}
			if sys := st.Sys().(*syscall.Stat_t); st.Mode() != mode || sys.Uid != tt.owner || sys.Gid != group || st.Size() == 0 {
				t.Errorf("mailbox is %v %+v", st.Mode(), sys)
			}
			onlyMailbox(t, box)
		})
	}
}

// TestMarkOfAnother: that a killed dma-local made a lock file is believed of our
// own account's files only.
func TestMarkOfAnother(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root")
	}
	box := newBox(t.TempDir())
	dot := box.path() + ".lock"
	if err := os.WriteFile(dot, []byte("1\n"+mark()+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(dot, 64001, -1); err != nil {
		t.Fatal(err)
	}
	r := box.Deliver(context.Background(), []letter.Letter{letterOf("\nnew\n")})[0]
	want(t, r, outcome.Later, proto.ScopeDestination, "4.2.0", "by the lock file")
}
