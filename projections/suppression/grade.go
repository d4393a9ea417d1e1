package suppression

import (
	"math"
	"slices"
	"strings"

	"google.golang.org/protobuf/types/known/timestamppb"

	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

// granted is what ConsentGranted and ConsentConfirmed have in common.
type granted interface {
	GetScope() *consentv1.Scope
	GetLevel() string
	GetExpiresAt() *timestamppb.Timestamp
	GetEvidence() *consentv1.Evidence
}

// grantState makes a register for each programme a grant names. A confirmation
// is the grant it repeats, confirmed.
func grantState(in Input, g granted, confirmed bool) *State {
	f := in.Fact
	t, ok := span(f, true)
	if !ok {
		return nil
	}
	ev := g.GetEvidence()
	out := &State{}
	for _, p := range g.GetScope().GetProgrammes() {
		out.Grants = append(out.Grants, &consentv1.GrantRegister{
			Programme: p, Cells: permitted(g.GetScope()), Level: g.GetLevel(), Source: f.GetSource(),
			Confirmed:    confirmed,
			EvidenceHeld: evidenceHeld(ev, evidenceField(f), in.SealedFields),
			WordingValid: !ev.GetPreTicked(),
			Historical:   f.GetHistorical(),

			ConditionOfPurchase: ev.GetConditionOfPurchase(),
			Undocumented:        ev.GetUndocumented(),
			Time:                t, Expires: ends(g.GetExpiresAt()), Content: in.Content,
		})
	}
	return out
}

// ends gives the end of a grant, 0 for none.
func ends(t *timestamppb.Timestamp) int64 {
	if t == nil {
		return 0
	}
	if n := nanos(t); n != 0 {
		return n
	}
	return math.MinInt64 // the epoch itself: long ago, and not to be taken for "never"
}

// evidenceField is the path of a grant's evidence in a fact; empty for other kinds.
func evidenceField(f *consentv1.Fact) string {
	switch f.GetKind().(type) {
	case *consentv1.Fact_ConsentGranted:
		return "21.5."
	case *consentv1.Fact_ConsentConfirmed:
		return "22.5."
	}
	return ""
}

// evidenceHeld tells whether anything is held that shows how consent was given:
// a way, a signature, words, an origin, a copy. What is only claimed about it
// (who sold the lead, the lawful basis, that a box was not ticked) is no
// evidence. Personal fields may be in the fact as declared, or sealed.
func evidenceHeld(e *consentv1.Evidence, path string, sealed []string) bool {
	if e.GetUndocumented() {
		return false
	}
	if len(e.GetCopySha256()) > 0 || slices.ContainsFunc(sealed, func(field string) bool { return strings.HasPrefix(field, path) }) {
		return true
	}
	for _, v := range [...]string{
		e.GetMethod(), e.GetSignatureKind(), e.GetSignature(), e.GetWords(), e.GetRecording(), e.GetName(),
		e.GetEmail(), e.GetPage(), e.GetIp(), e.GetUserAgent(), e.GetCertificate(),
	} {
		if v != "" {
			return true
		}
	}
	return false
}
