// Package mend finds out what the ledger's stream has lost, says whom that
// concerns, and reads through copies that are put in its place.
//
// JetStream drops a message whose file was damaged without a word, or serves
// another in its place; and nothing can be written at a sequence that is past. So
// what is lost is kept beside the stream: the exact bytes of each entry, taken only
// if its leaf is the one in the tree, and so under what was signed. Whoever reads
// commits reads through a Log of this package, which gives the stream's messages
// and, where one is damaged, the mended one.
//
//	mend.go    what is damaged, and whom it touches
//	take.go    copies: which are taken, and the tree's own
//	log.go     the stream as it should be
//	scrub.go   the reading of everything, again and again
package mend

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/consent-ledger/consent-ledger/ledger"
	"github.com/consent-ledger/consent-ledger/ledger/directory"
	"github.com/consent-ledger/consent-ledger/ledger/store"
	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

const (
	cacheBytes    = 1 << 20
	memTableBytes = 1 << 20
)

// Tree is what is known of entries that were read once; tree.Tree has it.
type Tree interface {
	// Leaves gives those of n entries from a position on, as far as they are known.
	Leaves(first ledger.Position, n int) ([]ledger.Hash, error)
	// Vouch proves the leaf at a position to what was signed, if that reaches so far.
	Vouch(at ledger.Position) error
	// Quiet: no answer about anybody hangs on the entry.
	Quiet(at ledger.Position) (bool, error)
	// Kept gives one of the newest messages; ledger.ErrNotFound if it is none of them.
	Kept(seq uint64) (ledger.Message, error)
}

// Index finds the message of a position; index.Index has it.
type Index interface {
	SeqOf(at ledger.Position) (uint64, error)
}

// Directory tells which numbers lost entries are about; keeper.Keeper has it.
type Directory interface {
	About(ctx context.Context, positions []ledger.Position) (about map[ledger.Position]directory.Key, through ledger.Position, err error)
}

// Config is what a Mender needs.
type Config struct {
	// Dir is the database's folder; its parent must exist. What it holds is nowhere
	// else: it belongs into every backup.
	Dir string
	// Ledger is the id of the ledger; the folder of another one is refused.
	Ledger [16]byte
	// Stream is the ledger as JetStream gives it.
	Stream ledger.Log
	// Now is the wall clock; nil: the machine's.
	Now func() time.Time
	// Logger hears what happens beside the answers. Nil discards it.
	Logger *slog.Logger
}

// Damage is one message of the stream that is not what was recorded.
type Damage struct {
	Seq uint64 `json:"seq"`
	// First and Last are its positions; 0: nobody knows.
	First   ledger.Position `json:"first"`
	Last    ledger.Position `json:"last"`
	Problem string          `json:"problem"`
	FoundAt time.Time       `json:"found_at"`
	// Numbers are those its entries are about, as keys of the directory. Everybody: it
	// cannot be known, or it is about all.
	Numbers   []directory.Key `json:"numbers,omitempty"`
	Everybody bool            `json:"everybody,omitempty"`
	// Tampered: the message is a whole commit of other entries. No damaged file gives
	// that: somebody wrote it. It blocks everything, and only a person mends it.
	Tampered bool `json:"tampered,omitempty"`
	// Mended: every entry is there, from copies.
	Mended bool `json:"mended,omitempty"`
}

// Mender is safe for concurrent use. Tree, Index and Directory come as a server
// opens; nothing is known of persons before the last of them, so that all are
// blocked if anything is damaged.
type Mender struct {
	cfg  Config
	db   *store.DB
	keys func(e164 string) directory.Key

	// mu: one change of what is damaged at a time; it is held across reads of the
	// stream, and nothing that answers waits for it.
	mu        sync.Mutex
	tree      Tree
	index     Index
	directory Directory
	scrub     scrubbed // mu guards it too

	view atomic.Pointer[view]
	// waiting is how many followers wait at a hole.
	waiting atomic.Int32
	pace    atomic.Int64 // of the scrubber
}

// view is what is known at one moment; it never changes.
type view struct {
	damages   map[uint64]*Damage
	blocked   map[directory.Key]struct{}
	everybody bool
	open      int           // damages that are not mended
	changed   chan struct{} // closed with the next view
}

