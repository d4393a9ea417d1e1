package node

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/consent-ledger/consent-ledger/ledger"
	ledgerrpc "github.com/consent-ledger/consent-ledger/ledger/rpc"
	"github.com/consent-ledger/consent-ledger/projections/publication"
	"github.com/consent-ledger/consent-ledger/projections/rules"
	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

// packBytesMax bounds a rule pack.
const packBytesMax = 1 << 20

// packFiles keeps rule packs.
type packFiles struct{ objects }

// Get implements publication.Files.
func (f packFiles) Get(ctx context.Context, file ledger.Hash) ([]byte, error) {
	r, err := f.objects.Get(ctx, file)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	plain, err := io.ReadAll(r)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", rulePack, err)
	}
	return plain, nil
}

// Put stores a pack under its SHA-256.
func (f packFiles) Put(ctx context.Context, file ledger.Hash, plain []byte) error {
	return f.objects.Put(ctx, file, func(w io.Writer) error { _, err := w.Write(plain); return err })
}

func (n *Node) packFiles() packFiles { return packFiles{objects{n.files, n.keys, rulePack}} }

// runPacks publishes the packs that come with the program, then fetches those that
// others have published, until ctx is done.
func (n *Node) runPacks(ctx context.Context) error {
	if err := n.publishEmbedded(ctx); err != nil {
		return errors.Join(ctx.Err(), err)
	}
	l := &publication.Loader{Projection: n.packs, Files: n.packFiles(), Failed: func(file ledger.Hash, err error) {
		n.cfg.Logger.Warn("rules: pack not fetched, what depends on it blocks", "file", file.String()[:8], "error", err)
	}}
	return l.Run(ctx)
}

// publishEmbedded records each pack of this program that is not the newest one of
// its id, all together, so that nobody ever decides by half of them. A crash in
// between leaves files that nobody names, or nothing: the next start publishes.
func (n *Node) publishEmbedded(ctx context.Context) error {
	if err := n.runner.WaitApplied(ctx, n.writer.Acked()); err != nil {
		return err
	}
	embedded, err := rules.Embedded()
	if err != nil {
		return err
	}
	files, err := rules.EmbeddedFiles()
	if err != nil {
		return err
	}
	var facts []*consentv1.Fact
	for _, id := range slices.Sorted(maps.Keys(files)) {
		p := embedded.Get(id)
		newest, found := n.packs.Snapshot().Newest(id)
		if found && newest.SHA256 == p.Hash() {
			continue
		}
		if err := n.packFiles().Put(ctx, p.Hash(), files[id]); err != nil {
			return err
		}
		facts = append(facts, packFact(p, newest, "comes with the program"))
	}
	if len(facts) == 0 {
		return nil
	}
	if _, err := n.recorder.SystemAll(ctx, facts); err != nil {
		return fmt.Errorf("publish: %w", err)
	}
	n.cfg.Logger.Info("rules: packs published", "packs", len(facts))
	return nil
}

// packFact announces a pack. Publishing the same file in the same place of the
// order is the same event; after another version it is another one.
func packFact(p *rules.Pack, before publication.Published, reason string) *consentv1.Fact {
	hash := p.Hash()
	return &consentv1.Fact{Source: "consent-ledger", EventId: fmt.Sprintf("pack-%s-%x-after-%d", p.ID, hash[:16], before.Position),
		Kind: &consentv1.Fact_RulePackPublished{RulePackPublished: &consentv1.RulePackPublished{Id: p.ID, Version: p.Version, Layer: string(p.Layer),
			Seller: p.Seller, Sha256: hash[:], Reason: reason}}}
}

// PublishPack publishes a seller's own pack. It must stand beside the packs that
// bind everybody, and can only add to what they demand.
func (o *operations) PublishPack(ctx context.Context, req *consentv1.PublishPackRequest) (*consentv1.PublishPackResponse, error) {
	n := o.n
	p, before, err := o.checkPack(req)
	if err != nil {
		return nil, err
	}
	if err := n.packFiles().Put(ctx, p.Hash(), req.GetFile()); err != nil {
		return nil, err
	}
	if before.SHA256 == p.Hash() && !before.Withdrawn { // the newest already: the same event
		before = n.before(before)
	}
	fact := packFact(p, before, req.GetReason())
	fact.Actor = req.GetActor()
	n.packs.Add(p)
	receipt, err := n.recorder.System(ctx, fact)
	if errors.Is(err, ledger.ErrEventIDConflict) {
		return nil, &ledger.InvalidError{Field: "file", Problem: "is the newest version already, published for another reason", Fix: "there is nothing to do"}
	}
	if err != nil {
		return nil, err
	}
	if err := n.runner.WaitApplied(ctx, receipt.Position); err != nil {
		return nil, err
	}
	return &consentv1.PublishPackResponse{Receipt: ledgerrpc.Receipt(receipt), Id: p.ID, Version: p.Version, Sha256: p.SHA256()}, nil
}

// before is the publication of the same pack that a publication replaced.
func (n *Node) before(p publication.Published) (out publication.Published) {
	for _, q := range n.packs.Snapshot().Published() {
		if q.ID == p.ID && q.Position < p.Position {
			out = q
		}
	}
	return out
}

