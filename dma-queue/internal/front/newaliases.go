package front

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"dma/common/aliases"
	"dma/common/conf"
	"dma/common/site"
	"dma/common/sysexits"
)

// CheckAliases says what the alias file holds that the file config names. There is nothing to build: the
// runner reads the file itself.
func CheckAliases(config string, stdout, stderr io.Writer) error {
	path := site.Aliases
	if c, _, err := conf.Load(config); err == nil && c.Aliases != "" {
		path = c.Aliases
	}
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		fmt.Fprintf(stdout, "%s: no such file, so no aliases\n", path)
		return nil
	}
	table, warnings, err := aliases.Load(path)
	if err != nil {
		return failf(sysexits.NoInput, "read aliases: %w", err)
	}
	for _, w := range warnings {
		fmt.Fprintln(stderr, w)
	}
	fmt.Fprintf(stdout, "%s: %d aliases\n", path, table.Len())
	if len(warnings) > 0 {
		return failf(sysexits.DataErr, "%s: %d bad lines are not used", path, len(warnings))
	}
	return nil
}
