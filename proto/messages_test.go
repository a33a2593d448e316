package proto

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"dma/common/dsn"
	"dma/common/outcome"
)

// samples has a message or more of every type, with every field set somewhere.
func samples() []Message {
	token := Token{Index: 3, File: [32]byte{1, 2}, Entry: [32]byte{31: 9}}
	return []Message{
		&Hello{Version: Version, Login: "alice", UID: 1000, Home: "/home/alice", Shell: "/bin/sh", Queue: 101},
		&Start{Role: RoleForward, Login: "alice"},
		&Start{Role: RoleRemote},
		&Start{Role: RoleAlias},
		&Started{PID: 4711},
		&Refused{Why: RefusedForbidden, Text: "uid 0"},
		&Expand{Extension: "lists"},
		&Target{Kind: TargetAddress, Address: "far@remote.example"},
		&Target{Kind: TargetCommand, Token: token},
		&Target{Kind: TargetFile, Token: token},
		&End{Count: 2},
		&Fail{Outcome: outcome.Defer("4.3.0", "unsafe .forward")},
		&Deliver{
			Kind: TargetCommand, Token: token, Sender: "carol@here.example", Recipient: "alice@here.example",
			Original: "alice", Extension: "lists", DeliveredTo: []string{"alice@here.example", "bob@here.example"}, Size: 2048,
		},
		&Send{
			Domain: "remote.example", Sender: "carol@here.example", DeliveredTo: []string{"alice@here.example"},
			Size: 1 << 40, Recipients: MaxRecipients, ID: "0123456789abcdef", Ret: dsn.RetFull, EnvID: "an id",
		},
		&Rcpt{Index: 999, Address: "x@remote.example", Notify: dsn.Never, Original: "rfc822;x@y"},
		&Result{Index: 1, Scope: ScopeTarget, Remote: "mx.remote.example [192.0.2.1]", Reports: true, Outcome: outcome.Fail("5.1.1", "no such user")},
		&Result{Scope: ScopeStale, Outcome: outcome.Defer("4.3.0", "token is out of date")},
		&Result{Scope: ScopeTarget, Outcome: outcome.Success("delivered")},
		&Cancel{},
		&Wake{},
		&Flush{Selection{By: ByAll}},
		&Hold{Selection{By: ByID, Value: "0123456789abcdef"}},
		&Release{Selection{By: ByRecipient, Value: "x@remote.example"}},
		&Remove{Selection{By: BySender}},
		&List{Selection{By: ByAll}},
		&Ack{Count: 3, Denied: 1, Busy: 2},
		&Show{ID: "0123456789abcdef"},
		&Content{},
		&Watch{ID: "0123456789abcdef"},
		&Event{Step: StepDone, Recipient: "x@remote.example", Remote: "mx.remote.example [192.0.2.1]", Text: "250 kept"},
		&Verify{Sender: "carol@here.example", Address: "alice"},
		&Verdict{Depth: 2, Address: "alice@here.example", Outcome: outcome.Success("her mailbox")},
		&Log{Priority: 6, ID: "0123456789abcdef", Text: "connected"},
		&Probe{Sender: "carol@here.example", Domain: "remote.example"},
		&Report{Level: LevelWarning, About: "TLS", Found: "none", Do: "use port 465"},
		&Item{ID: "0123456789abcdef", Sender: "carol@here.example", Arrived: 1 << 33, Size: 1, UID: 1002, Active: true, Held: true, Dead: true, States: 1},
		&State{Recipient: "x@remote.example", Original: "x", Tries: 3, Next: 1 << 33, Reason: "connection refused"},
	}
}

// allTypes are the types that there are, found by asking for each number.
func allTypes() []Type {
	var all []Type
	for n := range 1 << 16 {
		if newMessage(Type(n)) != nil {
			all = append(all, Type(n))
		}
	}
	return all
}

