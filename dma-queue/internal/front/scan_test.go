package front

import (
	"fmt"
	"math/rand/v2"
	"os/exec"
	"strings"
	"testing"
)

// TestScanLong: arguments of long options.
func TestScanLong(t *testing.T) {
	long := map[string]string{"take": ":", "do": "!"}
	for line, want := range map[string]string{
		"--take x y":     `take[x] ["y"]`,
		"--take=x y":     `take[x] ["y"]`,
		"--take= y":      `take[] ["y"]`,
		"--take -x y":    `take[-x] ["y"]`,
		"--take -- y":    `take[--] ["y"]`,
		"--take":         `missing`,
		"--do x":         `do[] ["x"]`,
		"--do=x y":       `do[x] ["y"]`,
		"--other x":      `other[] ["x"]`,
		"--other=a=b -a": `other[a=b] a[] []`,
		"-a --do -- -a":  `a[] do[] ["-a"]`,
	} {
		var b strings.Builder
		rest, err := scan(strings.Fields(line), "a", long, func(letter byte, name, arg string) error {
			if letter != 0 {
				name = string(rune(letter))
			}
			fmt.Fprintf(&b, "%s[%s] ", name, arg)
			return nil
		})
		got := b.String() + fmt.Sprintf("%q", rest)
		if err != nil {
			got = b.String() + "missing"
		}
		if got != want {
			t.Errorf("%s: %s, want %s", line, got, want)
		}
	}
}

// scanLine prints what scan finds, as the shell script below does.
func scanLine(args []string, letters string) string {
	var b strings.Builder
	rest, err := scan(args, letters, nil, func(letter byte, _, arg string) error {
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
