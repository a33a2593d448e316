package schedule

import (
	"time"

	"dma/dma-queue/internal/expand"
)

// Site is the configuration as the queue sees it. It is replaced as a whole when
// a file has changed.
type Site struct {
	Expand expand.Expander
	// Route names the lane of a remote address: a domain, whose MX hosts are
	// asked; or empty for SMARTHOST; or RoutePrefix and the name of another route.
	Route   func(sender, address string) string
	Via     func(sender, address string) string // names the same way for people
	Backoff Backoff
	// MailboxByUser: mailboxes are in homes, or an MDA delivers: as the user alone.
	MailboxByUser bool
	Defer         bool          // only what a flush asks for is tried (DEFER)
	MaxAge        time.Duration // how long a message is tried
	DelayWarn     time.Duration // after which a sender is told that a message is late; 0: never
	FullSize      bool          // bounces carry the whole message (FULLBOUNCE)
}

// RoutePrefix marks what is a route, not a domain. No domain begins with it.
const RoutePrefix = "="

// minTries is how often a message is tried at least before it is given up,
// however old its envelope says it is: the clock may have jumped (RULES F4).
const minTries = 5

// GaveUp is the status of what was tried for too long (RFC 3463 3.5, X.4.7). The
// text with it is the last reason.
const GaveUp = "5.4.7"
