package golden_test

import (
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/consent-ledger/consent-ledger/ledger"
	"github.com/consent-ledger/consent-ledger/ledger/declare"
	"github.com/consent-ledger/consent-ledger/ledger/seal"
	"github.com/consent-ledger/consent-ledger/projections/attempts"
	"github.com/consent-ledger/consent-ledger/projections/suppression"
	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

// This file makes new fixtures. Every field is set, to a value that follows from
// its name, so that a field mistaken for another shows.

const (
	number = "+12025550143"
	seller = "acme"
	// callerID is what the person called sees.
	callerID = "+12025550100"
	// inboxContext is what package recorder binds inbox items to.
	inboxContext = "consent.v1/inbox"
)

// committed are the kinds whose entries make the commit; their positions follow
// each other.
var committed = []string{"consent_requested", "consent_granted", "consent_confirmed", "consent_refused", "consent_revoked"}

var began = time.Date(2026, 11, 23, 10, 0, 0, 123456789, time.UTC)

// filled sets every empty field of a message, but those named.
func filled[M proto.Message](m M, except ...string) M {
	fill(m.ProtoReflect(), except)
	return m
}

func fill(m protoreflect.Message, except []string) {
	fields := m.Descriptor().Fields()
	for i := range fields.Len() {
		fd := fields.Get(i)
		inOneof := fd.ContainingOneof() != nil && !fd.ContainingOneof().IsSynthetic()
		switch {
		case inOneof || m.Has(fd) || slices.Contains(except, string(fd.Name())):
		case fd.IsList() && fd.Message() != nil:
			fill(m.Mutable(fd).List().AppendMutable().Message(), except)
		case fd.IsList():
			l := m.Mutable(fd).List()
			l.Append(value(fd, 1))
			l.Append(value(fd, 2))
		case fd.Message() != nil && fd.Message().FullName() == "google.protobuf.Timestamp":
			m.Set(fd, protoreflect.ValueOfMessage(timestamppb.New(instant(fd)).ProtoReflect()))
		case fd.Message() != nil:
			fill(m.Mutable(fd).Message(), except)
		default:
			m.Set(fd, value(fd, 1))
		}
	}
}

// instant is the sample of a time: before everything was recorded, in the order
// of the field numbers (earliest before latest); what ends, ends after it.
func instant(fd protoreflect.FieldDescriptor) time.Time {
	hours := time.Duration(fd.Number()) - 100
	if fd.Name() == "expires_at" {
		hours += 200
	}
	return began.Add(hours * time.Hour)
}

// value is the nth sample of a field: its name, a hash of it, or its number.
func value(fd protoreflect.FieldDescriptor, n int) protoreflect.Value {
	name := strings.Repeat(string(fd.Name()), n)
	sum := sha256.Sum256([]byte(name))
	switch fd.Kind() {
	case protoreflect.StringKind:
		return protoreflect.ValueOfString(name)
	case protoreflect.BytesKind:
		return protoreflect.ValueOfBytes(sum[:])
	case protoreflect.BoolKind:
		return protoreflect.ValueOfBool(true)
	case protoreflect.EnumKind:
		return protoreflect.ValueOfEnum(protoreflect.EnumNumber(min(n+1, fd.Enum().Values().Len()-1)))
	case protoreflect.Uint32Kind:
		return protoreflect.ValueOfUint32(uint32(int(fd.Number()) + n))
	case protoreflect.Uint64Kind:
		return protoreflect.ValueOfUint64(uint64(int(fd.Number()) + n))
	case protoreflect.Int64Kind:
		return protoreflect.ValueOfInt64(int64(int(fd.Number()) + n))
	default:
		panic("golden: a field of a new kind: " + string(fd.FullName()))
	}
}

// unset names the fields of a message that have no value.
func unset(m protoreflect.Message, prefix string) (out []string) {
	fields := m.Descriptor().Fields()
	for i := range fields.Len() {
		fd := fields.Get(i)
		path := prefix + string(fd.Name())
		switch {
		case !m.Has(fd) && (fd.ContainingOneof() == nil || fd.ContainingOneof().IsSynthetic()):
			out = append(out, path)
		case m.Has(fd) && fd.Message() != nil && !fd.IsList():
			out = append(out, unset(m.Get(fd).Message(), path+".")...)
		}
	}
	return out
}

// newFact is a fact of a kind with every field set.
func newFact(kind ledger.Kind) *consentv1.Fact {
	f := &consentv1.Fact{Number: number, Sellers: []string{seller, "beta"}, Source: "crm", EventId: "golden-" + string(kind)}
	fd := f.ProtoReflect().Descriptor().Fields().ByName(protoreflect.Name(kind))
	fill(f.ProtoReflect().Mutable(fd).Message(), nil)
	return filled(f)
}

// asDeclared clears what only the writer sets and the content hash leaves out.
func asDeclared(f *consentv1.Fact) {
	f.Earliest, f.Latest, f.Unassigned, f.PartyKey = nil, nil, false, nil
}

// newEntry does to a fact what the writer does to one.
func newEntry(t *testing.T, keys *seal.Keyring, persons map[consentv1.PersonalClass]seal.PersonKey, kind ledger.Kind) (*consentv1.Entry, note) {
	t.Helper()
	fact := newFact(kind)
	system := ledger.NatureOf(kind) == ledger.System
	if system {
		fact.Number = ""
	}
	declared := proto.CloneOf(fact)
	asDeclared(declared)
	canonical := declare.Canonical(declared)
	idempotency, content := keys.Idempotency(fact.GetSource(), fact.GetEventId()), keys.ContentMAC(canonical)

	position := fact.ProtoReflect().Descriptor().Fields().ByName(protoreflect.Name(kind)).Number()
	sum := sha256.Sum256([]byte(kind))
	id := ledger.EntryID(sum[:16])
	clear, parts := seal.Split(fact)
	e := &consentv1.Entry{Position: uint64(position), RecordedAt: timestamppb.New(began), EntryId: id[:],
		Idempotency: idempotency[:], Content: content[:], Fact: clear}
	n := note{Declared: jsonOf(t, declared), Canonical: hex.EncodeToString(canonical), Opened: texts(parts)}
	var person ledger.PersonID
	if !system {
		person = persons[consentv1.PersonalClass_PERSONAL_CLASS_NUMBER].Person
		e.Person, e.PersonSeq, e.PersonPrev = person[:], uint64(position), sum[:]
	}
	if !system || kind == "person_erased" {
		x, err := keys.Exchange(number)
		if err != nil {
			t.Fatal(err)
		}
		e.Token, n.Number = keys.SealToken(id, person, x), number
	}
	for _, p := range parts {
		k := persons[p.Class]
		if system {
			k = keys.SystemKey(p.Class)
		}
		s, err := seal.SealPart(k, id, p)
		if err != nil {
			t.Fatal(err)
		}
		e.Personal = append(e.Personal, s)
	}
	return e, n
}

// newCommit packs entries that are fixtures themselves.
func newCommit(t *testing.T) *consentv1.Commit {
	t.Helper()
	c := &consentv1.Commit{}
	for _, kind := range committed {
		raw, err := os.ReadFile(filepath.Join(dir, "entry_"+kind+".binpb"))
		if err != nil {
			t.Fatal(err)
		}
		c.Entries = append(c.Entries, raw)
	}
	var first consentv1.Entry
	decode(t, c.GetEntries()[0], &first)
	c.FirstPosition = first.GetPosition()
	return c
}

// newWrappedKeys draws one person's key of each class.
func newWrappedKeys(t *testing.T, keys *seal.Keyring) *consentv1.WrappedKeys {
	t.Helper()
	person, out := seal.DrawPerson(), &consentv1.WrappedKeys{}
	for class := consentv1.PersonalClass(1); int(class) < len(consentv1.PersonalClass_name); class++ {
		w, err := keys.Wrap(seal.DrawKey(person, class))
		if err != nil {
			t.Fatal(err)
		}
		out.Keys = append(out.Keys, w)
	}
	return out
}

// newState folds one fact of every kind but the barrier.
func newState(t *testing.T) *consentv1.SuppressionState {
	t.Helper()
	m := suppression.States{}
	for _, kind := range ledger.Kinds() {
		if kind == "person_erased" {
			continue
		}
		f := newFact(kind)
		if s := ledger.ScopeOf(f); s != nil {
			s.Channels, s.Purposes = s.Channels[:1], s.Purposes[:1]
		}
		content := sha256.Sum256([]byte(kind))
		m.Fold(suppression.Input{EntryID: content[:16], Content: content[:], Fact: f})
	}
	s := m[seller]
	if s == nil || len(s.GetGrants()) == 0 || len(s.GetRevoked()) == 0 || len(s.GetMarks()) == 0 {
		t.Fatalf("the samples fold to too little: %v", s)
	}
	return s
}

func newFeedBatch(t *testing.T, keys *seal.Keyring) *consentv1.FeedBatch {
	t.Helper()
	x, err := keys.Exchange(number)
	if err != nil {
		t.Fatal(err)
	}
	token := keys.Feed(seller, x)
	u := &consentv1.FeedUpdate{Token: token[:], SellerState: newState(t), AllState: newState(t), Cause: "consent_revoked"}
	// `number` is filled in for a subscriber and never stored.
	return filled(&consentv1.FeedBatch{Seller: seller, Updates: []*consentv1.FeedUpdate{filled(u, "number", "paused", "resumed")}})
}

func newAttemptBatch(t *testing.T, keys *seal.Keyring) *consentv1.AttemptBatch {
	t.Helper()
	x, err := keys.Exchange(number)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256([]byte("attempt"))
	id, ref := ledger.EntryID(sum[:16]), attempts.ReferenceKey(keys, seller, "call-1")
	r := &consentv1.AttemptRecord{Id: id[:], Reference: ref[:], Seller: seller, Outcome: consentv1.AttemptOutcome_ATTEMPT_OUTCOME_RESERVED,
		Token: keys.SealToken(id, ledger.PersonID{}, x), CallerId: attempts.SealCallerID(keys, id, callerID)}
	// The number, the texts and the fixes of a decision are never stored.
	return filled(&consentv1.AttemptBatch{Records: []*consentv1.AttemptRecord{filled(r, "number", "text", "fix")}})
}

func newInboxItem(t *testing.T, keys *seal.Keyring) (*consentv1.StoredInboxItem, note) {
	t.Helper()
	fact := newFact("consent_revoked")
	asDeclared(fact)
	plain := marshal(t, &consentv1.RecordRequest{Fact: fact, DefaultRegion: "US"})
	item := filled(&consentv1.StoredInboxItem{Source: "crm", Sealed: keys.SealBlob(inboxContext, plain)})
	return item, note{Declared: jsonOf(t, fact)}
}