func TestSamplesAreComplete(t *testing.T) {
	have := make(map[Type]bool)
	for _, m := range samples() {
		have[m.Type()] = true
	}
	for _, typ := range allTypes() {
		if !have[typ] {
			t.Errorf("no sample of type %d", typ)
		}
		if got := newMessage(typ).Type(); got != typ {
			t.Errorf("type %d makes a message of type %d", typ, got)
		}
	}
	if len(have) != len(allTypes()) {
		t.Errorf("%d types in the samples, %d in newMessage", len(have), len(allTypes()))
	}
}

// checkRoundTrip: a message that is sent is the message that arrives, for the
// receiver that expects it alone.
func checkRoundTrip(t interface{ Fatalf(string, ...any) }, request uint32, m Message) {
	packet, err := encode(request, m)
	if err != nil {
		t.Fatalf("encode %+v: %v", m, err)
	}
	if len(packet) > MaxMessage {
		t.Fatalf("%d bytes of %+v", len(packet), m)
	}
	p, err := decode(packet, []Type{m.Type()})
	if err != nil {
		t.Fatalf("decode %+v: %v", m, err)
	}
	if diff := cmp.Diff(m, p.Message); diff != "" || p.Request != request {
		t.Fatalf("request %d for %d, message (-sent +received):\n%s", p.Request, request, diff)
	}
	for n := range packet {
		if _, err := decode(packet[:n], []Type{m.Type()}); !errors.Is(err, ErrProtocol) {
			t.Fatalf("%d of %d bytes of %+v: error %v", n, len(packet), m, err)
		}
	}
	if _, err := decode(append(packet, 0), []Type{m.Type()}); !errors.Is(err, ErrProtocol) {
		t.Fatalf("a byte too many after %+v: error %v", m, err)
	}
}

func TestSamplesRoundTrip(t *testing.T) {
	for _, m := range samples() {
		checkRoundTrip(t, 7, m)
	}
}

// text makes strings of any bytes that may be in one.
func text(limit int) *rapid.Generator[string] {
	one := rapid.Custom(func(t *rapid.T) byte {
		b := rapid.ByteRange(0x20, 0xff).Draw(t, "byte")
		if b == 0x7f {
			b = ' '
		}
		return b
	})
	return rapid.Map(rapid.SliceOfN(one, 0, limit), func(b []byte) string { return string(b) })
}

func anyOutcome(t *rapid.T) outcome.Outcome {
	words := outcome.Clean(rapid.String().Draw(t, "text"))
	code := rapid.StringMatching(`[0-9]{1,3}\.[0-9]{1,3}`).Draw(t, "code")
	switch rapid.IntRange(0, 2).Draw(t, "class") {
	case 0:
		return outcome.Outcome{Class: outcome.Done, Code: "2." + code, Text: words}
	case 1:
		return outcome.Outcome{Class: outcome.Later, Code: "4." + code, Text: words}
	}
	return outcome.Outcome{Class: outcome.Failed, Code: "5." + code, Text: words}
}

