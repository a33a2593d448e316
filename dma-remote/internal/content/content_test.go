package content

import (
	"bufio"
	"bytes"
	"cmp"
	"errors"
	"io"
	"mime/quotedprintable"
	"strings"
	"sync/atomic"
	"testing"
	"testing/iotest"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"
)

// planned plans a message for a server that takes 8-bit characters, or does not.
func planned(t interface{ Fatal(...any) }, m *Message, eightBit bool) Plan {
	facts, err := m.Inspect()
	if err != nil {
		t.Fatal(err)
	}
	plan, err := m.Plan(&facts, eightBit)
	if err != nil {
		t.Fatal(err)
	}
	return plan
}

func encode(t interface{ Fatal(...any) }, header, text string) string {
	return encodeFor(t, header, text, true)
}

func encodeFor(t interface{ Fatal(...any) }, header, text string, eightBit bool) string {
	var b bytes.Buffer
	var dot atomic.Bool
	m := &Message{Header: header, File: strings.NewReader(text), Size: int64(len(text))}
	plan := planned(t, m, eightBit)
	w := bufio.NewWriter(&b)
	if err := cmp.Or(m.Send(w, &plan, &dot), w.Flush()); err != nil {
		t.Fatal(err)
	}
	if !dot.Load() {
		t.Fatal("dot written but not reported")
	}
	return b.String()
}

func TestEncode(t *testing.T) {
	x := func(n int) string { return strings.Repeat("x", n) }
	const (
		b64 = "Content-Transfer-Encoding: base64\n\n"
		qp  = "Content-Transfer-Encoding: Quoted-Printable\n\n"
		uu  = "Content-Transfer-Encoding: x-uuencode\n\n"
	)
	tests := []struct {
		name, header, text, want string
	}{
		{"empty", "", "", ".\r\n"},
		{"plain", "", "A: b\n\nhi\n", "A: b\r\n\r\nhi\r\n.\r\n"},
		{"header in front", "Delivered-To: a@b\n", "A: b\n\nhi\n", "Delivered-To: a@b\r\nA: b\r\n\r\nhi\r\n.\r\n"},
		{"no final newline", "", "A: b\n\nhi", "A: b\r\n\r\nhi\r\n.\r\n"},
		{"CRLF once", "", "A: b\r\n\r\nhi\r\n", "A: b\r\n\r\nhi\r\n.\r\n"},
		{"bare CR", "", "\na\rb\n", "\r\na b\r\n.\r\n"},
		{"CR CR LF", "", "\na\r\r\n", "\r\na \r\n.\r\n"},
		{"CR at the end", "", "\na\r", "\r\na \r\n.\r\n"},
		{"NUL", "", "\na\x00b\n", "\r\na?b\r\n.\r\n"},
		{"dots", "", "\n.\n..\n.a\na.\n", "\r\n..\r\n...\r\n..a\r\na.\r\n.\r\n"},
		{"dot first", "", ".", "..\r\n.\r\n"},
		{"CR before a dot", "", "\n\r.\r\n", "\r\n .\r\n.\r\n"},
		{"8-bit kept", "", "\ngr\xfc\xc3\xbc\xff\n", "\r\ngr\xfc\xc3\xbc\xff\r\n.\r\n"},
		{"998 bytes fit", "", "\n" + x(998) + "\n", "\r\n" + x(998) + "\r\n.\r\n"},
		{"stuffing does not count", "", "\n." + x(997) + "\n", "\r\n.." + x(997) + "\r\n.\r\n"},
		{"long line", "", "A: b\n\n" + x(999) + "\n", "A: b\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=us-ascii\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n" + strings.Repeat(x(75)+"=\r\n", 13) + x(24) + "\r\n.\r\n"},
		{"long line of base64", "", b64 + x(1000) + "\n", strings.ReplaceAll(b64, "\n", "\r\n") + x(998) + "\r\nxx\r\n.\r\n"},
		{"long line of quoted-printable", "", qp + x(996) + "=3D\n", strings.ReplaceAll(qp, "\n", "\r\n") + x(996) + "=\r\n=3D\r\n.\r\n"},
		{"long line of who knows what", "", uu + x(999) + "\n", strings.ReplaceAll(uu, "\n", "\r\n") + x(998) + "\r\nx\r\n.\r\n"},
		{"behind a blank", "", uu + "a " + x(997) + "\n", strings.ReplaceAll(uu, "\n", "\r\n") + "a \r\n" + x(997) + "\r\n.\r\n"},
		{"dot after a break", "", uu + x(998) + ".\n", strings.ReplaceAll(uu, "\n", "\r\n") + x(998) + "\r\n..\r\n.\r\n"},
		{"break before a character", "", uu + x(996) + "\u20ac\n", strings.ReplaceAll(uu, "\n", "\r\n") + x(996) + "\r\n\u20ac\r\n.\r\n"},
		{"header folds before a blank", "", "A: b " + x(996) + "\n\n", "A: b\r\n " + x(996) + "\r\n\r\n.\r\n"},
		{"header folds before a tab", "", "A: b\t" + x(996) + "\n\n", "A: b\r\n\t" + x(996) + "\r\n\r\n.\r\n"},
		{"header without a blank", "", x(999) + "\n\n", x(998) + "\r\n x\r\n\r\n.\r\n"},
		{"no line of blanks in the header", "", "A: b\n " + x(998) + "\n\n", "A: b\r\n " + x(997) + "\r\n x\r\n\r\n.\r\n"},
		{"breaks start anew", "", uu + x(999) + "\n" + x(998) + "\n", strings.ReplaceAll(uu, "\n", "\r\n") + x(998) + "\r\nx\r\n" + x(998) + "\r\n.\r\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if diff := gocmp.Diff(tt.want, encode(t, tt.header, tt.text)); diff != "" {
				t.Errorf("encoded (-want +got):\n%s", diff)
			}
		})
	}
}

