package rpc

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"

	"connectrpc.com/connect"
	"github.com/google/uuid"

	"github.com/consent-ledger/consent-ledger/ledger"
	"github.com/consent-ledger/consent-ledger/ledger/bundle"
	"github.com/consent-ledger/consent-ledger/ledger/declare"
	"github.com/consent-ledger/consent-ledger/ledger/directory/keeper"
	"github.com/consent-ledger/consent-ledger/ledger/index"
	"github.com/consent-ledger/consent-ledger/ledger/phone"
	"github.com/consent-ledger/consent-ledger/ledger/reader"
	"github.com/consent-ledger/consent-ledger/ledger/recorder"
	ledgerrpc "github.com/consent-ledger/consent-ledger/ledger/rpc"
	"github.com/consent-ledger/consent-ledger/ledger/seal"
	"github.com/consent-ledger/consent-ledger/ledger/timestamp"
	"github.com/consent-ledger/consent-ledger/ledger/tree"
	"github.com/consent-ledger/consent-ledger/projections/attempts"
	"github.com/consent-ledger/consent-ledger/projections/publication"
	"github.com/consent-ledger/consent-ledger/projections/runner"
	"github.com/consent-ledger/consent-ledger/projections/timeline"
	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

// exportNumbersMax bounds a case.
const exportNumbersMax = 1000

// Export implements consentv1connect.ExportServiceHandler. All formats take one
// way: entries are chosen, handed to a sink in the order of the ledger, and the
// export is recorded before its end goes out.
type Export struct {
	*Decider
	Recorder *recorder.Recorder
	// Tree, Signing, PackFiles and AttemptLog are what bundles need besides.
	Tree       *tree.Tree
	Signing    *seal.Signing
	PackFiles  publication.Files
	AttemptLog attempts.Log
	// Timestamps has the stamps of the checkpoints of bundles.
	Timestamps *timestamp.Keeper
	// Directory fixes every history in the ledger as it is, before one is handed
	// out, and gives what lists and proves it.
	Directory func(context.Context) (*keeper.Committed, error)
	// Index finds what is recorded under an idempotency hash.
	Index interface {
		Idempotency(ledger.Hash) (index.Recorded, bool, error)
	}
}

// exporting is one export under way.
type exporting struct {
	req     *consentv1.ExportRequest
	through ledger.Position
	classes []consentv1.PersonalClass
	numbers []exportedNumber
	// entries were handed out; of their personal parts, withheld can still be disclosed
	// and erased cannot.
	entries, withheld, erased uint64
	sink                      sink
	// directory fixed the histories.
	directory *keeper.Committed
	// unstamped says why a bundle has no timestamp though an authority was asked.
	unstamped string
}

// exportedNumber is one number that is asked for.
type exportedNumber struct {
	e164  string
	token ledger.Token
}

// sink takes what is exported. entry is called in the order of the ledger; number
// counts from 1 and is 0 if a seller is asked for. finish gives what the
// ExportProduced fact says of it, and what still has to go out after that fact.
type sink interface {
	entry(ctx context.Context, number int, e *ledger.Entry, parts []reader.OpenedPart, erased int) error
	finish(ctx context.Context) (sum ledger.Hash, end func() error, err error)
}

// Export streams entries or a zip, records that it did, and ends with that receipt.
func (s *Export) Export(ctx context.Context, req *connect.Request[consentv1.ExportRequest], st *connect.ServerStream[consentv1.ExportResponse]) error {
	err := s.export(ctx, req.Msg, st.Send)
	if errors.Is(err, bundle.ErrTooLarge) {
		err = &ledger.InvalidError{Field: "format", Problem: "zip holds no more than 4 GB",
			Fix: "make several exports: of fewer numbers, of shorter periods, or without decisions"}
	}
	return ledgerrpc.Error(err)
}

