package spool

import (
	"errors"
	"fmt"
	"slices"
	"strconv"

	"dma/common/dsn"
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
	Sender      string // empty for the null sender, or if none was given
	SenderGiven bool   // Sender was chosen by the submitter; the null sender can be
	Recipients  []Recipient
	Bad         []string // malformed ones, made printable, to be bounced with 5.1.3
	FullName    string   // of the sender, for a From: field that is missing
	FromHeader  bool     // recipients were taken from the header too (-t)
	Ret         dsn.Ret  // what a failure report gives back (-R)
	EnvID       string   // what reports call the message (-V), if anything
	Tag         string   // for the log lines of this submission (-L), if any
}

// Recipient is a good recipient: its address is well-formed, but nobody may have it.
type Recipient struct {
	Address  string     // without a domain if none was given
	Notify   dsn.Notify // when the submitter wants to be told
	Original string     // "type;address" that reports call it (ORCPT), if anything
}

// To makes recipients of addresses about which nothing else was said.
func To(addresses ...string) []Recipient {
	list := make([]Recipient, len(addresses))
	for i, a := range addresses {
		list[i].Address = a
	}
	return list
}

// Kinds of records. Values are part of the format.
const (
	recSender     = 'S' // the sender; only if one was given
	recRecipient  = 'R' // one recipient; when there is more to say: NOTIFY in decimal, ORCPT
	recBad        = 'B' // one bad recipient
	recFullName   = 'N' // the full name, if any
	recFromHeader = 'T' // no fields; recipients came from the header
	recReport     = 'D' // RET in decimal and ENVID, if either was given
	recTag        = 'L' // the tag for the log, if any
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
		a, err := mailaddr.Parse(r.Address)
		if err == nil && a.String() != r.Address {
			err = errors.New("not in plain form")
		}
		if err == nil && !r.Notify.Valid() {
			err = fmt.Errorf("notification %d", r.Notify)
		}
		if err == nil {
			err = dsn.CheckOriginal(r.Original)
		}
		if err != nil {
			return fmt.Errorf("recipient %q: %w", r.Address, err)
		}
	}
	for _, r := range s.Bad {
		if err := mailaddr.Check(r); err != nil {
			return fmt.Errorf("bad recipient %q: %w", r, err)
		}
	}
	for what, text := range map[string]string{"full name": s.FullName, "tag": s.Tag} {
		if err := mailaddr.Check(text); err != nil && text != "" {
			return fmt.Errorf("%s %q: %w", what, text, err)
		}
	}
	if !s.Ret.Valid() {
		return fmt.Errorf("return of %d", s.Ret)
	}
	return dsn.CheckEnvID(s.EnvID)
}

func (s *Submission) append(b []byte) []byte {
	if s.SenderGiven {
		b = AppendRecord(b, recSender, s.Sender)
	}
	for _, r := range s.Recipients {
		if r.Notify == 0 && r.Original == "" {
			b = AppendRecord(b, recRecipient, r.Address)
		} else {
			b = AppendRecord(b, recRecipient, r.Address, strconv.Itoa(int(r.Notify)), r.Original)
		}
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
	if s.Ret != 0 || s.EnvID != "" {
		b = AppendRecord(b, recReport, strconv.Itoa(int(s.Ret)), s.EnvID)
	}
	if s.Tag != "" {
		b = AppendRecord(b, recTag, s.Tag)
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
		switch {
		case kind == recFromHeader:
			want = 0
		case kind == recReport:
			want = 2
		case kind == recRecipient && len(fields) != 1:
			want = 3
		}
		if len(fields) != want || slices.Contains(seen, kind) {
			return Submission{}, fmt.Errorf("record %q with %d fields is wrong or there twice", kind, len(fields))
		}
		switch kind {
		case recSender:
			s.Sender, s.SenderGiven = fields[0], true
		case recRecipient:
			r := Recipient{Address: fields[0]}
			if want == 3 {
				n, err := small(fields[1])
				if err != nil {
					return Submission{}, fmt.Errorf("recipient %q: notification: %w", r.Address, err)
				}
				r.Notify, r.Original = dsn.Notify(n), fields[2]
			}
			s.Recipients = append(s.Recipients, r)
		case recBad:
			s.Bad = append(s.Bad, fields[0])
		case recFullName:
			s.FullName = fields[0]
		case recFromHeader:
			s.FromHeader = true
		case recReport:
			n, err := small(fields[0])
			if err != nil {
				return Submission{}, fmt.Errorf("return: %w", err)
			}
			s.Ret, s.EnvID = dsn.Ret(n), fields[1]
		case recTag:
			s.Tag = fields[0]
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

// small reads a number of one byte; whether it is a good one is for Check.
func small(s string) (uint8, error) {
	n, err := strconv.ParseUint(s, 10, 8)
	return uint8(n), err
}
