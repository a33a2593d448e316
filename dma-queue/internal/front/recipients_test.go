package front

import (
	"io"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"dma/common/conf"
	"dma/common/sysexits"
	"dma/dma-queue/internal/spool"
)

// TestWhateverIsGiven: what is taken for a recipient here is one for whoever
// reads the spool file; no text of a caller makes the two disagree.
func TestWhateverIsGiven(t *testing.T) {
	word := rapid.SampledFrom([]string{
		"a", "B", "@", "@", ".", "..", "<", ">", `"`, `\`, " ", "\t", ":", ",", "(", ")", "[", "]", ";", "\x00", "\n", "\r", "\x7f",
		"\xff", "é", "-f", "host.example", strings.Repeat("x", 300), strings.Repeat("y.", 120), "undisclosed-recipients:;",
	})
	text := rapid.Map(rapid.SliceOfN(word, 0, 8), func(w []string) string { return strings.Join(w, "") })
	rapid.Check(t, func(t *rapid.T) {
		r := recipients{stderr: io.Discard}
		for _, arg := range rapid.SliceOfN(text, 1, 4).Draw(t, "args") {
			r.add(arg)
		}
		if len(r.good)+len(r.bad) == 0 {
			t.Fatal("an argument is neither good nor bad")
		}
		r.addHeader([]byte("To: " + text.Draw(t, "header") + "\n"))
		e := spool.Submission{Recipients: spool.To(r.good...), Bad: r.bad}
		if err := e.Check(); err != nil {
			t.Fatalf("good %q, bad %q: %v", r.good, r.bad, err)
		}
	})
}

func TestOncePerAddress(t *testing.T) {
	r := recipients{stderr: io.Discard}
	for _, s := range []string{"a@Host", "a@host", "<a@host>", "A@host", "a@host.", "b"} {
		r.add(s)
	}
	if got := strings.Join(r.good, " "); got != "a@Host A@host b" {
		t.Errorf("recipients %s", got)
	}
}

func TestNobodyLeft(t *testing.T) {
	for name, c := range map[string]struct {
		args []string
		want int
	}{
		"good":          {[]string{"a@remote.example"}, 0},
		"good and bad":  {[]string{"x y", "a@remote.example"}, 0},
		"bad":           {[]string{"x y"}, sysexits.DataErr},
		"none":          {nil, sysexits.NoInput},
		"unknown":       {[]string{"nosuchuser"}, sysexits.NoUser},
		"unknown twice": {[]string{"nosuchuser", "nosuchuser@localhost"}, sysexits.NoUser},
		"unknown, bad":  {[]string{"nosuchuser", "x y"}, sysexits.NoUser},
		"postmaster":    {[]string{"Postmaster"}, 0},
		"quoted":        {[]string{`"no such user"`}, 0}, // the runner knows better
	} {
		r := recipients{stderr: io.Discard}
		for _, s := range c.args {
			r.add(s)
		}
		known := &local{conf: &conf.Config{Aliases: "/nonexistent"}, passwd: "/etc/passwd", nsswitch: "/nonexistent"}
		if err := r.check(known); code(err) != c.want {
			t.Errorf("%s: %v", name, err)
		}
		if err := r.check(newLocal(nil)); c.want == sysexits.NoUser && err != nil {
			t.Errorf("%s, configuration unknown: %v", name, err)
		}
	}
}

// Recipients may be written as in a header, and none of them is folded (RULES A6).
func TestWrittenAsInHeader(t *testing.T) {
	for arg, want := range map[string]string{
		"a@b,c@d":            "a@b c@d",
		"Ann Lee <a@b>":      "a@b",
		"a@b (Ann)":          "a@b",
		"us: a@b, Bo <c@d>;": "a@b c@d",
		"a@b, @":             "bad",
		"us:;":               "bad",
		"Ann\n <a@b>":        "bad",
		"a@b (\x01)":         "bad",
		`"a, b"@c`:           `"a, b"@c`,
	} {
		r := recipients{stderr: io.Discard}
		r.add(arg)
		got := strings.Join(r.good, " ")
		if len(r.bad) > 0 && len(r.good) == 0 {
			got = "bad"
		}
		if got != want || len(r.bad) > 1 {
			t.Errorf("%q: %q, bad %q", arg, r.good, r.bad)
		}
	}
}
