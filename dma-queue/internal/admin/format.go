package admin

import (
	"fmt"
	"io"
	"strings"
	"time"
	"unicode/utf8"

	"dma/common/outcome"
	"dma/proto"
)

// Names of formats besides dma's own.
const (
	formatPostfix  = "postfix"
	formatSendmail = "sendmail"
	formatJSON     = "json"
)

// format prints a listing, a message at a time, however long the queue is.
type format interface {
	begin()
	item(m *proto.Item, states []proto.State)
	end()
}

func (s *session) format() format {
	switch s.o.Format {
	case formatPostfix:
		return &postfix{w: s.w}
	case formatSendmail:
		return &sendmail{w: s.w}
	case formatJSON:
		return &jsonFormat{w: s.w}
	}
	return &dma{w: s.w, verbose: s.o.Verbose || s.o.Command == "show", now: time.Now()}
}

// dma prints as dma(8) does, which others parse: one entry for each recipient of a
// message, "--" between entries. With verbose, each has more lines, which nobody
// should count on: programs have JSON.
type dma struct {
	w       io.Writer
	verbose bool
	now     time.Time
	entries int
}

func (f *dma) begin() {}

func (f *dma) end() {
	if f.entries == 0 {
		fmt.Fprintln(f.w, "Mail queue is empty")
	}
}

func (f *dma) item(m *proto.Item, states []proto.State) {
	if len(states) == 0 { // a dead letter that cannot be read
		states = []proto.State{{}}
	}
	for i := range states {
		f.entry(m, &states[i])
	}
}

func (f *dma) entry(m *proto.Item, s *proto.State) {
	if f.entries++; f.entries > 1 {
		fmt.Fprintln(f.w, "--")
	}
	mark := ""
	switch {
	case m.Dead:
		mark = "!"
	case m.Active:
		mark = "*"
	}
	f.line("ID", m.ID+mark)
	f.line("From", m.Sender)
	f.line("To", s.Recipient)
	if !f.verbose {
		return
	}
	if s.Original != s.Recipient {
		f.line("For", s.Original)
	}
	f.line("Arrived", fmt.Sprintf("%s, %s ago", utc(m.Arrived), age(f.now.Unix()-m.Arrived)))
	f.line("Size", fmt.Sprintf("%d bytes from uid %d", m.Size, m.UID))
	if !m.Dead {
		f.line("Tries", fmt.Sprint(s.Tries))
	}
	f.line("Next", next(m, s, f.now))
	if s.Reason != "" {
		f.line("Reason", s.Reason)
	}
}

// next says when a recipient is tried next.
func next(m *proto.Item, s *proto.State, now time.Time) string {
	switch {
	case m.Dead:
		return "never: dead letter"
	case m.Held:
		return "when it is released: held"
	case m.Active && s.Next <= now.Unix():
		return "now"
	case s.Next == 0:
		return "as soon as there is room"
	case s.Next <= now.Unix():
		return "is due"
	}
	return fmt.Sprintf("%s, in %s", utc(s.Next), age(s.Next-now.Unix()))
}

// line prints one line. Addresses and reasons are foreign, and this is a terminal.
func (f *dma) line(name, value string) {
	fmt.Fprintf(f.w, "%s\t: %s\n", name, outcome.Clean(value))
}

// utc formats a time in the one zone that needs no file (RULES A1).
func utc(seconds int64) string { return time.Unix(seconds, 0).UTC().Format("2006-01-02 15:04:05 UTC") }

// age is how long seconds are, in the unit that people would use.
func age(seconds int64) string {
	for _, u := range []struct {
		seconds int64
		name    string
	}{{24 * 60 * 60, "d"}, {60 * 60, "h"}, {60, "min"}} {
		if seconds >= 2*u.seconds {
			return fmt.Sprint(seconds/u.seconds, " ", u.name)
		}
	}
	return fmt.Sprint(max(seconds, 0), " s")
}

// postfix prints as Postfix's mailq does.
type postfix struct {
	w        io.Writer
	messages int
	bytes    int64
}

func (f *postfix) begin() {}

