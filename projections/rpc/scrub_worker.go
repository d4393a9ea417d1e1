package rpc

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"runtime"
	"slices"

	"github.com/consent-ledger/consent-ledger/ledger"
	"github.com/consent-ledger/consent-ledger/ledger/phone"
	"github.com/consent-ledger/consent-ledger/projections/registry"
	"github.com/consent-ledger/consent-ledger/projections/rules"
	"github.com/consent-ledger/consent-ledger/projections/runner"
	"github.com/consent-ledger/consent-ledger/projections/suppression"
	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

const (
	// listsBatch is how many numbers ask the lists at a time: their answers stay in the cache.
	listsBatch = 512
	// breathEvery is after how many rows a worker lets single checks run.
	breathEvery = 64
)

// said is one answer that many rows may have.
type said struct {
	row      *consentv1.ScrubRow
	decision *consentv1.Decision

	// The sender's own.
	numbering uint64
	number    uint32
	rows      int // of the message being sent
}

// scrubWorker answers messages of one scrub from one view. It belongs to one goroutine.
type scrubWorker struct {
	*scrub
	view  runner.View
	known resident
	r     resolved // the question; its number is that of the row being answered
	in    rules.Input
	packs *rules.Packs

	classes rules.Classes[*said]
	invalid *said            // the answer to what is no number
	lost    *said            // and to what something is lost about
	equal   map[string]*said // by content
	content []byte

	// Of the message being answered.
	rows   []scrubRow
	digits []uint64
	lists  []rules.RegistryAnswer
	states states
}

// scrubRow is a row whose number can be read.
type scrubRow struct {
	at     int // in the message
	number phone.Number
	token  ledger.Token
	state  int // place of what is on record among states, -1: nothing is
}

