package auth

import (
	"encoding/base64"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"dma/common/conf"
)

func TestChoose(t *testing.T) {
	tests := []struct {
		name    string
		offered string
		open    bool
		want    string
	}{
		{"strongest first", "LOGIN PLAIN CRAM-MD5", true, "CRAM-MD5 PLAIN LOGIN"},
		{"in clear", "LOGIN PLAIN CRAM-MD5", false, "CRAM-MD5"},
		{"in clear without CRAM", "LOGIN PLAIN", false, ""},
		{"any case", "login Plain", true, "PLAIN LOGIN"},
		{"unknown ones", "GSSAPI XOAUTH2 PLAINEST", true, ""},
		{"none", "", true, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := strings.Join(Choose(strings.Fields(tt.offered), tt.open), " ")
			if got != tt.want {
				t.Errorf("Choose(%q, %v) = %q, want %q", tt.offered, tt.open, got, tt.want)
			}
		})
	}
}

func TestMechanisms(t *testing.T) {
	a := conf.Auth{User: "tim", Password: conf.NewSecret("tanstaaftanstaaf")}
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
		{"CRAM-MD5", nil, []string{strings.Repeat("x", 1025)}, []string{"!challenge is empty or too long"}},
		{"PLAIN", "\x00tim\x00tanstaaftanstaaf", nil, nil},
		{"PLAIN", "\x00tim\x00tanstaaftanstaaf", []string{"and?"}, []string{"!sasl: unexpected server challenge"}},
		{"LOGIN", nil, []string{"Username:", "Password:"}, []string{"tim", "tanstaaftanstaaf"}},
		{"LOGIN", nil, []string{"User Name\x00", "", "more"}, []string{"tim", "tanstaaftanstaaf", "!unexpected challenge"}},
	}
	for i, tt := range tests {
		t.Run(fmt.Sprint(i, tt.mechanism), func(t *testing.T) {
			c := Client(tt.mechanism, a)
			name, ir, err := c.Start()
			if name != tt.mechanism || err != nil || (ir == nil) != (tt.initial == nil) || ir != nil && string(ir) != tt.initial {
				t.Fatalf("Start() = %q, %q, %v", name, ir, err)
			}
			var got []string
			for _, ch := range tt.challenges {
				answer, err := c.Next([]byte(ch))
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

func TestRedactor(t *testing.T) {
	a := conf.Auth{User: "u", Password: conf.NewSecret("hunter2")}
	r := Redactor(a)
	for _, leak := range []string{
		"hunter2",
		base64.StdEncoding.EncodeToString([]byte("hunter2")),
		base64.StdEncoding.EncodeToString([]byte("\x00u\x00hunter2")),
	} {
		if got := r.Replace("you said " + leak + "!"); got != "you said [redacted]!" {
			t.Errorf("%q stays in %q", leak, got)
		}
	}
	if got := Redactor(conf.Auth{}).Replace("as is"); got != "as is" {
		t.Errorf("no password: %q", got)
	}
}