func TestInspect(t *testing.T) {
	long := strings.Repeat("x", 999)
	tests := []struct {
		name, text string
		want       Facts
	}{
		{"plain", "A: b\n\nhi\n", Facts{Size: 12}},
		{"dots are not counted twice", "\n.\n", Facts{Size: 5}},
		{"8-bit", "A: b\n\n\xfc\n", Facts{Size: 11, EightBit: true}},
		{"long", "\n" + long, Facts{Size: 2 + 1003, Changed: true}},
		{"bare CR", "\n\ra\n", Facts{Size: 6, Changed: true}},
		{"NUL", "\n\x00\n", Facts{Size: 5, Changed: true}},
		{"DKIM", "DKIM-Signature: a\n\n", Facts{Size: 21, Signed: true}},
		{"DKIM on a long line", "dkim-signature : " + long + "\n\n", Facts{Size: 1025, Signed: true, Changed: true}},
		{"DKIM in the body", "\nDKIM-Signature: a\n", Facts{Size: 21}},
		{"S/MIME", "Content-Type: Multipart/Signed; a=b\n\n", Facts{Size: 39, Signed: true}},
		{"S/MIME on a folded line", "Content-type:\n multipart/signed\n\n", Facts{Size: 36, Signed: true}},
		{"signed in another field", "Subject: multipart/signed\n\n", Facts{Size: 29}},
		{"OpenPGP", "\n-----BEGIN PGP SIGNED MESSAGE-----\n", Facts{Size: 38, Signed: true}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m := &Message{File: strings.NewReader(tt.text), Size: int64(len(tt.text))}
			got, err := m.Inspect()
			if diff := gocmp.Diff(tt.want, got, cmpopts.IgnoreUnexported(Facts{})); diff != "" || err != nil {
				t.Errorf("Inspect (-want +got):\n%s\n%v", diff, err)
			}
		})
	}
}

// failing reads text and then fails, or cuts the file short if err is nil.
type failing struct {
	text string
	err  error
}

func (f failing) ReadAt(p []byte, off int64) (int, error) {
	n, err := strings.NewReader(f.text).ReadAt(p, off)
	if err == io.EOF && f.err != nil {
		err = f.err
	}
	return n, err
}

func TestReadErrorMeansNoDot(t *testing.T) {
	for name, f := range map[string]failing{
		"error": {"A: b\n\nhi\n", errors.New("disk on fire")},
		"short": {"A: b\n\nhi\n", nil},
		"none":  {"", nil},
	} {
		t.Run(name, func(t *testing.T) {
			var b bytes.Buffer
			var dot atomic.Bool
			w := bufio.NewWriter(&b)
			err := (&Message{File: f, Size: 100}).Send(w, &Plan{}, &dot)
			w.Flush()
			if !errors.Is(err, ErrRead) || f.err != nil && !errors.Is(err, f.err) {
				t.Errorf("error %v, want a read error", err)
			}
			if dot.Load() || strings.HasSuffix(b.String(), ".\r\n") {
				t.Errorf("a message that could not be read was ended: %q", b.String())
			}
		})
	}
}

