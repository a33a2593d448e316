//go:build system

package system

import (
	"bytes"
	"fmt"
	"net/mail"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// message is one that arrived, without what the mailbox or SMTP puts around it.
type message struct {
	at     string // a login, or the recipients of a transaction at the smarthost
	sender string // of the envelope
	header []string
	body   string
}

// arrivals tells what has come since it was asked last.
type arrivals struct {
	w     *world
	boxes map[string]int // bytes of each mailbox that were read
	taken int            // transactions of the smarthost that were read
}

func newArrivals(w *world) *arrivals {
	a := &arrivals{w: w, boxes: make(map[string]int)}
	a.next()
	return a
}

// count is how many next would return, if no mailbox is being written to.
func (a *arrivals) count() int {
	n := len(a.w.taken()) - a.taken
	for _, path := range mailboxes() {
		box := a.w.read(path)
		n += strings.Count("\n"+box[a.boxes[path]:], "\nFrom ")
	}
	return n
}

func mailboxes() []string {
	paths, _ := filepath.Glob("/var/mail/*")
	return slices.DeleteFunc(paths, func(p string) bool { return strings.HasSuffix(p, ".lock") })
}

func (a *arrivals) next() (list []message) {
	a.w.t.Helper()
	for _, path := range mailboxes() {
		box := a.w.read(path)
		list = append(list, a.mbox(filepath.Base(path), box[a.boxes[path]:])...)
		a.boxes[path] = len(box)
	}
	taken := a.w.taken()
	for _, e := range taken[a.taken:] {
		raw, err := os.ReadFile(a.w.sink + "/" + e.File)
		if err != nil {
			a.w.t.Fatal(err)
		}
		if bytes.Contains(bytes.ReplaceAll(raw, []byte("\r\n"), nil), []byte("\r")) || bytes.Count(raw, []byte("\r\n")) != bytes.Count(raw, []byte("\n")) {
			a.w.t.Errorf("%s has a bare CR or LF", e.File)
		}
		m := split(strings.ReplaceAll(string(raw), "\r\n", "\n"))
		m.at, m.sender = strings.Join(e.Recipients, " "), e.Sender
		list = append(list, m)
	}
	a.taken = len(taken)
	return list
}

var quotedFrom = regexp.MustCompile(`(?m)^>(>*From )`)

// mbox takes a mailbox apart (RULES D3, D4).
func (a *arrivals) mbox(login, box string) (list []message) {
	a.w.t.Helper()
	for rest := "\n" + box; len(rest) > 1; {
		text, after, _ := strings.Cut(rest[1:], "\n\nFrom ")
		if rest = ""; after != "" {
			rest = "\nFrom " + after
		} else {
			text = strings.TrimSuffix(text, "\n\n")
		}
		m := split(quotedFrom.ReplaceAllString(text, "$1") + "\n")
		fields := []string{"From ", "Return-Path: <", "Delivered-To: " + login + "@client.example.net"}
		for i, f := range fields {
			if len(m.header) <= i || !strings.HasPrefix(m.header[i], f) {
				a.w.t.Errorf("mailbox of %s: no %q in line %d of\n%s", login, f, i+1, text)
				return list
			}
		}
		m.at, m.sender = login, strings.TrimSuffix(strings.TrimPrefix(m.header[1], "Return-Path: <"), ">")
		m.header = m.header[len(fields):]
		list = append(list, m)
	}
	return list
}

// split separates header fields, unfolded, and body.
func split(text string) (m message) {
	head, body, _ := strings.Cut(text, "\n\n")
	m.body = strings.TrimSuffix(body, "\n") + "\n"
	if body == "" {
		m.body = ""
	}
	for line := range strings.Lines(head) {
		line = strings.TrimSuffix(line, "\n")
		if n := len(m.header); n > 0 && (line[:1] == " " || line[:1] == "\t") {
			m.header[n-1] += "\n" + line
		} else {
			m.header = append(m.header, line)
		}
	}
	return m
}

// check looks at what every message must have, whoever it is from (RULES A8, F2).
func (m *message) check(t *testing.T, by string) {
	t.Helper()
	count := make(map[string]int)
	parsed := make(mail.Header)
	for _, field := range m.header {
		name, value, _ := strings.Cut(field, ":")
		name = strings.ToLower(name)
		count[name]++
		parsed[name] = append(parsed[name], strings.TrimSpace(strings.ReplaceAll(value, "\n", "")))
	}
	for _, name := range []string{"from", "date", "message-id", "received"} {
		if n := count[name]; n == 0 || n > 1 && name != "received" { // a forwarded message has more of these
			t.Errorf("to %s: %d fields %q", m.at, count[name], name)
			return
		}
	}
	for _, name := range []string{"bcc", "return-path", "x-original-from"} {
		if count[name] != 0 {
			t.Errorf("to %s: a field %q", m.at, name)
		}
	}
	if _, err := mail.ParseDate(parsed["date"][0]); err != nil {
		t.Errorf("to %s: date: %v", m.at, err)
	}
	for _, name := range []string{"from", "to", "cc", "sender", "reply-to"} {
		for _, value := range parsed[name] {
			list, err := mail.ParseAddressList(value)
			if err != nil {
				t.Errorf("to %s: %s: %s: %v", m.at, name, value, err)
			}
			for _, a := range list { // relays want a domain
				if !strings.Contains(a.Address, "@") {
					t.Errorf("to %s: %s: %s is not qualified", m.at, name, a.Address)
				}
			}
		}
	}
	if id := parsed["message-id"][0]; !strings.HasPrefix(id, "<") || !strings.HasSuffix(id, ">") || strings.Count(id, "@") != 1 {
		t.Errorf("to %s: Message-ID %q", m.at, id)
	}
	uid, _ := ids(t, by)
	received := fmt.Sprintf("from %s (uid %d)\t(envelope-from %s)\tid ", by, uid, m.sender)
	if m.sender == "" {
		received = "from "
	}
	if got := parsed["received"][0]; !strings.HasPrefix(got, received) {
		t.Errorf("to %s: %q, want %q", m.at, got, received)
	}
}
