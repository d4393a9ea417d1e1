// Package recorder is the way in that all ways share: RPC, NATS micro service and
// intake hand declarations to it. It declares, looks up what a fact refers to,
// records, and puts in front of a person what nobody could understand.
package recorder

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/consent-ledger/consent-ledger/ledger"
	"github.com/consent-ledger/consent-ledger/ledger/declare"
	"github.com/consent-ledger/consent-ledger/ledger/phone"
	"github.com/consent-ledger/consent-ledger/ledger/reader"
	"github.com/consent-ledger/consent-ledger/ledger/seal"
	"github.com/consent-ledger/consent-ledger/ledger/writer"
	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

// Inbox keeps messages for a person to read. An item is durable when Put returns;
// putting one that is open already does nothing. Sealed gives its sealed content.
type Inbox interface {
	Put(ctx context.Context, item *consentv1.StoredInboxItem) error
	Sealed(ctx context.Context, item *consentv1.StoredInboxItem) ([]byte, error)
}

// Recorder records declarations. Safe for concurrent use.
type Recorder struct {
	writer  *writer.Writer
	reader  *reader.Reader
	keys    *seal.Keyring
	catalog declare.Catalog
	inbox   Inbox
}

// New makes a recorder.
func New(w *writer.Writer, r *reader.Reader, keys *seal.Keyring, c declare.Catalog, inbox Inbox) *Recorder {
	return &Recorder{writer: w, reader: r, keys: keys, catalog: c, inbox: inbox}
}

// Record makes declarations durable and gives one outcome each, in order. Good
// ones are kept beside bad ones. A possible stop whose number cannot be read is
// in the inbox when its *ledger.InvalidError (with Inbox set) returns.
func (r *Recorder) Record(ctx context.Context, in []declare.Declaration) []ledger.Outcome {
	out := make([]ledger.Outcome, len(in))
	declared := r.declareAll(ctx, in, out)
	if !slices.Contains(declared, nil) {
		out = r.writer.Record(ctx, declared)
	} else {
		facts, at := make([]*declare.Declared, 0, len(in)), make([]int, 0, len(in))
		for i, d := range declared {
			if d != nil {
				facts, at = append(facts, d), append(at, i)
			}
		}
		for k, o := range r.writer.Record(ctx, facts) {
			out[at[k]] = o
		}
	}
	r.toInbox(ctx, in, declared, out)
	return out
}

// declareAll declares side by side; what cannot be declared has its error in out.
func (r *Recorder) declareAll(ctx context.Context, in []declare.Declaration, out []ledger.Outcome) []*declare.Declared {
	declared := make([]*declare.Declared, len(in))
	if len(in) == 1 { // no goroutine, whose stack would have to grow first
		declared[0], out[0].Err = r.declare(ctx, in[0])
		return declared
	}
	var g errgroup.Group
	workers := min(runtime.GOMAXPROCS(0), (len(in)+63)/64)
	for n := range workers {
		g.Go(func() error {
			for i := n; i < len(in); i += workers {
				declared[i], out[i].Err = r.declare(ctx, in[i])
				ledger.Breathe(i)
			}
			return nil
		})
	}
	_ = g.Wait() // the workers return no errors
	return declared
}

func (r *Recorder) declare(ctx context.Context, in declare.Declaration) (*declare.Declared, error) {
	if in.Fact.GetEventId() == "" && ledger.IsStop(in.Fact) {
		// Without an id a retry cannot be told from a second stop; two are better than none.
		in.Fact = proto.CloneOf(in.Fact)
		in.Fact.EventId = uuid.NewString()
	}
	if err := programOnly(in.Fact); err != nil {
		return nil, err
	}
	if err := r.resolveNumber(ctx, in.Fact); err != nil {
		return nil, err
	}
	d, err := declare.Declare(in, r.keys, r.catalog)
	if err != nil {
		return nil, err
	}
	err = r.resolveReferences(ctx, d)
	switch invalid, refused := errors.AsType[*ledger.InvalidError](err); {
	case refused:
		// Only a new fact is refused: a retry of one that was taken is a duplicate.
		if d.Invalid == nil {
			d.Invalid = invalid
		}
	case err != nil:
		return nil, err
	}
	return d, nil
}

