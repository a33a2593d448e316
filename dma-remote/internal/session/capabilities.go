package session

import (
	"strconv"
	"strings"
)

// capabilities are what an EHLO reply offers. The zero value, nothing, is also
// what HELO means.
type capabilities struct {
	startTLS   bool
	pipelining bool
	eightBit   bool     // 8BITMIME
	utf8       bool     // SMTPUTF8
	dsn        bool     // DSN
	chunking   bool     // CHUNKING
	size       bool     // SIZE is offered
	maxSize    int64    // its value, 0 for no limit
	auth       []string // mechanisms, as they came
}

// parseCapabilities takes the lines of a reply to EHLO; the first is a greeting
// (RFC 5321 4.1.1.1). What it does not know, or cannot read, it ignores.
func parseCapabilities(lines []string) capabilities {
	var c capabilities
	for _, line := range lines[min(1, len(lines)):] {
		// Before RFC 2554 there was "AUTH=LOGIN"; servers give both forms for old clients.
		if len(line) > 5 && strings.EqualFold(line[:5], "AUTH=") {
			line = "AUTH " + line[5:]
		}
		words := strings.Fields(line)
		if len(words) == 0 {
			continue
		}
		switch strings.ToUpper(words[0]) {
		case "STARTTLS":
			c.startTLS = true
		case "PIPELINING":
			c.pipelining = true
		case "8BITMIME":
			c.eightBit = true
		case "SMTPUTF8":
			c.utf8 = true
		case "CHUNKING":
			c.chunking = true
		case "DSN":
			c.dsn = true
		case "SIZE":
			c.size = true
			if len(words) > 1 {
				if n, err := strconv.ParseInt(words[1], 10, 64); err == nil && n > 0 {
					c.maxSize = n
				}
			}
		case "AUTH":
			c.auth = append(c.auth, words[1:]...)
		}
	}
	return c
}
