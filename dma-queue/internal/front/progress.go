package front

import (
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/sys/unix"

	"dma/common/outcome"
	"dma/proto"
)

// maxLive is how many recipients are shown at a time while they are being tried.
const maxLive = 10

// Progress shows what becomes of each recipient: a line for each event, or, on a
// terminal, a line for each recipient, which is written anew until its end is
// known. A nil Progress shows nothing.
type Progress struct {
	out   io.Writer
	width int // columns of the terminal; 0: not a terminal
	now   func() time.Time

	live  []liveTry // being tried, the oldest first
	drawn int       // lines of live on the terminal
	err   error     // of writing
}

// liveTry is a recipient that is being tried.
type liveTry struct {
	recipient string
	begun     time.Time
}

// NewProgress shows progress on out, which is a terminal of width columns if that
// is not 0.
func NewProgress(out io.Writer, width int, now func() time.Time) *Progress {
	return &Progress{out: out, width: width, now: now}
}

// TerminalWidth is the number of columns of the terminal that f is, 0 if it is none.
func TerminalWidth(f *os.File) int {
	size, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ)
	switch {
	case err != nil:
		return 0
	case size.Col == 0:
		return defaultWidth
	}
	return int(size.Col)
}

// defaultWidth is for terminals that do not know, such as serial lines.
const defaultWidth = 80

// Event shows an event.
func (p *Progress) Event(e *proto.Event) {
	if p == nil {
		return
	}
	if e.Step == proto.StepTrying {
		p.forget(e.Recipient)
		p.live = append(p.live, liveTry{e.Recipient, p.now()})
		if p.width == 0 {
			p.print(describe(e) + "\n")
		}
		p.Redraw()
		return
	}
	if e.Step != proto.StepForwarded {
		p.forget(e.Recipient)
	}
	p.erase()
	p.print(describe(e) + "\n")
	p.Redraw()
}

func (p *Progress) forget(recipient string) {
	p.live = slices.DeleteFunc(p.live, func(a liveTry) bool { return a.recipient == recipient })
}

// describe makes a line of an event. Its text is foreign, and this is a terminal.
func describe(e *proto.Event) string {
	what := map[proto.Step]string{
		proto.StepForwarded: "goes on to", proto.StepTrying: "trying",
		proto.StepDone: "delivered", proto.StepLater: "deferred, tried again later", proto.StepFailed: "failed",
	}[e.Step]
	line := outcome.Clean(e.Recipient) + ": "
	text, remote := outcome.Clean(e.Text), outcome.Clean(e.Remote)
	switch {
	case text == "":
		line += what
	case e.Step == proto.StepForwarded:
		line += what + " " + text
	case strings.HasPrefix(text, what): // "delivered to mailbox"
		line += text
	default:
		line += what + ": " + text
	}
	if remote != "" && !strings.Contains(text, remote) {
		line += " (" + remote + ")"
	}
	return line
}

// Redraw brings the lines of those that are being tried up to date.
func (p *Progress) Redraw() {
	if p == nil || p.width == 0 {
		return
	}
	p.erase()
	var b strings.Builder
	for i, a := range p.live {
		line := fmt.Sprintf("%s: trying, %d s", outcome.Clean(a.recipient), int(p.now().Sub(a.begun).Seconds()))
		if i == maxLive {
			line = fmt.Sprintf("and %d more", len(p.live)-i)
		}
		b.WriteString(cut(line, p.width-1) + "\n")
		p.drawn++
		if i == maxLive {
			break
		}
	}
	p.print(b.String())
}

// erase takes the lines of live off the terminal.
func (p *Progress) erase() {
	if p.drawn > 0 {
		p.print(fmt.Sprintf("\x1b[%dA\r\x1b[J", p.drawn)) // ECMA-48: cursor up, erase what is below
		p.drawn = 0
	}
}

// End leaves the terminal to whoever comes next.
func (p *Progress) End() {
	if p != nil {
		p.erase()
	}
}

// Broken reports whether there is nobody to show anything to any more.
func (p *Progress) Broken() bool { return p != nil && p.err != nil }

func (p *Progress) print(text string) {
	if p.err == nil && text != "" {
		_, p.err = io.WriteString(p.out, text)
	}
}

// cut shortens a line that would not fit. Characters are taken to be one column wide.
func cut(line string, columns int) string {
	if utf8.RuneCountInString(line) <= columns {
		return line
	}
	return string([]rune(line)[:max(columns-3, 0)]) + "..."
}
