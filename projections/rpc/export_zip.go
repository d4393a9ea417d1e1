package rpc

import (
	"cmp"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/consent-ledger/consent-ledger/ledger"
	"github.com/consent-ledger/consent-ledger/ledger/bundle"
	"github.com/consent-ledger/consent-ledger/ledger/directory"
	"github.com/consent-ledger/consent-ledger/ledger/proof"
	"github.com/consent-ledger/consent-ledger/ledger/reader"
	ledgerrpc "github.com/consent-ledger/consent-ledger/ledger/rpc"
	"github.com/consent-ledger/consent-ledger/ledger/timestamp"
	"github.com/consent-ledger/consent-ledger/ledger/tree"
	"github.com/consent-ledger/consent-ledger/projections/listing"
	"github.com/consent-ledger/consent-ledger/projections/rules"
	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

const (
	// zipMessageBytes is how much of a zip goes into one message.
	zipMessageBytes = 256 << 10
	// checkpointWait bounds the wait for a checkpoint over what is exported: one a
	// second is made.
	checkpointWait = 10 * time.Second
	// cosignWait bounds the wait for witnesses, who are asked every ten seconds.
	cosignWait = 25 * time.Second
	// answersAtOnce is how many questions are answered from one view.
	answersAtOnce = 1000
	// wordingsMax bounds the wordings shown in one bundle.
	wordingsMax = 1000
)

// zipSink makes a bundle.
type zipSink struct {
	s      *Export
	x      *exporting
	w      *bundle.Writer
	out    zipStream
	prover *tree.Prover
	// cosigned is how far witnesses vouch for the checkpoint; nil: none is asked.
	cosigned *consentv1.Cosignatures
	asked    []reasons           // by number: what its entries give reason to ask
	about    [][]directory.Event // by number: its entries
	shown    map[string]bool     // ids of wordings that entries name
}

// reasons are what the entries of a number give reason to ask: about the campaigns of
// sellers (ledger.All: of all), and what entries name that no campaign may ask.
type reasons struct {
	sellers map[string]bool
	named   map[question]bool
}

// question is what is asked about a number.
type question struct {
	seller, campaign string
	channel          consentv1.Channel
	purpose          consentv1.Purpose
}

// zipStream sends bytes in messages.
type zipStream struct {
	send func(*consentv1.ExportResponse) error
}

func (z zipStream) Write(p []byte) (n int, err error) {
	for chunk := range slices.Chunk(p, zipMessageBytes) {
		if err := z.send(&consentv1.ExportResponse{Part: &consentv1.ExportResponse_Zip{Zip: chunk}}); err != nil {
			return n, err
		}
		n += len(chunk)
	}
	return n, nil
}

// newZip begins a bundle under a checkpoint that covers all that is exported.
func (s *Export) newZip(ctx context.Context, x *exporting, send func(*consentv1.ExportResponse) error) (*zipSink, error) {
	if len(x.numbers) > 0 && (x.req.GetFrom() != nil || x.req.GetTo() != nil) {
		return nil, &ledger.InvalidError{Field: "from", Problem: "and to cut a number's history, and then nobody could tell what is missing", Fix: "export the whole history of a number; a period goes with a seller"}
	}
	wait, cancel := context.WithTimeout(ctx, checkpointWait+cosignWait)
	defer cancel()
	c, err := s.Tree.WaitShown(wait, x.through, cosignWait)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ledger.ErrNotReady, err)
	}
	m := bundle.Manifest{Origin: s.Signing.Origin, Produced: s.Now().UTC().Truncate(time.Second), Seller: x.req.GetSeller(), From: timeOf(x.req.GetFrom()), To: timeOf(x.req.GetTo()),
		Case: x.req.GetCaseId(), Purpose: x.req.GetPurpose(), Recipient: x.req.GetRecipient(), Disclosed: x.classes, Through: x.through}
	e164 := make([]string, len(x.numbers))
	for i, n := range x.numbers {
		if slices.Contains(x.classes, consentv1.PersonalClass_PERSONAL_CLASS_NUMBER) {
			e164[i] = n.e164
		}
	}
	z := &zipSink{s: s, x: x, out: zipStream{send}, prover: s.Tree.Prover(c), asked: make([]reasons, len(x.numbers)),
		about: make([][]directory.Event, len(x.numbers)), shown: map[string]bool{}}
	for i := range z.asked {
		z.asked[i] = reasons{map[string]bool{}, map[question]bool{}}
	}
	if q, asked := s.Tree.Quorum(c); asked {
		z.cosigned = ledgerrpc.Cosignatures(q)
	}
	z.w = bundle.NewWriter(z.out, m, c, e164)
	z.stamp(ctx, c)
	return z, z.since(x.req.GetSinceCheckpoint())
}

