package index

import (
	"bytes"
	"testing"
)

func FuzzValues(f *testing.F) {
	f.Add(make([]byte, recordedBytes))
	f.Add(make([]byte, headBytes+keyHeadBytes))
	f.Add(make([]byte, appliedBytes))
	f.Fuzz(func(t *testing.T, b []byte) {
		if r, err := decodeRecorded(b); err == nil && !bytes.Equal(r.encode(nil), b) {
			t.Fatalf("receipt %x", b)
		}
		if p, err := decodePerson(b); err == nil && !bytes.Equal(p.encode(nil), b) {
			t.Fatalf("person %x", b)
		}
		if a, err := decodeApplied(b); err == nil && a.Position > 0 && !bytes.Equal(encodeApplied(a), b) {
			t.Fatalf("applied %x", b)
		}
		if h, err := decodeHolders(b); err == nil && !bytes.Equal(h.encode(nil), b) {
			t.Fatalf("holders %x", b)
		}
		if n, err := decodeSeq(b); err == nil && !bytes.Equal(encodeSeq(n), b) {
			t.Fatalf("sequence %x", b)
		}
	})
}
