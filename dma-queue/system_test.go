//go:build system

package main

import (
	"bytes"
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

	"dma/dma-queue/internal/spool"
)

// Numbers of accounts that need no entry in the password file.
const (
	queueID  = 64101 // _dmaq
	submitID = 64102 // _dmas
	aliceID  = 64103
)

// frontEnd is dma-queue, installed set-gid, with a spool of its own and nothing
// behind it: what it is to start writes down that it was started.
type frontEnd struct {
	root string // open to all
}

func newFrontEnd(t *testing.T) *frontEnd {
	t.Helper()
	root, err := os.MkdirTemp("", "dma-front")
	must(t, err)
	t.Cleanup(func() { os.RemoveAll(root) })
	f := &frontEnd{root}
	for _, dir := range []string{"", "/spool", "/etc"} {
		must(t, errors.Join(os.MkdirAll(root+dir, 0o711), os.Chmod(root+dir, 0o711)))
	}
	passwd := fmt.Sprintf("root:x:0:0::/root:/bin/sh\nalice:x:%d:%[1]d::/:/bin/sh\nnobody:x:65534:65534::/:/bin/sh\n", aliceID)
	must(t, os.WriteFile(root+"/etc/passwd", []byte(passwd), 0o644))
	must(t, os.Chmod(root+"/etc/passwd", 0o644))
	flags := ""
	for name, value := range map[string]string{
		"Libexec": "", "Sbin": "", "Spool": "/spool", "Conf": "/etc", "Aliases": "/etc/aliases",
		"Passwd": "/etc/passwd", "Nsswitch": "/etc/nsswitch.conf", "LogSocket": "/log",
	} {
		flags += " -X dma/common/site." + name + "=" + root + value
	}
	build := exec.Command("go", "build", "-ldflags", flags, "-o", root+"/dma-queue", ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	must(t, errors.Join(os.Chown(root+"/dma-queue", 0, submitID), os.Chmod(root+"/dma-queue", 0o755|os.ModeSetgid)))
	must(t, os.Symlink("dma-queue", root+"/sendmail"))
	f.makeSpool(t)
	return f
}

func (f *frontEnd) makeSpool(t *testing.T) {
	t.Helper()
	in := f.root + "/spool/incoming"
	must(t, errors.Join(os.Chmod(f.root+"/spool", 0o711), os.MkdirAll(in, 0o700), os.Chown(in, queueID, submitID)))
	must(t, syscall.Chmod(in, 0o1730))
}

// sendmail is a call of sendmail by uid, whose group has the same number.
func (f *frontEnd) sendmail(uid uint32, message string, args ...string) *exec.Cmd {
	c := exec.Command(f.root+"/sendmail", args...)
	c.Env, c.Dir = []string{}, "/"
	c.Stdin = strings.NewReader(message)
	c.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}}
	return c
}

// call calls sendmail and gives its exit code and what it said.
func call(t *testing.T, c *exec.Cmd) (int, string) {
	t.Helper()
	var stderr bytes.Buffer
	c.Stderr = &stderr
	begun := time.Now()
	err := c.Run()
	if d := time.Since(begun); d > time.Second {
		t.Errorf("%q took %v", c.Args, d)
	}
	if e := (*exec.ExitError)(nil); errors.As(err, &e) {
		return e.ExitCode(), stderr.String()
	}
	must(t, err)
	return 0, stderr.String()
}

// stored is a submission in incoming.
type stored struct {
	uid  uint32
	text string
}

// submitted reads all of incoming; what is no submission is there with its error.
func submitted(t *testing.T, incoming string) (whole []stored, others []error) {
	t.Helper()
	names, err := filepath.Glob(incoming + "/*")
	must(t, err)
	for _, n := range names {
		f, err := os.Open(n)
		must(t, err)
		var text []byte
		r, err := spool.OpenIncoming(f)
		if err == nil {
			text, err = io.ReadAll(r.Reader())
		}
		f.Close()
		if err != nil {
			others = append(others, err)
		} else {
			whole = append(whole, stored{r.UID, string(text)})
		}
	}
	return whole, others
}