// stamp has an authority say when the checkpoint existed. One that does not answer is no
// reason to withhold a bundle; the page and the end of the export tell of it.
func (z *zipSink) stamp(ctx context.Context, c proof.Checkpoint) {
	s, err := z.s.Timestamps.Stamp(ctx, c)
	if errors.Is(err, timestamp.ErrNobodyAsked) {
		return
	}
	if err != nil {
		z.x.unstamped = err.Error()
		z.w.NoTimestamp()
		return
	}
	z.w.Timestamp(s)
}

func timeOf(t *timestamppb.Timestamp) time.Time {
	if t == nil {
		return time.Time{}
	}
	return t.AsTime()
}

func (z *zipSink) entry(_ context.Context, number int, e *ledger.Entry, parts []reader.OpenedPart, erased int) error {
	path, err := z.prover.Path(e.Position, e.Leaf)
	if err != nil {
		return err
	}
	full, err := reader.Restored(e, parts)
	if err != nil {
		return err
	}
	r := bundle.Record{Position: e.Position, Number: number, Entry: e.Bytes, Path: path}
	for _, p := range parts {
		r.Opened = append(r.Opened, bundle.Opened{Field: p.Field, Salt: p.Salt[:], Value: p.Value})
	}
	if id := e.Fact().GetWording(); id != "" && len(z.shown) < wordingsMax {
		z.shown[id] = true
	}
	shown := bundle.Shown{Entry: e.Msg, Leaf: e.Leaf, Personal: personal(full), Erased: erased > 0}
	if number > 0 {
		z.asked[number-1].note(e.Fact())
		z.about[number-1] = append(z.about[number-1], directory.Event{Position: e.Position, Leaf: e.Leaf})
	}
	return z.w.Add(bundle.Item{Record: r, Row: shown.Row(), Event: event(number, e, shown, len(parts), erased)})
}

// event is an entry in plain words, in the story of a number or, if that is 0, of a
// seller.
func event(number int, e *ledger.Entry, shown bundle.Shown, opened, erased int) bundle.Event {
	f := e.Fact()
	ev := bundle.Event{Recorded: shownTime(e.RecordedAt), What: strings.Replace(summary(f), "dnc ", "Do-Not-Call ", 1), Sellers: strings.Join(f.GetSellers(), ", "), Source: f.GetSource(), Wording: f.GetWording()}
	earliest, latest := timeOf(f.GetEarliest()), timeOf(f.GetLatest())
	switch {
	case latest.IsZero():
	case earliest.Equal(latest):
		ev.Happened = shownTime(latest)
	default:
		ev.Happened = "between " + shownTime(earliest) + " and " + shownTime(latest)
	}
	for _, name := range slices.Sorted(maps.Keys(shown.Personal)) {
		last := name[strings.LastIndexByte(name, '.')+1:]
		if name == "number" && number > 0 { // in the heading, and proven to be this one
			continue
		}
		ev.Said = append(ev.Said, bundle.Said{Name: strings.ReplaceAll(last, "_", " "), Value: shown.Personal[name]})
	}
	var missing []string
	if erased > 0 {
		missing = append(missing, fmt.Sprintf("%s can be opened by nobody: the person was erased", partsInWords(erased)))
	}
	if withheld := len(e.Msg.GetPersonal()) - opened - erased; withheld > 0 {
		missing = append(missing, partsInWords(withheld)+" not disclosed here")
	}
	ev.Withheld = strings.Join(missing, "; ")
	return ev
}

