package session

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

type replyCase struct {
	name, in string
	code     int
	lines    []string
	enhanced string
	err      error
}

func replies() []replyCase {
	x := func(n int) string { return strings.Repeat("x", n) }
	return []replyCase{
		{name: "one line", in: "220 hello\r\n", code: 220, lines: []string{"hello"}},
		{name: "many lines", in: "250-a\r\n250-\r\n250 b\r\n", code: 250, lines: []string{"a", "", "b"}},
		{name: "no text", in: "250\r\n", code: 250, lines: []string{""}},
		{name: "empty text", in: "250 \r\n", code: 250, lines: []string{""}},
		{name: "no text in the last line", in: "250-a\r\n250\r\n", code: 250, lines: []string{"a", ""}},
		{name: "LF alone", in: "250-a\n250 b\n", code: 250, lines: []string{"a", "b"}},
		{name: "lowest", in: "200 a\r\n", code: 200, lines: []string{"a"}},
		{name: "highest", in: "599 a\r\n", code: 599, lines: []string{"a"}},
		{name: "enhanced", in: "550 5.1.1 nobody\r\n", code: 550, lines: []string{"5.1.1 nobody"}, enhanced: "5.1.1"},
		{name: "enhanced alone", in: "550 5.1.1\r\n", code: 550, lines: []string{"5.1.1"}, enhanced: "5.1.1"},
		{name: "enhanced of another class", in: "550 4.1.1 nobody\r\n", code: 550, lines: []string{"4.1.1 nobody"}},
		{name: "enhanced malformed", in: "550 5.1.1.1 nobody\r\n", code: 550, lines: []string{"5.1.1.1 nobody"}},
		{name: "enhanced out of range", in: "550 5.1.1000 nobody\r\n", code: 550, lines: []string{"5.1.1000 nobody"}},
		{name: "longest line", in: "250 " + x(2044) + "\r\n", code: 250, lines: []string{x(2044)}},
		{name: "most lines", in: strings.Repeat("250-a\r\n", 99) + "250 a\r\n", code: 250, lines: strings.Split(strings.Repeat("a ", 99)+"a", " ")},
		{name: "binary text", in: "250 \x00\xff\x1b[2J\r\n", code: 250, lines: []string{"\x00\xff\x1b[2J"}},

		{name: "line too long", in: "250 " + x(2047) + "\r\n", err: errReply},
		{name: "endless line", in: x(10000), err: errReply},
		{name: "too many lines", in: strings.Repeat("250-a\r\n", 100) + "250 a\r\n", err: errReply},
		{name: "reply too long", in: strings.Repeat("250-"+x(2000)+"\r\n", 40), err: errReply},
		{name: "code changes", in: "250-a\r\n251 b\r\n", err: errReply},
		{name: "code too low", in: "199 a\r\n", err: errReply},
		{name: "code too high", in: "600 a\r\n", err: errReply},
		{name: "no code", in: "hello\r\n", err: errReply},
		{name: "two digits", in: "25 a\r\n", err: errReply},
		{name: "four digits", in: "2500 a\r\n", err: errReply},
		{name: "separator", in: "250_a\r\n", err: errReply},
		{name: "empty line", in: "\r\n", err: errReply},
		{name: "blank in front", in: " 250 a\r\n", err: errReply},
		{name: "nothing", in: "", err: io.EOF},
		{name: "cut off", in: "250 a", err: io.ErrUnexpectedEOF},
		{name: "cut off between lines", in: "250-a\r\n", err: io.ErrUnexpectedEOF},
	}
}

func TestReadReply(t *testing.T) {
	for _, tt := range replies() {
		t.Run(tt.name, func(t *testing.T) {
			r, err := readReply(newReader(strings.NewReader(tt.in)))
			if !errors.Is(err, tt.err) || err == nil && tt.err != nil {
				t.Fatalf("error %v, want %v", err, tt.err)
			}
			if diff := cmp.Diff(tt.lines, r.lines); diff != "" || r.code != tt.code || r.enhanced() != tt.enhanced {
				t.Errorf("code %d enhanced %q, want %d %q; lines (-want +got):\n%s", r.code, r.enhanced(), tt.code, tt.enhanced, diff)
			}
		})
	}
}