// TestSetGID: a user's mail is the user's file, which the group cannot read, in a
// directory that the user cannot list.
func TestSetGID(t *testing.T) {
	f := newFrontEnd(t)
	if code, stderr := call(t, f.sendmail(aliceID, "body\n", "-bq", "far@remote.example")); code != 0 || stderr != "" {
		t.Fatalf("exit code %d, %q", code, stderr)
	}
	whole, others := submitted(t, f.root+"/spool/incoming")
	if len(whole) != 1 || others != nil || whole[0].uid != aliceID {
		t.Fatalf("incoming holds %+v, %v", whole, others)
	}
	ls := exec.Command("/bin/ls", f.root+"/spool/incoming")
	ls.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: aliceID, Gid: submitID}}
	if out, err := ls.CombinedOutput(); err == nil {
		t.Errorf("the group can list incoming: %q", out)
	}
	// Nobody listens and nothing can be started: the mail is safe all the same.
	if code, stderr := call(t, f.sendmail(aliceID, "body\n", "far@remote.example")); code != 0 || !strings.Contains(stderr, "nobody delivers it now") {
		t.Errorf("exit code %d, %q", code, stderr)
	}
}

// TestWithoutSetGID: where the bit has no effect the caller hears so (RULES A3).
func TestWithoutSetGID(t *testing.T) {
	f := newFrontEnd(t)
	c := exec.Command("setpriv", "--no-new-privs", f.root+"/sendmail", "far@remote.example")
	c.Stdin, c.Dir = strings.NewReader("body\n"), "/"
	c.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: aliceID, Gid: aliceID}}
	if code, stderr := call(t, c); code != 77 || !strings.Contains(stderr, "no_new_privs") {
		t.Errorf("exit code %d, %q", code, stderr)
	}
	must(t, os.MkdirAll(f.root+"/spool/run", 0o700))
	for _, option := range []string{"-bp", "-q"} {
		c = exec.Command("setpriv", "--no-new-privs", f.root+"/sendmail", option)
		c.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: aliceID, Gid: aliceID}}
		if code, stderr := call(t, c); code != 77 || !strings.Contains(stderr, "no_new_privs") {
			t.Errorf("%s: exit code %d, %q", option, code, stderr)
		}
	}
}

// TestRoot: called by root the program is nobody before it reads a byte, and what
// it gives up then is marked, as it may not remove it, and the runner is woken.
func TestRoot(t *testing.T) {
	f := newFrontEnd(t)
	started := f.root + "/spool/started"
	must(t, os.WriteFile(f.root+"/dma-spawn", []byte("#!/bin/sh\nid > "+started+".new\nmv "+started+".new "+started+"\n"), 0o755))
	must(t, os.Chmod(f.root+"/spool", 0o777)) // for the stand-in, who is nobody
	must(t, os.Chmod(f.root+"/dma-spawn", 0o755))
	for name, c := range map[string]struct {
		sig  syscall.Signal
		want int
	}{"accepted": {0, 0}, "given up": {syscall.SIGTERM, 75}} {
		t.Run(name, func(t *testing.T) {
			os.RemoveAll(f.root + "/spool/incoming")
			os.Remove(started)
			f.makeSpool(t)
			must(t, os.Chmod(f.root+"/spool", 0o777))
			cmd := exec.Command(f.root+"/sendmail", "far@remote.example")
			cmd.Env = []string{}
			stdin, err := cmd.StdinPipe()
			must(t, err)
			must(t, cmd.Start())
			defer cmd.Process.Kill()
			_, err = stdin.Write([]byte("Subject: x\n\nbody\n"))
			must(t, err)
			status := waitForNobody(t, cmd.Process.Pid)
			for _, want := range []string{
				"Uid:\t65534\t65534\t65534\t65534\n",
				fmt.Sprintf("Gid:\t%d\t%[1]d\t%[1]d\t%[1]d\n", submitID),
				fmt.Sprintf("Groups:\t%d \n", submitID), "CapPrm:\t0000000000000000\n", "CapEff:\t0000000000000000\n",
			} {
				if !strings.Contains(status, want) {
					t.Errorf("%q is not in\n%s", want, status)
				}
			}
			if c.sig != 0 {
				must(t, cmd.Process.Signal(c.sig))
			} else {
				stdin.Close()
			}
			cmd.Wait()
			if code := cmd.ProcessState.ExitCode(); code != c.want {
				t.Errorf("exit code %d", code)
			}
			whole, others := submitted(t, f.root+"/spool/incoming")
			switch {
			case c.want == 0 && (len(whole) != 1 || whole[0].uid != 0):
				t.Errorf("incoming holds %+v, %v", whole, others)
			case c.want != 0 && (len(whole) != 0 || len(others) != 1 || !errors.Is(others[0], spool.ErrAbandoned)):
				t.Errorf("incoming holds %+v, %v", whole, others)
			}
			for end := time.Now().Add(5 * time.Second); ; time.Sleep(5 * time.Millisecond) {
				id, err := os.ReadFile(started)
				if err == nil {
					if !strings.HasPrefix(string(id), "uid=65534") {
						t.Errorf("dma-spawn was started as %s", id)
					}
					break
				}
				if time.Now().After(end) {
					t.Fatal("dma-spawn was not started")
				}
			}
		})
	}
}

