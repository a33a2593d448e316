// Package pickup takes submissions out of incoming: it opens what may be
// anything, believes only what it has checked, and writes the queue's own copy
// with the header repaired (DESIGN 3, pick up).
package pickup

import (
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"dma/common/mailaddr"
	"dma/common/maillog"
	"dma/common/site"
	"dma/dma-queue/internal/header"
	"dma/dma-queue/internal/queue"
	"dma/dma-queue/internal/schedule"
	"dma/dma-queue/internal/spool"
)

// maxUnfinished is when a submission that was never completed is removed. Its
// front end, which gives up after 24 hours, is long gone (RULES A4).
const maxUnfinished = 36 * time.Hour

// Picker picks up submissions.
type Picker struct {
	Queue   *queue.Queue
	Log     *maillog.Log
	Site    func() Site
	SysHost string // this host's own name
	Now     func() time.Time
}

// Pick makes a message of the submission id. The error wraps schedule.ErrSkip if
// there is nothing to be done now, or any more.
func (p *Picker) Pick(id spool.ID) (*queue.Message, error) {
	f, r, err := p.open(id)
	if f != nil {
		defer f.Close()
	}
	switch {
	case err == nil:
		return p.copy(id, r)
	case errors.Is(err, spool.ErrAbandoned):
		return nil, p.remove(id)
	case errors.Is(err, spool.ErrIncomplete):
		p.Log.Message(string(id)).Problem("remove unfinished submission", err)
		return nil, p.remove(id)
	case errors.Is(err, spool.ErrDamaged), errors.Is(err, spool.ErrVersion):
		return nil, p.aside(id, err)
	}
	return nil, err
}

// Ready reports whether Pick has something to do for the submission id, even if
// it would be of no success.
func (p *Picker) Ready(id spool.ID) bool {
	f, _, err := p.open(id)
	if f != nil {
		f.Close()
	}
	return !errors.Is(err, schedule.ErrSkip)
}

// open opens the submission id, and changes nothing. The file is the caller's,
// and nil if it cannot be opened.
func (p *Picker) open(id spool.ID) (*os.File, *spool.Received, error) {
	f, err := p.Queue.OpenSubmitted(id)
	if err != nil {
		return nil, nil, p.unopened(id, err)
	}
	if !spool.TryLock(f) {
		return f, nil, schedule.ErrSkip // not committed yet; its front end will wake us
	}
	r, err := spool.OpenIncoming(f)
	if errors.Is(err, spool.ErrIncomplete) {
		st, serr := f.Stat()
		if serr != nil {
			return f, nil, serr
		}
		if p.young(st) {
			err = schedule.ErrSkip
		}
	}
	return f, r, err
}

// unopened says what it is that cannot be opened.
func (p *Picker) unopened(id spool.ID, err error) error {
	st, serr := p.Queue.StatSubmitted(id)
	switch {
	case errors.Is(serr, os.ErrNotExist):
		return schedule.ErrSkip
	case serr != nil:
		return serr
	case !st.Mode().IsRegular():
		return fmt.Errorf("%w: not a regular file", spool.ErrDamaged)
	case errors.Is(err, os.ErrPermission) && p.young(st):
		return schedule.ErrSkip // its front end has made it and not yet set its mode
	case errors.Is(err, os.ErrPermission):
		return fmt.Errorf("%w: %w", spool.ErrDamaged, err)
	}
	return err
}

// young reports whether the front end of a file may still be at work on it. A
// time in the future is none of this clock's.
func (p *Picker) young(st os.FileInfo) bool {
	return p.Now().Sub(st.ModTime()).Abs() < maxUnfinished
}

func (p *Picker) remove(id spool.ID) error {
	if err := p.Queue.RemoveSubmitted(id); err != nil {
		return err
	}
	return schedule.ErrSkip
}

// aside moves what is no submission out of the way (RULES F4).
func (p *Picker) aside(id spool.ID, why error) error {
	err := p.Queue.SetAsideSubmitted(id)
	switch {
	case err == nil:
		p.Log.SetAside(string(id), why.Error())
	case !errors.Is(err, os.ErrNotExist): // else its front end has taken it back
		return errors.Join(why, err)
	}
	return schedule.ErrSkip
}

// copy writes the queue's copy. It is not synced: until the message is done or
// its journal durable, the submission stands for it.
func (p *Picker) copy(id spool.ID, r *spool.Received) (*queue.Message, error) {
	here := p.Site()
	from, err := here.from(r)
	if err != nil {
		return nil, p.aside(id, err)
	}
	m := queue.NewMessage(id, r)
	m.Sender = from.address
	if r.Arrived.After(p.Now()) || r.Arrived.Unix() < 0 {
		m.Arrived = p.Now() // a file from the future would never be given up
	}
	params := header.Params{
		ID: string(id), Hostname: here.Hostname, SysHost: p.SysHost, Version: site.Version,
		Login: from.login, UID: r.UID, FullName: from.fullName, Sender: from.address, Now: p.Now(),
		Domain: here.Domain, Author: here.author(from.login), Address: here.address, RewriteFrom: here.RewriteFrom,
	}
	var info header.Info
	m.Size, m.Sum, err = p.Queue.Create(id, func(w io.Writer) error {
		var err error
		info, err = header.Repair(w, r.Reader(), params)
		return err
	})
	if errors.Is(err, spool.ErrDamaged) || errors.Is(err, header.ErrTooBig) {
		return nil, p.aside(id, err)
	}
	if err != nil {
		return nil, err
	}
	m.Hops = info.ReceivedCount
	for _, d := range info.DeliveredTo { // anything at all may stand there
		if _, err := mailaddr.Parse(d); err == nil {
			m.Seen = append(m.Seen, d)
		}
	}
	log := p.Log.Message(string(id)).Tagged(r.Tag)
	log.NewMail(from.login, r.UID, from.address)
	for i := range m.Targets {
		log.Queued(m.Targets[i].Address, string(id))
	}
	if info.FromKept {
		log.Problem("rewrite From", errSigned)
	}
	return m, nil
}

// errSigned is why REWRITEFROM leaves a message alone.
var errSigned = errors.New("not done, as the header is signed (DKIM or ARC)")
