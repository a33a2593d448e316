package front

import (
	"path"

	"dma/common/dsn"
	"dma/common/mailaddr"
	"dma/common/sysexits"
	"dma/proto"
)

// letters are the options of sendmail and dma(8) that are known by name, with
// what they take: ":" an argument, glued or the next word, "?" one only if it is
// glued, as in -q30m. Any other letter is an option without argument, and ignored
// with a line in the log; those that Options.set does not name are ignored silently.
const letters = "A:b:B:C:d:De:f:F:Gh:iIL:mnN:o:O:p:q?r:R:tUvV:X:"

// Mode is what the program was called for.
type Mode uint8

// The modes.
const (
	Submit  Mode = iota // take a message from standard input
	Flush               // try everything now, and say nothing
	Operate             // look at the queue, or steer it: Command says how
	Aliases             // check the alias file
	SMTP                // take messages by SMTP on standard input
	Verify              // say where mail for Recipients would go
	Check               // look at the installation
	Import              // take over the spool of an old dma: Args names it
	Version
	Help
)

// Options are the command line, taken apart and checked.
type Options struct {
	Mode Mode

	Sender      string // as in spool.Submission
	SenderGiven bool
	FullName    string
	Recipients  []string // as given, not checked
	FromHeader  bool     // -t: take recipients from the header too
	KeepDots    bool     // -i: a line with a dot alone does not end the message
	Notify      dsn.Notify
	Ret         dsn.Ret
	EnvID       string
	Tag         string // of log lines
	ConfigFile  string // -C; empty: the usual one

	Queue      bool // -bq: do not wake the runner
	Foreground bool // -D: stay until the message was tried
	Verbose    bool
	Quiet      bool // -oeq: say nothing on standard error

	// Of Operate. Parse has seen to it that they fit together.
	Command string   // list, show, hold, release, remove or flush
	By      proto.By // which messages: with ByID those of Args, with ByAll all
	Value   string   // of ByRecipient and BySender: a plain address
	Args    []string // ids, at least one with ByID; of Import the directory, if any
	Format  string   // dma, postfix, sendmail or json; empty if nothing was said

	Ignored []string // options that somebody may miss, for the log
}

// Parse reads the command line. Its first word says which of the commands this
// is. Options are data (RULES A7): whatever they hold, they are only compared and
// stored.
func Parse(argv []string) (Options, error) {
	if len(argv) == 0 {
		argv = []string{"sendmail"}
	}
	p := parser{name: path.Base(argv[0])}
	switch p.name {
	case "mailq":
		p.o.Mode, p.o.Command = Operate, "list"
	case "newaliases":
		p.o.Mode = Aliases
	}
	operands, err := scan(argv[1:], letters, longOptions(), p.option)
	for err == nil && p.long != "" && len(operands) > 0 {
		// Whoever writes long options writes them behind ids too.
		p.o.Args = append(p.o.Args, operands[0])
		operands, err = scan(operands[1:], letters, longOptions(), p.option)
	}
	if err == nil {
		err = p.settle(operands)
	}
	if err != nil {
		return Options{}, err
	}
	return p.o, nil
}

type parser struct {
	o     Options
	name  string   // of the program
	list  bool     // -bp
	flush bool     // -q
	long  string   // the long option that says what to do
	which []string // long options that select
}

func (p *parser) option(letter byte, name, arg string) error {
	switch letter {
	case 0:
		return p.setLong(name, arg)
	case 'q':
		p.flush = true
		return nil
	case 'b':
		return p.setMode(arg)
	}
	return p.o.set(letter, arg)
}

func (o *Options) set(letter byte, arg string) (err error) {
	switch letter {
	case 'f', 'r':
		o.Sender, err = address(arg, "sender", mailaddr.ParseSender)
		o.SenderGiven = true
	case 'F':
		o.FullName, err = text(arg, "full name")
	case 'L':
		o.Tag, err = text(arg, "log tag")
	case 'C':
		o.ConfigFile = arg
	case 'N':
		if o.Notify, err = dsn.ParseNotify(arg); err != nil {
			return failf(sysexits.Usage, "-N: %w", err)
		}
	case 'R':
		if o.Ret, err = dsn.ParseRet(arg); err != nil {
			return failf(sysexits.Usage, "-R: %w", err)
		}
	case 'V':
		// As in sendmail, the id is written as RFC 3461 4 has it in SMTP.
		if o.EnvID, err = dsn.DecodeXText(arg); err == nil {
			err = dsn.CheckEnvID(o.EnvID)
		}
		if err != nil {
			return failf(sysexits.Usage, "-V %q: %w", arg, err)
		}
	case 'i':
		o.KeepDots = true
	case 'I':
		o.Mode = Aliases
	case 'D':
		o.Foreground = true
	case 't':
		o.FromHeader = true
	case 'v':
		o.Verbose = true
	case 'e':
		o.Quiet = arg == "q"
	case 'o':
		o.setOption(arg)
	default:
		if index(letters, letter) < 0 {
			o.Ignored = append(o.Ignored, "-"+string(rune(letter)))
		}
	}
	return err
}

// setOption is -o, whose argument begins with a letter again. Nearly all of what
// sendmail has there is about how sendmail works.
func (o *Options) setOption(arg string) {
	switch arg {
	case "i":
		o.KeepDots = true
	case "dq", "dd":
		o.Queue = true
	case "db", "di":
		o.Queue = false
	case "em", "ep", "eq", "ew", "ee":
		o.Quiet = arg == "eq"
	}
}

func (p *parser) setMode(arg string) error {
	switch arg {
	case "m":
		p.o.Mode = Submit
	case "q":
		p.o.Mode, p.o.Queue = Submit, true
	case "p":
		p.list = true
	case "i":
		p.o.Mode = Aliases
	case "s":
		p.o.Mode = SMTP
	case "v":
		p.o.Mode = Verify
	case "d", "D":
		return failf(sysexits.Unavailable, "-b%s: this program does not listen for mail; programs on this host hand it in with sendmail or sendmail -bs", arg)
	default: // as in dma, what nobody knows loses no mail
		p.o.Ignored = append(p.o.Ignored, "-b"+arg)
	}
	return nil
}

// address reads an address of the command line into its plain form. It may be
// written as in a header, with a name or a comment.
func address(arg, what string, parse func(string) (mailaddr.Addr, error)) (string, error) {
	a, err := parse(arg)
	if err != nil && mailaddr.Check(arg) == nil { // no folding here (RULES A6)
		if addrs, bad := mailaddr.ParseList(arg); len(addrs) == 1 && len(bad) == 0 {
			a, err = parse(addrs[0].String()) // it must do for a sender, too
		}
	}
	if err != nil {
		return "", failf(sysexits.DataErr, "%s %q: %w", what, arg, err)
	}
	return a.String(), nil
}

func text(arg, what string) (string, error) {
	if err := mailaddr.Check(arg); err != nil && arg != "" {
		return "", failf(sysexits.DataErr, "%s %q: %w", what, arg, err)
	}
	return arg, nil
}
