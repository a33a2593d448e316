// Package mbox appends messages to a user's mailbox, a file in mboxrd format in
// the mail directory (RULES D1 to D4).
//
// It is made for a process that is the user, with the group that may write in
// the mail directory as its effective group. For a mailbox whose owner no process
// of the suite may become, root, the process is another account with that group.
// Nothing in the mail directory is trusted: names are used relative to the open
// directory and never followed, and whatever is not as it should be defers.
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
	UID      uint32               // the owner that the file must have
	Group    string               // name of the group that may write in Dir, for messages; empty: the owner may
	LockWait time.Duration        // how long to wait for locks
	Pause    func() time.Duration // how long to wait between two tries
	Now      func() time.Time
}

func (b *Box) path() string { return filepath.Join(b.Dir, b.Login) }

// Deliver appends letters and returns one result for each, in their order. All
// share one lock and one sync, and no result says done before that sync (RULES
// D9). Only the wait for locks ends with ctx; an append is finished or undone.
func (b *Box) Deliver(ctx context.Context, letters []letter.Letter) []proto.Result {
	results := make([]proto.Result, len(letters))
	dir, err := os.OpenFile(b.Dir, os.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		err = problem(err, "", "open mail directory %s", b.Dir)
	}
	var l *lock
	if err == nil {
		defer dir.Close()
		l, err = b.acquire(ctx, dir)
	}
	if err != nil {
		for i := range results {
			results[i] = proto.Result{Scope: proto.ScopeDestination, Outcome: deferral(err)}
		}
		return results
	}
	defer l.release()
	for i, err := range appendAll(l.file, l.size, letters, b.Now()) {
		results[i] = proto.Result{Scope: proto.ScopeTarget, Outcome: outcome.Success("delivered to mailbox")}
		if err != nil {
			results[i].Outcome = deferral(problem(err, "", "append to mailbox %s", b.path()))
		}
	}
	return results
}

// deferral picks the code of RFC 3463 for err. Nothing that goes wrong with a
// mailbox is for ever: the person can repair it, and the mail waits until then.
func deferral(err error) outcome.Outcome {
	code := "4.2.0" // other mailbox status
	switch {
	case errors.Is(err, letter.ErrText):
		code = "4.3.0" // other mail system status
	case errors.Is(err, unix.ENOSPC):
		code = "4.3.1" // mail system full
	case errors.Is(err, unix.EDQUOT), errors.Is(err, unix.EFBIG):
		code = "4.2.2" // mailbox full
	}
	return outcome.Defer(code, "%v", err)
}
