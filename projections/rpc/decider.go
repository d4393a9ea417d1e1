// Package rpc answers questions over Connect, gRPC, plain JSON and NATS micro
// services. Handlers translate and delegate; wire types stop here.
//
//	decider.go   one question and many, whatever the transport
//	scrub.go     a stream of numbers about one question
//	past.go      what held, or was known, at another instant
//	receipt.go   decisions that are kept, and their receipts
//	decision.go  DecisionService
//	attempts.go  AttemptService
//	summary.go   an entry in a sentence
//	feed.go      FeedService
//	export.go    ExportService
//	micro.go     the same over NATS
package rpc

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"connectrpc.com/connect"
	"golang.org/x/mod/sumdb/note"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/consent-ledger/consent-ledger/ledger"
	"github.com/consent-ledger/consent-ledger/ledger/declare"
	"github.com/consent-ledger/consent-ledger/ledger/phone"
	"github.com/consent-ledger/consent-ledger/ledger/reader"
	"github.com/consent-ledger/consent-ledger/ledger/seal"
	"github.com/consent-ledger/consent-ledger/ledger/zones"
	"github.com/consent-ledger/consent-ledger/projections/attempts"
	"github.com/consent-ledger/consent-ledger/projections/listing"
	"github.com/consent-ledger/consent-ledger/projections/parties"
	"github.com/consent-ledger/consent-ledger/projections/publication"
	"github.com/consent-ledger/consent-ledger/projections/registry"
	"github.com/consent-ledger/consent-ledger/projections/rules"
	"github.com/consent-ledger/consent-ledger/projections/runner"
	"github.com/consent-ledger/consent-ledger/projections/suppression"
	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

// applyWait is how long an answer waits for the projections. After that it is
// STATE_STALE: a dialer cannot wait longer.
const applyWait = time.Second

// Decider answers questions at or after everything this server acknowledged
// before they arrived. Safe for concurrent use.
type Decider struct {
	Runner   *runner.Runner
	Reader   *reader.Reader
	Listing  *listing.Projection
	Registry *registry.Projection
	Packs    *publication.Projection
	Keys     *seal.Keyring
	// Attempts knows what was tried and reserves.
	Attempts *attempts.Keeper
	// KeepDecisions: what Check and CheckBatch answer is durable before it is given.
	KeepDecisions bool
	// ScrubView is how long a scrub is answered from one view; 0: five minutes.
	ScrubView time.Duration
	// Receipts signs decision receipts, which name Durability.
	Receipts   note.Signer
	Durability consentv1.Durability
	// Integrity knows about whom something is lost; nil: nothing is.
	Integrity Integrity
	// Acked is the last durable position.
	Acked func() ledger.Position
	// Fresh tells whether the ledger's leader answered lately (DESIGN 5); it may
	// wait for that until ctx ends.
	Fresh func(ctx context.Context) bool
	// Now is the clock for questions without an instant.
	Now func() time.Time
	// Observe is told of every decision: that of so many numbers, and how long one took.
	Observe func(d *consentv1.Decision, numbers int, took time.Duration)
}

// asking is what one call's questions share.
type asking struct {
	atLeast ledger.Position
	region  string
	reveal  bool
	receipt bool // the answers are to be kept and signed

	// Filled by decide: when it was asked, what must be applied, and the attempts'
	// wholeness then.
	now   time.Time
	need  ledger.Position
	whole uint64

	// reserving is set for a reservation; asked takes what each question was.
	reserving *reserving
	asked     *[]resolved
}

// keeps tells whether somebody keeps what a question was about, its Input included,
// when it has been answered: then it lies on a desk of its own that nobody uses again.
func (a *asking) keeps() bool { return a.reserving != nil || a.asked != nil }

// resolved is a question made definite.
type resolved struct {
	number     phone.Number
	in         rules.Input
	at, asOf   time.Time
	past       bool // needs the timeline
	unreadable bool

	states    *suppression.Reader // reads what is on record; nil: one of its own
	call      attempts.Call       // what it is about, for what is stored of it
	whole     uint64              // the attempts' wholeness when it was asked
	reserving *reserving
}

