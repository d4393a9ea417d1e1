package bench

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/consent-ledger/consent-ledger/ledger"
	"github.com/consent-ledger/consent-ledger/ledger/seal"
	"github.com/consent-ledger/consent-ledger/ledger/store"
	"github.com/consent-ledger/consent-ledger/projections/rules/places"
	"github.com/consent-ledger/consent-ledger/projections/suppression"
	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

// madePersons are persons whose suppression state is written straight into the
// projections of a ledger that nobody has open: ten million come in a minute, and
// through the ledger in ten. What folds a row is the projection's own fold; the
// ledger holds no entry of them, so nothing may be rebuilt from it.
type madePersons struct {
	codes []int // American area codes that lie somewhere
	n     int
	at    time.Time // all facts are of the months before
}

func newMadePersons(n int) *madePersons {
	codes := slices.DeleteFunc(americanAreaCodes(), func(code int) bool { // toll-free is no person's
		return len(places.OfNumber(fmt.Sprintf("+1%d5550100", code)).Regions) > 10
	})
	return &madePersons{codes: codes, n: n, at: time.Now()}
}

// Persons of one area code have the lines from madeFirst on, madeStep apart, round and round:
// both madeStep and madeLines are prime to each other, so that none comes twice.
const (
	madeFirst = 2_000_000
	madeLines = 7_999_999
	madeStep  = 7919
	madeBack  = 433_388 // madeStep times it is 1, modulo madeLines
)

// number is that of person i. From n on they are nobody's.
func (m *madePersons) number(i int) string {
	line := madeFirst + i/len(m.codes)*madeStep%madeLines
	return "+1" + strconv.Itoa(m.codes[i%len(m.codes)]) + strconv.Itoa(line)
}

// owns tells whether a number of ten digits, of the area code with a place among codes, is a person's.
func (m *madePersons) owns(place, number int) bool {
	line := number%1e7 - madeFirst
	return line < madeLines && line*madeBack%madeLines*len(m.codes)+place < m.n
}

// token is where the state of a person lies.
type madeToken struct {
	token  ledger.Token
	person int32
}

