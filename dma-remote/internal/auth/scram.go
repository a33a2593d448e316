package auth

import (
	"crypto/hmac"
	"crypto/pbkdf2"
	"encoding/base64"
	"errors"
	"fmt"
	"hash"
	"strconv"
	"strings"

	"dma/common/outcome"
)

// Limits of the server's iteration count: fewer make the password easy to guess
// for who sees the exchange (RFC 7677 section 4), more take our time.
const (
	minIterations = 4096
	maxIterations = 1 << 20
)

// binding is the flag for channel binding (RFC 5802 section 6).
type binding byte

const (
	bound       binding = 'p' // this exchange is bound
	notOffered  binding = 'y' // we could, and the server does not offer it
	notPossible binding = 'n' // we cannot
)

// unbound is the flag of a mechanism without -PLUS. Said wrongly, a server that
// could do better would notice that somebody between has taken its offer away.
func unbound(c *Credentials, plusOffered bool) binding {
	if c.Binding != nil && !plusOffered {
		return notOffered
	}
	return notPossible
}

// scramClient is RFC 5802. User and password are used as they are, without the
// preparation that it wants for what is not ASCII.
type scramClient struct {
	hash        func() hash.Hash
	credentials *Credentials
	header      string // GS2 header
	bare        string // client-first-message-bare
	nonce       string
	step        int
	serverSig   []byte
	verified    bool // the server has shown its signature
}

func newScram(h func() hash.Hash, c *Credentials, b binding, nonce string) *scramClient {
	s := &scramClient{hash: h, credentials: c, nonce: nonce, header: string(b) + ",,"}
	if b == bound {
		s.header = "p=tls-exporter,,"
	}
	s.bare = "n=" + saslName(c.User) + ",r=" + nonce
	return s
}

// saslName is RFC 5802 5.1.
func saslName(s string) string {
	return strings.NewReplacer("=", "=3D", ",", "=2C").Replace(s)
}

// Initial is the client's first message.
func (s *scramClient) Initial() []byte { return []byte(s.header + s.bare) }

// Next answers the server's first message, and checks its last.
func (s *scramClient) Next(challenge []byte) ([]byte, error) {
	if len(challenge) == 0 || len(challenge) > maxChallenge {
		return nil, errChallenge
	}
	s.step++
	switch s.step {
	case 1:
		return s.prove(string(challenge))
	case 2:
		return []byte{}, s.check(string(challenge))
	}
	return nil, errAnother
}

// prove shows that we know the password (RFC 5802 section 3).
func (s *scramClient) prove(first string) ([]byte, error) {
	salt, iterations, nonce, err := s.parse(first)
	if err != nil {
		return nil, err
	}
	salted, err := pbkdf2.Key(s.hash, s.credentials.Password.Reveal(), salt, iterations, s.hash().Size())
	if err != nil {
		return nil, fmt.Errorf("derive key: %w", err)
	}
	channel := []byte(s.header)
	if s.header[0] == byte(bound) {
		channel = append(channel, s.credentials.Binding...)
	}
	final := "c=" + base64.StdEncoding.EncodeToString(channel) + ",r=" + nonce
	message := []byte(s.bare + "," + first + "," + final)
	clientKey := s.mac(salted, []byte("Client Key"))
	sum := s.hash()
	sum.Write(clientKey)
	signature := s.mac(sum.Sum(nil), message)
	proof := make([]byte, len(clientKey))
	for i := range proof {
		proof[i] = clientKey[i] ^ signature[i]
	}
	s.serverSig = s.mac(s.mac(salted, []byte("Server Key")), message)
	return []byte(final + ",p=" + base64.StdEncoding.EncodeToString(proof)), nil
}

// parse takes the server's first message apart: nonce, salt, iterations, in this
// order. What follows are extensions, which may be ignored; one in front ("m=")
// may not.
func (s *scramClient) parse(first string) (salt []byte, iterations int, nonce string, err error) {
	fields := strings.Split(first, ",")
	if len(fields) < 3 || !strings.HasPrefix(fields[0], "r=") || !strings.HasPrefix(fields[1], "s=") || !strings.HasPrefix(fields[2], "i=") {
		return nil, 0, "", refused(first)
	}
	nonce = fields[0][2:]
	if !strings.HasPrefix(nonce, s.nonce) || nonce == s.nonce {
		return nil, 0, "", errors.New("server answers another exchange")
	}
	salt, err = base64.StdEncoding.DecodeString(fields[1][2:])
	if err != nil || len(salt) == 0 {
		return nil, 0, "", errors.New("malformed salt")
	}
	iterations, err = strconv.Atoi(fields[2][2:])
	if err != nil || iterations < minIterations || iterations > maxIterations {
		return nil, 0, "", fmt.Errorf("iteration count is not between %d and %d", minIterations, maxIterations)
	}
	return salt, iterations, nonce, nil
}

// check compares what the server shows with what only one can know that has the
// password, or a key made of it.
func (s *scramClient) check(last string) error {
	value, _, _ := strings.Cut(last, ",")
	text, ok := strings.CutPrefix(value, "v=")
	if !ok {
		return refused(last)
	}
	signature, err := base64.StdEncoding.DecodeString(text)
	if err != nil || s.serverSig == nil || !hmac.Equal(signature, s.serverSig) {
		return errors.New("server does not know the password")
	}
	s.verified = true
	return nil
}

// refused is what a message means that is not the one expected.
func refused(message string) error {
	reason, ok := strings.CutPrefix(message, "e=")
	switch {
	case !ok:
		return errors.New("malformed challenge")
	case strings.Contains(reason, "channel-binding"):
		return fmt.Errorf("%w: %s", ErrBinding, outcome.Clean(reason))
	}
	return fmt.Errorf("server refuses: %s", outcome.Clean(reason))
}

// Done reports whether the server has shown that it knows the password.
func (s *scramClient) Done() error {
	if !s.verified {
		return errUnfinished
	}
	return nil
}

func (s *scramClient) mac(key, message []byte) []byte {
	m := hmac.New(s.hash, key)
	m.Write(message)
	return m.Sum(nil)
}
