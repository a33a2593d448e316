package auth

import (
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"hash"
	"strings"
	"testing"

	"dma/common/conf"
)

func pencil() *Credentials { return &Credentials{User: "user", Password: conf.NewSecret("pencil")} }

// The examples of RFC 5802 section 5 and RFC 7677 section 3.
func TestScramExamples(t *testing.T) {
	tests := []struct {
		name, nonce, initial, first, answer, final string
		hash                                       func() hash.Hash
	}{
		{
			"RFC 5802", "fyko+d2lbbFgONRv9qkxdawL", "n,,n=user,r=fyko+d2lbbFgONRv9qkxdawL",
			"r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,s=QSXCR+Q6sek8bf92,i=4096",
			"c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=",
			"v=rmF9pqV8S7suAoZWja4dJRkFsKQ=", sha1.New,
		},
		{
			"RFC 7677", "rOprNGfwEbeRWgbNEkqO", "n,,n=user,r=rOprNGfwEbeRWgbNEkqO",
			"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
			"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
			"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=", sha256.New,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := newScram(tt.hash, pencil(), notPossible, tt.nonce)
			if got := string(s.Initial()); got != tt.initial {
				t.Errorf("initial response %q, want %q", got, tt.initial)
			}
			got, err := s.Next([]byte(tt.first))
			if err != nil || string(got) != tt.answer {
				t.Fatalf("answer %q, %v, want %q", got, err, tt.answer)
			}
			if s.Done() == nil {
				t.Error("done before the server has shown anything")
			}
			if got, err := s.Next([]byte(tt.final)); err != nil || len(got) != 0 || got == nil {
				t.Errorf("answer to the last message %q, %v", got, err)
			}
			if err := s.Done(); err != nil {
				t.Errorf("Done: %v", err)
			}
			if _, err := s.Next([]byte("x")); !errors.Is(err, errAnother) {
				t.Errorf("a third challenge: %v", err)
			}
		})
	}
}

// What a server may say that does not know the password, or wants to find it out.
func TestScramHostile(t *testing.T) {
	const first = "r=nonceX,s=QSXCR+Q6sek8bf92,i=4096"
	tests := []struct {
		name       string
		challenges []string
		want       string
	}{
		{"empty", []string{""}, "challenge is empty"},
		{"long", []string{strings.Repeat("x", maxChallenge+1)}, "too long"},
		{"nonsense", []string{"hello"}, "malformed challenge"},
		{"other nonce", []string{"r=other,s=QSXCR+Q6sek8bf92,i=4096"}, "another exchange"},
		{"our nonce alone", []string{"r=nonce,s=QSXCR+Q6sek8bf92,i=4096"}, "another exchange"},
		{"mandatory extension", []string{"m=x," + first}, "malformed challenge"},
		{"malformed salt", []string{"r=nonceX,s=!,i=4096"}, "malformed salt"},
		{"no salt", []string{"r=nonceX,s=,i=4096"}, "malformed salt"},
		{"few iterations", []string{"r=nonceX,s=QSXCR+Q6sek8bf92,i=4095"}, "iteration count"},
		{"endless iterations", []string{"r=nonceX,s=QSXCR+Q6sek8bf92,i=1048577"}, "iteration count"},
		{"no count", []string{"r=nonceX,s=QSXCR+Q6sek8bf92,i="}, "iteration count"},
		{"refused", []string{first, "e=invalid-proof"}, "server refuses: invalid-proof"},
		{"refused at once", []string{"e=channel-bindings-dont-match"}, "refuses the channel binding"},
		{"wrong signature", []string{first, "v=rmF9pqV8S7suAoZWja4dJRkFsKQ="}, "does not know the password"},
		{"no signature", []string{first, "v="}, "does not know the password"},
		{"nonsense at the end", []string{first, "hello"}, "malformed challenge"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := newScram(sha1.New, pencil(), notPossible, "nonce")
			var err error
			for _, c := range tt.challenges {
				_, err = s.Next([]byte(c))
			}
			if err == nil || !strings.Contains(err.Error(), tt.want) || s.Done() == nil {
				t.Errorf("error %v, want %q; done: %v", err, tt.want, s.Done())
			}
		})
	}
}

// What is said about channel binding, and that it is part of the proof.
func TestScramBinding(t *testing.T) {
	c := pencil()
	tests := []struct {
		mechanism, offered string
		binding            []byte
		header             string
	}{
		{"SCRAM-SHA-256-PLUS", "SCRAM-SHA-256-PLUS", []byte("secret"), "p=tls-exporter,,"},
		{"SCRAM-SHA-1-PLUS", "SCRAM-SHA-1-PLUS", []byte("secret"), "p=tls-exporter,,"},
		{"SCRAM-SHA-256", "SCRAM-SHA-256", []byte("secret"), "y,,"},
		{"SCRAM-SHA-256", "SCRAM-SHA-256 SCRAM-SHA-1-PLUS", []byte("secret"), "n,,"},
		{"SCRAM-SHA-1", "SCRAM-SHA-1", nil, "n,,"},
	}
	for _, tt := range tests {
		c.Binding = tt.binding
		x := New(tt.mechanism, c, strings.Fields(tt.offered)).(*scramClient)
		initial := string(x.Initial())
		if !strings.HasPrefix(initial, tt.header+"n=user,r=") || len(x.nonce) < 20 {
			t.Errorf("%s of %s: initial response %q", tt.mechanism, tt.offered, initial)
		}
		answer, err := x.Next([]byte("r=" + x.nonce + "X,s=QSXCR+Q6sek8bf92,i=4096"))
		if err != nil {
			t.Fatal(err)
		}
		channel := tt.header
		if tt.header[0] == 'p' {
			channel += string(tt.binding)
		}
		if want := "c=" + base64.StdEncoding.EncodeToString([]byte(channel)) + ","; !strings.HasPrefix(string(answer), want) {
			t.Errorf("%s: answer %q, want %q", tt.mechanism, answer, want)
		}
	}
}

// A name may have what separates fields.
func TestSaslName(t *testing.T) {
	if got := saslName("a=b,c"); got != "a=3Db=2Cc" {
		t.Error(got)
	}
}

// FuzzScram: no server makes the client panic, or believe one that does not know
// the password.
func FuzzScram(f *testing.F) {
	f.Add("r=nonceX,s=QSXCR+Q6sek8bf92,i=4096", "v=rmF9pqV8S7suAoZWja4dJRkFsKQ=")
	f.Add("e=other-error", "")
	f.Add("r=nonce,s=,i=", "e=x")
	f.Fuzz(func(t *testing.T, first, last string) {
		if i := strings.Index(first, "i="); i >= 0 && len(first) > i+6 {
			first = first[:i+6] // few iterations: this is no test of time
		}
		s := newScram(sha256.New, pencil(), notPossible, "nonce")
		_, err1 := s.Next([]byte(first))
		_, err2 := s.Next([]byte(last))
		if s.Done() != nil {
			return
		}
		if err1 != nil || err2 != nil {
			t.Fatalf("done after %v, %v", err1, err2)
		}
		if !strings.HasPrefix(last, "v=") || !strings.HasPrefix(first, "r=nonce") {
			t.Fatalf("believes %q, %q", first, last)
		}
	})
}
