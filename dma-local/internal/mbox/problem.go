package mbox

import "fmt"

// Problem is an error that may know its remedy.
type Problem struct {
	What   string
	Remedy string // a sentence for the person who can repair it, or empty
	cause  error
}

// problem makes a Problem of the cause, nil if format says it all, and a remedy.
func problem(cause error, remedy, format string, args ...any) *Problem {
	p := &Problem{What: fmt.Sprintf(format, args...), Remedy: remedy, cause: cause}
	if cause != nil {
		p.What += ": " + cause.Error()
	}
	return p
}

func (p *Problem) Error() string {
	if p.Remedy == "" {
		return p.What
	}
	return p.What + "; " + p.Remedy
}

// Unwrap returns the cause.
func (p *Problem) Unwrap() error { return p.cause }
