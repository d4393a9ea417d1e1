// Package declare makes what a caller declares ready for the one writer: it reads
// the number, makes the hashes, refuses what permits and has gaps, and widens
// what forbids and has gaps (promise 10).
//
// declare.go is the life of one declaration; permit.go refuses, widen.go widens;
// canonical.go the form its content
// hash is made over; clear.go keeps numbers out of what is stored in clear;
// dates.go resolves dates; system.go checks facts about no number.
package declare

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/consent-ledger/consent-ledger/ledger"
	"github.com/consent-ledger/consent-ledger/ledger/phone"
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
	// Campaign is the campaign's registration; nil if there is none.
	Campaign(id string) *consentv1.CampaignRegistered
	Programme(seller, id string) bool
}

// Hasher makes the keyed hashes and tokens of a declared fact. Safe for concurrent use.
type Hasher interface {
	Idempotency(source, eventID string) ledger.Hash
	ContentMAC(canonical []byte) ledger.Hash
	Party(id string) [ledger.PartyKeyBytes]byte
	Exchange(e164 string) (ledger.ExchangeToken, error)
	Token(x ledger.ExchangeToken) ledger.Token
}

// Declaration is what a caller hands in.
type Declaration struct {
	Fact          *consentv1.Fact
	DefaultRegion string // of a number without a country code; empty: US
	Interactive   bool   // a grant without a date means now
	// Owned: nobody looks at the fact again, so that it need not be copied.
	Owned bool
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
	size        int // of the fact as declared, in bytes
}

// Bytes is about how large the fact is: for estimates.
func (d *Declared) Bytes() int { return d.size }

// Declare reads a declaration. The error is an *ledger.InvalidError if the fact cannot
// even be identified; it never contains a value that could be a phone number.
func Declare(in Declaration, h Hasher, c Catalog) (*Declared, error) {
	f := in.Fact
	if !in.Owned || ledger.IsStop(f) { // what a stop was may have to be shown to a person
		f = proto.CloneOf(f)
	}
	if f == nil {
		return nil, &ledger.InvalidError{Field: "fact", Problem: "is missing", Fix: "send a fact with one kind set"}
	}
	f.Earliest, f.Latest, f.Unassigned, f.PartyKey = nil, nil, false, nil
	if w := f.GetWordingPublished(); w != nil {
		w.Sha256 = nil
	}
	d := &Declared{Fact: f, Kind: ledger.KindOf(f), Stop: ledger.IsStop(f), interactive: in.Interactive}
	if d.Kind == "" {
		return nil, &ledger.InvalidError{Field: "kind", Problem: "is missing or not known to this version", Fix: "set one of the kinds in consent/v1/fact.proto"}
	}
	s := newSurvey()
	defer s.free()
	strange, err := d.identify(in, h, s)
	if err != nil {
		return nil, err
	}
	if d.Invalid = d.check(c, s.doubtful); d.Invalid == nil && strange {
		d.Invalid = d.unknownFields()
	}
	return d, nil
}

// identify parses the number and makes the hashes, all over the fact as declared.
// strange: it held fields this version does not know, and they are gone.
func (d *Declared) identify(in Declaration, h Hasher, s *survey) (strange bool, err error) {
	f := d.Fact
	wantsNumber := aboutNumber(f)
	var n phone.Number
	if wantsNumber {
		if n, err = phone.Parse(f.GetNumber(), in.DefaultRegion); err != nil {
			return false, Unreadable(err, d.Stop)
		}
		f.Number = n.E164
	}
	source := f.GetSource()
	if d.Stop && !ValidID(source) {
		f.Source = "unknown"
	}
	if !ValidID(f.GetSource()) {
		return false, badID("source")
	}
	if f.GetEventId() == "" {
		return false, &ledger.InvalidError{Field: "event_id", Problem: "is missing", Fix: "send the source's own id for this fact, the same one in every retry"}
	}
	d.Idempotency = h.Idempotency(f.GetSource(), f.GetEventId())
	if err := s.of(f); err != nil {
		return false, err
	}
	if strange = s.strange; strange {
		dropUnknown(f.ProtoReflect())
		if err := s.of(f); err != nil {
			return false, err
		}
	}
	d.Content, d.size = h.ContentMAC(s.canonical), len(s.wire)
	if source != f.GetSource() && source != "" {
		unread(f, "source", source)
	}
	if !wantsNumber {
		if f.GetNumber() != "" {
			return false, &ledger.InvalidError{Field: "number", Problem: fmt.Sprintf("is set, but %s is about no number", d.Kind), Fix: "leave it out"}
		}
		return strange, nil
	}
	f.Unassigned, d.Number = n.Unassigned, n.E164
	if d.Exchange, err = h.Exchange(d.Number); err != nil {
		return false, &ledger.InvalidError{Field: "number", Problem: "is too long", Fix: "send at most 15 digits", Inbox: d.Stop}
	}
	d.Token = h.Token(d.Exchange)
	if party := strings.TrimSpace(f.GetParty()); party != "" {
		key := h.Party(party)
		f.PartyKey = key[:]
	}
	return strange, nil
}

