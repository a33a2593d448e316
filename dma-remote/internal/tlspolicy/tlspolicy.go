// Package tlspolicy decides how a connection to a server is secured (RULES E8).
package tlspolicy

import (
	"cmp"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"

	"dma/common/conf"
)

// Level is how much TLS is asked for, from nothing upwards.
type Level uint8

// The levels of RULES E8. Those that need records of the DNS or of a web server
// (dane, mta-sts) are not among them yet.
const (
	None        Level = 0 // plain text
	May         Level = 1 // TLS if it can be had: only this one ever goes on in plain text
	Encrypt     Level = 2 // TLS with anybody
	Verify      Level = 3 // TLS with a server whose certificate is good, and for its name
	Fingerprint Level = 4 // TLS with a server whose certificate is known
)

func (l Level) String() string {
	return [...]string{"none", "may", "encrypt", "verify", "fingerprint"}[min(l, Fingerprint)]
}

// Records are what others have published about a server. There are none so far;
// DANE and MTA-STS will be decided on here.
type Records struct{}

// Policy is what is asked of one connection.
type Policy struct {
	Level       Level
	Implicit    bool   // TLS from the first byte
	Name        string // to ask for, and to be in the certificate: never what the server says
	Chain       bool   // name and issuer are looked at: of Verify always, of others if VERIFYCERT says so
	Fingerprint string // SHA-256 in lower-case hex
}

// Decide is the policy for the server that configuration, or an MX record, calls
// name. It depends on its arguments alone.
func Decide(t conf.Transport, name string, _ Records) Policy {
	p := Policy{Implicit: t.Implicit, Name: name, Chain: t.Verify, Fingerprint: t.Fingerprint}
	switch {
	case !t.Implicit && t.StartTLS == conf.TLSNone:
		return Policy{Level: None, Name: name}
	case !t.Implicit && t.StartTLS == conf.TLSMay:
		p.Level = May
	case t.Fingerprint != "":
		p.Level = Fingerprint
	case t.Verify:
		p.Level = Verify
	default:
		p.Level = Encrypt
	}
	return p
}

// Errors of a certificate that is not the one that was asked for.
var (
	errNone  = errors.New("server shows no certificate")
	errOther = errors.New("certificate has another fingerprint")
)

// Config is p for package tls. roots is who signs certificates, nil for those the
// system trusts; mine is what the server may know us by, or nil.
func (p Policy) Config(roots *x509.CertPool, mine *tls.Certificate) *tls.Config {
	c := &tls.Config{
		ServerName:         p.Name,
		RootCAs:            roots,
		InsecureSkipVerify: !p.Chain, // encrypted is better than not
		MinVersion:         tls.VersionTLS12,
	}
	if p.Fingerprint != "" {
		c.VerifyConnection = func(cs tls.ConnectionState) error {
			switch {
			case len(cs.PeerCertificates) == 0:
				return errNone
			case fingerprint(cs) != p.Fingerprint:
				return fmt.Errorf("%w: %s", errOther, fingerprint(cs))
			}
			return nil
		}
	}
	if mine != nil {
		c.Certificates = []tls.Certificate{*mine}
	}
	return c
}

func fingerprint(cs tls.ConnectionState) string {
	sum := sha256.Sum256(cs.PeerCertificates[0].Raw)
	return hex.EncodeToString(sum[:])
}

// Describe tells of a connection that fits p: version, cipher, and how the server
// was verified.
func (p Policy) Describe(cs tls.ConnectionState) string {
	how := "not verified"
	switch {
	case p.Fingerprint != "" && p.Chain:
		how = "verified by fingerprint and for " + p.Name
	case p.Fingerprint != "":
		how = "verified by fingerprint"
	case p.Chain:
		how = "verified for " + p.Name
	}
	return fmt.Sprintf("%s, %s, %s", tls.VersionName(cs.Version), tls.CipherSuiteName(cs.CipherSuite), how)
}

// String tells what p asks for.
func (p Policy) String() string {
	if p.Level == None {
		return "no TLS"
	}
	way := "STARTTLS"
	switch {
	case p.Implicit:
		way = "TLS from the start"
	case p.Level == May:
		way = "STARTTLS if it is offered"
	}
	check := ", certificate not verified"
	switch {
	case p.Fingerprint != "":
		check = ", certificate verified by fingerprint"
	case p.Chain:
		check = ", certificate verified for " + cmp.Or(p.Name, "its name")
	}
	return way + check
}
