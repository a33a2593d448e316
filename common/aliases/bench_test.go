package aliases

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"dma/common/mailaddr"
)

const many = 100_000

// large writes a file of many aliases.
func large(t testing.TB) (path string) {
	var text strings.Builder
	for i := range many {
		fmt.Fprintf(&text, "user%d: user%d@mail.example.org\n", i, i)
	}
	path = filepath.Join(t.TempDir(), "aliases")
	if err := os.WriteFile(path, []byte(text.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func load1(t testing.TB, path string) *Table {
	table, err := Load(path)
	if err != nil {
		t.Fatal(err)
	}
	return table
}

func find1(t testing.TB, table *Table, i int) {
	name := fmt.Sprintf("user%d", i)
	if _, targets, _ := table.Find(mailaddr.Addr{Local: name}, "host.example", true); show(targets) != name+"@mail.example.org" {
		t.Fatal(name, show(targets))
	}
}

// BenchmarkLoad100k is what a submission costs in each program.
func BenchmarkLoad100k(b *testing.B) {
	path := large(b)
	b.ReportAllocs()
	for b.Loop() {
		find1(b, load1(b, path), many-1)
	}
}

func BenchmarkLookup(b *testing.B) {
	table := load1(b, large(b))
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		find1(b, table, i%many)
	}
}

func BenchmarkCheck100k(b *testing.B) {
	path := large(b)
	for b.Loop() {
		if r, err := Check(path, false); err != nil || r.Aliases != many {
			b.Fatal(r, err)
		}
	}
}

// To load a large file and look one name up takes less than a quarter of the time
// that taking all of it apart takes, which is too much for each submission (it is
// a tenth), and a lookup in the table next to nothing. The best of several runs
// counts, which other programs disturb least.
func TestLoadIsCheap(t *testing.T) {
	path := large(t)
	var table *Table
	all, ours, one := time.Hour, time.Hour, time.Hour
	for range 7 {
		all = min(all, duration(func() {
			if r, err := Check(path, false); err != nil || r.Aliases != many {
				t.Fatal(r, err)
			}
		}))
		ours = min(ours, duration(func() { table = load1(t, path); find1(t, table, many/2) }))
		one = min(one, duration(func() { find1(t, table, many/3) }))
	}
	if ours > all/4 {
		t.Errorf("%v; all of the file takes %v", ours, all)
	}
	if one > all/100 {
		t.Errorf("%v for one name; all of the file takes %v", one, all)
	}
}

func duration(f func()) time.Duration {
	start := time.Now()
	f()
	return time.Since(start)
}