func (f *postfix) item(m *proto.Item, states []proto.State) {
	if f.messages++; f.messages == 1 {
		fmt.Fprintln(f.w, "-Queue ID-               --Size-- ----Arrival Time---- -Sender/Recipient-------")
	} else {
		fmt.Fprintln(f.w)
	}
	f.bytes += m.Size
	mark := " "
	switch {
	case m.Held, m.Dead:
		mark = "!"
	case m.Active:
		mark = "*"
	}
	fmt.Fprintf(f.w, "%-23s %9d %s  %s\n", m.ID+mark, m.Size, time.Unix(m.Arrived, 0).UTC().Format("Mon Jan _2 15:04:05"), sender(m))
	for _, s := range states {
		if s.Reason != "" {
			fmt.Fprintf(f.w, "%80s\n", "("+outcome.Clean(s.Reason)+")")
		}
		fmt.Fprintf(f.w, "%55s%s\n", "", outcome.Clean(s.Recipient))
	}
}

func (f *postfix) end() {
	if f.messages == 0 {
		fmt.Fprintln(f.w, "Mail queue is empty")
		return
	}
	requests := "Requests"
	if f.messages == 1 {
		requests = "Request"
	}
	fmt.Fprintf(f.w, "\n-- %d Kbytes in %d %s.\n", (f.bytes+1023)/1024, f.messages, requests)
}

// sender is the sender for a format that has no way to show none.
func sender(m *proto.Item) string {
	if m.Sender == "" {
		return "MAILER-DAEMON"
	}
	return outcome.Clean(m.Sender)
}

// sendmail prints as sendmail's mailq does with several queues: the number of
// messages comes last, when it is known.
type sendmail struct {
	w        io.Writer
	messages int
}

func (f *sendmail) begin() {}

func (f *sendmail) item(m *proto.Item, states []proto.State) {
	if f.messages++; f.messages == 1 {
		fmt.Fprintln(f.w, "---------Q-ID---------- --Size-- -----Q-Time----- ------------Sender/Recipient-----------")
	}
	mark := " "
	if m.Active {
		mark = "*"
	}
	fmt.Fprintf(f.w, "%-23s %8d %s <%s>\n", m.ID+mark, m.Size, time.Unix(m.Arrived, 0).UTC().Format("Mon Jan _2 15:04"), outcome.Clean(m.Sender))
	for _, s := range states {
		if s.Reason != "" {
			fmt.Fprintf(f.w, "%17s(Deferred: %s)\n", "", outcome.Clean(s.Reason))
		}
		fmt.Fprintf(f.w, "%50s<%s>\n", "", outcome.Clean(s.Recipient))
	}
}

func (f *sendmail) end() {
	if f.messages == 0 {
		fmt.Fprintln(f.w, "mqueue is empty")
	}
	fmt.Fprintf(f.w, "\t\tTotal requests: %d\n", f.messages)
}

// jsonFormat prints an array with an object for each message, a line each. Times are
// seconds since 1970. Keys are added, never changed.
type jsonFormat struct {
	w        io.Writer
	messages int
}

func (f *jsonFormat) begin() { fmt.Fprint(f.w, "[") }

func (f *jsonFormat) item(m *proto.Item, states []proto.State) {
	if f.messages++; f.messages > 1 {
		fmt.Fprint(f.w, ",")
	}
	fmt.Fprintf(f.w, "\n"+`{"id":%s,"sender":%s,"uid":%d,"arrived":%d,"size":%d,"state":"%s","recipients":[`,
		quote(m.ID), quote(m.Sender), m.UID, m.Arrived, m.Size, state(m))
	for i, s := range states {
		if i > 0 {
			fmt.Fprint(f.w, ",")
		}
		fmt.Fprintf(f.w, `{"recipient":%s,"original":%s,"tries":%d,"next":%d,"reason":%s}`,
			quote(s.Recipient), quote(s.Original), s.Tries, s.Next, quote(s.Reason))
	}
	fmt.Fprint(f.w, "]}")
}

func (f *jsonFormat) end() { fmt.Fprint(f.w, "\n]\n") }

func state(m *proto.Item) string {
	switch {
	case m.Dead:
		return "dead"
	case m.Held:
		return "held"
	case m.Active:
		return "active"
	}
	return "queued"
}

// quote writes a JSON string (RFC 8259 7). Package encoding/json would be most of
// this program.
func quote(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range s { // what is no UTF-8 comes out as U+FFFD
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r < ' ' || r == 0x7f || r == utf8.RuneError:
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			b.WriteRune(r)
		}
	}
	b.WriteByte('"')
	return b.String()
}
