package front

import (
	"os"
	"strings"
	"testing"

	"dma/common/dsn"
)

func TestEmail(t *testing.T) {
	for email, want := range map[string][2]string{ // sender, full name
		"":                       {},
		"a@b":                    {"a@b"},
		"a@b (Joe)":              {"a@b"},
		"<a@b>":                  {"a@b"},
		"Joe <a@b>":              {"a@b", "Joe"},
		"Joe Doe<a@b>":           {"a@b", "Joe Doe"},
		`"J, oe" (x) <a@b> `:     {"a@b", `"J, oe" (x)`},
		`"J, \"oe\"" <a@b>`:      {"a@b", `J, "oe"`},
		"Jörg <joerg>":           {"joerg", "Jörg"},
		"J\x01 <a@b>":            {"a@b"},
		"a@b, c@d":               {"bad"},
		"x y":                    {"bad"},
		"a@b\n":                  {"a@b"},
		"a\x00@b":                {"bad"},
		"undisclosed: ;":         {"bad"},
		strings.Repeat("x", 5e6): {"bad"},
		strings.Repeat("x", 800): {"bad"}, // a host would not fit behind it
	} {
		a := newAttempt(t)
		in := a.input(Options{}, nil)
		in.Caller = Caller{Email: email, PasswordFile: "/nonexistent"}
		e := in.envelope()
		if want[0] == "bad" {
			if e.SenderGiven || len(a.warned) != 1 {
				t.Errorf("%.20q: %+v, logged %q", email, e, a.warned)
			}
		} else if e.Sender != want[0] || e.FullName != want[1] || e.SenderGiven != (want[0] != "") || a.warned != nil {
			t.Errorf("%.20q: %+v, logged %q", email, e, a.warned)
		}
	}
}

func TestLogin(t *testing.T) {
	const file = "root:x:0:0:Root:/root:/bin/sh\nalice:x:5:5:Alice A.,room:/:/bin/sh\ntwin:x:5:5:Twin &:/:/bin/sh\n" +
		"a@b:x:5:5::/:/bin/sh\nodd:x:5:5:a\x01b:/:/bin/sh\nbob:x:6:6::/:/bin/sh\n"
	path := t.TempDir() + "/passwd"
	if err := os.WriteFile(path, []byte(file), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		caller       Caller
		sender, full string
	}{
		"nothing said":        {Caller{UID: 5}, "", ""},
		"first of the uid":    {Caller{UID: 5, Logname: "alice", User: "twin"}, "", ""},
		"second of the uid":   {Caller{UID: 5, Logname: "twin"}, "twin", "Twin Twin"},
		"by USER":             {Caller{UID: 5, User: "twin"}, "twin", "Twin Twin"},
		"another's":           {Caller{UID: 5, Logname: "bob"}, "", ""},
		"another's, then own": {Caller{UID: 5, Logname: "root", User: "twin"}, "twin", "Twin Twin"},
		"nobody's":            {Caller{UID: 5, Logname: "nosuch"}, "", ""},
		"no address":          {Caller{UID: 5, Logname: "a@b"}, "", ""},
		"bad name":            {Caller{UID: 5, Logname: "odd"}, "odd", ""},
		"uid of nobody":       {Caller{UID: 7, Logname: "alice"}, "", ""},
		"root":                {Caller{UID: 0, Logname: "alice"}, "", ""},
		"EMAIL goes before":   {Caller{UID: 5, Logname: "twin", Email: "x@y"}, "x@y", ""},
		"broken EMAIL":        {Caller{UID: 5, Logname: "twin", Email: "x@"}, "twin", "Twin Twin"},
	} {
		c.caller.PasswordFile = path
		in := newAttempt(t).input(Options{}, nil)
		in.Caller = c.caller
		if e := in.envelope(); e.Sender != c.sender || e.FullName != c.full || e.SenderGiven != (c.sender != "") {
			t.Errorf("%s: %+v", name, e)
		}
	}
}

// TestEnvelope: what the command line says goes before the environment.
func TestEnvelope(t *testing.T) {
	in := newAttempt(t).input(Options{
		SenderGiven: true, FullName: "Full", Ret: dsn.RetFull, EnvID: "id", Tag: "tag", FromHeader: true,
	}, nil)
	in.Caller.Email = "Joe <a@b>"
	e := in.envelope()
	if e.Sender != "" || !e.SenderGiven || e.FullName != "Full" || e.Ret != dsn.RetFull || e.EnvID != "id" || e.Tag != "tag" || !e.FromHeader {
		t.Errorf("%+v", e)
	}
	in.Options = Options{FullName: "Full"}
	if e := in.envelope(); e.Sender != "a@b" || e.FullName != "Full" {
		t.Errorf("%+v", e)
	}
}
