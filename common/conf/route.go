package conf

// Delivery is what this host delivers.
type Delivery uint8

// The values of DELIVERY.
const (
	DeliverBoth   Delivery = 0
	DeliverLocal  Delivery = 1 // mail for other hosts is refused
	DeliverRemote Delivery = 2 // nothing is put into mailboxes here
)

// Host is a server.
type Host struct {
	Name string // or address, without brackets
	Port int
}

// Route is a way out: where mail goes that is neither local nor sent to MX hosts.
type Route struct {
	Name  string // of the route: empty for SMARTHOST, else the pattern of SENDERMAP
	Hosts []Host // in the order in which they are tried
	User  string // whose password in auth.conf is used; empty: the first one for the host
}

// SenderRoute is a line of SENDERMAP: mail of senders that fit Pattern takes Route.
type SenderRoute struct {
	Pattern string // user@domain, @domain or user@
	Route   Route
}

// RouteFor says where mail of sender goes that is not local; false: to the MX
// hosts of its domain.
func (c *Config) RouteFor(sender string) (Route, bool) {
	if c.Smarthost == "" {
		return Route{}, false
	}
	return Route{Hosts: []Host{{c.Smarthost, c.Port}}}, true
}
