package pickup

import (
	"testing"
	"time"
)

// TestArrived: a date that no clock of ours made would keep a message for ever.
func TestArrived(t *testing.T) {
	for name, by := range map[string]time.Duration{"future": -1000 * time.Hour, "before 1970": 100 * 365 * 24 * time.Hour} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			id := f.newID(t)
			f.submit(t, id, plain, text)
			f.age(t, id, by)
			m, err := f.Pick(id)
			must(t, err)
			if !m.Arrived.Equal(f.now) {
				t.Errorf("arrived at %v", m.Arrived)
			}
		})
	}
}
