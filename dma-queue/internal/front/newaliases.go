package front

import (
	"fmt"
	"io"

	"dma/common/aliases"
	"dma/common/conf"
	"dma/common/site"
	"dma/common/sysexits"
)

// CheckAliases says what the alias file holds that the file config names, and what
// is wrong with it. There is nothing to build: the runner reads the file itself.
func CheckAliases(config string, stdout, stderr io.Writer) error {
	path, commands := site.Aliases, false
	if c, _, err := conf.Load(config); err != nil {
		fmt.Fprintf(stderr, "newaliases: read configuration: %v; looking at %s\n", err, path)
	} else if c.Aliases != "" {
		path, commands = c.Aliases, c.AliasCommands
	}
	r, err := aliases.Check(path, commands)
	if err != nil {
		return failf(sysexits.NoInput, "read aliases: %w", err)
	}
	if r.Missing {
		fmt.Fprintf(stdout, "%s: no such file, so no aliases\n", path)
		return nil
	}
	for _, w := range r.Warnings {
		fmt.Fprintln(stderr, w)
	}
	fmt.Fprintf(stdout, "%s: %d aliases, longest %d bytes, %d bytes total\n", path, r.Aliases, r.Longest, r.Bytes)
	if r.Bad > 0 {
		return failf(sysexits.DataErr, "%s: mistakes: %d; what is wrong is not used, the other aliases are", path, r.Bad)
	}
	return nil
}
