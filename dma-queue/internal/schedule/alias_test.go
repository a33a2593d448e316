package schedule

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"dma/common/aliases"
	"dma/common/aliases/token"
	"dma/common/outcome"
	"dma/dma-queue/internal/expand"
	"dma/proto"
)

// setAliases gives the world another alias file, as if it had been edited.
func (w *world) setAliases(text string, commands bool) {
	s := *w.site.Load()
	s.Expand.Aliases, s.Expand.AliasCommands = aliases.Parse([]byte(text), "aliases"), commands
	w.site.Store(&s)
}

func aliasToken(text, entry string) proto.Token {
	target := aliases.Target{Kind: aliases.Command, Text: entry}
	return proto.Token{File: token.File(aliases.Parse([]byte(text), "")), Entry: token.Entry(target)}
}

// What the alias file names goes to a helper of its own, which knows no login.
func TestAliasCommand(t *testing.T) {
	t.Parallel()
	const text = "list: |/x, alice\n"
	w := newWorld(t)
	w.setAliases(text, true)
	var asked []proto.Deliver
	w.deliver = func(d *proto.Deliver, _ string) *proto.Result {
		w.mu.Lock()
		defer w.mu.Unlock()
		if d.Kind == proto.TargetCommand {
			asked = append(asked, *d)
		}
		return result(outcome.Success("ok"))
	}
	w.submit("carol@host.example", "List+Ext")
	w.start()
	w.finish()
	if want := []string{"alias", "forward alice", "mailbox alice"}; !slices.Equal(sorted(w.starts), want) {
		t.Errorf("started %q, want %q", w.starts, want)
	}
	if len(asked) != 1 {
		t.Fatalf("%d deliveries to commands", len(asked))
	}
	d := asked[0]
	if d.Token != aliasToken(text, "/x") || d.Recipient != "list@host.example" || d.Original != "List+Ext" || d.Extension != "ext" || !slices.Equal(d.DeliveredTo, []string{"list@host.example"}) {
		t.Errorf("%+v", d)
	}
	w.empty()
}

// The file is edited between expansion and delivery (RULES C10): the command is asked
// for under its new token, at once.
func TestStaleAliasToken(t *testing.T) {
	t.Parallel()
	const old, fresh = "list: |/gone, alice\n", "# edited\nlist: alice, |/new\n"
	w := newWorld(t)
	w.setAliases(old, true)
	w.deliver = func(d *proto.Deliver, _ string) *proto.Result {
		if d.Kind == proto.TargetCommand && d.Token.File != aliasToken(fresh, "").File {
			w.setAliases(fresh, true)
			return &proto.Result{Scope: proto.ScopeStale, Outcome: outcome.Defer("4.3.0", "the alias file was changed in between")}
		}
		return result(outcome.Success("ok"))
	}
	w.submit("carol@host.example", "list")
	w.start()
	w.finish()
	if got, want := sorted(w.got), []string{"1 alice@host.example", "3 list@host.example"}; !slices.Equal(got, want) {
		t.Errorf("delivered %q, want %q", got, want)
	}
	w.empty()
}

// Mail for a command that is switched off waits, across runs, and goes on when it is
// switched on; and no refusal to start the helper makes it bounce.
func TestAliasCommandWaits(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.setAliases("list: |/x\n", false)
	w.refuse[""] = proto.RefusedForbidden
	id := w.submit("carol@host.example", "list")
	w.start()
	w.eventually("deferred", func() bool { return strings.Contains(strings.Join(w.lines, "\n"), "write ALIASCOMMANDS into dma.conf") })
	w.setAliases("list: |/x\n", true)
	w.flush()
	w.eventually("refused", func() bool { return strings.Contains(strings.Join(w.lines, "\n"), "refused by the test") })
	w.stop()
	if len(w.bounces) > 0 || len(w.got) > 0 {
		t.Fatalf("bounced %v, delivered %v", w.bounces, w.got)
	}
	w.mu.Lock()
	delete(w.refuse, "")
	w.mu.Unlock()
	w.clock.Add(int64(time.Hour)) // the lane is up again
	w.start()
	w.finish()
	if !slices.Equal(w.got, []string{"3 list@host.example"}) {
		t.Errorf("%s: delivered %q", id, w.got)
	}
	w.empty()
}

func TestVerifyAlias(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.setAliases("list: |/bin/x -a \"b c\", /var/arch, alice\noff: |/y\n", true)
	w.start()
	verify := func(address string) (got []string) {
		if err := w.s.Verify(Caller{}, "carol@host.example", address, func(v *proto.Verdict) error {
			got = append(got, fmt.Sprintf("%d %s %s %s", v.Depth, v.Address, v.Outcome.Code, v.Outcome.Text))
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		return got
	}
	want := []string{"0 list 2.0.0 alias", `1 list@host.example 2.0.0 command: /bin/x -a "b c"`, "1 list@host.example 2.0.0 file: /var/arch", "1 alice@host.example 2.0.0 user; what this user's .forward says is not shown to others"}
	if got := verify("list"); !slices.Equal(got, want) {
		t.Errorf("%q; want %q", got, want)
	}
	s := *w.site.Load()
	table := aliases.Parse([]byte("list: |/x\n"), "aliases")
	table.Unsafe = errStopped
	s.Expand.Aliases = table
	w.site.Store(&s)
	if got, want := verify("list"), []string{"0 list 2.0.0 alias", "1 list@host.example 4.3.5 " + errStopped.Error()}; !slices.Equal(got, want) {
		t.Errorf("%q; want %q", got, want)
	}
	w.setAliases("list: |/x\n", false)
	if got := verify("list"); len(got) != 1 || !strings.Contains(got[0], "list 4.3.5 alias \"list\" names a command or a file") {
		t.Errorf("%q", got)
	}
	w.stop()
}

// RULES C5: what has gone through too many hosts is sent back, and not a moment
// earlier. Mailbox, command, or another host: nothing more is done with it.
func TestHops(t *testing.T) {
	t.Parallel()
	for hops, bounces := range map[int]int{expand.MaxHops: 0, expand.MaxHops + 1: 1} {
		w := newWorld(t)
		w.hops = hops
		w.setAliases("list: |/x\n", true)
		w.submit("carol@remote.example", "alice", "list", "x@remote.example")
		w.start()
		w.finish()
		if len(w.bounces) != bounces || len(w.got) != 3-2*bounces {
			t.Errorf("%d hops: %d bounces, delivered %q", hops, len(w.bounces), w.got)
		}
		for _, b := range w.bounces {
			for i := range b.About {
				if r := &b.About[i]; r.Outcome.Code != "5.4.6" || len(b.About) != 3 {
					t.Errorf("%+v", r)
				}
			}
			if !slices.Equal(w.got, []string{"R carol@remote.example"}) {
				t.Errorf("delivered %q", w.got)
			}
		}
	}
}
