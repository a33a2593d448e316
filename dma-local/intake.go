package main

import (
	"context"
	"os"
	"sync"
	"time"

	"dma/common/outcome"
	"dma/proto"
)

// intake receives requests while others are being worked on, so that the runner can
// have one given up meanwhile (proto.Cancel).
type intake struct {
	conn    *proto.Conn
	packets chan proto.Packet // with room for all that the runner hands over at a time
	err     error             // why there are no more; set when packets is closed

	mu     sync.Mutex
	wanted map[uint32]bool    // requests without an answer; false: given up while worked on
	under  map[uint32]bool    // those of them that are being worked on
	stop   context.CancelFunc // ends that work
}

// startIntake receives until the channel ends. end ends it, and waits for that.
func startIntake(conn *proto.Conn) (in *intake, end func()) {
	in = &intake{conn: conn, packets: make(chan proto.Packet, maxBatch), wanted: make(map[uint32]bool)}
	var group sync.WaitGroup
	group.Go(in.receive)
	return in, func() {
		conn.Close()
		for p := range in.packets {
			p.File.Close()
		}
		group.Wait()
	}
}

func (in *intake) receive() {
	defer close(in.packets)
	for {
		p, err := in.conn.Recv(0, proto.TypeDeliver, proto.TypeCancel)
		if err != nil {
			in.err = err
			return
		}
		if p.Message.Type() == proto.TypeCancel {
			in.giveUp(p.Request)
			continue
		}
		in.mu.Lock()
		in.wanted[p.Request] = true
		in.mu.Unlock()
		in.packets <- p
	}
}

// next is the next request: the first is waited for, another one only until then.
func (in *intake) next(first bool, until time.Time) (proto.Packet, error) {
	var late <-chan time.Time
	if !first {
		timer := time.NewTimer(time.Until(until))
		defer timer.Stop()
		late = timer.C
	}
	select {
	case p, ok := <-in.packets:
		return in.received(p, ok)
	default: // if both were there, select would take either
	}
	select {
	case p, ok := <-in.packets:
		return in.received(p, ok)
	case <-late:
		return proto.Packet{}, os.ErrDeadlineExceeded
	}
}

func (in *intake) received(p proto.Packet, ok bool) (proto.Packet, error) {
	if !ok {
		return proto.Packet{}, in.err
	}
	return p, nil
}

// giveUp is for a request that nobody wants any more. One that was answered
// already is none; one that nothing was done for yet is answered at once.
func (in *intake) giveUp(request uint32) {
	in.mu.Lock()
	defer in.mu.Unlock()
	switch {
	case !in.wanted[request]:
	case in.under[request]: // whoever works on it answers
		in.wanted[request] = false
		in.stop()
	default:
		in.refuse(request)
	}
}

// refuse answers a request that was given up. It is called with mu locked.
func (in *intake) refuse(request uint32) {
	delete(in.wanted, request)
	result := notWanted()
	_ = in.conn.Send(request, &result, nil) // receive finds out, too
}

// begin says that work on jobs begins, which ends when one of them is given up. Those
// that were before are left out, and have their answers. done says that it is over,
// and that the others have theirs.
func (in *intake) begin(ctx context.Context, jobs ...job) (wanted []job, during context.Context, done func()) {
	during, stop := context.WithCancel(ctx)
	in.mu.Lock()
	defer in.mu.Unlock()
	in.under, in.stop = make(map[uint32]bool, len(jobs)), stop
	for _, j := range jobs {
		switch want, waits := in.wanted[j.request]; {
		case want:
			in.under[j.request] = true
			wanted = append(wanted, j)
		case waits: // given up behind the work before this
			in.refuse(j.request)
		}
	}
	return wanted, during, func() {
		in.mu.Lock()
		defer in.mu.Unlock()
		in.under = nil
		stop()
	}
}

// givenUp reports whether j was given up while it was being worked on.
func (in *intake) givenUp(j job) bool {
	in.mu.Lock()
	defer in.mu.Unlock()
	return !in.wanted[j.request]
}

// answer answers j.
func (in *intake) answer(j job, result proto.Result) error {
	in.mu.Lock()
	delete(in.wanted, j.request)
	in.mu.Unlock()
	return in.conn.Send(j.request, &result, nil)
}

// notWanted is the result of a job that was given up and has done nothing.
func notWanted() proto.Result {
	return proto.Result{Scope: proto.ScopeTarget, Outcome: outcome.Defer("4.3.2", "given up before it was delivered")}
}