// A chunk is the same message without stuffing and dot, of the size that Facts
// announce; one that has another size by then is not ended.
func TestChunk(t *testing.T) {
	tests := []struct {
		name, text string
		off        int64 // from the right size
		want       string
		last       bool
	}{
		{"plain", "A: b\n\n.hi\n.\n", 0, "A: b\r\n\r\n.hi\r\n.\r\n", true},
		{"empty", "", 0, "", true},
		{"grown", "A: b\n\nhi\n", -1, "A: b\r\n\r\n", false},
		{"shrunk", "A: b\n\nhi\n", 1, "A: b\r\n\r\nhi\r\n", false},
		{"long", "\n" + strings.Repeat("x", 100_000), 0, strings.TrimSuffix(encode(t, "", "\n"+strings.Repeat("x", 100_000)), ".\r\n"), true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m := &Message{File: strings.NewReader(tt.text), Size: int64(len(tt.text))}
			plan := planned(t, m, true)
			plan.Size += tt.off
			var b bytes.Buffer
			var last atomic.Bool
			w := bufio.NewWriter(&b)
			err := m.SendChunk(w, &plan, &last)
			w.Flush()
			if got := b.String(); got != tt.want {
				t.Errorf("wrote %.100q, want %.100q", got, tt.want)
			}
			if last.Load() != tt.last || errors.Is(err, ErrRead) != (tt.off != 0) {
				t.Errorf("last %v, error %v", last.Load(), err)
			}
		})
	}
}

func TestWriteError(t *testing.T) {
	var dot atomic.Bool
	text := strings.Repeat("0123456789\n", 10_000)
	m := &Message{File: strings.NewReader(text), Size: int64(len(text))}
	err := m.Send(bufio.NewWriter(failWriter{}), &Plan{}, &dot)
	if err == nil || errors.Is(err, ErrRead) || dot.Load() {
		t.Errorf("error %v, dot %v; want a write error and no dot", err, dot.Load())
	}
}

type failWriter struct{}

func (failWriter) Write([]byte) (int, error) { return 0, iotest.ErrTimeout }

// decode is a strict server: lines end in CRLF, and the first lone dot ends the
// message. It reports whether that was the end of all.
func decode(wire string) (text string, ok bool) {
	var b strings.Builder
	for {
		line, rest, found := strings.Cut(wire, "\r\n")
		if !found || strings.ContainsAny(line, "\r\n\x00") {
			return b.String(), false
		}
		if line == "." {
			return b.String(), rest == ""
		}
		b.WriteString(strings.TrimPrefix(line, ".") + "\n")
		wire = rest
	}
}

// sloppy is a server that takes a bare LF for the end of a line, too.
func sloppy(wire string) (text string, ok bool) {
	var b strings.Builder
	for {
		line, rest, found := strings.Cut(wire, "\n")
		if !found {
			return b.String(), false
		}
		line = strings.TrimSuffix(line, "\r")
		if line == "." {
			return b.String(), rest == ""
		}
		b.WriteString(strings.TrimPrefix(line, ".") + "\n")
		wire = rest
	}
}

// chunked is what is sent in BDAT.
func chunked(t interface{ Fatal(...any) }, text string) string {
	var b bytes.Buffer
	var last atomic.Bool
	m := &Message{File: strings.NewReader(text), Size: int64(len(text))}
	plan := planned(t, m, true)
	w := bufio.NewWriter(&b)
	if err := cmp.Or(m.SendChunk(w, &plan, &last), w.Flush()); err != nil || !last.Load() {
		t.Fatal(err, last.Load())
	}
	return b.String()
}

// normal says, without regard to long lines, what a message should arrive as.
func normal(text string) string {
	text = strings.ReplaceAll(text, "\r\n", "\n")
	text = strings.ReplaceAll(text, "\r", " ")
	text = strings.ReplaceAll(text, "\x00", "?")
	if text != "" && !strings.HasSuffix(text, "\n") {
		text += "\n"
	}
	return text
}

// roundTrip checks what must hold for any message at all.
func roundTrip(t interface {
	Fatal(...any)
	Fatalf(string, ...any)
}, text string,
) {
	wire := encode(t, "", text)
	got, ok := decode(wire)
	if !ok {
		t.Fatalf("%q: a strict server does not read %q as one message", text, wire)
	}
	m := &Message{File: strings.NewReader(text), Size: int64(len(text))}
	facts, err := m.Inspect()
	if plan := planned(t, m, true); err != nil || plan.Size != int64(len(got)+strings.Count(got, "\n")) {
		t.Fatalf("%q: size said to be %d of %q: %v", text, plan.Size, got, err)
	}
	long := false
	for line := range strings.SplitSeq(normal(text), "\n") {
		long = long || len(line) > MaxLine
	}
	for line := range strings.SplitSeq(got, "\n") {
		if len(line) > MaxLine {
			t.Fatalf("line of %d bytes", len(line))
		}
	}
	if want := normal(text); !long && got != want {
		t.Fatalf("%q arrives as %q, want %q", text, got, want)
	}
	if facts.Changed != (long || strings.Count(text, "\r") > strings.Count(text, "\r\n") || strings.Contains(text, "\x00")) {
		t.Fatalf("%q: changed said to be %v", text, facts.Changed)
	}
	squeeze := strings.NewReplacer("\n", "", " ", "", "\t", "")
	if got, want := squeeze.Replace(strings.Join(undo(t, got), "")), squeeze.Replace(strings.Join(undo(t, normal(text)), "")); got != want {
		t.Fatalf("%q: more than line ends and blanks changed: %q, want %q", text, got, want)
	}
}

