//go:build system

// Package compat compares this suite with Debian's dma 0.13, whose place it takes:
// both get the same configuration, arguments, environment and standard input, and
// what comes of it is compared (exit code, output, recipients, bytes). What may
// differ is in the file differences.
//
// The test program first builds the suite and gets Debian's package. Then it
// starts itself twice, once for each of the two, in namespaces of their own: there
// it puts an overlay over the root file system, installs the one mailer, runs all
// cases, and hands back a report. The tests proper compare the two reports.
package compat

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"dma/scripts/machine"
)

const (
	mailerVariable = "DMA_COMPAT_MAILER" // which mailer this process is to try
	buildVariable  = "DMA_COMPAT_BUILD"  // where the programs and packages are
	reportVariable = "DMA_COMPAT_REPORT" // set by the caller: a file for all that was seen
)

// The mailers that are compared.
const (
	debian = "debian"
	suite  = "suite"
)

// reports is what the mailers did, set before any test runs.
var reports = map[string]*report{}

func TestMain(m *testing.M) {
	flag.Parse()
	code := 0
	var err error
	if mailer := os.Getenv(mailerVariable); mailer != "" {
		err = inWorld(mailer)
	} else if err = tryBoth(); err == nil {
		code = m.Run()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "compat:", err)
		code = 1
	}
	os.Exit(code)
}

func tryBoth() error {
	if os.Getuid() != 0 {
		return errors.New("these tests need root")
	}
	build, err := os.MkdirTemp("/var/tmp", "dma-compat-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(build)
	if err := os.Chmod(build, 0o755); err != nil {
		return err
	}
	for _, args := range [][]string{
		{"make", "-s", "-C", machine.Repository(), "all", "BUILD=" + build},
		{"go", "build", "-C", machine.Repository(), "-o", build + "/sink", "./scripts/sink"},
	} {
		if err := do(args...); err != nil {
			return err
		}
	}
	if err := fetch(build); err != nil {
		return err
	}
	type answer struct {
		mailer string
		report *report
		err    error
	}
	answers := make(chan answer)
	for _, mailer := range []string{debian, suite} {
		go func() {
			r, err := try(mailer, build)
			answers <- answer{mailer, r, err}
		}()
	}
	for range 2 {
		a := <-answers
		if a.err != nil {
			err = errors.Join(err, fmt.Errorf("%s: %w", a.mailer, a.err))
		}
		reports[a.mailer] = a.report
	}
	if path := os.Getenv(reportVariable); path != "" {
		text, encodeErr := json.MarshalIndent(reports, "", "\t")
		err = errors.Join(err, encodeErr, os.WriteFile(path, text, 0o600))
	}
	return err
}

// do runs a command that has to succeed.
func do(args ...string) error {
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s", strings.Join(args, " "), err, out)
	}
	return nil
}

// packages are Debian's, which the test unpacks and never installs: those for the
// world of each mailer. libssl3 is what dma links beside libc.
var packages = map[string][]string{
	debian: {"dma", "libssl3"},
	suite:  {"monitoring-plugins-standard", "monitoring-plugins-common"},
}

// fetch gets the packages, and makes sure that it is the dma that was read for this.
func fetch(build string) error {
	if err := machine.Fetch(build, slices.Concat(packages[debian], packages[suite])); err != nil {
		return err
	}
	version, err := exec.Command("dpkg-deb", "-f", build+"/dma.deb", "Version").Output()
	if err != nil || !strings.HasPrefix(string(version), "0.13-") {
		return fmt.Errorf("package dma is version %q, not 0.13: %w", version, err)
	}
	return nil
}

// try runs all cases with one mailer.
func try(mailer, build string) (*report, error) {
	in, out, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer in.Close()
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.ExtraFiles = []*os.File{out}
	cmd.Env = slices.Concat(os.Environ(), []string{
		mailerVariable + "=" + mailer, buildVariable + "=" + build,
		"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root",
	})
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: unix.CLONE_NEWNS | unix.CLONE_NEWPID | unix.CLONE_NEWNET | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC,
		Pdeathsig:  syscall.SIGKILL,
	}
	err = cmd.Start()
	out.Close()
	if err != nil {
		return nil, err
	}
	r := new(report)
	decodeErr := json.NewDecoder(in).Decode(r)
	if err := cmd.Wait(); err != nil {
		return nil, err
	}
	return r, decodeErr
}

// inWorld is the other side of try: process 1 of its namespaces. Orphans that it
// does not collect go away with it.
func inWorld(mailer string) error {
	out := os.NewFile(3, "report")
	unix.CloseOnExec(3)
	if err := machine.Isolate(); err != nil {
		return err
	}
	if err := install(mailer); err != nil {
		return err
	}
	r, err := runAll(mailer)
	if err != nil {
		return err
	}
	return json.NewEncoder(out).Encode(r)
}
