package spool

import (
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
	"strconv"
	"sync"
)

// A record is a line of a spool file that no byte of a value can end: each
// field is a netstring, and a checksum and a length stand in front of all.
//
//	<crc32c of the payload, 8 hexadecimal digits> <length of the payload> <kind><field>...\n
//
// Fields are as "5:hello,". The final newline is for people who look at the file.
const (
	maxRecord = 1 << 20 // bytes of payload
	maxFields = 4096    // in a record
)

// errTorn is the error of a record that is cut off or damaged.
var errTorn = errors.New("torn record")

// Checksum continues crc over p: CRC-32C, which processors compute in hardware. To
// prepare for that takes package crc32 as long as to sum up 100 KiB without.
func Checksum(crc uint32, p []byte) uint32 {
	table := plainTable()
	if len(p) >= muchToSum {
		table = crc32.MakeTable(crc32.Castagnoli)
	}
	return crc32.Update(crc, table, p)
}

// muchToSum is where hardware pays, in bytes at once.
const muchToSum = 16 << 10

// plainTable is the table of CRC-32C, of which package crc32 does not know that.
var plainTable = sync.OnceValue(func() *crc32.Table {
	var t crc32.Table
	for i := range t {
		crc := uint32(i)
		for range 8 {
			crc = crc>>1 ^ -(crc&1)&crc32.Castagnoli
		}
		t[i] = crc
	}
	return &t
})

// AppendRecord appends a record to b.
func AppendRecord(b []byte, kind byte, fields ...string) []byte {
	payload := []byte{kind}
	for _, f := range fields {
		payload = strconv.AppendInt(payload, int64(len(f)), 10)
		payload = append(payload, ':')
		payload = append(payload, f...)
		payload = append(payload, ',')
	}
	return appendPayload(b, payload)
}

func appendPayload(b, payload []byte) []byte {
	b = fmt.Appendf(b, "%08x %d ", Checksum(0, payload), len(payload))
	b = append(b, payload...)
	return append(b, '\n')
}

// NextRecord takes the first record off b.
func NextRecord(b []byte) (kind byte, fields []string, rest []byte, err error) {
	if len(b) < 10 || b[8] != ' ' {
		return 0, nil, b, errTorn
	}
	sum, err := strconv.ParseUint(string(b[:8]), 16, 32)
	if err != nil {
		return 0, nil, b, errTorn
	}
	n, p, ok := leadingNumber(b[9:], ' ')
	if !ok || n < 1 || n > maxRecord || len(p) < n+1 || p[n] != '\n' {
		return 0, nil, b, errTorn
	}
	payload, rest := p[:n], p[n+1:]
	if Checksum(0, payload) != uint32(sum) {
		return 0, nil, b, errTorn
	}
	for f := payload[1:]; len(f) > 0; {
		n, v, ok := leadingNumber(f, ':')
		if !ok || len(v) < n+1 || v[n] != ',' || len(fields) == maxFields {
			return 0, nil, b, errTorn
		}
		fields = append(fields, string(v[:n]))
		f = v[n+1:]
	}
	return payload[0], fields, rest, nil
}

// leadingNumber takes a decimal number and the byte that ends it off b.
func leadingNumber(b []byte, end byte) (n int, rest []byte, ok bool) {
	i := bytes.IndexByte(b[:min(len(b), 9)], end)
	if i < 1 || b[0] == '0' && i > 1 {
		return 0, b, false
	}
	for _, c := range b[:i] {
		if c < '0' || c > '9' {
			return 0, b, false
		}
		n = n*10 + int(c-'0')
	}
	return n, b[i+1:], true
}
