package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// Event is a line of log.jsonl.
type Event struct {
	Time  time.Time `json:"time"`
	Event string    `json:"event"` // connect, rcpt, transaction, close
	Conn  int       `json:"conn"`  // number of the connection, from 1

	Open       int      `json:"open,omitempty"`       // connect: connections open now, this one included
	Sender     string   `json:"sender"`               // rcpt, transaction: address of MAIL, empty for the null sender
	Recipient  string   `json:"recipient,omitempty"`  // rcpt
	Recipients []string `json:"recipients,omitempty"` // transaction: those that were accepted
	File       string   `json:"file,omitempty"`       // transaction: name of the message, if it was taken
	Reply      string   `json:"reply,omitempty"`      // rcpt, transaction: what was answered
}

// A recorder keeps what came. Its methods are safe for concurrent use.
type recorder struct {
	dir string

	mu       sync.Mutex
	log      *os.File
	messages int
}

func (r *recorder) event(e Event) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.write(e)
}

// message keeps data and logs its transaction.
func (r *recorder) message(e Event, data []byte) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.messages++
	e.File = fmt.Sprintf("%06d.eml", r.messages)
	if err := os.WriteFile(filepath.Join(r.dir, e.File), data, 0o600); err != nil {
		return err
	}
	return r.write(e)
}

func (r *recorder) write(e Event) error {
	e.Time = time.Now()
	line, err := json.Marshal(e)
	if err != nil {
		return err
	}
	_, err = r.log.Write(append(line, '\n'))
	return err
}