// waitForNobody waits until a process is not root any more, and then a moment.
func waitForNobody(t *testing.T, pid int) string {
	t.Helper()
	for end := time.Now().Add(5 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
		must(t, err)
		if strings.Contains(string(status), "Uid:\t65534\t65534") {
			time.Sleep(50 * time.Millisecond)
			status, err = os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
			must(t, err)
			return string(status)
		}
		if time.Now().After(end) {
			t.Fatalf("still root:\n%s", status)
		}
	}
}

// TestFullDisk: a spool without room takes no mail, says why at once, and what
// is in it stays as it is (RULES A9).
func TestFullDisk(t *testing.T) {
	big := strings.Repeat("body body body\n", 20000) // 300 kB
	for name, c := range map[string]struct {
		mount, message, conf, want string
		fill                       func(t *testing.T, dir string)
	}{
		"blocks":      {"size=128k", big, "MINFREE 0\n", "no space left on device", nil},
		"not a block": {"size=128k", "body\n", "MINFREE 0\n", "no space left on device", fillBlocks},
		"floor":       {"size=128k", "body\n", "", "MINFREE", fillBlocks},
		"inodes":      {"size=1m,nr_inodes=10", "body\n", "MINFREE 0\n", "no space left on device", fillInodes},
		"read-only": {"size=1m", "body\n", "", "read-only file system", func(t *testing.T, dir string) {
			must(t, syscall.Mount("", dir, "", syscall.MS_REMOUNT|syscall.MS_RDONLY, ""))
		}},
	} {
		for _, uid := range []uint32{aliceID, 0} {
			t.Run(fmt.Sprintf("%s, uid %d", name, uid), func(t *testing.T) {
				f := newFrontEnd(t)
				must(t, syscall.Mount("tmpfs", f.root+"/spool", "tmpfs", 0, c.mount))
				t.Cleanup(func() { syscall.Unmount(f.root+"/spool", syscall.MNT_DETACH) })
				f.makeSpool(t)
				if code, stderr := call(t, f.sendmail(aliceID, "first\n", "-bq", "far@remote.example")); code != 0 {
					t.Fatalf("exit code %d, %q", code, stderr)
				}
				must(t, os.WriteFile(f.root+"/etc/dma.conf", []byte(c.conf), 0o644))
				must(t, os.Chmod(f.root+"/etc/dma.conf", 0o644))
				if c.fill != nil {
					c.fill(t, f.root+"/spool")
				}
				code, stderr := call(t, f.sendmail(uid, c.message, "-bq", "far@remote.example"))
				if code != 75 || !strings.Contains(stderr, c.want) {
					t.Errorf("exit code %d, %q", code, stderr)
				}
				whole, others := submitted(t, f.root+"/spool/incoming")
				if len(whole) != 1 {
					t.Errorf("%d messages in incoming", len(whole))
				}
				for _, err := range others { // root's, which nobody may not remove
					if uid != 0 || !errors.Is(err, spool.ErrAbandoned) {
						t.Errorf("left: %v", err)
					}
				}
			})
		}
	}
}

func fillBlocks(t *testing.T, dir string) {
	t.Helper()
	if err := os.WriteFile(dir+"/fill", make([]byte, 1<<20), 0o600); !errors.Is(err, syscall.ENOSPC) {
		t.Fatal("not full:", err)
	}
}

func fillInodes(t *testing.T, dir string) {
	t.Helper()
	for i := 0; ; i++ {
		err := os.WriteFile(fmt.Sprintf("%s/fill%d", dir, i), nil, 0o600)
		if errors.Is(err, syscall.ENOSPC) {
			return
		}
		must(t, err)
	}
}
