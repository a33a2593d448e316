package front

import (
	"errors"
	"reflect"
	"strings"
	"testing"

	"dma/common/dsn"
	"dma/common/sysexits"
	"dma/proto"
)

// parseCase is a command line, in which ” stands for an empty word, and what
// comes of it.
type parseCase struct {
	argv string
	want Options
	code int
}

func parseCases() map[string]parseCase {
	a := []string{"a"}
	to := func(o Options) Options { o.Recipients = a; return o }
	op := func(o Options) Options { o.Mode = Operate; return o }
	all := Options{Mode: Operate, Command: "list", By: proto.ByAll}
	usage := func(argv string) parseCase { return parseCase{argv, Options{}, sysexits.Usage} }
	return map[string]parseCase{
		"nothing":         {"", Options{}, 0},
		"plain":           {"sendmail a b", Options{Recipients: []string{"a", "b"}}, 0},
		"any other name":  {"/usr/lib/dma a", to(Options{}), 0},
		"dashes":          {"sendmail -t -- -i", Options{FromHeader: true, Recipients: []string{"-i"}}, 0},
		"dash":            {"sendmail - -i", Options{Recipients: []string{"-", "-i"}}, 0},
		"after recipient": {"sendmail a -i", Options{Recipients: []string{"a", "-i"}}, 0},

		// Sender.
		"glued":        {"sendmail -tifcarol a", to(Options{FromHeader: true, KeepDots: true, Sender: "carol", SenderGiven: true}), 0},
		"sender twice": {"sendmail -f x -r y a", to(Options{Sender: "y", SenderGiven: true}), 0},
		"null sender":  {"sendmail -f <> a", to(Options{SenderGiven: true}), 0},
		"empty sender": {"sendmail -f '' a", to(Options{SenderGiven: true}), 0},
		"null, glued":  {"sendmail -r<> a", to(Options{SenderGiven: true}), 0},
		"bad sender":   {"sendmail -f x@ a", Options{}, sysexits.DataErr},
		"bad name":     {"sendmail -F x\x01 a", Options{}, sysexits.DataErr},
		"empty name":   {"sendmail -F '' a", to(Options{}), 0},
		"cron":         {"sendmail -i -FCronDaemon -B8BITMIME -oem a", to(Options{KeepDots: true, FullName: "CronDaemon"}), 0},
		"cronie":       {"sendmail -FCronDaemon -i -odi -oem -oi -t -f root", Options{KeepDots: true, FromHeader: true, FullName: "CronDaemon", Sender: "root", SenderGiven: true}, 0},
		"f alone":      usage("sendmail -f"),

		// What -o, -e and -b say about delivery.
		"oi":        {"sendmail -oi a", to(Options{KeepDots: true}), 0},
		"o i":       {"sendmail -o i a", to(Options{KeepDots: true}), 0},
		"odb":       {"sendmail -odb a", to(Options{}), 0},
		"odi":       {"sendmail -odi a", to(Options{}), 0},
		"odq":       {"sendmail -odq a", to(Options{Queue: true}), 0},
		"odd":       {"sendmail -odd a", to(Options{Queue: true}), 0},
		"odq, odb":  {"sendmail -odq -odb a", to(Options{}), 0},
		"oeq":       {"sendmail -oeq a", to(Options{Quiet: true}), 0},
		"eq":        {"sendmail -eq a", to(Options{Quiet: true}), 0},
		"eq, oep":   {"sendmail -eq -oep a", to(Options{}), 0},
		"em ew ee":  {"sendmail -em -ew -ee -oew -oee a", to(Options{}), 0},
		"o others":  {"sendmail -om -o7 -oAaliases -os -oTxy -ov a", to(Options{}), 0},
		"bm":        {"sendmail -bm a", to(Options{}), 0},
		"bq":        {"sendmail -bq a", to(Options{Queue: true}), 0},
		"D":         {"sendmail -D a", to(Options{Foreground: true}), 0},
		"v":         {"sendmail -v a", to(Options{Verbose: true}), 0},
		"L":         {"sendmail -L tag a", to(Options{Tag: "tag"}), 0},
		"bad L":     {"sendmail -Lx\x7f a", Options{}, sysexits.DataErr},
		"f, named":  {"sendmail -f Ann<a@b> a", to(Options{Sender: "a@b", SenderGiven: true}), 0},
		"f, two":    {"sendmail -f a@b,c@d a", Options{}, sysexits.DataErr},
		"C":         {"sendmail -C file a", to(Options{ConfigFile: "file"}), 0},
		"b alone":   usage("sendmail -b"),
		"b unknown": {"sendmail -bz a", Options{Recipients: []string{"a"}, Ignored: []string{"-bz"}}, 0},
		"bd":        {"sendmail -bd -q30m", Options{}, sysexits.Unavailable},
		"bD":        {"sendmail -bD", Options{}, sysexits.Unavailable},

		// What RFC 3461 has.
		"N":         {"sendmail -N success,DELAY a", to(Options{Notify: dsn.Success | dsn.Delay}), 0},
		"N never":   {"sendmail -Nnever a", to(Options{Notify: dsn.Never}), 0},
		"N both":    usage("sendmail -N never,failure a"),
		"N unknown": usage("sendmail -N x a"),
		"R":         {"sendmail -R hdrs a", to(Options{Ret: dsn.RetHeaders}), 0},
		"R unknown": usage("sendmail -R all a"),
		"V":         {"sendmail -V id+2B1 a", to(Options{EnvID: "id+1"}), 0},
		"V empty":   {"sendmail -V '' a", to(Options{}), 0},
		"V wrong":   usage("sendmail -V a=b a"),
		"V long":    usage("sendmail -V " + strings.Repeat("x", dsn.MaxEnvID+1) + " a"),

		// Other things to do.
		"bp":               {"sendmail -bp", all, 0},
		"bi":               {"sendmail -bi", Options{Mode: Aliases}, 0},
		"bi a":             {"sendmail -bi a", Options{Mode: Aliases}, 0},
		"I":                {"sendmail -I", Options{Mode: Aliases}, 0},
		"bs":               {"sendmail -bs -f x", Options{Mode: SMTP, Sender: "x", SenderGiven: true}, 0},
		"bs a":             usage("sendmail -bs a"),
		"bv":               {"sendmail -bv a", to(Options{Mode: Verify}), 0},
		"q":                {"sendmail -q", Options{Mode: Flush}, 0},
		"q glued":          {"sendmail -q30m", Options{Mode: Flush}, 0},
		"q not swallowing": {"sendmail -q -v", Options{Mode: Flush, Verbose: true}, 0},
		"q recipient":      usage("sendmail -q a"),
		"bp recipient":     usage("sendmail -bp a"),
		"bp and q":         usage("sendmail -q -bp"),
		"mailq":            {"/usr/bin/mailq", all, 0},
		"mailq -v":         {"mailq -v", Options{Mode: Operate, Command: "list", By: proto.ByAll, Verbose: true}, 0},
		"mailq -Ac":        {"mailq -Ac x -q", all, 0},
		"mailq -bi":        {"mailq -bi", Options{Mode: Aliases}, 0},
		"newaliases":       {"newaliases x", Options{Mode: Aliases}, 0},
		"version":          {"sendmail --version", Options{Mode: Version}, 0},
		"help":             {"sendmail --help", Options{Mode: Help}, 0},

		// Ignored, with a word about it or without.
		"unknown":     {"sendmail -k --long=x a", to(Options{Ignored: []string{"-k", "--long"}}), 0},
		"odd letters": {"sendmail -:? a", to(Options{Ignored: []string{"-:", "-?"}}), 0},
		"harmless":    {"sendmail -Am -B7BIT -d0 -G -h5 -m -n -O x=y -p x -U -X log a", to(Options{}), 0},

		// For operators.
		"list":            {"dma-queue --list", all, 0},
		"mailq format":    {"mailq --format=json", op(Options{Command: "list", By: proto.ByAll, Format: "json"}), 0},
		"format, a word":  {"dma-queue --list --format postfix", op(Options{Command: "list", By: proto.ByAll, Format: "postfix"}), 0},
		"bp format":       {"sendmail -bp --format=sendmail", op(Options{Command: "list", By: proto.ByAll, Format: "sendmail"}), 0},
		"list some":       {"dma-queue --list --sender '' -v", op(Options{Command: "list", By: proto.BySender, Verbose: true}), 0},
		"show":            {"dma-queue --show 1.a 2.b", op(Options{Command: "show", By: proto.ByID, Args: []string{"1.a", "2.b"}}), 0},
		"show, glued":     {"dma-queue --show=1.a", op(Options{Command: "show", By: proto.ByID, Args: []string{"1.a"}}), 0},
		"marks":           {"dma-queue --hold 1.a* 2.b!", op(Options{Command: "hold", By: proto.ByID, Args: []string{"1.a", "2.b"}}), 0},
		"options behind":  {"dma-queue --show 1.a -v --format json 2.b", op(Options{Command: "show", By: proto.ByID, Args: []string{"1.a", "2.b"}, Format: "json", Verbose: true}), 0},
		"hold":            {"dma-queue --hold --recipient=a@Far.example", op(Options{Command: "hold", By: proto.ByRecipient, Value: "a@Far.example"}), 0},
		"release":         {"dma-queue --release --sender <a@b>", op(Options{Command: "release", By: proto.BySender, Value: "a@b"}), 0},
		"remove":          {"dma-queue --all --remove", op(Options{Command: "remove", By: proto.ByAll}), 0},
		"flush":           {"dma-queue --flush", op(Options{Command: "flush", By: proto.ByAll}), 0},
		"flush some":      {"dma-queue --flush 1.a", op(Options{Command: "flush", By: proto.ByID, Args: []string{"1.a"}}), 0},
		"check":           {"dma-queue --check", Options{Mode: Check}, 0},
		"import":          {"dma-queue --import", Options{Mode: Import}, 0},
		"import from":     {"dma-queue --import /var/spool/old", Options{Mode: Import, Args: []string{"/var/spool/old"}}, 0},
		"two commands":    usage("dma-queue --hold --remove 1.a"),
		"command, -q":     usage("dma-queue --hold --all -q"),
		"command, -bp":    usage("dma-queue --remove --all -bp"),
		"list, -q":        usage("dma-queue --list -q"),
		"which, no what":  usage("sendmail --all a"),
		"format, no list": usage("sendmail --format=json a"),
		"format unknown":  usage("mailq --format=xml"),
		"format missing":  usage("mailq --format"),
		"two selections":  usage("dma-queue --hold --all --sender=x"),
		"id, selection":   usage("dma-queue --hold --all 1.a"),
		"nothing to hold": usage("dma-queue --hold"),
		"nothing to show": usage("dma-queue --show"),
		"show all":        usage("dma-queue --show --all"),
		"long id":         usage("dma-queue --show " + strings.Repeat("1", proto.MaxID+1)),
		"empty id":        usage("dma-queue --show ''"),
		"check what":      usage("dma-queue --check x"),
		"import two":      usage("dma-queue --import x y"),
		"bad recipient":   {"dma-queue --hold --recipient @", Options{}, sysexits.DataErr},
	}
}

