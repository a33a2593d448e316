package letter

import (
	"errors"

	"dma/common/outcome"

	"golang.org/x/sys/unix"
)

// Deferral is what becomes of a letter that could not be put into a mailbox, a file
// or a maildir because of err. Nothing that goes wrong with these is for ever: the
// person can repair it, and the mail waits until then.
func Deferral(err error) outcome.Outcome {
	code := "4.2.0" // other mailbox status
	switch {
	case errors.Is(err, ErrText):
		code = "4.3.0" // other mail system status
	case errors.Is(err, unix.ENOSPC):
		code = "4.3.1" // mail system full
	case errors.Is(err, unix.EDQUOT), errors.Is(err, unix.EFBIG):
		code = "4.2.2" // mailbox full
	}
	return outcome.Defer(code, "%v", err)
}
