package declare

import (
	"fmt"
	"slices"
	"strings"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/consent-ledger/consent-ledger/ledger"
	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

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
	return d.checkPermitKind(c)
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

func (d *Declared) checkPermitKind(c Catalog) error {
	level, expires, on := "", (*timestamppb.Timestamp)(nil), ""
	switch k := d.Fact.GetKind().(type) {
	case *consentv1.Fact_ConsentGranted:
		level, expires, on = k.ConsentGranted.GetLevel(), k.ConsentGranted.GetExpiresAt(), k.ConsentGranted.GetExpiresOn()
	case *consentv1.Fact_ConsentConfirmed:
		level, expires, on = k.ConsentConfirmed.GetLevel(), k.ConsentConfirmed.GetExpiresAt(), k.ConsentConfirmed.GetExpiresOn()
	case *consentv1.Fact_RelationshipRecorded:
		if r := k.RelationshipRecorded.GetRelationship(); r == 0 || consentv1.RelationshipKind_name[int32(r)] == "" {
			return &ledger.InvalidError{Field: "relationship", Problem: "is missing or not known",
				Fix: "name it: " + wordsOf(consentv1.RelationshipKind_name, "RELATIONSHIP_KIND_")}
		}
		return nil
	case *consentv1.Fact_ClarificationAnswered:
		if k.ClarificationAnswered.GetRevocationPosition() == 0 || len(k.ClarificationAnswered.GetKeepProgrammes()) == 0 {
			return &ledger.InvalidError{Field: "clarification_answered", Problem: "names no revocation or keeps nothing",
				Fix: "give revocation_position and keep_programmes"}
		}
		for _, p := range k.ClarificationAnswered.GetKeepProgrammes() {
			if len(k.ClarificationAnswered.GetKeepProgrammes()) > listMax || (p != ledger.All && !d.programme(c, p)) {
				return &ledger.InvalidError{Field: "keep_programmes", Problem: "are too many or not registered for the seller", Fix: "name registered programmes, or `all`"}
			}
		}
		k.ClarificationAnswered.AnsweredLatest = nil
		return nil
	case *consentv1.Fact_TimeConsent:
		m := k.TimeConsent
		if len(m.GetWeekdays())+len(m.GetWindows()) == 0 && !m.GetHolidays() {
			return &ledger.InvalidError{Field: "time_consent", Problem: "names no day and no time", Fix: "give weekdays, windows or holidays"}
		}
		return checkTimes(m.GetWeekdays(), m.GetWindows())
	default:
		return nil
	}
	if !wellFormed(level, "_") {
		return &ledger.InvalidError{Field: "level", Problem: "is missing or no level", Fix: "say how strong the consent is: express_written, express, implied"}
	}
	if err := validTime("expires_at", expires); err != nil {
		return err
	}
	if _, _, ok := daySpan(on, d.Number); on != "" && expires == nil && !ok {
		return &ledger.InvalidError{Field: "expires_at", Problem: "cannot be read as a time or date", Fix: "write RFC 3339 or YYYY-MM-DD"}
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
