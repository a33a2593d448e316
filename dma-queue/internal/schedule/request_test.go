package schedule

import (
	"slices"
	"testing"

	"dma/common/outcome"
	"dma/dma-queue/internal/queue"
	"dma/dma-queue/internal/spool"
	"dma/proto"
)

// What the submitter asked for goes along to dma-remote; extension and token of a
// file to dma-local.
func TestRequests(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	token := proto.Token{Index: 3, Entry: [32]byte{1}}
	w.forwards["alice"] = []proto.Target{{Kind: proto.TargetFile, Token: token}, {Kind: proto.TargetCommand, Token: token}}
	var files []proto.Deliver
	w.deliver = func(d *proto.Deliver, _ string) *proto.Result {
		w.mu.Lock()
		defer w.mu.Unlock()
		files = append(files, *d)
		return result(outcome.Success("ok"))
	}
	w.submitEnvelope(spool.Submission{
		Sender: "carol@host.example", SenderGiven: true, Ret: 1, EnvID: "an id",
		Recipients: []spool.Recipient{{Address: "x@remote.example", Notify: 2, Original: "rfc822;y@z"}, {Address: "alice+Lists"}},
	})
	w.start()
	w.finish()
	if len(w.sends) != 1 || w.sends[0].Ret != 1 || w.sends[0].EnvID != "an id" {
		t.Errorf("sent %+v", w.sends)
	}
	if len(w.rcpts) != 1 || w.rcpts[0] != (proto.Rcpt{Address: "x@remote.example", Notify: 2, Original: "rfc822;y@z"}) {
		t.Errorf("recipients %+v", w.rcpts)
	}
	if !slices.Equal(w.extensions, []string{"lists"}) || len(files) != 2 {
		t.Fatalf("extensions %q, %d deliveries", w.extensions, len(files))
	}
	for _, f := range files {
		if f.Extension != "lists" || f.Token != token || f.Recipient != "alice@host.example" || f.Kind != proto.TargetFile && f.Kind != proto.TargetCommand {
			t.Errorf("%+v", f)
		}
	}
	if !slices.Contains(w.starts, "user alice") {
		t.Errorf("started %q", w.starts)
	}
	w.empty()
}

// Mail of senders with a way out of their own waits apart.
func TestRoutes(t *testing.T) {
	s := &Site{Route: func(sender, address string) string {
		switch sender {
		case "a":
			return RoutePrefix + "a"
		case "b":
			return ""
		}
		return address
	}}
	for sender, want := range map[string]laneKey{"a": {proto.RoleRemote, "=a"}, "b": {proto.RoleRemote, ""}, "c": {proto.RoleRemote, "d.example"}} {
		key, ok := s.laneOf(sender, &queue.Target{Kind: queue.Remote, Address: "d.example"})
		if !ok || key != want {
			t.Errorf("%s: %+v", sender, key)
		}
		domain, limit := "", smarthostJobs
		if sender == "c" {
			domain, limit = "d.example", domainJobs
		}
		if key.domain() != domain || key.limit() != limit {
			t.Errorf("%s: domain %q, limit %d", sender, key.domain(), key.limit())
		}
	}
}