// Folder errors.
var (
	// ErrForeign: the folder is another ledger's. Nothing was changed.
	ErrForeign = errors.New("mend: folder belongs to another ledger")

	metaLedger = store.MetaKey("ledger")
	metaScrub  = store.MetaKey("scrub")
)

// Open opens the folder or begins an empty one.
func Open(cfg Config, keys func(e164 string) directory.Key) (*Mender, error) {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	db, err := store.Open(cfg.Dir, store.Options{Logger: cfg.Logger, CacheBytes: cacheBytes, MemTableBytes: memTableBytes})
	if err != nil {
		return nil, fmt.Errorf("mend: %w", err)
	}
	m := &Mender{cfg: cfg, db: db, keys: keys}
	if err := m.load(); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return m, nil
}

// Close closes the database. All readers must have ended.
func (m *Mender) Close() error { return m.db.Close() }

func (m *Mender) load() error {
	owner, err := m.db.Get(metaLedger)
	switch {
	case err != nil:
		return err
	case owner == nil:
		b := m.db.NewBatch()
		if err := b.Set(metaLedger, m.cfg.Ledger[:]); err != nil {
			return errors.Join(err, b.Close())
		}
		if err := b.Commit(true); err != nil {
			return err
		}
	case !bytes.Equal(owner, m.cfg.Ledger[:]):
		return fmt.Errorf("%w: %s", ErrForeign, m.cfg.Dir)
	}
	if raw, err := m.db.Get(metaScrub); err != nil {
		return err
	} else if raw != nil {
		if err := json.Unmarshal(raw, &m.scrub); err != nil {
			return fmt.Errorf("mend: progress of the scrubber: %w", err)
		}
	}
	damages := map[uint64]*Damage{}
	lo, hi := store.SpaceRange(store.SpaceDamage)
	err = m.db.Each(lo, hi, func(k, v []byte) error {
		seq, err := store.ParseDamageKey(k)
		d := &Damage{}
		if err = errors.Join(err, json.Unmarshal(v, d)); err == nil && d.Seq != seq {
			err = fmt.Errorf("mend: message %d: %w", seq, store.ErrBadKey)
		}
		damages[seq] = d
		return err
	})
	if err == nil {
		m.show(damages)
	}
	return err
}

// show makes a new view. What is not mended blocks.
func (m *Mender) show(damages map[uint64]*Damage) {
	v := &view{damages: damages, blocked: map[directory.Key]struct{}{}, changed: make(chan struct{})}
	for _, d := range damages {
		if d.Mended {
			continue
		}
		v.open++
		v.everybody = v.everybody || d.Everybody
		for _, k := range d.Numbers {
			v.blocked[k] = struct{}{}
		}
	}
	if old := m.view.Swap(v); old != nil {
		close(old.changed)
	}
}

// Know tells a Mender of the tree; before it nothing can be compared.
func (m *Mender) Know(t Tree) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.tree = t
}

// Locate tells it of the index, by which the positions of a lost message are known.
func (m *Mender) Locate(ix Index) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.index = ix
}

// Ask tells it of the directory, by which the numbers are known, and looks up those
// of all that is damaged.
func (m *Mender) Ask(ctx context.Context, d Directory) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.directory = d
	var open []*Damage
	for _, d := range m.view.Load().damages {
		if d.Mended || !d.Everybody {
			continue
		}
		c := *d
		if c.First == 0 {
			var err error
			if c.First, c.Last, err = m.span(c.Seq); err != nil {
				return err
			}
		}
		open = append(open, &c)
	}
	return m.note(ctx, open)
}

// Whole tells whether nothing is damaged that is not mended, and nobody waits for
// it: then there is no number to ask about. It is as cheap as it can be.
func (m *Mender) Whole() bool { return m.view.Load().open == 0 && m.waiting.Load() == 0 }

// Blocks tells whether something about a number is lost, or may be.
func (m *Mender) Blocks(e164 string) bool {
	if m.Whole() {
		return false
	}
	v := m.view.Load()
	if v.everybody || m.waiting.Load() > 0 {
		return true
	}
	_, blocked := v.blocked[m.keys(e164)]
	return blocked
}

