package smtpd

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"

	"dma/common/dsn"
	"dma/common/mailaddr"
	"dma/dma-queue/internal/spool"
)

const open = "EHLO me\nMAIL FROM:<a@b>\nRCPT TO:<c@d>\n"

// dialogues are what a client says, and how the answers begin.
var dialogues = []struct {
	name, in string
	want     []string
}{
	{"nothing", "", nil},
	{"quit", "QUIT\n", []string{"221 2.0.0"}},
	{"behind quit", "QUIT\nNOOP\n", []string{"221 2.0.0"}},
	{"message", open + "DATA\nx\n.\nQUIT\n", []string{"250 HELP", "250 2.1.0", "250 2.1.5", "354 ", "250 2.0.0 accepted as id1", "221"}},
	{"two messages", open + "DATA\n.\nMAIL FROM:<>\nRCPT TO:<x>\nDATA\n.\n", []string{"250", "250", "250", "354", "250 2.0.0", "250", "250", "354", "250 2.0.0 accepted as id2"}},
	{"any case", "ehlo me\nmail from:<a@b>\nrcpt to:<c@d>\ndata\n.\nquit\n", []string{"250", "250", "250", "354", "250", "221"}},
	{"no greeting", "MAIL FROM:<a@b>\nRCPT TO:<c@d>\nDATA\n.\n", []string{"250", "250", "354", "250"}},
	{"helo", "HELO me\n", []string{"250 host.example"}},
	{"no name", "EHLO\nHELO \n", []string{"501 5.5.4", "501 5.5.4"}},
	{"small ones", "NOOP\nNOOP x\nHELP\nHELP DATA\nRSET\n", []string{"250 2.0.0", "250", "214 2.0.0", "214", "250 2.0.0"}},
	{"not there", "EXPN x\nSTARTTLS\nAUTH PLAIN\nBDAT 1\nXYZ\n\n", []string{"502 5.5.1", "502", "502", "502", "500 5.5.2", "500"}},
	{"verify", "VRFY root\nVRFY <a@b>\nVRFY nobody\nVRFY\nVRFY a b\n", []string{"252 2.1.5", "252", "550 5.1.1", "553 5.1.3", "553"}},

	{"order", "RCPT TO:<a>\nDATA\nMAIL FROM:<a>\nMAIL FROM:<b>\nDATA\n", []string{"503 5.5.1", "503", "250", "503", "503"}},
	{"all refused", "MAIL FROM:<a>\nRCPT TO:<nobody>\nDATA\n", []string{"250", "550 5.1.1 unknown local user", "503 5.5.1"}},
	{"reset", open + "RSET\nRCPT TO:<a>\nDATA\n", []string{"250", "250", "250", "250", "503", "503"}},
	{"greeting resets", open + "EHLO me\nDATA\n", []string{"250", "250", "250", "250", "503"}},
	{"commands behind a refused DATA", "DATA\nRSET\nX\nDATA\nMAIL FROM:<a b>\nX\n", []string{"503", "250", "500", "503", "553", "500"}},
	{"data ends the transaction", open + "DATA\n.\nDATA\n", []string{"250", "250", "250", "354", "250", "503"}},
	{"operand of data", open + "DATA x\nDATA\n.\n", []string{"250", "250", "250", "501 5.5.4", "354", "250"}},

	{"forms of a sender", "MAIL FROM:a@b\nRSET\nMAIL FROM: <a@b>\nRSET\nMAIL  FROM:<@x:a@b>  SIZE=1\nRSET\nMAIL\tFROM:<\"a> b\"@c>\n", []string{"250", "250", "250", "250", "250", "250", "250"}},
	{"malformed sender", "MAIL\nMAIL FROM\nMAIL FROM:\nMAIL TO:<a@b>\nMAIL <a@b>\n", []string{"501 5.5.4", "501", "501", "501", "501"}},
	{"no sender", "MAIL FROM:<a b>\nMAIL FROM:<a@>\nMAIL FROM:<a@b\nMAIL FROM:<a\x00@b>\n", []string{"553 5.1.7", "553", "553", "553"}},
	{"text behind a sender", "MAIL FROM:<a@b>x\nMAIL FROM:<a@b>SIZE=1\n", []string{"501 5.5.4", "501"}},
	{"malformed recipient", "MAIL FROM:<a>\nRCPT\nRCPT TO:\nRCPT FROM:<a>\nRCPT TO:<>\nRCPT TO:<a@b@c>\nRCPT TO:<a,b>\n", []string{"250", "501 5.5.4", "501", "501", "553 5.1.3", "553", "553"}},
	{"trouble with a recipient", "MAIL FROM:<a>\nRCPT TO:<trouble@x>\n", []string{"250", "451 4.3.0 cannot 250 look"}},

	{"size", "MAIL FROM:<a> SIZE=1000\nRSET\nMAIL FROM:<a> size=0\n", []string{"250", "250", "250"}},
	{"size too big", "MAIL FROM:<a> SIZE=1001\nMAIL FROM:<a> SIZE=9223372036854775807\nRCPT TO:<a>\n", []string{"552 5.3.4", "552", "503"}},
	{"no size", "MAIL FROM:<a> SIZE\nMAIL FROM:<a> SIZE=x\nMAIL FROM:<a> SIZE=-1\nMAIL FROM:<a> SIZE=9223372036854775808\n", []string{"501 5.5.4", "501", "501", "501"}},
	{"body", "MAIL FROM:<a> BODY=8BITMIME\nRSET\nMAIL FROM:<a> body=7bit\nRSET\nMAIL FROM:<a> BODY=BINARYMIME\nMAIL FROM:<a> BODY\n", []string{"250", "250", "250", "250", "501 5.5.4", "501"}},
	{"unknown parameters", "MAIL FROM:<a> AUTH=<>\nMAIL FROM:<a> NOTIFY=NEVER\nMAIL FROM:<a>\nRCPT TO:<a> RET=HDRS\n", []string{"555 5.5.4", "555", "250", "555"}},
	{"parameter twice", "MAIL FROM:<a> SIZE=1 size=2\nMAIL FROM:<a>\nRCPT TO:<a> NOTIFY=NEVER NOTIFY=NEVER\n", []string{"501 5.5.4", "250", "501"}},
	{"ret", "MAIL FROM:<a> RET=HDRS\nRSET\nMAIL FROM:<a> RET=full\nRSET\nMAIL FROM:<a> RET=X\n", []string{"250", "250", "250", "250", "501 5.5.4"}},
	{"envid", "MAIL FROM:<a> ENVID=a+2Bb\nRSET\nMAIL FROM:<a> ENVID=\nMAIL FROM:<a> ENVID=+0A\nMAIL FROM:<a> ENVID=+\nMAIL FROM:<a> ENVID=" + strings.Repeat("x", 101) + "\n", []string{"250", "250", "501 5.5.4", "501", "501", "501"}},
	{"notify", "MAIL FROM:<a>\nRCPT TO:<a> NOTIFY=never\nRCPT TO:<a> NOTIFY=SUCCESS,FAILURE,DELAY\nRCPT TO:<a> NOTIFY=NEVER,DELAY\nRCPT TO:<a> NOTIFY\n", []string{"250", "250", "250", "501 5.5.4", "501"}},
	{"orcpt", "MAIL FROM:<a>\nRCPT TO:<a> ORCPT=rfc822;a+40b\nRCPT TO:<a> ORCPT=x\nRCPT TO:<a> ORCPT=rfc822;\nRCPT TO:<a> ORCPT=rfc822;+0D+0A\nRCPT TO:<a> ORCPT=utf-8;\xff\n", []string{"250", "250", "501 5.5.4", "501", "501", "501"}},
	{"utf-8", "MAIL FROM:<ü@x> SMTPUTF8\nRCPT TO:<é@y> ORCPT=utf-8;é@y\nDATA\n.\n", []string{"250", "250", "354", "250"}},
	{"utf-8 not announced", "MAIL FROM:<ü@x>\nMAIL FROM:<a>\nRCPT TO:<é@y>\n", []string{"553 5.6.7", "250", "553 5.6.7"}},
	{"utf-8 does not last", "MAIL FROM:<a> SMTPUTF8\nRSET\nMAIL FROM:<a>\nRCPT TO:<é@y>\n", []string{"250", "250", "250", "553 5.6.7"}},
	{"utf-8 with a value", "MAIL FROM:<a> SMTPUTF8=yes\n", []string{"501 5.5.4"}},
	{"latin-1", "MAIL FROM:<a\xfc@x> SMTPUTF8\n", []string{"553 5.1.7"}},

	{"longest line", "NOOP " + strings.Repeat("x", maxLine-7) + "\nNOOP\n", []string{"250", "250"}},
	{"line too long", "NOOP " + strings.Repeat("x", maxLine) + "\nNOOP\n", []string{"500 5.5.2", "250"}},
	{"recipient too long", "MAIL FROM:<a>\nRCPT TO:<" + strings.Repeat("x", mailaddr.MaxAddr+1) + "@y>\n", []string{"250", "553 5.1.3"}},
	{"sender too long", "MAIL FROM:<" + strings.Repeat("x", mailaddr.MaxAddr-100) + ">\n", []string{"553 5.1.7"}},
	{"unfinished line", "NOOP\nMAIL FROM:<a@b>", []string{"250"}},
	{"NUL", "\x00\nNOOP\x00\n", []string{"500", "500"}},
}

