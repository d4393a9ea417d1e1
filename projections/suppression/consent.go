package suppression

import (
	"math"
	"time"

	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

// Consent looks for a grant that covers the question, satisfies the need, has
// not ended, and is strictly later than every revocation that counts, every
// reassignment and every wrong-party report. Of several it gives the one that
// ends last; without one it says why.
func (v View) Consent(q Question, n Need) Consent {
	best := Consent{}
	if len(v.Seller.GetGrants())+len(v.All.GetGrants()) == 0 {
		return best
	}
	best.Failure = FailScope
	v.examine(q, n, v.bars(q, n), func(c Consent) {
		if better(c, best) {
			best = c
		}
	})
	return best
}

// better: what holds before what does not; then what ends later, or came
// further; then what can be shown; then the newer grant.
func better(a, b Consent) bool {
	switch {
	case a.Held != b.Held:
		return a.Held
	case a.Held && !a.Until.Equal(b.Until):
		return a.Until.IsZero() || !b.Until.IsZero() && a.Until.After(b.Until)
	case a.Held && a.Grant.GetEvidenceHeld() != b.Grant.GetEvidenceHeld():
		return a.Grant.GetEvidenceHeld()
	case !a.Held && a.Failure != b.Failure:
		return a.Failure > b.Failure
	}
	return b.Grant != nil && newerGrant(a.Grant, b.Grant) > 0
}

// Revocation gives the newest covering revocation that stands: one not voided by
// a clarification, while no grant holds that satisfies the need (the zero Need:
// any grant) and so is strictly later. It is a request to be left alone, so it
// also blocks where no consent is needed. Invalidated grants are no such request.
func (v View) Revocation(q Question, n Need) (Prohibition, bool) {
	newest, found := v.newest(revoked(), func(r *consentv1.ProhibitionRegister) bool {
		return r.GetKind() != KindInvalidated && v.counts(q, n, r)
	})
	if !found || v.Consent(q, n).Held {
		return Prohibition{}, false
	}
	return newest, true
}

// Reconsent gives the grant that lifts a request to stop: there is one, as in
// Revocation, and the grant is strictly later. It lifts until it ends.
func (v View) Reconsent(q Question, n Need) (Consent, bool) {
	_, asked := v.newest(revoked(), func(r *consentv1.ProhibitionRegister) bool {
		return r.GetKind() != KindInvalidated && v.counts(q, n, r)
	})
	if !asked {
		return Consent{}, false
	}
	c := v.Consent(q, n)
	return c, c.Held
}

// Dnc gives the newest covering addition to the Do-Not-Call list if it is not
// older than the newest covering removal. With grantOverrides a grant that
// holds, satisfies the need and is strictly later than the addition lifts it; a
// grant taken over from older records never does.
func (v View) Dnc(q Question, n Need, grantOverrides bool) (Prohibition, bool) {
	added, found := v.newest(dncAdded(), func(r *consentv1.ProhibitionRegister) bool {
		return q.forbiddenBy(r.GetProgramme(), r.GetCells())
	})
	if !found {
		return Prohibition{}, false
	}
	if removedAfter(v.all(), q, added.latest()) {
		return Prohibition{}, false
	}
	if grantOverrides && v.heldAfter(q, n, added.latest()) {
		return Prohibition{}, false
	}
	return added, true
}

// heldAfter tells whether a grant holds that is strictly later than an instant
// and not taken over from older records.
func (v View) heldAfter(q Question, n Need, latest int64) (held bool) {
	v.examine(q, n, v.bars(q, n), func(c Consent) {
		held = held || c.Held && !c.Grant.GetHistorical() && c.Grant.GetTime().GetEarliest() > latest
	})
	return held
}

// Refused gives the newest covering refusal. It starts a cooling-off period and
// is no revocation.
func (v View) Refused(q Question) (Prohibition, bool) {
	return v.newest(refused(), func(r *consentv1.ProhibitionRegister) bool {
		return q.forbiddenBy(r.GetProgramme(), r.GetCells())
	})
}

// Erased gives the erasure of the number's person, unless a confirmed grant of a
// level that lifts erasures (Need.LiftsErasure) is strictly later, covers the
// question, satisfies the need in all but its level, and is not revoked.
func (v View) Erased(q Question, n Need) (Prohibition, bool) {
	if v.Seller.GetErased() == nil && v.All.GetErased() == nil {
		return Prohibition{}, false
	}
	b := v.bars(q, n)
	return b.erased, b.hasErased && !b.lifted
}

// Restored tells whether a grant lifts the erasure, as in Erased, and until when;
// zero: it does not end by itself.
func (v View) Restored(q Question, n Need) (until time.Time, ok bool) {
	b := v.bars(q, n)
	return b.liftedUntil, b.lifted
}

// bars are what a grant must be strictly later than.
type bars struct {
	revoked, live, void, erased             Prohibition
	hasRevoked, hasLive, hasVoid, hasErased bool
	lifted                                  bool      // something lifts the erasure
	liftedUntil                             time.Time // zero: it does not end by itself
}

// bars gathers them. live is the newest revocation that is not historical: any
// such one beats every historical grant, whatever the dates.
func (v View) bars(q Question, n Need) bars {
	var b bars
	if !v.barred() {
		return b
	}
	counts := func(r *consentv1.ProhibitionRegister) bool { return v.counts(q, n, r) }
	b.revoked, b.hasRevoked = v.newest(revoked(), counts)
	b.live, b.hasLive = v.newest(revoked(), func(r *consentv1.ProhibitionRegister) bool { return !r.GetHistorical() && counts(r) })
	for i, s := range v.halves() {
		for _, m := range s.GetMarks() {
			if voids(m.GetKind()) {
				b.void, b.hasVoid = later(b.void, b.hasVoid, prohibition(m.GetKind(), "", false, i == allHalf, m.GetTime()))
			}
		}
		if s.GetErased() != nil {
			b.erased, b.hasErased = later(b.erased, b.hasErased, prohibition(KindErased, "", false, i == allHalf, s.GetErased()))
		}
	}
	if b.hasErased {
		b.liftedUntil, b.lifted = v.lifts(q, n, b)
	}
	return b
}

// barred is false if nothing is on record that can be a bar.
func (v View) barred() bool {
	for _, s := range v.halves() {
		if s != nil && (len(s.Revoked)+len(s.Marks) > 0 || s.Erased != nil) {
			return true
		}
	}
	return false
}

// lifts tells whether a confirmed grant lifts the erasure, and until when.
func (v View) lifts(q Question, n Need, b bars) (until time.Time, lifted bool) {
	if n.Sufficient = n.LiftsErasure; n.Sufficient == nil {
		n.Sufficient = func(level string) bool { return level == "express" || level == "express_written" }
	}
	b.lifted = true // as if it were, to see which grants would then hold
	v.examine(q, n, b, func(c Consent) {
		if !c.Held || !c.Grant.GetConfirmed() {
			return
		}
		if !lifted || !until.IsZero() && (c.Until.IsZero() || c.Until.After(until)) {
			until = c.Until
		}
		lifted = true
	})
	return until, lifted
}

// counts tells whether a revocation covers the question and is not void. Only a
// clarification voids it, and never that a grant was none: what the person did
// not mean by "stop" says nothing about that.
func (v View) counts(q Question, n Need, r *consentv1.ProhibitionRegister) bool {
	if r.GetKind() == KindReplied && !n.CountReplied || !q.forbiddenBy(r.GetProgramme(), r.GetCells()) {
		return false
	}
	if r.GetKind() == KindInvalidated {
		return true
	}
	for _, s := range v.halves() {
		for _, k := range s.GetKept() {
			if k.GetTime().GetLatest() >= r.GetTime().GetLatest() && q.liftedBy(k.GetProgramme(), k.GetCells()) {
				return false
			}
		}
	}
	return true
}

// examine yields each grant that covers the question, once for each cell by
// which it does, with what became of it.
func (v View) examine(q Question, n Need, b bars, yield func(Consent)) {
	asked := q.grantCells()
	for i, s := range v.halves() {
		grants := s.GetGrants()
		for len(grants) > 0 {
			end := 1 // grants[:end] share programme, level and source
			for end < len(grants) && tupleKey(grants[0], grants[end]) == 0 {
				end++
			}
			if q.permittedIn(grants[0].GetProgramme()) {
				for _, c := range asked {
					examineTuple(grants[:end], c, q, n, b, i == allHalf, yield)
				}
			}
			grants = grants[end:]
		}
	}
}

// examineTuple yields the grants of one cell, of any grade. All end when the
// newest of them ends; but a newest one that the need refuses can only shorten
// what an acceptable one allows, and never prolong it.
func examineTuple(grants []*consentv1.GrantRegister, c cell, q Question, n Need, b bars, allSellers bool, yield func(Consent)) {
	var newest, accepted *consentv1.GrantRegister
	for _, g := range grants {
		if !c.in(g.GetCells()) {
			continue
		}
		if newest == nil || newerGrant(g, newest) > 0 {
			newest = g
		}
		if n.accepts(g) && (accepted == nil || newerGrant(g, accepted) > 0) {
			accepted = g
		}
	}
	if newest == nil {
		return
	}
	expires := n.end(newest)
	if accepted != nil {
		expires = sooner(expires, n.end(accepted))
	}
	for _, g := range grants {
		if c.in(g.GetCells()) {
			out := Consent{Grant: g, AllSellers: allSellers, Until: instantOrNone(expires)}
			out.Failure, out.Against, out.Held = q.judge(g, expires, n, b)
			yield(out)
		}
	}
}

// accepts tells whether a grant is of a grade that the need takes.
func (n Need) accepts(g *consentv1.GrantRegister) bool {
	return g.GetWordingValid() && n.shown(g) && (!n.NotConditionOfPurchase || !g.GetConditionOfPurchase())
}

// LevelWritten is the level of a signed agreement in writing (47 CFR 64.1200(f)(9)).
const LevelWritten = "express_written"

// shown tells whether a grant is shown as the need wants it. An agreement in writing
// of which it is declared that nobody holds it is none, whatever the need: its form
// is what makes it. That nothing is said of evidence is another matter.
func (n Need) shown(g *consentv1.GrantRegister) bool {
	return (!n.EvidenceRequired || g.GetEvidenceHeld()) && !(g.GetUndocumented() && g.GetLevel() == LevelWritten)
}

// end is when a grant ends: as it says itself, else as the need says; 0: never.
func (n Need) end(g *consentv1.GrantRegister) int64 {
	if g.GetExpires() != 0 || n.Ends == nil {
		return g.GetExpires()
	}
	t := n.Ends(instant(g.GetTime().GetEarliest()))
	switch {
	case t.IsZero():
		return 0
	case unixNano(t) == 0:
		return math.MinInt64 // as in ends
	}
	return unixNano(t)
}

// judge examines one covering grant.
func (q Question) judge(g *consentv1.GrantRegister, expires int64, n Need, b bars) (why Failure, against Prohibition, held bool) {
	from := g.GetTime().GetEarliest() // ranks from here, counts from latest
	switch {
	case n.Sufficient != nil && !n.Sufficient(g.GetLevel()):
		return FailLevel, against, false
	case n.NotConditionOfPurchase && g.GetConditionOfPurchase():
		return FailLevel, against, false
	case !g.GetWordingValid():
		return FailWording, against, false
	case n.Distrusted != nil && n.Distrusted(g.GetSource()):
		return FailDistrusted, against, false
	case !n.shown(g):
		return FailEvidence, against, false
	case !q.has(g.GetTime().GetLatest()):
		return FailNotYet, against, false
	case expires != 0 && q.has(expires):
		return FailExpired, against, false
	case b.hasVoid && from <= b.void.latest():
		return FailVoid, b.void, false
	case b.hasErased && (from <= b.erased.latest() || !b.lifted):
		return FailErased, b.erased, false
	case g.GetHistorical() && b.hasLive:
		return FailRevoked, b.live, false
	case b.hasRevoked && from <= b.revoked.latest():
		return FailRevoked, b.revoked, false
	case !n.After.IsZero() && (g.GetHistorical() || from <= unixNano(n.After)):
		return FailSuperseded, against, false
	}
	return 0, against, true
}

// has tells whether an instant has come at the time of the question.
func (q Question) has(ns int64) bool { return ns <= unixNano(q.At) }

// unixNano is held within what nanoseconds can say.
func unixNano(t time.Time) int64 {
	switch {
	case t.Before(time.Unix(0, math.MinInt64)):
		return math.MinInt64
	case t.After(time.Unix(0, math.MaxInt64)):
		return math.MaxInt64
	}
	return t.UnixNano()
}

// sooner is the earlier of two ends, 0 being none.
func sooner(a, b int64) int64 {
	if a == 0 || b != 0 && b < a {
		return b
	}
	return a
}

func instant(ns int64) time.Time { return time.Unix(0, ns).UTC() }

func instantOrNone(ns int64) time.Time {
	if ns == 0 {
		return time.Time{}
	}
	return instant(ns)
}
