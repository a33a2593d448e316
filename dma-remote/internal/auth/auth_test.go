package auth

import (
	"encoding/base64"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"dma/common/conf"
)

func credentials(password string) *Credentials {
	return &Credentials{User: "tim", Password: conf.NewSecret(password), Host: "relay.example", Port: 587}
}

var token = strings.Repeat("t", tokenSize)

func TestChoose(t *testing.T) {
	tests := []struct {
		name    string
		offered string
		open    bool
		binding string
		secret  string
		want    string
	}{
		{"strongest first", "LOGIN PLAIN CRAM-MD5 SCRAM-SHA-1 SCRAM-SHA-256", true, "", "p", "SCRAM-SHA-256 SCRAM-SHA-1 CRAM-MD5 PLAIN LOGIN"},
		{"with channel binding", "SCRAM-SHA-1 SCRAM-SHA-1-PLUS SCRAM-SHA-256 SCRAM-SHA-256-PLUS PLAIN", true, "b", "p", "SCRAM-SHA-256-PLUS SCRAM-SHA-1-PLUS SCRAM-SHA-256 SCRAM-SHA-1 PLAIN"},
		{"channel binding is not possible", "SCRAM-SHA-256 SCRAM-SHA-256-PLUS", true, "", "p", "SCRAM-SHA-256"},
		{"in clear", "LOGIN PLAIN CRAM-MD5 SCRAM-SHA-1", false, "", "p", "SCRAM-SHA-1 CRAM-MD5"},
		{"in clear without others", "LOGIN PLAIN", false, "", "p", ""},
		{"any case", "login Plain", true, "", "p", "PLAIN LOGIN"},
		{"unknown ones", "GSSAPI EXTERNAL PLAINEST", true, "", "p", ""},
		{"token", "XOAUTH2 PLAIN OAUTHBEARER SCRAM-SHA-256", true, "", token, "OAUTHBEARER XOAUTH2"},
		{"token in clear", "XOAUTH2 PLAIN OAUTHBEARER", false, "", token, ""},
		{"token without mechanism for it", "LOGIN PLAIN", true, "", token, "PLAIN LOGIN"},
		{"password and mechanism for tokens", "XOAUTH2 PLAIN OAUTHBEARER", true, "", token[1:], "PLAIN"},
		{"none", "", true, "", "p", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := credentials(tt.secret)
			if tt.binding != "" {
				c.Binding = []byte(tt.binding)
			}
			if got := strings.Join(Choose(strings.Fields(tt.offered), tt.open, c), " "); got != tt.want {
				t.Errorf("Choose(%q, %v) = %q, want %q", tt.offered, tt.open, got, tt.want)
			}
		})
	}
}

func TestMechanisms(t *testing.T) {
	c := credentials("tanstaaftanstaaf")
	tests := []struct {
		mechanism  string
		initial    any // string, or nil for none
		challenges []string
		want       []string // the last is an error if it starts with !
	}{
		// The example of RFC 2195 section 2.
		{
			"CRAM-MD5", nil,
			[]string{"<1896.697170952@postoffice.reston.mci.net>", "more"},
			[]string{"tim b913a602c7eda7a495b4e6e7334d3890", "!unexpected challenge"},
		},
		{"CRAM-MD5", nil, []string{""}, []string{"!challenge is empty or too long"}},
		{"CRAM-MD5", nil, []string{strings.Repeat("x", maxChallenge+1)}, []string{"!challenge is empty or too long"}},
		{"PLAIN", "\x00tim\x00tanstaaftanstaaf", nil, nil},
		{"PLAIN", "\x00tim\x00tanstaaftanstaaf", []string{"and?"}, []string{"!sasl: unexpected server challenge"}},
		{"LOGIN", nil, []string{"Username:", "Password:"}, []string{"tim", "tanstaaftanstaaf"}},
		{"LOGIN", nil, []string{"User Name\x00", "", "more"}, []string{"tim", "tanstaaftanstaaf", "!unexpected challenge"}},
		{"XOAUTH2", "user=tim\x01auth=Bearer tanstaaftanstaaf\x01\x01", []string{`{"status":"400"}`, "more"}, []string{"", "!unexpected challenge"}},
		{"OAUTHBEARER", "n,a=tim,\x01host=relay.example\x01port=587\x01auth=Bearer tanstaaftanstaaf\x01\x01", []string{`{"status":"invalid_token"}`, "more"}, []string{"\x01", "!unexpected challenge"}},
	}
	for i, tt := range tests {
		t.Run(fmt.Sprint(i, tt.mechanism), func(t *testing.T) {
			x := New(tt.mechanism, c, nil)
			ir := x.Initial()
			if (ir == nil) != (tt.initial == nil) || ir != nil && string(ir) != tt.initial {
				t.Fatalf("initial response %q", ir)
			}
			if err := x.Done(); err != nil {
				t.Errorf("Done: %v", err)
			}
			var got []string
			for _, ch := range tt.challenges {
				answer, err := x.Next([]byte(ch))
				if err != nil {
					got = append(got, "!"+err.Error())
					break
				}
				got = append(got, string(answer))
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("answers (-want +got):\n%s", diff)
			}
		})
	}
}

// A server that first objects to a token and then takes it is none to trust.
func TestTokenRefused(t *testing.T) {
	x := New("XOAUTH2", credentials(token), nil)
	if _, err := x.Next([]byte("{}")); err != nil || x.Done() == nil {
		t.Errorf("%v, %v", err, x.Done())
	}
}

func TestRedactor(t *testing.T) {
	c := &Credentials{User: "u", Password: conf.NewSecret("hunter2")}
	other := &Credentials{User: "u", Password: conf.NewSecret("swordfish")}
	r := Redactor(c, other)
	for _, leak := range []string{
		"hunter2",
		"swordfish",
		base64.StdEncoding.EncodeToString([]byte("hunter2")),
		base64.StdEncoding.EncodeToString([]byte("\x00u\x00hunter2")),
		base64.StdEncoding.EncodeToString([]byte("user=u\x01auth=Bearer hunter2\x01\x01")),
		base64.StdEncoding.EncodeToString(New("OAUTHBEARER", c, nil).Initial()),
	} {
		if got := r.Replace("you said " + leak + "!"); got != "you said [redacted]!" {
			t.Errorf("%q stays in %q", leak, got)
		}
	}
	if got := Redactor(&Credentials{}).Replace("as is"); got != "as is" {
		t.Errorf("no password: %q", got)
	}
}