func TestDialogues(t *testing.T) {
	for _, c := range dialogues {
		t.Run(c.name, func(t *testing.T) {
			for how, in := range map[string]io.Reader{
				"CRLF":         strings.NewReader(crlf(c.in)),
				"LF":           strings.NewReader(c.in),
				"byte by byte": iotest.OneByteReader(strings.NewReader(crlf(c.in))),
			} {
				replies, err := talk(t, &post{full: 1000}, in)
				if err != nil {
					t.Errorf("%s: %v", how, err)
				}
				expect(t, replies, c.want...)
			}
		})
	}
}

func TestCapabilities(t *testing.T) {
	for size, want := range map[int64]string{0: "SIZE", 1 << 20: "SIZE 1048576"} {
		var out strings.Builder
		s := Server{Host: "host.example", MaxSize: size, Submitter: &post{}}
		if err := s.Serve(strings.NewReader("EHLO me\r\n"), &out); err != nil {
			t.Fatal(err)
		}
		_, got, _ := strings.Cut(out.String(), "\r\n")
		wanted := "250-host.example\r\n250-PIPELINING\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n250-" + want + "\r\n250-DSN\r\n250-ENHANCEDSTATUSCODES\r\n250 HELP\r\n"
		if got != wanted {
			t.Errorf("%q", got)
		}
	}
}

