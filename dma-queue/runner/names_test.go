package main

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"dma/common/maillog"
	"dma/common/site"
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

// A submitter is looked up again when the password file has changed.
func TestAccounts(t *testing.T) {
	path := t.TempDir() + "/passwd"
	defer func(was string) { site.Passwd = was }(site.Passwd)
	site.Passwd = path
	log := maillog.Open(t.TempDir()+"/none", "dma", nil, time.Now)
	defer log.Close()
	c := newConfiguration(log)
	for _, login := range []string{"", "joe", "jimmy", ""} {
		must(t, os.WriteFile(path, []byte("root:x:0:0::/:/bin/sh\n"), 0o644))
		if login != "" {
			must(t, os.WriteFile(path, []byte(login+":x:1234:100::/:/bin/sh\n"), 0o644))
		}
		for range 2 {
			a, err := c.names().Account(1234)
			if a.Login != login || (err == nil) != (login != "") {
				t.Errorf("account %+v, %v, want %q", a, err, login)
			}
		}
	}
	var many []byte
	for uid := range 2 * maxAccounts {
		many = fmt.Appendf(many, "x:x:%d:100::/:/bin/sh\n", uid)
	}
	must(t, os.WriteFile(path, many, 0o644))
	for uid := range uint32(2 * maxAccounts) {
		if a, err := c.names().Account(uid); err != nil || a.UID != uid {
			t.Fatal(a, err)
		}
		if len(c.accounts) > maxAccounts {
			t.Fatalf("%d accounts remembered", len(c.accounts))
		}
	}
}
