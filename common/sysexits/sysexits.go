// Package sysexits has the exit codes of <sysexits.h>, which callers of
// sendmail and commands in .forward files agree on.
package sysexits

// Exit codes.
const (
	OK          = 0
	Usage       = 64 // wrong call
	DataErr     = 65 // malformed address or input
	NoInput     = 66 // no recipients, unreadable input
	NoUser      = 67 // unknown recipient
	NoHost      = 68 // unknown host
	Unavailable = 69 // refused, too big
	Software    = 70 // internal error
	OSErr       = 71 // system call failed
	OSFile      = 72 // system file missing
	CantCreat   = 73 // cannot create in the spool
	IOErr       = 74 // input or output error
	TempFail    = 75 // try again later
	Protocol    = 76 // remote error in protocol
	NoPerm      = 77 // no permission
	Config      = 78 // configuration error
)