// TestEnvelope: what was said is what is committed.
func TestEnvelope(t *testing.T) {
	p := &post{}
	in := "EHLO me\nMAIL FROM:<\"a b\"@c> RET=HDRS ENVID=QQ+2B1 BODY=8BITMIME SMTPUTF8\n" +
		"RCPT TO:<nobody>\nRCPT TO:<bob>\nRCPT TO:<@r:x@Y.example.> NOTIFY=DELAY,FAILURE ORCPT=rfc822;x+2By@z\n" +
		"RCPT TO:<é@y> ORCPT=utf-8;é\\x{E9}@y NOTIFY=NEVER\nDATA\nSubject: x\n\n..\nbody\n.\nMAIL FROM:<>\nRCPT TO:<bob>\nDATA\n.\n"
	if _, err := talk(t, p, strings.NewReader(crlf(in))); err != nil {
		t.Fatal(err)
	}
	want := []message{
		{spool.Submission{
			Sender: `"a b"@c`, SenderGiven: true, Ret: dsn.RetHeaders, EnvID: "QQ+1", Tag: "tag",
			Recipients: []spool.Recipient{
				{Address: "bob"},
				{Address: "x@Y.example", Notify: dsn.Delay | dsn.Failure, Original: "rfc822;x+y@z"},
				{Address: "é@y", Notify: dsn.Never, Original: `utf-8;\x{E9}\x{E9}@y`},
			},
		}, "Subject: x\n\n.\nbody\n"},
		{spool.Submission{SenderGiven: true, Tag: "tag", Recipients: spool.To("bob")}, ""},
	}
	if diff := cmp.Diff(want, p.sent, cmp.AllowUnexported(message{})); diff != "" {
		t.Error(diff)
	}
}