// Damages lists what is damaged, mended or not, in the order of the stream.
func (m *Mender) Damages() []Damage {
	v := m.view.Load()
	out := make([]Damage, 0, len(v.damages))
	for _, seq := range slices.Sorted(maps.Keys(v.damages)) {
		out = append(out, *v.damages[seq])
	}
	return out
}

// States of a ledger with damage; package tree has the others.
const (
	// StateDamaged: messages are lost, and block the numbers they are about until they
	// are mended, or everybody if that cannot be known.
	StateDamaged = "DAMAGED"
	// StateTampered: the stream holds other entries than were recorded. It blocks
	// everybody.
	StateTampered = "TAMPERED"
)

// State is the worst of what is not mended; empty if all is.
func (m *Mender) State() string {
	if m.Whole() {
		return ""
	}
	for _, d := range m.view.Load().damages {
		if d.Tampered && !d.Mended {
			return StateTampered
		}
	}
	return StateDamaged
}

// Blocked counts the numbers that are blocked, and tells whether all are.
func (m *Mender) Blocked() (numbers int, everybody bool) {
	v := m.view.Load()
	return len(v.blocked), v.everybody || m.waiting.Load() > 0
}

// Counts tells how many damaged messages are not mended, and how many are.
func (m *Mender) Counts() (open, mended int) {
	v := m.view.Load()
	return v.open, len(v.damages) - v.open
}

// problemsMax bounds what is listed of many damages.
const problemsMax = 10

// Problems lists what somebody must do, for doctor.
func (m *Mender) Problems() []string {
	const help = "put it back from any copy: consent repair --from COPY"
	var out []string
	mended, more := 0, 0
	for _, d := range m.Damages() {
		switch {
		case d.Mended:
			mended++
		case len(out) == problemsMax:
			more++
		case d.Tampered:
			out = append(out, fmt.Sprintf("%s: message %d %s; every check is BLOCK. Find out who wrote it, then %s", StateTampered, d.Seq, d.Problem, help))
		default:
			out = append(out, fmt.Sprintf("%s: message %d%s %s; %s; %s", StateDamaged, d.Seq, d.positions(), d.Problem, d.touches(), help))
		}
	}
	if more > 0 {
		out = append(out, fmt.Sprintf("%s: %d more messages are lost; %s", StateDamaged, more, help))
	}
	if m.waiting.Load() > 0 {
		out = append(out, fmt.Sprintf("%s: projections must be folded across a lost message and wait for it; every check is BLOCK; %s", StateDamaged, help))
	}
	if mended > 0 {
		out = append(out, fmt.Sprintf("MENDED: %d messages of the stream are damaged and read from verified copies in the folder mended; nothing is blocked; look at the disk", mended))
	}
	return out
}

func (d Damage) positions() string {
	switch {
	case d.First == 0:
		return ""
	case d.First == d.Last:
		return fmt.Sprintf(", position %d,", d.First)
	}
	return fmt.Sprintf(", positions %d to %d,", d.First, d.Last)
}

func (d Damage) touches() string {
	switch {
	case d.Everybody:
		return "whom it is about cannot be known, or it is about everybody: every check is BLOCK"
	case len(d.Numbers) == 0:
		return "it is about nobody, and blocks nothing"
	case len(d.Numbers) == 1:
		return "checks of the number it is about are BLOCK"
	}
	return fmt.Sprintf("checks of the %d numbers it is about are BLOCK", len(d.Numbers))
}

// at gives what is wrong with a message; nil: nothing is known to be.
func (m *Mender) at(seq uint64) *Damage {
	v := m.view.Load()
	if len(v.damages) == 0 {
		return nil
	}
	return v.damages[seq]
}

