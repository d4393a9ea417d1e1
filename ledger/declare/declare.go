// Package declare makes what a caller declares ready for the one writer: it reads
// the number, makes the hashes, refuses what permits and has gaps, and widens
// what forbids and has gaps (promise 10).
//
// declare.go is the life of one declaration; canonical.go the form its content
// hash is made over; clear.go keeps numbers out of what is stored in clear;
// dates.go resolves dates; system.go checks facts about no number.
package declare

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/consent-ledger/consent-ledger/ledger"
	"github.com/consent-ledger/consent-ledger/ledger/phone"
	"github.com/consent-ledger/consent-ledger/ledger/words"
	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

// PersonalFieldBytesMax is the largest personal field of anything but a stop. A
// stop may be as large as a message: its words go to a file.
const PersonalFieldBytesMax = 65536

// factBytesMax bounds a whole fact other than a stop.
const factBytesMax = 512 << 10

// listMax bounds each list of ids, which an entry holds in clear.
const listMax = 64

// Catalog tells what is registered. Safe for concurrent use.
type Catalog interface {
	Seller(id string) bool
	Programme(seller, id string) bool
}

// Hasher makes the keyed hashes and tokens of a declared fact. Safe for concurrent use.
type Hasher interface {
	Idempotency(source, eventID string) ledger.Hash
	ContentMAC(canonical []byte) ledger.Hash
	Exchange(e164 string) (ledger.ExchangeToken, error)
	Token(x ledger.ExchangeToken) ledger.Token
}

// Declaration is what a caller hands in.
type Declaration struct {
	Fact          *consentv1.Fact
	DefaultRegion string // of a number without a country code; empty: US
	Interactive   bool   // a grant without a date means now
}

// Declared is a fact made ready for the writer: hashed, checked, widened where
// doubt falls on the side of silence. Only its dates are open, because they
// depend on recorded_at.
type Declared struct {
	Fact        *consentv1.Fact
	Kind        ledger.Kind
	Number      string // E.164; empty for system facts
	Exchange    ledger.ExchangeToken
	Token       ledger.Token
	Idempotency ledger.Hash
	Content     ledger.Hash
	Stop        bool
	Notices     []string
	// NotBefore ranks an invalidation no earlier than the grant it voids.
	NotBefore time.Time
	// Invalid is why a new fact is refused. It is looked at only after the
	// idempotency key: a retry of what was once accepted is a duplicate, whatever
	// has been unregistered since.
	Invalid error

	interactive bool
}

// Declare reads a declaration. The error is an *ledger.InvalidError if the fact cannot
// even be identified; it never contains a value that could be a phone number.
func Declare(in Declaration, h Hasher, c Catalog) (*Declared, error) {
	f := proto.Clone(in.Fact).(*consentv1.Fact)
	if f == nil {
		return nil, &ledger.InvalidError{Field: "fact", Problem: "is missing", Fix: "send a fact with one kind set"}
	}
	f.Earliest, f.Latest, f.Unassigned = nil, nil, false
	d := &Declared{Fact: f, Kind: ledger.KindOf(f), Stop: ledger.IsStop(f), interactive: in.Interactive}
	if d.Kind == "" {
		return nil, &ledger.InvalidError{Field: "kind", Problem: "is missing or not known to this version", Fix: "set one of the kinds in consent/v1/fact.proto"}
	}
	if err := d.identify(in, h); err != nil {
		return nil, err
	}
	d.Invalid = d.check(c)
	return d, nil
}

// identify parses the number and makes the hashes, all over the fact as declared.
func (d *Declared) identify(in Declaration, h Hasher) error {
	f := d.Fact
	wantsNumber := aboutNumber(f)
	var n phone.Number
	if wantsNumber {
		var err error
		if n, err = phone.Parse(f.GetNumber(), in.DefaultRegion); err != nil {
			return unreadable(err, d.Stop)
		}
		f.Number = n.E164
	}
	source := f.GetSource()
	if d.Stop && !ValidID(source) {
		f.Source = "unknown"
	}
	if !ValidID(f.GetSource()) {
		return badID("source")
	}
	if f.GetEventId() == "" {
		return &ledger.InvalidError{Field: "event_id", Problem: "is missing", Fix: "send the source's own id for this fact, the same one in every retry"}
	}
	d.Idempotency = h.Idempotency(f.GetSource(), f.GetEventId())
	d.Content = h.ContentMAC(Canonical(f))
	if source != f.GetSource() && source != "" {
		unread(f, "source", source)
	}
	if !wantsNumber {
		if f.GetNumber() != "" {
			return &ledger.InvalidError{Field: "number", Problem: fmt.Sprintf("is set, but %s is about no number", d.Kind), Fix: "leave it out"}
		}
		return nil
	}
	var err error
	f.Unassigned, d.Number = n.Unassigned, n.E164
	if d.Exchange, err = h.Exchange(d.Number); err != nil {
		return &ledger.InvalidError{Field: "number", Problem: "is too long", Fix: "send at most 15 digits", Inbox: d.Stop}
	}
	d.Token = h.Token(d.Exchange)
	return nil
}