func (s *Export) export(ctx context.Context, req *consentv1.ExportRequest, send func(*consentv1.ExportResponse) error) (err error) {
	x := &exporting{req: req, classes: bundle.AllClasses()}
	if err := s.read(x); err != nil {
		return err
	}
	if x.directory, err = s.Directory(ctx); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, x.directory.Close()) }()
	x.through = s.Acked()
	last := &consentv1.ExportEnd{}
	if format(req.GetFormat()) == "zip" {
		z, err := s.newZip(ctx, x, send)
		if err != nil {
			return err
		}
		x.sink, last.Cosignatures = z, z.cosigned
		if len(x.numbers) > 0 && z.provesAll() {
			last.CompleteThrough = uint64(x.directory.Statement.Covers)
		}
	} else {
		x.sink = &entrySink{send: send}
	}
	if err := s.choose(ctx, x); err != nil {
		return err
	}
	sum, end, err := x.sink.finish(ctx)
	if err != nil {
		return err
	}
	receipt, err := s.Recorder.System(ctx, x.fact(sum))
	if err != nil {
		return err
	}
	if err := end(); err != nil {
		return err
	}
	last.Entries, last.ThroughPosition, last.Receipt = x.entries, uint64(x.through), ledgerrpc.Receipt(receipt)
	last.PartsWithheld, last.PartsErased = x.withheld, x.erased
	if format(req.GetFormat()) == "zip" {
		last.Sha256, last.NotTimestamped = sum.String(), x.unstamped
	}
	return send(&consentv1.ExportResponse{Part: &consentv1.ExportResponse_End{End: last}})
}

func format(f string) string {
	if f == "csv" || f == "zip" {
		return f
	}
	return "jsonl"
}

// read checks the request and finds its numbers.
func (s *Export) read(x *exporting) error {
	asked := x.req.GetNumbers()
	if x.req.GetNumber() != "" {
		asked = append([]string{x.req.GetNumber()}, asked...)
	}
	if (len(asked) == 0) == (x.req.GetSeller() == "") {
		return &ledger.InvalidError{Field: "number", Problem: "and seller are both set or both missing", Fix: "name one of them"}
	}
	if len(asked) > exportNumbersMax {
		return &ledger.InvalidError{Field: "numbers", Problem: fmt.Sprintf("are more than %d", exportNumbersMax), Fix: "make several exports"}
	}
	for _, f := range []struct{ field, text string }{{"purpose", x.req.GetPurpose()}, {"recipient", x.req.GetRecipient()}, {"case_id", x.req.GetCaseId()}} {
		if err := bundle.CheckLine(f.field, f.text); err != nil {
			return err
		}
	}
	if d := x.req.GetDisclosure(); d != nil {
		x.classes = slices.Compact(slices.Sorted(slices.Values(d.GetClasses())))
		if slices.ContainsFunc(x.classes, func(c consentv1.PersonalClass) bool { return !slices.Contains(bundle.AllClasses(), c) }) {
			return &ledger.InvalidError{Field: "disclosure", Problem: "names a class that this version does not know", Fix: "use " + bundle.ClassWords(bundle.AllClasses())}
		}
	}
	if seller := x.req.GetSeller(); seller != "" {
		if _, ok := s.Listing.Snapshot().Seller(seller); !ok {
			return &ledger.InvalidError{Field: "seller", Problem: "is not registered", Fix: "register it first: consent seller add ID"}
		}
	}
	for _, number := range asked {
		n, err := phone.Parse(number, x.req.GetDefaultRegion())
		if err != nil {
			return declare.Unreadable(err, false)
		}
		exchange, err := s.Keys.Exchange(n.E164)
		if err != nil {
			return err
		}
		token := s.Keys.Token(exchange)
		if !slices.ContainsFunc(x.numbers, func(o exportedNumber) bool { return o.token == token }) {
			x.numbers = append(x.numbers, exportedNumber{n.E164, token})
		}
	}
	return nil
}

// fact says what was handed out, to whom and why.
func (x *exporting) fact(sum ledger.Hash) *consentv1.Fact {
	subject := "seller"
	switch len(x.numbers) {
	case 0:
	case 1:
		subject = "number"
	default:
		subject = "numbers"
	}
	return &consentv1.Fact{Source: "consent-ledger", EventId: "export-" + uuid.NewString(), Kind: &consentv1.Fact_ExportProduced{ExportProduced: &consentv1.ExportProduced{
		Subject: subject, Format: format(x.req.GetFormat()), Entries: x.entries, Sha256: sum[:], ThroughPosition: uint64(x.through), Disclosed: x.classes,
		Purpose: x.req.GetPurpose(), Recipient: x.req.GetRecipient(), CaseId: x.req.GetCaseId(), Seller: x.req.GetSeller()}}}
}