// Examine looks at messages again, at the leader, and notes what is wrong with
// them, or that nothing is any more. What the tree keeps mends at once. An error
// says that it could not be found out. What is only too new for the tree is no damage.
func (m *Mender) Examine(ctx context.Context, seqs ...uint64) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	var found []*Damage
	right := map[uint64]bool{}
	slices.Sort(seqs)
	for _, seq := range slices.Compact(seqs) {
		f, err := m.look(ctx, seq)
		if err != nil {
			return err
		}
		known := m.at(seq)
		if f.problem == "" && (known == nil || known.First == 0 || known.First == f.first) {
			right[seq] = true
			continue
		}
		if known != nil && (known.Mended || known.First > 0) {
			continue // known, and all of it
		}
		d := &Damage{Seq: seq, Problem: f.problem, Tampered: f.tampered, FoundAt: m.cfg.Now().UTC()}
		if d.First, d.Last, err = m.span(seq); err != nil {
			return err
		}
		found = append(found, d)
	}
	if err := m.forget(right); err != nil {
		return err
	}
	return m.note(ctx, found)
}

// finding is what is wrong with a message; empty: nothing is.
type finding struct {
	problem           string
	missing, tampered bool
	first             ledger.Position // of what it holds; 0: no commit
}

// look reads a message at the leader and says what is wrong with it.
func (m *Mender) look(ctx context.Context, seq uint64) (finding, error) {
	msg, err := m.cfg.Stream.Read(ctx, seq)
	if errors.Is(err, ledger.ErrNotFound) {
		return finding{problem: "is missing", missing: true}, nil
	}
	if errors.Is(err, ledger.ErrUnreadable) {
		return finding{problem: "cannot be read", missing: true}, nil
	}
	if err != nil {
		return finding{}, err
	}
	f, err := m.compare(msg)
	if err != nil || f.problem != "" || m.index == nil {
		return f, err
	}
	if at, err := m.index.SeqOf(f.first); err == nil && at != seq {
		return finding{problem: fmt.Sprintf("holds the entries of message %d once more", at), tampered: true}, nil
	} else if err != nil && !errors.Is(err, ledger.ErrNotFound) {
		return finding{}, err
	}
	return f, nil
}

// compare says what is wrong with a message, as far as the tree knows its entries.
func (m *Mender) compare(msg ledger.Message) (finding, error) {
	first, entries, ok := split(msg.Data)
	if !ok {
		return finding{problem: "holds what is no commit"}, nil
	}
	known, err := m.tree.Leaves(first, len(entries))
	if err != nil {
		return finding{}, err
	}
	for i, leaf := range known {
		if at := first + ledger.Position(i); ledger.LeafHash(entries[i]) != leaf {
			return finding{problem: fmt.Sprintf("holds another entry at position %d than was recorded", at), tampered: true}, nil
		}
	}
	return finding{first: first}, nil
}

// note adds what was found: it mends it from the tree's own copies, finds out whom
// it touches, and makes it durable before it is shown.
func (m *Mender) note(ctx context.Context, found []*Damage) error {
	if len(found) == 0 {
		return nil
	}
	b := m.db.NewBatch()
	err := func() error {
		for _, d := range found {
			if err := m.mendFromTree(b, d); err != nil {
				return err
			}
		}
		if err := m.about(ctx, found); err != nil {
			return err
		}
		for _, d := range found {
			if err := put(b, d); err != nil {
				return err
			}
		}
		return nil
	}()
	if err != nil {
		return errors.Join(err, b.Close())
	}
	if err := b.Commit(true); err != nil {
		return err
	}
	damages := maps.Clone(m.view.Load().damages)
	mended := 0
	for _, d := range found {
		damages[d.Seq] = d
		if d.Mended {
			mended++
		}
	}
	m.show(damages)
	numbers, everybody := m.Blocked()
	m.cfg.Logger.Warn("the ledger's stream is damaged; look at its disk, and at consent doctor", "messages", len(found), "first", found[0].Seq, "last", found[len(found)-1].Seq,
		"problem", found[0].Problem, "mended", mended, "numbers_blocked", numbers, "everybody", everybody)
	return nil
}

func put(b *store.Batch, d *Damage) error {
	raw, err := json.Marshal(d)
	if err != nil {
		return err
	}
	return b.Set(store.DamageKey(d.Seq), raw)
}

