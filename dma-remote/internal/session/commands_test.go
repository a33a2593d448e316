package session

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"dma/common/dsn"
	"dma/common/outcome"
	"dma/dma-remote/internal/smtptest"
)

// The envelope as it is on the wire.
func TestCommands(t *testing.T) {
	tests := []struct {
		name   string
		caps   []string
		change func(*Mail)
		want   string // envelope, or the verdict if nothing may be sent
	}{
		{"plain", nil, nil, "MAIL FROM:<s@x.example>|RCPT TO:<r0@x.example>"},
		{"null sender", nil, func(m *Mail) { m.Sender = "" }, "MAIL FROM:<>|RCPT TO:<r0@x.example>"},
		{"SIZE", []string{"SIZE 1000"}, nil, "MAIL FROM:<s@x.example> SIZE=18|RCPT TO:<r0@x.example>"},
		{"SIZE too small", []string{"SIZE 17"}, nil, "failed 5.3.4"},
		{"8-bit", []string{"8BITMIME"}, eightBit, "MAIL FROM:<s@x.example> BODY=8BITMIME|RCPT TO:<r0@x.example>"},
		{"8-bit not offered", nil, eightBit, "MAIL FROM:<s@x.example>|RCPT TO:<r0@x.example>"},
		{"8-bit not offered and SIZE", []string{"SIZE"}, eightBit, "MAIL FROM:<s@x.example> SIZE=131|RCPT TO:<r0@x.example>"},
		{"8-bit not offered and signed", nil, func(m *Mail) { m.Body = body("DKIM-Signature: x\n\n\xfc\n"); m.Facts, _ = m.Body.Inspect() }, "failed 5.6.3"},
		{"8-bit offered and signed", []string{"8BITMIME"}, func(m *Mail) { m.Body = body("DKIM-Signature: x\n\n\xfc\n"); m.Facts, _ = m.Body.Inspect() }, "MAIL FROM:<s@x.example> BODY=8BITMIME|RCPT TO:<r0@x.example>"},
		{"binary", []string{"8BITMIME", "BINARYMIME", "CHUNKING"}, func(m *Mail) {
			m.Body = body("Content-Transfer-Encoding: binary\n\n\x00\n")
			m.Facts, _ = m.Body.Inspect()
		}, "failed 5.6.1"},
		{"domain in UTF-8", nil, func(m *Mail) { m.Sender, m.Recipients[0].Address = "a@b\u00fccher.example", "c@B\u00dcCHER.example" }, "MAIL FROM:<a@xn--bcher-kva.example>|RCPT TO:<c@xn--bcher-kva.example>"},
		{"domain in UTF-8 that is none", []string{"SMTPUTF8"}, func(m *Mail) { m.Recipients[0].Address = "c@\u2603_.example" }, "failed 5.6.7"},
		{"address in UTF-8", []string{"SMTPUTF8"}, func(m *Mail) { m.Recipients[0].Address = "\u00fc@b\u00fccher.example" }, "MAIL FROM:<s@x.example> SMTPUTF8|RCPT TO:<\u00fc@xn--bcher-kva.example>"},
		{"7-bit", []string{"8BITMIME"}, nil, "MAIL FROM:<s@x.example>|RCPT TO:<r0@x.example>"},
		{"quoted", nil, func(m *Mail) { m.Recipients[0].Address = `"a b>\" c@d"@x.example` }, `MAIL FROM:<s@x.example>|RCPT TO:<"a b>\" c@d"@x.example>`},
		{"bare name", nil, func(m *Mail) { m.Recipients[0].Address = "root" }, "MAIL FROM:<s@x.example>|RCPT TO:<root>"},
		{"UTF-8", []string{"SMTPUTF8", "8BITMIME"}, func(m *Mail) { m.Recipients[0].Address = "ü@x.example" }, "MAIL FROM:<s@x.example> SMTPUTF8|RCPT TO:<ü@x.example>"},
		{"UTF-8 not offered", nil, func(m *Mail) { m.Recipients[0].Address = "ü@x.example" }, "failed 5.6.7"},
		{"UTF-8 sender not offered", nil, func(m *Mail) { m.Sender = "ü@x.example" }, "failed 5.6.7"},
		{"DSN not asked for", []string{"DSN"}, nil, "MAIL FROM:<s@x.example>|RCPT TO:<r0@x.example>"},
		{"DSN not offered", nil, askDSN, "MAIL FROM:<s@x.example>|RCPT TO:<r0@x.example>"},
		{"DSN", []string{"DSN"}, askDSN, "MAIL FROM:<s@x.example> RET=HDRS ENVID=a+20+2Bb|RCPT TO:<r0@x.example> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;o+3D1@x.example"},
		{"DSN never", []string{"dsn"}, func(m *Mail) { m.Ret, m.Recipients[0].Notify = dsn.RetFull, dsn.Never }, "MAIL FROM:<s@x.example> RET=FULL|RCPT TO:<r0@x.example> NOTIFY=NEVER"},
		{"DSN parameter in an original recipient", []string{"DSN"}, func(m *Mail) { m.Recipients[0].Original = "x NOTIFY=NEVER;a" }, "MAIL FROM:<s@x.example>|RCPT TO:<r0@x.example>"},
		{"two recipients in one", nil, func(m *Mail) { m.Recipients[0].Address = "a@b>, <c@d" }, "failed 5.1.3"},
		{"line end", nil, func(m *Mail) { m.Recipients[0].Address = "a@b\r\nDATA" }, "failed 5.1.3"},
		{"parameter in the sender", nil, func(m *Mail) { m.Sender = "a@b> SIZE=1 <" }, "failed 5.1.7"},
		{"longest", nil, func(m *Mail) { m.Recipients[0].Address = strings.Repeat("x", 244) + "@x.example" }, "MAIL FROM:<s@x.example>|RCPT TO:<" + strings.Repeat("x", 244) + "@x.example>"},
		{"too long", nil, func(m *Mail) { m.Recipients[0].Address = strings.Repeat("x", 245) + "@x.example" }, "failed 5.1.3"},
	}
	for _, tt := range tests {
		for _, pipelining := range []bool{false, true} {
			t.Run(fmt.Sprint(tt.name, pipelining), func(t *testing.T) {
				t.Parallel()
				var envelope []string
				s := smtptest.Start(t, func(p *peer) {
					caps := tt.caps
					if pipelining {
						caps = append(slices.Clone(caps), "PIPELINING")
					}
					p.Hello(caps...)
					envelope, _ = p.Accept()
					p.Quit()
				})
				c := mustOpen(t, s)
				m := mail(1)
				if tt.change != nil {
					tt.change(m)
				}
				v := send(t.Context(), t, c, m)
				c.Quit()
				s.Finish()
				got := strings.Join(envelope, "|")
				if v[0].Class != outcome.Done {
					got = summaries(v)
				}
				if got != tt.want {
					t.Errorf("%s, want %s", got, tt.want)
				}
				if reports := strings.HasPrefix(tt.name, "DSN") && tt.caps != nil; v[0].Reports != reports {
					t.Errorf("the server reports: %v, want %v", v[0].Reports, reports)
				}
			})
		}
	}
}

func askDSN(m *Mail) {
	m.Ret, m.EnvID = dsn.RetHeaders, "a +b"
	m.Recipients[0].Notify, m.Recipients[0].Original = dsn.Success|dsn.Delay, "rfc822;o=1@x.example"
}

func eightBit(m *Mail) {
	m.Body = body("Subject: t\n\n\xfc\n")
	m.Facts, _ = m.Body.Inspect()
}
