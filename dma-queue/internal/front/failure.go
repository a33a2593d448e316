package front

import "fmt"

// Failure is an error with the exit code that it ends the program with.
type Failure struct {
	Code int // of package sysexits
	Err  error
}

func (f *Failure) Error() string { return f.Err.Error() }

// Unwrap gives the cause.
func (f *Failure) Unwrap() error { return f.Err }

func failf(code int, format string, args ...any) error {
	return &Failure{code, fmt.Errorf(format, args...)}
}
