package command

import (
	"fmt"
	"strings"
	"syscall"

	"dma/common/outcome"
	"dma/common/sysexits"
)

// Exit codes that the shell has a use of its own for (POSIX, sh, "Exit Status").
const (
	exitNoExec    = 126 // found, but not executable
	exitNotFound  = 127
	exitSignal    = 128 // plus the signal that killed the command
	exitSignalEnd = exitSignal + 64
)

// outcome is what becomes of the target (RULES D8).
func (e end) outcome() outcome.Outcome {
	switch {
	case e.input != nil:
		return outcome.Defer("4.3.0", "%v", e.input)
	case e.stopped:
		return outcome.Defer("4.3.0", "%s was stopped, as the mail system ends or the message was removed", e.name)
	case e.late:
		return outcome.Defer("4.3.0", "%s did not end within %v%s", e.name, e.limit, said(e.output))
	case e.state == nil:
		return outcome.Defer("4.3.0", "how %s ended is not known", e.name)
	}
	status := e.state.Sys().(syscall.WaitStatus)
	if status.Signaled() {
		return outcome.Defer("4.3.0", "%s was killed by signal %d (%v)%s", e.name, status.Signal(), status.Signal(), said(e.output))
	}
	return exited(e.name, status.ExitStatus(), e.output)
}

// exited is what becomes of the target when name ended by itself.
func exited(name string, exit int, output string) outcome.Outcome {
	if exit == sysexits.OK {
		return outcome.Success("delivered to %s", name)
	}
	class, code := verdict(exit)
	if first, rest, _ := strings.Cut(output, " "); outcome.ValidCode(first) && first[0] != '2' {
		class, code, output = outcome.Failed, first, rest
		if first[0] == '4' {
			class = outcome.Later
		}
	}
	return outcome.Outcome{
		Class: class, Code: code,
		Text: outcome.Clean(fmt.Sprintf("%s exited with status %d%s", name, exit, said(output))),
	}
}

// verdict is what an exit status other than 0 means. Programs that do not know
// <sysexits.h> exit with 1 for anything; that bounces, as with other mailers.
func verdict(exit int) (outcome.Class, string) {
	switch exit {
	case sysexits.OSErr, sysexits.IOErr, sysexits.TempFail, exitNoExec, exitNotFound:
		return outcome.Later, "4.3.0"
	case sysexits.Usage, sysexits.Config:
		return outcome.Failed, "5.3.5" // system incorrectly configured
	case sysexits.DataErr:
		return outcome.Failed, "5.6.0" // media error
	case sysexits.NoUser:
		return outcome.Failed, "5.1.1" // bad mailbox address
	case sysexits.NoHost:
		return outcome.Failed, "5.1.2" // bad system address
	case sysexits.CantCreat:
		return outcome.Failed, "5.2.0" // mailbox status
	case sysexits.Protocol:
		return outcome.Failed, "5.5.0" // protocol status
	case sysexits.NoPerm:
		return outcome.Failed, "5.7.0" // security status
	}
	if exit > exitSignal && exit <= exitSignalEnd {
		return outcome.Later, "4.3.0" // a signal killed what the shell had started
	}
	return outcome.Failed, "5.3.0" // mail system status
}

// said is what a command said, for the end of a sentence.
func said(output string) string {
	if output == "" {
		return ""
	}
	return ": " + output
}
