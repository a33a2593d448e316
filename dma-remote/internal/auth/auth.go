// Package auth chooses how to authenticate to a smarthost, and has the mechanisms
// that go-sasl lacks (RULES E9).
package auth

import (
	"crypto/hmac"
	"crypto/md5"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"slices"
	"strings"

	"github.com/emersion/go-sasl"

	"dma/common/conf"
)

// Mechanisms, strongest first. CRAM-MD5 comes first because it alone keeps the
// password from a server that only pretends to be the right one.
const (
	cramMD5 = "CRAM-MD5"
	plain   = sasl.Plain
	login   = sasl.Login
)

// maxChallenge bounds a challenge, in bytes: many times what RFC 2195 section 2
// asks for.
const maxChallenge = 1024

// Choose returns those of the offered mechanisms that may be used, strongest
// first. Those that show the password to whoever listens need open: that the
// connection is encrypted, or that the administrator wants it so (INSECURE).
func Choose(offered []string, open bool) []string {
	var usable []string
	for _, m := range []string{cramMD5, plain, login} {
		if slices.ContainsFunc(offered, func(o string) bool { return strings.EqualFold(o, m) }) && (open || m == cramMD5) {
			usable = append(usable, m)
		}
	}
	return usable
}

// Client is one side of an exchange with a mechanism that Choose returned.
func Client(mechanism string, a conf.Auth) sasl.Client {
	switch mechanism {
	case cramMD5:
		return &cramClient{auth: a}
	case plain:
		return sasl.NewPlainClient("", a.User, a.Password.Reveal())
	default:
		return &loginClient{auth: a}
	}
}

// errAnother is that the server asks on where the mechanism has no more to say.
var errAnother = errors.New("unexpected challenge")

// cramClient is RFC 2195.
type cramClient struct {
	auth conf.Auth
	done bool
}

func (*cramClient) Start() (string, []byte, error) { return cramMD5, nil, nil }

func (c *cramClient) Next(challenge []byte) ([]byte, error) {
	if c.done {
		return nil, errAnother
	}
	// Without a challenge the answer would be the same each time, and a server
	// could have it computed in advance for every word in a list.
	if len(challenge) == 0 || len(challenge) > maxChallenge {
		return nil, errors.New("challenge is empty or too long")
	}
	c.done = true
	mac := hmac.New(md5.New, []byte(c.auth.Password.Reveal()))
	mac.Write(challenge)
	return []byte(c.auth.User + " " + hex.EncodeToString(mac.Sum(nil))), nil
}

// loginClient is LOGIN, which no standard describes: the server asks twice, in
// words that differ from server to server, and is answered user and password.
type loginClient struct {
	auth  conf.Auth
	asked int
}

// Start has no initial response: not every server takes one.
func (*loginClient) Start() (string, []byte, error) { return login, nil, nil }

func (c *loginClient) Next([]byte) ([]byte, error) {
	c.asked++
	switch c.asked {
	case 1:
		return []byte(c.auth.User), nil
	case 2:
		return []byte(c.auth.Password.Reveal()), nil
	}
	return nil, errAnother
}

// Redactor takes what a would betray out of foreign text: a server may repeat
// what it was told in its replies, which go to log, mailq and bounces (RULES E10).
func Redactor(a conf.Auth) *strings.Replacer {
	password := a.Password.Reveal()
	if password == "" {
		return strings.NewReplacer()
	}
	const mark = "[redacted]"
	enc := base64.StdEncoding.EncodeToString
	return strings.NewReplacer(
		enc([]byte("\x00"+a.User+"\x00"+password)), mark,
		enc([]byte(password)), mark,
		password, mark)
}
