package session

import "time"

// Limits are how long a server may take. All but the last are for one step:
// RFC 5321 4.5.3.2 has them as minimum, and the wait starts anew with each reply
// and each block written (RULES E1).
type Limits struct {
	Greeting time.Duration
	Command  time.Duration // EHLO, STARTTLS, AUTH, MAIL, RCPT, RSET, and each write
	TLS      time.Duration // the whole handshake
	Data     time.Duration // DATA to 354
	Block    time.Duration // one block of the message
	Final    time.Duration // the dot to its reply
	Quit     time.Duration
	Linger   time.Duration // for the reply to what could not be written to its end
	Session  time.Duration // everything on one connection, as a cap that no dripping server can stretch
}

// DefaultLimits are those of RFC 5321 4.5.3.2, and ours where it has none.
func DefaultLimits() Limits {
	return Limits{
		Greeting: 5 * time.Minute,
		Command:  5 * time.Minute,
		TLS:      30 * time.Second,
		Data:     2 * time.Minute,
		Block:    3 * time.Minute,
		Final:    10 * time.Minute,
		Quit:     2 * time.Second,
		Linger:   3 * time.Second,
		Session:  2 * time.Hour, // 100 MB at 128 kbit/s, as home uplinks have it
	}
}
