package spool

import (
	"bytes"
	"errors"
	"io"
	"testing"
	"time"
)

func TestNewID(t *testing.T) {
	at := time.UnixMicro(0x5b1234567890a)
	id, err := NewID(at, bytes.NewReader([]byte{0, 0xff, 1, 2, 3, 4, 5}))
	if err != nil || id != "5b1234567890a.00ff01020304" {
		t.Errorf("id %q, %v", id, err)
	}
	if _, err := ParseID(string(id)); err != nil {
		t.Errorf("parse %q: %v", id, err)
	}
	later, _ := NewID(at.Add(time.Microsecond), bytes.NewReader(make([]byte, 8)))
	if later <= id {
		t.Errorf("%q does not sort behind %q", later, id)
	}
	if id, err := NewID(time.Unix(-1, 0), bytes.NewReader(make([]byte, 8))); err != nil || id != "0000000000000.000000000000" {
		t.Errorf("before 1970: %q, %v", id, err)
	}
	if _, err := NewID(at, bytes.NewReader(nil)); !errors.Is(err, io.EOF) {
		t.Errorf("without randomness: %v", err)
	}
}

func TestParseID(t *testing.T) {
	for _, s := range []string{
		"", ".", "..", "5b1234567890a", "5b1234567890a.00ff0102030", "5b1234567890a.00ff010203045",
		"5B1234567890a.00ff01020304", "5b1234567890a/00ff01020304", "5b1234567890a.00ff0102030\n",
		"5b1234567890.a00ff01020304", "5b1234567890a.00ff01020304.log", "../../../../../etc/passwd.",
	} {
		if id, err := ParseID(s); err == nil {
			t.Errorf("%q gave %q", s, id)
		}
	}
}