// decide answers questions at one position. The error is for the whole call: a
// seller or campaign that is not registered, a position beyond the tail.
func (d *Decider) decide(ctx context.Context, qs []*consentv1.Question, a asking) ([]*consentv1.Decision, error) {
	began := time.Now()
	a.need, a.whole = d.Acked(), d.Attempts.Wholeness()
	if a.atLeast > a.need {
		return nil, connect.NewError(connect.CodeFailedPrecondition, fmt.Errorf("at_least: position %d lies beyond the ledger's tail %d; treat the answer as BLOCK", a.atLeast, a.need))
	}
	a.now = d.Now()
	// Nearly every answer waits for nothing, and a timer costs as much as a look at a
	// state: so the first try has no patience.
	out, err := d.answer(ctx, impatient, qs, &a)
	if errors.Is(err, errWaits) && !d.stuck() {
		wait, cancel := context.WithTimeout(ctx, applyWait)
		defer cancel()
		out, err = d.answer(ctx, wait, qs, &a)
	}
	if errors.Is(err, errWaits) {
		if a.asked != nil {
			*a.asked = nil // nothing was decided
		}
		return d.allBlocked(qs, &a), nil
	}
	if err != nil || a.reserving != nil {
		return out, err
	}
	took := time.Since(began) / time.Duration(max(1, len(qs)))
	for _, dec := range out {
		d.Observe(dec, 1, took)
	}
	return out, nil
}

// impatient is the context of a wait that nobody is ready for.
var impatient = func() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}()

// errWaits: what an answer needs was not there before the wait ended. Nothing was
// answered.
var errWaits = errors.New("rpc: not ready to answer")

// answer tries once, and waits for what it needs until wait ends (errWaits).
func (d *Decider) answer(ctx, wait context.Context, qs []*consentv1.Question, a *asking) ([]*consentv1.Decision, error) {
	if !d.Fresh(wait) || !d.AwaitPacks(wait) && wait == impatient {
		return nil, errWaits
	}
	out := make([]*consentv1.Decision, len(qs))
	if a.asked != nil {
		*a.asked = (*a.asked)[:0] // another try may have filled it
	}
	err := d.together(wait, a.need, func(v runner.View) error { return d.each(ctx, v, qs, a, out) })
	switch {
	case err == nil:
		return out, nil
	case errors.Is(err, errApart), errors.Is(err, runner.ErrStopped), wait.Err() != nil && ctx.Err() == nil:
		return nil, errWaits
	}
	return nil, err
}

// each answers questions from one view.
func (d *Decider) each(ctx context.Context, v runner.View, qs []*consentv1.Question, a *asking, out []*consentv1.Decision) error {
	known := resident{d.Listing.Snapshot(), d.Registry.Snapshot(), d.Packs.Snapshot()}
	if known.listed.Position != v.Position || known.lists.Position != v.Position || known.packs.Position != v.Position {
		return errApart
	}
	k := takeDesk(v)
	if !a.keeps() {
		defer k.clear()
	}
	for i, q := range qs {
		if i > 0 && a.keeps() {
			k = takeDesk(v)
		}
		if err := d.resolve(&k.resolved, q, a, known.listed); err != nil {
			return fmt.Errorf("questions[%d]: %w", i, err)
		}
		r := &k.resolved
		r.whole, r.reserving, r.states = a.whole, a.reserving, &k.states
		var err error
		if out[i], err = d.one(ctx, k, known); err != nil {
			return err
		}
		show(out[i], r.number, a.reveal)
		if a.asked != nil {
			*a.asked = append(*a.asked, *r)
		}
	}
	return nil
}

// resident is what is known beside the state, of the same position.
type resident struct {
	listed *listing.Snapshot
	lists  *registry.Snapshot
	packs  *publication.Snapshot
}

