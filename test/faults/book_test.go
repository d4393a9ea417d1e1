package faults

import (
	"bytes"
	"cmp"
	"context"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"connectrpc.com/connect"
	"golang.org/x/sync/errgroup"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/consent-ledger/consent-ledger/consumers/client"
	"github.com/consent-ledger/consent-ledger/ledger"
	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

// areaCodes are real ones; their 555-0100 to 0199 belong to fiction.
var areaCodes = []int{201, 202, 203, 205, 206, 207, 208, 209, 210, 212, 213, 214, 215, 216, 217, 218, 219, 224, 225, 228, 229, 231, 234, 239, 240,
	248, 251, 252, 253, 254, 256, 260, 262, 267, 269, 270, 272, 276, 281, 301, 302, 303, 304, 305, 307, 308, 309, 310, 312, 313, 314, 315, 316, 317}

// number gives the nth fictional number; there are 5,400.
func number(n int) string {
	return fmt.Sprintf("+1%d55501%02d", areaCodes[n/100%len(areaCodes)], n%100)
}

// source is the system all tests report as.
const source = "faults"

var march = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func smsMarketing() *consentv1.Scope {
	return &consentv1.Scope{Channels: []consentv1.Channel{consentv1.Channel_CHANNEL_SMS}, Purposes: []consentv1.Purpose{consentv1.Purpose_PURPOSE_MARKETING}}
}

func seller() *consentv1.Fact {
	return &consentv1.Fact{Source: source, EventId: "seller-acme",
		Kind: &consentv1.Fact_SellerRegistered{SellerRegistered: &consentv1.SellerRegistered{Id: "acme", Name: "Acme"}}}
}

// grant is of a number, n hours before March 2026.
func grant(id, number string, n int) *consentv1.Fact {
	return &consentv1.Fact{Number: number, Sellers: []string{"acme"}, Source: source, EventId: id, OccurredAt: timestamppb.New(march.Add(time.Duration(-n) * time.Hour)),
		Kind: &consentv1.Fact_ConsentGranted{ConsentGranted: &consentv1.ConsentGranted{Level: "express_written", Scope: smsMarketing(),
			Evidence: &consentv1.Evidence{Method: "web_form", Words: "I agree", Name: "Pat Doe"}}}}
}

// stopped is a plain request to stop.
func stopped(id, number string) *consentv1.Fact {
	return &consentv1.Fact{Number: number, Sellers: []string{"acme"}, Source: source, EventId: id, OccurredAt: timestamppb.New(march),
		Kind: &consentv1.Fact_ConsentRevoked{ConsentRevoked: &consentv1.ConsentRevoked{Method: "sms", Words: "STOP"}}}
}

// book remembers everything that was sent and every receipt that was handed out.
// Safe for concurrent use.
type book struct {
	t *testing.T

	mu       sync.Mutex
	sent     []*consentv1.Fact
	receipts map[string]*consentv1.Receipt // by event id: the first one handed out
	erasures []*consentv1.Receipt
	refusals map[string]int // by code
}

func newBook(t *testing.T) *book {
	return &book{t: t, receipts: map[string]*consentv1.Receipt{}, refusals: map[string]int{}}
}

// send notes facts that are about to be sent.
func (b *book) send(facts ...*consentv1.Fact) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.sent = append(b.sent, facts...)
}

// keep notes a receipt. A second one for the same event must name the same entry.
func (b *book) keep(id string, r *consentv1.Receipt) {
	b.mu.Lock()
	defer b.mu.Unlock()
	first, known := b.receipts[id]
	if !known {
		b.receipts[id] = r
		return
	}
	if !r.GetDuplicate() || !sameEntry(first, r) {
		b.t.Errorf("event %s has two receipts:\n%v\n%v", id, first, r)
	}
}

// keepOutcomes notes what became of a batch.
func (b *book) keepOutcomes(facts []*consentv1.Fact, outcomes []*consentv1.Outcome) {
	for i, o := range outcomes {
		if r := o.GetReceipt(); r != nil {
			b.keep(facts[i].GetEventId(), r)
			continue
		}
		b.refuse(o.GetRefusal().GetCode())
	}
}

func (b *book) refuse(code string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.refusals[code]++
}

// count is how many receipts were handed out.
func (b *book) count() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.receipts)
}

func sameEntry(a, b *consentv1.Receipt) bool {
	return a.GetPosition() == b.GetPosition() && a.GetEntryId() == b.GetEntryId() && a.GetLeafHash() == b.GetLeafHash() &&
		proto.Equal(a.GetRecordedAt(), b.GetRecordedAt())
}

