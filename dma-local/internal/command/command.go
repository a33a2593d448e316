// Package command runs a program with a message as its input, as a user: what the
// user's .forward file asks for, or what the administrator has put in the place of
// mailboxes (RULES D7, D8).
//
// Nothing that a message or its envelope says gets into a command of the user's,
// only into cleaned variables. The words of the administrator's program may have
// cleaned values in them; no shell sees them.
package command

import (
	"context"
	"os"
	"strings"
	"time"

	"dma/common/conf"
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

// Runner runs programs for one user, one at a time.
type Runner struct {
	Login string
	Home  string
	Shell string // of the account; commands are run by /bin/sh all the same

	Timeout, KillAfter, StopAfter, OutputWait time.Duration
	Now                                       func() time.Time
}

// program is what is run.
type program struct {
	name string // in what is said about it
	args []string
	dir  string
}

// Command runs a command of the user's in the home directory, with l as its input.
// When ctx ends, so does the command.
func (r *Runner) Command(ctx context.Context, command string, d *proto.Deliver, l letter.Letter) proto.Result {
	if strings.HasPrefix(command, "-") || strings.HasPrefix(command, "+") {
		command = " " + command // it is no option of the shell's
	}
	return r.deliver(ctx, program{"command", []string{"/bin/sh", "-c", command}, r.Home}, d, l)
}

// Program runs the program and arguments of MDA, with l as its input. It starts in
// the home directory, or, since not every account has one, in the root directory.
func (r *Runner) Program(ctx context.Context, words []string, d *proto.Deliver, l letter.Letter) proto.Result {
	args := make([]string, len(words))
	for i, word := range words {
		args[i] = conf.Expand(word, r.Login, r.Home, argument(d.Sender), argument(d.Recipient))
	}
	dir := r.Home
	if st, err := os.Stat(dir); err != nil || !st.IsDir() {
		dir = "/"
	}
	return r.deliver(ctx, program{args[0], args, dir}, d, l)
}

func (r *Runner) deliver(ctx context.Context, p program, d *proto.Deliver, l letter.Letter) proto.Result {
	end, err := r.run(ctx, p, r.environment(d), l)
	if err != nil {
		return proto.Result{Scope: proto.ScopeTarget, Outcome: outcome.Defer("4.3.0", "run %s: %v", p.name, err)}
	}
	return proto.Result{Scope: proto.ScopeTarget, Outcome: end.outcome()}
}