// TestTrouble: whatever fails on this side, the message is not accepted, the
// client hears so at the right moment, and the session goes on.
func TestTrouble(t *testing.T) {
	boom := errors.New("the disk\nis gone")
	full := refuse(452, "4.3.1", "no space: %w", boom)
	for name, c := range map[string]struct {
		post post
		want []string
	}{
		"room":                {post{room: full}, []string{"250", "452 4.3.1 no space: the disk is gone", "503", "503"}},
		"begin":               {post{begin: boom}, []string{"250", "250", "250", "451 4.3.0 the disk is gone"}},
		"begin, full":         {post{begin: full}, []string{"250", "250", "250", "452 4.3.1"}},
		"write":               {post{write: boom}, []string{"250", "250", "250", "354", "451 4.3.0"}},
		"write, too much":     {post{write: refuse(552, "5.3.4", "too big")}, []string{"250", "250", "250", "354", "552 5.3.4 too big"}},
		"commit":              {post{commit: boom}, []string{"250", "250", "250", "354", "451 4.3.0 the disk is gone"}},
		"commit, full":        {post{commit: full}, []string{"250", "250", "250", "354", "452 4.3.1"}},
		"commit, not refused": {post{commit: fmt.Errorf("x: %w", full)}, []string{"250", "250", "250", "354", "452 4.3.1"}},
	} {
		t.Run(name, func(t *testing.T) {
			p := c.post
			in, tail := open+"DATA\n", "NOOP\n"
			if len(c.want) == 5 {
				in += "Subject: x\n\nbody\n.\n"
			}
			replies, err := talk(t, &p, strings.NewReader(crlf(in+tail)))
			if err != nil {
				t.Error(err)
			}
			expect(t, replies, append(c.want, "250 2.0.0 done")...)
			if len(p.sent) != 0 {
				t.Errorf("%+v was committed", p.sent)
			}
		})
	}
}

// TestHostile: clients that do not want to be understood.
func TestHostile(t *testing.T) {
	for name, c := range map[string]struct {
		in   io.Reader
		err  error
		last string
	}{
		"no newline":            {strings.NewReader("EHLO me"), nil, "220"},
		"endless line":          {strings.NewReader(strings.Repeat("x", 3<<20)), ErrGarbage, "421 4.7.0"},
		"endless lines":         {strings.NewReader(strings.Repeat(strings.Repeat("x", maxLine+1)+"\n", maxBad+10)), ErrGarbage, "421 4.7.0"},
		"garbage":               {strings.NewReader(strings.Repeat("\xff\x00\n", 1000)), ErrGarbage, "421 4.7.0"},
		"a message as commands": {strings.NewReader("DATA\n" + strings.Repeat("text of a message\n", 1000)), ErrGarbage, "421 4.7.0"},
		"end in a message":      {strings.NewReader(crlf(open + "DATA\nx\n")), ErrCut, "354"},
		"end before the dot":    {strings.NewReader(crlf(open+"DATA\nx\n") + ".\r"), ErrCut, "354"},
		"end behind the dot":    {strings.NewReader(crlf(open+"DATA\nx\n") + "."), ErrCut, "354"},
		"dot without line ends": {strings.NewReader(crlf(open+"DATA\n") + "x.\r\n"), ErrCut, "354"},
		"read error":            {iotest.TimeoutReader(iotest.OneByteReader(strings.NewReader("NOOP\r\n"))), iotest.ErrTimeout, "220"},
		"read error in a message": {
			io.MultiReader(strings.NewReader(crlf(open+"DATA\nx\n")), iotest.ErrReader(iotest.ErrTimeout)), iotest.ErrTimeout, "354",
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := &post{}
			replies, err := talk(t, p, c.in)
			if !errors.Is(err, c.err) || err == nil != (c.err == nil) {
				t.Errorf("error %v, not %v", err, c.err)
			}
			if n := len(replies); n > maxBad+10 || n == 0 || !strings.HasPrefix(replies[n-1], c.last) {
				t.Errorf("%d replies %.200q", n, replies)
			}
			if len(p.sent) != 0 {
				t.Errorf("%+v was committed", p.sent)
			}
		})
	}
}