// anyMessage draws a message of any type that may be sent.
func anyMessage(t *rapid.T) Message {
	address, words := text(MaxAddress), text(MaxText)
	chain := rapid.Map(rapid.SliceOfN(address, 0, MaxChain), func(s []string) []string {
		if len(s) == 0 {
			return nil // as it arrives
		}
		return s
	})
	number, size := rapid.Uint32(), rapid.Int64Min(0)
	token := Token{Index: rapid.Uint16().Draw(t, "index")}
	copy(token.File[:], rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(t, "file"))
	copy(token.Entry[:], rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(t, "entry"))
	kind := TargetKind(rapid.ByteRange(1, 4).Draw(t, "kind"))

	switch typ := rapid.SampledFrom(allTypes()).Draw(t, "type"); typ {
	case TypeHello:
		return &Hello{
			rapid.Uint16().Draw(t, "version"), text(MaxLogin).Draw(t, "login"), number.Draw(t, "uid"),
			text(MaxPath).Draw(t, "home"), text(MaxPath).Draw(t, "shell"), number.Draw(t, "queue"),
			rapid.Bool().Draw(t, "aliases"),
		}
	case TypeStart:
		return &Start{Role(rapid.ByteRange(1, 5).Draw(t, "role")), text(MaxLogin).Draw(t, "login")}
	case TypeStarted:
		return &Started{number.Draw(t, "pid")}
	case TypeRefused:
		return &Refused{Refusal(rapid.ByteRange(1, 3).Draw(t, "why")), words.Draw(t, "text")}
	case TypeExpand:
		return &Expand{text(MaxExtension).Draw(t, "extension")}
	case TypeTarget:
		return &Target{kind, address.Draw(t, "address"), token}
	case TypeEnd:
		return &End{number.Draw(t, "count")}
	case TypeFail:
		o := anyOutcome(t)
		if o.Class == outcome.Done {
			o = outcome.Defer("4.0.0", "%s", o.Text)
		}
		return &Fail{o}
	case TypeDeliver:
		if kind == TargetAddress {
			kind = TargetMailbox
		}
		return &Deliver{
			kind, token, address.Draw(t, "sender"), address.Draw(t, "recipient"), address.Draw(t, "original"), text(MaxExtension).Draw(t, "extension"),
			chain.Draw(t, "chain"), size.Draw(t, "size"),
		}
	case TypeSend:
		return &Send{
			address.Draw(t, "domain"), address.Draw(t, "sender"), chain.Draw(t, "chain"), size.Draw(t, "size"),
			rapid.Uint32Range(1, MaxRecipients).Draw(t, "recipients"), text(MaxID).Draw(t, "id"),
			dsn.Ret(rapid.ByteRange(0, 2).Draw(t, "ret")), text(dsn.MaxEnvID).Draw(t, "envid"),
		}
	case TypeRcpt:
		notify := dsn.Notify(rapid.ByteRange(0, 8).Draw(t, "notify"))
		return &Rcpt{number.Draw(t, "index"), address.Draw(t, "address"), notify, text(dsn.MaxOriginal).Draw(t, "orcpt")}
	case TypeResult:
		o, scope := anyOutcome(t), ScopeTarget
		if o.Class == outcome.Later {
			scope = Scope(rapid.ByteRange(1, 3).Draw(t, "scope"))
		}
		return &Result{number.Draw(t, "index"), scope, words.Draw(t, "remote"), rapid.Bool().Draw(t, "reports"), o}
	case TypeItem:
		return &Item{
			text(MaxID).Draw(t, "id"), address.Draw(t, "sender"), size.Draw(t, "arrived"), size.Draw(t, "size"),
			number.Draw(t, "uid"), rapid.Bool().Draw(t, "active"), rapid.Bool().Draw(t, "held"), rapid.Bool().Draw(t, "dead"), number.Draw(t, "states"),
		}
	case TypeState:
		return &State{address.Draw(t, "recipient"), address.Draw(t, "original"), number.Draw(t, "tries"), size.Draw(t, "next"), words.Draw(t, "reason")}
	case TypeFlush:
		return &Flush{anySelection(t)}
	case TypeHold:
		return &Hold{anySelection(t)}
	case TypeRelease:
		return &Release{anySelection(t)}
	case TypeRemove:
		return &Remove{anySelection(t)}
	case TypeList:
		return &List{anySelection(t)}
	case TypeAck:
		return &Ack{number.Draw(t, "count"), number.Draw(t, "denied"), number.Draw(t, "busy")}
	case TypeCancel:
		return &Cancel{}
	case TypeShow:
		return &Show{text(MaxID).Draw(t, "id")}
	case TypeWatch:
		return &Watch{text(MaxID).Draw(t, "id")}
	case TypeEvent:
		step := Step(rapid.ByteRange(1, 5).Draw(t, "step"))
		return &Event{step, address.Draw(t, "recipient"), words.Draw(t, "remote"), words.Draw(t, "text")}
	case TypeVerify:
		return &Verify{address.Draw(t, "sender"), address.Draw(t, "address")}
	case TypeVerdict:
		return &Verdict{rapid.Byte().Draw(t, "depth"), address.Draw(t, "address"), anyOutcome(t)}
	case TypeLog:
		return &Log{rapid.ByteRange(0, 7).Draw(t, "priority"), text(MaxID).Draw(t, "id"), text(MaxLog).Draw(t, "text")}
	case TypeProbe:
		return &Probe{address.Draw(t, "sender"), address.Draw(t, "domain")}
	case TypeReport:
		level := Level(rapid.ByteRange(1, 3).Draw(t, "level"))
		return &Report{level, words.Draw(t, "about"), words.Draw(t, "found"), words.Draw(t, "do")}
	default: // the others have no fields
		return newMessage(typ)
	}
}

