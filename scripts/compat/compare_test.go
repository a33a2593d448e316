//go:build system

package compat

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// compare says how what the suite did differs from what Debian's dma did, in
// lines that the file differences lists:
//
//	exit 65, 0            exit codes, dma's first
//	- to x@far.example    only dma sent to it; + only the suite
//	sender <a@b>, <c@d>   the envelope senders
//	- Subject: hello      a line that only dma sent or printed; + only the suite
//	mailbox - line        the same, in a mailbox
func compare(d, s *result) (lines []string) {
	if d.Exit != s.Exit {
		lines = append(lines, fmt.Sprintf("exit %d, %d", d.Exit, s.Exit))
	}
	lines = append(lines, diff(d.Stdout, s.Stdout)...)
	dTo, sTo := byRecipient(d.Mail), byRecipient(s.Mail)
	for _, to := range keys(dTo, sTo) {
		dm, sm := dTo[to], sTo[to]
		for i := range max(len(dm), len(sm)) {
			switch {
			case i >= len(sm):
				lines = append(lines, "- to "+show(to+"\n"))
			case i >= len(dm):
				lines = append(lines, "+ to "+show(to+"\n"))
			default:
				if dm[i].From != sm[i].From {
					lines = append(lines, fmt.Sprintf("sender <%s>, <%s>", show(dm[i].From+"\n"), show(sm[i].From+"\n")))
				}
				for _, line := range diff(dm[i].Text, sm[i].Text) {
					if strings.HasPrefix(to, "mailbox ") {
						line = "mailbox " + line
					}
					lines = append(lines, line)
				}
			}
		}
	}
	// All copies of a message differ in the same way.
	slices.Sort(lines)
	return slices.Compact(lines)
}

func byRecipient(list []message) map[string][]message {
	m := make(map[string][]message)
	for _, x := range list {
		m[x.To] = append(m[x.To], x)
	}
	for _, same := range m {
		slices.SortFunc(same, func(a, b message) int { return strings.Compare(a.Text, b.Text) })
	}
	return m
}

func keys(a, b map[string][]message) (all []string) {
	for k := range a {
		all = append(all, k)
	}
	for k := range b {
		all = append(all, k)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// diff lists the lines that only one text has, in the order of the texts.
func diff(a, b string) (lines []string) {
	if a == b {
		return nil
	}
	x, y := strings.SplitAfter(a, "\n"), strings.SplitAfter(b, "\n")
	for len(x) > 0 && len(y) > 0 && x[0] == y[0] {
		x, y = x[1:], y[1:]
	}
	for len(x) > 0 && len(y) > 0 && x[len(x)-1] == y[len(y)-1] {
		x, y = x[:len(x)-1], y[:len(y)-1]
	}
	// common[i][j] is how many lines x[i:] and y[j:] have in common.
	common := make([][]int, len(x)+1)
	for i := range common {
		common[i] = make([]int, len(y)+1)
	}
	for i := len(x) - 1; i >= 0; i-- {
		for j := len(y) - 1; j >= 0; j-- {
			if x[i] == y[j] {
				common[i][j] = common[i+1][j+1] + 1
			} else {
				common[i][j] = max(common[i+1][j], common[i][j+1])
			}
		}
	}
	for i, j := 0, 0; i < len(x) || j < len(y); {
		switch {
		case i < len(x) && j < len(y) && x[i] == y[j]:
			i, j = i+1, j+1
		case j == len(y) || i < len(x) && common[i+1][j] >= common[i][j+1]:
			lines, i = append(lines, "- "+show(x[i])), i+1
		default:
			lines, j = append(lines, "+ "+show(y[j])), j+1
		}
	}
	return slices.DeleteFunc(lines, func(l string) bool { return len(l) == 2 }) // behind the last newline
}

// maxShown is how much of a long line is shown, in bytes.
const maxShown = 100

// show writes a line so that it can stand in a file: visibly, without its
// newline, and not too long. An empty line is shown as (empty).
func show(line string) string {
	text, whole := strings.CutSuffix(line, "\n")
	quoted := strconv.QuoteToASCII(text)
	quoted = strings.ReplaceAll(quoted[1:len(quoted)-1], `\"`, `"`)
	if len(quoted) > maxShown {
		quoted = fmt.Sprintf("%s... (%d bytes)", quoted[:maxShown/2], len(text))
	}
	switch {
	case line == "":
		return ""
	case text == "":
		return "(empty)"
	case !whole:
		return quoted + " (no newline)"
	}
	return quoted
}
