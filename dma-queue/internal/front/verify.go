package front

import (
	"bufio"
	"fmt"
	"io"
	"strings"
	"time"

	"dma/common/mailaddr"
	"dma/common/outcome"
	"dma/common/sysexits"
	"dma/proto"
)

// verifyReply is how long the runner may take for a station: it asks dma-forward,
// which has 30 s (RULES B6).
const verifyReply = time.Minute

// VerifyAddresses says where mail for each of addresses would go, a line for each
// station, indented below the one that led there. The error has the exit code that
// fits the worst of them: 67 where mail would bounce, 65 for what is no address,
// 75 where it would wait.
func VerifyAddresses(stdout io.Writer, o Options, leave func() error) error {
	v := newVerifier(stdout, o.Sender)
	for _, arg := range o.Recipients {
		a, err := mailaddr.Parse(arg)
		if err != nil {
			v.malformed++
			v.line(0, arg, "malformed: "+err.Error())
			continue
		}
		v.addresses = append(v.addresses, a.String())
	}
	var err error
	if len(v.addresses) > 0 {
		err = Converse(leave, v.talk)
	}
	if ferr := v.w.Flush(); err == nil && ferr != nil {
		err = failf(sysexits.IOErr, "%w", ferr)
	}
	if err != nil {
		return err
	}
	return v.verdict()
}

func newVerifier(out io.Writer, sender string) *verifier {
	return &verifier{w: bufio.NewWriter(out), sender: sender}
}

type verifier struct {
	w                        *bufio.Writer
	sender                   string
	addresses                []string
	stations                 int
	malformed, later, failed int
}

func (v *verifier) talk(c *proto.Conn) error {
	for n, address := range v.addresses {
		if err := v.ask(c, uint32(n+1), address); err != nil && v.stations > 0 {
			return fmt.Errorf("%w: %w", ErrStarted, err)
		} else if err != nil {
			return err
		}
	}
	return nil
}

func (v *verifier) ask(c *proto.Conn, request uint32, address string) error {
	if err := c.Send(request, &proto.Verify{Sender: v.sender, Address: address}, nil); err != nil {
		return err
	}
	for first := true; ; first = false {
		p, err := c.Recv(verifyReply, proto.TypeVerdict, proto.TypeEnd)
		if err != nil {
			return err
		}
		m, ok := p.Message.(*proto.Verdict)
		if !ok && first {
			return fmt.Errorf("%w: no verdict on %q", proto.ErrProtocol, address)
		}
		if !ok {
			return nil
		}
		v.stations++
		v.station(m)
	}
}

func (v *verifier) station(m *proto.Verdict) {
	text := m.Outcome.Text
	switch m.Outcome.Class {
	case outcome.Done:
	case outcome.Later:
		v.later++
		text = "would wait: " + text
	default:
		v.failed++
		text = "would fail: " + text
	}
	v.line(int(m.Depth), m.Address, text)
}

// line prints one station. Addresses and texts are foreign.
func (v *verifier) line(depth int, address, text string) {
	fmt.Fprintf(v.w, "%s%s: %s\n", strings.Repeat("  ", depth), outcome.Clean(address), outcome.Clean(text))
}

func (v *verifier) verdict() error {
	const text = "not everything would be delivered"
	switch {
	case v.failed > 0:
		return failf(sysexits.NoUser, text)
	case v.malformed > 0:
		return failf(sysexits.DataErr, text)
	case v.later > 0:
		return failf(sysexits.TempFail, text)
	}
	return nil
}
