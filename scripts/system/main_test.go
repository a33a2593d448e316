//go:build system

// Package system tests the suite as it is installed: with real accounts,
// programs and sockets, on a copy of this machine that only the test sees.
//
// The test program runs three times. The first builds the suite and starts the
// second in namespaces of its own (mounts, processes, network, names). The second
// is process 1 there: it puts an overlay over the root file system, so that
// whatever is installed or broken goes away with it, starts the third in it, and
// collects orphans as init does. The third installs the suite with make install
// and runs the tests. There is no network but loopback.
package system

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"dma/scripts/machine"
)

const (
	stageVariable = "DMA_SYSTEM_STAGE"
	buildVariable = "DMA_SYSTEM_BUILD"
)

var update = flag.Bool("update", false, "write "+clientsTable+" anew")

func TestMain(m *testing.M) {
	if isRecorder() {
		record()
	}
	flag.Parse()
	var code int
	var err error
	switch os.Getenv(stageVariable) {
	case "":
		code, err = outside()
	case "init":
		code, err = asInit()
	default:
		if err = inside(); err == nil {
			code = m.Run()
			stopSuite()
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "system tests:", err)
		code = 1
	}
	os.Exit(code)
}

// outside builds everything and starts the next stage in namespaces.
func outside() (int, error) {
	if os.Getuid() != 0 {
		return 1, errors.New("these tests need root")
	}
	build, err := os.MkdirTemp("/var/tmp", "dma-system-")
	if err != nil {
		return 1, err
	}
	defer os.RemoveAll(build)
	if err := os.Chmod(build, 0o755); err != nil {
		return 1, err
	}
	for _, args := range [][]string{
		{"make", "-s", "-C", machine.Repository(), "all", "BUILD=" + build},
		{"go", "build", "-C", machine.Repository(), "-o", build + "/sink", "./scripts/sink"},
	} {
		cmd := exec.Command(args[0], args[1:]...)
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			return 1, fmt.Errorf("%s: %w\n%s", strings.Join(args, " "), err, out)
		}
	}
	if wanted("TestInterop") { // there is no network inside
		if err := machine.Fetch(build, serverPackages); err != nil {
			return 1, err
		}
	}
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.Env = append(os.Environ(), stageVariable+"=init", buildVariable+"="+build)
	if *update { // what is written inside is written to the copy
		f, err := os.OpenFile(clientsTable, os.O_WRONLY|os.O_CREATE, 0o644)
		if err != nil {
			return 1, err
		}
		defer f.Close()
		cmd.ExtraFiles = []*os.File{f}
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: unix.CLONE_NEWNS | unix.CLONE_NEWPID | unix.CLONE_NEWNET | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC,
		Pdeathsig:  syscall.SIGKILL,
	}
	return run(cmd)
}

// wanted reports whether -run may choose a test.
func wanted(test string) bool {
	pattern, _, _ := strings.Cut(flag.Lookup("test.run").Value.String(), "/")
	chosen, err := regexp.MatchString(pattern, test)
	return chosen || err != nil
}

func run(cmd *exec.Cmd) (int, error) {
	err := cmd.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return exit.ExitCode(), nil
	}
	return 0, err
}

// asInit makes the copy of the machine and is process 1 in it.
func asInit() (int, error) {
	if err := machine.Isolate(); err != nil {
		return 1, err
	}
	for name, value := range map[string]string{stageVariable: "inside", "PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root"} {
		if err := os.Setenv(name, value); err != nil {
			return 1, err
		}
	}
	files := []*os.File{nil, os.Stdout, os.Stderr}
	if *update {
		files = append(files, os.NewFile(3, clientsTable))
	}
	self, err := os.StartProcess("/proc/self/exe", os.Args, &os.ProcAttr{Env: os.Environ(), Files: files})
	if err != nil {
		return 1, err
	}
	for {
		var status syscall.WaitStatus
		pid, err := syscall.Wait4(-1, &status, 0, nil)
		switch {
		case errors.Is(err, syscall.EINTR):
		case err != nil:
			return 1, err
		case pid == self.Pid && status.Exited():
			return status.ExitStatus(), nil
		case pid == self.Pid:
			return 1, fmt.Errorf("tests ended by %v", status.Signal())
		}
	}
}

// users have a home, a shell and mail.
var users = []string{"alice", "bob", "carol"}

// fullNames are in the password file as chfn puts them there.
var fullNames = map[string]string{"alice": "Alice Adams,Room 7,,", "bob": "Bob Böhm"}

// aliases is what the alias file says when a test starts.
const aliases = "postmaster: root\nteam: alice, bob\n"

// inside installs the suite as the README says, on a machine with users.
func inside() error {
	files := map[string]string{
		"/etc/hostname":      machine.Hostname + "\n",
		"/etc/mailname":      machine.Hostname + "\n",
		"/etc/hosts":         "127.0.0.1 localhost\n127.0.1.1 client.example.net client\n",
		"/etc/resolv.conf":   "nameserver 127.0.0.1\noptions timeout:1 attempts:1\n",
		"/etc/nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\n",
		"/etc/aliases":       aliases,
	}
	for path, text := range files {
		_ = os.Remove(path) // may be a link
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			return err
		}
	}
	var commands [][]string
	for i, u := range users {
		commands = append(commands, []string{"useradd", "-m", "-U", "-u", fmt.Sprint(5001 + i), "-s", "/bin/sh", "-c", fullNames[u], u})
	}
	commands = append(commands,
		[]string{"make", "-s", "-C", machine.Repository(), "install", "BUILD=" + os.Getenv(buildVariable)},
		[]string{"make", "-s", "-C", machine.Repository(), "install", "BUILD=" + os.Getenv(buildVariable)}, // changes nothing
	)
	for _, args := range commands {
		if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
			return fmt.Errorf("%s: %w\n%s", strings.Join(args, " "), err, out)
		}
	}
	return startLog()
}

// logDir is where everything that the suite logs is collected.
const logDir = "/run/log"

func startLog() error {
	if err := os.Mkdir(logDir, 0o755); err != nil {
		return err
	}
	cmd := exec.Command(os.Getenv(buildVariable)+"/sink", "-dir", logDir, "-log", "/dev/log", "-life", "1h")
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		return err
	}
	for range 500 {
		if _, err := os.Stat("/dev/log"); err == nil {
			return nil
		}
		time.Sleep(10 * time.Millisecond)
	}
	return errors.New("no log collector")
}
