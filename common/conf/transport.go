package conf

// TLSMode is when STARTTLS is used.
type TLSMode uint8

// The modes. Only TLSMay ever goes on in plain text (RULES E8).
const (
	TLSNone     TLSMode = 0 // never
	TLSMay      TLSMode = 1 // when it is offered and works
	TLSRequired TLSMode = 2 // always; without it the mail is deferred
)

func (m TLSMode) String() string {
	switch m {
	case TLSNone:
		return "none"
	case TLSMay:
		return "may"
	case TLSRequired:
		return "required"
	}
	return "invalid"
}

// Transport is how connections to a server are secured.
type Transport struct {
	Implicit    bool    // TLS from the first byte; StartTLS is TLSNone then
	StartTLS    TLSMode // on connections that begin in plain text
	Verify      bool    // the certificate must be good and the host's own; if not, there is no TLS
	Fingerprint string  // SHA-256 that the certificate must have, 64 lower-case hex digits; empty: any
	Insecure    bool    // PLAIN and LOGIN may be used without TLS
}

// Transport says what the TLS keys come to for one server of a route; the zero Host
// stands for MX hosts. auth says that there are credentials for it: they are shown
// to nobody but a verified server (RULES E8). A server of a route that TLS is
// required for is verified too: TLS with anybody is what OPPORTUNISTIC_TLS asks for.
//
//	a unix socket                  none
//	STARTTLS + OPPORTUNISTIC_TLS   STARTTLS may
//	STARTTLS                       STARTTLS required
//	SECURETRANSFER                 implicit
//	port 465 of a route's server   implicit
//	OPPORTUNISTIC_TLS              STARTTLS may
//	port 587 of a route's server   STARTTLS required
//	anything else                  none
//
// The first line that fits counts; with STARTTLS it makes no difference whether
// SECURETRANSFER is there, without which dma before this one ignored STARTTLS and
// sent in plain text. FINGERPRINT, for servers of routes, makes a STARTTLS that may
// be or is none required, and stands for the name and the issuer of the certificate.
// VERIFYCERT has every certificate verified, those of MX hosts, of opportunistic
// TLS and with the right fingerprint included. INSECURE allows logging in without
// TLS unless SECURE is there.
func (c *Config) Transport(h Host, auth bool) Transport {
	if h.Socket() {
		return Transport{Insecure: true} // what is said there stays on this host
	}
	routed := h.Name != ""
	t := Transport{Insecure: c.Insecure && !c.Secure}
	switch {
	case c.StartTLS && c.OpportunisticTLS:
		t.StartTLS = TLSMay
	case c.StartTLS:
		t.StartTLS = TLSRequired
	case c.SecureTransfer, routed && h.Port == 465:
		t.Implicit = true
	case c.OpportunisticTLS:
		t.StartTLS = TLSMay
	case routed && h.Port == 587:
		t.StartTLS = TLSRequired
	}
	if routed && c.Fingerprint != "" {
		t.Fingerprint = c.Fingerprint
		if !t.Implicit {
			t.StartTLS = TLSRequired
		}
	}
	safe := routed && t.Fingerprint == "" && (auth || t.Implicit || t.StartTLS == TLSRequired)
	t.Verify = c.VerifyCert || safe
	return t
}
