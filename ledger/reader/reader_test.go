package reader_test

import (
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
