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

// Transport is how connections to servers are secured.
type Transport struct {
	Implicit bool    // TLS from the first byte; StartTLS is TLSNone then
	StartTLS TLSMode // on connections that begin in plain text
	Verify   bool    // the certificate must be good and the host's own; if not, there is no TLS
	Insecure bool    // PLAIN and LOGIN may be used without TLS
}

// Transport says what the TLS keys come to. auth says that there are credentials
// for the smarthost: they are shown to nobody but a verified server (RULES E8).
// A smarthost that TLS is required for is verified too: TLS with anybody is what
// OPPORTUNISTIC_TLS asks for.
//
//	STARTTLS + OPPORTUNISTIC_TLS   STARTTLS may
//	STARTTLS                       STARTTLS required
//	SECURETRANSFER                 implicit
//	smarthost at port 465          implicit
//	OPPORTUNISTIC_TLS              STARTTLS may
//	smarthost at port 587          STARTTLS required
//	anything else                  none
//
// The first line that fits counts; with STARTTLS it makes no difference whether
// SECURETRANSFER is there, without which dma before this one ignored STARTTLS and
// sent in plain text. VERIFYCERT has every certificate verified, those of MX hosts
// and of opportunistic TLS included. INSECURE allows
// logging in without TLS unless SECURE is there.
func (c *Config) Transport(auth bool) Transport {
	smarthost := c.Smarthost != ""
	t := Transport{Insecure: c.Insecure && !c.Secure}
	switch {
	case c.StartTLS && c.OpportunisticTLS:
		t.StartTLS = TLSMay
	case c.StartTLS:
		t.StartTLS = TLSRequired
	case c.SecureTransfer, smarthost && c.Port == 465:
		t.Implicit = true
	case c.OpportunisticTLS:
		t.StartTLS = TLSMay
	case smarthost && c.Port == 587:
		t.StartTLS = TLSRequired
	}
	t.Verify = c.VerifyCert || smarthost && (auth || t.Implicit || t.StartTLS == TLSRequired)
	return t
}