// answer answers a message of numbers.
func (w *scrubWorker) answer(ctx context.Context, numbers []string) ([]*said, error) {
	out := make([]*said, len(numbers))
	if err := w.read(numbers, out); err != nil {
		return nil, err
	}
	if err := w.states.load(w.view, w.r.in.Seller, w.rows); err != nil {
		return nil, err
	}
	fresh := func() *said {
		if w.packs == nil { // of as_of, there were none
			return w.say(rules.Blocked(rules.CodeStateStale, w.r.at, w.view.Position))
		}
		return w.say(rules.Decide(w.in, w.packs))
	}
	for begin := 0; begin < len(w.rows); begin += listsBatch {
		end, lists := min(begin+listsBatch, len(w.rows)), 0
		w.lists, lists = w.askLists(w.lists[:0], w.digits[begin:end])
		for i := begin; i < end; i++ {
			if i%breathEvery == 0 {
				runtime.Gosched()
			}
			row := &w.rows[i]
			w.r.number, w.in.Registries = row.number, w.lists[(i-begin)*lists:(i-begin+1)*lists]
			if err := w.about(ctx, w.view, &w.r, row.token, w.states.get(row.state), &w.in); err != nil {
				return nil, err
			}
			a, ok := w.classes.Get(&w.in, fresh)
			if !ok {
				a = fresh()
			}
			out[row.at] = a
		}
		if err := ctx.Err(); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// read reads the numbers; the answer of those that cannot be read is known.
func (w *scrubWorker) read(numbers []string, out []*said) error {
	w.rows, w.digits = w.rows[:0], w.digits[:0]
	for i, raw := range numbers {
		n, err := phone.Parse(raw, w.region)
		digits, ok := registry.ParseNumber(n.E164)
		x, bad := w.Keys.Exchange(n.E164)
		if err != nil || !ok || bad != nil {
			if w.invalid == nil {
				w.invalid = w.say(rules.Blocked(rules.CodeNumberInvalid, w.r.at, w.view.Position))
			}
			out[i] = w.invalid
			continue
		}
		row := scrubRow{at: i, number: n, token: w.Keys.Token(x), state: -1}
		if broken, err := w.broken(w.view, n.E164, row.token); err != nil {
			return err
		} else if broken {
			if w.lost == nil {
				w.lost = w.say(rules.Blocked(rules.CodeLedgerIntegrity, w.r.at, w.view.Position))
			}
			out[i] = w.lost
			continue
		}
		if w.view.MayHaveState(row.token) {
			row.state = 0 // see states.load
		}
		w.rows, w.digits = append(w.rows, row), append(w.digits, digits)
	}
	return nil
}

// askLists appends what each list says of each number, so many answers a number.
func (w *scrubWorker) askLists(dst []rules.RegistryAnswer, numbers []uint64) (answers []rules.RegistryAnswer, lists int) {
	if w.r.asOf.IsZero() {
		return w.known.lists.AppendMany(dst, numbers, w.in.Seller, w.r.at)
	}
	for _, n := range numbers {
		dst = w.known.lists.AppendAnswersAsOf(dst, n, w.in.Seller, w.r.at, w.r.asOf)
	}
	return dst, len(dst) / len(numbers)
}

// say gives the one answer that says what a decision does.
func (w *scrubWorker) say(d *consentv1.Decision) *said {
	b := append(w.content[:0], byte(d.GetVerdict()))
	text := func(s string) { b = append(binary.AppendUvarint(b, uint64(len(s))), s...) }
	text(d.GetBasis())
	for _, r := range d.GetReasons() {
		text(r.GetCode())
	}
	b = append(b, 0) // no code, registry or pack is empty
	if t := d.GetNextAllowedAt(); t != nil {
		b = binary.AppendVarint(binary.AppendVarint(b, t.GetSeconds()+1), int64(t.GetNanos()))
	}
	b = append(b, 0)
	for _, l := range d.GetLists() {
		text(l.GetRegistry())
		text(l.GetVersionDate())
		if l.GetListed() {
			b = append(b, 1)
		} else {
			b = append(b, 0)
		}
	}
	b = append(b, 0)
	for _, p := range d.GetPacks() {
		text(p.GetId())
		text(p.GetVersion())
	}
	w.content = b
	if a := w.equal[string(b)]; a != nil {
		return a
	}
	if w.equal == nil || len(w.equal) >= sharedAnswersMax {
		w.equal = map[string]*said{}
	}
	a := &said{row: scrubRowOf(d), decision: d}
	w.equal[string(b)] = a
	return a
}

// scrubRowOf is a decision in short.
func scrubRowOf(d *consentv1.Decision) *consentv1.ScrubRow {
	row := &consentv1.ScrubRow{Verdict: d.GetVerdict(), Basis: d.GetBasis(), NextAllowedAt: d.GetNextAllowedAt(), Position: d.GetPosition(), Lists: d.GetLists(), At: d.GetAt()}
	for _, r := range d.GetReasons() {
		row.Reasons = append(row.Reasons, r.GetCode())
		row.Invalid = row.Invalid || r.GetCode() == rules.CodeNumberInvalid
	}
	for _, p := range d.GetPacks() {
		row.Packs = append(row.Packs, p.GetId()+" "+p.GetVersion())
	}
	return row
}

// states are what is on record of the numbers of one message, read in one pass.
type states struct {
	keys   [][]byte // two for each number: towards the seller and towards all
	values [][]byte
	ends   []int // of the values in bytes
	places []int
	bytes  []byte
}

// load reads what is on record of the rows that may have something, in the order
// of the database, and gives each its place.
func (s *states) load(v runner.View, seller string, rows []scrubRow) error {
	var known []*scrubRow
	for i := range rows {
		if rows[i].state >= 0 {
			known = append(known, &rows[i])
		}
	}
	slices.SortFunc(known, func(a, b *scrubRow) int { return bytes.Compare(a.token[:], b.token[:]) })
	s.keys, s.ends, s.places, s.bytes = s.keys[:0], s.ends[:0], s.places[:0], s.bytes[:0]
	for i, row := range known {
		row.state = 2 * i
		s.keys = append(s.keys, suppression.Key(row.token, seller), suppression.Key(row.token, ledger.All))
	}
	s.values = append(s.values[:0], make([][]byte, len(s.keys))...)
	err := v.GetMany(s.keys, func(i int, value []byte) error {
		s.bytes = append(s.bytes, value...)
		s.places, s.ends = append(s.places, i), append(s.ends, len(s.bytes))
		return nil
	})
	begin := 0
	for i, end := range s.ends {
		s.values[s.places[i]] = s.bytes[begin:end:end]
		begin = end
	}
	return err
}

// get gives what reads the state at a place; nil for a number without one.
func (s *states) get(at int) func(key []byte) ([]byte, error) {
	if at < 0 {
		return nil
	}
	return func(key []byte) ([]byte, error) {
		for i := at; i < at+2; i++ {
			if bytes.Equal(key, s.keys[i]) {
				return s.values[i], nil
			}
		}
		return nil, errOtherState
	}
}

// errOtherState: a decision wants a state that was not read for it.
var errOtherState = errors.New("rpc: scrub: a state was asked for that is of another number or seller")
