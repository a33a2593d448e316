package main

import (
	"dma/common/aliases"
	"dma/dma-queue/internal/expand"
)

// maxWarned bounds what warner remembers. Newaliases shows the rest.
const maxWarned = 100

// warner logs what is wrong with lines of the alias file and the lists in it. They
// are looked at when mail needs them, each time; the log has them once, until the
// file changes.
func (c *configuration) warner() func(aliases.Warning) {
	warned := make(map[string]bool)
	return func(w aliases.Warning) { // called by the loop, which expands, and by nobody else
		if text := w.String(); !warned[text] && len(warned) < maxWarned {
			warned[text] = true
			c.log.ConfigWarning(text)
		}
	}
}

// listReader reads the lists that aliases include.
func listReader(warn func(aliases.Warning)) expand.ListReader {
	return func(path string) ([]aliases.Target, error) {
		members, warnings, err := aliases.ReadList(path)
		for _, w := range warnings {
			warn(w)
		}
		return members, err
	}
}
