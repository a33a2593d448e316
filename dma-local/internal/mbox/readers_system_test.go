//go:build system

package mbox

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"dma/common/outcome"
	"dma/dma-local/internal/letter"
)

const readMessages = 500

// generated is a message of pieces that are hard for mailboxes. formail takes no NUL.
func generated(r *rand.Rand, nul bool) string {
	pieces := []string{
		"From ", "From a@b  Wed Mar  4 12:05:06 2026", ">From ", ">>>From x", "from x", "From", "From:", " From x", ">", "> From x",
		"\n", "\n", "\n\n", "\n\n\n", "\r\n", "\r\n\r\n", "\r", "text", "--", ".", "\xff\xfe", "\u00e4\u00f6\u00fc", "\t", " ",
		"Content-Length: 3", strings.Repeat("x", 2000), "\nFrom MAILER-DAEMON  Thu Jan  1 00:00:00 1970\nSubject: no\n\n",
	}
	if nul {
		pieces = append(pieces, "\x00", "\x00From ")
	}
	var b strings.Builder
	fmt.Fprintf(&b, "Subject: %d\n", r.Uint64())
	if r.IntN(4) > 0 {
		b.WriteString("\n")
		for range r.IntN(30) {
			b.WriteString(pieces[r.IntN(len(pieces))])
		}
	}
	return b.String()
}

// stored is what a reader has to give back for a message: LF line ends, and one at the
// end of the text. In front are the fields of the delivery.
func stored(text string) string {
	text = strings.ReplaceAll(text, "\r\n", "\n")
	if text != "" && !strings.HasSuffix(text, "\n") {
		text += "\n"
	}
	return "Return-Path: <a@b.example>\n" + text
}

// unquote undoes mboxrd.
func unquote(text []byte) string {
	lines := bytes.SplitAfter(text, []byte("\n"))
	for i, l := range lines {
		if rest := bytes.TrimLeft(l, ">"); len(rest) < len(l) && bytes.HasPrefix(rest, []byte("From ")) {
			lines[i] = l[1:]
		}
	}
	return string(bytes.Join(lines, nil))
}

// The readers write each message of a mailbox to a file of its own, in order.
const pythonReader = `
import mailbox, sys
for i, key in enumerate((box := mailbox.mbox(sys.argv[1], create=False)).keys()):
    open("%s/%05d" % (sys.argv[2], i), "wb").write(box.get_bytes(key))
`

// TestReaders: programs that know nothing of ours split the mailbox into the messages
// that were delivered, byte for byte.
func TestReaders(t *testing.T) {
	seed := uint64(os.Getpid())
	t.Logf("seed %d", seed)
	for _, reader := range []struct {
		name   string
		nul    bool
		suffix string // what it leaves at the end of a message
		read   func(box, dir string) *exec.Cmd
	}{
		{"python", true, "", func(box, dir string) *exec.Cmd {
			return exec.Command("/usr/bin/python3", "-c", pythonReader, box, dir)
		}},
		{"formail", false, "\n", func(box, dir string) *exec.Cmd {
			c := exec.Command("sh", "-c", `formail -Y -b -s sh -c 'sed 1d >"$0/$FILENO"' "$2" <"$1"`, "sh", box, dir)
			c.Env = append(os.Environ(), "FILENO=00000")
			return c
		}},
	} {
		t.Run(reader.name, func(t *testing.T) {
			r := rand.New(rand.NewPCG(seed, 0))
			box := newBox(t.TempDir())
			var letters []letter.Letter
			var want []string
			for range readMessages {
				text := generated(r, reader.nul)
				letters, want = append(letters, letterOf(text)), append(want, stored(text))
			}
			for _, res := range box.Deliver(context.Background(), letters) {
				if res.Outcome.Class != outcome.Done {
					t.Fatal(res.Outcome)
				}
			}
			dir := t.TempDir()
			if out, err := reader.read(box.path(), dir).CombinedOutput(); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			files, err := filepath.Glob(dir + "/*")
			if err != nil || len(files) != readMessages {
				t.Fatalf("%d messages, %v; want %d", len(files), err, readMessages)
			}
			for i, f := range files {
				text, err := os.ReadFile(f)
				if err != nil {
					t.Fatal(err)
				}
				if got := strings.TrimSuffix(unquote(text), reader.suffix); got != want[i] {
					t.Fatalf("message %d:\n got %q\nwant %q", i, got, want[i])
				}
			}
		})
	}
}
