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
	"github.com/consent-ledger/consent-ledger/projections/rules/places"
	"github.com/consent-ledger/consent-ledger/projections/runner"
	"github.com/consent-ledger/consent-ledger/projections/suppression"
	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

// breathEvery is after how many rows a worker lets single checks run.
const breathEvery = 64

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

	plain   func([]byte) (phone.PlainNumber, bool)
	classes rules.Classes[*said]
	shaper  suppression.Shaper
	invalid *said            // the answer to what is no number
	lost    *said            // and to what something is lost about
	equal   map[string]*said // by content
	content []byte

	// Of the message being answered, each as many as there are numbers that can be read.
	rows   []scrubRow
	e164   []e164
	digits []uint64
	tokens []ledger.Token
	lists  []uint64

	blocks [][16]byte // on their way to tokens
	may    []bool
	states states
	// attemptsKnown: of the rows to which nothing was tried, that is all there is.
	attemptsKnown bool
}

// scrubRow is a row whose number can be read.
type scrubRow struct {
	at         int // in the message
	unassigned bool
	tried      bool // something may have been tried
	state      int  // place of what is on record among states, -1: nothing is
}

// e164 is a number, with zeros behind it.
type e164 [16]byte

func (n *e164) String() string { return phone.Mask(n.reveal()) }

func (n *e164) reveal() string { return string(bytes.TrimRight(n[:], "\x00")) }

// answer answers a message of numbers.
func (w *scrubWorker) answer(ctx context.Context, all numbers) ([]*said, error) {
	out := make([]*said, len(all.ends))
	if err := w.read(all, out); err != nil {
		return nil, err
	}
	if err := w.states.load(w.view, w.r.in.Seller, w.rows, w.tokens); err != nil {
		return nil, err
	}
	if w.lists = w.lists[:0]; !w.r.past {
		w.lists = w.known.lists.AppendLists(w.lists, w.digits, w.in.Seller, w.r.at)
	}
	for i := range w.rows {
		if i%breathEvery == 0 {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			runtime.Gosched()
		}
		a, err := w.row(ctx, i)
		if err != nil {
			return nil, err
		}
		out[w.rows[i].at] = a
	}
	return out, nil
}

// read reads the numbers; the answer of those that cannot be read is known.
func (w *scrubWorker) read(all numbers, out []*said) error {
	w.rows, w.e164, w.digits, w.blocks = w.rows[:0], w.e164[:0], w.digits[:0], w.blocks[:0]
	all.each(func(i int, raw []byte) {
		n, unassigned, ok := w.number(raw)
		if !ok {
			if w.invalid == nil {
				w.invalid = w.say(rules.Blocked(rules.CodeNumberInvalid, w.r.at, w.view.Position))
			}
			out[i] = w.invalid
			return
		}
		w.rows = append(w.rows, scrubRow{at: i, unassigned: unassigned, state: -1})
		w.e164, w.blocks = append(w.e164, n), append(w.blocks, [16]byte(n))
		w.digits = append(w.digits, digitsOf(&n))
	})
	w.tokens = w.Keys.TokensOf(w.tokens[:0], w.blocks)
	if err := w.leaveLost(out); err != nil {
		return err
	}
	w.may = resized(w.may, len(w.rows))
	w.view.MayHaveStates(w.tokens, w.may)
	for i, may := range w.may {
		if may {
			w.rows[i].state = 0 // see states.load
		}
	}
	w.Attempts.MayHaveTried(w.tokens, w.may)
	for i, may := range w.may {
		w.rows[i].tried = may
	}
	w.attemptsKnown = w.Attempts.KnowsAll(w.r.whole, w.r.at)
	return nil
}

// leaveLost answers the rows about whose numbers something is lost, and leaves the others.
func (w *scrubWorker) leaveLost(out []*said) error {
	if w.Integrity == nil || w.Integrity.Whole() {
		return nil
	}
	kept := 0
	for i, row := range w.rows {
		broken, err := w.Broken(&w.view, w.e164[i].reveal(), w.tokens[i])
		if err != nil {
			return err
		}
		if broken {
			if w.lost == nil {
				w.lost = w.say(rules.Blocked(rules.CodeLedgerIntegrity, w.r.at, w.view.Position))
			}
			out[row.at] = w.lost
			continue
		}
		w.rows[kept], w.e164[kept], w.digits[kept], w.tokens[kept] = row, w.e164[i], w.digits[i], w.tokens[i]
		kept++
	}
	w.rows, w.e164, w.digits, w.tokens = w.rows[:kept], w.e164[:kept], w.digits[:kept], w.tokens[:kept]
	return nil
}

// number reads a number as people write it.
func (w *scrubWorker) number(raw []byte) (n e164, unassigned, ok bool) {
	if p, ok := w.plain(raw); ok {
		copy(n[:], p.E164[:])
		return n, p.Unassigned, true
	}
	p, err := phone.Parse(string(raw), w.region)
	_, readable := registry.ParseNumber(p.E164)
	_, bad := w.Keys.Exchange(p.E164)
	if err != nil || !readable || bad != nil {
		return n, false, false
	}
	copy(n[:], p.E164)
	return n, p.Unassigned, true
}

