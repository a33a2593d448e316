package letter

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

var noon = time.Date(2026, 3, 4, 12, 5, 6, 0, time.UTC)

const (
	fromLine = "From a@b.example  Wed Mar  4 12:05:06 2026\n"
	preface  = fromLine + "Return-Path: <a@b.example>\n"
)

func letterOf(text string) Letter {
	return Letter{Sender: "a@b.example", Text: strings.NewReader(text), Size: int64(len(text))}
}

// texts are what a message may look like, what a command reads of it, and what
// a mailbox holds of it.
var texts = []struct{ name, text, plain, mbox string }{
	{"plain", "A: b\n\nhello\n", "A: b\n\nhello\n", "A: b\n\nhello\n\n"},
	{"empty", "", "", "\n"},
	{"only a line end", "\n", "\n", "\n\n"},
	{"no final line end", "A: b\n\nx", "A: b\n\nx", "A: b\n\nx\n\n"},
	{"blank lines at the end", "A: b\n\nx\n\n\n", "A: b\n\nx\n\n\n", "A: b\n\nx\n\n\n\n"},
	{"From line", "A: b\n\nFrom here\n", "A: b\n\nFrom here\n", "A: b\n\n>From here\n\n"},
	{"From line in the header", "From x\nA: b\n\n", "From x\nA: b\n\n", ">From x\nA: b\n\n\n"},
	{"quoted From line", "\n>From here\n>>From there\n", "\n>From here\n>>From there\n", "\n>>From here\n>>>From there\n\n"},
	{"not From lines", "\nFrom\nFrom:\nfrom x\n From x\n> From x\nFrom\t\nxFrom y\n", "\nFrom\nFrom:\nfrom x\n From x\n> From x\nFrom\t\nxFrom y\n", "\nFrom\nFrom:\nfrom x\n From x\n> From x\nFrom\t\nxFrom y\n\n"},
	{"From and a blank at the end", "\nFrom ", "\nFrom ", "\n>From \n\n"},
	{"half of From at the end", "\nFro", "\nFro", "\nFro\n\n"},
	{"quotes at the end", "\n>>>", "\n>>>", "\n>>>\n\n"},
	{"CRLF", "A: b\r\n\r\nx\r\nFrom y\r\n", "A: b\n\nx\nFrom y\n", "A: b\n\nx\n>From y\n\n"},
	{"bare CR", "\na\rb\n\r", "\na\rb\n\r", "\na\rb\n\r\n\n"},
	{"CR CR LF", "\na\r\r\n", "\na\r\n", "\na\r\n\n"},
	{"NUL and 8-bit", "\n\x00\xff\x80\n\x00", "\n\x00\xff\x80\n\x00", "\n\x00\xff\x80\n\x00\n\n"},
	{"old Return-Path", "Return-Path: <x@y>\nA: b\n\nReturn-Path: kept\n", "A: b\n\nReturn-Path: kept\n", "A: b\n\nReturn-Path: kept\n\n"},
	{"folded Return-Path", "A: b\nRETURN-path \t:\n <x@y>\n\tz\nC: d\n\n", "A: b\nC: d\n\n", "A: b\nC: d\n\n\n"},
	{"folded field after Return-Path", "Return-Path: x\nA: b\n c\n\n", "A: b\n c\n\n", "A: b\n c\n\n\n"},
	{"header of Return-Path alone", "Return-Path: x\n\nbody\n", "\nbody\n", "\nbody\n\n"},
	{"names like Return-Path", "Return-Path-2: x\nReturn-Pat: x\nX-Return-Path: x\n\n", "Return-Path-2: x\nReturn-Pat: x\nX-Return-Path: x\n\n", "Return-Path-2: x\nReturn-Pat: x\nX-Return-Path: x\n\n\n"},
	{"Return-Path cut short", "Return-Path: x", "", "\n"},
}