// aboutNumber: all kinds but system facts; and the closing of an inbox item only
// if its message is in the ledger.
func aboutNumber(f *consentv1.Fact) bool {
	if c := f.GetInboxItemClosed(); c != nil {
		return c.GetMessagePosition() != 0
	}
	return ledger.NatureOf(ledger.KindOf(f)) != ledger.System
}

// unreadable says why there is no number. A stop then goes to a person.
func unreadable(err error, stop bool) *ledger.InvalidError {
	var u *phone.UnreadableError
	if !errors.As(err, &u) {
		return &ledger.InvalidError{Field: "number", Problem: "cannot be read", Inbox: stop}
	}
	return &ledger.InvalidError{Field: "number", Problem: u.Problem, Fix: u.Fix, Inbox: stop}
}

var idPattern = regexp.MustCompile(`^[a-z0-9_-]{1,64}$`)

// ValidID tells whether an id may name a seller, programme, campaign or source.
func ValidID(id string) bool {
	return idPattern.MatchString(id) && id != ledger.All && !numberLike(id)
}

func badID(field string) *ledger.InvalidError {
	return &ledger.InvalidError{Field: field, Problem: "is missing or no id", Fix: "use 1 to 64 of a-z, 0-9, _ and -, with no 9 digits in a row; `all` is reserved"}
}

// unread keeps what could not be understood, as it came, sealed with the fact.
func unread(f *consentv1.Fact, field, value string) {
	if f.Unread != "" {
		f.Unread += "\n"
	}
	f.Unread += field + "=" + value
}

// check validates what is new, and widens what forbids.
func (d *Declared) check(c Catalog) error {
	if err := d.checkStrings(); err != nil {
		return err
	}
	if err := d.checkSize(); err != nil {
		return err
	}
	switch ledger.NatureOf(d.Kind) {
	case ledger.System:
		return checkSystem(d.Fact, c)
	case ledger.Permits:
		return d.checkPermit(c)
	case ledger.Forbids:
		d.widen(c)
		return nil
	default:
		d.keepKnownSellers(c)
		return nil
	}
}

// checkSize refuses what no entry can hold. Stops are never refused for size.
func (d *Declared) checkSize() error {
	if size := proto.Size(d.Fact); size > factBytesMax && !d.Stop {
		return &ledger.InvalidError{Field: "fact", Problem: fmt.Sprintf("has %d bytes, at most %d are taken", size, factBytesMax), Fix: "name fewer sellers, programmes or area codes"}
	}
	return nil
}

// checkPermit: what permits must prove itself; no dimension is guessed.
func (d *Declared) checkPermit(c Catalog) error {
	f := d.Fact
	if len(f.GetSellers()) == 0 {
		return &ledger.InvalidError{Field: "seller", Problem: "is missing", Fix: "name the seller the person agreed to; consent to nobody in particular is none"}
	}
	for _, s := range f.GetSellers() {
		if !c.Seller(s) {
			return &ledger.InvalidError{Field: "seller", Problem: "is not registered", Fix: "register it first: consent seller add ID"}
		}
	}
	slices.Sort(f.Sellers)
	if f.Sellers = slices.Compact(f.Sellers); len(f.Sellers) > listMax {
		return &ledger.InvalidError{Field: "seller", Problem: fmt.Sprintf("names more than %d", listMax), Fix: "record one fact for each group of sellers"}
	}
	if f.GetOccurredAt() == nil && f.GetOccurredOn() == "" && !d.interactive {
		return &ledger.InvalidError{Field: "occurred_at", Problem: "is missing", Fix: "say when it happened (RFC 3339, or a date)"}
	}
	if err := validTime("occurred_at", f.GetOccurredAt()); err != nil {
		return err
	}
	if s := ledger.EnsureScope(f); s != nil {
		if err := checkScope(s, f.GetSellers(), d.Kind, c); err != nil {
			return err
		}
	}
	return d.checkPermitKind()
}

