package entry

import (
	"fmt"
	"strings"

	"dma/common/aliases"
	"dma/common/aliases/token"
	"dma/common/conf"
	"dma/common/forward"
	"dma/proto"
)

// Errors of a token that the alias file has nothing for, or not any more.
var (
	errOff     = fmt.Errorf("the configuration was %w: it has no ALIASCOMMANDS", ErrStale)
	errAliases = fmt.Errorf("the alias file was %w", ErrStale)
)

// inAliases returns the entry of the alias file that d asks for. Which file that is,
// and whether anything in it counts, root's dma.conf says, and nobody who asks.
func inAliases(c *conf.Config, d *proto.Deliver) (forward.Entry, error) {
	if !c.AliasCommands {
		return forward.Entry{}, errOff
	}
	t, err := aliases.Examine(c.Aliases)
	if err != nil {
		return forward.Entry{}, err
	}
	return inTable(t, d)
}

func inTable(t *aliases.Table, d *proto.Deliver) (forward.Entry, error) {
	if d.Token.Index != 0 || token.File(t) != d.Token.File {
		return forward.Entry{}, errAliases
	}
	target, found := token.Find(t, d.Token.Entry)
	e := forward.Entry{Kind: forward.File, Text: target.Text, Path: target.Text}
	switch {
	case target.Kind == aliases.Command:
		e = forward.Entry{Kind: forward.Command, Text: target.Text, Command: target.Text}
	case strings.HasSuffix(target.Text, "/"):
		e.Kind = forward.Maildir
	}
	if !found || kind(e) != d.Kind {
		return forward.Entry{}, errAliases
	}
	return e, t.Unsafe
}
