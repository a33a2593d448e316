// Package auth chooses how to authenticate to a server, and has the mechanisms
// (RULES E9).
package auth

import (
	"crypto/rand"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"slices"
	"strings"

	"dma/common/conf"
)

// Mechanisms.
const (
	scramSHA256Plus = "SCRAM-SHA-256-PLUS"
	scramSHA1Plus   = "SCRAM-SHA-1-PLUS"
	scramSHA256     = "SCRAM-SHA-256"
	scramSHA1       = "SCRAM-SHA-1"
	cramMD5         = "CRAM-MD5"
	oauthBearer     = "OAUTHBEARER"
	xoauth2         = "XOAUTH2"
	plain           = "PLAIN"
	login           = "LOGIN"
)

// maxChallenge bounds a challenge, in bytes: many times what any mechanism needs.
const maxChallenge = 4096

// tokenSize is how long a secret is, in bytes, that is taken for an OAuth token:
// none is shorter, and nobody types a password of that length.
const tokenSize = 100

// Credentials are what Choose and Client go by.
type Credentials struct {
	User     string
	Password conf.Secret
	Host     string // the server's name and port, which OAUTHBEARER repeats
	Port     int
	// Binding is what ties the exchange to the TLS connection (tls-exporter, RFC
	// 9266); nil: there is none, as under TLS 1.2.
	Binding []byte
}

func (c *Credentials) isToken() bool { return len(c.Password.Reveal()) >= tokenSize }

// Choose returns those of the offered mechanisms that may be used, strongest
// first. Those that show the secret to whoever listens need open: that the
// connection is encrypted, or that the administrator wants it so (INSECURE). A
// token goes to mechanisms for tokens only, where there is one.
func Choose(offered []string, open bool, c *Credentials) []string {
	var order []string
	if c.Binding != nil {
		order = append(order, scramSHA256Plus, scramSHA1Plus)
	}
	order = append(order, scramSHA256, scramSHA1, cramMD5)
	tokens := []string{oauthBearer, xoauth2}
	if open {
		order = append(order, plain, login)
	} else {
		tokens = nil
	}
	has := func(m string) bool {
		return slices.ContainsFunc(offered, func(o string) bool { return strings.EqualFold(o, m) })
	}
	if c.isToken() && slices.ContainsFunc(tokens, has) {
		order = tokens
	}
	return slices.DeleteFunc(order, func(m string) bool { return !has(m) })
}

// Exchange is the client's side of one mechanism.
type Exchange interface {
	// Initial is the initial response; nil if the server speaks first.
	Initial() []byte
	// Next answers a challenge.
	Next(challenge []byte) ([]byte, error)
	// Done reports, when the server has said that all is well, whether it may:
	// in SCRAM it must have shown that it knows the password, too.
	Done() error
}

// Errors of exchanges.
var (
	errAnother    = errors.New("unexpected challenge")
	errChallenge  = errors.New("challenge is empty or too long")
	errUnfinished = errors.New("server ends the authentication without showing that it knows the password")

	// ErrBinding: the server does not take the channel binding that it offers;
	// another mechanism may do.
	ErrBinding = errors.New("server refuses the channel binding")
)

// New begins an exchange with a mechanism that Choose returned for offered.
func New(mechanism string, c *Credentials, offered []string) Exchange {
	plus := slices.ContainsFunc(offered, func(o string) bool { return strings.HasSuffix(strings.ToUpper(o), "-PLUS") })
	switch mechanism {
	case scramSHA256Plus:
		return newScram(sha256.New, c, bound, rand.Text())
	case scramSHA1Plus:
		return newScram(sha1.New, c, bound, rand.Text())
	case scramSHA256:
		return newScram(sha256.New, c, unbound(c, plus), rand.Text())
	case scramSHA1:
		return newScram(sha1.New, c, unbound(c, plus), rand.Text())
	case cramMD5:
		return &cramClient{credentials: c}
	case oauthBearer, xoauth2:
		return &tokenClient{credentials: c, bearer: mechanism == oauthBearer}
	case plain:
		return newPlain(c)
	default:
		return &loginClient{credentials: c}
	}
}

// Redactor takes what all would betray out of foreign text: a server may repeat
// what it was told in its replies, which go to log, mailq and bounces (RULES E10).
func Redactor(all ...*Credentials) *strings.Replacer {
	const mark = "[redacted]"
	enc := base64.StdEncoding.EncodeToString
	var pairs []string
	for _, c := range all {
		password := c.Password.Reveal()
		if password == "" {
			continue
		}
		for _, betrayed := range []string{
			enc(newPlain(c).Initial()),
			enc((&tokenClient{credentials: c}).Initial()),
			enc((&tokenClient{credentials: c, bearer: true}).Initial()),
			enc([]byte(password)),
			password,
		} {
			pairs = append(pairs, betrayed, mark)
		}
	}
	return strings.NewReplacer(pairs...)
}