// digitsOf are the digits as the lists know them.
func digitsOf(n *e164) (d uint64) {
	for _, c := range n[1:] {
		if c == 0 {
			break
		}
		d = d*10 + uint64(c-'0')
	}
	return d
}

// row gives the answer of its class, or decides.
func (w *scrubWorker) row(ctx context.Context, i int) (*said, error) {
	row := &w.rows[i]
	if row.tried || w.r.past {
		return w.decide(ctx, i, nil)
	}
	n := rules.Number{Places: places.OfNumber(string(w.e164[i][:])).Places, Unassigned: row.unassigned, AttemptsKnown: w.attemptsKnown, Lists: w.lists[i]}
	if n.Lists == rules.ListsOwn {
		n.Registries = w.answers(i)
	}
	if seller, all := w.states.of(row.state); seller != nil || all != nil {
		shape, ok := w.shaper.Of(seller, all, w.r.at)
		if !ok {
			return w.decide(ctx, i, nil)
		}
		n.Shape = &shape
	}
	if a, ok := w.classes.Get(&n); ok {
		return a, nil
	}
	return w.decide(ctx, i, &n)
}

// decide decides about one number, and remembers the answer for its class; nil: it has none.
func (w *scrubWorker) decide(ctx context.Context, i int, class *rules.Number) (*said, error) {
	if w.packs == nil { // of as_of, there were none
		return w.say(rules.Blocked(rules.CodeStateStale, w.r.at, w.view.Position)), nil
	}
	w.r.number = phone.Number{E164: w.e164[i].reveal(), Unassigned: w.rows[i].unassigned}
	w.in.Registries = w.answers(i)
	if err := w.about(ctx, &w.view, &w.r, w.tokens[i], w.states.get(w.rows[i].state), &w.in); err != nil {
		return nil, err
	}
	switch {
	case class == nil:
		return w.say(rules.DecideOn(&w.in, w.packs)), nil
	case class.Shape == nil:
		a := w.say(rules.DecideOn(&w.in, w.packs))
		w.classes.Put(class, &w.in, rules.Span{}, a)
		return a, nil
	}
	d, span, ok := rules.DecideSpan(&w.in, w.packs, class.Shape.Instants)
	a := w.say(d)
	if ok {
		w.classes.Put(class, &w.in, span, a)
	}
	return a, nil
}

// answers is what each list says of a number.
func (w *scrubWorker) answers(i int) []rules.RegistryAnswer {
	return w.known.lists.AppendAnswersAsOf(nil, w.digits[i], w.in.Seller, w.r.at, w.r.asOf)
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
	known  []int          // rows that may have something, in the order of the database
	tokens []ledger.Token // theirs
	all    []bool         // which of them may have something towards all sellers
	asked  [][]byte       // keys
	places []int          // of what is asked: two for each row, towards the seller and towards all
	keys   [][]byte       // by place
	values [][]byte
	found  []int // places of the values that were found, and where they end in bytes
	ends   []int
	bytes  []byte
}

// load reads what is on record of the rows that may have something, and gives each its place.
func (s *states) load(v runner.View, seller string, rows []scrubRow, tokens []ledger.Token) error {
	s.order(rows, tokens)
	s.all = resized(s.all, len(s.known))
	v.MayHaveStatesTowardsAll(s.tokens, s.all)
	s.keys, s.values = resized(s.keys, 2*len(s.known)), resized(s.values, 2*len(s.known))
	s.asked, s.places = s.asked[:0], s.places[:0]
	for i, t := range s.tokens {
		s.keys[2*i], s.keys[2*i+1] = suppression.Key(t, seller), suppression.Key(t, ledger.All)
		s.asked, s.places = append(s.asked, s.keys[2*i]), append(s.places, 2*i)
		if s.all[i] {
			s.asked, s.places = append(s.asked, s.keys[2*i+1]), append(s.places, 2*i+1)
		}
	}
	clear(s.values)
	s.found, s.ends, s.bytes = s.found[:0], s.ends[:0], s.bytes[:0]
	err := v.GetMany(s.asked, func(i int, value []byte) error {
		s.bytes = append(s.bytes, value...)
		s.found, s.ends = append(s.found, s.places[i]), append(s.ends, len(s.bytes))
		return nil
	})
	begin := 0
	for i, end := range s.ends {
		s.values[s.found[i]] = s.bytes[begin:end:end]
		begin = end
	}
	return err
}

// order puts the rows that may have something into the order of the database.
func (s *states) order(rows []scrubRow, tokens []ledger.Token) {
	s.known, s.tokens = s.known[:0], s.tokens[:0]
	for i := range rows {
		if rows[i].state >= 0 {
			s.known = append(s.known, i)
		}
	}
	slices.SortFunc(s.known, func(a, b int) int { return bytes.Compare(tokens[a][:], tokens[b][:]) })
	for i, row := range s.known {
		rows[row].state = 2 * i
		s.tokens = append(s.tokens, tokens[row])
	}
}

// resized gives a slice of a size, whatever is in it.
func resized[T any](s []T, size int) []T { return slices.Grow(s[:0], size)[:size] }

// of gives what is on record at a place.
func (s *states) of(at int) (seller, all []byte) {
	if at < 0 {
		return nil, nil
	}
	return s.values[at], s.values[at+1]
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