func TestText(t *testing.T) {
	for _, tt := range texts {
		t.Run(tt.name, func(t *testing.T) {
			var plain, mbox bytes.Buffer
			if err := letterOf(tt.text).Write(&plain, noon); err != nil {
				t.Fatal(err)
			}
			if got, want := plain.String(), preface+tt.plain; got != want {
				t.Errorf("Write:\n got %q\nwant %q", got, want)
			}
			if err := letterOf(tt.text).WriteMbox(&mbox, noon); err != nil {
				t.Fatal(err)
			}
			if got, want := mbox.String(), preface+tt.mbox; got != want {
				t.Errorf("WriteMbox:\n got %q\nwant %q", got, want)
			}
			var file bytes.Buffer
			if err := letterOf(tt.text).WriteMaildir(&file); err != nil {
				t.Fatal(err)
			}
			if got, want := file.String(), "Return-Path: <a@b.example>\n"+tt.plain; got != want {
				t.Errorf("WriteMaildir:\n got %q\nwant %q", got, want)
			}
		})
	}
}

func TestPreface(t *testing.T) {
	tests := []struct {
		name   string
		letter Letter
		want   string
	}{
		{"sender", Letter{Sender: "a@b.example"}, preface},
		{"null sender", Letter{}, "From MAILER-DAEMON  Wed Mar  4 12:05:06 2026\nReturn-Path: <>\n"},
		{"blanks in the sender", Letter{Sender: `"a b  c"@d`}, "From \"a-b--c\"@d  Wed Mar  4 12:05:06 2026\nReturn-Path: <\"a b  c\"@d>\n"},
		{
			"delivered to",
			Letter{Sender: "a@b.example", DeliveredTo: []string{"new@x", "old@x"}},
			preface + "Delivered-To: new@x\nDelivered-To: old@x\n",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.letter.Text = strings.NewReader("")
			var b bytes.Buffer
			if err := tt.letter.Write(&b, noon); err != nil {
				t.Fatal(err)
			}
			if b.String() != tt.want {
				t.Errorf("got %q\nwant %q", b.String(), tt.want)
			}
		})
	}
}

// TestLongLines has every interesting place of a line lie across the end of a buffer.
func TestLongLines(t *testing.T) {
	for shift := -8; shift <= 8; shift++ {
		n := bufSize + shift
		for _, tt := range []struct{ text, mbox string }{
			{strings.Repeat(">", n) + "From x\n", strings.Repeat(">", n+1) + "From x\n"},
			{strings.Repeat(">", n) + "from x\n", strings.Repeat(">", n) + "from x\n"},
			{strings.Repeat("x", n) + "\nFrom x\n", strings.Repeat("x", n) + "\n>From x\n"},
			{strings.Repeat("x", n) + "\r\nFrom x\r\n", strings.Repeat("x", n) + "\n>From x\n"},
			{strings.Repeat("x", n) + "\rFrom x\n", strings.Repeat("x", n) + "\rFrom x\n"},
			{"Return-Path: " + strings.Repeat("x", 3*n) + "\n\n", "\n"},
			{"Return-Path" + strings.Repeat(" ", n/2) + ":\n\n", "\n"},
		} {
			var mbox bytes.Buffer
			if err := letterOf(tt.text).WriteMbox(&mbox, noon); err != nil {
				t.Fatal(err)
			}
			if mbox.String() != preface+tt.mbox+"\n" {
				t.Errorf("shift %d: %.20q... written wrongly", shift, tt.text)
			}
		}
	}
}

type brokenText struct{ n int64 }

var errBroken = errors.New("disk on fire")

func (b brokenText) ReadAt(p []byte, off int64) (int, error) {
	if off >= b.n {
		return 0, errBroken
	}
	p[0] = 'x'
	return 1, nil
}

func TestUnreadable(t *testing.T) {
	err := Letter{Text: brokenText{3}, Size: 10}.WriteMbox(io.Discard, noon)
	if !errors.Is(err, ErrText) || !errors.Is(err, errBroken) {
		t.Errorf("read error: got %v", err)
	}
	short := letterOf("A: b\n\nx\n")
	short.Size++
	if err := short.Write(io.Discard, noon); !errors.Is(err, ErrText) {
		t.Errorf("text shorter than it should be: got %v", err)
	}
	long := letterOf("A: b\n\nx\ny\n")
	long.Size -= 2
	var b bytes.Buffer
	if err := long.Write(&b, noon); err != nil || b.String() != preface+"A: b\n\nx\n" {
		t.Errorf("text longer than it should be: got %v, %q", err, b.String())
	}
}

