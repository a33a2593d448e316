package auth

import (
	"crypto/hmac"
	"crypto/md5"
	"encoding/hex"
	"strconv"

	"github.com/emersion/go-sasl"
)

// plainClient is RFC 4616 by go-sasl. The other mechanisms are not: it has neither
// SCRAM, CRAM-MD5 nor XOAUTH2, its LOGIN wants one wording of the questions, and its
// OAUTHBEARER does not acknowledge a refusal (RFC 7628 3.2.3).
type plainClient struct{ sasl.Client }

// newPlain acts for nobody but the user.
func newPlain(c *Credentials) plainClient {
	return plainClient{sasl.NewPlainClient("", c.User, c.Password.Reveal())}
}

// Initial is user and password.
func (p plainClient) Initial() []byte {
	_, initial, _ := p.Start() // it cannot fail
	return initial
}

// Done has nothing to check.
func (plainClient) Done() error { return nil }

// loginClient is LOGIN, which no standard describes: the server asks twice, in
// words that differ from server to server, and is answered user and password.
type loginClient struct {
	credentials *Credentials
	asked       int
}

// Initial is none: not every server takes one.
func (*loginClient) Initial() []byte { return nil }

// Next answers without looking at the question.
func (c *loginClient) Next([]byte) ([]byte, error) {
	c.asked++
	switch c.asked {
	case 1:
		return []byte(c.credentials.User), nil
	case 2:
		return []byte(c.credentials.Password.Reveal()), nil
	}
	return nil, errAnother
}

// Done has nothing to check.
func (*loginClient) Done() error { return nil }

// cramClient is RFC 2195.
type cramClient struct {
	credentials *Credentials
	done        bool
}

// Initial is none: the server speaks first.
func (*cramClient) Initial() []byte { return nil }

// Next answers the one challenge.
func (c *cramClient) Next(challenge []byte) ([]byte, error) {
	if c.done {
		return nil, errAnother
	}
	// Without a challenge the answer would be the same each time, and a server
	// could have it computed in advance for every word in a list.
	if len(challenge) == 0 || len(challenge) > maxChallenge {
		return nil, errChallenge
	}
	c.done = true
	mac := hmac.New(md5.New, []byte(c.credentials.Password.Reveal()))
	mac.Write(challenge)
	return []byte(c.credentials.User + " " + hex.EncodeToString(mac.Sum(nil))), nil
}

// Done has nothing to check.
func (*cramClient) Done() error { return nil }

// tokenClient is OAUTHBEARER (RFC 7628), or XOAUTH2, which Google and Microsoft
// describe.
type tokenClient struct {
	credentials *Credentials
	bearer      bool
	refused     bool // a challenge came, which says why the token will not do
}

// Initial has the token.
func (t *tokenClient) Initial() []byte {
	c := t.credentials
	token := "auth=Bearer " + c.Password.Reveal() + "\x01\x01"
	if t.bearer { // RFC 7628 3.1
		return []byte("n,a=" + saslName(c.User) + ",\x01host=" + c.Host + "\x01port=" + strconv.Itoa(c.Port) + "\x01" + token)
	}
	return []byte("user=" + c.User + "\x01" + token)
}

// Next acknowledges the one challenge there may be, which says why the token is
// refused (RFC 7628 3.2.3). The refusal itself follows.
func (t *tokenClient) Next([]byte) ([]byte, error) {
	if t.refused {
		return nil, errAnother
	}
	t.refused = true
	if t.bearer {
		return []byte("\x01"), nil
	}
	return []byte{}, nil
}

// Done fails if the server has objected to the token before.
func (t *tokenClient) Done() error {
	if t.refused {
		return errAnother
	}
	return nil
}
