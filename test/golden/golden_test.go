// Package golden keeps stored messages as released versions wrote them, and
// proves that today's program still reads them: a ledger is read for as long as
// it lives. Below v1/:
//
//	keys/               the keys of a ledger that holds nothing but these files
//	entry_KIND.binpb    the stored bytes of one entry of each kind of fact
//	entry_KIND.json     what is in them, and what was declared
//	NAME.binpb, .json   every other stored message, and what is in it
//
// `go test ./test/golden -update` writes files that are missing, as for a new
// kind of fact. It never changes one that exists: bytes that were stored cannot
// be stored differently afterwards. A format that must change begins v2/.
package golden_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"

	"github.com/consent-ledger/consent-ledger/ledger"
	"github.com/consent-ledger/consent-ledger/ledger/declare"
	"github.com/consent-ledger/consent-ledger/ledger/seal"
	"github.com/consent-ledger/consent-ledger/projections/attempts"
	"github.com/consent-ledger/consent-ledger/projections/suppression"
	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

var update = flag.Bool("update", false, "write the fixtures that are missing")

const dir = "v1"

// note is the readable side of a fixture.
type note struct {
	// Message is the stored message in protojson.
	Message json.RawMessage `json:"message"`
	// Declared is the fact as declared, Canonical its canonical form 1 in hex.
	Declared  json.RawMessage `json:"declared,omitempty"`
	Canonical string          `json:"canonical,omitempty"`
	// Leaf is the entry's Merkle leaf in hex, Number what its token stands for.
	Leaf   string `json:"leaf,omitempty"`
	Number string `json:"number,omitempty"`
	// Opened are the sealed parts by field.
	Opened map[string]string `json:"opened,omitempty"`
}

// TestEntries: each kind's entry says what it said, its token and parts open,
// and what was declared still has the hashes that tell a retry from a conflict.
func TestEntries(t *testing.T) {
	keys := keyring(t)
	persons := personKeys(t, keys)
	for _, kind := range ledger.Kinds() {
		t.Run(string(kind), func(t *testing.T) {
			raw, want := fixture(t, "entry_"+string(kind), func() (proto.Message, note) { return newEntry(t, keys, persons, kind) })
			e, err := ledger.DecodeEntry(raw, keys)
			if err != nil {
				t.Fatal(err)
			}
			same(t, e.Msg, want.Message)
			if got := ledger.KindOf(e.Msg.GetFact()); got != kind {
				t.Errorf("kind %q", got)
			}
			if e.Leaf.String() != want.Leaf {
				t.Errorf("leaf %s, want %s", e.Leaf, want.Leaf)
			}
			number := ""
			if !e.Token.IsZero() {
				if number, err = keys.Number(e.Exchange); err != nil {
					t.Error(err)
				}
			}
			if number != want.Number {
				t.Errorf("the token stands for %q, want %q", number, want.Number)
			}
			opened := open(t, keys, persons, e)
			if diff := cmp.Diff(want.Opened, texts(opened)); diff != "" {
				t.Errorf("opened (-want +got):\n%s", diff)
			}
			declaredAgain(t, keys, e.Msg, opened, want)
		})
	}
}

// open opens all sealed parts of an entry.
func open(t *testing.T, keys *seal.Keyring, persons map[consentv1.PersonalClass]seal.PersonKey, e *ledger.Entry) (parts []seal.Part) {
	t.Helper()
	for _, s := range e.Msg.GetPersonal() {
		k := persons[s.GetClass()]
		if len(e.Msg.GetPerson()) == 0 {
			k = keys.SystemKey(s.GetClass())
		}
		o, err := seal.OpenPart(k, e.ID, s)
		if err != nil {
			t.Fatal(err)
		}
		parts = append(parts, seal.Part{Class: s.GetClass(), Field: s.GetField(), Value: o.Value})
	}
	return parts
}

func texts(parts []seal.Part) map[string]string {
	out := map[string]string{}
	for _, p := range parts {
		out[p.Field] = string(p.Value)
	}
	return out
}

// declaredAgain puts the entry together as it was declared, and hashes that.
func declaredAgain(t *testing.T, keys *seal.Keyring, m *consentv1.Entry, opened []seal.Part, want note) {
	t.Helper()
	fact := proto.CloneOf(m.GetFact())
	if err := seal.Restore(fact, opened); err != nil {
		t.Fatal(err)
	}
	asDeclared(fact)
	same(t, fact, want.Declared)
	canonical := declare.Canonical(fact)
	if got := hex.EncodeToString(canonical); got != want.Canonical {
		t.Errorf("canonical form 1 is\n%s, want\n%s", got, want.Canonical)
	}
	if got := keys.ContentMAC(canonical); !bytes.Equal(got[:], m.GetContent()) {
		t.Errorf("content hash %s, stored %x", got, m.GetContent())
	}
	if got := keys.Idempotency(fact.GetSource(), fact.GetEventId()); !bytes.Equal(got[:], m.GetIdempotency()) {
		t.Errorf("idempotency key %s, stored %x", got, m.GetIdempotency())
	}
}

