package rules

import consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"

// Codes of reasons. They are a contract: add, do not rename.
const (
	CodeLedgerIntegrity     = "LEDGER_INTEGRITY"
	CodeStateStale          = "STATE_STALE"
	CodeNumberInvalid       = "NUMBER_INVALID"
	CodeContactPaused       = "CONTACT_PAUSED"
	CodeErasedBlock         = "ERASED_BLOCK"
	CodeConsentRevoked      = "CONSENT_REVOKED"
	CodeStopUnreviewed      = "STOP_UNREVIEWED"
	CodeCompanyDNC          = "COMPANY_DNC"
	CodeNumberReassigned    = "NUMBER_REASSIGNED"
	CodeRegistryListed      = "REGISTRY_LISTED"
	CodeWordingInvalid      = "WORDING_INVALID"
	CodeConsentMissing      = "CONSENT_MISSING"
	CodeConsentScope        = "CONSENT_SCOPE"
	CodeConsentLevel        = "CONSENT_LEVEL_INSUFFICIENT"
	CodeConsentExpired      = "CONSENT_EXPIRED"
	CodeEvidenceMissing     = "EVIDENCE_MISSING"
	CodeRegistryStale       = "REGISTRY_STALE"
	CodePreferenceWindow    = "PREFERENCE_WINDOW"
	CodePreferenceFrequency = "PREFERENCE_FREQUENCY"
	CodeNeedsServer         = "NEEDS_SERVER"
	CodeOutsideHours        = "OUTSIDE_HOURS"
	CodeOutsideHoursZone    = "OUTSIDE_HOURS_CANDIDATE_ZONE"
	CodeDayProhibited       = "DAY_PROHIBITED"
	CodeHolidayProhibited   = "HOLIDAY_PROHIBITED"
	CodeFrequencyCap        = "FREQUENCY_CAP"
	CodeCoolingOff          = "COOLING_OFF"
	CodeSectorProhibited    = "SECTOR_PROHIBITED"
	CodeEmergency           = "EMERGENCY_SUSPENSION"
	CodeEBRExpired          = "EBR_EXPIRED"
	CodeEBRNotApplicable    = "EBR_NOT_APPLICABLE"
)

// Codes of what makes a contact lawful.
const (
	OKWrittenConsent   = "OK_WRITTEN_CONSENT"
	OKExpressConsent   = "OK_EXPRESS_CONSENT"
	OKImpliedConsent   = "OK_IMPLIED_CONSENT"
	OKConfirmationText = "OK_CONFIRMATION_TEXT"
	OKExempt           = "OK_EXEMPT"
	OKNotListed        = "OK_NOT_LISTED"
	OKEBR              = "OK_EBR"
	OKContract         = "OK_CONTRACT"
	OKSoftOptIn        = "OK_SOFT_OPT_IN"
	OKConsentOverride  = "OK_CONSENT_OVERRIDE"
	OKCorporate        = "OK_CORPORATE"
	OKGrace            = "OK_GRACE"
	OKPortGrace        = "OK_PORT_GRACE"
	// OKEvidenceNotHeld is no basis: it stands beside consent of which nothing is held
	// that shows it, where the rule does not ask for that.
	OKEvidenceNotHeld = "OK_EVIDENCE_NOT_HELD"
)

// codeInfo is what a code means to the person who wants to call.
type codeInfo struct {
	// rank orders reasons: smaller is stricter, which is to say harder to undo.
	rank int
	text string
	fix  string
	// citation and rule stand in reasons that come from no pack.
	citation, rule string
}

// The citation of what is no statute but a promise of this program.
const (
	citePromise4  = "Consent Ledger README, promise 4: silence is never consent"
	citePromise10 = "Consent Ledger README, promise 10: stopping is always easier than starting"
	citeStops     = "47 CFR 64.1200(a)(10)-(11)"
	citeCalled    = "47 CFR 64.1200(a)(2)"
	citeErasure   = "GDPR Art. 17(1), 21(3)"
)

