package runner

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/consent-ledger/consent-ledger/ledger"
	"github.com/consent-ledger/consent-ledger/ledger/ledgertest"
	"github.com/consent-ledger/consent-ledger/ledger/store"
	"github.com/consent-ledger/consent-ledger/projections"
	"github.com/consent-ledger/consent-ledger/projections/internal/memsource"
	"github.com/consent-ledger/consent-ledger/projections/listing"
	"github.com/consent-ledger/consent-ledger/projections/parties"
	"github.com/consent-ledger/consent-ledger/projections/runner/bulk"
	"github.com/consent-ledger/consent-ledger/projections/suppression"
	"github.com/consent-ledger/consent-ledger/projections/timeline"
	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

// chain keeps the positions of each token's entries, in two spaces. It joins, and
// does so more strictly than any real projection: an entry left out, folded twice
// or out of order shows.
type chain struct{ version uint32 }

func (chain) Name() string      { return "chain" }
func (p chain) Version() uint32 { return p.version }
func (chain) ByToken()          {}
func (chain) Spaces() []byte    { return []byte{store.SpaceAttempt, store.SpaceParty} }

func (chain) Apply(b projections.Batch, e *ledger.Entry) error {
	if e.Token.IsZero() {
		return nil
	}
	for _, space := range (chain{}).Spaces() {
		key := append([]byte{space}, e.Token[:]...)
		if e.Fact().GetPersonErased() != nil {
			if err := b.DeleteRange(store.PrefixRange(key)); err != nil {
				return err
			}
			continue
		}
		if e.Position%7 == 0 && space == store.SpaceParty {
			if err := b.Delete(append(key, 1)); err != nil {
				return err
			}
		}
		key = append(key, byte(e.Position%3))
		old, err := b.Get(key)
		if err != nil {
			return err
		}
		if err := b.Set(key, binary.BigEndian.AppendUint64(bytes.Clone(old), uint64(e.Position))); err != nil {
			return err
		}
	}
	return nil
}

func (chain) Join(values [][]byte) ([]byte, error) { return bytes.Join(values, nil), nil }

func joinedAll() []projections.Projection {
	return []projections.Projection{suppression.Projection{}, timeline.Projection{}, chain{version: 1}, &tallyElsewhere{}, listing.New()}
}

// tallyElsewhere is a projection that cannot be folded in bulk, beside those that can.
type tallyElsewhere struct{ parties.Projection }

func (*tallyElsewhere) Spaces() []byte {
	return []byte{store.SpacePartyNumber, store.SpaceNumberParty, store.SpacePartyFact}
}
func (*tallyElsewhere) Apply(b projections.Batch, e *ledger.Entry) error {
	return b.Set(store.PartyNumberKey(store.PartyID{byte(e.Position)}, e.Token), binary.BigEndian.AppendUint64(nil, uint64(e.Position)))
}

// drawLedger makes a ledger of few tokens: grants, stops, list entries, erasures,
// facts for all sellers, repeated and in any order.
func drawLedger(t *rapid.T) *memsource.Source {
	s := memsource.New()
	tokens := rapid.IntRange(1, 30).Draw(t, "tokens")
	for range rapid.IntRange(1, 30).Draw(t, "commits") {
		var c []memsource.Declared
		for range rapid.IntRange(1, 20).Draw(t, "entries") {
			d := memsource.Declared{Token: memsource.TokenOf(rapid.IntRange(0, tokens).Draw(t, "token")), Fact: drawFact(t)}
			if d.Fact.GetSellerRegistered() != nil {
				d.Token = ledger.Token{}
			}
			c = append(c, d)
		}
		s.Append(c...)
	}
	return s
}

