package schedule

import (
	"fmt"
	"slices"

	"dma/dma-queue/internal/queue"
	"dma/dma-queue/internal/spool"
	"dma/proto"
)

// request makes the function that writes j. It copies what it needs: it runs in
// another goroutine.
func (s *Scheduler) request(j *job, m *message) func(*proto.Conn) error {
	t := &m.Targets[j.targets[0]]
	switch t.Kind {
	case queue.User:
		expand := &proto.Expand{Extension: t.Extension}
		return func(c *proto.Conn) error { return c.Send(j.request, expand, nil) }
	case queue.Remote:
		return s.sendRequest(j, m)
	}
	id, d := m.ID, deliverRequest(m, t)
	return func(c *proto.Conn) error { return s.sendFile(c, j.request, id, d) }
}

// sendRequest is for dma-remote.
func (s *Scheduler) sendRequest(j *job, m *message) func(*proto.Conn) error {
	id := m.ID
	send := &proto.Send{
		Domain: j.lane.key.domain(), Sender: m.Sender, DeliveredTo: m.Targets[j.targets[0]].Chain, Size: m.Size,
		Recipients: uint32(len(j.targets)), ID: string(id), Ret: m.Ret, EnvID: m.EnvID,
	}
	rcpts := make([]proto.Rcpt, len(j.targets))
	for k, i := range j.targets {
		t := &m.Targets[i]
		rcpts[k] = proto.Rcpt{Index: uint32(k), Address: t.Address, Notify: t.Notify, Original: t.ORcpt}
	}
	return func(c *proto.Conn) error {
		if err := s.sendFile(c, j.request, id, send); err != nil {
			return err
		}
		for k := range rcpts {
			if err := c.Send(j.request, &rcpts[k], nil); err != nil {
				return err
			}
		}
		return nil
	}
}

// deliverRequest is for dma-local.
func deliverRequest(m *message, t *queue.Target) *proto.Deliver {
	d := &proto.Deliver{
		Kind: proto.TargetMailbox, Token: t.Token, Sender: m.Sender, Recipient: t.Address, Original: t.Original,
		Extension: t.Extension, DeliveredTo: t.Chain, Size: m.Size,
	}
	switch t.Kind {
	case queue.Command:
		d.Kind = proto.TargetCommand
	case queue.File:
		d.Kind = proto.TargetFile
	}
	if !slices.Contains(t.Chain, t.Address) && len(t.Chain) < proto.MaxChain {
		d.DeliveredTo = append([]string{t.Address}, t.Chain...)
	}
	return d
}

// sendFile sends a message with the file of id, opened anew.
func (s *Scheduler) sendFile(c *proto.Conn, request uint32, id spool.ID, m proto.Message) error {
	f, err := s.queue.OpenMessage(id)
	if err != nil {
		return fmt.Errorf("%w: %w", errOpen, err)
	}
	defer f.Close()
	return c.Send(request, m, f)
}