// checkScope fills programmes with all and refuses any other gap, except that a
// removal from the Do-Not-Call list without channels and purposes removes all.
func checkScope(s *consentv1.Scope, sellers []string, k ledger.Kind, c Catalog) error {
	s.Exact = false
	if k == "dnc_removed" {
		if len(s.GetChannels()) == 0 {
			s.Channels = []consentv1.Channel{consentv1.Channel_CHANNEL_ALL}
		}
		if len(s.GetPurposes()) == 0 {
			s.Purposes = []consentv1.Purpose{consentv1.Purpose_PURPOSE_ALL}
		}
	}
	if len(s.GetChannels()) == 0 || slices.ContainsFunc(s.GetChannels(), unknownChannel) {
		return &ledger.InvalidError{Field: "channels", Problem: "are missing or not known", Fix: "name them: " + wordsOf(consentv1.Channel_name, "CHANNEL_")}
	}
	if len(s.GetPurposes()) == 0 || slices.ContainsFunc(s.GetPurposes(), unknownPurpose) {
		return &ledger.InvalidError{Field: "purposes", Problem: "are missing or not known", Fix: "name them: " + wordsOf(consentv1.Purpose_name, "PURPOSE_")}
	}
	if len(s.GetProgrammes()) == 0 {
		s.Programmes = []string{ledger.All}
	}
	if len(s.GetProgrammes()) > listMax {
		return &ledger.InvalidError{Field: "programme", Problem: fmt.Sprintf("names more than %d", listMax), Fix: "record one fact for each group of programmes"}
	}
	for _, p := range s.GetProgrammes() {
		if p == ledger.All {
			continue
		}
		for _, seller := range sellers {
			if !c.Programme(seller, p) {
				return &ledger.InvalidError{Field: "programme", Problem: "is not registered for the seller", Fix: "register it first: consent programme add ID --seller S"}
			}
		}
	}
	normalise(s)
	return nil
}

var levelPattern = regexp.MustCompile(`^[a-z0-9_]{1,64}$`)

func (d *Declared) checkPermitKind() error {
	level, expires, on := "", (*timestamppb.Timestamp)(nil), ""
	switch k := d.Fact.GetKind().(type) {
	case *consentv1.Fact_ConsentGranted:
		level, expires, on = k.ConsentGranted.GetLevel(), k.ConsentGranted.GetExpiresAt(), k.ConsentGranted.GetExpiresOn()
	case *consentv1.Fact_ConsentConfirmed:
		level, expires, on = k.ConsentConfirmed.GetLevel(), k.ConsentConfirmed.GetExpiresAt(), k.ConsentConfirmed.GetExpiresOn()
	case *consentv1.Fact_RelationshipRecorded:
		if r := k.RelationshipRecorded.GetRelationship(); r == 0 || consentv1.RelationshipKind_name[int32(r)] == "" {
			return &ledger.InvalidError{Field: "relationship", Problem: "is missing or not known", Fix: "name it: " + wordsOf(consentv1.RelationshipKind_name, "RELATIONSHIP_KIND_")}
		}
		return nil
	case *consentv1.Fact_ClarificationAnswered:
		if k.ClarificationAnswered.GetRevocationPosition() == 0 || len(k.ClarificationAnswered.GetKeepProgrammes()) == 0 {
			return &ledger.InvalidError{Field: "clarification_answered", Problem: "names no revocation or keeps nothing", Fix: "give revocation_position and keep_programmes"}
		}
		k.ClarificationAnswered.AnsweredLatest = nil
		return nil
	default:
		return nil
	}
	if !levelPattern.MatchString(level) {
		return &ledger.InvalidError{Field: "level", Problem: "is missing or no level", Fix: "say how strong the consent is: express_written, express, implied"}
	}
	if err := validTime("expires_at", expires); err != nil {
		return err
	}
	if _, _, ok := DaySpan(on, d.Number); on != "" && expires == nil && !ok {
		return &ledger.InvalidError{Field: "expires_at", Problem: "cannot be read as a time or date", Fix: "write RFC 3339 or YYYY-MM-DD"}
	}
	return nil
}

