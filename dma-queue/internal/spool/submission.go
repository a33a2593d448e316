package spool

import (
	"errors"
	"fmt"
	"slices"

	"dma/common/mailaddr"
)

// Limits of an envelope. They hold for whoever writes one and for whoever reads it.
const (
	MaxEnvelope   = 2 << 20 // bytes of records
	MaxRecipients = 10000   // good and bad ones together
)

// ErrLimit says that an envelope or message is over its limit.
var ErrLimit = errors.New("over the limit")

// Submission is the envelope of a message as its submitter gave it, each field
// checked (RULES A6). None of it carries authority.
type Submission struct {
	Sender      string   // empty for the null sender, or if none was given
	SenderGiven bool     // Sender was chosen by the submitter; the null sender can be
	Recipients  []string // well-formed; without a domain if none was given; may be unknown
	Bad         []string // malformed ones, made printable, to be bounced with 5.1.3
	FullName    string   // of the sender, for a From: field that is missing
	FromHeader  bool     // recipients were taken from the header too (-t)
}

// Kinds of records. Values are part of the format.
const (
	recSender     = 'S' // the sender; only if one was given
	recRecipient  = 'R' // one recipient
	recBad        = 'B' // one bad recipient
	recFullName   = 'N' // the full name, if any
	recFromHeader = 'T' // no fields; recipients came from the header
)

// Check reports why s may not be an envelope. It looks at every field.
func (s *Submission) Check() error {
	if n := len(s.Recipients) + len(s.Bad); n == 0 {
		return errors.New("no recipients")
	} else if n > MaxRecipients {
		return fmt.Errorf("%d recipients %w of %d", n, ErrLimit, MaxRecipients)
	}
	if s.Sender != "" {
		a, err := mailaddr.ParseSender(s.Sender)
		if err == nil && (a.String() != s.Sender || !s.SenderGiven) {
			err = errors.New("not in plain form")
		}
		if err != nil {
			return fmt.Errorf("sender %q: %w", s.Sender, err)
		}
	}
	for _, r := range s.Recipients {
		a, err := mailaddr.Parse(r)
		if err == nil && a.String() != r {
			err = errors.New("not in plain form")
		}
		if err != nil {
			return fmt.Errorf("recipient %q: %w", r, err)
		}
	}
	for _, r := range s.Bad {
		if err := mailaddr.Check(r); err != nil {
			return fmt.Errorf("bad recipient %q: %w", r, err)
		}
	}
	if s.FullName != "" {
		if err := mailaddr.Check(s.FullName); err != nil {
			return fmt.Errorf("full name %q: %w", s.FullName, err)
		}
	}
	return nil
}

func (s *Submission) append(b []byte) []byte {
	if s.SenderGiven {
		b = AppendRecord(b, recSender, s.Sender)
	}
	for _, r := range s.Recipients {
		b = AppendRecord(b, recRecipient, r)
	}
	for _, r := range s.Bad {
		b = AppendRecord(b, recBad, r)
	}
	if s.FullName != "" {
		b = AppendRecord(b, recFullName, s.FullName)
	}
	if s.FromHeader {
		b = AppendRecord(b, recFromHeader)
	}
	return b
}

// parseSubmission accepts what append makes, in any order, and nothing else.
func parseSubmission(b []byte) (Submission, error) {
	var s Submission
	var seen []byte // kinds of which there may be one only
	for len(b) > 0 {
		kind, fields, rest, err := NextRecord(b)
		if err != nil {
			return Submission{}, err
		}
		b = rest
		want := 1
		if kind == recFromHeader {
			want = 0
		}
		if len(fields) != want || slices.Contains(seen, kind) {
			return Submission{}, fmt.Errorf("record %q with %d fields is wrong or there twice", kind, len(fields))
		}
		switch kind {
		case recSender:
			s.Sender, s.SenderGiven = fields[0], true
		case recRecipient:
			s.Recipients = append(s.Recipients, fields[0])
		case recBad:
			s.Bad = append(s.Bad, fields[0])
		case recFullName:
			s.FullName = fields[0]
		case recFromHeader:
			s.FromHeader = true
		default:
			return Submission{}, fmt.Errorf("unknown record %q", kind)
		}
		if kind != recRecipient && kind != recBad {
			seen = append(seen, kind)
		}
	}
	if err := s.Check(); err != nil {
		return Submission{}, err
	}
	return s, nil
}