// choose hands every entry that is asked for to the sink.
func (s *Export) choose(ctx context.Context, x *exporting) error {
	if len(x.numbers) == 0 {
		return s.chooseSeller(ctx, x)
	}
	type place struct {
		at     ledger.Position
		number int
	}
	var places []place
	for i, n := range x.numbers {
		positions, err := s.positions(ctx, x, n)
		if err != nil {
			return err
		}
		for _, at := range positions {
			places = append(places, place{at, i + 1})
		}
	}
	slices.SortFunc(places, func(a, b place) int { return cmp.Compare(a.at, b.at) })
	for _, p := range places {
		e, err := s.Reader.Entry(ctx, p.at)
		if err != nil {
			return err
		}
		if err := s.hand(ctx, x, p.number, e); err != nil {
			return err
		}
	}
	return nil
}

// positions are all entries about a number: those that the directory covers, among
// them those before an erasure, which the timeline forgets, and what came since.
func (s *Export) positions(ctx context.Context, x *exporting, n exportedNumber) ([]ledger.Position, error) {
	covered, err := x.directory.Positions(n.e164)
	if err != nil {
		return nil, err
	}
	out := covered
	err = s.Runner.Read(ctx, x.through, func(v runner.View) error {
		out = slices.Clip(covered)
		return s.history(ctx, v, n.token, x.directory.Statement.Covers, func(it timeline.Item) (bool, error) {
			if it.Position <= x.through {
				out = append(out, it.Position)
			}
			return it.Position <= x.through, nil
		})
	})
	return out, err
}

func (s *Export) chooseSeller(ctx context.Context, x *exporting) error {
	for entries, err := range s.Reader.Entries(ctx, 0) {
		if err != nil {
			return err
		}
		for _, e := range entries {
			sellers := e.Fact().GetSellers()
			if !e.Token.IsZero() && (slices.Contains(sellers, x.req.GetSeller()) || slices.Contains(sellers, ledger.All)) {
				if err := s.hand(ctx, x, 0, e); err != nil {
					return err
				}
			}
			if e.Position >= x.through {
				return nil
			}
		}
	}
	return context.Cause(ctx)
}

// hand gives one entry to the sink if it was recorded in the period asked for.
func (s *Export) hand(ctx context.Context, x *exporting, number int, e *ledger.Entry) error {
	if from := x.req.GetFrom(); from != nil && e.RecordedAt.Before(from.AsTime()) {
		return nil
	}
	if to := x.req.GetTo(); to != nil && !e.RecordedAt.Before(to.AsTime()) {
		return nil
	}
	parts, erased, err := s.Reader.Parts(ctx, e, nonNil(x.classes))
	if err != nil {
		return err
	}
	x.entries++
	x.erased += uint64(erased)
	x.withheld += uint64(len(e.Msg.GetPersonal()) - len(parts) - erased)
	return x.sink.entry(ctx, number, e, parts, erased)
}

// nonNil: no class is not every class.
func nonNil(classes []consentv1.PersonalClass) []consentv1.PersonalClass {
	if classes == nil {
		return []consentv1.PersonalClass{}
	}
	return classes
}

// entrySink sends entries one by one.
type entrySink struct {
	send   func(*consentv1.ExportResponse) error
	leaves ledger.Hash // running hash: SHA-256 over the one before and the leaf
	began  bool
}

func (k *entrySink) entry(_ context.Context, _ int, e *ledger.Entry, parts []reader.OpenedPart, erased int) error {
	full, err := reader.Restored(e, parts)
	if err != nil {
		return err
	}
	before := k.leaves[:]
	if !k.began {
		before, k.began = nil, true
	}
	k.leaves = sha256.Sum256(append(slices.Clone(before), e.Leaf[:]...))
	return k.send(&consentv1.ExportResponse{Part: &consentv1.ExportResponse_Entry{Entry: &consentv1.ExportedEntry{
		Position: uint64(e.Position), Entry: e.Bytes, LeafHash: e.Leaf.String(), Personal: personal(full), Erased: erased > 0}}})
}

func (k *entrySink) finish(context.Context) (ledger.Hash, func() error, error) {
	sum := sha256.Sum256(k.leaves[:])
	if !k.began {
		sum = sha256.Sum256(nil)
	}
	return sum, func() error { return nil }, nil
}
