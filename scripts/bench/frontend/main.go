// Frontend measures what handing in a message costs: the wall time of whole
// processes, from starting them to their exit, run in turn so that whatever else
// the machine does hits all of them alike.
//
//	go run ./scripts/bench/frontend [-n runs] [-dir directory]
//
// It prints medians, and exits with 1 if one of sendmail -bq with a message of
// 2 KiB, with no configuration and with a full one and 100 aliases, is over 1.6
// times that of a program that does nothing but create the same file with the same
// two syncs. The directory decides which disk is measured.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"dma/proto"
)

const (
	maxRatio    = 1.6
	messageSize = 2 << 10
	aliases     = 100
	warmUp      = 10 // runs of each that are not counted
)

func main() {
	n := flag.Int("n", 300, "runs of each program")
	dir := flag.String("dir", "", "where to put the spool (default a temporary directory)")
	flag.Parse()
	ratio, err := bench(*n, *dir)
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
	if ratio > maxRatio {
		fmt.Printf("FAIL: ratio %.2f is over %.1f\n", ratio, maxRatio)
		os.Exit(1)
	}
	fmt.Printf("ok: ratio %.2f, limit %.1f\n", ratio, maxRatio)
}

// site is a private installation.
type site struct{ root string }

// contest is one of the programs that are compared.
type contest struct {
	name   string
	judged bool
	start  func(run int) *exec.Cmd
	setUp  func() (tearDown func(), err error) // around each run, not measured
	times  []time.Duration
}

func bench(n int, dir string) (ratio float64, err error) {
	root, err := os.MkdirTemp(dir, "dma-bench") //nolint:forbidigo // the caller chooses the disk, by option or TMPDIR
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(root)
	s := &site{root}
	if err := s.install(); err != nil {
		return 0, err
	}
	contests := s.contests()
	for i := range n + warmUp {
		for c := range contests {
			d, err := s.measure(&contests[c], i)
			if err != nil {
				return 0, fmt.Errorf("%s: %w", contests[c].name, err)
			}
			if i >= warmUp {
				contests[c].times = append(contests[c].times, d)
			}
		}
	}
	base := float64(median(contests[0].times))
	fmt.Printf("median wall time of %d runs, message of %d bytes:\n", n, messageSize)
	for _, c := range contests {
		m := median(c.times)
		r := float64(m) / base
		fmt.Printf("  %-52s %6.2f ms  ratio %.2f\n", c.name, float64(m.Microseconds())/1000, r)
		if c.judged {
			ratio = max(ratio, r)
		}
	}
	return ratio, nil
}

// contests: the reference is first.
func (s *site) contests() []contest {
	sendmail := func(args ...string) func(int) *exec.Cmd {
		return func(int) *exec.Cmd { return exec.Command(s.root+"/sendmail", append(args, "far@remote.example")...) }
	}
	toAlias := func(int) *exec.Cmd { return exec.Command(s.root+"/sendmail", "-bq", "alias50", "far@remote.example") }
	nothing := func() (func(), error) { return func() {}, nil }
	return []contest{
		{name: "reference: create, write, sync, sync directory", setUp: nothing, start: func(run int) *exec.Cmd {
			return exec.Command(s.root+"/reference", fmt.Sprintf("%s/spool/incoming/%d", s.root, run))
		}},
		{name: "sendmail -bq", judged: true, setUp: nothing, start: sendmail("-bq")},
		{name: "sendmail -bq, full dma.conf, to one of 100 aliases", judged: true, setUp: s.configure, start: toAlias},
		{name: "sendmail, a runner listens", setUp: s.listen, start: sendmail()},
		{name: "sendmail, starts dma-spawn (/bin/true in its place)", setUp: nothing, start: sendmail()},
	}
}

