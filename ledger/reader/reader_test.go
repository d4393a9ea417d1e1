package reader_test

import (
	"errors"
	"path/filepath"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/consent-ledger/consent-ledger/ledger"
	"github.com/consent-ledger/consent-ledger/ledger/index"
	"github.com/consent-ledger/consent-ledger/ledger/memledger"
	"github.com/consent-ledger/consent-ledger/ledger/reader"
	"github.com/consent-ledger/consent-ledger/ledger/seal"
	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

// message makes the commit of one system fact at a position.
func message(t *testing.T, at uint64, id byte) []byte {
	t.Helper()
	var entryID [16]byte
	entryID[0] = id
	raw, err := proto.Marshal(&consentv1.Entry{Position: at, RecordedAt: timestamppb.New(time.Unix(int64(at), 0)), EntryId: entryID[:],
		Idempotency: make([]byte, 32), Content: make([]byte, 32), Fact: &consentv1.Fact{Source: "test"}})
	if err != nil {
		t.Fatal(err)
	}
	data, err := proto.Marshal(&consentv1.Commit{FirstPosition: at, Entries: [][]byte{raw}})
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// TestAPartIsOpenedWithTheKeyItNames: a writer that lost its place may leave a second
// key of a person's class behind, and nobody can tell from the keys which one counts.
func TestAPartIsOpenedWithTheKeyItNames(t *testing.T) {
	keys, err := seal.Create(filepath.Join(t.TempDir(), "keys"))
	if err != nil {
		t.Fatal(err)
	}
	ix, err := index.Open(filepath.Join(t.TempDir(), "index"), index.Options{Ledger: keys.LedgerID(), Live: keys.Live})
	if err != nil {
		t.Fatal(err)
	}
	defer ix.Close()
	r := reader.New(memledger.New(func(err error) { t.Error(err) }), ix, keys, nil)

	fact := &consentv1.Fact{Kind: &consentv1.Fact_ConsentRevoked{ConsentRevoked: &consentv1.ConsentRevoked{Words: "stop"}}}
	clear := proto.CloneOf(fact)
	part := seal.Take(clear)[0]
	person := seal.DrawPerson()
	for i := range 2 {
		own, other := seal.DrawKey(person, part.Class), seal.DrawKey(person, part.Class)
		var wrapped consentv1.WrappedKeys
		for _, k := range []seal.PersonKey{own, other} {
			w, err := keys.Wrap(k)
			if err != nil {
				t.Fatal(err)
			}
			wrapped.Keys = append(wrapped.Keys, w)
		}
		if err := ix.ApplyKeys(uint64(i)+1, &wrapped); err != nil {
			t.Fatal(err)
		}
		for j, k := range []seal.PersonKey{own, other} { // one of them has the smaller name
			id := ledger.EntryID{byte(i), byte(j)}
			s, err := seal.SealPart(k, id, part)
			if err != nil {
				t.Fatal(err)
			}
			e := &ledger.Entry{ID: id, Msg: &consentv1.Entry{EntryId: id[:], Person: person[:], Fact: clear, Personal: []*consentv1.SealedPart{s}}}
			if got, erased, err := r.Open(t.Context(), e); err != nil || erased || !proto.Equal(got, fact) {
				t.Errorf("a part sealed with key %d of %d: %v, erased %t, %v", j, i, got, erased, err)
			}
			s.KeyId = []byte{1}
			if _, _, err := r.Open(t.Context(), e); !errors.Is(err, ledger.ErrDamaged) {
				t.Errorf("a part that names no key: %v", err)
			}
		}
	}
}

// TestAnOfferIsNothingUntilTheStreamHoldsIt: readers see what was read from the
// stream, whatever the writer meant to send.
func TestAnOfferIsNothingUntilTheStreamHoldsIt(t *testing.T) {
	keys, err := seal.Create(filepath.Join(t.TempDir(), "keys"))
	if err != nil {
		t.Fatal(err)
	}
	ix, err := index.Open(filepath.Join(t.TempDir(), "index"), index.Options{Ledger: keys.LedgerID()})
	if err != nil {
		t.Fatal(err)
	}
	defer ix.Close()
	log := memledger.New(func(error) {}) // the entries here are not those of a writer
	r := reader.New(log, ix, keys, nil)

	offered := []*ledger.Entry{{Position: 1}}
	r.Offer(1, message(t, 1, 1), offered)                        // what the stream then holds
	r.Offer(2, message(t, 2, 2), []*ledger.Entry{{Position: 2}}) // another writer was first
	for seq := uint64(100); seq < 120; seq++ {                   // never sent
		r.Offer(seq, message(t, seq, 3), []*ledger.Entry{{Position: ledger.Position(seq)}})
	}
	for i, data := range [][]byte{message(t, 1, 1), message(t, 2, 9), message(t, 3, 3)} {
		if _, err := log.Append(t.Context(), uint64(i), data); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 { // the second reader finds what the first one kept
		at := ledger.Position(0)
		for entries, err := range r.Entries(t.Context(), 0) {
			if err != nil {
				t.Fatal(err)
			}
			switch at++; {
			case len(entries) != 1 || entries[0].Position != at:
				t.Fatalf("position %d: %v", at, entries)
			case at == 1 && entries[0] != offered[0]:
				t.Error("a commit that was offered was decoded")
			case at == 2 && entries[0].ID[0] != 9:
				t.Error("what another writer wrote was answered with what was offered")
			}
			if at == 3 {
				break
			}
		}
	}
}
