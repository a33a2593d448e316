package mailaddr

import (
	"errors"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

type addrCase struct {
	name, in string
	want     Addr
}

func goodAddrs() []addrCase {
	return []addrCase{
		{"local", "root", Addr{"root", ""}},
		{"full", "a@b.example", Addr{"a", "b.example"}},
		{"case is kept", "Joe@EXAMPLE.Org", Addr{"Joe", "EXAMPLE.Org"}},
		{"angle brackets", "<a@b>", Addr{"a", "b"}},
		{"angle brackets, local", "<root>", Addr{"root", ""}},
		{"blanks around", " \ta@b ", Addr{"a", "b"}},
		{"quoted local part", `"a b"@c`, Addr{`"a b"`, "c"}},
		{"quoted at sign", `"a@b"@c`, Addr{`"a@b"`, "c"}},
		{"quoted quote", `"a\"@b"@c`, Addr{`"a\"@b"`, "c"}},
		{"quoted angle", `<"a> x"@b>`, Addr{`"a> x"`, "b"}},
		{"mixed words", `a."b c".d@e`, Addr{`a."b c".d`, "e"}},
		{"quoted, no domain", `"a b"`, Addr{`"a b"`, ""}},
		{"literal v4", "a@[1.2.3.4]", Addr{"a", "[1.2.3.4]"}},
		{"literal v6", "a@[IPv6:::1]", Addr{"a", "[IPv6:::1]"}},
		{"utf-8", "jürgen@exämple.de", Addr{"jürgen", "exämple.de"}},
		{"final dot", "a@b.c.", Addr{"a", "b.c"}},
		{"route", "<@a,@b:c@d>", Addr{"c", "d"}},
		{"route without brackets", "@a:c@d", Addr{"c", "d"}},
		{"route with holes", "<@a, ,@b:c@d>", Addr{"c", "d"}},
		{"percent hack is a name", "a%b@c", Addr{"a%b", "c"}},
		{"doubled dot", "a..b@c", Addr{"a..b", "c"}},
		{"pipe is a name here", "|x", Addr{"|x", ""}},
		{"plus and friends", "o'neil+x=y/z!#$&*?^_`{}~@c", Addr{"o'neil+x=y/z!#$&*?^_`{}~", "c"}},
		{"underscore in domain", "a@b_c.d", Addr{"a", "b_c.d"}},
		{"leading dash", "-a@-b", Addr{"-a", "-b"}},
	}
}

func badAddrs() map[string]string {
	return map[string]string{
		"empty":                 "",
		"null":                  "<>",
		"blank":                 "  ",
		"newline":               "a@b\nRCPT TO:<x>",
		"carriage return":       "a\r@b",
		"nul":                   "a\x00@b",
		"tab inside":            "a\tb@c",
		"delete":                "a\x7f@b",
		"too long":              strings.Repeat("a", MaxAddr+1),
		"no domain":             "a@",
		"no domain but a dot":   "a@.",
		"two final dots":        "a@b..",
		"no name":               "@b",
		"empty label":           "a@b..c",
		"leading dot of domain": "a@.b",
		"two ats":               "a@b@c",
		"space":                 "a b@c",
		"space in domain":       "a@b c",
		"angle inside":          "a>b@c",
		"angle not closed":      "<a@b",
		"angle not opened":      "a@b>",
		"smtp injection":        "a@b> SIZE=1",
		"parameter in literal":  "a@[1]> x]",
		"quote not closed":      `"a@b`,
		"text after quote":      `"a"b@c`,
		"quote in the middle":   `a"b"@c`,
		"backslash":             `a\b@c`,
		"comment":               "a(b)@c",
		"comma":                 "a,b@c",
		"colon":                 "a:b@c",
		"list":                  "a@b,c@d",
		"literal not closed":    "a@[1.2.3.4",
		"empty literal":         "a@[]",
		"literal with bracket":  "a@[1[2]",
		"literal with comma":    "a@[,]",
		"route without hop":     "<@:a@b>",
		"route with text":       "<@a,b:c@d>",
		"latin-1 name":          "j\xfcrgen@b",
		"latin-1 domain":        "a@\xfc.de",
		"long label":            "a@" + strings.Repeat("b", 64) + ".c",
		"long domain":           "a@" + strings.Repeat("b.", 127) + "bb",
		"slash in domain":       "a@b/c",
	}
}

func TestParse(t *testing.T) {
	for _, c := range goodAddrs() {
		t.Run(c.name, func(t *testing.T) {
			got, err := Parse(c.in)
			if err != nil || got != c.want {
				t.Fatalf("Parse(%q) = %+v, %v; want %+v", c.in, got, err, c.want)
			}
			again, err := Parse(got.String())
			if err != nil || again != got {
				t.Errorf("Parse(%q) = %+v, %v; want the same again", got.String(), again, err)
			}
		})
	}
	for name, in := range badAddrs() {
		t.Run(name, func(t *testing.T) {
			if got, err := Parse(in); err == nil {
				t.Errorf("Parse(%q) = %+v, want an error", in, got)
			} else if got != (Addr{}) {
				t.Errorf("Parse(%q) = %+v with error %v", in, got, err)
			}
		})
	}
}

func TestParseSender(t *testing.T) {
	for _, in := range []string{"", "<>", " <> "} {
		if got, err := ParseSender(in); err != nil || !got.IsNull() {
			t.Errorf("ParseSender(%q) = %+v, %v; want the null sender", in, got, err)
		}
	}
	if got, err := ParseSender("<a@b>"); err != nil || got != (Addr{"a", "b"}) {
		t.Errorf("ParseSender(<a@b>) = %+v, %v", got, err)
	}
	if _, err := ParseSender("a\n@b"); !errors.Is(err, ErrControl) {
		t.Errorf("control character: %v", err)
	}
	// Whoever is accepted without a domain can have any.
	longest := strings.Repeat("a", MaxAddr-maxDomain-1)
	if a, err := ParseSender(longest); err != nil || Check(a.In(strings.Repeat("b", maxDomain)).String()) != nil {
		t.Errorf("the longest sender without a domain: %v", err)
	}
	if _, err := ParseSender(longest + "a"); !errors.Is(err, ErrTooLong) {
		t.Errorf("a longer one: %v", err)
	}
	if _, err := ParseSender(longest + "a@b"); err != nil {
		t.Errorf("a longer one with a domain: %v", err)
	}
}

func TestCheck(t *testing.T) {
	for name, c := range map[string]struct {
		in   string
		want error
	}{
		"good":       {"a b|/ü\xff", nil},
		"longest":    {strings.Repeat("a", MaxAddr), nil},
		"too long":   {strings.Repeat("a", MaxAddr+1), ErrTooLong},
		"empty":      {"", ErrEmpty},
		"nul":        {"a\x00", ErrControl},
		"newline":    {"a\n", ErrControl},
		"return":     {"\ra", ErrControl},
		"tab":        {"a\tb", ErrControl},
		"escape":     {"\x1b[2J", ErrControl},
		"last of C0": {"\x1f", ErrControl},
		"delete":     {"\x7f", ErrControl},
	} {
		if err := Check(c.in); !errors.Is(err, c.want) {
			t.Errorf("%s: Check(%q) = %v, want %v", name, c.in, err, c.want)
		}
	}
}

func TestAddr(t *testing.T) {
	if got := (Addr{"Joe", "EXAMPLE.Org"}).Key(); got != "Joe@example.org" {
		t.Errorf("Key = %q", got)
	}
	if got := (Addr{"root", ""}).In("h.example"); got != (Addr{"root", "h.example"}) {
		t.Errorf("In = %+v", got)
	}
	if got := (Addr{"a", "b"}).In("c"); got != (Addr{"a", "b"}) {
		t.Errorf("In = %+v", got)
	}
	if got := (Addr{}).In("c"); !got.IsNull() || got.String() != "" {
		t.Errorf("null sender qualified: %+v", got)
	}
}

func TestSplit(t *testing.T) {
	for _, c := range []struct {
		in, local, domain string
		found             bool
	}{
		{"a", "a", "", false},
		{"a@b@c", "a@b", "c", true},
		{`"a@b"`, `"a@b"`, "", false},
		{`"a\"@b"@c`, `"a\"@b"`, "c", true},
		{`a\@b`, `a\@b`, "", false},
	} {
		if l, d, f := Split(c.in); l != c.local || d != c.domain || f != c.found {
			t.Errorf("Split(%q) = %q, %q, %v", c.in, l, d, f)
		}
	}
}

// Any local part can be quoted and comes back as it was.
func TestQuotedRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		raw := rapid.StringMatching(`[ -~ü]{0,40}`).Draw(t, "raw")
		local := `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(raw) + `"`
		want := Addr{local, "example.org"}
		if got, err := Parse("<" + want.String() + ">"); err != nil || got != want {
			t.Fatalf("Parse(%q) = %+v, %v", want.String(), got, err)
		}
	})
}

func FuzzParse(f *testing.F) {
	for _, c := range goodAddrs() {
		f.Add(c.in)
	}
	for _, in := range badAddrs() {
		f.Add(in)
	}
	f.Fuzz(func(t *testing.T, in string) {
		a, err := Parse(in)
		if err != nil {
			if !a.IsNull() {
				t.Fatalf("error and %+v", a)
			}
			return
		}
		checkSafe(t, a)
	})
}

// checkSafe: what every address of this package promises to those who put it into
// a record, a log line or an SMTP command.
func checkSafe(t *testing.T, a Addr) {
	t.Helper()
	if a.Local == "" || Check(a.String()) != nil {
		t.Fatalf("%+v is not fit for an envelope", a)
	}
	if again, err := Parse(a.String()); err != nil || again != a {
		t.Fatalf("%+v comes back as %+v, %v", a, again, err)
	}
	bare := a.String()
	for i := 0; i < len(bare); i++ { // no blank or angle bracket outside quotes
		switch bare[i] {
		case '"':
			i += quotedLen(bare[i:]) - 1
		case ' ', '<', '>', '\\', ',':
			t.Fatalf("%q outside quotes in %q", bare[i], bare)
		}
	}
}
