package content

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net/mail"
	"net/textproto"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// What becomes of parts with 8-bit characters for a server that takes none. Line
// ends are shown as LF.
func TestDownConversion(t *testing.T) {
	long := strings.Repeat("x", 999)
	const added = "MIME-Version: 1.0\nContent-Type: text/plain; charset="
	const qp, b64 = "Content-Transfer-Encoding: quoted-printable\n\n", "Content-Transfer-Encoding: base64\n\n"
	tests := []struct {
		name, text, want string
	}{
		{"nothing to do", "A: b\n\nhi\n", "A: b\n\nhi\n"},
		{"UTF-8 without MIME", "A: b\n\n\u00fc =\n", "A: b\n" + added + "utf-8\n" + qp + "=C3=BC =3D\n"},
		{"Latin-1 without MIME", "A: b\n\n\xfc\n", "A: b\n" + added + "unknown-8bit\n" + qp + "=FC\n"},
		{"typed", "MIME-Version: 1.0\nContent-Type: text/html; charset=utf-8\nContent-Transfer-Encoding:\n 8bit\nA: b\n\n\u00fc\n", "MIME-Version: 1.0\nContent-Type: text/html; charset=utf-8\nA: b\n" + qp + "=C3=BC\n"},
		{"blanks at the ends of lines", "MIME-Version: 1.0\n\n\u00fc \n\t\n a\n", "MIME-Version: 1.0\nContent-Type: text/plain; charset=utf-8\n" + qp + "=C3=BC=20\n=09\n a\n"},
		{"a picture", "MIME-Version: 1.0\nContent-Type: image/png\n\n\x89PNG\n\n", "MIME-Version: 1.0\nContent-Type: image/png\n" + b64 + "iVBORw0KDQo=\n"},
		{"encoded already", "MIME-Version: 1.0\n" + qp + "\u00fc=\n", "MIME-Version: 1.0\n" + qp + "\u00fc=\n"},
		{
			"multipart", "MIME-Version: 1.0\nContent-Type: multipart/mixed;\n boundary=\"b =c\"\nContent-Transfer-Encoding: 8bit\n\npreamble\n--b =c\n\n\u00fc\n--b =c\nContent-Type: application/x\n\n\xff\n\n--b =c \nA: b\n\nplain\n--b =c--\nepilogue\n",
			"MIME-Version: 1.0\nContent-Type: multipart/mixed;\n boundary=\"b =c\"\nContent-Transfer-Encoding: 7bit\n\npreamble\n--b =c\nContent-Type: text/plain; charset=utf-8\n" + qp + "=C3=BC\n--b =c\nContent-Type: application/x\n" + b64 + "/w0K\n--b =c \nA: b\n\nplain\n--b =c--\nepilogue\n",
		},
		{
			"multipart in multipart", "MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=a\n\n--a\nContent-Type: multipart/alternative; boundary=aa\nContent-Transfer-Encoding: 8bit\n\n--aa\n\n\u00fc\n--aa--\n--a\n\n--aa\n\u00fc\n--a--\n",
			"MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=a\n\n--a\nContent-Type: multipart/alternative; boundary=aa\nContent-Transfer-Encoding: 7bit\n\n--aa\nContent-Type: text/plain; charset=utf-8\n" + qp + "=C3=BC\n--aa--\n--a\nContent-Type: text/plain; charset=utf-8\n" + qp + "--aa\n=C3=BC\n--a--\n",
		},
		{
			"message in a message", "MIME-Version: 1.0\nContent-Type: message/rfc822\nContent-Transfer-Encoding: 8bit\n\nA: b\n\n\u00fc\n",
			"MIME-Version: 1.0\nContent-Type: message/rfc822\nContent-Transfer-Encoding: 7bit\n\nA: b\n" + added + "utf-8\n" + qp + "=C3=BC\n",
		},
		{
			"messages in a digest", "MIME-Version: 1.0\nContent-Type: multipart/digest; boundary=a\n\n--a\n\nA: b\n\n\u00fc\n--a\nContent-Type: text/plain\n\n\u00fc\n--a--\n",
			"MIME-Version: 1.0\nContent-Type: multipart/digest; boundary=a\n\n--a\n\nA: b\n" + added + "utf-8\n" + qp + "=C3=BC\n--a\nContent-Type: text/plain\n" + qp + "=C3=BC\n--a--\n",
		},
		{"no boundary", "MIME-Version: 1.0\nContent-Type: multipart/mixed\n\n\u00fc\n", "MIME-Version: 1.0\nContent-Type: multipart/mixed\n\n\u00fc\n"},
		{"header without body", "MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=a\n\n--a\nContent-Type: text/plain\n--a\n\n\u00fc\n--a--\n", "MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=a\n\n--a\nContent-Type: text/plain\n--a\nContent-Type: text/plain; charset=utf-8\n" + qp + "=C3=BC\n--a--\n"},
		{"a part of a message", "MIME-Version: 1.0\nContent-Type: message/partial; id=x\n\n\u00fc\n", "MIME-Version: 1.0\nContent-Type: message/partial; id=x\n\n\u00fc\n"},
		{"binary text", "MIME-Version: 1.0\nContent-Transfer-Encoding: binary\n\nhi\n", "MIME-Version: 1.0\nContent-Type: text/plain; charset=us-ascii\n" + qp + "hi\n"},
		{"long line in a picture", "MIME-Version: 1.0\nContent-Type: image/x\n\n" + long + "\n", "MIME-Version: 1.0\nContent-Type: image/x\n" + b64 + wrap(base64.StdEncoding.EncodeToString([]byte(long+"\r\n")))},
		{"long line in the header of a part", "MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=a\n\n--a\nA: b " + long[:996] + "\n\nhi\n--a--\n", "MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=a\n\n--a\nA: b\n " + long[:996] + "\n\nhi\n--a--\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			wire := encodeFor(t, "", tt.text, false)
			got := strings.TrimSuffix(strings.ReplaceAll(wire, "\r\n", "\n"), ".\n")
			if diff := gocmp.Diff(tt.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			m := &Message{File: strings.NewReader(tt.text), Size: int64(len(tt.text))}
			plan := planned(t, m, false)
			if plan.Size != int64(len(wire)-len(".\r\n")) || plan.Changed != (tt.want != tt.text) || plan.EightBit != hasEightBit([]byte(got)) {
				t.Errorf("plan %+v for %d bytes", plan, len(wire)-3)
			}
		})
	}
}

