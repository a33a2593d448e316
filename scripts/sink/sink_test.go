package main

import (
	"bufio"
	"encoding/json"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// talk sends lines to a sink with the given answers and returns its replies and its log.
func talk(t *testing.T, pipelining bool, answers []string, send string) (string, []Event, string) {
	t.Helper()
	dir := t.TempDir()
	log, err := os.Create(filepath.Join(dir, "log.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	s := server{open: map[net.Conn]bool{}, pipelining: pipelining, record: recorder{dir: dir, log: log}}
	for _, a := range answers {
		if err := s.script.add(a); err != nil {
			t.Fatal(err)
		}
	}
	l, err := listen("127.0.0.1:0", dir)
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- s.serve(l) }()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	if err := c.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Write([]byte(send)); err != nil {
		t.Fatal(err)
	}
	var replies strings.Builder
	in := bufio.NewScanner(c)
	for in.Scan() {
		replies.WriteString(in.Text()[:4])
	}
	c.Close()
	l.Close()
	<-served
	s.stop()
	text, err := os.ReadFile(log.Name())
	if err != nil {
		t.Fatal(err)
	}
	var events []Event
	for line := range strings.Lines(string(text)) {
		var e Event
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatal(err)
		}
		events = append(events, e)
	}
	message, _ := os.ReadFile(filepath.Join(dir, "000001.eml"))
	return strings.TrimSpace(replies.String()), events, string(message)
}

func TestSession(t *testing.T) {
	const envelope = "EHLO me\r\nMAIL FROM:<a@b> SIZE=3\r\nRCPT TO:<x@c>\r\nRCPT TO:<y@c>\r\n"
	const data = "DATA\r\n..dot\r\nbare\n.\r\nlast\r\n.\r\nQUIT\r\n"
	tests := map[string]struct {
		plain   bool
		answers []string
		send    string
		replies string
		events  []Event
		message string
	}{
		"taken": {
			send:    envelope + data,
			replies: "220 250-250-250-250-250 250 250 250 354 250 221",
			events: []Event{
				{Event: "connect", Open: 1},
				{Event: "rcpt", Sender: "a@b", Recipient: "x@c", Reply: "250 2.1.5 ok"},
				{Event: "rcpt", Sender: "a@b", Recipient: "y@c", Reply: "250 2.1.5 ok"},
				{Event: "transaction", Sender: "a@b", Recipients: []string{"x@c", "y@c"}, File: "000001.eml", Reply: "250 2.0.0 kept"},
				{Event: "close"},
			},
			message: ".dot\r\nbare\n.\r\nlast\r\n",
		},
		"answers": {
			plain:   true,
			answers: []string{"1|^rcpt to:<x|450 4.2.0 later", "0|y@c|550 5.1.1 unknown", "0|EOD|451 4.3.0 full"},
			send:    envelope + "RCPT TO:<x@c>\r\n" + data,
			replies: "220 250-250-250-250 250 450 550 250 354 451 221",
			events: []Event{
				{Event: "connect", Open: 1},
				{Event: "rcpt", Sender: "a@b", Recipient: "x@c", Reply: "450 4.2.0 later"},
				{Event: "rcpt", Sender: "a@b", Recipient: "y@c", Reply: "550 5.1.1 unknown"},
				{Event: "rcpt", Sender: "a@b", Recipient: "x@c", Reply: "250 2.1.5 ok"},
				{Event: "transaction", Sender: "a@b", Recipients: []string{"x@c"}, Reply: "451 4.3.0 full"},
				{Event: "close"},
			},
		},
		"chunks": {
			send:    envelope + "BDAT 7\r\n..dot\r\nBDAT 3 LAST\r\n.\r\nBDAT 1 LAST\r\nxBDAT x\r\n",
			replies: "220 250-250-250-250-250 250 250 250 250 250 554",
			events: []Event{
				{Event: "connect", Open: 1},
				{Event: "rcpt", Sender: "a@b", Recipient: "x@c", Reply: "250 2.1.5 ok"},
				{Event: "rcpt", Sender: "a@b", Recipient: "y@c", Reply: "250 2.1.5 ok"},
				{Event: "transaction", Sender: "a@b", Recipients: []string{"x@c", "y@c"}, File: "000001.eml", Reply: "250 2.0.0 kept"},
				{Event: "close", Reply: `bad chunk "BDAT x"`},
			},
			message: "..dot\r\n.\r\n",
		},
		"dropped": {
			answers: []string{"0|EOD|drop"},
			send:    envelope + data,
			replies: "220 250-250-250-250-250 250 250 250 354",
			events: []Event{
				{Event: "connect", Open: 1},
				{Event: "rcpt", Sender: "a@b", Recipient: "x@c", Reply: "250 2.1.5 ok"},
				{Event: "rcpt", Sender: "a@b", Recipient: "y@c", Reply: "250 2.1.5 ok"},
				{Event: "transaction", Sender: "a@b", Recipients: []string{"x@c", "y@c"}, Reply: "drop"},
				{Event: "close", Reply: "dropped as told"},
			},
		},
		"out of order": {
			send:    "MAIL FROM:<a@b>\r\nEHLO me\r\nRCPT TO:<x@c>\r\nDATA\r\nBDAT 3 LAST\r\nabcTURN\r\nMAIL FROM:a@b\r\nQUIT\r\n",
			replies: "220 503 250-250-250-250-250 503 554 554 502 501 221",
			events:  []Event{{Event: "connect", Open: 1}, {Event: "close"}},
		},
		"greeting": {
			answers: []string{"0|CONNECT|421 4.3.2 busy"},
			send:    "",
			replies: "421",
			events:  []Event{{Event: "connect", Open: 1}, {Event: "close", Reply: "closed after 421"}},
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			replies, events, message := talk(t, !tt.plain, tt.answers, tt.send)
			if replies != tt.replies {
				t.Errorf("replies %s, want %s", replies, tt.replies)
			}
			if diff := cmp.Diff(tt.events, events, cmpopts.IgnoreFields(Event{}, "Time", "Conn")); diff != "" {
				t.Errorf("log (-want +got):\n%s", diff)
			}
			if message != tt.message {
				t.Errorf("message %q, want %q", message, tt.message)
			}
		})
	}
}

