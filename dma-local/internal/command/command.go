// Package command runs the commands that a user's .forward file asks for, as
// that user (RULES C7, D7, D8).
//
// Whoever asks for a delivery names an entry of the file by its position and by
// the hashes of the file and of the entry. The command itself comes from the
// file, read anew and as the user, or nothing is run. Nothing that a message or
// its envelope says gets into the command, only into cleaned variables.
package command

import (
	"context"
	"errors"
	"fmt"
	"time"

	"dma/common/forward"
	"dma/common/outcome"
	"dma/dma-local/internal/letter"
	"dma/proto"
)

// Times of a delivery.
const (
	Timeout    = 300 * time.Second // for a command (RULES B6)
	KillAfter  = 30 * time.Second  // from SIGTERM to SIGKILL when that is over (RULES B6)
	StopAfter  = 5 * time.Second   // the same when this process itself was told to end, and has less time
	OutputWait = time.Second       // for what a command left running may still say
)

// Runner runs the commands of one user, one at a time.
type Runner struct {
	Login string
	UID   uint32
	Home  string
	Shell string // of the account; commands are run by /bin/sh all the same

	Timeout, KillAfter, StopAfter, OutputWait time.Duration
	Now                                       func() time.Time
}

// errStale says that the file does not have the entry any more.
var errStale = errors.New("the .forward file was changed in between")

// Deliver runs the command that d.Token names, with l as its input. When ctx
// ends, so does the command.
func (r *Runner) Deliver(ctx context.Context, d *proto.Deliver, l letter.Letter) proto.Result {
	command, err := r.find(d.Token)
	if err != nil {
		scope := proto.ScopeTarget
		if errors.Is(err, errStale) {
			scope = proto.ScopeStale
		}
		return proto.Result{Scope: scope, Outcome: outcome.Defer("4.3.0", "%v", err)}
	}
	end, err := r.run(ctx, command, r.environment(d), l)
	if err != nil {
		return proto.Result{Scope: proto.ScopeTarget, Outcome: outcome.Defer("4.3.0", "run command: %v", err)}
	}
	return proto.Result{Scope: proto.ScopeTarget, Outcome: end.outcome()}
}

// find reads the user's file and returns the command that t names (RULES C7).
func (r *Runner) find(t proto.Token) (string, error) {
	text, exists, err := forward.Open(r.Home, r.UID)
	if err != nil {
		return "", err
	}
	if !exists || forward.FileHash(text) != t.File {
		return "", errStale
	}
	entries, err := forward.Parse(text, r.Login, r.Home)
	if err != nil {
		return "", fmt.Errorf("parse .forward: %w", err)
	}
	if int(t.Index) >= len(entries) {
		return "", errStale
	}
	e := entries[t.Index]
	if e.Kind != forward.Command || forward.EntryHash(e) != t.Entry {
		return "", errStale
	}
	return e.Command, nil
}
