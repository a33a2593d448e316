package front

import (
	"slices"
	"strings"

	"dma/common/mailaddr"
	"dma/common/sysexits"
	"dma/proto"
)

// longOptions are for people; what programs call has letters. A ":" stands for
// an argument, "!" for what says what to do.
func longOptions() map[string]string {
	return map[string]string{
		"list": "!", "show": "!", "hold": "!", "release": "!", "remove": "!", "flush": "!",
		"check": "!", "import": "!", "version": "!", "help": "!",
		"all": "", "recipient": ":", "sender": ":", "format": ":",
	}
}

func (p *parser) setLong(name, arg string) (err error) {
	kind, known := longOptions()[name]
	switch {
	case !known:
		p.o.Ignored = append(p.o.Ignored, "--"+name)
	case kind == "!" && p.long != "" && p.long != name:
		return failf(sysexits.Usage, "--%s and --%s exclude each other", p.long, name)
	case kind == "!":
		p.long = name
		if arg != "" {
			p.o.Args = append(p.o.Args, arg)
		}
	case name == "format":
		p.o.Format = arg
	default:
		p.which = append(p.which, name)
		switch name {
		case "all":
			p.o.By = proto.ByAll
		case "recipient":
			p.o.By = proto.ByRecipient
			p.o.Value, err = address(arg, "recipient", mailaddr.Parse)
		case "sender":
			p.o.By = proto.BySender
			p.o.Value, err = address(arg, "sender", mailaddr.ParseSender)
		}
	}
	return err
}

// settle looks at the options together, once all are known.
func (p *parser) settle(operands []string) error {
	o := &p.o
	if p.name == "mailq" || p.name == "newaliases" {
		operands, p.flush = nil, false // as ever
	}
	switch p.long {
	case "":
	case "version":
		o.Mode = Version
		return nil
	case "help":
		o.Mode = Help
		return nil
	case "check":
		o.Mode = Check
	case "import":
		o.Mode = Import
	default:
		o.Mode, o.Command = Operate, p.long
	}
	switch {
	case (p.list || p.flush) && p.long != "" && p.long != "list":
		return failf(sysexits.Usage, "-bp and -q go together with no other command")
	case p.list && p.flush, p.flush && p.long != "":
		return failf(sysexits.Usage, "-bp and -q exclude each other")
	case (p.list || p.flush) && len(operands) > 0:
		return failf(sysexits.Usage, "-bp and -q take no recipients")
	case p.list:
		o.Mode, o.Command = Operate, "list"
	case p.flush && o.Mode == Submit:
		o.Mode = Flush
	case o.Mode == SMTP && len(operands) > 0:
		return failf(sysexits.Usage, "-bs takes no recipients")
	case o.Mode == Submit, o.Mode == Verify:
		o.Recipients = operands
	}
	if o.Mode != Operate {
		o.Command = "" // mailq -bi
	}
	return p.settleOperation()
}

// settleOperation looks at what goes with the commands for operators only.
func (p *parser) settleOperation() error {
	o := &p.o
	listing := o.Mode == Operate && (o.Command == "list" || o.Command == "show")
	switch {
	case o.Format != "" && !listing:
		return failf(sysexits.Usage, "--format goes with --list and --show")
	case o.Format != "" && !slices.Contains([]string{"dma", "postfix", "sendmail", "json"}, o.Format):
		return failf(sysexits.Usage, "--format %q: write dma, postfix, sendmail or json", o.Format)
	case o.Mode == Check && len(o.Args) > 0:
		return failf(sysexits.Usage, "--check takes no arguments")
	case o.Mode == Import && len(o.Args) > 1:
		return failf(sysexits.Usage, "--import takes one directory")
	case o.Mode != Operate && len(p.which) > 0:
		return failf(sysexits.Usage, "--%s says which messages, but not what to do with them", p.which[0])
	case o.Mode != Operate:
		return nil
	case len(p.which) > 1, len(p.which) == 1 && len(o.Args) > 0:
		return failf(sysexits.Usage, "select messages by id, --recipient, --sender or --all, by one of them at a time")
	case len(o.Args) > 0:
		o.By = proto.ByID
	case o.Command == "show":
		return failf(sysexits.Usage, "--show: give the id of a message")
	case o.By == 0 && (o.Command == "list" || o.Command == "flush"):
		o.By = proto.ByAll
	case o.By == 0:
		return failf(sysexits.Usage, "--%s: say which messages: ids, --recipient, --sender or --all", o.Command)
	}
	if o.Command == "show" && o.By != proto.ByID {
		return failf(sysexits.Usage, "--show takes ids only")
	}
	return checkIDs(o.Args)
}

// checkIDs lets through what may be ids; whether there are such messages only the
// runner knows. Copied from a listing an id may have a mark behind it.
func checkIDs(ids []string) error {
	for i, id := range ids {
		ids[i] = strings.TrimRight(id, "*!")
		if n := len(ids[i]); n == 0 || n > proto.MaxID || mailaddr.Check(id) != nil {
			return failf(sysexits.Usage, "%.100q is no id of a message", id)
		}
	}
	return nil
}

// Usage is what --help prints.
const Usage = `usage: sendmail [-Ditv] [-bq] [-F name] [-f sender] [-N conditions] [-R part] [-V id] [--] [recipient ...]
       sendmail -bs
       sendmail -bv [-f sender] [--] address ...
       sendmail -q
       sendmail -bi | newaliases
       sendmail -bp | mailq [-v] [--format=dma|postfix|sendmail|json]
       dma-queue --list | --flush [which]
       dma-queue --hold | --release | --remove which
       dma-queue --show id ...
       dma-queue --check | --import [directory] | --version
which: id ... | --recipient=address | --sender=address | --all
`