// programOnly refuses kinds that only the program itself may record.
func programOnly(f *consentv1.Fact) error {
	switch f.GetKind().(type) {
	case *consentv1.Fact_WriterStarted, *consentv1.Fact_PersonErased, *consentv1.Fact_ExportProduced, *consentv1.Fact_RegistryLoaded,
		*consentv1.Fact_AttemptsAnchored, *consentv1.Fact_DirectoryCommitted:
		return &ledger.InvalidError{Field: "kind", Problem: string(ledger.KindOf(f)) + " is recorded by the program itself",
			Fix: "use the verb for it: consent erase, export, import registry, record attempt"}
	case *consentv1.Fact_RulePackPublished:
		return &ledger.InvalidError{Field: "kind", Problem: string(ledger.KindOf(f)) + " is recorded by the program itself",
			Fix: "publish a pack with: consent rules publish"}
	}
	return nil
}

// resolveNumber fills the number of a fact that refers to a message by position.
func (r *Recorder) resolveNumber(ctx context.Context, f *consentv1.Fact) error {
	closed := f.GetInboxItemClosed()
	if closed.GetMessagePosition() == 0 || f.GetNumber() != "" {
		return nil
	}
	e, err := r.entry(ctx, "message_position", ledger.Position(closed.GetMessagePosition()))
	if err != nil {
		return err
	}
	if f.Number, err = r.keys.Number(e.Exchange); err != nil {
		return fmt.Errorf("recorder: token at position %d: %w", e.Position, err)
	}
	return nil
}

// resolveReferences fills what the fold may not look up: times and ids of the
// entries a fact refers to.
func (r *Recorder) resolveReferences(ctx context.Context, d *declare.Declared) error {
	switch k := d.Fact.GetKind().(type) {
	case *consentv1.Fact_InboxItemClosed:
		if k.InboxItemClosed.GetMessagePosition() == 0 {
			return nil
		}
		e, err := r.entry(ctx, "message_position", ledger.Position(k.InboxItemClosed.GetMessagePosition()))
		if err != nil {
			return err
		}
		k.InboxItemClosed.MessageEntryId = e.ID[:]
	case *consentv1.Fact_ClarificationAnswered:
		if d.Invalid != nil {
			return nil
		}
		e, err := r.entryOf(ctx, d, "revocation_position", ledger.Position(k.ClarificationAnswered.GetRevocationPosition()))
		if err != nil {
			return err
		}
		if !answerable(e.Fact(), d.Fact.GetSellers()) {
			return &ledger.InvalidError{Field: "revocation_position", Problem: "names no revocation of all the sellers named",
				Fix: "give the position of the stop that was answered, and no seller it does not cover"}
		}
		k.ClarificationAnswered.AnsweredLatest = e.Fact().GetLatest()
	case *consentv1.Fact_ConsentInvalidated:
		at := ledger.Position(k.ConsentInvalidated.GetGrantPosition())
		if at == 0 {
			return nil
		}
		e, err := r.entryOf(ctx, d, "grant_position", at)
		var invalid *ledger.InvalidError
		if err != nil && !errors.As(err, &invalid) {
			return err // nobody knows whether it is there: ranked wrongly, it would not void its grant
		}
		if err != nil {
			d.Notices = append(d.Notices, "grant_position names no grant of this number: ranked by its own date")
			return nil
		}
		d.NotBefore = e.Fact().GetLatest().AsTime()
	}
	return nil
}

// answerable tells whether a fact is a stop that covers all of the sellers: an
// answer voids what it answers for those, so it may name nobody else's stop.
func answerable(f *consentv1.Fact, sellers []string) bool {
	if f.GetConsentRevoked() == nil && f.GetInboundMessage().GetClassification() != consentv1.MessageClass_MESSAGE_CLASS_STOP {
		return false
	}
	if slices.Contains(f.GetSellers(), ledger.All) {
		return true
	}
	return !slices.ContainsFunc(sellers, func(s string) bool { return !slices.Contains(f.GetSellers(), s) })
}

