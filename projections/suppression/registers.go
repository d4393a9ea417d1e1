package suppression

import (
	"bytes"
	"cmp"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"

	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

// grantCellsMax bounds the grants of one state. It counts cells, not records: a
// newer grant replaces older ones cell by cell, so the newest k cells of two
// states hold the newest k of their join, which is not true of records, because
// how cells group into records depends on what was replaced. Prohibitions have
// no bound. DESIGN 5 speaks of 1,000 records; a record has about eight cells.
const grantCellsMax = 8192

// Join joins two states towards the same seller. Neither is changed. It says
// nothing about erasures, whose place among the facts decides what they took
// away: facts from before one must not be joined to it.
func Join(a, b *State) *State {
	out := &State{}
	if a != nil {
		out = proto.Clone(a).(*State)
	}
	if b != nil {
		merge(out, proto.Clone(b).(*State))
	}
	return out
}

// merge joins src into dst, register by register, and tells whether dst changed
// (beyond the bound of grants it may say so needlessly). src is used up.
func merge(dst, src *State) (changed bool) {
	for _, r := range src.Grants {
		changed = insert(&dst.Grants, r, grantKey, newerGrant) || changed
	}
	if len(src.Grants) > 0 {
		dst.Grants = newestGrants(dst.Grants, grantCellsMax)
	}
	for _, l := range [...]struct {
		dst   *[]*consentv1.ProhibitionRegister
		src   []*consentv1.ProhibitionRegister
		newer func(a, b *consentv1.TimeSpan) int
	}{
		{&dst.Revoked, src.Revoked, newerForbidding},
		{&dst.Kept, src.Kept, newerPermitting},
		{&dst.DncAdded, src.DncAdded, newerForbidding},
		{&dst.DncRemoved, src.DncRemoved, newerPermitting},
		{&dst.Refused, src.Refused, newerForbidding},
	} {
		for _, r := range l.src {
			changed = insert(l.dst, r, prohibitionKey, func(a, b *consentv1.ProhibitionRegister) int {
				return l.newer(a.Time, b.Time)
			}) || changed
		}
	}
	for _, r := range src.Relationships {
		changed = insertEvidence(&dst.Relationships, r, relationshipKey, markValue, relationshipRank(r.Kind)) || changed
	}
	if len(src.Relationships) > 0 {
		dst.Relationships = newestEnds(dst.Relationships, endsMax)
	}
	for _, r := range src.Marks {
		changed = insertEvidence(&dst.Marks, r, markKey, markValue, newerForbidding) || changed
	}
	for _, r := range src.Preferences {
		changed = insertEvidence(&dst.Preferences, r, preferenceKey, preferenceValue, preferenceRank(r.Dimension)) || changed
	}
	for _, r := range src.TimeConsents {
		changed = insertEvidence(&dst.TimeConsents, r, preferenceKey, preferenceValue, newerPermitting) || changed
	}
	for _, key := range src.Parties {
		if at, found := slices.BinarySearchFunc(dst.Parties, key, bytes.Compare); !found {
			dst.Parties, changed = slices.Insert(dst.Parties, at, key), true
		}
	}
	for _, r := range src.Unclear {
		changed = insertUnclear(&dst.Unclear, r) || changed
	}
	if src.Erased != nil && (dst.Erased == nil || newerForbidding(src.Erased, dst.Erased) > 0) {
		dst.Erased, changed = src.Erased, true
	}
	return changed
}

// newerForbidding ranks what forbids: by its last possible instant; of equal
// ones the one that may have begun first wins, because it counts from there.
func newerForbidding(a, b *consentv1.TimeSpan) int {
	return cmp.Or(cmp.Compare(a.GetLatest(), b.GetLatest()), cmp.Compare(b.GetEarliest(), a.GetEarliest()))
}

// newerPermitting ranks what permits: by its first possible instant; of equal
// ones the one that counts from later wins.
func newerPermitting(a, b *consentv1.TimeSpan) int {
	return cmp.Or(cmp.Compare(a.GetEarliest(), b.GetEarliest()), cmp.Compare(a.GetLatest(), b.GetLatest()))
}

// newerGrant is the total order of grants of one key.
func newerGrant(a, b *consentv1.GrantRegister) int {
	return cmp.Or(
		cmp.Compare(a.GetTime().GetEarliest(), b.GetTime().GetEarliest()),
		compareBool(b.GetExpires() == 0, a.GetExpires() == 0), // 0, never, is the last end of all
		cmp.Compare(b.GetExpires(), a.GetExpires()),
		cmp.Compare(a.GetTime().GetLatest(), b.GetTime().GetLatest()),
		bytes.Compare(b.GetContent(), a.GetContent()),
	)
}

// grantKey orders grants by programme, level, source, then grade: those that
// share an expiry lie together.
func grantKey(a, b *consentv1.GrantRegister) int {
	return cmp.Or(tupleKey(a, b),
		compareBool(a.GetConfirmed(), b.GetConfirmed()), compareBool(a.GetEvidenceHeld(), b.GetEvidenceHeld()),
		compareBool(a.GetWordingValid(), b.GetWordingValid()), compareBool(a.GetHistorical(), b.GetHistorical()),
		compareBool(a.GetConditionOfPurchase(), b.GetConditionOfPurchase()),
		compareBool(a.GetUndocumented(), b.GetUndocumented()))
}

func tupleKey(a, b *consentv1.GrantRegister) int {
	return cmp.Or(strings.Compare(a.GetProgramme(), b.GetProgramme()),
		strings.Compare(a.GetLevel(), b.GetLevel()), strings.Compare(a.GetSource(), b.GetSource()))
}

func prohibitionKey(a, b *consentv1.ProhibitionRegister) int {
	return cmp.Or(strings.Compare(a.GetProgramme(), b.GetProgramme()), strings.Compare(a.GetKind(), b.GetKind()),
		compareBool(a.GetHistorical(), b.GetHistorical()))
}

func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case b:
		return -1
	}
	return 1
}