// record sends one fact and notes what became of it.
func (b *book) record(ctx context.Context, c *client.Client, f *consentv1.Fact) error {
	b.send(f)
	res, err := c.Ledger.Record(ctx, connect.NewRequest(&consentv1.RecordRequest{Fact: f}))
	if err != nil {
		return err
	}
	b.keep(f.GetEventId(), res.Msg.GetReceipt())
	return nil
}

// must is record that ends the test if there is no receipt.
func (b *book) must(s *server, f *consentv1.Fact) *consentv1.Receipt {
	b.t.Helper()
	if err := b.record(b.t.Context(), s.client, f); err != nil {
		b.t.Fatalf("record: %v\n%s", err, s.stderr)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.receipts[f.GetEventId()]
}

// verify finds receipts again, by position and by event: same position, id, time
// and bytes. nil ids are all.
func (b *book) verify(s *server, ids []string) {
	b.t.Helper()
	b.mu.Lock()
	want := maps.Clone(b.receipts)
	erasures := slices.Clone(b.erasures)
	b.mu.Unlock()
	if ids == nil {
		ids = slices.Collect(maps.Keys(want))
	}
	// In the order of the ledger: a commit is read once for all its entries.
	slices.SortFunc(ids, func(a, b string) int { return cmp.Compare(want[a].GetPosition(), want[b].GetPosition()) })
	var g errgroup.Group
	g.SetLimit(8)
	find := func(r *consentv1.Receipt, req *consentv1.GetReceiptRequest) {
		g.Go(func() error {
			res, err := s.client.Ledger.GetReceipt(b.t.Context(), connect.NewRequest(req))
			if err != nil {
				return fmt.Errorf("receipt of %v is not found again: %w", req, err)
			}
			if leaf := ledger.LeafHash(res.Msg.GetEntry()); !sameEntry(r, res.Msg.GetReceipt()) || leaf.String() != r.GetLeafHash() {
				return fmt.Errorf("the entry of %v is not what its receipt said:\n%v\n%v", req, r, res.Msg.GetReceipt())
			}
			return nil
		})
	}
	for _, id := range ids {
		r := want[id]
		find(r, &consentv1.GetReceiptRequest{Position: r.GetPosition()})
		find(r, &consentv1.GetReceiptRequest{Source: source, EventId: id})
	}
	for _, r := range erasures {
		find(r, &consentv1.GetReceiptRequest{Position: r.GetPosition()})
	}
	if err := g.Wait(); err != nil {
		b.t.Fatalf("%v\n%s", err, s.stderr)
	}
}

// stored tells which of the facts that were sent are in the ledger, by event id.
func (b *book) stored(s *server) map[string]uint64 {
	b.t.Helper()
	b.mu.Lock()
	sent := slices.Clone(b.sent)
	b.mu.Unlock()
	var mu sync.Mutex
	out := map[string]uint64{}
	var g errgroup.Group
	g.SetLimit(8)
	for _, f := range sent {
		g.Go(func() error {
			res, err := s.client.Ledger.GetReceipt(b.t.Context(), connect.NewRequest(&consentv1.GetReceiptRequest{Source: source, EventId: f.GetEventId()}))
			if connect.CodeOf(err) == connect.CodeNotFound {
				return nil
			}
			if err != nil {
				return err
			}
			mu.Lock()
			defer mu.Unlock()
			out[f.GetEventId()] = res.Msg.GetReceipt().GetPosition()
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		b.t.Fatal(err)
	}
	return out
}

// retry sends everything again and demands that only what was missing is added.
func (b *book) retry(s *server) {
	b.t.Helper()
	before, tail := b.stored(s), s.doctor(&consentv1.DoctorRequest{}).GetPosition()
	b.mu.Lock()
	missing := map[string]bool{}
	for _, f := range b.sent {
		if before[f.GetEventId()] == 0 {
			missing[f.GetEventId()] = true
		}
	}
	sent := slices.Clone(b.sent)
	b.mu.Unlock()
	added := b.sendAgain(s, sent)
	if after := s.doctor(&consentv1.DoctorRequest{}).GetPosition(); after != tail+uint64(len(missing)) || added != len(missing) {
		b.t.Errorf("a retry of everything added %d entries, position %d to %d; %d of %d facts were missing", added, tail, after, len(missing), len(sent))
	}
	if added := b.sendAgain(s, sent); added != 0 {
		b.t.Errorf("a second retry of everything added %d entries", added)
	}
	b.t.Logf("%d facts sent, %d were missing and are there after a retry", len(sent), len(missing))
}

// sendAgain gives the number of facts that were new.
func (b *book) sendAgain(s *server, facts []*consentv1.Fact) (added int) {
	b.t.Helper()
	sender := s.client.NewSender(b.t.Context(), client.SenderOptions{})
	defer sender.Close()
	for batch := range slices.Chunk(facts, 2000) {
		outcomes, err := sender.Send(b.t.Context(), batch)
		if err != nil {
			b.t.Fatal(err)
		}
		for i, o := range outcomes {
			if o.GetReceipt() == nil {
				b.t.Fatalf("a retry of %s is refused: %v", batch[i].GetEventId(), o.GetRefusal())
			}
			if !o.GetReceipt().GetDuplicate() {
				added++
			}
		}
		b.keepOutcomes(batch, outcomes)
	}
	return added
}

// readAll reads every entry and demands: no gap, no double, time never goes
// backwards, each entry is a fact that was sent or one of the server's own, and
// nothing stands beyond the tail.
func (b *book) readAll(s *server) {
	b.t.Helper()
	tail := s.doctor(&consentv1.DoctorRequest{}).GetPosition()
	entries := make([]*consentv1.Entry, tail+1)
	leaves := make([]ledger.Hash, tail+1)
	var g errgroup.Group
	g.SetLimit(8)
	for at := uint64(1); at <= tail; at++ {
		g.Go(func() error {
			res, err := s.client.Ledger.GetReceipt(b.t.Context(), connect.NewRequest(&consentv1.GetReceiptRequest{Position: at}))
			if err != nil {
				return fmt.Errorf("position %d of %d: %w", at, tail, err)
			}
			entries[at], leaves[at] = &consentv1.Entry{}, ledger.LeafHash(res.Msg.GetEntry())
			return proto.Unmarshal(res.Msg.GetEntry(), entries[at])
		})
	}
	if err := g.Wait(); err != nil {
		b.t.Fatal(err)
	}
	if _, err := s.client.Ledger.GetReceipt(b.t.Context(), connect.NewRequest(&consentv1.GetReceiptRequest{Position: tail + 1})); connect.CodeOf(err) != connect.CodeNotFound {
		b.t.Errorf("beyond the tail: %v", err)
	}
	stored := b.stored(s)
	ids := map[uint64]string{}
	for id, at := range stored {
		if other, taken := ids[at]; taken {
			b.t.Errorf("events %s and %s share position %d", id, other, at)
		}
		ids[at] = id
	}
	seen := map[string]uint64{}
	for at := uint64(1); at <= tail; at++ {
		e := entries[at]
		if e.GetPosition() != at {
			b.t.Fatalf("position %d stands at %d", e.GetPosition(), at)
		}
		key := hex.EncodeToString(e.GetIdempotency())
		if seen[key] != 0 {
			b.t.Errorf("positions %d and %d hold the same event", seen[key], at)
		}
		seen[key] = at
		if at > 1 && e.GetRecordedAt().AsTime().Before(entries[at-1].GetRecordedAt().AsTime()) {
			b.t.Errorf("recorded_at goes backwards at %d", at)
		}
		f := e.GetFact()
		own := f.GetWriterStarted() != nil || f.GetPersonErased() != nil || f.GetRulePackPublished() != nil || f.GetDirectoryCommitted() != nil
		if _, sent := ids[at]; sent == own {
			b.t.Errorf("position %d holds a %s that is sent: %v", at, ledger.KindOf(e.GetFact()), sent)
		}
	}
	chains(b.t, entries[1:], leaves[1:])
}

// chains demands that every person's entries run on from one another.
func chains(t *testing.T, entries []*consentv1.Entry, leaves []ledger.Hash) {
	t.Helper()
	type head struct {
		seq  uint64
		leaf []byte
	}
	heads := map[string]head{}
	for i, e := range entries {
		if len(e.GetPerson()) == 0 {
			continue
		}
		h := heads[string(e.GetPerson())]
		if e.GetPersonSeq() != h.seq+1 || !bytes.Equal(e.GetPersonPrev(), h.leaf) {
			t.Errorf("position %d is number %d of its person after %d, or names another entry before it", e.GetPosition(), e.GetPersonSeq(), h.seq)
		}
		heads[string(e.GetPerson())] = head{e.GetPersonSeq(), leaves[i][:]}
	}
}

// inCommit reads a stored commit, demands that every receipt of its entries is of
// just these bytes, and gives the number of entries.
func (b *book) inCommit(t *testing.T, data []byte) uint64 {
	t.Helper()
	var c consentv1.Commit
	if err := proto.Unmarshal(data, &c); err != nil {
		t.Fatal(err)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, r := range b.receipts {
		if i := r.GetPosition() - c.GetFirstPosition(); r.GetPosition() >= c.GetFirstPosition() && i < uint64(len(c.GetEntries())) {
			if leaf := ledger.LeafHash(c.GetEntries()[i]); leaf.String() != r.GetLeafHash() {
				t.Errorf("position %d is not what its receipt said", r.GetPosition())
			}
		}
	}
	return uint64(len(c.GetEntries()))
}