// AwaitPacks waits until there are rules to decide by, or ctx ends: a server that
// has just begun publishes its own within a moment, and fetches those of sellers.
// What was tried in vain is not waited for. It tells whether they are there.
func (d *Decider) AwaitPacks(ctx context.Context) bool {
	here := func() bool {
		_, ok := d.Packs.Snapshot().Packs("")
		return ok && !d.Packs.Fetching()
	}
	for !here() {
		changed := d.Packs.Watch()
		if here() {
			return true
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return here()
		}
	}
	return true
}

// errApart: state, listing and lists are of different positions. A pause lifted
// after a stop must not be seen without the stop, nor a rebuild's empty listing
// with full state.
var errApart = errors.New("rpc: projections are at different positions")

// together reads until state, listing and lists are of one position, which they
// are but for the moments of a commit or a rebuild.
func (d *Decider) together(ctx context.Context, need ledger.Position, f func(runner.View) error) error {
	for {
		err := d.Runner.Read(ctx, need, f)
		if !errors.Is(err, errApart) || ctx.Err() != nil {
			return err
		}
		runtime.Gosched()
	}
}

// allBlocked answers every question with STATE_STALE.
func (d *Decider) allBlocked(qs []*consentv1.Question, a *asking) []*consentv1.Decision {
	out := make([]*consentv1.Decision, len(qs))
	for i, q := range qs {
		at := a.now
		if q.GetAt() != nil {
			at = q.GetAt().AsTime()
		}
		n, _ := phone.Parse(q.GetNumber(), a.region)
		code := rules.CodeStateStale
		if d.Integrity != nil && d.Integrity.Blocks(n.E164) { // which is why state stands still
			code = rules.CodeLedgerIntegrity
		}
		out[i] = rules.Blocked(code, at, d.Runner.Applied())
		show(out[i], n, a.reveal)
		d.Observe(out[i], 1, 0)
	}
	return out
}

// show puts the number on a decision, masked unless asked for.
func show(dec *consentv1.Decision, n phone.Number, reveal bool) {
	if n.IsZero() {
		return
	}
	dec.Unassigned = n.Unassigned
	if reveal {
		dec.Number = n.E164
	} else {
		dec.Number = phone.Mask(n.E164)
	}
}

