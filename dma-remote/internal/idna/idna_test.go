package idna

import (
	"strings"
	"testing"
)

func TestToASCII(t *testing.T) {
	tests := []struct{ name, in, want string }{ // "!" and a part of the error
		{"ASCII", "Example.com", "Example.com"},
		{"ASCII that is no name", "[192.0.2.1]", "[192.0.2.1]"},
		{"empty", "", ""},
		{"umlaut", "b\u00fccher.example", "xn--bcher-kva.example"},
		{"capital", "B\u00dcCHER.example", "xn--bcher-kva.example"},
		{"sharp s", "fa\u00df.de", "xn--fa-hia.de"},
		{"Greek", "\u03c0\u03b1\u03c1\u03ac\u03b4\u03b5\u03b9\u03b3\u03bc\u03b1.\u03b4\u03bf\u03ba\u03b9\u03bc\u03ae", "xn--hxajbheg2az3al.xn--jxalpdlp"},
		{"Chinese", "\u4f8b\u5b50.\u6d4b\u8bd5", "xn--fsqu00a.xn--0zwm56d"},
		{"Japanese with its stop", "\u4f8b\u3048\u3002\u30c6\u30b9\u30c8", "xn--r8jz45g.xn--zckzah"},
		{"Hindi", "\u0909\u0926\u093e\u0939\u0930\u0923.\u092a\u0930\u0940\u0915\u094d\u0937\u093e", "xn--p1b6ci4b4b3a.xn--11b5bs3a9aj6g"},
		{"Arabic", "\u0645\u062b\u0627\u0644.\u0625\u062e\u062a\u0628\u0627\u0631", "xn--mgbh0fb.xn--kgbechtv"},
		{"dot at the end", "b\u00fccher.example.", "!dot at the end"},
		{"two dots", "b\u00fccher..example", "!invalid label"},
		{"not UTF-8", "b\xfccher.example", "!not UTF-8"},
		{"blank", "b\u00fc cher.example", "!disallowed rune U+0020"},
		{"underscore", "b\u00fc_.example", "!disallowed rune U+005F"},
		{"symbol", "\u2603.example", "xn--n3h.example"},
		{"wide letters", "\uff41\uff42.example", "ab.example"},
		{"accent apart", "bu\u0308cher.example", "xn--bcher-kva.example"},
		{"mark first", "\u093e\u0939.example", "!invalid label"},
		{"hyphen first", "-\u00fc.example", "!invalid label"},
		{"hyphen last", "\u00fc-.example", "!invalid label"},
		{"long label", strings.Repeat("\u00fc", 60) + ".example", "!invalid label"},
		{"endless label", strings.Repeat("\u00fc", 100_000), "!longer than 1012"},
		{"long name", "\u00fc." + strings.Repeat("x.", 130) + "example", "!invalid label"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := ToASCII(tt.in)
			if want, fails := strings.CutPrefix(tt.want, "!"); fails {
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("%q, %v, want error %q", got, err, want)
				}
				return
			}
			if err != nil || got != tt.want {
				t.Errorf("%q, %v, want %q", got, err, tt.want)
			}
		})
	}
}

// FuzzToASCII: what comes out is ASCII and stays what it is.
func FuzzToASCII(f *testing.F) {
	f.Add("b\u00fccher.example")
	f.Add("\u4f8b\u3048\u3002\u30c6\u30b9\u30c8")
	f.Add("\xff.\u00fc-")
	f.Fuzz(func(t *testing.T, s string) {
		a, err := ToASCII(s)
		if err != nil {
			return
		}
		if again, err := ToASCII(a); !IsASCII(a) || again != a || err != nil {
			t.Fatalf("%q: %q, %q, %v", s, a, again, err)
		}
	})
}