// undo separates a message, as it arrived, and undoes quoted-printable.
func undo(t interface{ Fatalf(string, ...any) }, text string) []string {
	head, body, _ := strings.Cut("\n"+text, "\n\n")
	const cte = "\nContent-Transfer-Encoding: quoted-printable"
	if !strings.HasSuffix(head, cte) {
		return []string{head, body}
	}
	plain, err := io.ReadAll(quotedprintable.NewReader(strings.NewReader(body)))
	if err != nil {
		t.Fatalf("%q: %v", body, err)
	}
	head = strings.TrimSuffix(head, cte)
	if i := strings.LastIndex(head, "\nContent-Type: text/plain; charset="); i >= 0 {
		head = head[:i]
	}
	return []string{strings.TrimSuffix(head, "\nMIME-Version: 1.0"), string(plain)}
}

func TestRoundTrip(t *testing.T) {
	piece := rapid.OneOf(
		rapid.SampledFrom([]string{"\n", "\r\n", "\r", ".", "\n.", "\n.\n", "\r.\r", " ", "\t", "\x00", "A: b", "\n\n", "\u20ac", "\xff"}),
		rapid.Custom(func(t *rapid.T) string {
			return strings.Repeat(rapid.SampledFrom([]string{"x", "x ", "\u20ac", "."}).Draw(t, "unit"), rapid.IntRange(1, 1100).Draw(t, "times"))
		}))
	rapid.Check(t, func(t *rapid.T) {
		roundTrip(t, strings.Join(rapid.SliceOfN(piece, 0, 20).Draw(t, "pieces"), ""))
	})
}

func FuzzRoundTrip(f *testing.F) {
	for _, s := range []string{"", "A: b\n\n.\n", "\r\n.\r\n", "\n.\r", strings.Repeat("x ", 600)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) { roundTrip(t, text) })
}

// No arrangement of CR, LF and dot ends the message early, for a strict server, for
// one that takes a bare LF, or for one that takes any of the ends that smuggling
// relies on. All see one message, which is the normal form of what went in.
func TestSmuggling(t *testing.T) {
	ends := []string{"\r\n.\r\n", "\n.\n", "\r.\r", "\n.\r\n", "\r\n.\n", "\r.\r\n", "\r\n.\r", "\n.\r", "\r.\n"}
	for n := range 8 {
		for code := range pow(3, n) {
			text := make([]byte, n)
			for i := range text {
				text[i] = "\r\n."[code%3]
				code /= 3
			}
			for _, whole := range []string{string(text), "A: b\n\nx" + string(text) + "x\n", "\n" + string(text) + "\n"} {
				roundTrip(t, whole)
				if got, ok := sloppy(encode(t, "", whole)); !ok || got != normal(whole) {
					t.Fatalf("%q: a sloppy server reads %q", whole, got)
				}
				if got := chunked(t, whole); got != strings.ReplaceAll(normal(whole), "\n", "\r\n") {
					t.Fatalf("%q: a chunk is %q", whole, got)
				}
				wire := "\r\n" + encode(t, "", whole) // in front of the first line there is a line end, too
				for _, end := range ends {
					if i := strings.Index(wire, end); i >= 0 && i < len(wire)-len("\r\n.\r\n") {
						t.Fatalf("%q: %q has %q in it", whole, wire, end)
					}
				}
			}
		}
	}
}

func pow(b, n int) int {
	p := 1
	for range n {
		p *= b
	}
	return p
}

func BenchmarkSend(b *testing.B) {
	text := "A: b\n\n" + strings.Repeat(strings.Repeat("x", 70)+"\n", 10_000)
	m := &Message{File: strings.NewReader(text), Size: int64(len(text))}
	b.SetBytes(m.Size)
	plan := planned(b, m, true)
	for b.Loop() {
		var dot atomic.Bool
		if err := m.Send(bufio.NewWriter(io.Discard), &plan, &dot); err != nil {
			b.Fatal(err)
		}
	}
}