// widen makes a fact that forbids cover everything it could mean.
func (d *Declared) widen(c Catalog) {
	f := d.Fact
	d.widenSellers(c)
	if f.GetOccurredAt() != nil && f.GetOccurredAt().CheckValid() != nil {
		f.OccurredAt = nil
		d.Notices = append(d.Notices, "occurred_at could not be read: taken as now")
	}
	if k, ok := f.GetKind().(*consentv1.Fact_InboundMessage); ok {
		m := k.InboundMessage
		if m.GetClassification() == consentv1.MessageClass_MESSAGE_CLASS_UNSPECIFIED || consentv1.MessageClass_name[int32(m.GetClassification())] == "" {
			m.Classification = words.Classify(m.GetBody())
		}
		d.Stop = ledger.IsStop(f)
		m.InReplyToProgramme = d.widenID("in_reply_to_programme", m.GetInReplyToProgramme())
	}
	if k, ok := f.GetKind().(*consentv1.Fact_ConsentRevoked); ok {
		k.ConsentRevoked.InReplyToProgramme = d.widenID("in_reply_to_programme", k.ConsentRevoked.GetInReplyToProgramme())
	}
	s := ledger.EnsureScope(f)
	if s == nil {
		return
	}
	if slices.ContainsFunc(s.GetChannels(), unknownChannel) {
		d.widened("channels", fmt.Sprint(s.GetChannels()))
		s.Channels = nil
	}
	if slices.ContainsFunc(s.GetPurposes(), unknownPurpose) {
		d.widened("purposes", fmt.Sprint(s.GetPurposes()))
		s.Purposes = nil
	}
	if bad := slices.IndexFunc(s.GetProgrammes(), func(p string) bool { return p != ledger.All && !ValidID(p) }); bad >= 0 || len(s.GetProgrammes()) > listMax {
		d.widened("programmes", strings.Join(s.GetProgrammes(), ";"))
		s.Programmes = nil
	}
	if len(s.GetChannels()) == 0 {
		s.Channels = []consentv1.Channel{consentv1.Channel_CHANNEL_ALL}
	}
	if len(s.GetPurposes()) == 0 {
		s.Purposes = []consentv1.Purpose{consentv1.Purpose_PURPOSE_ALL}
	}
	if len(s.GetProgrammes()) == 0 {
		s.Programmes = []string{ledger.All}
	}
	normalise(s)
}

// widenSellers: a missing or unregistered seller means all sellers.
func (d *Declared) widenSellers(c Catalog) {
	f := d.Fact
	for _, s := range f.GetSellers() {
		if s == ledger.All {
			f.Sellers = []string{ledger.All}
			return
		}
		if !c.Seller(s) {
			unread(f, "seller", s)
			d.Notices = append(d.Notices, "seller is not registered: recorded for all sellers")
			f.Sellers = []string{ledger.All}
			return
		}
	}
	if len(f.GetSellers()) == 0 || len(f.GetSellers()) > listMax {
		f.Sellers = []string{ledger.All}
		return
	}
	slices.Sort(f.Sellers)
	f.Sellers = slices.Compact(f.Sellers)
}

// keepKnownSellers: facts about the number itself count for everybody, unless
// they name registered sellers.
func (d *Declared) keepKnownSellers(c Catalog) {
	if d.Fact.GetOccurredAt() != nil && d.Fact.GetOccurredAt().CheckValid() != nil {
		d.Fact.OccurredAt = nil
		d.Notices = append(d.Notices, "occurred_at could not be read: taken as now")
	}
	d.widenSellers(c)
}

func (d *Declared) widened(field, value string) {
	unread(d.Fact, field, value)
	d.Notices = append(d.Notices, field+" could not be understood: covers all")
}

// widenID drops an id that cannot be one, so that it never stands in clear.
func (d *Declared) widenID(field, id string) string {
	if id == "" || ValidID(id) {
		return id
	}
	unread(d.Fact, field, id)
	d.Notices = append(d.Notices, field+" is no id: left out")
	return ""
}