// insert joins one record of cells into a list sorted by key, newest first. Each
// cell of a key keeps its newest record; records of equal key and value are one.
func insert[R interface{ GetCells() *consentv1.Cells }](list *[]R, r R, key, newer func(a, b R) int) (changed bool) {
	l := *list
	lo, _ := slices.BinarySearchFunc(l, r, key)
	hi, at := lo, lo // the records of this key are l[lo:hi]; r belongs at l[at]
	mine := cut(r.GetCells().GetPurposes())
	for ; hi < len(l) && key(l[hi], r) == 0; hi++ {
		if newer(l[hi], r) >= 0 { // an equal one already has what it covers
			mine = without(mine, l[hi].GetCells().GetPurposes())
			at = hi + 1
		}
	}
	if len(mine) == 0 {
		return false
	}
	if at > lo && newer(l[at-1], r) == 0 {
		c := l[at-1].GetCells()
		c.Purposes = with(c.Purposes, mine)
	} else {
		r.GetCells().Purposes = mine
		l = slices.Insert(l, at, r)
		at, hi = at+1, hi+1
	}
	keep := at
	for i := at; i < hi; i++ { // what is older loses these cells
		c := l[i].GetCells()
		if c.Purposes = without(c.Purposes, mine); len(c.Purposes) > 0 {
			l[keep] = l[i]
			keep++
		}
	}
	*list = slices.Delete(l, keep, hi)
	return true
}

// newestGrants keeps the newest cells, by value, key, channel and purpose.
func newestGrants(list []*consentv1.GrantRegister, limit int) []*consentv1.GrantRegister {
	total := 0
	for _, r := range list {
		total += count(r.Cells)
	}
	if total <= limit {
		return list
	}
	byAge := slices.Clone(list)
	slices.SortFunc(byAge, func(a, b *consentv1.GrantRegister) int { return cmp.Or(newerGrant(b, a), grantKey(a, b)) })
	for _, r := range byAge {
		r.Cells.Purposes = first(r.Cells.Purposes, limit)
		limit -= count(r.Cells)
	}
	return slices.DeleteFunc(list, func(r *consentv1.GrantRegister) bool { return len(r.Cells.Purposes) == 0 })
}

