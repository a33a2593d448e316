//go:build system

package compat

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
)

// difference is a paragraph of the file differences.
type difference struct {
	reason   string
	patterns []string // of lines as compare returns them; of those of a mailbox too
	cases    []string // where it shows; all of them must
	all      bool     // in any case
}

const differencesFile = "differences"

// parseDifferences reads the file. Its own first lines say what is in it.
func parseDifferences(text string) (list []difference, err error) {
	for i, paragraph := range strings.Split(text, "\n\n") {
		var d difference
		for line := range strings.Lines(paragraph + "\n") {
			line = strings.TrimSuffix(line, "\n")
			rest, isCases := strings.CutPrefix(line, "in ")
			pattern, isPattern := strings.CutPrefix(line, "    ")
			switch {
			case strings.HasPrefix(line, "#") || line == "":
			case isPattern && !strings.HasPrefix(pattern, " "):
				d.patterns = append(d.patterns, pattern)
			case isCases && len(d.patterns) > 0:
				d.cases = append(d.cases, strings.Fields(rest)...)
			case len(d.patterns) > 0 && strings.HasPrefix(line, "  "):
				d.cases = append(d.cases, strings.Fields(line)...)
			default:
				d.reason = strings.TrimSpace(d.reason + " " + line)
			}
		}
		if d.reason == "" && d.patterns == nil {
			continue // comments
		}
		if d.reason == "" || d.patterns == nil || d.cases == nil {
			return nil, fmt.Errorf("paragraph %d: want reason, lines and cases:\n%s", i+1, paragraph)
		}
		if slices.Equal(d.cases, []string{"any"}) {
			d.cases, d.all = nil, true
		}
		list = append(list, d)
	}
	return list, nil
}

// account takes from the differences found in all cases those that are listed,
// and says what is left: differences that are not listed, and listed ones that
// no longer show.
func account(list []difference, found map[string][]string) (unlisted map[string][]string, stale []string) {
	unlisted = make(map[string][]string)
	explained := make(map[string]map[string]bool) // case, line
	for name := range found {
		explained[name] = make(map[string]bool)
	}
	for _, d := range list {
		shown := make(map[string]bool)
		cases := d.cases
		if d.all {
			for name := range found {
				cases = append(cases, name)
			}
		}
		for _, name := range cases {
			seen := false
			for _, line := range found[name] {
				for _, p := range d.patterns {
					if glob(p, line) || glob("mailbox "+p, line) {
						shown[p], seen, explained[name][line] = true, true, true
					}
				}
			}
			if !seen && !d.all {
				stale = append(stale, fmt.Sprintf("%q does not show in %s", d.reason, name))
			}
		}
		for _, p := range d.patterns {
			if !shown[p] {
				stale = append(stale, fmt.Sprintf("%q: no case has %q", d.reason, p))
			}
		}
	}
	for name, lines := range found {
		for _, line := range lines {
			if !explained[name][line] {
				unlisted[name] = append(unlisted[name], line)
			}
		}
	}
	return unlisted, stale
}

// glob says whether pattern, in which a star stands for anything, is text.
func glob(pattern, text string) bool {
	parts := strings.Split(pattern, "*")
	if len(parts) == 1 {
		return pattern == text
	}
	rest, ok := strings.CutPrefix(text, parts[0])
	if !ok {
		return false
	}
	for _, part := range parts[1 : len(parts)-1] {
		i := strings.Index(rest, part)
		if i < 0 {
			return false
		}
		rest = rest[i+len(part):]
	}
	return strings.HasSuffix(rest, parts[len(parts)-1])
}

func listed(t *testing.T) []difference {
	t.Helper()
	text, err := os.ReadFile(differencesFile)
	if err != nil {
		t.Fatal(err)
	}
	list, err := parseDifferences(string(text))
	if err != nil {
		t.Fatal(err)
	}
	return list
}
