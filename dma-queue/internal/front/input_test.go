package front

import (
	"bytes"
	"errors"
	"io"
	"os"
	"strings"
	"testing"
	"testing/iotest"

	"golang.org/x/sys/unix"

	"dma/common/sysexits"
)

// filtered gives s to a filter in pieces of n bytes.
func filtered(s string, keepDots bool, n int) string {
	f := filter{keepDots: keepDots}
	var out []byte
	for len(s) > 0 && f.state != ended {
		k := min(n, len(s))
		out = f.append(out, []byte(s[:k]))
		s = s[k:]
	}
	return string(f.finish(out))
}

func TestFilter(t *testing.T) {
	for name, c := range map[string]struct {
		in, want, wantDots string // "=" is the same as in
	}{
		"nothing":            {"", "=", "="},
		"LF":                 {"a\nb\n", "=", "="},
		"CRLF":               {"a\r\nb\r\n", "a\nb\n", "a\nb\n"},
		"both":               {"a\r\nb\nc\r\n", "a\nb\nc\n", "a\nb\nc\n"},
		"no newline":         {"a\nb", "=", "="},
		"CR alone":           {"a\rb\r", "=", "="},
		"CR CR LF":           {"a\r\r\n", "a\r\n", "a\r\n"},
		"CR at start":        {"\r\n\r\n", "\n\n", "\n\n"},
		"NUL and 8-bit":      {"\x00\xff\n\x80", "=", "="},
		"dot":                {"a\n.\nb\n", "a\n", "="},
		"dot CRLF":           {"a\r\n.\r\nb\r\n", "a\n", "a\n.\nb\n"},
		"dot first":          {".\nb\n", "", "="},
		"dot last":           {"a\n.", "a\n", "="},
		"dot CR last":        {"a\n.\r", "a\n", "="},
		"two dots":           {"..\n", "=", "="},
		"dot and text":       {".a\n", "=", "="},
		"dot in line":        {"a.\n", "=", "="},
		"dot CR text":        {".\ra\n.\r\r\n", ".\ra\n.\r\n", ".\ra\n.\r\n"},
		"dot behind CR line": {"a\r.\n", "=", "="},
	} {
		for _, keep := range []bool{false, true} {
			want := c.want
			if keep {
				want = c.wantDots
			}
			if want == "=" {
				want = c.in
			}
			for n := 1; n <= 4; n++ {
				if got := filtered(c.in, keep, n); got != want {
					t.Errorf("%s, dots kept %v, %d bytes at a time: %q becomes %q, want %q", name, keep, n, c.in, got, want)
				}
			}
		}
	}
}

// slowFilter says the same in another way, with everything in memory.
func slowFilter(s string, keepDots bool) string {
	var out strings.Builder
	for line := range strings.Lines(s) {
		if body, ok := strings.CutSuffix(line, "\r\n"); ok {
			line = body + "\n"
		}
		if !keepDots && (line == ".\n" || line == "." || line == ".\r") {
			return out.String()
		}
		out.WriteString(line)
	}
	return out.String()
}

func FuzzFilter(f *testing.F) {
	for _, s := range []string{"", "a\r\nb\n.\n", ".\r", "..\r\n.\r\r\n", "\x00\xff\r"} {
		f.Add(s, false, 1)
		f.Add(s, true, 3)
	}
	for n := stroke - 2; n <= stroke+2; n++ {
		f.Add(strings.Repeat("x", n)+"\r\n.\r\ny\n.\r\n", false, 4*stroke)
		f.Add(strings.Repeat("x", n)+"\rx\n.\n", true, 4*stroke)
	}
	f.Fuzz(func(t *testing.T, s string, keep bool, n int) {
		want := slowFilter(s, keep)
		if got := filtered(s, keep, max(n, 1)); got != want {
			t.Errorf("%q becomes %q, want %q", s, got, want)
		}
	})
}

// readAll runs an input to its end.
func readAll(r io.Reader, keepDots bool) (head, all string, err error) {
	in := input{r: r, filter: filter{keepDots: keepDots}}
	b, err := in.header()
	head = string(b)
	for err == nil && !in.eof {
		err = in.fill()
	}
	return head, string(in.buf), err
}

func TestReadErrorIsNoEnd(t *testing.T) {
	boom := errors.New("boom")
	for name, c := range map[string]struct {
		err  error
		code int
	}{
		"some error": {boom, sysexits.IOErr},
		"I/O error":  {unix.EIO, sysexits.IOErr},
		"directory":  {&os.PathError{Err: unix.EISDIR}, sysexits.NoInput},
		"write only": {&os.PathError{Err: unix.EBADF}, sysexits.NoInput},
	} {
		for _, before := range []string{"", "To: a\n", "To: a\n\nbody"} {
			_, _, err := readAll(io.MultiReader(strings.NewReader(before), iotest.ErrReader(c.err)), true)
			f := (*Failure)(nil)
			if !errors.As(err, &f) || f.Code != c.code || !errors.Is(err, c.err) {
				t.Errorf("%s behind %q: %v", name, before, err)
			}
		}
	}
}

func TestLongInput(t *testing.T) {
	long := strings.Repeat("x", 3<<20)
	for name, c := range map[string]struct {
		in   string
		head int
		code int
	}{
		"one line of body":       {long, 0, 0},
		"body after header":      {"A: b\n\n" + long, 5, 0},
		"field of 1 MiB":         {"A: " + long[:maxHeader-4] + "\n\n" + long, maxHeader, 0},
		"field over 1 MiB":       {"A: " + long[:maxHeader-3] + "\n\n", 0, sysexits.Unavailable},
		"endless field":          {"A: " + long, 0, sysexits.Unavailable},
		"many fields":            {strings.Repeat("A: b\n", 300000), 0, sysexits.Unavailable},
		"field without an end":   {"A: b", 4, 0},
		"name without an end":    {strings.Repeat("x", 500), 0, 0},
		"endless From line":      {"From " + long, 0, sysexits.Unavailable},
		"spaces without an end":  {strings.Repeat(" ", 2<<20), 0, 0},
		"spaces behind a header": {"A: b\n" + strings.Repeat(" ", 2<<20), 0, sysexits.Unavailable},
	} {
		head, all, err := readAll(strings.NewReader(c.in), true)
		f := (*Failure)(nil)
		if c.code != 0 {
			if !errors.As(err, &f) || f.Code != c.code {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		if err != nil || len(head) != c.head || all != c.in {
			t.Errorf("%s: header of %d bytes, message of %d, %v", name, len(head), len(all), err)
		}
	}
}

func TestMemoryIsBounded(t *testing.T) {
	const size = 64 << 20
	in := input{r: io.LimitReader(zeros{}, size), filter: filter{keepDots: true}}
	if _, err := in.header(); err != nil {
		t.Fatal(err)
	}
	n := len(in.buf)
	for !in.eof {
		in.buf = in.buf[:0]
		if err := in.fill(); err != nil {
			t.Fatal(err)
		}
		n += len(in.buf)
	}
	if n != size || cap(in.buf) > 4*readSize {
		t.Errorf("%d bytes through a buffer of %d", n, cap(in.buf))
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

func BenchmarkFilter(b *testing.B) {
	text := bytes.Repeat([]byte("a line of usual length, which ends like this\r\n"), 1000)
	out := make([]byte, 0, len(text))
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		f := filter{}
		out = f.append(out[:0], text)
	}
}