func anySelection(t *rapid.T) Selection {
	return Selection{By(rapid.ByteRange(1, 4).Draw(t, "by")), text(MaxAddress).Draw(t, "value")}
}

func TestRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		checkRoundTrip(t, rapid.Uint32().Draw(t, "request"), anyMessage(t))
	})
}

// TestLimits has what a sender must not be able to send either.
func TestLimits(t *testing.T) {
	long := func(n int) string { return strings.Repeat("a", n) }
	chain := func(n int) []string { return strings.Split(strings.Repeat("a,", n)+"a", ",")[:n] }
	biggest := make([]string, MaxChain)
	for i := range biggest {
		biggest[i] = long(MaxAddress)
	}
	done := outcome.Success("ok")
	tests := map[string]struct {
		message Message
		ok      bool
	}{
		"longest login":          {&Start{Role: RoleUser, Login: long(MaxLogin)}, true},
		"login too long":         {&Start{Role: RoleUser, Login: long(MaxLogin + 1)}, false},
		"longest paths":          {&Hello{Home: long(MaxPath), Shell: long(MaxPath), Login: long(MaxLogin)}, true},
		"path too long":          {&Hello{Home: long(MaxPath + 1)}, false},
		"longest address":        {&Rcpt{Address: long(MaxAddress)}, true},
		"address too long":       {&Rcpt{Address: long(MaxAddress + 1)}, false},
		"string over 64 KiB":     {&Rcpt{Address: long(1<<16 + 1)}, false},
		"longest chain":          {&Send{Recipients: 1, DeliveredTo: chain(MaxChain)}, true},
		"chain too long":         {&Send{Recipients: 1, DeliveredTo: chain(MaxChain + 1)}, false},
		"chain of 256":           {&Send{Recipients: 1, DeliveredTo: chain(256)}, false},
		"biggest Deliver":        {&Deliver{Kind: TargetCommand, Sender: long(MaxAddress), Recipient: long(MaxAddress), Original: long(MaxAddress), DeliveredTo: biggest}, true},
		"NUL":                    {&Rcpt{Address: "a\x00b"}, false},
		"LF":                     {&Rcpt{Address: "a\nb"}, false},
		"CR":                     {&Rcpt{Address: "a\rb"}, false},
		"DEL":                    {&Rcpt{Address: "a\x7fb"}, false},
		"8-bit":                  {&Rcpt{Address: "\u00e4\xff@b"}, true},
		"no role":                {&Start{Login: "a"}, false},
		"role unknown":           {&Start{Role: RoleAlias + 1}, false},
		"no refusal":             {&Refused{}, false},
		"refusal unknown":        {&Refused{Why: RefusedLater + 1}, false},
		"no kind":                {&Target{}, false},
		"kind unknown":           {&Target{Kind: TargetFile + 1}, false},
		"delivery to an address": {&Deliver{Kind: TargetAddress}, false},
		"negative size":          {&Deliver{Kind: TargetMailbox, Size: -1}, false},
		"no recipients":          {&Send{}, false},
		"too many recipients":    {&Send{Recipients: MaxRecipients + 1}, false},
		"failure that is none":   {&Fail{done}, false},
		"no outcome":             {&Result{Scope: ScopeTarget}, false},
		"no scope":               {&Result{Outcome: done}, false},
		"scope unknown":          {&Result{Scope: ScopeStale + 1, Outcome: outcome.Defer("4.0.0", "x")}, false},
		"done for a destination": {&Result{Scope: ScopeDestination, Outcome: done}, false},
		"failed and stale":       {&Result{Scope: ScopeStale, Outcome: outcome.Fail("5.0.0", "x")}, false},
		"code of another class":  {&Result{Scope: ScopeTarget, Outcome: outcome.Outcome{Class: outcome.Done, Code: "5.0.0"}}, false},
		"text with a line end":   {&Result{Scope: ScopeTarget, Outcome: outcome.Outcome{Class: outcome.Done, Code: "2.0.0", Text: "a\nb"}}, false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := encode(1, tt.message)
			if tt.ok && err == nil {
				checkRoundTrip(t, 1, tt.message)
			} else if tt.ok || !errors.Is(err, ErrProtocol) {
				t.Fatalf("error %v", err)
			}
		})
	}
}

