package outcome

import (
	"strings"
	"testing"
	"unicode/utf8"
)

var cleaned = map[string]string{
	"":                          "",
	"250 ok":                    "250 ok",
	"  two\t\tblanks \r\n end ": "two blanks end",
	"bell \a, escape \x1b[31m":  "bell ?, escape ?[31m",
	"NUL \x00 and DEL \x7f":     "NUL ? and DEL ?",
	"C1 \u0085 and \u2028":      "C1 ? and ?",
	"not UTF-8 \xff\xfe":        "not UTF-8 ??",
	"häuser 家":                  "häuser 家",
	strings.Repeat("x", 600):    strings.Repeat("x", MaxText-3),
	strings.Repeat("家", 600):    strings.Repeat("家", (MaxText-1)/3),
}

func TestClean(t *testing.T) {
	for in, want := range cleaned {
		if got := Clean(in); got != want {
			t.Errorf("Clean(%q) = %q, want %q", in, got, want)
		}
	}
}

// What is clean stays as it is: Valid relies on that.
func FuzzClean(f *testing.F) {
	for in := range cleaned {
		f.Add(in)
	}
	f.Fuzz(func(t *testing.T, in string) {
		got := Clean(in)
		switch {
		case len(got) > MaxText:
			t.Errorf("%d bytes", len(got))
		case !utf8.ValidString(got):
			t.Errorf("%q is not UTF-8", got)
		case strings.ContainsFunc(got, func(r rune) bool { return r < 0x20 || r >= 0x7f && r < 0xa0 }):
			t.Errorf("%q has control characters", got)
		case Clean(got) != got:
			t.Errorf("Clean(%q) is %q", got, Clean(got))
		case !Fail("5.0.0", "%s", in).Valid():
			t.Errorf("an outcome with %q is not valid", in)
		}
	})
}

func TestValidCode(t *testing.T) {
	for code, want := range map[string]bool{
		"2.0.0": true, "4.4.1": true, "5.1.10": true, "5.999.999": true,
		"": false, "5": false, "5.1": false, "5.1.": false, "5..1": false, "5.1.1.1": false, "3.1.1": false, "55.1.1": false,
		"5.1000.1": false, "5.-1.1": false, "5.1.a": false, " 5.1.1": false, "5.1.1 ": false,
	} {
		if got := ValidCode(code); got != want {
			t.Errorf("ValidCode(%q) = %t", code, got)
		}
	}
}

func TestValid(t *testing.T) {
	for name, c := range map[string]struct {
		o    Outcome
		want bool
	}{
		"success":            {Success("250 %s", "ok"), true},
		"deferral":           {Defer("4.4.1", "refused"), true},
		"failure":            {Fail("5.1.1", "nobody"), true},
		"zero":               {Outcome{}, false},
		"unknown class":      {Outcome{4, "5.1.1", ""}, false},
		"code of another":    {Outcome{Done, "5.1.1", ""}, false},
		"code that is none":  {Outcome{Failed, "5.1", ""}, false},
		"text not clean":     {Outcome{Failed, "5.1.1", "a\nb"}, false},
		"text with a margin": {Outcome{Failed, "5.1.1", " a"}, false},
		"text too long":      {Outcome{Failed, "5.1.1", strings.Repeat("x", MaxText+1)}, false},
	} {
		if got := c.o.Valid(); got != c.want {
			t.Errorf("%s: %t", name, got)
		}
	}
	for c, want := range map[Class]string{Done: "done", Later: "later", Failed: "failed", 0: "invalid", 9: "invalid"} {
		if c.String() != want {
			t.Errorf("class %d is %q", c, c)
		}
	}
}