// WithdrawPack ends a seller's own pack, and with it all that the pack demanded or
// relaxed. The law's packs only follow each other.
func (o *operations) WithdrawPack(ctx context.Context, req *consentv1.WithdrawPackRequest) (*consentv1.WithdrawPackResponse, error) {
	n := o.n
	newest, found := n.packs.Snapshot().Newest(req.GetId())
	switch {
	case !found || newest.Seller == "" || newest.Seller != req.GetSeller():
		return nil, &ledger.InvalidError{Field: "id", Problem: "is no pack of this seller", Fix: "see: consent rules list --published"}
	case req.GetReason() == "":
		return nil, &ledger.InvalidError{Field: "reason", Problem: "is missing", Fix: "say why the pack ends"}
	case req.GetActor().GetId() == "":
		return nil, &ledger.InvalidError{Field: "actor", Problem: "is missing", Fix: "name the officer who answers for it: --by ID"}
	}
	version := newest.Version
	if newest.Withdrawn { // already: the same event
		newest = n.before(newest)
	}
	fact := &consentv1.Fact{Source: "consent-ledger", EventId: fmt.Sprintf("pack-%s-withdrawn-after-%d", newest.ID, newest.Position), Actor: req.GetActor(),
		Kind: &consentv1.Fact_RulePackPublished{RulePackPublished: &consentv1.RulePackPublished{Id: newest.ID, Version: version, Layer: newest.Layer,
			Seller: newest.Seller, Sha256: newest.SHA256[:], Reason: req.GetReason(), Withdrawn: true}}}
	receipt, err := n.recorder.System(ctx, fact)
	if errors.Is(err, ledger.ErrEventIDConflict) {
		return nil, &ledger.InvalidError{Field: "id", Problem: "is withdrawn already, for another reason", Fix: "there is nothing to do"}
	}
	if err != nil {
		return nil, err
	}
	if err := n.runner.WaitApplied(ctx, receipt.Position); err != nil {
		return nil, err
	}
	return &consentv1.WithdrawPackResponse{Receipt: ledgerrpc.Receipt(receipt), Id: newest.ID, Version: version}, nil
}

// ListPacks lists the newest publication of each pack, or of one with its file.
func (o *operations) ListPacks(ctx context.Context, req *consentv1.ListPacksRequest) (*consentv1.ListPacksResponse, error) {
	snapshot := o.n.packs.Snapshot()
	out := &consentv1.ListPacksResponse{}
	for _, p := range snapshot.NewestOfEach() {
		if req.GetId() != "" && req.GetId() != p.ID {
			continue
		}
		m := &consentv1.PublishedPack{Id: p.ID, Version: p.Version, Layer: p.Layer, Seller: p.Seller, Sha256: p.SHA256.String(), Position: uint64(p.Position),
			RecordedAt: timestamppb.New(p.RecordedAt), Withdrawn: p.Withdrawn, Reason: p.Reason, AtHand: snapshot.Has(p)}
		if req.GetId() != "" {
			var err error
			if m.File, err = o.n.packFiles().Get(ctx, p.SHA256); err != nil {
				return nil, err
			}
		}
		out.Packs = append(out.Packs, m)
	}
	return out, nil
}

// checkPack reads a seller's pack and gives the version it would replace.
func (o *operations) checkPack(req *consentv1.PublishPackRequest) (*rules.Pack, publication.Published, error) {
	var none publication.Published
	refuse := func(field, problem, fix string) (*rules.Pack, publication.Published, error) {
		return nil, none, &ledger.InvalidError{Field: field, Problem: problem, Fix: fix}
	}
	if len(req.GetFile()) > packBytesMax {
		return refuse("file", fmt.Sprintf("has more than %d bytes", packBytesMax), "a pack is rules, and no data")
	}
	if req.GetReason() == "" {
		return refuse("reason", "is missing", "say why the pack is published")
	}
	p, err := rules.Parse(req.GetName(), req.GetFile())
	if err != nil {
		return refuse("file", err.Error(), "see projections/rules/packs/README.md")
	}
	snapshot := o.n.packs.Snapshot()
	before, found := snapshot.Newest(p.ID)
	switch {
	case p.Layer != rules.LayerSeller:
		return refuse("file", "is no pack of layer seller", "the law comes with the program; a seller's pack adds to it")
	case p.Seller != req.GetSeller():
		return refuse("seller", "is not the one that the file names", "name the same seller in both")
	case found && before.Seller != p.Seller:
		return refuse("file", "has the id of somebody else's pack", "give it an id of its own")
	case found && before.Version == p.Version && before.SHA256 != p.Hash():
		return refuse("file", "differs from the pack of this id and version", "give each change a version of its own")
	}
	beside, ok := snapshot.Packs(p.Seller)
	if !ok {
		if beside, ok = snapshot.Packs(""); !ok {
			return nil, none, fmt.Errorf("publish: the packs in force are not at hand: %w", ledger.ErrNotReady)
		}
	}
	others := slices.DeleteFunc(slices.Clone(beside.All()), func(q *rules.Pack) bool { return q.ID == p.ID })
	if _, err := rules.New(append(others, p)...); err != nil {
		return refuse("file", err.Error(), "it must fit the packs in force: consent rules list")
	}
	if sha256.Sum256(req.GetFile()) != p.Hash() {
		return refuse("file", "was read differently than it stands", "send the file unchanged")
	}
	return p, before, nil
}
