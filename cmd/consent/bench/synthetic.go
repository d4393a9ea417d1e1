package bench

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"runtime"
	"sort"
	"strconv"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/errgroup"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/consent-ledger/consent-ledger/ledger"
	"github.com/consent-ledger/consent-ledger/ledger/declare"
	"github.com/consent-ledger/consent-ledger/ledger/reader"
	"github.com/consent-ledger/consent-ledger/ledger/seal"
	"github.com/consent-ledger/consent-ledger/ledger/store"
	"github.com/consent-ledger/consent-ledger/ledger/stream"
	"github.com/consent-ledger/consent-ledger/node"
	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

// syntheticCommit is how many entries a commit holds: about as many as the writer
// packs for an import.
const syntheticCommit = 200

// syntheticLedger is a ledger made to be folded. Patterns of its entries come from
// the real writer; positions, times, tokens and numbers are right, so that a fold
// cannot tell it from another; back-links, hashes and sealed parts are random.
type syntheticLedger struct {
	*reader.Reader
	keys  *seal.Keyring
	log   *stream.Log
	tail  ledger.Position
	bytes int64
	took  time.Duration
	// firsts are the first positions of all messages.
	firsts []ledger.Position
}

func (l *syntheticLedger) entriesPerCommit() float64 { return float64(l.tail) / float64(len(l.firsts)) }

// SeqOf implements reader.Index.
func (l *syntheticLedger) SeqOf(at ledger.Position) (uint64, error) {
	if at > l.tail {
		return 0, ledger.ErrNotFound
	}
	return uint64(sort.Search(len(l.firsts), func(i int) bool { return l.firsts[i] > at })), nil
}

// Key implements reader.Index: nobody's key is kept.
func (l *syntheticLedger) Key(ledger.PersonID, consentv1.PersonalClass, store.KeyID) (*consentv1.WrappedKey, bool, error) {
	return nil, false, nil
}

