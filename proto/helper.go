package proto

import "strings"

// Log is a line for the log from a helper. The runner writes it, and says whose
// it is: a user's helper is that user (RULES B3).
type Log struct {
	Priority uint8  // of syslog, without facility: 0 to 7
	ID       string // of the message that it is about; may be empty
	Text     string
}

// Type of Log.
func (*Log) Type() Type { return TypeLog }

func (m *Log) walk(w *wire) {
	w.u8(&m.Priority)
	w.str(&m.ID, MaxID)
	w.str(&m.Text, MaxLog)
	if w.err == nil && m.Priority > 7 {
		w.fail("priority %d", m.Priority)
	}
}

// Log has the runner write a line to the log, for a helper. It is a
// maillog.Log's Relay.
func (c *Conn) Log(level uint8, id, text string) error {
	if len(text) > MaxLog {
		text = strings.ToValidUTF8(text[:MaxLog], "")
	}
	return c.Send(0, &Log{Priority: level, ID: id, Text: text}, nil)
}

// Probe asks dma-remote to try its configuration without sending mail: names,
// connection, TLS, login. Answered by any number of Report and one End.
type Probe struct {
	Sender string // whose way out is tried (SENDERMAP); empty for the default
	Domain string // whose MX hosts are tried; empty for the smarthost
}

// Type of Probe.
func (*Probe) Type() Type { return TypeProbe }

func (m *Probe) walk(w *wire) {
	w.str(&m.Sender, MaxAddress)
	w.str(&m.Domain, MaxAddress)
}

// Level says how good a finding is.
type Level uint8

// The levels.
const (
	LevelOK      Level = 1
	LevelWarning Level = 2
	LevelError   Level = 3
)

func (l Level) String() string {
	switch l {
	case LevelOK:
		return "ok"
	case LevelWarning:
		return "warning"
	case LevelError:
		return "error"
	}
	return "invalid"
}

// Report is one finding of a Probe.
type Report struct {
	Level Level
	About string // what was looked at, in a word or two
	Found string // what was found
	Do    string // what to do about it; empty if it is good
}

// Type of Report.
func (*Report) Type() Type { return TypeReport }

func (m *Report) walk(w *wire) {
	w.enum((*uint8)(&m.Level), uint8(LevelError))
	w.str(&m.About, MaxText)
	w.str(&m.Found, MaxText)
	w.str(&m.Do, MaxText)
}
