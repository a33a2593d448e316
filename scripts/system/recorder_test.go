//go:build system

package system

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// What stands between a client and the suite while a call is written down: this
// test program under another name. It adds a line to callsFile and becomes the
// program that sendmail is a link to, with all that it was given.
const (
	recorderPath = "/usr/libexec/dma-recorder"
	callsFile    = "/run/calls.jsonl"
	frontEnd     = "/usr/sbin/dma-queue"
)

// call is how a client called sendmail.
type call struct {
	UID  int
	Args []string
}

func (c call) String() string {
	who := strconv.Itoa(c.UID)
	if u, err := user.LookupId(who); err == nil {
		who = u.Username
	}
	words := []string{filepath.Base(c.Args[0])}
	for _, a := range c.Args[1:] {
		if a == "" || strings.ContainsAny(a, " <>'") {
			a = "'" + a + "'"
		}
		words = append(words, a)
	}
	return who + " `" + strings.Join(words, " ") + "`"
}

func isRecorder() bool {
	self, err := os.Readlink("/proc/self/exe")
	return err == nil && self == recorderPath
}

// record does not return.
func record() {
	line, err := json.Marshal(call{os.Getuid(), os.Args})
	if err == nil {
		var f *os.File
		if f, err = os.OpenFile(callsFile, os.O_WRONLY|os.O_APPEND, 0); err == nil {
			_, err = f.Write(append(line, '\n'))
		}
	}
	if err == nil {
		err = syscall.Exec(frontEnd, os.Args, os.Environ())
	}
	fmt.Fprintln(os.Stderr, "recorder:", err)
	os.Exit(70)
}

// recordCalls puts the recorder in the place of sendmail for one test.
func recordCalls(t *testing.T) {
	t.Helper()
	in, err := os.Open("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	out, err := os.OpenFile(recorderPath, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o755)
	if err != nil {
		t.Fatal(err)
	}
	if _, err = io.Copy(out, in); err == nil {
		err = out.Close()
	}
	if err == nil {
		err = os.WriteFile(callsFile, nil, 0o666)
	}
	if err == nil {
		err = os.Chmod(callsFile, 0o666)
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"/usr/sbin/sendmail", "/usr/lib/sendmail"} {
		if to, err := os.Readlink(name); err != nil || to != frontEnd {
			t.Fatalf("%s is a link to %q: %v", name, to, err)
		}
		relink(t, name, recorderPath)
		t.Cleanup(func() { relink(t, name, frontEnd) })
	}
}

func relink(t *testing.T, name, to string) {
	t.Helper()
	if out, err := exec.Command("ln", "-sfn", to, name).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
}

// calls are those written down until now. Those made at the same time come in any
// order, so they are sorted.
func (w *world) calls() (list []call) {
	w.t.Helper()
	for line := range strings.Lines(w.read(callsFile)) {
		var c call
		if err := json.Unmarshal([]byte(line), &c); err != nil {
			w.t.Fatalf("%s: %v", line, err)
		}
		list = append(list, c)
	}
	return list
}

func sortedCalls(list []call) (texts []string) {
	for _, c := range list {
		texts = append(texts, c.String())
	}
	slices.Sort(texts)
	return texts
}
