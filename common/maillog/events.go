package maillog

import (
	"cmp"
	"fmt"
	"strconv"
	"time"

	"dma/common/outcome"
)

// Entry logs the events of one message, under its id.
type Entry struct {
	log *Log
	id  string
	tag string // in the place of the log's; empty: that
}

// Message gives the events of the message id.
func (l *Log) Message(id string) Entry { return Entry{log: l, id: id} }

// Tagged gives the same events under another tag, which the submitter chose; an
// empty one is none.
func (e Entry) Tagged(tag string) Entry {
	e.tag = word(tag)
	return e
}

// Problem logs an operation that failed and concerns no one message.
func (l *Log) Problem(operation string, err error) { Entry{log: l}.Problem(operation, err) }

// ConfigWarning logs trouble with a configuration file; text names file and line.
func (l *Log) ConfigWarning(text string) { l.write(warning, "", outcome.Clean(text)) }

// Confined tells what the sandbox of a process forbids it.
func (l *Log) Confined(program, limits string) {
	Entry{log: l}.write(debug, "%s confined: %s", outcome.Clean(program), outcome.Clean(limits))
}

// SetAside logs that a spool file is damaged and was moved to failed.
func (l *Log) SetAside(id, reason string) {
	l.write(warning, id, "set aside in failed: "+outcome.Clean(reason))
}

// NewMail logs that a message was accepted.
func (e Entry) NewMail(user string, uid uint32, from string) {
	e.write(info, "new mail from user=%s uid=%d envelope_from=<%s>", word(user), uid, address(from))
}

// Queued logs that the message for one recipient has the id it is known by from now on.
func (e Entry) Queued(rcpt, id string) {
	e.write(info, "mail to=<%s> queued as %s", address(rcpt), word(id))
}

// Trying logs the beginning of a try.
func (e Entry) Trying(rcpt string) { e.write(info, "<%s> trying delivery", address(rcpt)) }

// UsingSmarthost logs which smarthost a try goes to.
func (e Entry) UsingSmarthost(host string, port int) {
	e.write(info, "using smarthost (%s:%d)", word(host), port)
}

// TryingRemote logs a connection to one address of one host.
func (e Entry) TryingRemote(host, ip string, pref int) {
	e.write(info, "trying remote delivery to %s [%s] pref %d", word(host), word(ip), pref)
}

// UsingAuth logs whose credentials are used.
func (e Entry) UsingAuth(user string) {
	e.write(info, "using SMTP authentication for user %s", word(user))
}

// Delivered logs a success; detail is what the other side said, or empty.
func (e Entry) Delivered(rcpt, detail string) {
	e.write(info, "<%s> delivery successful%s", address(rcpt), field(" detail=", detail))
}

// RemoteDeferred logs that a server was not to be had or asked for patience.
func (e Entry) RemoteDeferred(host, ip, stage, reply string) {
	e.write(notice, "remote delivery deferred: %s [%s] failed after %s: %s", word(host), word(ip), outcome.Clean(stage), outcome.Clean(reply))
}

// RemoteFailed logs a server's refusal of this mail.
func (e Entry) RemoteFailed(host, ip, stage, reply string) {
	e.write(notice, "remote delivery to %s [%s] failed after %s: %s", word(host), word(ip), outcome.Clean(stage), outcome.Clean(reply))
}

// LocalDeferred logs that a target on this host is tried again later.
func (e Entry) LocalDeferred(rcpt, reason string) {
	e.write(notice, "local delivery deferred: <%s>: %s", address(rcpt), outcome.Clean(reason))
}

// Deferred logs when a recipient is tried again, and why.
func (e Entry) Deferred(rcpt, reason string, next time.Time) {
	e.write(notice, "<%s> delivery deferred next=%s reason=%s", address(rcpt), next.UTC().Format(time.RFC3339), quoted(reason))
}

// Failed logs that a recipient is given up.
func (e Entry) Failed(rcpt, reason string) {
	e.write(notice, "<%s> delivery failed reason=%s", address(rcpt), quoted(reason))
}

// Bouncing logs the bounce that goes back for a recipient.
func (e Entry) Bouncing(rcpt, bounceID string) {
	e.write(notice, "delivery failed, bouncing as %s to=<%s>", word(bounceID), address(rcpt))
}

// Reporting logs the report that goes back for a recipient that is late or done.
func (e Entry) Reporting(rcpt, reportID string) {
	e.write(info, "reporting as %s to=<%s>", word(reportID), address(rcpt))
}

// Problem logs an operation on this message that failed.
func (e Entry) Problem(operation string, err error) {
	e.write(warning, "%s: %s", outcome.Clean(operation), outcome.Clean(fmt.Sprint(err)))
}

func (e Entry) write(p priority, format string, args ...any) {
	e.log.writeAs(cmp.Or(e.tag, e.log.tag), p, e.id, fmt.Sprintf(format, args...))
}

// address cleans what stands between < and >, and keeps it from ending there.
func address(s string) string { return replace(outcome.Clean(s), "<>") }

// word cleans what ends at the next blank or bracket.
func word(s string) string { return replace(outcome.Clean(s), " <>[]()=\"") }

func field(name, value string) string {
	if value == "" {
		return ""
	}
	return name + quoted(value)
}

func quoted(s string) string { return strconv.Quote(outcome.Clean(s)) }

// replace puts a question mark in the place of each byte that is in set.
func replace(s, set string) string {
	b := []byte(s)
	for i, c := range b {
		for j := range len(set) {
			if c == set[j] {
				b[i] = '?'
			}
		}
	}
	return string(b)
}
