package spool

import (
	"bytes"
	"hash/crc32"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestRecordRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		kind := rapid.Byte().Draw(t, "kind")
		fields := rapid.SliceOf(rapid.String()).Draw(t, "fields")
		b := AppendRecord(nil, kind, fields...)
		b = AppendRecord(b, 'x', "next")
		k, f, rest, err := NextRecord(b)
		if err != nil || k != kind || !slices.Equal(f, fields) {
			t.Fatalf("%q %q became %q %q, %v", kind, fields, k, f, err)
		}
		if k, f, rest, err = NextRecord(rest); err != nil || k != 'x' || !slices.Equal(f, []string{"next"}) || len(rest) != 0 {
			t.Fatalf("what follows became %q %q, %q left, %v", k, f, rest, err)
		}
	})
}

// Both ways to compute it give CRC-32C, and one goes on where the other ended.
func TestChecksum(t *testing.T) {
	if got := Checksum(0, []byte("123456789")); got != 0xe3069283 {
		t.Errorf("checksum %08x, want e3069283", got)
	}
	p := make([]byte, 3*muchToSum)
	for i := range p {
		p[i] = byte(i * i >> 3)
	}
	want := crc32.Checksum(p, crc32.MakeTable(crc32.Castagnoli))
	for _, n := range []int{0, 1, muchToSum - 1, muchToSum, 3*muchToSum - 1, 3 * muchToSum} {
		if got := Checksum(Checksum(0, p[:n]), p[n:]); got != want {
			t.Errorf("cut at %d: checksum %08x, want %08x", n, got, want)
		}
	}
}

func TestRecordCutOrChanged(t *testing.T) {
	whole := AppendRecord(nil, 'R', "a@b.example", "", "3:x,")
	for n := range whole {
		if _, _, _, err := NextRecord(whole[:n]); err == nil {
			t.Errorf("accepted when cut to %q", whole[:n])
		}
		for bit := range 8 {
			b := bytes.Clone(whole)
			b[n] ^= 1 << bit
			if _, _, _, err := NextRecord(b); err == nil && n >= 8 { // the sum may change its case
				t.Errorf("accepted when changed to %q", b)
			}
		}
	}
}

func TestNoByteEndsARecord(t *testing.T) {
	inner := string(AppendRecord(nil, 'R', "x@y"))
	b := AppendRecord(nil, 'S', "\n"+inner+"\n00000000 5 R1:x,")
	_, f, rest, err := NextRecord(b)
	if err != nil || len(f) != 1 || !strings.Contains(f[0], inner) || len(rest) != 0 {
		t.Errorf("%q, rest %q, %v", f, rest, err)
	}
}

func TestMalformedRecords(t *testing.T) {
	for name, payload := range map[string]string{
		"no number":       "R:x,",
		"no colon":        "R1",
		"too long":        "R5:x,",
		"no comma":        "R1:x.",
		"leading zero":    "R01:x,",
		"negative":        "R-1:x,",
		"huge":            "R99999999999999999999:x,",
		"too many fields": "R" + strings.Repeat("0:,", maxFields+1),
	} {
		b := AppendRecord(nil, 'R')
		b = append(b[:0], recordOf(payload)...)
		if _, f, _, err := NextRecord(b); err == nil {
			t.Errorf("%s: %q", name, f)
		}
	}
	if _, _, _, err := NextRecord([]byte(recordOf(""))); err == nil {
		t.Error("empty payload accepted")
	}
}

// recordOf is a record with a right checksum and any payload.
func recordOf(payload string) string {
	return string(appendPayload(nil, []byte(payload)))
}

func FuzzRecord(f *testing.F) {
	f.Add(AppendRecord(nil, 'R', "a@b", ""))
	f.Add(AppendRecord(AppendRecord(nil, 'S', ""), 'T'))
	f.Add([]byte(recordOf("R5:x,")))
	f.Fuzz(func(t *testing.T, b []byte) {
		kind, fields, rest, err := NextRecord(b)
		if err != nil {
			return
		}
		again := AppendRecord(nil, kind, fields...)
		if !bytes.EqualFold(again, b[:len(b)-len(rest)]) {
			t.Errorf("%q is read as %q %q, which is written %q", b, kind, fields, again)
		}
	})
}