// TestCommit: a stored commit has the entries' exact bytes, and is written with
// the same bytes today, which is how a lost answer is settled.
func TestCommit(t *testing.T) {
	keys := keyring(t)
	raw, want := fixture(t, "commit", func() (proto.Message, note) { return newCommit(t), note{} })
	var c consentv1.Commit
	decode(t, raw, &c)
	same(t, &c, want.Message)
	sameBytes(t, &c, raw)
	entries, err := ledger.DecodeCommit(ledger.Message{Seq: 1, Data: raw}, keys)
	if err != nil {
		t.Fatal(err)
	}
	for i, kind := range committed {
		stored, err := os.ReadFile(filepath.Join(dir, "entry_"+kind+".binpb"))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(stored, entries[i].Bytes) {
			t.Errorf("entry %d is not entry_%s.binpb", i, kind)
		}
	}
}

// TestWrappedKeys: keys of persons unwrap.
func TestWrappedKeys(t *testing.T) {
	keys := keyring(t)
	raw, want := fixture(t, "wrapped_keys", func() (proto.Message, note) { return newWrappedKeys(t, keys), note{} })
	var w consentv1.WrappedKeys
	decode(t, raw, &w)
	same(t, &w, want.Message)
	sameBytes(t, &w, raw)
	for _, k := range w.GetKeys() {
		if _, err := keys.Unwrap(k); err != nil {
			t.Error(err)
		}
	}
}

// TestSealedPart: a part kept in a file beside the ledger, as large words are.
func TestSealedPart(t *testing.T) {
	raw, want := fixture(t, "sealed_part_in_file", func() (proto.Message, note) {
		return filled(&consentv1.SealedPart{Sealed: nil}, "sealed"), note{}
	})
	var p consentv1.SealedPart
	decode(t, raw, &p)
	same(t, &p, want.Message)
	sameBytes(t, &p, raw)
}

// TestFeedBatch: a stored change of a seller's feed; its token is the number's.
func TestFeedBatch(t *testing.T) {
	keys := keyring(t)
	raw, want := fixture(t, "feed_batch", func() (proto.Message, note) { return newFeedBatch(t, keys), note{Number: number} })
	var b consentv1.FeedBatch
	decode(t, raw, &b)
	same(t, &b, want.Message)
	sameBytes(t, &b, raw)
	x := keys.ExchangeOfFeed(b.GetSeller(), ledger.FeedToken(b.GetUpdates()[0].GetToken()))
	if got, err := keys.Number(x); err != nil || got != want.Number {
		t.Errorf("the feed token stands for %q, %v; want %q", got, err, want.Number)
	}
}

// TestStoredInboxItem: what could not be understood opens.
func TestStoredInboxItem(t *testing.T) {
	keys := keyring(t)
	raw, want := fixture(t, "stored_inbox_item", func() (proto.Message, note) { return newInboxItem(t, keys) })
	var item consentv1.StoredInboxItem
	decode(t, raw, &item)
	same(t, &item, want.Message)
	sameBytes(t, &item, raw)
	plain, err := keys.OpenBlob(inboxContext, item.GetSealed())
	if err != nil {
		t.Fatal(err)
	}
	var req consentv1.RecordRequest
	decode(t, plain, &req)
	same(t, req.GetFact(), want.Declared)
}

// TestAttemptBatch: a stored batch of attempts has the same bytes today, and what
// is sealed in it opens.
func TestAttemptBatch(t *testing.T) {
	keys := keyring(t)
	raw, want := fixture(t, "attempt_batch", func() (proto.Message, note) { return newAttemptBatch(t, keys), note{Number: number} })
	var b consentv1.AttemptBatch
	decode(t, raw, &b)
	same(t, &b, want.Message)
	sameBytes(t, &b, raw)
	r := b.GetRecords()[0]
	x, _, err := keys.OpenToken(&consentv1.Entry{EntryId: r.GetId(), Token: r.GetToken()})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := keys.Number(x); err != nil || got != want.Number {
		t.Errorf("the token stands for %q, %v; want %q", got, err, want.Number)
	}
	if got := attempts.ReferenceKey(keys, seller, "call-1"); !bytes.Equal(got[:], r.GetReference()) {
		t.Errorf("reference key %s, stored %x", got, r.GetReference())
	}
	if got, err := attempts.OpenCallerID(keys, r); err != nil || got != callerID {
		t.Errorf("caller id %q, %v", got, err)
	}
}

// TestSuppressionState: a stored state is canonical and has the same bytes today:
// the state hash of a projection is over them.
func TestSuppressionState(t *testing.T) {
	raw, want := fixture(t, "suppression_state", func() (proto.Message, note) { return newState(t), note{} })
	s, err := suppression.Decode(raw)
	if err != nil {
		t.Fatal(err)
	}
	same(t, s, want.Message)
	again, err := suppression.Encode(s)
	if err != nil || !bytes.Equal(again, raw) {
		t.Errorf("today's bytes differ: %x, %v", again, err)
	}
}