// What is refused for what it is does not make a client hostile.
func TestManyRefusals(t *testing.T) {
	in := "MAIL FROM:<a>\n" + strings.Repeat("RCPT TO:<nobody>\n", 3*maxBad) + "RCPT TO:<a b>\nRCPT TO:<bob>\nDATA\n.\n" +
		strings.Repeat("RCPT TO:<bob>\n", 3*maxBad) + "NOOP\n"
	p := &post{}
	replies, err := talk(t, p, strings.NewReader(crlf(in)))
	if err != nil || len(p.sent) != 1 || replies[len(replies)-1] != "250 2.0.0 done" {
		t.Errorf("%v, %d messages, %d replies", err, len(p.sent), len(replies))
	}
}

func TestManyRecipients(t *testing.T) {
	in := "MAIL FROM:<a>\n" + strings.Repeat("RCPT TO:<bob@x>\n", spool.MaxRecipients+2) + "DATA\n.\n"
	p := &post{}
	replies, err := talk(t, p, strings.NewReader(crlf(in)))
	if err != nil || len(p.sent) != 1 || len(p.sent[0].Recipients) != spool.MaxRecipients {
		t.Fatalf("%v, %d messages", err, len(p.sent))
	}
	if n := len(replies); n != spool.MaxRecipients+6 || !strings.HasPrefix(replies[n-3], "452 4.5.3") {
		t.Errorf("%d replies", n)
	}
}

// deaf is a client that does not read.
type deaf struct{}

func (deaf) Write([]byte) (int, error) { return 0, io.ErrClosedPipe }

func TestClientDoesNotRead(t *testing.T) {
	p := &post{}
	s := Server{Host: "h", Submitter: p}
	if err := s.Serve(iotest.OneByteReader(strings.NewReader(crlf(open+"DATA\n.\n"))), deaf{}); !errors.Is(err, io.ErrClosedPipe) {
		t.Error(err)
	}
	if len(p.sent) != 0 || p.open != 0 {
		t.Errorf("%d messages, %d open", len(p.sent), p.open)
	}
}

// TestPipelining: no answer is waited for that is not written yet.
func TestPipelining(t *testing.T) {
	toServer, client := io.Pipe()
	fromServer, server := io.Pipe()
	p := &post{}
	done := make(chan error, 1)
	go func() {
		s := Server{Host: "h", Submitter: p}
		done <- s.Serve(toServer, server)
		server.Close()
	}()
	send := func(s string, want int) {
		t.Helper()
		if s != "" {
			if _, err := io.WriteString(client, crlf(s)); err != nil {
				t.Fatal(err)
			}
		}
		got := ""
		for b := make([]byte, 1000); strings.Count(got, "\n") < want; {
			n, err := fromServer.Read(b)
			if err != nil {
				t.Fatalf("%v after %q", err, got)
			}
			got += string(b[:n])
		}
	}
	send("", 1)
	send("EHLO me\n", 8)
	send("MAIL FROM:<a>\nRCPT TO:<b>\nRCPT TO:<c>\nDATA\n", 4)
	send("x\n.\nMAIL FROM:<a>\nRCPT TO:<b>\nDATA\n", 4)
	send(".\nQUIT\n", 2)
	if err := <-done; err != nil || len(p.sent) != 2 {
		t.Errorf("%v, %d messages", err, len(p.sent))
	}
}