// resolve reads a question against what is registered.
func (d *Decider) resolve(r *resolved, q *consentv1.Question, a *asking, listed *listing.Snapshot) (err error) {
	*r = resolved{at: a.now, in: rules.Input{Seller: q.GetSeller(), Programme: q.GetProgramme(), Campaign: q.GetCampaign(), Channel: q.GetChannel(), Purpose: q.GetPurpose(),
		Subject: q.GetSubject(), Sector: q.GetSector(), Marketing: q.GetContent().GetMarketing(), OptOutNotice: q.GetContent().GetOptOutNotice(), CallReference: q.GetCallReference()}}
	if q.GetCampaign() != "" {
		c, ok := listed.Campaign(q.GetCampaign())
		if !ok {
			return &ledger.InvalidError{Field: "campaign", Problem: "is not registered", Fix: "register it first: consent campaign add ID --seller S --channel c --purpose p"}
		}
		r.in.Seller, r.in.Channel, r.in.Purpose, r.in.Programme = c.Seller, c.Channel, c.Purpose, c.Programme
		r.in.Subject, r.in.Sector = cmp.Or(c.Subject, r.in.Subject), cmp.Or(c.Sector, r.in.Sector)
	}
	if _, ok := listed.Seller(r.in.Seller); !ok {
		return &ledger.InvalidError{Field: "seller", Problem: "is missing or not registered", Fix: "name a registered seller or a campaign; register with: consent seller add ID"}
	}
	if consentv1.Channel_name[int32(r.in.Channel)] == "" || r.in.Channel <= consentv1.Channel_CHANNEL_ALL {
		return &ledger.InvalidError{Field: "channel", Problem: "is missing or not one channel", Fix: "name one, such as sms or voice_live"}
	}
	if consentv1.Purpose_name[int32(r.in.Purpose)] == "" || r.in.Purpose <= consentv1.Purpose_PURPOSE_ALL {
		return &ledger.InvalidError{Field: "purpose", Problem: "is missing or not one purpose", Fix: "name one, such as marketing"}
	}
	if p := r.in.Purpose; r.in.Marketing && p != consentv1.Purpose_PURPOSE_MARKETING && p != consentv1.Purpose_PURPOSE_OPT_OUT_CONFIRMATION {
		return &ledger.InvalidError{Field: "purpose", Problem: "says that the contact does not advertise, and content.marketing that it does", Fix: "ask with purpose marketing"}
	}
	if s := r.in.Subject; s != "" && !declare.ValidID(s) {
		return &ledger.InvalidError{Field: "subject", Problem: "is no id, so no attempt can be on record for it", Fix: "use 1 to 64 of a-z, 0-9, _ and -, with no 9 digits in a row"}
	}
	if p := r.in.Programme; p != "" {
		if _, ok := listed.Programme(r.in.Seller, p); !ok {
			return &ledger.InvalidError{Field: "programme", Problem: "is not registered for the seller", Fix: "register it first: consent programme add ID --seller S"}
		}
	}
	if q.GetAt() != nil {
		if !plausible(q.GetAt()) {
			return &ledger.InvalidError{Field: "at", Problem: "is no instant between 1970 and 2262", Fix: "write RFC 3339"}
		}
		r.at, r.past = q.GetAt().AsTime(), q.GetAt().AsTime().Before(a.now)
	}
	if q.GetAsOf() != nil {
		if !plausible(q.GetAsOf()) {
			return &ledger.InvalidError{Field: "as_of", Problem: "is no instant between 1970 and 2262", Fix: "write RFC 3339"}
		}
		r.asOf, r.past = q.GetAsOf().AsTime(), true
	}
	if r.number, err = phone.Parse(q.GetNumber(), a.region); err != nil {
		r.unreadable = true
	}
	return nil
}

// desk is what an answer is worked out on. It is used again, because making it anew
// took longer than the rules.
type desk struct {
	view     runner.View
	resolved resolved
	states   suppression.Reader
	answers  []rules.RegistryAnswer
	value    []byte
	get      func(key []byte) ([]byte, error) // the view's, into value
}

var desks = sync.Pool{New: func() any {
	k := &desk{value: make([]byte, 0, 512)}
	k.get = func(key []byte) (raw []byte, err error) {
		value, found, err := k.view.Append(k.value[:0], key)
		if k.value = value; !found {
			return nil, err
		}
		return value, err
	}
	return k
}}

func takeDesk(v runner.View) *desk {
	k := desks.Get().(*desk)
	k.view = v
	return k
}

// clear gives the desk back. Nobody may keep what lies on it.
func (k *desk) clear() {
	k.view, k.resolved = runner.View{}, resolved{}
	desks.Put(k)
}

// plausible tells whether an instant fits what the fold counts in: nanoseconds in
// 64 bits.
func plausible(t *timestamppb.Timestamp) bool {
	return t.CheckValid() == nil && t.AsTime().Year() >= 1970 && t.AsTime().Year() < 2262
}