// TestEnumsOnTheWire: a receiver refuses what no sender of ours can encode.
func TestEnumsOnTheWire(t *testing.T) {
	tests := map[string]struct {
		message Message
		offset  int // of a byte in the body
		value   byte
	}{
		"role 0":          {&Start{Role: RoleUser}, 0, 0},
		"role 6":          {&Start{Role: RoleUser}, 0, 6},
		"flag 2":          {&Item{}, 2 + 2 + 8 + 8 + 4, 2},
		"control byte":    {&Rcpt{Address: "ab"}, 4 + 2, '\n'},
		"negative size":   {&Item{}, 2 + 2 + 8, 0x80},
		"string too long": {&Rcpt{Address: "ab"}, 4, 0xff},
		"chain too long":  {&Send{Recipients: 1}, 2 + 2, MaxChain + 1},
		"recipients 0":    {&Send{Recipients: 1}, 2 + 2 + 1 + 8 + 3, 0},
		"outcome class 0": {&Fail{outcome.Defer("4.0.0", "")}, 0, 0},
		"outcome done":    {&Fail{outcome.Defer("4.0.0", "")}, 0, byte(outcome.Done)},
		"outcome's code":  {&Fail{outcome.Defer("4.0.0", "")}, 1 + 2, '5'},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			packet, err := encode(1, tt.message)
			if err != nil {
				t.Fatal(err)
			}
			if packet[HeaderSize+tt.offset] == tt.value {
				t.Fatal("the byte has that value already")
			}
			packet[HeaderSize+tt.offset] = tt.value
			if p, err := decode(packet, allTypes()); !errors.Is(err, ErrProtocol) {
				t.Fatalf("decoded %+v, error %v", p.Message, err)
			}
		})
	}
}

func FuzzDecode(f *testing.F) {
	for _, m := range samples() {
		packet, err := encode(7, m)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(packet, uint16(m.Type()))
	}
	f.Add([]byte{}, uint16(0))
	f.Add(make([]byte, HeaderSize), uint16(TypeWake))
	all := allTypes()
	f.Fuzz(func(t *testing.T, packet []byte, accepted uint16) {
		p, err := decode(packet, all)
		one, oneErr := decode(packet, []Type{Type(accepted)})
		if err != nil {
			if !errors.Is(err, ErrProtocol) || oneErr == nil {
				t.Fatalf("errors %v, %v", err, oneErr)
			}
			return
		}
		// A receiver that accepts one type gets that type or nothing.
		if (oneErr == nil) != (p.Message.Type() == Type(accepted)) {
			t.Fatalf("type %d where %d is accepted: error %v", p.Message.Type(), accepted, oneErr)
		}
		if oneErr == nil && !cmp.Equal(one, p) {
			t.Fatalf("decoded %+v and %+v", one, p)
		}
		again, err := encode(p.Request, p.Message)
		if err != nil {
			t.Fatalf("encode what was decoded, %+v: %v", p.Message, err)
		}
		if !bytes.Equal(again, packet) {
			t.Fatalf("two encodings of %+v:\n%x\n%x", p.Message, packet, again)
		}
	})
}