// withSyntheticLedger makes a ledger and runs do on it.
func withSyntheticLedger(ctx context.Context, dir string, persons, entries, sealed int, progress io.Writer, do func(context.Context, *syntheticLedger) error) error {
	node.RoomForGarbage()
	patterns, err := entryPatterns(ctx, dir+"/patterns")
	if err != nil {
		return err
	}
	for _, e := range []*consentv1.Entry{patterns.grant, patterns.stop} {
		e.Personal = e.Personal[:min(sealed, len(e.Personal))]
	}
	keys, err := seal.Create(dir + "/keys")
	if err != nil {
		return err
	}
	e, err := stream.StartEmbedded(stream.EmbeddedOptions{Dir: dir + "/jetstream", CipherKey: keys.JetStreamKey(), AdminKey: "bench", LazySync: true, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return err
	}
	defer e.Close(ctx)
	nc, err := e.Connect()
	if err != nil {
		return err
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		return err
	}
	if _, err := stream.Apply(ctx, js, stream.Provision{LedgerID: keys.LedgerID().String(), Replicas: 1}); err != nil {
		return err
	}
	l := &syntheticLedger{keys: keys}
	if l.log, err = stream.Open(ctx, js, consentv1.Durability_DURABILITY_LAZY, e.Pulse()); err != nil {
		return err
	}
	l.Reader = reader.New(l.log, l, keys, nil)
	if err := l.fill(ctx, patterns, persons, entries, progress); err != nil {
		return err
	}
	return do(ctx, l)
}

// patterns are one entry of each sort, as the writer stores them.
type patterns struct{ grant, stop *consentv1.Entry }

// entryPatterns lets the writer record one of each.
func entryPatterns(ctx context.Context, dir string) (p patterns, err error) {
	err = withBareLedger(ctx, dir, func(ctx context.Context, l *bareLedger) error {
		if err := registerSeller(ctx, l.recorder, "acme"); err != nil {
			return err
		}
		stop := benchGrant(benchNumber(1), "stop")
		stop.Kind = &consentv1.Fact_ConsentRevoked{ConsentRevoked: &consentv1.ConsentRevoked{Words: "stop"}}
		grant := benchGrant(benchNumber(2), "p12345678")
		for _, f := range []*consentv1.Fact{grant, stop} { // each a commit of its own
			if o := l.recorder.Record(ctx, []declare.Declaration{{Fact: f}}); o[0].Err != nil {
				return o[0].Err
			}
		}
		tail, err := l.log.Tail(ctx)
		if err != nil {
			return err
		}
		for _, at := range []struct {
			seq  uint64
			into **consentv1.Entry
		}{{tail - 1, &p.grant}, {tail, &p.stop}} {
			m, err := l.log.Read(ctx, at.seq)
			if err != nil {
				return err
			}
			entries, err := ledger.DecodeCommit(m, l.keys)
			if err != nil {
				return err
			}
			*at.into = entries[0].Msg
		}
		return nil
	})
	return p, errors.Join(err, os.RemoveAll(dir))
}

// fill writes the ledger, commit after commit.
func (l *syntheticLedger) fill(ctx context.Context, p patterns, persons, entries int, progress io.Writer) error {
	began := time.Now()
	said := began
	g, ctx := errgroup.WithContext(ctx)
	made := make(chan chan []byte, 8)
	g.Go(func() error {
		defer close(made)
		sem := make(chan struct{}, runtime.GOMAXPROCS(0))
		for first := 1; first <= entries; first += syntheticCommit {
			c := make(chan []byte, 1)
			select {
			case sem <- struct{}{}:
			case <-ctx.Done():
				return context.Cause(ctx)
			}
			g.Go(func() error {
				defer func() { <-sem }()
				data, err := l.commit(p, first, min(syntheticCommit, entries-first+1), persons)
				c <- data
				return err
			})
			select {
			case made <- c:
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		}
		return nil
	})
	for c := range made {
		data := <-c
		if data == nil {
			break
		}
		if _, err := l.log.Append(ctx, uint64(len(l.firsts)), data); err != nil {
			return errors.Join(err, g.Wait())
		}
		l.firsts = append(l.firsts, l.tail+1)
		l.tail, l.bytes = min(l.tail+syntheticCommit, ledger.Position(entries)), l.bytes+int64(len(data))
		if time.Since(said) > 10*time.Second {
			said = time.Now()
			fmt.Fprintf(progress, "consent: %d of %d entries made\n", l.tail, entries)
		}
	}
	l.took = time.Since(began)
	return g.Wait()
}

// commit makes the commit of some positions.
func (l *syntheticLedger) commit(p patterns, first, n, persons int) ([]byte, error) {
	random := rand.NewChaCha8([32]byte{byte(first), byte(first >> 8), byte(first >> 16), byte(first >> 24)})
	draw := rand.New(random)
	kinds := patterns{proto.CloneOf(p.grant), proto.CloneOf(p.stop)}
	c := &consentv1.Commit{FirstPosition: uint64(first)}
	for at := first; at < first+n; at++ {
		e, who := kinds.grant, at-1
		if who >= persons { // the persons are there; now they change their minds
			who = draw.IntN(persons)
			switch kind := draw.IntN(200); {
			case kind == 0:
				e = erasureEntry()
			case kind < 150:
				e = kinds.stop
			}
		}
		if err := l.entry(e, at, who, random); err != nil {
			return nil, err
		}
		raw, err := proto.Marshal(e)
		if err != nil {
			return nil, err
		}
		c.Entries = append(c.Entries, raw)
	}
	return proto.Marshal(c)
}

// syntheticStart is when the first entry was recorded; each is a millisecond later.
var syntheticStart = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// entry makes a pattern the entry at a position about the nth number.
func (l *syntheticLedger) entry(e *consentv1.Entry, at, who int, random *rand.ChaCha8) error {
	when := timestamppb.New(syntheticStart.Add(time.Duration(at) * time.Millisecond))
	e.Position, e.RecordedAt, e.Fact.Earliest, e.Fact.Latest = uint64(at), when, when, when
	fields := [][]byte{e.EntryId, e.Idempotency, e.Content, e.Person, e.PersonPrev}
	for _, s := range e.Personal {
		fields = append(fields, s.KeyId, s.Commitment, s.Sealed)
	}
	for _, b := range fields {
		_, _ = random.Read(b)
	}
	binary.BigEndian.PutUint64(e.EntryId, uint64(at))
	x, err := l.keys.Exchange("+1" + strconv.Itoa(2_000_000_000+who))
	if err != nil {
		return err
	}
	var person ledger.PersonID
	copy(person[:], e.Person)
	e.Token = l.keys.SealToken(ledger.EntryID(e.EntryId), person, x)
	return nil
}

// erasureEntry is a pattern of an erasure, which names a person and has none.
func erasureEntry() *consentv1.Entry {
	return &consentv1.Entry{EntryId: make([]byte, 16), Idempotency: make([]byte, 32), Content: make([]byte, 32), Fact: &consentv1.Fact{
		Source: "consent-ledger", Kind: &consentv1.Fact_PersonErased{PersonErased: &consentv1.PersonErased{Persons: [][]byte{make([]byte, 16)}, Reason: "erasure_request"}}}}
}
