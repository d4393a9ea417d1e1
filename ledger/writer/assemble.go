package writer

import (
	"context"
	"fmt"
	"runtime"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/consent-ledger/consent-ledger/ledger"
	"github.com/consent-ledger/consent-ledger/ledger/declare"
	"github.com/consent-ledger/consent-ledger/ledger/index"
	"github.com/consent-ledger/consent-ledger/ledger/seal"
	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

// job is one assembled commit on its way to the publisher. A job without
// entries only answers: its duplicates stand in an earlier commit, which the
// publisher settles first.
type job struct {
	items    []item
	outcomes []ledger.Outcome
	data     []byte // the Commit, exactly as it will be stored
	keys     *consentv1.WrappedKeys
	keysSeq  uint64 // the message that holds keys; 0 without
	entries  []*ledger.Entry
	done     chan struct{} // closed when it is published, or never will be
}

// planned is one new entry before its position is final in bytes.
type planned struct {
	d         *declare.Declared
	outcome   *ledger.Outcome
	id        ledger.EntryID
	person    ledger.PersonID
	seen      *index.Seen // of its number before this commit; nil for system facts
	key       ledger.Hash // idempotency, or the key of a conflicting revocation
	conflicts ledger.Position
	parts     []seal.Part
	keys      []seal.PersonKey // one a part
	msg       *consentv1.Entry
}

// assembly makes one commit. Everything it decides is visible to later facts of
// the same commit through its maps, and to later commits through the index.
type assembly struct {
	w          *Writer
	recordedAt time.Time
	clockOff   string
	planned    []*planned
	byKey      map[ledger.Hash]*planned
	numbers    map[ledger.Token]*number
	keys       map[keyOf]seal.PersonKey
	wrapped    []*consentv1.WrappedKey
	twins      []twin
}

// number is one number of a commit.
type number struct {
	seen *index.Seen     // before the commit
	open ledger.PersonID // who holds it now, zero: nobody
}

type keyOf struct {
	person ledger.PersonID
	class  consentv1.PersonalClass
}

// twin is a duplicate of an entry of the same commit.
type twin struct {
	outcome *ledger.Outcome
	of      *planned
}

// assemble turns the facts of one batch into one commit. Facts that are refused
// or known are answered beside it; good ones are kept.
func (w *Writer) assemble(ctx context.Context, items []item) (*job, error) {
	n := len(items)
	a := &assembly{w: w, planned: make([]*planned, 0, n), byKey: make(map[ledger.Hash]*planned, n),
		numbers: make(map[ledger.Token]*number, n), keys: make(map[keyOf]seal.PersonKey, n)}
	a.recordedAt, a.clockOff = w.clock.now()
	a.recordedAt = a.recordedAt.Round(0).UTC() // as whoever decodes the entry sees it
	j := &job{items: items, outcomes: make([]ledger.Outcome, len(items)), done: make(chan struct{})}
	for i, it := range items {
		if err := a.plan(it.declared(), &j.outcomes[i]); err != nil {
			return nil, err
		}
	}
	if err := a.sealAll(ctx); err != nil {
		return nil, err
	}
	a.refuseOversized()
	if err := a.finish(j); err != nil {
		return nil, err
	}
	return j, nil
}

// plan decides what becomes of one fact. The idempotency key is looked at before
// anything else, so that a retry gets its receipt whatever has changed since.
func (a *assembly) plan(d *declare.Declared, out *ledger.Outcome) error {
	key, conflicts, known, err := a.lookUp(d, out)
	if err != nil || known {
		return err
	}
	if out.Err = a.refuse(d); out.Err != nil {
		return nil
	}
	p := &planned{d: d, outcome: out, key: key, conflicts: conflicts}
	if p.id, err = newEntryID(); err != nil {
		return err
	}
	if err := a.person(p); err != nil {
		return err
	}
	a.planned, a.byKey[key] = append(a.planned, p), p
	return nil
}

// lookUp finds an earlier entry of the same source and event id. known: out is filled.
func (a *assembly) lookUp(d *declare.Declared, out *ledger.Outcome) (key ledger.Hash, conflicts ledger.Position, known bool, err error) {
	key = d.Idempotency
	for range 2 {
		if p := a.byKey[key]; p != nil {
			if p.d.Content == d.Content {
				a.twins = append(a.twins, twin{out, p})
				return key, 0, true, nil
			}
			conflicts = a.positionOf(p)
		} else {
			r, found, err := a.w.index.Idempotency(key)
			if err != nil {
				return key, 0, false, err
			}
			if !found {
				return key, conflicts, false, nil
			}
			if r.Content == d.Content {
				out.Receipt = ledger.Receipt{Position: r.Position, EntryID: r.EntryID, Leaf: r.Leaf, RecordedAt: r.RecordedAt,
					Durability: a.w.log.Durability(), Duplicate: true, ConflictsWith: conflicts}
				return key, 0, true, nil
			}
			conflicts = r.Position
		}
		if !d.Stop {
			out.Err = &ledger.ConflictError{Position: conflicts}
			return key, 0, true, nil
		}
		// A conflicting revocation is recorded all the same, under a key of its own.
		key = a.w.keys.ConflictKey(d.Idempotency, d.Content)
	}
	return key, conflicts, false, fmt.Errorf("writer: the key of a conflicting revocation stands for another fact: %w", ledger.ErrDamaged)
}

func (a *assembly) positionOf(p *planned) ledger.Position {
	for i, q := range a.planned {
		if q == p {
			return a.w.next + ledger.Position(i)
		}
	}
	return 0
}

// refuse tells why a new fact is not recorded; nil if it is.
func (a *assembly) refuse(d *declare.Declared) error {
	if d.Invalid != nil {
		return d.Invalid
	}
	if a.clockOff != "" && declare.MustBeDated(d.Fact) {
		return &ledger.InvalidError{Field: "recorded_at", Problem: "cannot be trusted: " + a.clockOff,
			Fix: "put the clock right and confirm it: consent doctor --confirm-clock"}
	}
	return d.Resolve(a.recordedAt)
}

// person finds or begins the holder of the number, and the keys the entry needs.
func (a *assembly) person(p *planned) error {
	p.parts = seal.Take(p.d.Fact) // from here on it is the clear part
	p.keys = make([]seal.PersonKey, len(p.parts))
	if p.d.Number == "" {
		for i, part := range p.parts {
			p.keys[i] = a.w.keys.SystemKey(part.Class)
		}
		return nil
	}
	n, err := a.number(p.d.Token)
	if err != nil {
		return err
	}
	if n.open.IsZero() {
		n.open = seal.DrawPerson()
	}
	p.person, p.seen = n.open, n.seen
	for i, part := range p.parts {
		if p.keys[i], err = a.key(n, part.Class); err != nil {
			return err
		}
	}
	if ledger.EndsPerson(p.d.Fact) {
		n.open = ledger.PersonID{} // the next fact begins another person
	}
	return nil
}

// number gives what is known of a number: from this commit or from the index.
func (a *assembly) number(t ledger.Token) (*number, error) {
	if n := a.numbers[t]; n != nil {
		return n, nil
	}
	seen, err := a.w.index.Seen(t)
	if err != nil {
		return nil, err
	}
	n := &number{seen: seen, open: seen.Holder()}
	a.numbers[t] = n
	return n, nil
}

// key gives the key for a class of who holds a number: from this commit, from the
// index, or drawn.
func (a *assembly) key(n *number, class consentv1.PersonalClass) (k seal.PersonKey, err error) {
	of := keyOf{n.open, class}
	if k, ok := a.keys[of]; ok {
		return k, nil
	}
	var wrapped *consentv1.WrappedKey
	if n.seen.Holder() == n.open { // else the person begins in this commit
		wrapped = n.seen.Key(class)
	}
	if wrapped != nil {
		k, err = a.w.keys.Unwrap(wrapped)
	} else {
		k = seal.DrawKey(n.open, class)
		if wrapped, err = a.w.keys.Wrap(k); err == nil {
			a.wrapped = append(a.wrapped, wrapped)
		}
	}
	if err != nil {
		return seal.PersonKey{}, fmt.Errorf("writer: key of a person: %w", err)
	}
	a.keys[of] = k
	return k, nil
}

// sealAloneMax is up to how many entries are sealed without waking anybody.
const sealAloneMax = 8

// sealAll does the expensive part of every entry side by side.
func (a *assembly) sealAll(ctx context.Context) error {
	if len(a.planned) <= sealAloneMax {
		for _, p := range a.planned {
			if err := p.seal(ctx, a); err != nil {
				return err
			}
		}
		return nil
	}
	g, ctx := errgroup.WithContext(ctx)
	workers := runtime.GOMAXPROCS(0)
	for n := range workers {
		g.Go(func() error {
			for i := n; i < len(a.planned); i += workers {
				if err := a.planned[i].seal(ctx, a); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return g.Wait()
}

// fileBytesMin is the size from which a sealed part lies in a file. With it even
// an entry that uses every personal field stays below ledger.EntryBytesMax.
const fileBytesMin = 4 << 10

// seal makes everything of an entry but its position and back-link, which only
// the order of the commit decides.
func (p *planned) seal(ctx context.Context, a *assembly) error {
	m := &consentv1.Entry{
		RecordedAt: timestamppb.New(a.recordedAt), EntryId: p.id[:], Idempotency: p.key[:], Content: p.d.Content[:], Fact: p.d.Fact,
	}
	if !p.person.IsZero() {
		m.Person = p.person[:]
	}
	if !p.d.Exchange.IsZero() {
		m.Token = a.w.keys.SealToken(p.id, p.person, p.d.Exchange)
	}
	for i, part := range p.parts {
		s, err := seal.SealPart(p.keys[i], p.id, part)
		if err != nil {
			return fmt.Errorf("writer: seal: %w", err)
		}
		if len(s.Sealed) >= fileBytesMin {
			name, err := a.w.files.PutBytes(ctx, s.Sealed)
			if err != nil {
				return fmt.Errorf("writer: store what is too large for an entry: %w", err)
			}
			s.Sealed, s.File = nil, name[:]
		}
		m.Personal = append(m.Personal, s)
	}
	p.msg = m
	return nil
}

// linkBytesMax is what position and back-link add to an entry when it is finished.
const linkBytesMax = 64

// refuseOversized answers facts whose entry would be too large, each for itself.
// The bounds of package declare should let none through; if one does, it costs
// its caller a refusal and nobody the writer.
func (a *assembly) refuseOversized() {
	kept := a.planned[:0]
	for _, p := range a.planned {
		if size := proto.Size(p.msg); size+linkBytesMax > ledger.EntryBytesMax {
			p.outcome.Err = &ledger.InvalidError{Field: "fact", Problem: fmt.Sprintf("needs an entry of %d bytes, at most %d are stored", size, ledger.EntryBytesMax-linkBytesMax),
				Fix: "send less beside the number"}
			continue
		}
		kept = append(kept, p)
	}
	a.planned = kept
}

// finish gives every entry its position and back-link, in order, and serializes.
func (a *assembly) finish(j *job) error {
	commit := &consentv1.Commit{FirstPosition: uint64(a.w.next)}
	heads := make(map[ledger.PersonID]index.Head, len(a.planned))
	seen := make([]*index.Seen, 0, len(a.planned))
	for i, p := range a.planned {
		p.msg.Position = uint64(a.w.next) + uint64(i)
		if !p.person.IsZero() {
			h, ok := heads[p.person]
			if !ok && p.seen.Holder() == p.person {
				h = p.seen.Head()
			}
			p.msg.PersonSeq = h.Seq + 1
			if h.Seq > 0 {
				p.msg.PersonPrev = h.Leaf[:]
			}
		}
		raw, err := proto.Marshal(p.msg)
		if err != nil {
			return fmt.Errorf("writer: serialize entry: %w", err)
		}
		if len(raw) > ledger.EntryBytesMax {
			return fmt.Errorf("writer: entry of %d bytes", len(raw))
		}
		e := &ledger.Entry{Position: a.w.next + ledger.Position(i), RecordedAt: a.recordedAt, ID: p.id, Leaf: ledger.LeafHash(raw),
			Exchange: p.d.Exchange, Token: p.d.Token, Msg: p.msg, Bytes: raw}
		heads[p.person] = index.Head{Seq: p.msg.PersonSeq, Leaf: e.Leaf, Position: e.Position}
		p.outcome.Receipt = ledger.Receipt{Position: e.Position, EntryID: e.ID, Leaf: e.Leaf, RecordedAt: a.recordedAt,
			Durability: a.w.log.Durability(), ConflictsWith: p.conflicts, Notices: p.d.Notices}
		commit.Entries, j.entries, seen = append(commit.Entries, raw), append(j.entries, e), append(seen, p.seen)
	}
	for _, t := range a.twins {
		*t.outcome = *t.of.outcome
		t.outcome.Receipt.Duplicate = t.outcome.Err == nil
	}
	if len(j.entries) == 0 {
		return nil // nothing needs the keys drawn
	}
	if len(a.wrapped) > 0 {
		j.keys = &consentv1.WrappedKeys{Keys: a.wrapped}
	}
	var err error
	if j.data, err = proto.Marshal(commit); err != nil {
		return fmt.Errorf("writer: serialize commit: %w", err)
	}
	if err := a.w.index.StageSeen(j.entries, j.keys, seen); err != nil {
		return err
	}
	a.w.next += ledger.Position(len(j.entries))
	return nil
}

func newEntryID() (ledger.EntryID, error) {
	id, err := uuid.NewV7()
	if err != nil {
		return ledger.EntryID{}, fmt.Errorf("writer: entry id: %w", err)
	}
	return ledger.EntryID(id), nil
}
