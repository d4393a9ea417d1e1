package writer

import (
	"context"
	"encoding/binary"
	"fmt"
	"runtime"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/protobuf/encoding/protowire"
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
	entries  []*ledger.Entry
	done     chan struct{} // closed when it is published, or never will be
}

// planned is one new entry of the commit.
type planned struct {
	d         *declare.Declared
	outcome   *ledger.Outcome
	id        ledger.EntryID
	person    ledger.PersonID
	seen      *index.Seen // of its number before this commit; nil for system facts
	before    *planned    // the same person's entry before it in this commit
	key       ledger.Hash // idempotency, or the key of a conflicting revocation
	conflicts ledger.Position
	parts     []seal.Part
	keys      []*seal.PersonKey // one a part
	msg       *consentv1.Entry
	raw       []byte      // the entry's bytes; nil until it is linked
	leaf      ledger.Hash // of raw
}

// assembly makes one commit. Everything it decides is visible to later facts of
// the same commit through its maps, and to later commits through the index.
type assembly struct {
	w          *Writer
	recordedAt time.Time
	stamp      *timestamppb.Timestamp // the same, shared by the entries
	clockOff   string
	planned    []*planned
	byKey      map[ledger.Hash]*planned
	numbers    map[ledger.Token]*number
	drawn      []*seal.PersonKey
	wrapped    []*consentv1.WrappedKey // of drawn, in its order
	twins      []twin
}