// forget drops what turned out to be right.
func (m *Mender) forget(right map[uint64]bool) error {
	damages := maps.Clone(m.view.Load().damages)
	b := m.db.NewBatch()
	changed := false
	for seq := range right {
		if damages[seq] == nil {
			continue
		}
		if err := b.Delete(store.DamageKey(seq)); err != nil {
			return errors.Join(err, b.Close())
		}
		delete(damages, seq)
		changed = true
	}
	if !changed {
		return b.Close()
	}
	if err := b.Commit(true); err != nil {
		return err
	}
	m.show(damages)
	return nil
}

// about fills in whom damages touch. Who cannot be known is everybody.
func (m *Mender) about(ctx context.Context, found []*Damage) error {
	var positions []ledger.Position
	for _, d := range found {
		if d.Numbers, d.Everybody = nil, !d.Mended && (m.directory == nil || d.First == 0 || d.Tampered); d.Mended || d.Everybody {
			continue
		}
		for at := d.First; at <= d.Last; at++ {
			positions = append(positions, at)
		}
	}
	if len(positions) == 0 {
		return nil
	}
	about, through, err := m.directory.About(ctx, positions)
	if err != nil {
		return err
	}
	for _, d := range found {
		if d.Mended || d.Everybody {
			continue
		}
		for at := d.First; at <= d.Last; at++ {
			key, ok := about[at]
			if ok {
				d.Numbers = append(d.Numbers, key)
				continue
			}
			quiet, err := m.tree.Quiet(at)
			if err != nil {
				return err
			}
			d.Everybody = d.Everybody || at > through || !quiet
		}
		slices.SortFunc(d.Numbers, directory.Key.Compare)
		d.Numbers = slices.Compact(d.Numbers)
	}
	return nil
}

// span finds the positions of a message that cannot be read; 0 if nobody knows.
func (m *Mender) span(seq uint64) (first, last ledger.Position, err error) {
	if m.index == nil {
		return 0, 0, nil
	}
	// The lowest position of a message at or behind a sequence; 0: there is none.
	lowest := func(seq uint64) (ledger.Position, error) {
		lo, hi := ledger.Position(1), ledger.Position(1)
		for { // a position beyond the tail, or in such a message
			at, err := m.index.SeqOf(hi)
			if errors.Is(err, ledger.ErrNotFound) || at >= seq {
				break
			}
			if err != nil {
				return 0, err
			}
			lo, hi = hi+1, hi*2
		}
		for lo < hi {
			mid := lo + (hi-lo)/2
			at, err := m.index.SeqOf(mid)
			switch {
			case errors.Is(err, ledger.ErrNotFound), err == nil && at >= seq:
				hi = mid
			case err != nil:
				return 0, err
			default:
				lo = mid + 1
			}
		}
		return lo, nil
	}
	if first, err = lowest(seq); err != nil {
		return 0, 0, err
	}
	if at, err := m.index.SeqOf(first); errors.Is(err, ledger.ErrNotFound) {
		return 0, 0, nil
	} else if err != nil || at != seq {
		return 0, 0, err
	}
	next, err := lowest(seq + 1)
	return first, next - 1, err
}

// split gives the entries of a commit. ok is false for bytes that are not its one
// encoding.
func split(data []byte) (first ledger.Position, entries [][]byte, ok bool) {
	var c consentv1.Commit
	if proto.Unmarshal(data, &c) != nil || c.GetFirstPosition() == 0 || len(c.GetEntries()) == 0 {
		return 0, nil, false
	}
	first = ledger.Position(c.GetFirstPosition())
	return first, c.GetEntries(), bytes.Equal(join(first, c.GetEntries()), data)
}

// join makes a commit of its entries, as the writer does: byte for byte.
func join(first ledger.Position, entries [][]byte) []byte {
	b := protowire.AppendVarint(protowire.AppendTag(nil, commitFirstPosition, protowire.VarintType), uint64(first))
	for _, e := range entries {
		b = protowire.AppendBytes(protowire.AppendTag(b, commitEntries, protowire.BytesType), e)
	}
	return b
}

// Field numbers of a Commit, for ever.
const (
	commitFirstPosition protowire.Number = 1
	commitEntries       protowire.Number = 2
)
