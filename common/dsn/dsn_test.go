package dsn

import (
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestNotify(t *testing.T) {
	for in, want := range map[string]struct {
		notify Notify
		out    string
	}{
		"never":                 {Never, "NEVER"},
		"FAILURE":               {Failure, "FAILURE"},
		"delay,Success,failure": {Success | Failure | Delay, "SUCCESS,FAILURE,DELAY"},
	} {
		got, err := ParseNotify(in)
		if err != nil || got != want.notify || got.String() != want.out {
			t.Errorf("%q: %v %q, %v", in, got, got.String(), err)
		}
	}
	for _, in := range []string{"", "never,delay", "no", "delay,", "success failure"} {
		if n, err := ParseNotify(in); err == nil {
			t.Errorf("%q: %v", in, n)
		}
	}
}

func TestWants(t *testing.T) {
	for _, c := range []struct {
		n                       Notify
		success, failure, delay bool
	}{
		{0, false, true, true},
		{Never, false, false, false},
		{Success, true, false, false},
		{Failure | Delay, false, true, true},
	} {
		if c.n.Wants(Success) != c.success || c.n.Wants(Failure) != c.failure || c.n.Wants(Delay) != c.delay {
			t.Errorf("%q", c.n)
		}
	}
}

func TestRet(t *testing.T) {
	for in, want := range map[string]Ret{"full": RetFull, "HDRS": RetHeaders} {
		if got, err := ParseRet(in); err != nil || got != want || !strings.EqualFold(got.String(), in) {
			t.Errorf("%q: %v, %v", in, got, err)
		}
	}
	for _, in := range []string{"", "all"} {
		if r, err := ParseRet(in); err == nil {
			t.Errorf("%q: %v", in, r)
		}
	}
	if RetDefault.String() != "" || Ret(3).Valid() {
		t.Error("default or limit")
	}
}

func TestXText(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := rapid.StringMatching(`[ -~]{0,40}`).Draw(t, "text")
		x := EncodeXText(s)
		if strings.ContainsAny(x, " =") {
			t.Errorf("%q", x)
		}
		if got, err := DecodeXText(x); err != nil || got != s {
			t.Errorf("%q as %q is %q, %v", s, x, got, err)
		}
	})
	for _, in := range []string{"+", "+4", "a b", "a=b", "+0A", "+7F", "+2b", "ä", "\r\n"} {
		if got, err := DecodeXText(in); err == nil {
			t.Errorf("%q: %q", in, got)
		}
	}
}

func TestCheck(t *testing.T) {
	for _, s := range []string{"", "rfc822;a@b", "utf-8;x y"} {
		if err := CheckOriginal(s); err != nil {
			t.Errorf("%q: %v", s, err)
		}
	}
	for _, s := range []string{"a@b", ";a", "rfc822;", "rfc822;a\nb", "x;" + strings.Repeat("a", MaxOriginal)} {
		if CheckOriginal(s) == nil {
			t.Errorf("%q", s)
		}
	}
	if CheckEnvID(strings.Repeat("a", MaxEnvID)) != nil || CheckEnvID(strings.Repeat("a", MaxEnvID+1)) == nil || CheckEnvID("a\x7f") == nil {
		t.Error("envelope id")
	}
}
