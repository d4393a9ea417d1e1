package ledger

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

// FuzzWire: read by hand or by package proto, any bytes are the same message or
// the same refusal.
func FuzzWire(f *testing.F) {
	golden, err := filepath.Glob("../test/golden/v1/*.binpb")
	if err != nil || len(golden) == 0 {
		f.Fatal("no golden files", err)
	}
	for _, name := range golden {
		raw, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
	}
	e := &consentv1.Entry{Position: 7, RecordedAt: &timestamppb.Timestamp{Seconds: -1, Nanos: 5}, EntryId: []byte("id"), PersonSeq: 1 << 40,
		Fact: &consentv1.Fact{Source: "crm"}, Personal: []*consentv1.SealedPart{{Class: -3, Field: "1", KeyId: []byte("k"), File: []byte("f")}, {}}}
	for _, twist := range [][]byte{nil, protowire.AppendTag(nil, 99, protowire.VarintType), {0x4a, 0}, {0x4a, 2, 0x0a, 0}, {0x12, 0}, {0x12, 2, 8, 1},
		{0x52, 3, 0x12, 1, 0xff}, {0x1a, 0}, {0x08, 0}, {0x5a, 1}, {0x18, 1}, {0x0a, 0}, {0x52, 2, 0x0a, 0}, {0x12, 6, 0x10, 0xff, 0xff, 0xff, 0xff, 0x7f}} {
		raw, err := proto.Marshal(e)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(append(raw, twist...))
		c, err := proto.Marshal(&consentv1.Commit{FirstPosition: 7, Entries: [][]byte{raw, {}}})
		if err != nil {
			f.Fatal(err)
		}
		f.Add(append(c, twist...))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		want := &consentv1.Entry{}
		wantErr := proto.Unmarshal(raw, want)
		got, err := unmarshalEntry(raw)
		if (err == nil) != (wantErr == nil) || err == nil && !same(t, got, want) {
			t.Fatalf("entry %x: %v, %v; want %v, %v", raw, got, err, want, wantErr)
		}
		if written := bytes.Clone(raw); err == nil && len(want.ProtoReflect().GetUnknown()) == 0 && plainParts(want) {
			if written, err = AppendEntry(written, want); err != nil {
				t.Fatalf("entry %x cannot be written: %v", raw, err)
			}
			wantBytes, err := proto.Marshal(want)
			if err != nil || !bytes.Equal(written, append(bytes.Clone(raw), wantBytes...)) {
				t.Fatalf("entry %x is written as %x, want %x, %v", raw, written[len(raw):], wantBytes, err)
			}
		}
		wantCommit, gotCommit := &consentv1.Commit{}, &consentv1.Commit{}
		wantErr = proto.Unmarshal(raw, wantCommit)
		err = unmarshalCommit(raw, gotCommit)
		if (err == nil) != (wantErr == nil) || err == nil && !same(t, gotCommit, wantCommit) {
			t.Fatalf("commit %x: %v, %v; want %v, %v", raw, gotCommit, err, wantCommit, wantErr)
		}
	})
}

// plainParts tells whether there is nothing in what is written by hand that this
// version does not know.
func plainParts(e *consentv1.Entry) bool {
	for _, p := range e.GetPersonal() {
		if len(p.ProtoReflect().GetUnknown()) > 0 {
			return false
		}
	}
	return len(e.GetRecordedAt().ProtoReflect().GetUnknown()) == 0
}

// same compares messages, unknown fields and serialized form included.
func same(t *testing.T, a, b proto.Message) bool {
	t.Helper()
	o := proto.MarshalOptions{Deterministic: true}
	x, err := o.Marshal(a)
	if err != nil {
		t.Fatal(err)
	}
	y, err := o.Marshal(b)
	if err != nil {
		t.Fatal(err)
	}
	return proto.Equal(a, b) && string(x) == string(y)
}

// TestQuickWireIsTaken: every golden entry is read by hand, or this would save nothing.
func TestQuickWireIsTaken(t *testing.T) {
	entries, err := filepath.Glob("../test/golden/v1/entry_*.binpb")
	if err != nil || len(entries) == 0 {
		t.Fatal("no golden files", err)
	}
	for _, name := range entries {
		raw, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if !quickEntry(raw, &consentv1.Entry{}) {
			t.Errorf("%s is left to package proto", filepath.Base(name))
		}
	}
}

// BenchmarkEntry reads a grant by hand and by package proto.
func BenchmarkEntry(b *testing.B) {
	raw, err := os.ReadFile("../test/golden/v1/entry_consent_granted.binpb")
	if err != nil {
		b.Fatal(err)
	}
	b.Run("by hand", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := unmarshalEntry(raw); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("proto", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if err := proto.Unmarshal(raw, &consentv1.Entry{}); err != nil {
				b.Fatal(err)
			}
		}
	})
}
