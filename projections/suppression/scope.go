package suppression

import (
	"math/bits"

	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

// Cells are (channel, purpose) pairs: one mask of purposes for each channel,
// both by their enum number, ALL being a value of its own. So a grant over ten
// pairs is one record. Enums of later versions have room up to enumMax.
const (
	enumMax  = 15
	allValue = 1 // CHANNEL_ALL and PURPOSE_ALL

	allBit = uint32(1) << allValue
	anyBit = uint32(1)<<(enumMax+1) - 1
)

// Families: who stops texts or calls does not mean one technology.
const (
	voiceFamily = 1<<consentv1.Channel_CHANNEL_VOICE_LIVE | 1<<consentv1.Channel_CHANNEL_VOICE_ATDS |
		1<<consentv1.Channel_CHANNEL_VOICE_PRERECORDED | 1<<consentv1.Channel_CHANNEL_VOICE_AI
	smsFamily = 1<<consentv1.Channel_CHANNEL_SMS | 1<<consentv1.Channel_CHANNEL_SMS_ATDS
)

// permitted are the cells a scope names and no others: a gap covers nothing.
func permitted(s *consentv1.Scope) *consentv1.Cells {
	return cells(named(s.GetChannels()), named(s.GetPurposes()))
}

// forbidden are the cells a scope may mean: a gap or an unknown word covers all.
func forbidden(s *consentv1.Scope) *consentv1.Cells {
	return cells(widest(s.GetChannels()), widest(s.GetPurposes()))
}

// stopped are the cells of a stop, which covers whole families unless it is exact.
func stopped(s *consentv1.Scope) *consentv1.Cells {
	channels := widest(s.GetChannels())
	for _, family := range [...]uint32{voiceFamily, smsFamily} {
		if channels&family != 0 && !s.GetExact() {
			channels |= family
		}
	}
	return cells(channels, widest(s.GetPurposes()))
}

// everything is the one cell that covers every question.
func everything() *consentv1.Cells { return cells(allBit, allBit) }

func named[E ~int32](list []E) (mask uint32) {
	for _, e := range list {
		if e >= allValue && e <= enumMax {
			mask |= 1 << e
		}
	}
	return mask
}

func widest[E ~int32](list []E) (mask uint32) {
	for _, e := range list {
		if e <= allValue || e > enumMax {
			return allBit
		}
		mask |= 1 << e
	}
	if mask == 0 {
		return allBit
	}
	return mask
}

func cells(channels, purposes uint32) *consentv1.Cells {
	if purposes == 0 {
		return &consentv1.Cells{}
	}
	c := &consentv1.Cells{Purposes: make([]uint32, bits.Len32(channels))}
	for i := range c.Purposes {
		if channels>>i&1 == 1 {
			c.Purposes[i] = purposes
		}
	}
	return c
}

// without takes the cells of b out of a, in place.
func without(a, b []uint32) []uint32 {
	for i := range min(len(a), len(b)) {
		a[i] &^= b[i]
	}
	return cut(a)
}

// with gives the cells of both; it may use the room of a.
func with(a, b []uint32) []uint32 {
	if len(a) < len(b) {
		a, b = append(make([]uint32, 0, len(b)), b...), a
	}
	for i := range b {
		a[i] |= b[i]
	}
	return a
}

// cut drops trailing zeros: the one form of a set of cells. No cells are nil.
func cut(a []uint32) []uint32 {
	for len(a) > 0 && a[len(a)-1] == 0 {
		a = a[:len(a)-1]
	}
	if len(a) == 0 {
		return nil
	}
	return a
}

// count is the number of cells.
func count(c *consentv1.Cells) (n int) {
	for _, p := range c.GetPurposes() {
		n += bits.OnesCount32(p)
	}
	return n
}

// first keeps the first n cells, by channel, then purpose.
func first(a []uint32, n int) []uint32 {
	for i, p := range a {
		if have := bits.OnesCount32(p); have <= n {
			n -= have
			continue
		}
		for range bits.OnesCount32(p) - n {
			p &^= 1 << (bits.Len32(p) - 1)
		}
		a[i], n = p, 0
	}
	return cut(a)
}

// cell is one channel and purpose, which may be ALL.
type cell struct {
	channel int32
	purpose uint32 // as a bit
}

func (c cell) in(set *consentv1.Cells) bool {
	p := set.GetPurposes()
	return int(c.channel) < len(p) && p[c.channel]&c.purpose != 0
}

// grantCells are the cells whose grants cover the question: up to four.
func (q Question) grantCells() []cell {
	out := make([]cell, 0, 4)
	for _, c := range [...]int32{int32(q.Channel), allValue} {
		if !single(c) && c != allValue || len(out) > 0 && c == int32(q.Channel) {
			continue
		}
		if single(int32(q.Purpose)) {
			out = append(out, cell{c, 1 << q.Purpose})
		}
		out = append(out, cell{c, allBit})
	}
	return out
}

// liftedBy tells whether what permits (a removal, an answer) covers the question.
func (q Question) liftedBy(programme string, set *consentv1.Cells) bool {
	if !q.permittedIn(programme) {
		return false
	}
	for _, c := range [...]int32{int32(q.Channel), allValue} {
		if single(c) || c == allValue {
			if (cell{c, allBit}).in(set) || single(int32(q.Purpose)) && (cell{c, 1 << q.Purpose}).in(set) {
				return true
			}
		}
	}
	return false
}

// permittedIn: what permits a programme covers only a question that names it.
func (q Question) permittedIn(programme string) bool {
	return programme == all || programme == q.Programme && programme != ""
}

// forbiddenBy tells whether what forbids covers the question. A question that
// leaves a dimension open is covered by every value of it.
func (q Question) forbiddenBy(programme string, set *consentv1.Cells) bool {
	if programme != all && q.Programme != "" && q.Programme != all && programme != q.Programme {
		return false
	}
	purposes := anyBit
	if single(int32(q.Purpose)) {
		purposes = allBit | 1<<q.Purpose
	}
	for c, p := range set.GetPurposes() {
		if p&purposes != 0 && (c == allValue || c == int(q.Channel) || !single(int32(q.Channel))) {
			return true
		}
	}
	return false
}

// single tells a value that stands for itself from a missing one, ALL, or one
// that this version has no room for.
func single(e int32) bool { return e > allValue && e <= enumMax }