// What one reply leaves in the stream is the next one's.
func FuzzReadReply(f *testing.F) {
	for _, tt := range replies() {
		f.Add(tt.in)
	}
	f.Fuzz(func(t *testing.T, in string) {
		src := strings.NewReader(in)
		br := newReader(src)
		r, err := readReply(br)
		if err != nil {
			if r.code != 0 || r.lines != nil {
				t.Fatalf("%q: half a reply with error %v", in, err)
			}
			return
		}
		total := 0
		var again strings.Builder
		for i, line := range r.lines {
			total += len(line)
			if len(line) > maxLine || strings.Contains(line, "\n") {
				t.Fatalf("line %q", line)
			}
			fmt.Fprintf(&again, "%d%s%s\r\n", r.code, map[bool]string{true: " ", false: "-"}[i == len(r.lines)-1], line)
		}
		if len(r.lines) < 1 || len(r.lines) > maxLines || total > maxReply || r.code < 200 || r.code > 599 {
			t.Fatalf("%q read as %+v", in, r)
		}
		if e := r.enhanced(); e != "" && int(e[0]-'0') != r.class() {
			t.Fatalf("%q: enhanced code %q", in, e)
		}
		used := len(in) - src.Len() - br.Buffered()
		if used > 0 && in[used-1] != '\n' {
			t.Fatalf("%q: reply ends in the middle of a line", in)
		}
		r2, err := readReply(newReader(strings.NewReader(again.String())))
		if diff := cmp.Diff(r.lines, r2.lines); err == nil && diff != "" {
			t.Fatalf("%q written and read again (-want +got):\n%s", in, diff)
		}
	})
}

func TestCapabilities(t *testing.T) {
	tests := []struct {
		name, in string
		want     capabilities
	}{
		{"greeting is no capability", "STARTTLS", capabilities{}},
		{"none", "", capabilities{}},
		{"all", "x|STARTTLS|PIPELINING|8BITMIME|SMTPUTF8|SIZE 1000|AUTH PLAIN LOGIN", capabilities{
			startTLS: true, pipelining: true, eightBit: true, utf8: true, size: true, maxSize: 1000, auth: []string{"PLAIN", "LOGIN"},
		}},
		{"any case", "x|starttls|Auth plain", capabilities{startTLS: true, auth: []string{"plain"}}},
		{"SIZE without limit", "x|SIZE", capabilities{size: true}},
		{"SIZE 0", "x|SIZE 0", capabilities{size: true}},
		{"SIZE negative", "x|SIZE -1", capabilities{size: true}},
		{"SIZE too big", "x|SIZE 99999999999999999999", capabilities{size: true}},
		{"old AUTH", "x|AUTH=LOGIN", capabilities{auth: []string{"LOGIN"}}},
		{"both AUTHs", "x|AUTH LOGIN|AUTH=PLAIN", capabilities{auth: []string{"LOGIN", "PLAIN"}}},
		{"unknown", "x|XYZ|STARTTLSX|8BITMIME2| |", capabilities{}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := parseCapabilities(strings.Split(tt.in, "|"))
			if diff := cmp.Diff(tt.want, got, cmp.AllowUnexported(capabilities{})); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
	parseCapabilities(nil) // no lines at all
}

func FuzzCapabilities(f *testing.F) {
	f.Add("x\nSIZE 1\nAUTH=PLAIN")
	f.Fuzz(func(t *testing.T, in string) {
		if c := parseCapabilities(strings.Split(in, "\n")); c.maxSize < 0 {
			t.Fatalf("%q: size %d", in, c.maxSize)
		}
	})
}
