package proto

import "strings"

// Log has the runner write a line to the log, for a helper. It is a
// maillog.Log's Relay.
func (c *Conn) Log(level uint8, id, text string) error {
	if len(text) > MaxLog {
		text = strings.ToValidUTF8(text[:MaxLog], "")
	}
	return c.Send(0, &Log{Priority: level, ID: id, Text: text}, nil)
}
