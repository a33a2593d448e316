package main

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"dma/common/aliases"
	"dma/common/mailaddr"
	"dma/common/maillog"
)

// A mistake in the alias file reaches the log when mail needs the line, once.
func TestAliasWarnings(t *testing.T) {
	var out bytes.Buffer
	log := maillog.Open(t.TempDir()+"/none", "dma", &out, time.Now)
	defer log.Close()
	warn := newConfiguration(log).warner()
	table := aliases.Parse([]byte("a: b\nc: d, e f\n"), "/etc/aliases")
	table.Warn = warn
	for range 3 {
		for _, name := range []string{"a", "c", "x"} {
			table.Find(mailaddr.Addr{Local: name}, "host.example", true)
		}
	}
	if s := out.String(); strings.Count(s, "\n") != 1 || !strings.Contains(s, `/etc/aliases:2: target "e f" of "c" ignored`) {
		t.Errorf("log: %q", s)
	}
	for i := range 2 * maxWarned {
		warn(aliases.Warning{File: "F", Line: i})
	}
	if n := strings.Count(out.String(), "\n"); n != maxWarned {
		t.Errorf("%d lines", n)
	}
}

func TestListReader(t *testing.T) {
	path := t.TempDir() + "/list"
	must(t, os.WriteFile(path, []byte("a@b.example\nc d\n"), 0o644))
	var warned []string
	members, err := listReader(func(w aliases.Warning) { warned = append(warned, w.String()) })(path)
	if os.Geteuid() != 0 { // the list has to be root's
		if err == nil || !strings.Contains(err.Error(), "chown root") {
			t.Error(err)
		}
		return
	}
	if err != nil || len(members) != 1 || fmt.Sprint(members[0].Addr) != "a@b.example" || len(warned) != 1 || !strings.HasPrefix(warned[0], path+":2: ") {
		t.Errorf("%v, %v, %q", members, err, warned)
	}
}