// wrap breaks base64 as an encoder does.
func wrap(s string) string {
	var b strings.Builder
	for len(s) > 0 {
		n := min(len(s), maxEncoded)
		b.WriteString(s[:n] + "\n")
		s = s[n:]
	}
	return b.String()
}

// Where the server takes 8-bit characters nothing is encoded for their sake.
func TestEightBitStays(t *testing.T) {
	text := "MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=a\n\n--a\nContent-Transfer-Encoding: 8bit\n\n\u00fc\n--a--\n"
	if got := encodeFor(t, "", text, true); got != strings.ReplaceAll(text, "\n", "\r\n")+".\r\n" {
		t.Errorf("%q", got)
	}
}

// What RFC 3030 calls binary and has bytes in it that were lost on the way to the
// queue cannot be sent at all.
func TestBinary(t *testing.T) {
	for text, want := range map[string]bool{
		"Content-Transfer-Encoding: binary\n\n\x00":     true,
		"Content-Transfer-Encoding: binary\n\na\rb":     true,
		"Content-Transfer-Encoding: binary\n\na\r\nb\n": false,
		"Content-Transfer-Encoding: 8bit\n\n\x00":       false,
	} {
		m := &Message{File: strings.NewReader(text), Size: int64(len(text))}
		if f, err := m.Inspect(); err != nil || f.Binary != want {
			t.Errorf("%q: binary %v, want %v (%v)", text, f.Binary, want, err)
		}
	}
}

// A message with more structure than is looked into is sent as it is.
func TestStructureLimits(t *testing.T) {
	var deep, wide strings.Builder
	for i := range 2 * maxDepth {
		fmt.Fprintf(&deep, "Content-Type: multipart/mixed; boundary=b%d\n\n--b%d\n", i, i)
	}
	deep.WriteString("\n\u00fc\n")
	wide.WriteString("Content-Type: multipart/mixed; boundary=b\n\n")
	for range 2 * maxParts {
		wide.WriteString("--b\n\n\u00fc\n")
	}
	for name, text := range map[string]string{
		"deep": deep.String(), "wide": wide.String(),
		"enclosed":  strings.Repeat("Content-Type: message/rfc822\n\n", 2*maxParts) + "\u00fc\n",
		"long type": "Content-Type: multipart/mixed; boundary=b; x=" + strings.Repeat("y", maxValue) + "\n\n--b\n\n\u00fc\n",
	} {
		m := &Message{File: strings.NewReader(text), Size: int64(len(text))}
		facts, err := m.Inspect()
		if err != nil || len(facts.parts) > maxParts {
			t.Errorf("%s: %d parts, %v", name, len(facts.parts), err)
		}
		if _, ok := decode(encodeFor(t, "", text, false)); !ok {
			t.Errorf("%s: not one message", name)
		}
	}
}

// leaf is a part without parts, as it was written and as a reader has to get it.
type leaf struct{ kind, body string }