// number is one number of a commit.
type number struct {
	seen *index.Seen     // before the commit
	open ledger.PersonID // who holds it now, zero: nobody
	// last entry and keys of who holds it now, as far as this commit knows them.
	last *planned
	keys []*seal.PersonKey
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
		numbers: make(map[ledger.Token]*number, n)}
	a.recordedAt, a.clockOff = w.clock.now()
	a.recordedAt = a.recordedAt.Round(0).UTC() // as whoever decodes the entry sees it
	a.stamp = timestamppb.New(a.recordedAt)
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
	if p.id, err = seal.DrawEntryID(); err != nil {
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
	p.keys = make([]*seal.PersonKey, len(p.parts))
	if p.d.Number == "" {
		for i, part := range p.parts {
			k := a.w.keys.SystemKey(part.Class)
			p.keys[i] = &k
		}
		return nil
	}
	n, err := a.number(p.d.Token)
	if err != nil {
		return err
	}
	if n.open.IsZero() {
		if k, ok := a.w.reserve.take(); ok {
			n.open, n.keys = k.Person, append(n.keys, &k)
		} else {
			n.open = seal.DrawPerson()
		}
	}
	p.person, p.seen, p.before = n.open, n.seen, n.last
	n.last = p
	for i, part := range p.parts {
		if p.keys[i], err = a.key(n, part.Class); err != nil {
			return err
		}
	}
	if ledger.EndsPerson(p.d.Fact) {
		n.open, n.last, n.keys = ledger.PersonID{}, nil, nil // the next fact begins another person
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
func (a *assembly) key(n *number, class consentv1.PersonalClass) (*seal.PersonKey, error) {
	for _, k := range n.keys {
		if k.Class == class {
			return k, nil
		}
	}
	var k seal.PersonKey
	var wrapped *consentv1.WrappedKey
	if n.seen.Holder() == n.open { // else the person begins in this commit
		wrapped = n.seen.Key(class)
	}
	if wrapped == nil {
		k = seal.DrawKey(n.open, class)
		a.drawn = append(a.drawn, &k)
	} else {
		var err error
		if k, err = a.w.keys.Unwrap(wrapped); err != nil {
			return nil, fmt.Errorf("writer: key of a person: %w", err)
		}
	}
	n.keys = append(n.keys, &k)
	return &k, nil
}

// sealAloneMax is up to how many entries are sealed without waking anybody.
const sealAloneMax = 8

// sealAll does the expensive part of every entry side by side.
func (a *assembly) sealAll(ctx context.Context) error {
	a.wrapped = make([]*consentv1.WrappedKey, len(a.drawn))
	if len(a.planned) <= sealAloneMax {
		return a.sealSome(ctx, 0, 1)
	}
	g, ctx := errgroup.WithContext(ctx)
	workers := runtime.GOMAXPROCS(0)
	for n := range workers {
		g.Go(func() error { return a.sealSome(ctx, n, workers) })
	}
	return g.Wait()
}

// entryBytesUsual is the size that most entries do not exceed.
const entryBytesUsual = 640

// sealSome does it for every step-th entry and drawn key from the nth on. An entry
// that follows another of the same person is linked later, by finish.
func (a *assembly) sealSome(ctx context.Context, n, step int) (err error) {
	for i := n; i < len(a.drawn); i += step {
		if a.wrapped[i], err = a.w.keys.Wrap(*a.drawn[i]); err != nil {
			return fmt.Errorf("writer: key of a person: %w", err)
		}
	}
	room := make([]byte, 0, (len(a.planned)/step+1)*entryBytesUsual)
	for i := n; i < len(a.planned); i += step {
		p := a.planned[i]
		if err := p.seal(ctx, a); err != nil {
			return err
		}
		if p.before == nil {
			if room, err = p.link(a.w.next+ledger.Position(i), room); err != nil {
				return err
			}
		}
	}
	return nil
}

// fileBytesMin is the size from which a sealed part lies in a file. With it even
// an entry that uses every personal field stays below ledger.EntryBytesMax.
const fileBytesMin = 4 << 10

// seal makes everything of an entry but its position and back-link, which only
// the order of the commit decides.
func (p *planned) seal(ctx context.Context, a *assembly) error {
	m := &consentv1.Entry{
		RecordedAt: a.stamp, EntryId: p.id[:], Idempotency: p.key[:], Content: p.d.Content[:], Fact: p.d.Fact,
		Personal: make([]*consentv1.SealedPart, len(p.parts)),
	}
	if !p.person.IsZero() {
		m.Person = p.person[:]
	}
	if !p.d.Exchange.IsZero() {
		m.Token = a.w.keys.SealToken(p.id, p.person, p.d.Exchange)
	}
	for i, part := range p.parts {
		s, err := seal.SealPart(*p.keys[i], p.id, part)
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
		m.Personal[i] = s
	}
	p.msg, p.parts, p.keys = m, nil, nil // the entry is kept longer than what is in clear
	return nil
}

// linkBytesMax is what position and back-link add to an entry when it is linked.
const linkBytesMax = 64

// size is how many bytes the entry has, or at most will have.
func (p *planned) size() int {
	if p.raw != nil {
		return len(p.raw)
	}
	return proto.Size(p.msg) + linkBytesMax
}

// refuseOversized answers facts whose entry would be too large, each for itself.
// The bounds of package declare should let none through; if one does, it costs
// its caller a refusal and nobody the writer. Those after it are linked anew.
func (a *assembly) refuseOversized() {
	kept := a.planned[:0]
	for i, p := range a.planned {
		if size := p.size(); size > ledger.EntryBytesMax {
			p.outcome.Err = &ledger.InvalidError{Field: "fact", Problem: fmt.Sprintf("needs an entry of %d bytes, at most %d are stored", size, ledger.EntryBytesMax),
				Fix: "send less beside the number"}
			continue
		}
		if len(kept) < i {
			p.raw = nil
			for p.before != nil && p.before.outcome.Err != nil {
				p.before = p.before.before
			}
		}
		kept = append(kept, p)
	}
	a.planned = kept
}

// link gives an entry its position and its back-link and serializes it behind what is
// in room, which it gives back.
func (p *planned) link(at ledger.Position, room []byte) (_ []byte, err error) {
	p.msg.Position, p.msg.PersonPrev = uint64(at), nil
	if !p.person.IsZero() {
		h := index.Head{}
		if p.before != nil {
			h = index.Head{Seq: p.before.msg.GetPersonSeq(), Leaf: p.before.leaf}
		} else if p.seen.Holder() == p.person {
			h = p.seen.Head()
		}
		if p.msg.PersonSeq = h.Seq + 1; h.Seq > 0 {
			p.msg.PersonPrev = h.Leaf[:]
		}
	}
	from := len(room)
	if room, err = ledger.AppendEntry(room, p.msg); err != nil {
		return nil, fmt.Errorf("writer: serialize entry: %w", err)
	}
	p.raw = room[from:len(room):len(room)]
	p.leaf = ledger.LeafHash(p.raw)
	return room, nil
}

// finish links the entries that are not linked yet, in order, and makes the commit.
func (a *assembly) finish(j *job) error {
	entries := make([]ledger.Entry, len(a.planned))
	j.entries = make([]*ledger.Entry, len(a.planned))
	seen := make([]*index.Seen, len(a.planned))
	for i, p := range a.planned {
		at := a.w.next + ledger.Position(i)
		if p.raw == nil {
			if _, err := p.link(at, nil); err != nil {
				return err
			}
		}
		if len(p.raw) > ledger.EntryBytesMax || p.msg.GetPosition() != uint64(at) {
			return fmt.Errorf("writer: entry of %d bytes at position %d, made for %d", len(p.raw), at, p.msg.GetPosition())
		}
		entries[i] = ledger.Entry{Position: at, RecordedAt: a.recordedAt, ID: p.id, Leaf: p.leaf,
			Exchange: p.d.Exchange, Token: p.d.Token, Msg: p.msg, Bytes: p.raw}
		j.entries[i], seen[i] = &entries[i], p.seen
		p.outcome.Receipt = ledger.Receipt{Position: at, EntryID: p.id, Leaf: p.leaf, RecordedAt: a.recordedAt,
			Durability: a.w.log.Durability(), ConflictsWith: p.conflicts, Notices: p.d.Notices}
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
	j.data = serialize(j.entries)
	if err := a.w.index.Stage(j.entries, j.keys, seen); err != nil {
		return err
	}
	a.w.next += ledger.Position(len(j.entries))
	return nil
}

// serialize gives the bytes of a Commit. The entries' bytes lie in it from then on.
func serialize(entries []*ledger.Entry) []byte {
	size := 1 + binary.MaxVarintLen64
	for _, e := range entries {
		size += 1 + binary.MaxVarintLen32 + len(e.Bytes)
	}
	b := protowire.AppendTag(make([]byte, 0, size), commitFirstPosition, protowire.VarintType)
	b = protowire.AppendVarint(b, uint64(entries[0].Position))
	for _, e := range entries {
		b = protowire.AppendTag(b, commitEntries, protowire.BytesType)
		b = protowire.AppendBytes(b, e.Bytes)
		e.Bytes = b[len(b)-len(e.Bytes) : len(b) : len(b)]
	}
	return b
}

// Field numbers of a Commit, for ever.
const (
	commitFirstPosition protowire.Number = 1
	commitEntries       protowire.Number = 2
)