// codeTable says what each code means.
func codeTable(code string) codeInfo {
	switch code {
	case CodeLedgerIntegrity:
		return codeInfo{1, "The ledger found damage in its own records, so it will not vouch for anything until that is settled.",
			"Do not call. An operator runs `consent doctor` and repairs what it names.", citePromise4, "guard-integrity"}
	case CodeStateStale:
		return codeInfo{2, "This server may not have seen the newest revocations.",
			"Ask again in a moment; if it stays, an operator looks at `consent doctor`.", citePromise4, "guard-stale"}
	case CodeNeedsServer:
		return codeInfo{3, "Only the server can answer this question, and it could not be asked.",
			"Ask the server itself.", citePromise4, "guard-server"}
	case CodeNumberInvalid:
		return codeInfo{4, "This cannot be read as a phone number.",
			"Correct the number in the calling list; write it with its country code.", citePromise4, "guard-number"}
	case CodeContactPaused:
		return codeInfo{5, "All contact for this seller is paused.",
			"A compliance officer ends the pause: `consent record contact_resumed seller=ID`.", "Consent Ledger: an officer's pause", "guard-paused"}
	case CodeErasedBlock:
		return codeInfo{6, "The holder of this number had their data erased, and the number stays blocked.",
			"Only a new consent, given and confirmed by the person after the erasure, lifts this.", citeErasure, "guard-erased"}
	case CodeConsentRevoked:
		return codeInfo{7, "The person asked to stop, or withdrew consent.",
			"Only a new consent given after the request, and recorded with its proof, lifts this; do not ask for one by phone or text.", citeStops, ""}
	case CodeStopUnreviewed:
		return codeInfo{8, "The person sent a message that may be a request to stop, and nobody has read it yet.",
			"Somebody reads it and closes it: `consent inbox list`, `consent inbox close`.", citePromise10, "guard-unclear"}
	case CodeCompanyDNC:
		return codeInfo{9, "The number is on the seller's own Do-Not-Call list.",
			"Only the person can change this: by a removal at their request, or by a newer signed consent.", "47 CFR 64.1200(d)", ""}
	case CodeNumberReassigned:
		return codeInfo{10, "The number belongs to somebody else now; consent of its former holder no longer counts.",
			"Get consent from the person who holds the number today.", citeCalled, ""}
	case CodeRegistryListed:
		return codeInfo{11, "The number is on a Do-Not-Call registry.",
			"Only the person's own signed consent to calls from this seller lifts this.", "47 CFR 64.1200(c)(2)", ""}
	case CodeWordingInvalid:
		return codeInfo{12, "The consent on record came with a box that was ticked beforehand, which is no consent.",
			"Get consent by a clear act of the person, and record it with its evidence.", "GDPR Art. 4(11), 7; recital 32", ""}
	case CodeConsentMissing:
		return codeInfo{13, "The person has not agreed to this kind of contact.",
			"Get consent first, and record it.", "", ""}
	case CodeConsentScope:
		return codeInfo{14, "The person agreed to something else: another seller, channel, purpose or programme.",
			"Contact them only as they agreed, or get consent for this.", "", ""}
	case CodeConsentLevel:
		return codeInfo{15, "The person agreed, but not in the form that this kind of contact needs.",
			"Get consent in the form the rule names, usually in writing and signed.", "", ""}
	case CodeConsentExpired:
		return codeInfo{16, "The person's consent has ended.",
			"Get a new consent, and record it.", "", ""}
	case CodeEvidenceMissing:
		return codeInfo{17, "The consent on record is claimed but not documented.",
			"Record the evidence: the form, the recording or the signature.", "", ""}
	case CodePreferenceWindow:
		return codeInfo{18, "The person asked to be contacted at certain times only, and it is not certain that it is such a time now.",
			"Contact them within those times; record where they are, so that their local time is known.", citePromise10, "guard-preference-window"}
	case CodePreferenceFrequency:
		return codeInfo{19, "The person limited how often they are contacted.",
			"Wait, or the person changes the wish.", citePromise10, "guard-preference-frequency"}
	case CodeRegistryStale:
		return codeInfo{20, "There is no current Do-Not-Call list for this number.",
			"Load the current list: `consent import registry --registry NAME FILE`.", "47 CFR 64.1200(c)(2)(i)(D)", ""}
	case CodeSectorProhibited:
		return codeInfo{21, "Contact of this kind is forbidden.", "Nothing lifts this.", "", ""}
	case CodeCoolingOff:
		return codeInfo{22, "The person said no a short while ago.", "Wait until the time is over.", "", ""}
	case CodeFrequencyCap:
		return codeInfo{23, "The person was contacted as often as is allowed.", "Wait until the time is over.", "", ""}
	case CodeEmergency:
		return codeInfo{24, "An emergency is declared where the person is.", "Wait until it ends.", "", ""}
	case CodeHolidayProhibited:
		return codeInfo{25, "It is a holiday where the person is.", "Call on another day.", "", ""}
	case CodeDayProhibited:
		return codeInfo{26, "No contact on this day of the week where the person is.", "Call on another day.", "", ""}
	case CodeOutsideHours:
		return codeInfo{27, "It is too early or too late where the person is.", "Call when it is open.", "", ""}
	case CodeOutsideHoursZone:
		return codeInfo{28, "The person may be where it is too early or too late.", "Call when it is open everywhere they may be, or record where they are.", "", ""}
	case CodeEBRExpired:
		return codeInfo{30, "The person's dealings with the seller are too long ago to count.", "Get consent, or a new order or inquiry.", "", ""}
	case CodeEBRNotApplicable:
		return codeInfo{31, "The person is a customer, which does not help here.", "Get consent in the form the rule names.", "", ""}
	case OKWrittenConsent:
		return codeInfo{rank: 101, text: "The person gave signed written consent that covers this contact."}
	case OKExpressConsent:
		return codeInfo{rank: 102, text: "The person gave express consent that covers this contact."}
	case OKImpliedConsent:
		return codeInfo{rank: 103, text: "The person's consent to this contact is implied."}
	case OKConsentOverride:
		return codeInfo{rank: 110, text: "The person told this seller that its calls are welcome."}
	case OKContract:
		return codeInfo{rank: 111, text: "The contact is about a contract that runs."}
	case OKSoftOptIn:
		return codeInfo{rank: 112, text: "The person is a customer, was offered a way to refuse, and the offer is similar."}
	case OKEBR:
		return codeInfo{rank: 113, text: "The person had dealings with the seller a short while ago."}
	case OKPortGrace:
		return codeInfo{rank: 114, text: "The line was ported to wireless only days ago."}
	case OKGrace:
		return codeInfo{rank: 115, text: "The listing is too fresh to bind."}
	case OKCorporate:
		return codeInfo{rank: 116, text: "The subscriber is a company, which this rule does not protect."}
	case OKConfirmationText:
		return codeInfo{rank: 104, text: "This is the one message that may confirm a request to stop; it must not advertise."}
	case OKExempt:
		return codeInfo{rank: 120, text: "This kind of contact is exempt."}
	case OKNotListed:
		return codeInfo{rank: 121, text: "This contact needs no consent, and nothing on record forbids it."}
	case OKEvidenceNotHeld:
		return codeInfo{rank: 130, text: "The consent is on record, and nothing is held that shows it; whoever calls must be able to prove it.",
			fix: "Record what shows it: the text the person was shown (--wording), their words (--words) or how they gave it (--method)."}
	}
	return codeInfo{rank: 0, text: "This contact is not allowed.", citation: citePromise4}
}

// TextOf says in a sentence what a reason's code means. Decisions that are kept hold
// codes alone.
func TextOf(code string) string { return codeTable(code).text }

// guard makes the reason of a code that comes from no pack.
func guard(code string) *consentv1.Reason {
	c := codeTable(code)
	return &consentv1.Reason{Code: code, Text: c.text, Citation: c.citation, Rule: c.rule, Fix: c.fix}
}
