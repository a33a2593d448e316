package letter

import (
	"bytes"
	"io"
)

var from = []byte("From ")

// A quoter writes mboxrd (RULES D4): each line that is any number of '>' and
// then "From " gets one '>' more, so that taking one away gives the bytes back.
// It writes the new '>' behind the others, where nobody can tell the
// difference, and so needs to hold back five bytes at most, however long the line.
type quoter struct {
	w       io.Writer
	inside  bool // past the point of a line where it could be a From line
	matched int  // bytes of from that were seen and held back
	open    bool // the last line written has no end yet
}

func (q *quoter) Write(p []byte) (int, error) {
	for rest := p; len(rest) > 0; {
		var out []byte // what to write
		n := 0         // how much of rest that takes
		switch {
		case q.inside:
			n = bytes.IndexByte(rest, '\n') + 1
			q.inside = n == 0
			if q.inside {
				n = len(rest)
			}
			out = rest[:n]
		case rest[0] == '>' && q.matched == 0:
			n = len(rest) - len(bytes.TrimLeft(rest, ">"))
			out = rest[:n]
		case rest[0] == from[q.matched]:
			n = 1
			out = nil
			if q.matched++; q.matched == len(from) {
				out = []byte(">From ")
				q.inside, q.matched = true, 0
			}
		default:
			out = from[:q.matched]
			q.inside, q.matched = true, 0
		}
		if len(out) > 0 {
			if _, err := q.w.Write(out); err != nil {
				return len(p) - len(rest), err
			}
			q.open = out[len(out)-1] != '\n'
		}
		rest = rest[n:]
	}
	return len(p), nil
}

// finish writes what was held back, the end of the last line if the text has
// none, and the blank line behind the message.
func (q *quoter) finish() error {
	end := "\n"
	if q.open || q.matched > 0 {
		end = "\n\n"
	}
	_, err := q.w.Write(append(bytes.Clone(from[:q.matched]), end...))
	return err
}
