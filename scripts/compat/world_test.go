//go:build system

package compat

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"dma/scripts/machine"
)

// Accounts. Each case has one of its own to submit as: its uid stands in the
// Received field of all that comes of it. Its login is u and the number of the
// case; another login, t and that number, has the same uid.
const (
	firstUser = 5001  // of users
	firstCase = 20000 // of the accounts of cases
)

var users = []string{"alice", "bob", "carol"}

// install puts one mailer onto the copy of the machine.
func install(mailer string) error {
	files := map[string]string{
		"/etc/hostname":      machine.Hostname + "\n",
		"/etc/hosts":         "127.0.0.1 localhost\n127.0.1.1 " + machine.Hostname + " client\n",
		"/etc/resolv.conf":   "nameserver 127.0.0.1\noptions timeout:1 attempts:1\n",
		"/etc/nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\n",
	}
	var passwd strings.Builder
	for i, u := range users {
		fmt.Fprintf(&passwd, "%s:x:%d:100::/home/%s:/bin/sh\n", u, firstUser+i, u)
	}
	for i := range allCases() {
		// The gecos field is empty, and there is no home to look for a .forward in.
		fmt.Fprintf(&passwd, "u%03d:x:%d:100::/nonexistent:/bin/sh\nt%03d:x:%d:100::/nonexistent:/bin/sh\n", i, firstCase+i, i, firstCase+i)
	}
	old, err := os.ReadFile("/etc/passwd")
	if err != nil {
		return err
	}
	files["/etc/passwd"] = string(old) + passwd.String()
	for path, text := range files {
		_ = os.Remove(path) // may be a link
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			return err
		}
	}
	for i, u := range users {
		if err := os.MkdirAll("/home/"+u, 0o755); err != nil {
			return err
		}
		if err := os.Chown("/home/"+u, firstUser+i, 100); err != nil {
			return err
		}
	}
	others, err := filepath.Glob("/usr/*/sendmail")
	if err != nil {
		return err
	}
	for _, path := range append(others, "/usr/bin/mailq", "/usr/bin/newaliases") {
		_ = os.Remove(path) // another mailer's
	}
	// A name that neither installs, but some have.
	if err := os.Symlink("sendmail", "/usr/sbin/send-mail"); err != nil {
		return err
	}
	if err := machine.Unpack(os.Getenv(buildVariable), packages[mailer]); err != nil {
		return err
	}
	if mailer == debian {
		return os.MkdirAll("/etc/dma", 0o755) // the rest of its postinst asks and answers
	}
	if err := do("make", "-s", "-C", machine.Repository(), "install", "BUILD="+os.Getenv(buildVariable)); err != nil {
		return err
	}
	return installMonitor()
}
