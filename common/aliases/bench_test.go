package aliases

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// BenchmarkLoad reads 100 000 aliases; it is to take less than 50 ms.
func BenchmarkLoad(b *testing.B) {
	var text strings.Builder
	for i := range 100000 {
		fmt.Fprintf(&text, "user%d: user%d@mail.example.org\n", i, i)
	}
	path := filepath.Join(b.TempDir(), "aliases")
	if err := os.WriteFile(path, []byte(text.String()), 0o600); err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(text.Len()))
	b.ReportAllocs()
	for b.Loop() {
		table, w, err := Load(path)
		if err != nil || len(w) != 0 || table.Len() != 100000 {
			b.Fatal(table.Len(), w, err)
		}
	}
}