// entry reads an entry a caller refers to: an *ledger.InvalidError if there is
// none, ledger.ErrNotReady if it cannot be read now.
func (r *Recorder) entry(ctx context.Context, field string, at ledger.Position) (*ledger.Entry, error) {
	e, err := r.reader.Entry(ctx, at)
	if errors.Is(err, ledger.ErrNotFound) {
		return nil, &ledger.InvalidError{Field: field, Problem: "names no entry", Fix: "give the position from its receipt or the timeline"}
	}
	if err != nil && !errors.Is(err, ledger.ErrDamaged) {
		return nil, fmt.Errorf("%w (position %d cannot be read: %w)", ledger.ErrNotReady, at, err)
	}
	return e, err
}

// entryOf also demands that it is about the same number.
func (r *Recorder) entryOf(ctx context.Context, d *declare.Declared, field string, at ledger.Position) (*ledger.Entry, error) {
	e, err := r.entry(ctx, field, at)
	if err == nil && e.Token != d.Token {
		err = &ledger.InvalidError{Field: field, Problem: "is about another number", Fix: "give the position from its receipt or the timeline"}
	}
	return e, err
}

// toInbox puts in front of a person what nobody could understand: stops without
// a readable number, and messages that may be stops.
func (r *Recorder) toInbox(ctx context.Context, in []declare.Declaration, declared []*declare.Declared, out []ledger.Outcome) {
	for i := range out {
		switch invalid, refused := errors.AsType[*ledger.InvalidError](out[i].Err); {
		case refused && invalid.Inbox:
			req := &consentv1.RecordRequest{Fact: in[i].Fact, DefaultRegion: in[i].DefaultRegion}
			if err := r.PutInbox(ctx, in[i].Fact.GetSource(), invalid.Error(), true, req); err != nil {
				out[i].Err = fmt.Errorf("%w (the stop is not in the inbox either: %w)", ledger.ErrUncertain, err)
			}
		case out[i].Err == nil && declared[i] != nil && unclear(declared[i]):
			// Duplicates too: the first try may have failed here. One that was closed
			// comes back for a person to close again.
			item := &consentv1.StoredInboxItem{Source: in[i].Fact.GetSource(), Reason: "a message that may be a stop: blocked as STOP_UNREVIEWED until it is closed",
				PossibleStop: true, ReceivedAt: timestamppb.New(out[i].Receipt.RecordedAt), Position: uint64(out[i].Receipt.Position)}
			if err := r.inbox.Put(ctx, item); err != nil {
				out[i].Receipt.Notices = append(out[i].Receipt.Notices, "the message blocks, but could not be put into the inbox")
			}
		}
	}
}

func unclear(d *declare.Declared) bool {
	return d.Fact.GetInboundMessage().GetClassification() == consentv1.MessageClass_MESSAGE_CLASS_UNCLEAR
}

// inboxContext and inboxTokenContext bind what is sealed in inbox items to its use.
const (
	inboxContext      = "consent.v1/inbox"
	inboxTokenContext = "consent.v1/inbox-token"
)

// reasonBytesMax bounds an item's reason, which may quote a name of any length.
const reasonBytesMax = 512

