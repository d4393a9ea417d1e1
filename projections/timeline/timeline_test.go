package timeline

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/types/known/timestamppb"
	"pgregory.net/rapid"

	"github.com/consent-ledger/consent-ledger/ledger"
	"github.com/consent-ledger/consent-ledger/ledger/store"
	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

// storeBatch is a Batch without reads over a real store: Apply only writes.
type storeBatch struct {
	*store.Batch
	*store.DB
}

func (b storeBatch) DeleteRange(lo, hi []byte) error { return b.Batch.DeleteRange(lo, hi) }

func token(b byte) ledger.Token { return ledger.Token{ledger.TokenVersion, b} }

func entry(at ledger.Position, t ledger.Token, f *consentv1.Fact) *ledger.Entry {
	return &ledger.Entry{
		Position: at, Token: t, RecordedAt: time.Unix(int64(at), 5).UTC(),
		ID: ledger.EntryID{byte(at)}, Leaf: ledger.Hash{byte(at), 1}, Msg: &consentv1.Entry{Fact: f},
	}
}

func revoked(sellers ...string) *consentv1.Fact {
	return &consentv1.Fact{
		Sellers: sellers, Source: "crm", Earliest: timestamppb.New(time.Unix(1, 2)), Latest: timestamppb.New(time.Unix(3, 4)),
		Kind: &consentv1.Fact_ConsentRevoked{ConsentRevoked: &consentv1.ConsentRevoked{}},
	}
}

func erased() *consentv1.Fact {
	return &consentv1.Fact{Kind: &consentv1.Fact_PersonErased{PersonErased: &consentv1.PersonErased{}}}
}

func fold(t *testing.T, entries ...*ledger.Entry) *store.DB {
	t.Helper()
	db, err := store.Open(t.TempDir()+"/db", store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	b := db.NewBatch()
	for _, e := range entries {
		if err := (Projection{}).Apply(storeBatch{b, db}, e); err != nil {
			t.Fatal(err)
		}
	}
	if err := b.Commit(false); err != nil {
		t.Fatal(err)
	}
	return db
}

func positions(items []Item) (out []ledger.Position) {
	for _, it := range items {
		out = append(out, it.Position)
	}
	return out
}

func TestItemTellsTheStory(t *testing.T) {
	db := fold(t, entry(7, token(1), revoked("acme", "beta")))
	items, more, err := Page(db, token(1), 0, 0)
	if err != nil || more {
		t.Fatal(more, err)
	}
	want := []Item{{
		Position: 7, RecordedAt: time.Unix(7, 5).UTC(), Earliest: time.Unix(1, 2).UTC(), Latest: time.Unix(3, 4).UTC(),
		Kind: "consent_revoked", Sellers: []string{"acme", "beta"}, Source: "crm",
		ID: ledger.EntryID{7}, Leaf: ledger.Hash{7, 1},
	}}
	if d := cmp.Diff(want, items); d != "" {
		t.Error(d)
	}
}

func TestErasureIsABarrierForItsToken(t *testing.T) {
	db := fold(t,
		entry(1, token(1), revoked()), entry(2, token(2), revoked()), entry(3, token(1), revoked()),
		entry(4, ledger.Token{}, revoked()), // a system fact has no place here
		entry(5, token(1), erased()), entry(6, token(1), revoked()))
	for tok, want := range map[byte][]ledger.Position{1: {5, 6}, 2: {2}, 3: nil} {
		items, _, err := Page(db, token(tok), 0, 0)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(want, positions(items)); d != "" {
			t.Errorf("token %d: %s", tok, d)
		}
	}
}

func TestPages(t *testing.T) {
	var entries []*ledger.Entry
	for at := ledger.Position(1); at <= 5; at++ {
		entries = append(entries, entry(at, token(9), revoked()))
	}
	db := fold(t, entries...)
	for _, c := range []struct {
		after ledger.Position
		limit int
		want  []ledger.Position
		more  bool
	}{
		{0, 2, []ledger.Position{1, 2}, true},
		{2, 2, []ledger.Position{3, 4}, true},
		{4, 2, []ledger.Position{5}, false},
		{3, 2, []ledger.Position{4, 5}, false},
		{5, 2, nil, false},
	} {
		t.Run(fmt.Sprintf("after %d", c.after), func(t *testing.T) {
			items, more, err := Page(db, token(9), c.after, c.limit)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(c.want, positions(items)); d != "" || more != c.more {
				t.Errorf("more %t: %s", more, d)
			}
		})
	}
}

func TestEncodingRoundTrips(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		at := rapid.Custom(func(t *rapid.T) time.Time {
			if ns := rapid.Int64().Draw(t, "ns"); ns != 0 {
				return time.Unix(0, ns).UTC()
			}
			return time.Time{}
		})
		want := Item{
			RecordedAt: at.Draw(t, "recorded"), Earliest: at.Draw(t, "earliest"), Latest: at.Draw(t, "latest"),
			Kind: ledger.Kind(rapid.String().Draw(t, "kind")), Source: rapid.String().Draw(t, "source"),
			ID: ledger.EntryID{1, 2}, Leaf: ledger.Hash{3},
		}
		if s := rapid.SliceOf(rapid.String()).Draw(t, "sellers"); len(s) > 0 {
			want.Sellers = s
		}
		got, err := decode(encode(want))
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Fatal(d)
		}
	})
}

func FuzzDecode(f *testing.F) {
	f.Add(encode(itemOf(entry(1, token(1), revoked("acme")))))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		it, err := decode(b)
		if err != nil {
			return
		}
		again, err := decode(encode(it))
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(it, again); d != "" {
			t.Fatal(d)
		}
	})
}
