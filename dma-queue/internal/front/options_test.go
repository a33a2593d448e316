package front

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os/exec"
	"reflect"
	"strings"
	"testing"

	"dma/common/sysexits"
)

func TestParse(t *testing.T) {
	for name, c := range map[string]struct {
		argv string
		want Options
		code int
	}{
		"plain":            {"sendmail a b", Options{Recipients: []string{"a", "b"}}, 0},
		"any other name":   {"/usr/lib/dma a", Options{Recipients: []string{"a"}}, 0},
		"glued":            {"sendmail -tifcarol a", Options{FromHeader: true, KeepDots: true, Sender: "carol", SenderGiven: true, Recipients: []string{"a"}}, 0},
		"sender twice":     {"sendmail -f x -r y a", Options{Sender: "y", SenderGiven: true, Recipients: []string{"a"}}, 0},
		"null sender":      {"sendmail -f <> a", Options{SenderGiven: true, Recipients: []string{"a"}}, 0},
		"bad sender":       {"sendmail -f x@ a", Options{}, sysexits.DataErr},
		"cron":             {"sendmail -i -FCronDaemon -B8BITMIME -oem a", Options{KeepDots: true, FullName: "CronDaemon", Recipients: []string{"a"}}, 0},
		"oi":               {"sendmail -oi a", Options{KeepDots: true, Recipients: []string{"a"}}, 0},
		"o i":              {"sendmail -o i a", Options{KeepDots: true, Recipients: []string{"a"}}, 0},
		"od":               {"sendmail -odi a", Options{Recipients: []string{"a"}}, 0},
		"dashes":           {"sendmail -t -- -i", Options{FromHeader: true, Recipients: []string{"-i"}}, 0},
		"dash":             {"sendmail - -i", Options{Recipients: []string{"-", "-i"}}, 0},
		"after recipient":  {"sendmail a -i", Options{Recipients: []string{"a", "-i"}}, 0},
		"bm":               {"sendmail -bm a", Options{Recipients: []string{"a"}}, 0},
		"bq":               {"sendmail -bq a", Options{Quiet: true, Recipients: []string{"a"}}, 0},
		"bp":               {"sendmail -bp", Options{Mode: List}, 0},
		"bi":               {"sendmail -bi", Options{Mode: Aliases}, 0},
		"I":                {"sendmail -I", Options{Mode: Aliases}, 0},
		"b alone":          {"sendmail -b", Options{}, sysexits.Usage},
		"b unknown":        {"sendmail -bz", Options{}, sysexits.Usage},
		"bs":               {"sendmail -bs", Options{}, sysexits.Unavailable},
		"bd":               {"sendmail -bd -q30m", Options{}, sysexits.Unavailable},
		"q":                {"sendmail -q", Options{Mode: Flush}, 0},
		"q glued":          {"sendmail -q30m", Options{Mode: Flush}, 0},
		"q not swallowing": {"sendmail -q -v", Options{Mode: Flush, Verbose: true}, 0},
		"q recipient":      {"sendmail -q a", Options{}, sysexits.Usage},
		"bp recipient":     {"sendmail -bp a", Options{}, sysexits.Usage},
		"bp and q":         {"sendmail -q -bp", Options{}, sysexits.Usage},
		"mailq":            {"/usr/bin/mailq", Options{Mode: List}, 0},
		"mailq options":    {"mailq -Ac -v x", Options{Mode: List, Verbose: true}, 0},
		"newaliases":       {"newaliases x", Options{Mode: Aliases}, 0},
		"version":          {"sendmail --version", Options{Mode: Version}, 0},
		"unknown":          {"sendmail -k --long=x -N never a", Options{Ignored: []string{"-k", "--long=x", "-N"}, Recipients: []string{"a"}}, 0},
		"harmless":         {"sendmail -Am -B7BIT -d0 -em -G -h5 -m -n -O x=y -p x -U -X log a", Options{Recipients: []string{"a"}}, 0},
		"odd letters":      {"sendmail -:? a", Options{Ignored: []string{"-:", "-?"}, Recipients: []string{"a"}}, 0},
		"nothing":          {"", Options{}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := Parse(strings.Fields(c.argv))
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

// scanLine prints what scan finds, as the shell script below does.
func scanLine(args []string, letters string) string {
	var b strings.Builder
	rest, err := scan(args, letters, func(letter byte, _, arg string) error {
		if strings.IndexByte(letters, letter) < 0 {
			b.WriteString("? ")
			return nil
		}
		fmt.Fprintf(&b, "%c[%s] ", letter, arg)
		return nil
	})
	if err != nil {
		return b.String() + "missing"
	}
	return b.String() + fmt.Sprintf("%q", rest)
}

// TestScanAgainstShell compares scan with the getopts of /bin/sh, which POSIX
// has follow the same guidelines.
func TestScanAgainstShell(t *testing.T) {
	const letters = "ab:cd:f:it"
	words := []string{"-a", "-b", "x", "-bx", "-ab", "-abx", "-ac", "--", "-", "", "-z", "-az", "-f", "-tifx", "-d-a", "a b"}
	random := rand.New(rand.NewPCG(1, 2))
	script := `o() { OPTIND=1; out=
while getopts :` + letters + ` l; do case $l in '?') out="$out? ";; :) echo "${out}missing"; return;; *) out="$out$l[$OPTARG] ";; esac; OPTARG=; done
shift $((OPTIND-1)); first=1; printf '%s[' "$out"; for w; do [ $first ] || printf ' '; first=; printf '"%s"' "$w"; done; echo ']'; }
`
	var calls [][]string
	for range 2000 {
		args := make([]string, random.IntN(5))
		for i := range args {
			args[i] = words[random.IntN(len(words))]
		}
		calls = append(calls, args)
		script += "o"
		for _, a := range args {
			script += " '" + a + "'"
		}
		script += "\n"
	}
	out, err := exec.Command("/bin/sh", "-c", script).Output()
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSuffix(string(out), "\n"), "\n")
	if len(lines) != len(calls) {
		t.Fatalf("%d answers to %d calls", len(lines), len(calls))
	}
	for i, args := range calls {
		if got := scanLine(args, letters); got != lines[i] {
			t.Errorf("%q: got %s, sh has %s", args, got, lines[i])
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"sendmail\x00-tifx\x00a", "mailq\x00-v", "sendmail\x00-f\x00<>\x00--\x00-a", "sendmail\x00-q30m", "sendmail\x00-F\x00a\nb\x00x", "sendmail\x00-\xff"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		o, err := Parse(strings.Split(s, "\x00"))
		if err != nil {
			var f *Failure
			if !errors.As(err, &f) || f.Code == 0 {
				t.Errorf("error without an exit code: %v", err)
			}
			return
		}
		if strings.ContainsAny(o.Sender+o.FullName, "\n\r\x7f\x01") {
			t.Errorf("control characters in %+v", o)
		}
		if len(o.Recipients) > strings.Count(s, "\x00") {
			t.Errorf("%d recipients of %q", len(o.Recipients), s)
		}
	})
}
