package crm

import (
	"slices"
	"strings"
)

// field is one of our columns. The order is that of docs/reference/csv.md.
type field int

const (
	fSource field = iota
	fEventID
	fKind
	fNumber
	fSeller
	fProgramme
	fChannels
	fPurposes
	fLevel
	fOccurredAt
	fExpiresAt
	fMethod
	fWords
	fRecording
	fName
	fEmail
	fPage
	fIP
	fUserAgent
	fSignature
	fSignatureKind
	fCertificate
	fWording
	fClear
	fPreTicked
	fCondition
	fUndocumented
	fLeadVendor
	fLawfulBasis
	fJurisdiction
	fExact
	fInReplyTo
	fBody
	fClassification
	fDuring
	fReason
	fRelationship
	fPhase
	fReference
	fOfferRelated
	fFrequencyMax
	fFrequencyDays
	fLanguage
	fBasis
	fLine
	fResult
	fAsOf
	fRegion
	fTimeZone
	fAddress
	fKeepProgrammes
	fRevocationPosition
	fGrantPosition
	fActor
	fActorRole
	fHistorical
	fParty
	fSimilarProducts
	fCollectedInSale
	fOptOutOffered
	fOptOutInMessages
	fCustomer
	fRegistry
	fBlocked
	fWeekdays
	fWindows
	fHolidays
	fArea
	fSubscriber
	fieldCount
)

// fieldNames are the columns' names.
var fieldNames = [fieldCount]string{
	"source", "event_id", "kind", "number", "seller", "programme", "channels", "purposes", "level",
	"occurred_at", "expires_at", "method", "words", "recording", "name", "email", "page", "ip",
	"user_agent", "signature", "signature_kind", "certificate", "wording", "clear_and_conspicuous",
	"pre_ticked", "condition_of_purchase", "undocumented", "lead_vendor", "lawful_basis", "jurisdiction",
	"exact", "in_reply_to_programme", "body", "classification", "during", "reason", "relationship",
	"phase", "reference", "offer_related", "frequency_max", "frequency_days", "language", "basis",
	"line", "result", "as_of", "region", "time_zone", "address", "keep_programmes",
	"revocation_position", "grant_position", "actor", "actor_role", "historical",
	"party", "similar_products", "details_collected_in_sale", "opt_out_offered", "opt_out_in_every_message",
	"customer", "registry", "blocked", "weekdays", "windows", "holidays", "area", "subscriber",
}

// aliases are other spellings of our names.
var aliases = map[string]field{
	"sellers": fSeller, "programmes": fProgramme, "program": fProgramme, "channel": fChannels,
	"purpose": fPurposes, "evidence_method": fMethod, "phone": fNumber,
}

// values are a row's texts by field, empty where the row says nothing.
type values [fieldCount]string

// fieldByName finds a field by its name or alias, whatever the case.
func fieldByName(name string) (field, bool) {
	name = strings.ToLower(strings.TrimSpace(name))
	if i := slices.Index(fieldNames[:], name); i >= 0 {
		return field(i), true
	}
	f, ok := aliases[name]
	return f, ok
}

// nearest suggests the known name closest to a wrong one, empty if none is close.
// It never suggests `all`: nobody should grant everything by a typing error.
func nearest(wrong string, known []string) string {
	wrong = strings.ToLower(strings.TrimSpace(wrong))
	best, bestDistance := "", max(1, min(3, len(wrong)/3))+1
	for _, k := range known {
		if d := Distance(wrong, k); d < bestDistance && k != "all" {
			best, bestDistance = k, d
		}
	}
	return best
}

// Distance is Levenshtein's: how many bytes to insert, delete or replace make one
// word of the other. It finds what a misspelt name was meant to be.
func Distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