// PutInbox seals a request into the inbox. The same source, event id and content
// again is the same item; other content under the same id is another one.
func (r *Recorder) PutInbox(ctx context.Context, source, reason string, possibleStop bool, content *consentv1.RecordRequest) error {
	if !declare.ValidID(source) {
		source = "unknown"
	}
	if len(reason) > reasonBytesMax {
		reason = strings.ToValidUTF8(reason[:reasonBytesMax], "") + "…"
	}
	plain, err := proto.MarshalOptions{Deterministic: true}.Marshal(content)
	if err != nil {
		return fmt.Errorf("recorder: inbox: %w", err)
	}
	item := &consentv1.StoredInboxItem{Source: source, Reason: reason, PossibleStop: possibleStop,
		ReceivedAt: timestamppb.New(time.Now()), Sealed: r.keys.SealBlob(inboxContext, plain)}
	if id := content.GetFact().GetEventId(); id != "" {
		key := r.keys.ConflictKey(r.keys.Idempotency(source, id), r.keys.ContentMAC(plain))
		item.Key = key[:]
	}
	if n, err := phone.Parse(content.GetFact().GetNumber(), content.GetDefaultRegion()); err == nil {
		if x, err := r.keys.Exchange(n.E164); err == nil { // else there is no such person to erase
			item.Token = r.keys.SealBlob(inboxTokenContext, x[:])
		}
	}
	return r.inbox.Put(ctx, item)
}

// OpenInbox opens what PutInbox sealed: a RecordRequest.
func (r *Recorder) OpenInbox(ctx context.Context, item *consentv1.StoredInboxItem) (*consentv1.RecordRequest, error) {
	sealed, err := r.inbox.Sealed(ctx, item)
	if err != nil {
		return nil, fmt.Errorf("recorder: %w", err)
	}
	plain, err := r.keys.OpenBlob(inboxContext, sealed)
	if err != nil {
		return nil, fmt.Errorf("recorder: inbox: %w", err)
	}
	req := &consentv1.RecordRequest{}
	if err := proto.Unmarshal(plain, req); err != nil {
		return nil, fmt.Errorf("recorder: inbox: %w", err)
	}
	return req, nil
}

// InboxAbout tells whether an item keeps content about a number. One without a
// readable number is about nobody, and an unclear message in the ledger keeps its
// content there.
func (r *Recorder) InboxAbout(item *consentv1.StoredInboxItem, x ledger.ExchangeToken) (bool, error) {
	if len(item.GetToken()) == 0 {
		return false, nil
	}
	token, err := r.keys.OpenBlob(inboxTokenContext, item.GetToken())
	if err != nil {
		return false, fmt.Errorf("recorder: inbox: token: %w", err)
	}
	return bytes.Equal(token, x[:]), nil
}

// System records a fact only the program itself makes.
func (r *Recorder) System(ctx context.Context, f *consentv1.Fact) (ledger.Receipt, error) {
	out, err := r.SystemAll(ctx, []*consentv1.Fact{f})
	if err != nil {
		return ledger.Receipt{}, err
	}
	return out[0], nil
}

// SystemAll records facts only the program itself makes, handed to the writer
// together. The error is the first one; others may be recorded all the same.
func (r *Recorder) SystemAll(ctx context.Context, facts []*consentv1.Fact) ([]ledger.Receipt, error) {
	ds := make([]*declare.Declared, len(facts))
	for i, f := range facts {
		var err error
		if ds[i], err = declare.Declare(declare.Declaration{Fact: f}, r.keys, r.catalog); err != nil {
			return nil, err
		}
	}
	out := make([]ledger.Receipt, len(facts))
	for i, o := range r.writer.Record(ctx, ds) {
		if o.Err != nil {
			return nil, o.Err
		}
		out[i] = o.Receipt
	}
	return out, nil
}

// Preview tells what would become of declarations. Nothing is recorded.
func (r *Recorder) Preview(ctx context.Context, in []declare.Declaration) []ledger.Outcome {
	out := make([]ledger.Outcome, len(in))
	for i, d := range r.declareAll(ctx, in, out) {
		if d == nil {
			continue
		}
		known, err := r.writer.Known(d.Idempotency)
		switch {
		case err != nil:
			out[i].Err = err
		case known:
			out[i].Receipt.Duplicate = true
		case d.Invalid != nil:
			out[i].Err = d.Invalid
		default:
			out[i].Err = d.Resolve(time.Now())
			out[i].Receipt.Notices = d.Notices
		}
	}
	return out
}
