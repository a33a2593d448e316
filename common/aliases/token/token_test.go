package token

import (
	"testing"

	"dma/common/aliases"
)

// TestFind: what is found is what the file has, and nothing like it.
func TestFind(t *testing.T) {
	const text = "a: b, |/bin/x y, /var/z\nc: |/bin/x y\nd: /dev/null, :include:/w\n\"e f\": \"|x, y\",\n /dir/\nbad |/bin/bad\n |/bin/lost\n"
	table := aliases.Parse([]byte(text), "F")
	for _, want := range []aliases.Target{
		{Kind: aliases.Command, Text: "/bin/x y"}, {Kind: aliases.File, Text: "/var/z"}, {Kind: aliases.Command, Text: "x, y"}, {Kind: aliases.File, Text: "/dir/"},
	} {
		if got, found := Find(table, Entry(want)); !found || got != want {
			t.Errorf("%+v: found %+v, %t", want, got, found)
		}
	}
	for _, none := range []aliases.Target{
		{},
		{Kind: aliases.Command, Text: "/var/z"},
		{Kind: aliases.File, Text: "/bin/x y"},
		{Kind: aliases.Command, Text: "/bin/x"},
		{Kind: aliases.File, Text: "/dev/null"},
		{Kind: aliases.Include, Text: "/w"},
		{Kind: aliases.Command, Text: "/bin/bad"},
		{Kind: aliases.Command, Text: "/bin/lost"},
	} {
		if got, found := Find(table, Entry(none)); found {
			t.Errorf("%+v: found %+v", none, got)
		}
	}
	if File(table) != File(aliases.Parse([]byte(text), "G")) || File(table) == File(aliases.Parse([]byte(text+"\n"), "F")) {
		t.Error("the hash of a file is not that of its text")
	}
}