// write makes the rows of all persons in a ledger's folder and waits until the
// database has sorted itself.
func (m *madePersons) write(ctx context.Context, dir string, progress io.Writer) (err error) {
	began := time.Now()
	keys, err := seal.Open(filepath.Join(dir, "keys"))
	if err != nil {
		return err
	}
	tokens, err := m.tokens(keys)
	if err != nil {
		return err
	}
	db, err := store.Open(filepath.Join(dir, "projections"), store.Options{NoLog: true})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	if err := m.fill(ctx, db, tokens); err != nil {
		return err
	}
	if err := db.Flush(); err != nil {
		return err
	}
	for db.CompactionDebtBytes() > 0 && time.Since(began) < 5*time.Minute {
		select {
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	fmt.Fprintf(progress, "consent: state of %d persons made in %.1f s, %d MB on disk\n", m.n, time.Since(began).Seconds(), folderBytes(filepath.Join(dir, "projections"))>>20)
	return nil
}

// tokens are those of all persons, in the order of the database.
func (m *madePersons) tokens(keys *seal.Keyring) ([]madeToken, error) {
	out := make([]madeToken, m.n)
	var g errgroup.Group
	each := m.n/runtime.GOMAXPROCS(0) + 1
	for first := 0; first < m.n; first += each {
		g.Go(func() error {
			for i := first; i < min(first+each, m.n); i++ {
				x, err := keys.Exchange(m.number(i))
				if err != nil {
					return err
				}
				out[i] = madeToken{keys.Token(x), int32(i)}
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	slices.SortFunc(out, func(a, b madeToken) int { return bytes.Compare(a.token[:], b.token[:]) })
	return out, nil
}

// fill writes the rows in order, so that hardly a table has to be written twice.
func (m *madePersons) fill(ctx context.Context, db *store.DB, tokens []madeToken) error {
	const rows = 8192
	g, ctx := errgroup.WithContext(ctx)
	var next atomic.Int64
	for range runtime.GOMAXPROCS(0) {
		g.Go(func() error {
			for ctx.Err() == nil {
				first := int(next.Add(rows)) - rows
				if first >= len(tokens) {
					return nil
				}
				b := db.NewBatch()
				for _, t := range tokens[first:min(first+rows, len(tokens))] {
					if err := m.row(b, t); err != nil {
						return errors.Join(err, b.Close())
					}
				}
				if err := b.Commit(false); err != nil {
					return err
				}
			}
			return context.Cause(ctx)
		})
	}
	return g.Wait()
}

// row writes what is known of a person.
func (m *madePersons) row(b *store.Batch, t madeToken) error {
	for seller, s := range m.states(int(t.person)) {
		raw, err := suppression.Encode(s)
		if err != nil {
			return err
		}
		if err := b.Set(store.StateKey(t.token, seller), raw); err != nil {
			return err
		}
	}
	return nil
}

// states folds what is on record of a person, of twenty: fourteen agreed to be
// texted and called, three of whom asked to stop later, one of whom told where they
// are and one of whom has a line that was looked up; two agreed to be texted; three
// have bought something, one of whom is on the seller's own list.
func (m *madePersons) states(person int) suppression.States {
	r := rand.New(rand.NewPCG(uint64(person), 20261124))
	states := suppression.States{}
	when := m.at.Add(-time.Hour * time.Duration(24*90+r.IntN(24*300)))
	say := func(f *consentv1.Fact) {
		when = when.Add(time.Duration(r.Int64N(int64(14 * 24 * time.Hour))))
		f.Sellers, f.Source = []string{"acme"}, "crm"
		if f.GetLineTypeChecked() != nil {
			f.Sellers = nil // true of the number, whoever asks
		}
		f.Earliest, f.Latest = timestamppb.New(when), timestamppb.New(when)
		states.Fold(suppression.Input{Content: randomBytes(r, 32), Fact: f})
	}
	agreed := func(channels ...consentv1.Channel) {
		say(&consentv1.Fact{Kind: &consentv1.Fact_ConsentGranted{ConsentGranted: &consentv1.ConsentGranted{Level: "express_written",
			Scope: madeScope(channels...), Evidence: &consentv1.Evidence{Method: "web_form", Page: "form"}}}})
	}
	switch kind := person / len(m.codes) % 20; {
	case kind < 14:
		agreed(consentv1.Channel_CHANNEL_SMS, consentv1.Channel_CHANNEL_SMS_ATDS, consentv1.Channel_CHANNEL_VOICE_LIVE)
		switch {
		case kind < 3:
			say(&consentv1.Fact{Kind: &consentv1.Fact_ConsentRevoked{ConsentRevoked: &consentv1.ConsentRevoked{Words: "stop"}}})
		case kind == 3:
			say(&consentv1.Fact{Kind: &consentv1.Fact_LocationRecorded{LocationRecorded: &consentv1.LocationRecorded{Region: "US-OH", TimeZone: "America/New_York", Basis: "person"}}})
		case kind == 4:
			say(&consentv1.Fact{Kind: &consentv1.Fact_LineTypeChecked{LineTypeChecked: &consentv1.LineTypeChecked{Line: "wireless", Basis: "carrier"}}})
		}
	case kind < 16:
		agreed(consentv1.Channel_CHANNEL_SMS)
	default:
		say(&consentv1.Fact{Kind: &consentv1.Fact_RelationshipRecorded{RelationshipRecorded: &consentv1.RelationshipRecorded{
			Relationship: consentv1.RelationshipKind_RELATIONSHIP_KIND_PURCHASE, Phase: consentv1.RelationshipPhase_RELATIONSHIP_PHASE_START}}})
		if kind == 19 {
			say(&consentv1.Fact{Kind: &consentv1.Fact_DncAdded{DncAdded: &consentv1.DncAdded{}}})
		}
	}
	return states
}

func madeScope(channels ...consentv1.Channel) *consentv1.Scope {
	return &consentv1.Scope{Programmes: []string{ledger.All}, Channels: channels, Purposes: []consentv1.Purpose{consentv1.Purpose_PURPOSE_MARKETING}}
}

func randomBytes(r *rand.Rand, n int) []byte {
	out := make([]byte, 0, n)
	for len(out) < n {
		x := r.Uint64()
		out = append(out, byte(x), byte(x>>8), byte(x>>16), byte(x>>24), byte(x>>32), byte(x>>40), byte(x>>48), byte(x>>56))
	}
	return out[:n]
}