// What is written at once arrives at once, a while later.
func TestDelayLine(t *testing.T) {
	const delay = 200 * time.Millisecond
	server, client := net.Pipe()
	defer client.Close()
	l := newDelayLine(server, delay)
	began := time.Now()
	for range 5 {
		if _, err := l.Write([]byte("x")); err != nil {
			t.Fatal(err)
		}
	}
	b := make([]byte, 5)
	_, err := io.ReadFull(client, b)
	took := time.Since(began)
	l.close()
	if err != nil || string(b) != "xxxxx" || took < delay || took > 3*delay {
		t.Errorf("%q, %v after %v", b, err, took)
	}
}

func TestCollector(t *testing.T) {
	dir := t.TempDir()
	c, err := newCollector(filepath.Join(dir, "log"), filepath.Join(dir, "mail.log"))
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- c.run() }()
	out, err := net.Dial("unixgram", filepath.Join(dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	if _, err := out.Write([]byte("<22>dma[1]: one\n")); err != nil {
		t.Fatal(err)
	}
	if _, err := out.Write([]byte("dma[1]: two")); err != nil {
		t.Fatal(err)
	}
	var text []byte
	for range 200 {
		if text, err = os.ReadFile(filepath.Join(dir, "mail.log")); err != nil {
			t.Fatal(err)
		}
		if strings.Count(string(text), "\n") == 2 {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	c.close()
	<-ended
	lines := strings.Split(string(text), "\n")
	if len(lines) != 3 || !strings.HasSuffix(lines[0], " dma[1]: one") || !strings.HasSuffix(lines[1], " dma[1]: two") {
		t.Errorf("collected %q", text)
	}
}