func TestParse(t *testing.T) {
	for name, c := range parseCases() {
		t.Run(name, func(t *testing.T) {
			got, err := Parse(words(c.argv))
			code := 0
			if f := (*Failure)(nil); errors.As(err, &f) {
				code = f.Code
			}
			if len(got.Recipients) == 0 {
				got.Recipients = nil
			}
			if code != c.code || !reflect.DeepEqual(got, c.want) {
				t.Errorf("got %+v, %v\nwant %+v, code %d", got, err, c.want, c.code)
			}
		})
	}
}

func words(line string) []string {
	list := strings.Fields(line)
	for i := range list {
		if list[i] == "''" {
			list[i] = ""
		}
	}
	return list
}

func FuzzParse(f *testing.F) {
	for _, c := range parseCases() {
		f.Add(strings.Join(words(c.argv), "\x00"))
	}
	f.Add("sendmail\x00-F\x00a\nb\x00x")
	f.Add("sendmail\x00-\xff")
	f.Fuzz(func(t *testing.T, s string) {
		o, err := Parse(strings.Split(s, "\x00"))
		if err != nil {
			var f *Failure
			if !errors.As(err, &f) || f.Code == 0 {
				t.Errorf("error without an exit code: %v", err)
			}
			return
		}
		if strings.ContainsAny(o.Sender+o.FullName+o.Tag+o.EnvID+o.Value, "\n\r\x7f\x01") {
			t.Errorf("control characters in %+v", o)
		}
		if len(o.Recipients)+len(o.Args) > strings.Count(s, "\x00") {
			t.Errorf("%d recipients and %d arguments of %q", len(o.Recipients), len(o.Args), s)
		}
		if (o.Mode == Operate) != (o.Command != "") || (o.By != 0) != (o.Mode == Operate) || (o.By == proto.ByID) != (o.Mode == Operate && len(o.Args) > 0) {
			t.Errorf("%+v does not fit together", o)
		}
	})
}