func (s *site) install() error {
	if err := errors.Join(os.MkdirAll(s.root+"/spool/incoming", 0o700), os.MkdirAll(s.root+"/spool/run", 0o700),
		os.Mkdir(s.root+"/etc", 0o700), os.Symlink("/bin/true", s.root+"/dma-spawn")); err != nil {
		return err
	}
	passwd := fmt.Sprintf("me:x:%d:%d::/:/bin/sh\n", os.Getuid(), os.Getgid())
	for i := range 40 { // as many as a small host has
		passwd = fmt.Sprintf("user%d:x:%d:%[2]d::/home/user%[1]d:/bin/sh\n", i, 50000+i) + passwd
	}
	if err := errors.Join(os.WriteFile(s.root+"/etc/passwd", []byte(passwd), 0o600), os.WriteFile(s.root+"/message", message(), 0o600)); err != nil {
		return err
	}
	flags := "-X dma/common/site.QueueUser="
	for name, value := range map[string]string{"Libexec": "", "Spool": "/spool", "Conf": "/etc", "Aliases": "/etc/aliases", "Passwd": "/etc/passwd", "Nsswitch": "/etc/nsswitch.conf", "LogSocket": "/log"} {
		flags += " -X dma/common/site." + name + "=" + s.root + value
	}
	for name, pkg := range map[string]string{"sendmail": "dma/dma-queue", "reference": "dma/scripts/bench/reference"} {
		c := exec.Command("go", "build", "-trimpath", "-ldflags", flags, "-o", s.root+"/"+name, pkg)
		c.Env = append(os.Environ(), "CGO_ENABLED=0")
		c.Stderr = os.Stderr
		if err := c.Run(); err != nil {
			return fmt.Errorf("build %s: %w", pkg, err)
		}
	}
	return nil
}

func (s *site) measure(c *contest, run int) (time.Duration, error) {
	tearDown, err := c.setUp()
	if err != nil {
		return 0, err
	}
	defer tearDown()
	cmd := c.start(run)
	cmd.Env = []string{"LOGNAME=me", "USER=me"}
	in, err := os.Open(s.root + "/message")
	if err != nil {
		return 0, err
	}
	defer in.Close()
	cmd.Stdin, cmd.Stderr = in, os.Stderr
	begun := time.Now()
	err = cmd.Run()
	d := time.Since(begun)
	if err != nil {
		return 0, err
	}
	return d, s.clear()
}

// clear makes sure that each run has made one file, and removes it.
func (s *site) clear() error {
	names, err := filepath.Glob(s.root + "/spool/incoming/*")
	if err != nil {
		return err
	}
	if len(names) != 1 {
		return fmt.Errorf("%d files in incoming", len(names))
	}
	st, err := os.Stat(names[0])
	if err != nil {
		return err
	}
	if st.Size() < messageSize {
		return fmt.Errorf("file of %d bytes in incoming", st.Size())
	}
	return os.Remove(names[0])
}

// template is the configuration file as it is installed.
const template = "scripts/etc/dma.conf"

// configure has every key of the template in force, and aliases.
func (s *site) configure() (func(), error) {
	text, err := os.ReadFile(template)
	if err != nil {
		return nil, fmt.Errorf("start this at the top of the repository: %w", err)
	}
	var config, names strings.Builder
	for line := range strings.Lines(string(text)) {
		if key := strings.TrimPrefix(line, "#"); key != line && key[0] >= 'A' && key[0] <= 'Z' {
			line = key
		}
		if !strings.HasPrefix(line, "NULLCLIENT") { // which has no aliases to look up
			config.WriteString(line)
		}
	}
	fmt.Fprintf(&config, "ALIASES %s/etc/aliases\n", s.root)
	for i := range aliases {
		fmt.Fprintf(&names, "alias%d: me, somebody%[1]d@remote.example\n", i)
	}
	files := map[string]string{s.root + "/etc/dma.conf": config.String(), s.root + "/etc/aliases": names.String()}
	for path, text := range files {
		err = errors.Join(err, os.WriteFile(path, []byte(text), 0o600))
	}
	return func() {
		for path := range files {
			os.Remove(path)
		}
	}, err
}

// listen stands in for a runner that is awake.
func (s *site) listen() (func(), error) {
	l, err := proto.Listen(s.root + "/spool/run/control")
	if err != nil {
		return nil, err
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		if _, err := c.RecvHello(); err == nil {
			c.Recv(time.Second, proto.TypeWake) // what it says changes nothing here
		}
	}()
	return func() {
		l.Close()
		<-done
		os.Remove(s.root + "/spool/run/control")
	}, nil
}

func message() []byte {
	text := "From: me\nTo: far@remote.example\nSubject: benchmark\n\n"
	text += strings.Repeat("A line of an ordinary message, which is as long as this.\n", messageSize)
	return []byte(text[:messageSize-1] + "\n")
}

func median(times []time.Duration) time.Duration {
	slices.Sort(times)
	return times[len(times)/2]
}
