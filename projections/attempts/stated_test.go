package attempts

import (
	"bytes"
	"fmt"
	"sync"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/consent-ledger/consent-ledger/ledger"
	"github.com/consent-ledger/consent-ledger/ledger/proof"
	"github.com/consent-ledger/consent-ledger/ledger/seal"
	"github.com/consent-ledger/consent-ledger/projections/rules"
	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

// decidedCalls makes decisions to keep, each with a statement of its own, whose text
// is given beside it.
func decidedCalls(t testing.TB, e *env, batch, n int) (ds []Decided, texts []string) {
	t.Helper()
	for i := range n {
		id, err := NewRecordID()
		if err != nil {
			t.Error(err)
			return nil, nil
		}
		s := proof.Statement{ID: id, DecidedAt: e.now, Number: proof.CommitNumber([32]byte{byte(i)}, number(1)),
			Question: &consentv1.Question{Seller: acme, Channel: consentv1.Channel_CHANNEL_SMS,
				Purpose: consentv1.Purpose_PURPOSE_MARKETING, Subject: fmt.Sprint("b", batch)},
			Decision: capped(rules.Input{At: e.now})}
		text, err := s.Text()
		if err != nil {
			t.Error(err)
			return nil, nil
		}
		ds = append(ds, Decided{ID: id, About: testCall(t, e.keys, 1, ""), Decision: s.Decision, Statement: ledger.LeafHash([]byte(text))})
		texts = append(texts, text)
	}
	return ds, texts
}

// TestEveryStatementIsUnderItsMessage: single decisions and batches at once, beside
// decisions nobody wants a receipt of and reservations. Each receipt verifies, and the
// message it names holds its statement's leaf in the record of its id.
func TestEveryStatementIsUnderItsMessage(t *testing.T) {
	e := newEnv(t).start()
	signing, err := seal.NewSigning("ledger.example.com/test", bytes.Repeat([]byte{9}, 32))
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	answers := map[string]proof.Answer{} // by id
	keep := func(batch, n int) {
		ds, texts := decidedCalls(t, e, batch, n)
		if batch%3 == 0 {
			ds[n/2].Statement = ledger.Hash{} // no receipt of this one
		}
		out, err := e.k.Keep(t.Context(), ds)
		if err != nil {
			t.Error(err)
			return
		}
		for i, o := range out {
			if ds[i].Statement == (ledger.Hash{}) {
				if o.Stated != nil {
					t.Errorf("batch %d: a receipt nobody asked for", batch)
				}
				continue
			}
			signed, err := o.Stated.Sign(consentv1.Durability_DURABILITY_FSYNC, signing.Receipts)
			if err != nil {
				t.Error(err)
				return
			}
			r, err := signed.Receipt(o.Place, texts[i], nil)
			if err != nil {
				t.Error(err)
				return
			}
			a, err := r.Check(signing.Receipts.Verifier)
			if err != nil || a.Batch.Sequence != o.Sequence || !a.Batch.RecordedAt.Equal(o.RecordedAt) {
				t.Errorf("batch %d, decision %d: %+v, %v", batch, i, a.Batch, err)
			}
			mu.Lock()
			answers[string(ds[i].ID[:])] = a
			mu.Unlock()
		}
	}
	var wg sync.WaitGroup
	for b := range 24 {
		wg.Go(func() { keep(b, []int{1, 1, 1, 2, 40, 700}[b%6]) })
		wg.Go(func() { e.reserve(2, fmt.Sprint("r", b)) })
	}
	wg.Wait()
	found := 0
	for i, m := range e.seen {
		var b consentv1.AttemptBatch
		if err := proto.Unmarshal(m, &b); err != nil {
			t.Fatal(err)
		}
		var leaves []ledger.Hash
		for _, r := range b.GetRecords() {
			if len(r.GetStatement()) == 0 {
				continue
			}
			leaf := ledger.Hash(r.GetStatement())
			a := answers[string(r.GetId())]
			text, err := a.Text()
			if err != nil || ledger.LeafHash([]byte(text)) != leaf || a.Batch.Sequence != uint64(i)+1 {
				t.Fatalf("message %d holds a statement that no receipt of it has: %v", i+1, err)
			}
			leaves, found = append(leaves, leaf), found+1
		}
		if len(leaves) == 0 {
			continue
		}
		// The message alone gives the same root: what was signed can be made again.
		s, err := proof.SignDecisions(proof.Decisions{Sequence: uint64(i) + 1, RecordedAt: b.GetRecordedAt().AsTime(),
			Durability: consentv1.Durability_DURABILITY_FSYNC}, leaves, signing.Receipts)
		if err != nil {
			t.Fatal(err)
		}
		for _, a := range answers {
			if a.Batch.Sequence == uint64(i)+1 && a.Batch != s.Decisions {
				t.Fatalf("message %d: signed were %+v, it holds %+v", i+1, a.Batch, s.Decisions)
			}
		}
	}
	if found != len(answers) || found == 0 {
		t.Errorf("%d receipts, %d statements in the stream", len(answers), found)
	}
}

// TestNoReceiptOfWhatIsNotKept: where a message does not become durable there is
// nothing to sign.
func TestNoReceiptOfWhatIsNotKept(t *testing.T) {
	e := newEnv(t).start()
	if err := e.end(); err != nil {
		t.Fatal(err)
	}
	ds, _ := decidedCalls(t, e, 0, 1)
	if out, err := e.k.Keep(t.Context(), ds); err == nil || out != nil {
		t.Errorf("kept after the end: %+v", out)
	}
}