// insertEvidence joins one record into a list sorted by key, then value: of a key
// the newest stay, several if they are of the same time.
func insertEvidence[R interface{ GetTime() *consentv1.TimeSpan }](
	list *[]R, r R, key, value func(a, b R) int, newer func(a, b *consentv1.TimeSpan) int,
) (changed bool) {
	l := *list
	lo, found := slices.BinarySearchFunc(l, r, key)
	if !found {
		*list = slices.Insert(l, lo, r)
		return true
	}
	hi := lo + 1
	for hi < len(l) && key(l[hi], r) == 0 {
		hi++
	}
	switch age := newer(r.GetTime(), l[lo].GetTime()); { // all of a key are of one time
	case age < 0:
		return false
	case age > 0:
		*list = slices.Replace(l, lo, hi, r)
		return true
	}
	at, found := slices.BinarySearchFunc(l[lo:hi], r, value)
	if found {
		return false
	}
	*list = slices.Insert(l, lo+at, r)
	return true
}

func markKey(a, b *consentv1.MarkRegister) int {
	return cmp.Or(strings.Compare(a.GetKind(), b.GetKind()), strings.Compare(a.GetAspect(), b.GetAspect()))
}

// relationshipKey is that of marks, but each end stands for itself, the newest
// first: which one ended a relationship depends on when that began.
func relationshipKey(a, b *consentv1.MarkRegister) int {
	if k := markKey(a, b); k != 0 || !strings.HasSuffix(a.GetKind(), endSuffix) {
		return k
	}
	return newerForbidding(b.GetTime(), a.GetTime())
}

// endsMax bounds the ends of one kind of relationship. Where so many are kept it
// cannot be told which one was the first after an older beginning.
const endsMax = 32

// newestEnds keeps the newest ends of each kind.
func newestEnds(list []*consentv1.MarkRegister, limit int) []*consentv1.MarkRegister {
	run, kind := 0, ""
	return slices.DeleteFunc(list, func(r *consentv1.MarkRegister) bool {
		if r.Kind != kind {
			run, kind = 0, r.Kind
		}
		run++
		return run > limit && strings.HasSuffix(kind, endSuffix)
	})
}

func markValue(a, b *consentv1.MarkRegister) int {
	return cmp.Or(strings.Compare(a.GetValue(), b.GetValue()), cmp.Compare(a.GetAsOf(), b.GetAsOf()))
}

func preferenceKey(a, b *consentv1.PreferenceRegister) int {
	return strings.Compare(a.GetDimension(), b.GetDimension())
}

func preferenceValue(a, b *consentv1.PreferenceRegister) int {
	return bytes.Compare(a.GetValue(), b.GetValue())
}

// preferenceRank: a registry's preference that does not block may end a block.
func preferenceRank(dimension string) func(a, b *consentv1.TimeSpan) int {
	if strings.HasPrefix(dimension, dimensionAllow) {
		return newerPermitting
	}
	return newerForbidding
}

// relationshipRank: a beginning permits, an end forbids.
func relationshipRank(kind string) func(a, b *consentv1.TimeSpan) int {
	if strings.HasSuffix(kind, endSuffix) {
		return newerForbidding
	}
	return newerPermitting
}

// insertUnclear joins one message: once closed it stays closed, and then
// nothing but its id is kept.
func insertUnclear(list *[]*consentv1.UnclearRegister, r *consentv1.UnclearRegister) (changed bool) {
	l := *list
	at, found := slices.BinarySearchFunc(l, r, unclearKey)
	if !found {
		*list = slices.Insert(l, at, r)
		return true
	}
	if l[at].Closed || !r.Closed && newerUnclear(r, l[at]) <= 0 {
		return false
	}
	l[at] = r
	return true
}

func unclearKey(a, b *consentv1.UnclearRegister) int {
	return bytes.Compare(a.GetEntryId(), b.GetEntryId())
}

// newerUnclear decides between two forms of one open message, which no ledger holds.
func newerUnclear(a, b *consentv1.UnclearRegister) int {
	return cmp.Or(newerForbidding(a.GetTime(), b.GetTime()), cmp.Compare(a.GetChannel(), b.GetChannel()))
}
