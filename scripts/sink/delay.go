package main

import (
	"net"
	"sync"
	"time"
)

// maxOnTheWay is how many writes a delay line holds before the next one waits.
const maxOnTheWay = 1024

// A delayLine lets everything arrive a while after it was written, and one write not
// later for the one before: what a path does, and waiting before each reply does
// not.
type delayLine struct {
	conn  net.Conn
	delay time.Duration
	way   chan written
	done  sync.WaitGroup
}

type written struct {
	data []byte
	due  time.Time
}

func newDelayLine(c net.Conn, delay time.Duration) *delayLine {
	l := &delayLine{conn: c, delay: delay, way: make(chan written, maxOnTheWay)}
	l.done.Go(func() {
		for w := range l.way {
			<-time.After(time.Until(w.due))
			_, _ = l.conn.Write(w.data) // who reads from a connection that is gone hears of it
		}
	})
	return l
}

func (l *delayLine) Write(p []byte) (int, error) {
	if l.delay == 0 {
		return l.conn.Write(p)
	}
	l.way <- written{append([]byte(nil), p...), time.Now().Add(l.delay)}
	return len(p), nil
}

// close waits until everything has arrived.
func (l *delayLine) close() {
	close(l.way)
	l.done.Wait()
}
