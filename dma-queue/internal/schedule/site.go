package schedule

import (
	"time"

	"dma/dma-queue/internal/expand"
)

// Site is the configuration as the queue sees it. It is replaced as a whole when
// a file has changed.
type Site struct {
	Expand   expand.Expander
	Route    func(address string) string // name of the lane of a remote address: a domain, or empty for the smarthost
	Backoff  Backoff
	MaxAge   time.Duration // how long a message is tried
	FullSize bool          // bounces carry the whole message (FULLBOUNCE)
}

// minTries is how often a message is tried at least before it is given up,
// however old its envelope says it is: the clock may have jumped (RULES F4).
const minTries = 5

// GaveUp is the status of what was tried for too long (RFC 3463 3.5, X.4.7). The
// text with it is the last reason.
const GaveUp = "5.4.7"
