package schedule

import (
	"math/rand/v2"
	"time"
)

// Backoff is when to try again (DESIGN 6).
type Backoff struct {
	Min time.Duration // wait after the first try
	Max time.Duration // longest wait
}

// growth of the wait from one try to the next: between these, at random, so
// that messages which failed together do not come back together.
const (
	growLow  = 1.5
	growHigh = 2.5
)

// wait is how long to wait after the given number of failed tries, of which
// there is at least one.
func (b Backoff) wait(tries int, r *rand.Rand) time.Duration {
	d := float64(b.Min)
	for i := 1; i < tries && d < float64(b.Max); i++ {
		d *= growLow + (growHigh-growLow)*r.Float64()
	}
	// A tenth either way keeps apart what has reached the maximum.
	return time.Duration(min(d, float64(b.Max)) * (0.9 + 0.2*r.Float64()))
}