// TestNothingElse: a fixture that no test reads proves nothing.
func TestNothingElse(t *testing.T) {
	known := map[string]bool{"keys": true}
	for _, name := range []string{"commit", "wrapped_keys", "sealed_part_in_file", "feed_batch", "stored_inbox_item", "suppression_state", "attempt_batch"} {
		known[name+".binpb"], known[name+".json"] = true, true
	}
	for _, kind := range ledger.Kinds() {
		known["entry_"+string(kind)+".binpb"], known["entry_"+string(kind)+".json"] = true, true
	}
	files, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if !known[f.Name()] {
			t.Errorf("%s: nobody reads it; was a kind renamed? Its entries are stored for ever", f.Name())
		}
	}
}

// fixture reads a fixture. With -update it makes one that is not there.
func fixture(t *testing.T, name string, make func() (proto.Message, note)) ([]byte, note) {
	t.Helper()
	binary, readable := filepath.Join(dir, name+".binpb"), filepath.Join(dir, name+".json")
	if _, err := os.Stat(binary); *update && errors.Is(err, fs.ErrNotExist) {
		m, n := make()
		write(t, binary, readable, m, n)
	}
	raw, err := os.ReadFile(binary)
	if err != nil {
		t.Fatalf("%v; for a new stored message run: go test ./test/golden -update", err)
	}
	text, err := os.ReadFile(readable)
	if err != nil {
		t.Fatal(err)
	}
	var n note
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&n); err != nil {
		t.Fatalf("%s: %v", readable, err)
	}
	return raw, n
}

// write stores a new fixture; O_EXCL, so that none is ever overwritten.
func write(t *testing.T, binary, readable string, m proto.Message, n note) {
	t.Helper()
	raw := marshal(t, m)
	n.Message = jsonOf(t, m)
	if e, ok := m.(*consentv1.Entry); ok && e != nil {
		n.Leaf = ledger.LeafHash(raw).String()
	}
	text, err := json.MarshalIndent(n, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	for path, data := range map[string][]byte{binary: raw, readable: append(text, '\n')} {
		f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
		if err != nil {
			t.Fatal(err)
		}
		_, err = f.Write(data)
		if err := errors.Join(err, f.Close()); err != nil {
			t.Fatal(err)
		}
	}
}

// same compares a message with its protojson, field by field, and finds fields
// that only the bytes know.
func same(t *testing.T, got proto.Message, want json.RawMessage) {
	t.Helper()
	m := got.ProtoReflect().New().Interface()
	if err := protojson.Unmarshal(want, m); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(m, got, protocmp.Transform()); diff != "" {
		t.Errorf("%s (-want +got):\n%s", got.ProtoReflect().Descriptor().Name(), diff)
	}
}

// sameBytes: today's encoder gives the stored bytes.
func sameBytes(t *testing.T, m proto.Message, stored []byte) {
	t.Helper()
	if got := marshal(t, m); !bytes.Equal(got, stored) {
		t.Errorf("today's bytes differ:\n%x\nstored\n%x", got, stored)
	}
}

func marshal(t *testing.T, m proto.Message) []byte {
	t.Helper()
	raw, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func decode(t *testing.T, raw []byte, m proto.Message) {
	t.Helper()
	if err := proto.Unmarshal(raw, m); err != nil {
		t.Fatal(err)
	}
}

// jsonOf writes protojson without the blanks it varies on purpose.
func jsonOf(t *testing.T, m proto.Message) json.RawMessage {
	t.Helper()
	raw, err := protojson.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := json.Compact(&b, raw); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// keyring opens the fixture's keys from a copy, with the modes that git does not keep.
func keyring(t *testing.T) *seal.Keyring {
	t.Helper()
	stored := filepath.Join(dir, "keys")
	if _, err := os.Stat(stored); *update && errors.Is(err, fs.ErrNotExist) {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		if _, err := seal.Create(stored); err != nil {
			t.Fatal(err)
		}
	}
	own := filepath.Join(t.TempDir(), "keys")
	if err := os.Mkdir(own, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{seal.KEKFile, seal.KeyringFile, seal.EpochsFile} {
		raw, err := os.ReadFile(filepath.Join(stored, name))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(own, name), raw, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	keys, err := seal.Open(own)
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

// personKeys unwraps the keys of the one person in the fixtures.
func personKeys(t *testing.T, keys *seal.Keyring) map[consentv1.PersonalClass]seal.PersonKey {
	t.Helper()
	raw, _ := fixture(t, "wrapped_keys", func() (proto.Message, note) { return newWrappedKeys(t, keys), note{} })
	var w consentv1.WrappedKeys
	decode(t, raw, &w)
	out := map[consentv1.PersonalClass]seal.PersonKey{}
	for _, wrapped := range w.GetKeys() {
		k, err := keys.Unwrap(wrapped)
		if err != nil {
			t.Fatal(err)
		}
		out[k.Class] = k
	}
	return out
}

// TestFilled shows that the fixtures leave no field out: what this version can
// store of each kind is in its fixture when it is made.
func TestFilled(t *testing.T) {
	for _, kind := range ledger.Kinds() {
		if missing := unset(newFact(kind).ProtoReflect(), ""); len(missing) > 0 {
			t.Errorf("%s: not set: %s", kind, strings.Join(missing, ", "))
		}
	}
}
