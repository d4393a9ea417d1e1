package attempts

import (
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/consent-ledger/consent-ledger/ledger"
	"github.com/consent-ledger/consent-ledger/ledger/store"
	"github.com/consent-ledger/consent-ledger/projections/rules"
)

// overlay holds the calls that one batch changes, over the database. It is used
// by one goroutine.
type overlay struct {
	db    store.Reader
	known *store.Fingerprints
	// was and is are the calls touched: as the database has them, nil if it has
	// not, and as they are after the batch.
	was, is map[store.Reference]*call
	// touched keeps the order, so that equal batches write equal bytes.
	touched []store.Reference
}

func newOverlay(db store.Reader, known *store.Fingerprints) *overlay {
	return &overlay{db: db, known: known, was: map[store.Reference]*call{}, is: map[store.Reference]*call{}}
}

// call gives what is known of a call; nil if nothing is.
func (o *overlay) call(ref store.Reference) (*call, error) {
	if c, ok := o.is[ref]; ok {
		return c, nil
	}
	return callOf(o.db, ref)
}

// callOf finds a call in the database by its reference.
func callOf(db store.Reader, ref store.Reference) (*call, error) {
	place, err := db.Get(store.AttemptRefKey(ref))
	if err != nil || place == nil {
		return nil, err
	}
	if len(place) < len(ledger.Token{}) {
		return nil, fmt.Errorf("attempts: a reference of %d bytes: %w", len(place), store.ErrBadKey)
	}
	key := store.AttemptKey(ledger.Token(place[:len(ledger.Token{})]), string(place[len(ledger.Token{}):]), ref)
	v, err := db.Get(key)
	if err != nil {
		return nil, err
	}
	if v == nil {
		return nil, errors.New("attempts: a reference leads to no call; the projection is damaged: consent rebuild")
	}
	return decodeCall(key, v)
}

// say adds a record to its call, and tells what is known of it now.
func (o *overlay) say(s said, seq uint64) (now *call, added bool, err error) {
	before, err := o.call(s.ref)
	if err != nil {
		return nil, false, err
	}
	if before != nil && !before.token.IsZero() && !s.token.IsZero() && before.token != s.token {
		return nil, false, fmt.Errorf("one reference for two numbers: %w", ledger.ErrDamaged)
	}
	now, added = before.join(s, seq)
	if !added {
		return now, false, nil
	}
	if _, seen := o.is[s.ref]; !seen {
		o.was[s.ref] = before
		o.touched = append(o.touched, s.ref)
	}
	o.is[s.ref] = now
	return now, true, nil
}

// attempts lists what counts for a number and a seller from an instant on, newest
// first, without one call.
func (o *overlay) attempts(t ledger.Token, seller string, from time.Time, except store.Reference) ([]rules.Attempt, error) {
	out, err := attemptsOf(o.db, o.known, t, seller, period{from: from}, func(c *call) bool {
		_, changed := o.is[c.ref]
		return !changed && c.ref != except
	})
	if err != nil {
		return nil, err
	}
	for _, ref := range o.touched {
		if c := o.is[ref]; c.token == t && c.seller == seller && ref != except && counts(c.outcome) && !c.at.Before(from) {
			out = append(out, c.attempt())
		}
	}
	slices.SortStableFunc(out, newestFirst)
	return out, nil
}

// period is what attempts are asked for.
type period struct {
	// from and until bound the contacts, both included; a zero until is no end.
	from, until time.Time
	// asOf: only what was recorded by then counts; zero: everything.
	asOf time.Time
}

// holds tells whether a call counts in the period, and at which instant. Of a call
// that was moved, the instant known as of another time is kept nowhere: it counts if
// the earliest lies in the period, and as late as it may have been.
func (p period) holds(c *call) (at time.Time, ok bool) {
	at, first := c.at, c.at
	if ok = counts(c.outcome); !p.asOf.IsZero() {
		ok, first = c.countedAt(p.asOf), c.first
	}
	if !p.until.IsZero() && at.After(p.until) {
		at = p.until
		ok = ok && !first.After(p.until)
	}
	return at, ok && !at.Before(p.from)
}

// attemptsOf lists what counts in the database in a period, newest first. A number
// nobody ever tried costs no read.
func attemptsOf(r store.Reader, known *store.Fingerprints, t ledger.Token, seller string, p period, want func(*call) bool) ([]rules.Attempt, error) {
	if !known.MayHold(fingerprint(t)) {
		return nil, nil
	}
	var out []rules.Attempt
	lo, hi := store.AttemptRange(t, seller)
	err := r.Each(lo, hi, func(k, v []byte) error {
		c, err := decodeCall(k, v)
		if err != nil {
			return err
		}
		if at, ok := p.holds(c); ok && want(c) {
			a := c.attempt()
			a.At = at
			out = append(out, a)
		}
		return nil
	})
	slices.SortStableFunc(out, newestFirst)
	return out, err
}

func newestFirst(a, b rules.Attempt) int { return b.At.Compare(a.At) }

// attempt is a call as the rules see it. Its reference is the keyed hash: rules
// compare references and never read them.
func (c *call) attempt() rules.Attempt {
	return rules.Attempt{At: c.at, Channel: c.channel, Purpose: c.purpose, Subject: c.subject, Reference: hex.EncodeToString(c.ref[:])}
}

// flush moves the changes to a batch of the database.
func (o *overlay) flush(b *store.Batch) error {
	for _, ref := range o.touched {
		was, is := o.was[ref], o.is[ref]
		if was != nil {
			if err := errors.Join(b.Delete(was.key()), b.Delete(was.ageKey())); err != nil {
				return err
			}
		}
		if err := errors.Join(b.Set(is.key(), is.encode()), b.Set(is.ageKey(), nil), b.Set(store.AttemptRefKey(ref), is.place())); err != nil {
			return err
		}
		o.known.Add(fingerprint(is.token))
	}
	return nil
}

// droppedMax bounds the calls that one message drops: what a long pause left is
// dropped over the messages after it.
const droppedMax = 2_000

// errEnough ends a scan early.
var errEnough = errors.New("attempts: enough")

// drop removes calls of the database from before an instant, the oldest first,
// unless this batch touches them. What it removes follows from the messages alone.
func (o *overlay) drop(b *store.Batch, before time.Time) error {
	if before.UnixNano() <= 0 {
		return nil
	}
	var old []store.Reference
	lo, hi := store.AttemptAgeRange(uint64(before.UnixNano()))
	err := o.db.Each(lo, hi, func(k, _ []byte) error {
		_, ref, err := store.ParseAttemptAgeKey(k)
		if err != nil {
			return err
		}
		if _, touched := o.is[ref]; !touched {
			old = append(old, ref)
		}
		if len(old) >= droppedMax {
			return errEnough
		}
		return nil
	})
	if err != nil && !errors.Is(err, errEnough) {
		return err
	}
	for _, ref := range old {
		c, err := callOf(o.db, ref)
		if err != nil {
			return err
		}
		if c == nil {
			return errors.New("attempts: an age leads to no call; the projection is damaged: consent rebuild")
		}
		if err := errors.Join(b.Delete(c.key()), b.Delete(c.ageKey()), b.Delete(store.AttemptRefKey(ref))); err != nil {
			return err
		}
	}
	return nil
}

// fingerprint takes 32 bits of a token, behind its version byte.
func fingerprint(t ledger.Token) uint32 {
	return uint32(t[1])<<24 | uint32(t[2])<<16 | uint32(t[3])<<8 | uint32(t[4])
}
