package durable

// Step is one system call of this package, for tests that make it fail.
type Step uint8

// The steps. A StepWrite that is made to fail has written half of its bytes.
const (
	StepOpen Step = iota + 1 // of a directory (by path) or file (by name)
	StepCreate
	StepMode
	StepWrite
	StepSync
	StepSyncDir
	StepStat
	StepClose
	StepRename // by the old name
	StepRemove
	StepNames

	// Steps is how many there are.
	Steps = int(StepNames)
)

func (s Step) String() string {
	switch s {
	case StepOpen:
		return "open"
	case StepCreate:
		return "create"
	case StepMode:
		return "set mode of"
	case StepWrite:
		return "write"
	case StepSync, StepSyncDir:
		return "sync"
	case StepStat:
		return "stat"
	case StepClose:
		return "close"
	case StepRename:
		return "rename"
	case StepRemove:
		return "remove"
	case StepNames:
		return "list"
	}
	return "invalid"
}

// Option changes how a Dir works.
type Option func(*Dir)

// WithFault has fault called before every step with the name of the file it is
// about, empty for the directory. An error of fault is the step's error, and
// the step is not done. Only tests use it.
func WithFault(fault func(step Step, name string) error) Option {
	return func(d *Dir) { d.fault = fault }
}

func (d *Dir) fail(s Step, name string) error {
	if d.fault == nil {
		return nil
	}
	return d.fault(s, name)
}
