package maillog

import (
	"path/filepath"
	"strings"
	"testing"
)

func TestHelperLines(t *testing.T) {
	server := listen(t, filepath.Join(t.TempDir(), "log"))
	l := Open(server.path, "dma", nil, clock)
	defer l.Close()
	long := strings.Repeat("x", 1500)
	for _, c := range []struct {
		name string
		log  func()
		want string
	}{
		{"of the suite", func() { l.Message("9be077.55d0").Helper(6, "", "using smarthost (h:25)") }, "<22>Feb  3 04:05:06 dma[9be077.55d0]: using smarthost (h:25)"},
		{"of a user", func() { l.Message("").Helper(5, "dma-local for alice", "hello") }, "<21>Feb  3 04:05:06 dma: dma-local for alice: hello"},
		{"urgent", func() { l.Message("").Helper(0, "", "x") }, "<20>Feb  3 04:05:06 dma: x"},
		{"debug", func() { l.Message("").Helper(7, "", "x") }, "<23>Feb  3 04:05:06 dma: x"},
		{"no such level", func() { l.Message("").Helper(200, "", "x") }, "<23>Feb  3 04:05:06 dma: x"},
		{"odd", func() { l.Message("").Helper(7, "", "a\n\x1b[1m\u0085\xff ä %s") }, "<23>Feb  3 04:05:06 dma: a??[1m?? ä %s"},
		{"long", func() { l.Message("").Helper(7, "", long) }, "<23>Feb  3 04:05:06 dma: " + long},
		{"operated", func() { l.Message("9be077.55d0").Operated("held", 1000) }, "<22>Feb  3 04:05:06 dma[9be077.55d0]: held by uid=1000"},
	} {
		c.log()
		if got := server.line(); got != c.want {
			t.Errorf("%s: got %q, want %q", c.name, got, c.want)
		}
	}
}