// partsInWords counts personal parts.
func partsInWords(n int) string { return ledger.Counted(n, "personal part", "personal parts") }

func shownTime(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05Z") }

// note keeps what an entry gives reason to ask.
func (r reasons) note(f *consentv1.Fact) {
	scope := ledger.ScopeOf(f)
	for _, seller := range f.GetSellers() {
		r.sellers[seller] = true
		for _, channel := range scope.GetChannels() {
			for _, purpose := range scope.GetPurposes() {
				if channel > consentv1.Channel_CHANNEL_ALL && purpose > consentv1.Purpose_PURPOSE_ALL && seller != ledger.All {
					r.named[question{seller: seller, channel: channel, purpose: purpose}] = true
				}
			}
		}
	}
}

// questions are what is asked about a number, in one order: of each seller its
// campaigns first, then what entries name and no campaign asks.
func (r reasons) questions(listed *listing.Snapshot) []question {
	var out []question
	by := map[question]bool{} // what campaigns ask
	for _, c := range listed.Campaigns() {
		if r.sellers[c.Seller] || r.sellers[ledger.All] {
			out = append(out, question{seller: c.Seller, campaign: c.ID, channel: c.Channel, purpose: c.Purpose})
			by[question{seller: c.Seller, channel: c.Channel, purpose: c.Purpose}] = true
		}
	}
	for q := range r.named {
		if _, ok := listed.Seller(q.seller); ok && !by[q] {
			out = append(out, q)
		}
	}
	slices.SortFunc(out, func(a, b question) int {
		return cmp.Or(cmp.Compare(a.seller, b.seller), -cmp.Compare(min(len(a.campaign), 1), min(len(b.campaign), 1)),
			cmp.Compare(a.campaign, b.campaign), cmp.Compare(a.channel, b.channel), cmp.Compare(a.purpose, b.purpose))
	})
	return out
}

// answer shows what the ledger answers now about every number.
func (z *zipSink) answer(ctx context.Context) error {
	for i := range z.x.numbers {
		for asked := range slices.Chunk(z.asked[i].questions(z.s.Listing.Snapshot()), answersAtOnce) {
			if err := z.answerThese(ctx, i, asked); err != nil {
				return err
			}
		}
	}
	return nil
}

// answerThese answers questions about the number with an index.
func (z *zipSink) answerThese(ctx context.Context, number int, asked []question) error {
	qs := make([]*consentv1.Question, len(asked))
	for i, q := range asked {
		qs[i] = &consentv1.Question{Number: z.x.numbers[number].e164, Campaign: q.campaign}
		if q.campaign == "" {
			qs[i].Seller, qs[i].Channel, qs[i].Purpose = q.seller, q.channel, q.purpose
		}
	}
	answers, err := z.s.decide(ctx, qs, asking{})
	if err != nil {
		return err
	}
	for i, d := range answers {
		if err := z.decision(ctx, decided(number+1, "answer", asked[i], d), d); err != nil {
			return err
		}
	}
	return nil
}

// decided is a decision as a bundle shows it.
func decided(number int, kind string, q question, d *consentv1.Decision) bundle.Decision {
	out := bundle.Decision{Number: number, Kind: kind, Seller: q.seller, Campaign: q.campaign, Channel: word(q.channel, "CHANNEL_"), Purpose: word(q.purpose, "PURPOSE_"),
		Verdict: "BLOCK", Basis: d.GetBasis(), At: shownTime(d.GetAt().AsTime()), Position: d.GetPosition(), Reasons: []bundle.Reason{}, Packs: []bundle.Pack{}}
	if d.GetVerdict() == consentv1.Verdict_VERDICT_ALLOW {
		out.Verdict = "ALLOW"
	}
	if t := d.GetNextAllowedAt(); t != nil {
		out.NextAllowedAt = shownTime(t.AsTime())
	}
	for _, r := range d.GetReasons() {
		out.Reasons = append(out.Reasons, bundle.Reason{Code: r.GetCode(), Text: cmp.Or(r.GetText(), rules.TextOf(r.GetCode())), Citation: r.GetCitation(), Rule: r.GetRule()})
	}
	for _, p := range d.GetPacks() {
		out.Packs = append(out.Packs, bundle.Pack{ID: p.GetId(), Version: p.GetVersion(), SHA256: p.GetSha256()})
	}
	return out
}

// decision shows a decision with the packs by which it was made.
func (z *zipSink) decision(ctx context.Context, b bundle.Decision, d *consentv1.Decision) error {
	for _, p := range d.GetPacks() {
		if err := z.pack(ctx, p.GetSha256()); err != nil {
			return err
		}
	}
	return z.w.Decide(b)
}

// pack shows the file of a pack and the entry that published it.
func (z *zipSink) pack(ctx context.Context, sha256 string) error {
	raw, err := hex.DecodeString(sha256)
	if err != nil || len(raw) != len(ledger.Hash{}) {
		return fmt.Errorf("export: a decision names a pack by no SHA-256: %w", ledger.ErrDamaged)
	}
	for _, p := range z.s.Packs.Snapshot().Published() {
		if p.SHA256 != ledger.Hash(raw) || p.Position > z.x.through {
			continue
		}
		if err := z.cite(ctx, p.Position); err != nil {
			return err
		}
		file, err := z.s.PackFiles.Get(ctx, p.SHA256)
		if err != nil {
			return err
		}
		return z.w.Pack(file)
	}
	return nil // published after what is exported: the report names it
}

// cite shows an entry about no number.
func (z *zipSink) cite(ctx context.Context, at ledger.Position) error {
	e, err := z.s.Reader.Entry(ctx, at)
	if err != nil {
		return err
	}
	path, err := z.prover.Path(at, e.Leaf)
	if err != nil {
		return err
	}
	return z.w.Cite(bundle.Record{Position: at, Entry: e.Bytes, Path: path})
}

// provesAll tells whether numbers are disclosed: a number's place in the directory
// follows from it, and without it nothing shows that no entry was left out.
func (z *zipSink) provesAll() bool {
	return slices.Contains(z.x.classes, consentv1.PersonalClass_PERSONAL_CLASS_NUMBER)
}

// complete shows that nothing about the numbers is left out, if that can be shown.
func (z *zipSink) complete(ctx context.Context) error {
	d := z.x.directory
	if !z.provesAll() {
		return nil
	}
	e, err := z.s.Reader.Entry(ctx, d.Position)
	if err != nil {
		return err
	}
	for i, n := range z.x.numbers {
		token, proof, err := d.Prove(n.e164)
		if err != nil {
			return err
		}
		path := d.TokenPath(n.e164)
		if _, err := directory.Verify(directory.Shown{Directory: e.Bytes, Number: n.e164, Token: token, TokenPath: path, Proof: proof, Events: z.about[i]}); err != nil {
			return fmt.Errorf("export: the entries and the directory differ about a number; see: consent doctor: %w: %w", err, ledger.ErrDamaged)
		}
		if err := cmp.Or(z.cite(ctx, d.Position), z.w.Complete(i+1, d.Position, token, path, proof)); err != nil {
			return err
		}
	}
	return nil
}

func (z *zipSink) finish(ctx context.Context) (ledger.Hash, func() error, error) {
	if err := z.answer(ctx); err != nil {
		return ledger.Hash{}, nil, err
	}
	if z.x.req.GetDecisions() {
		if err := z.recorded(ctx); err != nil {
			return ledger.Hash{}, nil, err
		}
	}
	if err := cmp.Or(z.wordings(ctx), z.complete(ctx)); err != nil {
		return ledger.Hash{}, nil, err
	}
	tail, sum, err := z.w.Finish(z.s.Signing.Exports)
	return sum, func() error { _, err := z.out.Write(tail); return err }, err
}