func drawFact(t *rapid.T) *consentv1.Fact {
	channels := rapid.SliceOfN(rapid.SampledFrom([]consentv1.Channel{consentv1.Channel_CHANNEL_SMS, consentv1.Channel_CHANNEL_VOICE_LIVE,
		consentv1.Channel_CHANNEL_ALL}), 1, 2)
	scope := &consentv1.Scope{Programmes: []string{"all"}, Channels: channels.Draw(t, "channels"),
		Purposes: []consentv1.Purpose{consentv1.Purpose_PURPOSE_MARKETING}}
	f := &consentv1.Fact{Source: rapid.SampledFrom([]string{"crm", "web"}).Draw(t, "source"),
		Sellers: rapid.SliceOfN(rapid.SampledFrom([]string{"acme", "zenith"}), 0, 2).Draw(t, "sellers")}
	switch rapid.IntRange(0, 11).Draw(t, "kind") {
	case 0:
		f.Kind = &consentv1.Fact_PersonErased{PersonErased: &consentv1.PersonErased{}}
	case 1:
		f.Kind = &consentv1.Fact_SellerRegistered{SellerRegistered: &consentv1.SellerRegistered{Id: "acme"}}
	case 2, 3:
		f.Kind = &consentv1.Fact_ConsentRevoked{ConsentRevoked: &consentv1.ConsentRevoked{Scope: scope}}
	case 4:
		f.Kind = &consentv1.Fact_DncAdded{DncAdded: &consentv1.DncAdded{Scope: scope}}
	case 5:
		f.Kind = &consentv1.Fact_DncRemoved{DncRemoved: &consentv1.DncRemoved{Scope: scope}}
	case 6:
		f.Kind = &consentv1.Fact_InboundMessage{InboundMessage: &consentv1.InboundMessage{Channel: consentv1.Channel_CHANNEL_SMS}}
	default:
		f.Kind = &consentv1.Fact_ConsentGranted{ConsentGranted: &consentv1.ConsentGranted{Scope: scope, Level: "express_written"}}
	}
	return f
}

// inBulk are options by which a runner folds in bulk whatever a source holds.
func inBulk(s *memsource.Source, o Options) Options {
	o.Through, o.BulkEntriesMin = s.Tail, 1
	return o
}

// foldedOneByOne is the state of a ledger that is folded one entry after another,
// in a database that is emptied first.
func foldedOneByOne(t *testing.T, db *store.DB, s *memsource.Source) map[string]ledger.Hash {
	t.Helper()
	r := startEmpty(t, db, s, Options{}, nil)
	r.wait(s.Tail())
	defer func() { _ = r.stop() }()
	return r.hash()
}

func startEmpty(t *testing.T, db *store.DB, s *memsource.Source, o Options, change func(*Runner)) started {
	t.Helper()
	b := db.NewBatch()
	if err := errors.Join(b.DeleteRange([]byte{0}, []byte{0xff}), b.Commit(false)); err != nil {
		t.Fatal(err)
	}
	return start(t, db, s, o, change, joinedAll()...)
}

// TestBulkIsTheSame: in bulk or one after another, in pieces of any size, the state
// is the same, and so is what follows after it.
func TestBulkIsTheSame(t *testing.T) {
	slow, quick := openDB(t, t.TempDir()), openDB(t, t.TempDir())
	rapid.Check(t, func(rt *rapid.T) {
		s := drawLedger(rt)
		o := bulk.Options{BlockBytes: rapid.SampledFrom([]int{1, 100, 1000, 0}).Draw(rt, "block"),
			ChunkBytes: rapid.SampledFrom([]int{1, 300, 5000, 0}).Draw(rt, "chunk")}
		r := startEmpty(t, quick, s, inBulk(s, Options{Bulk: o}), nil)
		defer func() { _ = r.stop() }()
		r.wait(s.Tail())
		if d := cmp.Diff(foldedOneByOne(t, slow, s), r.hash()); d != "" {
			rt.Fatal(d)
		}
		more := s.Append(memsource.Declared{Token: memsource.TokenOf(0), Fact: erasure()}, memsource.Declared{Token: memsource.TokenOf(1), Fact: fact()})
		r.wait(more)
		want := foldedOneByOne(t, slow, s)
		if d := cmp.Diff(want, r.hash()); d != "" {
			rt.Fatal("what came after:", d)
		}
		if err := r.Rebuild(t.Context(), nil); err != nil {
			rt.Fatal(err)
		}
		if d := cmp.Diff(want, r.hash()); d != "" {
			rt.Fatal("rebuilt:", d)
		}
	})
}

