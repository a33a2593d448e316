package front

import (
	"path"
	"strings"

	"dma/common/mailaddr"
	"dma/common/sysexits"
)

// letters are the options of sendmail and dma(8) that are known by name, with
// what they take: ":" an argument, glued or the next word, "?" one only if it is
// glued, as in -q30m. Any other letter is an option without argument, and ignored.
const letters = "A:b:B:C:d:De:f:F:Gh:iIL:mnN:o:O:p:q?r:R:tUvV:X:"

// unheeded are those that ask for something that is not done. The others of
// letters that Parse does not name change nothing here.
const unheeded = "CDLNRV"

// Mode is what the program was called for.
type Mode uint8

// The modes.
const (
	Submit  Mode = iota // take a message
	List                // print the queue
	Flush               // try everything now
	Aliases             // check the alias file
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
	Quiet       bool     // -bq: do not wake the runner
	Verbose     bool

	Ignored []string // options that somebody may miss, for the log
}

// Parse reads the command line. Its first word says which of the commands this
// is. Options are data (RULES A7): whatever they hold, they are only compared and
// stored.
func Parse(argv []string) (Options, error) {
	if len(argv) == 0 {
		argv = []string{"sendmail"}
	}
	o := Options{}
	switch path.Base(argv[0]) {
	case "mailq":
		o.Mode = List
	case "newaliases":
		o.Mode = Aliases
	}
	isSendmail := o.Mode == Submit
	var flush bool
	operands, err := scan(argv[1:], letters, func(letter byte, long, arg string) error {
		if letter == 'q' {
			flush = true
			return nil
		}
		return o.set(letter, long, arg)
	})
	if err != nil {
		return Options{}, err
	}
	if isSendmail {
		o.Recipients = operands
	} else {
		flush = false
	}
	switch {
	case flush && o.Mode == List:
		return Options{}, failf(sysexits.Usage, "-bp and -q exclude each other")
	case flush && o.Mode == Submit:
		o.Mode = Flush
	}
	if len(o.Recipients) > 0 && (o.Mode == List || o.Mode == Flush) {
		return Options{}, failf(sysexits.Usage, "-bp and -q take no recipients")
	}
	return o, nil
}

func (o *Options) set(letter byte, long, arg string) error {
	switch letter {
	case 'b':
		return o.setMode(arg)
	case 'f', 'r':
		a, err := mailaddr.ParseSender(arg)
		if err != nil {
			return failf(sysexits.DataErr, "sender %q: %w", arg, err)
		}
		o.Sender, o.SenderGiven = a.String(), true
	case 'F':
		if err := mailaddr.Check(arg); err != nil && arg != "" {
			return failf(sysexits.DataErr, "full name %q: %w", arg, err)
		}
		o.FullName = arg
	case 'i':
		o.KeepDots = true
	case 'I':
		o.Mode = Aliases
	case 'o':
		if arg == "i" {
			o.KeepDots = true
		}
	case 't':
		o.FromHeader = true
	case 'v':
		o.Verbose = true
	case 0:
		switch long {
		case "version":
			o.Mode = Version
		case "help":
			o.Mode = Help
		default:
			o.Ignored = append(o.Ignored, "--"+long)
		}
	default:
		if strings.IndexByte(unheeded, letter) >= 0 || index(letters, letter) < 0 {
			o.Ignored = append(o.Ignored, "-"+string(rune(letter)))
		}
	}
	return nil
}

func (o *Options) setMode(arg string) error {
	switch arg {
	case "m":
	case "q":
		o.Quiet = true
	case "p":
		o.Mode = List
	case "i":
		o.Mode = Aliases
	case "s":
		return failf(sysexits.Unavailable, "-bs: SMTP on standard input is not supported by this version; give the message to sendmail -t or sendmail -i recipient")
	case "v":
		return failf(sysexits.Unavailable, "-bv: verifying addresses is not supported by this version")
	case "d", "D":
		return failf(sysexits.Unavailable, "-b%s: this program does not listen for mail", arg)
	default:
		return failf(sysexits.Usage, "-b%.20q: no such mode", arg)
	}
	return nil
}

// scan goes through args as getopt(3) does by POSIX: options end at the first
// word that is none, or behind --. It calls option for each one, with letter 0
// for a long option (of which only the name is known here), and returns the rest.
func scan(args []string, letters string, option func(letter byte, long, arg string) error) ([]string, error) {
	for len(args) > 0 {
		word := args[0]
		if len(word) < 2 || word[0] != '-' {
			break
		}
		args = args[1:]
		if word == "--" {
			break
		}
		if long, ok := strings.CutPrefix(word, "--"); ok {
			if err := option(0, long, ""); err != nil {
				return nil, err
			}
			continue
		}
		for i := 1; i < len(word); i++ {
			letter, arg := word[i], ""
			switch takes(letters, letter) {
			case ':':
				if arg = word[i+1:]; arg == "" {
					if len(args) == 0 {
						return nil, failf(sysexits.Usage, "option -%c needs an argument", letter)
					}
					arg, args = args[0], args[1:]
				}
				i = len(word)
			case '?':
				arg = word[i+1:]
				i = len(word)
			}
			if err := option(letter, "", arg); err != nil {
				return nil, err
			}
		}
	}
	return args, nil
}

// takes says what an option takes: ':', '?' or nothing.
func takes(letters string, letter byte) byte {
	if i := index(letters, letter); i >= 0 && i+1 < len(letters) {
		return letters[i+1]
	}
	return 0
}

func index(letters string, letter byte) int {
	if letter == ':' || letter == '?' {
		return -1
	}
	return strings.IndexByte(letters, letter)
}

// Usage is what --help prints.
const Usage = `usage: sendmail [-itv] [-bq] [-F name] [-f sender] [--] [recipient ...]
       sendmail -bp | mailq [-v]
       sendmail -q
       sendmail -bi | newaliases
       sendmail --version
`