// tree writes a part of a message with n parts in it, and lists its leaves.
func tree(t *rapid.T, b *strings.Builder, depth int, leaves *[]leaf) {
	switch kind := rapid.IntRange(0, 3).Draw(t, "kind"); {
	case kind == 0 && depth < 4:
		boundary := fmt.Sprintf("b%d", depth)
		fmt.Fprintf(b, "Content-Type: multipart/mixed; boundary=%s\nContent-Transfer-Encoding: 8bit\n\n", boundary)
		for range rapid.IntRange(1, 3).Draw(t, "parts") {
			fmt.Fprintf(b, "--%s\n", boundary)
			tree(t, b, depth+1, leaves)
		}
		fmt.Fprintf(b, "--%s--\n", boundary)
	case kind == 1 && depth < 4:
		b.WriteString("Content-Type: message/rfc822\n\nMIME-Version: 1.0\n")
		tree(t, b, depth+1, leaves)
	default:
		types := rapid.SampledFrom([]string{"text/plain; charset=x", "application/x", "image/y"}).Draw(t, "type")
		piece := rapid.SampledFrom([]string{"\n", "\n", "a", " ", "\t", "=", ".", "--b9", "--c0", "\u00fc", "\xff", strings.Repeat("y", 700), "=3D"})
		body := strings.Join(rapid.SliceOfN(piece, 0, 12).Draw(t, "body"), "")
		fmt.Fprintf(b, "Content-Type: %s\n\n%s\n", types, body)
		*leaves = append(*leaves, leaf{types, strings.ReplaceAll(body, "\n", "\r\n")})
	}
}

// read lists the leaves of a message that has arrived.
func read(t *rapid.T, header textproto.MIMEHeader, body io.Reader, leaves *[]leaf) {
	kind, params, err := mime.ParseMediaType(header.Get("Content-Type"))
	if err != nil {
		t.Fatalf("type %q: %v", header.Get("Content-Type"), err)
	}
	switch {
	case strings.HasPrefix(kind, "multipart/"):
		r := multipart.NewReader(body, params["boundary"])
		for {
			p, err := r.NextRawPart()
			if err == io.EOF {
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			read(t, p.Header, p, leaves)
		}
	case kind == "message/rfc822":
		m, err := mail.ReadMessage(body)
		if err != nil {
			t.Fatal(err)
		}
		read(t, textproto.MIMEHeader(m.Header), m.Body, leaves)
		return
	}
	switch header.Get("Content-Transfer-Encoding") {
	case "quoted-printable":
		body = quotedprintable.NewReader(body)
	case "base64":
		body = base64.NewDecoder(base64.StdEncoding, body)
	}
	text, err := io.ReadAll(body)
	if err != nil {
		t.Fatal(err)
	}
	*leaves = append(*leaves, leaf{header.Get("Content-Type"), string(text)})
}

// decode(encode(x)) is x: for any structure, every part arrives with the bytes that
// it had, in 7 bits and short lines.
func TestEncodeDecode(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var b strings.Builder
		var want, got []leaf
		b.WriteString("MIME-Version: 1.0\n")
		tree(t, &b, 0, &want)
		wire := encodeFor(t, "", b.String(), false)
		text, ok := decode(wire)
		if !ok || hasEightBit([]byte(text)) {
			t.Fatalf("%q is not one message in 7 bits", wire)
		}
		for line := range strings.SplitSeq(text, "\n") {
			if len(line) > MaxLine {
				t.Fatalf("line of %d bytes", len(line))
			}
		}
		m, err := mail.ReadMessage(bytes.NewReader([]byte(strings.ReplaceAll(text, "\n", "\r\n"))))
		if err != nil {
			t.Fatal(err)
		}
		read(t, textproto.MIMEHeader(m.Header), m.Body, &got)
		for i := range got {
			got[i].body = strings.TrimRight(got[i].body, "\r\n")
		}
		for i := range want {
			want[i].body = strings.TrimRight(want[i].body, "\r\n")
		}
		if diff := gocmp.Diff(want, got, gocmp.AllowUnexported(leaf{})); diff != "" {
			t.Fatalf("(-want +got):\n%s\nof %q", diff, wire)
		}
	})
}

// FuzzPlan: whatever the message, what is sent is as long as announced, one
// message, in lines that fit.
func FuzzPlan(f *testing.F) {
	f.Add("MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=a\n\n--a\n\n\u00fc\n--a--\n", true)
	f.Add("Content-Type: message/rfc822\n\nContent-Transfer-Encoding: binary\n\n\x00", false)
	f.Add("Content-Type: multipart/digest; boundary=\"a\"\n\n--a\n--a\n\n\n\xff\n--a--\n", false)
	f.Fuzz(func(t *testing.T, text string, eightBit bool) {
		wire := encodeFor(t, "", text, eightBit)
		m := &Message{File: strings.NewReader(text), Size: int64(len(text))}
		got, ok := decode(wire)
		if plan := planned(t, m, eightBit); !ok || plan.Size != int64(len(got)+strings.Count(got, "\n")) || plan.EightBit != hasEightBit([]byte(got)) {
			t.Fatalf("%q: %q with %+v", text, wire, plan)
		}
		for line := range strings.SplitSeq(got, "\n") {
			if len(line) > MaxLine {
				t.Fatalf("line of %d bytes", len(line))
			}
		}
	})
}