// Resolve fills the fact's dates for an entry recorded at an instant (DESIGN 5):
// doubt about a time always falls on the side of silence. The error is an
// *InvalidError: a fact that permits has no readable date or is dated ahead.
func (d *Declared) Resolve(recordedAt time.Time) error {
	f := d.Fact
	earliest, latest, ok := d.span(recordedAt)
	ahead := ok && earliest.After(recordedAt.Add(AheadMax))
	if ledger.NatureOf(d.Kind) == ledger.Permits {
		if !ok {
			return &ledger.InvalidError{Field: "occurred_at", Problem: "cannot be read as a time or date", Fix: "write RFC 3339 or YYYY-MM-DD"}
		}
		if ahead {
			return &ledger.InvalidError{Field: "occurred_at", Problem: "lies in the future", Fix: "record a grant once it has happened"}
		}
	} else if !ok || ahead {
		if ok {
			d.Notices = append(d.Notices, "occurred_at lies in the future: taken as now")
		}
		earliest, latest = recordedAt, recordedAt
	}
	if latest.Before(d.NotBefore) {
		latest = d.NotBefore
	}
	if latest.After(recordedAt) {
		latest = recordedAt
	}
	if earliest.After(latest) {
		earliest = latest
	}
	f.Earliest, f.Latest = timestamppb.New(earliest), timestamppb.New(latest)
	d.resolveExpiry()
	return nil
}

func (d *Declared) span(recordedAt time.Time) (earliest, latest time.Time, ok bool) {
	f := d.Fact
	switch {
	case f.GetOccurredAt() != nil:
		t := f.GetOccurredAt().AsTime()
		return t, t, true
	case f.GetOccurredOn() != "":
		return DaySpan(f.GetOccurredOn(), d.Number)
	case d.interactive:
		return recordedAt, recordedAt, true
	}
	return time.Time{}, time.Time{}, false
}

// resolveExpiry: a grant that ends on a date ends at that date's first possible instant.
func (d *Declared) resolveExpiry() {
	switch k := d.Fact.GetKind().(type) {
	case *consentv1.Fact_ConsentGranted:
		if from, _, ok := DaySpan(k.ConsentGranted.GetExpiresOn(), d.Number); ok && k.ConsentGranted.GetExpiresAt() == nil {
			k.ConsentGranted.ExpiresAt = timestamppb.New(from)
		}
	case *consentv1.Fact_ConsentConfirmed:
		if from, _, ok := DaySpan(k.ConsentConfirmed.GetExpiresOn(), d.Number); ok && k.ConsentConfirmed.GetExpiresAt() == nil {
			k.ConsentConfirmed.ExpiresAt = timestamppb.New(from)
		}
	}
}

// maxTime keeps times inside int64 nanoseconds.
var minTime, maxTime = time.Unix(0, 0), time.Date(2262, 1, 1, 0, 0, 0, 0, time.UTC)

func validTime(field string, t *timestamppb.Timestamp) error {
	if t == nil {
		return nil
	}
	if t.CheckValid() != nil || t.AsTime().Before(minTime) || t.AsTime().After(maxTime) {
		return &ledger.InvalidError{Field: field, Problem: "is no time between 1970 and 2262", Fix: "write RFC 3339"}
	}
	return nil
}

func unknownChannel(c consentv1.Channel) bool {
	_, ok := consentv1.Channel_name[int32(c)]
	return !ok || c == consentv1.Channel_CHANNEL_UNSPECIFIED
}

func unknownPurpose(p consentv1.Purpose) bool {
	_, ok := consentv1.Purpose_name[int32(p)]
	return !ok || p == consentv1.Purpose_PURPOSE_UNSPECIFIED
}

// normalise sorts and deduplicates a scope; `all` in a list makes it the whole list.
func normalise(s *consentv1.Scope) {
	slices.Sort(s.Channels)
	s.Channels = slices.Compact(s.Channels)
	if slices.Contains(s.Channels, consentv1.Channel_CHANNEL_ALL) {
		s.Channels = []consentv1.Channel{consentv1.Channel_CHANNEL_ALL}
	}
	slices.Sort(s.Purposes)
	s.Purposes = slices.Compact(s.Purposes)
	if slices.Contains(s.Purposes, consentv1.Purpose_PURPOSE_ALL) {
		s.Purposes = []consentv1.Purpose{consentv1.Purpose_PURPOSE_ALL}
	}
	slices.Sort(s.Programmes)
	s.Programmes = slices.Compact(s.Programmes)
	if slices.Contains(s.Programmes, ledger.All) {
		s.Programmes = []string{ledger.All}
	}
}

// wordsOf lists the bare words of an enum, in the order of their numbers.
func wordsOf(names map[int32]string, prefix string) string {
	numbers := make([]int32, 0, len(names))
	for n := range names {
		if n != 0 {
			numbers = append(numbers, n)
		}
	}
	slices.Sort(numbers)
	out := make([]string, len(numbers))
	for i, n := range numbers {
		out[i] = strings.ToLower(strings.TrimPrefix(names[n], prefix))
	}
	return strings.Join(out, ", ")
}