// aboutNumber: all kinds but system facts; and the closing of an inbox item only
// if its message is in the ledger.
func aboutNumber(f *consentv1.Fact) bool {
	if c := f.GetInboxItemClosed(); c != nil {
		return c.GetMessagePosition() != 0
	}
	return ledger.NatureOf(ledger.KindOf(f)) != ledger.System
}

// Unreadable says why a number that phone.Parse refused is none. A stop then goes
// to a person.
func Unreadable(err error, stop bool) *ledger.InvalidError {
	var u *phone.UnreadableError
	if !errors.As(err, &u) {
		return &ledger.InvalidError{Field: "number", Problem: "cannot be read", Inbox: stop}
	}
	return &ledger.InvalidError{Field: "number", Problem: u.Problem, Fix: u.Fix, Inbox: stop}
}

// idBytesMax is the longest id: `[a-z0-9_-]{1,64}`.
const idBytesMax = 64

// wellFormed tells whether a string has only the letters of ids. It is asked
// several times a fact, hence no regular expression.
func wellFormed(s, besides string) bool {
	if len(s) == 0 || len(s) > idBytesMax {
		return false
	}
	for i := range len(s) {
		if c := s[i]; (c < 'a' || c > 'z') && (c < '0' || c > '9') && strings.IndexByte(besides, c) < 0 {
			return false
		}
	}
	return true
}

// ValidID tells whether an id may name a seller, programme, campaign or source.
func ValidID(id string) bool {
	return wellFormed(id, "_-") && id != ledger.All && !numberLike(id)
}

func badID(field string) *ledger.InvalidError {
	return &ledger.InvalidError{Field: field, Problem: "is missing or no id",
		Fix: "use 1 to 64 of a-z, 0-9, _ and -, with no 9 digits in a row; `all` is reserved"}
}

// unread keeps what could not be understood, as it came, sealed with the fact.
func unread(f *consentv1.Fact, field, value string) {
	if f.Unread != "" {
		f.Unread += "\n"
	}
	f.Unread += field + "=" + value
}

// check validates what is new, and widens what forbids. doubtful: some string has
// to be looked at.
func (d *Declared) check(c Catalog, doubtful bool) error {
	if doubtful {
		if err := d.checkStrings(); err != nil {
			return err
		}
	}
	if err := d.checkSize(); err != nil {
		return err
	}
	if err := checkLists(d.Fact); err != nil {
		return err
	}
	switch ledger.NatureOf(d.Kind) {
	case ledger.System:
		return checkSystem(d.Fact, c)
	case ledger.Permits:
		return d.checkPermit(c)
	case ledger.Forbids:
		if err := d.checkRegistryPreference(); err != nil {
			return err
		}
		d.widen(c)
		return nil
	default:
		d.keepKnownSellers(c)
		return checkNeutral(d.Fact)
	}
}

// checkSize refuses what no entry can hold. Stops are never refused for size.
func (d *Declared) checkSize() error {
	if d.size > factBytesMax && !d.Stop {
		return &ledger.InvalidError{Field: "fact", Problem: fmt.Sprintf("has %d bytes, at most %d are taken", d.size, factBytesMax),
			Fix: "name fewer sellers, programmes or area codes"}
	}
	return nil
}
