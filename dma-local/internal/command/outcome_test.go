package command

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"dma/common/outcome"
)

// runCommand runs command to its end in a home of its own.
func runCommand(t *testing.T, command string) outcome.Outcome {
	t.Helper()
	r := newRunner(t)
	e, err := r.run(context.Background(), r.shell(command), r.environment(deliverToAlice()), letterOf(text))
	if err != nil {
		t.Fatal(err)
	}
	o := e.outcome()
	if !o.Valid() {
		t.Errorf("%s: invalid outcome %v", command, o)
	}
	return o
}

func TestExitCodes(t *testing.T) {
	special := map[int]string{
		0: "done 2.0.0", 64: "failed 5.3.5", 65: "failed 5.6.0", 67: "failed 5.1.1", 68: "failed 5.1.2",
		71: "later 4.3.0", 73: "failed 5.2.0", 74: "later 4.3.0", 75: "later 4.3.0", 76: "failed 5.5.0",
		77: "failed 5.7.0", 78: "failed 5.3.5", 126: "later 4.3.0", 127: "later 4.3.0",
	}
	for exit := range 256 {
		want := special[exit]
		switch {
		case want != "":
		case exit > 128 && exit <= 192:
			want = "later 4.3.0"
		default:
			want = "failed 5.3.0"
		}
		o := runCommand(t, fmt.Sprint("exit ", exit))
		if got := fmt.Sprint(o.Class, " ", o.Code); got != want {
			t.Errorf("exit %d: got %s, want %s", exit, got, want)
		}
		if text := fmt.Sprintf("command exited with status %d", exit); exit != 0 && o.Text != text {
			t.Errorf("exit %d: got %q", exit, o.Text)
		}
	}
}

// FuzzExited: whatever a command exits with and says, the outcome can be
// sent, and only 0 is success.
func FuzzExited(f *testing.F) {
	f.Add(75, "4.2.2 full up")
	f.Add(67, "\n\n 5.7.1\tgo away\r\nmore")
	f.Add(0, "5.1.1")
	f.Add(1, "2.0.0 x")
	f.Add(255, "5.1.1 "+strings.Repeat("\u00fc", 1000))
	f.Add(64, "\x1b[31m\x00\xff")
	f.Fuzz(func(t *testing.T, exit int, output string) {
		exit &= 0xff
		o := exited("command", exit, outcome.Clean(output))
		if !o.Valid() || (o.Class == outcome.Done) != (exit == 0) {
			t.Errorf("exit %d with %q: %v", exit, output, o)
		}
	})
}

func TestOutput(t *testing.T) {
	tests := []struct{ name, command, want string }{
		{"text", "echo no such list; exit 67", "failed 5.1.1 command exited with status 67: no such list"},
		{"on standard error", "echo no such list >&2; exit 67", "failed 5.1.1 command exited with status 67: no such list"},
		{"lines", "echo; echo '  one '; echo two; exit 67", "failed 5.1.1 command exited with status 67: one two"},
		{"code in the second line", "echo; echo 5.7.1; echo go away; exit 75", "failed 5.7.1 command exited with status 75: go away"},
		{"too much", "yes 12345678901234567890 | head -n 100000; exit 67", "failed 5.1.1 command exited with status 67: 12345678901234567890 12345678901234567890 "},
		{"without line end", "printf x; exit 75", "later 4.3.0 command exited with status 75: x"},
		{"code 5", "echo 5.7.1 go away; exit 75", "failed 5.7.1 command exited with status 75: go away"},
		{"code 4", "echo 4.2.2 full up; exit 67", "later 4.2.2 command exited with status 67: full up"},
		{"code alone", "echo 4.2.2; exit 67", "later 4.2.2 command exited with status 67"},
		{"code of success", "echo 2.0.0 fine; exit 67", "failed 5.1.1 command exited with status 67: 2.0.0 fine"},
		{"not a code", "echo 5.7.1x; exit 75", "later 4.3.0 command exited with status 75: 5.7.1x"},
		{"code later in the line", "echo x 5.7.1; exit 75", "later 4.3.0 command exited with status 75: x 5.7.1"},
		{"code and success", "echo 5.7.1 go away; exit 0", "done 2.0.0 delivered to command"},
		{"control bytes", `printf 'a\033[31m\tb\r\nc'; exit 75`, "later 4.3.0 command exited with status 75: a?[31m b c"},
		{"killed", "echo why; kill -9 $$", "later 4.3.0 command was killed by signal 9 (killed): why"},
		{"part of it killed", "exec 2>&-; sh -c 'kill -9 $$'; exit $?", "later 4.3.0 command exited with status 137"},
		{"not found", "/no/such/command", "later 4.3.0 command exited with status 127: "},
		{"not executable", "/etc/passwd", "later 4.3.0 command exited with status 126: "},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			o := runCommand(t, tt.command)
			got := fmt.Sprintf("%v %s %s", o.Class, o.Code, o.Text)
			if got != tt.want && (!strings.HasSuffix(tt.want, " ") || !strings.HasPrefix(got, tt.want)) {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
		})
	}
}