type brokenWriter struct{ left int }

func (b *brokenWriter) Write(p []byte) (int, error) {
	if len(p) > b.left {
		n := b.left
		b.left = 0
		return n, errBroken
	}
	b.left -= len(p)
	return len(p), nil
}

func TestWriterFails(t *testing.T) {
	text := "A: b\n\n" + strings.Repeat("From x\n>From y\nz\n", 10000)
	var whole bytes.Buffer
	if err := letterOf(text).WriteMbox(&whole, noon); err != nil {
		t.Fatal(err)
	}
	for left := range whole.Len() {
		if left > 300 && left < whole.Len()-300 && left%997 != 0 {
			continue
		}
		err := letterOf(text).WriteMbox(&brokenWriter{left}, noon)
		if !errors.Is(err, errBroken) || errors.Is(err, ErrText) {
			t.Fatalf("writer that takes %d bytes: got %v", left, err)
		}
	}
}

// unquote undoes mboxrd on one entry and takes its From line and blank line away.
func unquote(t rapid.TB, entry []byte) []byte {
	_, rest, ok := bytes.Cut(entry, []byte("\n"))
	if !ok || !bytes.HasSuffix(rest, []byte("\n")) {
		t.Fatalf("entry %q has no From line or no blank line", entry)
	}
	var out []byte
	for line := range bytes.Lines(rest[:len(rest)-1]) {
		trimmed := bytes.TrimLeft(line, ">")
		if bytes.HasPrefix(trimmed, []byte("From ")) {
			if len(trimmed) == len(line) {
				t.Fatalf("From line inside the entry: %q", line)
			}
			line = line[1:]
		}
		out = append(out, line...)
	}
	return out
}

// TestQuoteProperty: what a mailbox holds can be unquoted to the text, whatever
// that is and however it comes in pieces.
func TestQuoteProperty(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		line := rapid.OneOf(
			rapid.StringMatching(`>{0,4}(From |Fro|F|from )?[ -~]{0,10}`),
			rapid.Map(rapid.SliceOfN(rapid.Byte(), 0, 20), func(b []byte) string { return string(b) }),
		)
		text := strings.Join(rapid.SliceOfN(line, 0, 30).Draw(t, "lines"), "\n") + "\n"
		var b bytes.Buffer
		b.WriteString("From line\n")
		q := &quoter{w: &b}
		for rest := []byte(text); len(rest) > 0; {
			n := rapid.IntRange(1, len(rest)).Draw(t, "piece")
			if _, err := q.Write(rest[:n]); err != nil {
				t.Fatal(err)
			}
			rest = rest[n:]
		}
		if err := q.finish(); err != nil {
			t.Fatal(err)
		}
		if got := string(unquote(t, b.Bytes())); got != text {
			t.Fatalf("got %q\nwant %q", got, text)
		}
	})
}

func FuzzWriteMbox(f *testing.F) {
	for _, tt := range texts {
		f.Add(tt.text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var plain, mbox bytes.Buffer
		if err := letterOf(text).Write(&plain, noon); err != nil {
			t.Fatal(err)
		}
		if err := letterOf(text).WriteMbox(&mbox, noon); err != nil {
			t.Fatal(err)
		}
		_, want, _ := strings.Cut(plain.String(), "\n")
		if !strings.HasSuffix(want, "\n") {
			want += "\n"
		}
		if got := string(unquote(t, mbox.Bytes())); got != want {
			t.Errorf("mailbox and command differ:\n%q\n%q", got, want)
		}
		if bytes.Contains(plain.Bytes(), []byte("\r\n")) && !strings.Contains(text, "\r\r\n") {
			t.Errorf("CRLF left in %q", plain.Bytes())
		}
	})
}
