// Package mbox appends messages to a file in mboxrd format: a user's mailbox in
// the mail directory (RULES D1 to D4), or a file that a user has chosen (RULES D6).
//
// For a mailbox it is made for a process that is the user, with the group that may write in
// the mail directory as its effective group. For a mailbox whose owner no process
// of the suite may become, root, the process is another account with that group.
// Nothing in the mail directory is trusted: names are used relative to the open
// directory and never followed, and whatever is not as it should be defers.
//
// For a file that the user has chosen the process is the user and no more than
// that. What the user may write, it may.
package mbox

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"time"

	"dma/common/outcome"
	"dma/dma-local/internal/letter"
	"dma/proto"

	"golang.org/x/sys/unix"
)

// Times of locking (RULES B6, D2).
const (
	LockWait   = 100 * time.Second // for all locks of one delivery together
	staleAfter = 500 * time.Second // age of a lock file whose maker is taken for dead
)

// Box is a mailbox.
type Box struct {
	Dir      string               // the mail directory
	Login    string               // the name of the file in it
	File     bool                 // it is not a mailbox, but a file that the user has chosen
	UID      uint32               // the owner that a mailbox must have
	Group    string               // name of the group that may write in Dir, for messages; empty: the owner may
	LockWait time.Duration        // how long to wait for locks
	Pause    func() time.Duration // how long to wait between two tries
	Now      func() time.Time
}

func (b *Box) path() string { return filepath.Join(b.Dir, b.Login) }

// kind is what messages call it.
func (b *Box) kind() string {
	if b.File {
		return "file"
	}
	return "mailbox"
}

func (b *Box) what() string { return b.kind() + " " + b.path() }

// Deliver appends letters and returns one result for each, in their order. All
// share one lock and one sync, and no result says done before that sync (RULES
// D9). Only the wait for locks ends with ctx; an append is finished or undone.
func (b *Box) Deliver(ctx context.Context, letters []letter.Letter) []proto.Result {
	results := make([]proto.Result, len(letters))
	dir, err := os.OpenFile(b.Dir, os.O_RDONLY|unix.O_DIRECTORY, 0)
	if p := (*os.PathError)(nil); errors.As(err, &p) { // the path is said once
		err = problem(p.Err, "", "open %s", b.directory())
	}
	var l *lock
	if err == nil {
		defer dir.Close()
		l, err = b.acquire(ctx, dir)
	}
	if err != nil {
		for i := range results {
			results[i] = proto.Result{Scope: proto.ScopeDestination, Outcome: letter.Deferral(err)}
		}
		return results
	}
	defer l.release()
	for i, err := range appendAll(l.file, l.size, letters, b.Now()) {
		results[i] = proto.Result{Scope: proto.ScopeTarget, Outcome: outcome.Success("delivered to %s", b.kind())}
		if err != nil {
			results[i].Outcome = letter.Deferral(problem(err, "", "append to %s", b.what()))
		}
	}
	return results
}
