package runner

import (
	"context"
	"encoding/binary"
	"errors"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/consent-ledger/consent-ledger/ledger"
	"github.com/consent-ledger/consent-ledger/ledger/store"
	"github.com/consent-ledger/consent-ledger/projections"
	"github.com/consent-ledger/consent-ledger/projections/internal/memsource"
	"github.com/consent-ledger/consent-ledger/projections/listing"
	"github.com/consent-ledger/consent-ledger/projections/timeline"
	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// tally counts the entries of each token, and an erasure takes it back to one:
// it reads before it writes, and it does not commute, so that an entry folded
// twice, left out or out of order shows.
type tally struct {
	version uint32
	poison  ledger.Position
}

var errPoison = errors.New("cannot be folded")

func (*tally) Name() string      { return "tally" }
func (p *tally) Version() uint32 { return p.version }
func (*tally) ByToken()          {}
func (*tally) Spaces() []byte    { return []byte{store.SpaceState} }
func (p *tally) Apply(b projections.Batch, e *ledger.Entry) error {
	if e.Position == p.poison {
		return errPoison
	}
	if e.Token.IsZero() {
		return nil
	}
	if e.Fact().GetPersonErased() != nil {
		if err := b.DeleteRange(store.PrefixRange(store.StateKey(e.Token, ""))); err != nil {
			return err
		}
	}
	key := store.StateKey(e.Token, ledger.All)
	old, err := b.Get(key)
	if err != nil {
		return err
	}
	var n uint64
	if old != nil {
		n = binary.BigEndian.Uint64(old)
	}
	return b.Set(key, binary.BigEndian.AppendUint64(nil, n*31+uint64(e.Position)))
}

func openDB(t testing.TB, dir string) *store.DB {
	t.Helper()
	db, err := store.Open(filepath.Join(dir, "db"), store.Options{CacheBytes: 8 << 20})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

// started is a runner that runs, and how to stop it.
type started struct {
	*Runner
	t    testing.TB
	stop func() error
}

func start(t testing.TB, db *store.DB, s projections.Source, o Options, change func(*Runner), ps ...projections.Projection) started {
	t.Helper()
	r, err := Open(db, s, ps, o)
	if err != nil {
		t.Fatal(err)
	}
	if change != nil {
		change(r)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	var result error
	go func() { defer close(done); result = r.Run(ctx) }()
	stop := func() error { cancel(); <-done; return result }
	t.Cleanup(func() { _ = stop() })
	return started{r, t, stop}
}

func (s started) wait(at ledger.Position) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := s.WaitApplied(ctx, at); err != nil {
		s.t.Fatal(err)
	}
}

func (s started) hash() map[string]ledger.Hash {
	s.t.Helper()
	h, err := s.StateHash(context.Background())
	if err != nil {
		s.t.Fatal(err)
	}
	return h
}

func fact() *consentv1.Fact {
	return &consentv1.Fact{Sellers: []string{"acme"}, Kind: &consentv1.Fact_ConsentRevoked{ConsentRevoked: &consentv1.ConsentRevoked{}}}
}

func erasure() *consentv1.Fact {
	return &consentv1.Fact{Kind: &consentv1.Fact_PersonErased{PersonErased: &consentv1.PersonErased{}}}
}

func sellerFact(id string) memsource.Declared {
	return memsource.Declared{Fact: &consentv1.Fact{Kind: &consentv1.Fact_SellerRegistered{SellerRegistered: &consentv1.SellerRegistered{Id: id}}}}
}

// history fills a source: many facts about few tokens, erasures and system facts among them.
func history(commits, size int) *memsource.Source {
	s := memsource.New()
	n := 0
	for range commits {
		var c []memsource.Declared
		for range size {
			n++
			switch {
			case n%97 == 0:
				c = append(c, memsource.Declared{Token: memsource.TokenOf(n % 40), Fact: erasure()})
			case n%31 == 0:
				c = append(c, sellerFact("s"+string(rune('a'+n%7))))
			default:
				c = append(c, memsource.Declared{Token: memsource.TokenOf(n % 40), Fact: fact()})
			}
		}
		s.Append(c...)
	}
	return s
}

func all() []projections.Projection {
	return []projections.Projection{&tally{version: 1}, timeline.Projection{}, listing.New()}
}

func folded(t *testing.T, s *memsource.Source) map[string]ledger.Hash {
	t.Helper()
	r := start(t, openDB(t, t.TempDir()), s, Options{}, nil, all()...)
	r.wait(s.Tail())
	return r.hash()
}
