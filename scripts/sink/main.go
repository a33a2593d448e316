// Command sink is an SMTP server for tests: it takes what it is sent, keeps it,
// and answers as it is told. It listens on loopback only and ends by itself.
//
//	sink -dir DIR [-addr 127.0.0.1:0] [-answer 'COUNT|REGEXP|REPLY']... [-pipelining=false]
//	     [-chunking] [-rtt 20ms] [-log SOCKET] [-life 10m]
//
// In DIR it writes
//
//	address      host:port, as soon as it listens
//	000001.eml   the message of the first transaction, as it came but for the dots
//	log.jsonl    one event a line: see Event. A transaction is there before it is answered
//	mail.log     with -log: what programs wrote to that socket, which stands in for /dev/log
//
// -answer: the first COUNT commands (0: all of them) that match REGEXP, case
// ignored, get REPLY. CONNECT stands for the greeting and EOD for the end of the
// data. "drop" instead of a reply closes the connection; after a reply of 421 it
// is closed as well.
package main

import (
	"errors"
	"flag"
	"fmt"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintf(os.Stderr, "sink: %v\n", err)
		os.Exit(1)
	}
}

func run() error {
	s := server{open: map[net.Conn]bool{}}
	addr := flag.String("addr", "127.0.0.1:0", "address to listen on, on loopback")
	dir := flag.String("dir", "", "directory for what comes")
	logSocket := flag.String("log", "", "datagram socket to make and to copy to mail.log")
	life := flag.Duration("life", 10*time.Minute, "end after this time")
	flag.BoolVar(&s.pipelining, "pipelining", true, "offer PIPELINING")
	flag.BoolVar(&s.chunking, "chunking", false, "offer CHUNKING")
	flag.DurationVar(&s.rtt, "rtt", 0, "let each byte arrive this much later, as from far away")
	flag.Func("answer", "COUNT|REGEXP|REPLY, any number of times", s.script.add)
	flag.Parse()
	if *dir == "" || flag.NArg() > 0 {
		return errors.New("usage: sink -dir DIR [options]; see -help")
	}
	events, err := os.OpenFile(filepath.Join(*dir, "log.jsonl"), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer events.Close()
	s.record = recorder{dir: *dir, log: events}
	done := make(chan error, 3)
	if *logSocket != "" {
		c, err := newCollector(*logSocket, filepath.Join(*dir, "mail.log"))
		if err != nil {
			return err
		}
		defer c.close()
		go func() { done <- c.run() }()
	}
	l, err := listen(*addr, *dir)
	if err != nil {
		return err
	}
	go func() { done <- s.serve(l) }()
	go func() {
		stop := make(chan os.Signal, 1)
		signal.Notify(stop, syscall.SIGTERM, syscall.SIGINT)
		select {
		case <-stop:
		case <-time.After(*life):
		}
		done <- nil
	}()
	err = <-done
	l.Close()
	s.stop()
	return err
}

// listen says where in DIR/address, which appears whole.
func listen(addr, dir string) (net.Listener, error) {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, err
	}
	if !l.Addr().(*net.TCPAddr).IP.IsLoopback() {
		l.Close()
		return nil, fmt.Errorf("%s is not loopback", addr)
	}
	path := filepath.Join(dir, "address")
	if err = os.WriteFile(path+".new", []byte(l.Addr().String()+"\n"), 0o600); err == nil {
		err = os.Rename(path+".new", path)
	}
	if err != nil {
		l.Close()
		return nil, err
	}
	return l, nil
}