// TestCrashInBulk ends the fold somewhere, by an error or by a copy of its files
// taken in the middle, and goes on from what is left.
func TestCrashInBulk(t *testing.T) {
	errCrash := errors.New("crash")
	slow := openDB(t, t.TempDir())
	rapid.Check(t, func(rt *rapid.T) {
		s, dir := drawLedger(rt), t.TempDir()
		quick, err := store.Open(filepath.Join(dir, "db"), store.Options{})
		if err != nil {
			rt.Fatal(err)
		}
		after := rapid.IntRange(1, 12).Draw(rt, "commits before the crash")
		o := inBulk(s, Options{BatchEntriesMax: rapid.IntRange(1, 60).Draw(rt, "batch")})
		left, commits := t.TempDir(), 0
		r := start(t, quick, s, o, func(r *Runner) {
			r.testingOnlyBeforeCommit = func(ledger.Position) error {
				if commits++; commits != after {
					return nil
				}
				ledgertest.CopyOpen(t, filepath.Join(dir, "db"), filepath.Join(left, "db"))
				return errCrash
			}
		}, joinedAll()...)
		err = r.WaitApplied(context.Background(), s.Tail())
		_ = r.stop()
		if err := errors.Join(quick.Close(), os.RemoveAll(dir)); err != nil {
			rt.Fatal(err)
		}
		if err == nil { // it was done before
			return
		}
		if !errors.Is(err, errCrash) {
			rt.Fatal(err)
		}
		db, err := store.Open(filepath.Join(left, "db"), store.Options{})
		if err != nil {
			rt.Fatal(err)
		}
		again := start(t, db, s, o, nil, joinedAll()...)
		again.wait(s.Tail())
		got := again.hash()
		_ = again.stop()
		if err := errors.Join(db.Close(), os.RemoveAll(left)); err != nil {
			rt.Fatal(err)
		}
		if d := cmp.Diff(foldedOneByOne(t, slow, s), got); d != "" {
			rt.Fatal(d)
		}
	})
}

// TestBulkOfOneProjection: a new version of one is folded in bulk while the others
// stay where they are.
func TestBulkOfOneProjection(t *testing.T) {
	s := history(30, 10)
	db := openDB(t, t.TempDir())
	r := start(t, db, s, Options{}, nil, chain{version: 1}, suppression.Projection{}, timeline.Projection{}, listing.New())
	r.wait(s.Tail())
	want := r.hash()
	_ = r.stop()
	var batches atomic.Int64
	o := inBulk(s, Options{Metrics: Metrics{Batch: func(int, time.Duration) { batches.Add(1) }}})
	again := start(t, db, s, o, nil, chain{version: 2}, suppression.Projection{}, timeline.Projection{}, listing.New())
	again.wait(s.Tail())
	if d := cmp.Diff(want, again.hash()); d != "" {
		t.Error(d)
	}
	if batches.Load() == 0 {
		t.Error("nothing was folded")
	}
}

// TestRebuildTellsItsPhases: a bulk rebuild says when it has read all, how much of that
// is sorted, and never goes back.
func TestRebuildTellsItsPhases(t *testing.T) {
	s := history(60, 20)
	r := startEmpty(t, openDB(t, t.TempDir()), s, inBulk(s, Options{}), nil)
	r.wait(s.Tail())
	seen := map[Phase]bool{}
	last := Progress{}
	err := r.Rebuild(t.Context(), func(p Progress) {
		if p.Phase < last.Phase || p.Through != s.Tail() || p.Phase != Reading && p.Folded != s.Tail() || p.Sorted > p.Sorting {
			t.Errorf("%+v after %+v", p, last)
		}
		last = p
		seen[p.Phase] = true
	})
	if err != nil {
		t.Fatal(err)
	}
	if last.Sorted == 0 || last.Sorted != last.Sorting || !seen[TakingOver] {
		t.Errorf("it ends with %+v; phases %v", last, seen)
	}
	_ = r.stop()
}
