package main

import (
	"bytes"
	"os"
	"strings"
	"testing"
	"time"

	"dma/common/maillog"
)

// The file of VIRTPATH is read again when it has changed; what cannot be read
// leaves what was known in force, and one line in the log.
func TestVirtualUsers(t *testing.T) {
	var out bytes.Buffer
	log := maillog.Open(t.TempDir()+"/none", "dma", &out, time.Now)
	defer log.Close()
	c := newConfiguration(log)
	one, two := t.TempDir()+"/one", t.TempDir()+"/two"
	expect := func(path, want string) {
		t.Helper()
		for range 2 {
			got := ""
			if a, ok := c.virtualUsers(path).Lookup("joe"); ok {
				got = a.String()
			}
			if got != want {
				t.Errorf("joe is %q, want %q", got, want)
			}
		}
	}
	expect(one, "")
	must(t, os.WriteFile(one, []byte("joe: j@one.example\n"), 0o644))
	must(t, os.WriteFile(two, []byte("joe: j@two.example\nbad\n"), 0o644))
	expect(one, "j@one.example")
	expect(two, "j@two.example")
	expect(one, "j@one.example")
	must(t, os.WriteFile(one, []byte("joe: joseph@one.example\n"), 0o644))
	expect(one, "joseph@one.example")
	must(t, os.Remove(one))
	expect(one, "joseph@one.example")
	for text, n := range map[string]int{"read VIRTPATH: ": 2, two + ":2: ": 1} {
		if got := strings.Count(out.String(), text); got != n {
			t.Errorf("%d times %q in %q", got, text, out.String())
		}
	}
}