// one answers the resolved question of a desk.
func (d *Decider) one(ctx context.Context, k *desk, known resident) (*consentv1.Decision, error) {
	r, v := &k.resolved, &k.view
	r.call.Seller, r.call.Campaign, r.call.Channel, r.call.Purpose, r.call.Subject = r.in.Seller, r.in.Campaign, r.in.Channel, r.in.Purpose, r.in.Subject
	if r.unreadable {
		return rules.Blocked(rules.CodeNumberInvalid, r.at, v.Position), nil
	}
	x, err := d.Keys.Exchange(r.number.E164)
	if err != nil {
		return rules.Blocked(rules.CodeNumberInvalid, r.at, v.Position), nil
	}
	token := d.Keys.Token(x)
	if broken, err := d.Broken(v, r.number.E164, token); err != nil {
		return nil, err
	} else if broken {
		return rules.Blocked(rules.CodeLedgerIntegrity, r.at, v.Position), nil
	}
	packs, err := d.asked(v.Position, known, r)
	if err != nil {
		return nil, err
	}
	if packs == nil {
		return rules.Blocked(rules.CodeStateStale, r.at, v.Position), nil
	}
	r.call.Exchange = x
	if n, ok := registry.ParseNumber(r.number.E164); ok {
		k.answers = known.lists.AppendAnswersAsOf(k.answers[:0], n, r.in.Seller, r.at, r.asOf)
		r.in.Registries = k.answers
	}
	get := k.get
	if !v.MayHaveState(token) {
		get = nil
	}
	if err := d.about(ctx, v, r, token, get, &r.in); err != nil {
		return nil, err
	}
	return rules.DecideOn(&r.in, packs), nil
}

// asked fills in what a decision may know of a question, whatever the number, and
// gives the packs to decide by; nil: they are not here.
func (d *Decider) asked(at ledger.Position, known resident, r *resolved) (packs *rules.Packs, err error) {
	packs, ok := known.packs.Packs(r.in.Seller)
	if !r.asOf.IsZero() {
		packs, ok = known.packs.PacksAsOf(r.in.Seller, r.asOf)
	}
	if !ok {
		return nil, nil
	}
	in := &r.in
	if in.Sector != "" && !slices.Contains(packs.Sectors(), in.Sector) {
		return nil, &ledger.InvalidError{Field: "sector", Problem: "is no word that a rule pack knows, so the rules of that trade would be silent",
			Fix: "use one of: " + strings.Join(packs.Sectors(), ", ") + "; or none"}
	}
	listed := known.listed
	in.At, in.Position, in.Tzdata = r.at, at, zones.Version()
	in.Distrusted = listed.Distrust()
	if !r.asOf.IsZero() {
		in.Distrusted = listed.DistrustedAsOf(r.asOf)
	}
	if in.PausedSince, in.Paused = listed.Paused(in.Seller); r.past {
		in.PausedSince, in.Paused = listed.PausedAt(in.Seller, r.at, r.asOf)
	}
	in.Emergencies = emergencies(listed, r.asOf)
	return packs, nil
}

// about fills in what a decision may know of the number, all but what the lists
// say, which the caller has. Every field that depends on the number is set here,
// so that one Input may serve for many. get reads states; nil: there is none now.
func (d *Decider) about(ctx context.Context, v *runner.View, r *resolved, token ledger.Token, get func([]byte) ([]byte, error), in *rules.Input) (err error) {
	in.View = suppression.View{}
	switch {
	case r.past:
		if in.View, err = d.viewAt(ctx, *v, token, in.Seller, r.at, r.asOf); err != nil {
			return err
		}
	case get != nil:
		if r.states == nil {
			r.states = &suppression.Reader{}
		}
		if in.View, err = r.states.Load(get, token, in.Seller); err != nil {
			return err
		}
		if in.View, err = parties.Load(v, in.View, token, in.Seller); err != nil {
			return err
		}
	}
	in.Unassigned = r.number.Unassigned
	in.Places, in.Areas = rules.Located(in.View, r.number.E164)
	return d.tried(v, token, r, in)
}

// emergencies are those declared, as far as they were known.
func emergencies(listed *listing.Snapshot, asOf time.Time) (out []rules.Emergency) {
	all := listed.Emergencies()
	if !asOf.IsZero() {
		all = listed.EmergenciesAsOf(asOf)
	}
	for _, e := range all {
		out = append(out, rules.Emergency{Area: e.Area, From: e.From, Until: e.Until, Reporting: e.Reporting})
	}
	return out
}
