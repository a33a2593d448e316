package proto

import (
	"strings"
	"testing"
)

func TestLog(t *testing.T) {
	a, file, err := Pair()
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	b, err := NewConn(file)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	long := strings.Repeat("ü", MaxLog)
	if err := a.Log(6, "id", long); err != nil {
		t.Fatal(err)
	}
	p, err := b.Recv(HelloTimeout, TypeLog)
	if err != nil {
		t.Fatal(err)
	}
	if m := p.Message.(*Log); m.Priority != 6 || m.ID != "id" || m.Text != long[:MaxLog] {
		t.Errorf("%d %q, %d bytes", m.Priority, m.ID, len(m.Text))
	}
	if a.Log(6, "", "a\nb") == nil {
		t.Error("two lines")
	}
}
