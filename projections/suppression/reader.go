package suppression

import (
	"fmt"

	"github.com/consent-ledger/consent-ledger/ledger"
	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

// Reader reads states into memory that it uses again, because a check takes longer
// over memory than over what a state says. The zero value is ready. It belongs to
// one goroutine.
type Reader struct {
	key   []byte
	bytes []byte // what the records hold besides texts

	states       shelf[State]
	grants       shelf[consentv1.GrantRegister]
	prohibitions shelf[consentv1.ProhibitionRegister]
	marks        shelf[consentv1.MarkRegister]
	preferences  shelf[consentv1.PreferenceRegister]
	unclear      shelf[consentv1.UnclearRegister]
	spans        shelf[consentv1.TimeSpan]
	cells        shelf[consentv1.Cells]
	masks        shelf[uint32]
	lists        lists
}

// lists is room for the lists of records of states.
type lists struct {
	grants       shelf[*consentv1.GrantRegister]
	prohibitions shelf[*consentv1.ProhibitionRegister]
	marks        shelf[*consentv1.MarkRegister]
	preferences  shelf[*consentv1.PreferenceRegister]
	unclear      shelf[*consentv1.UnclearRegister]
}

// Load reads what a decision about a token needs for one seller. get gives the
// value of a key, nil if there is none; it is read before get is called again. The
// view is valid until the next Load, and of it nothing may be kept but texts.
func (r *Reader) Load(get func(key []byte) ([]byte, error), t ledger.Token, seller string) (v View, err error) {
	r.clear()
	if seller != "" && seller != ledger.All {
		if v.Seller, err = r.half(get, t, seller); err != nil {
			return View{}, err
		}
	}
	if v.All, err = r.half(get, t, ledger.All); err != nil {
		return View{}, err
	}
	return v, nil
}

func (r *Reader) half(get func(key []byte) ([]byte, error), t ledger.Token, seller string) (*State, error) {
	r.key = appendKey(r.key[:0], t, seller)
	raw, err := get(r.key)
	if err != nil {
		return nil, fmt.Errorf("suppression: state: %w", err)
	}
	if raw == nil {
		return nil, nil
	}
	s := r.states.next()
	return s, r.decode(s, raw)
}

func (r *Reader) clear() {
	r.bytes = r.bytes[:0]
	r.states.clear()
	r.grants.clear()
	r.prohibitions.clear()
	r.marks.clear()
	r.preferences.clear()
	r.unclear.clear()
	r.spans.clear()
	r.cells.clear()
	r.masks.clear()
	r.lists.grants.clear()
	r.lists.prohibitions.clear()
	r.lists.marks.clear()
	r.lists.preferences.clear()
	r.lists.unclear.clear()
}

// shelf gives out zero values that lie side by side and can be taken back all at
// once. What was given out stays where it is when a shelf grows.
type shelf[T any] struct {
	all  []T
	used int
}

// shelfKept bounds what is used again, so that one great state does not stay.
const shelfKept = 256

// run gives so many, of which nobody can have more.
func (s *shelf[T]) run(n int) []T {
	if s.used+n > len(s.all) {
		s.all, s.used = make([]T, max(n, 2*len(s.all))), 0
	}
	s.used += n
	return s.all[s.used-n : s.used : s.used]
}

func (s *shelf[T]) next() *T { return &s.run(1)[0] }

// append is append to what came from the shelf or is nil.
func (s *shelf[T]) append(list []T, x T) []T {
	n := len(list)
	if n > 0 && s.used >= n && s.used < len(s.all) && &s.all[s.used-1] == &list[n-1] { // nothing came after it
		s.used++
		list = s.all[s.used-n-1 : s.used : s.used]
	} else {
		longer := s.run(n + 1)
		copy(longer, list)
		list = longer
	}
	list[n] = x
	return list
}

func (s *shelf[T]) clear() {
	if len(s.all) > shelfKept {
		*s = shelf[T]{}
		return
	}
	clear(s.all[:s.used])
	s.used = 0
}
