package rules

import (
	"github.com/consent-ledger/consent-ledger/projections/rules/calendar"
)

// The kinds of rules, a closed set: a file says nothing the program does not
// understand. packs/README.md is their manual, with an example of each; what is
// an error is in validate.go.

// Rule is what all kinds of rules have.
type Rule struct {
	// ID names the rule within its pack: `[a-z0-9-]{1,64}`. Versions of one rule
	// share it and must not overlap in time.
	ID string `yaml:"id"`
	// Says is the rule in one plain sentence, for people.
	Says string `yaml:"says"`
	// Citation is the statute or regulation.
	Citation string `yaml:"citation"`
	// Confidence: `verified` if the rule's text was read, `secondary` if somebody's
	// account of it.
	Confidence string `yaml:"confidence"`
	// EffectiveFrom is its first day, YYYY-MM-DD; `always`; or `pending`: announced,
	// its first day not known, so that it is shown and not judged. Days are those
	// of the called party.
	EffectiveFrom string `yaml:"effective_from"`
	// EffectiveTo is its last day, YYYY-MM-DD; empty: no end is known.
	EffectiveTo string `yaml:"effective_to"`
	// KnownAsOf is the day on which this rule's source was read, where that is not
	// the pack's day.
	KnownAsOf string `yaml:"known_as_of"`
	// Channels and Purposes it speaks about; `all` alone is every one. `voice` and
	// `text` are their families.
	Channels []string `yaml:"channels"`
	Purposes []string `yaml:"purposes"`
	// Where narrows the rule to a part of the pack's places; absent: all of them.
	Where Where `yaml:"where"`
	// Lines are the kinds of line it speaks about; empty: every one. On a line that
	// is not known a rule that forbids speaks, one that permits does not.
	Lines []string `yaml:"lines"`
	// Subscribers are the classes of subscriber it speaks about, in the same way.
	Subscribers []string `yaml:"subscribers"`
	// Sectors it speaks about, as the campaign declares them; ExceptSectors it does
	// not speak about. A contact without a sector is in none.
	Sectors       []string `yaml:"sectors"`
	ExceptSectors []string `yaml:"except_sectors"`
}

func (r *Rule) rule() *Rule { return r }

// Where is a part of the world.
type Where struct {
	// Regions, ISO 3166: GB, US-FL. Empty: all.
	Regions []string `yaml:"regions"`
	// ExceptRegions are those it is not for.
	ExceptRegions []string `yaml:"except_regions"`
}

// Lifted is what a rule that forbids has: one lift that holds, and it is silent.
type Lifted struct {
	LiftedBy []Lift `yaml:"lifted_by"`
}

func (l *Lifted) lifts() []liftList { return []liftList{{"lifted_by", l.LiftedBy}} }

// Lift is one way out of one rule. It acts on no other rule.
type Lift struct {
	// Says is the exemption in one plain sentence; empty: that of its basis.
	Says string `yaml:"says"`
	// Basis is the OK_… code that an ALLOW gives for it; empty: that of its ground.
	Basis string `yaml:"basis"`
	// Channels and Purposes narrow the lift within the rule's; empty: all of them.
	Channels []string `yaml:"channels"`
	Purposes []string `yaml:"purposes"`
	Ground   `yaml:",inline"`
	// And are further grounds that must hold too.
	And []Ground `yaml:"and"`
}

// Ground is one state of affairs. It has exactly one of Consent, Relationship,
// Class, TimeConsent, PortedWithinDays, Content.
type Ground struct {
	// Consent: a grant of one of these levels covers the contact and holds.
	Consent []string `yaml:"consent"`
	// Evidence: only a grant of which proof is held. DefaultTermMonths ends a grant
	// that names no end; 0: it has none.
	Evidence          bool `yaml:"evidence"`
	DefaultTermMonths int  `yaml:"default_term_months"`

	// Relationship: one of this kind, not ended by a request to stop.
	Relationship string `yaml:"relationship"`
	// WithinMonths or WithinDays: it began at most so long before the contact, on
	// the called party's calendar.
	WithinMonths int `yaml:"within_months"`
	WithinDays   int `yaml:"within_days"`
	// AfterEndMonths or AfterEndDays: it runs, or ended at most so long ago.
	AfterEndMonths int `yaml:"after_end_months"`
	AfterEndDays   int `yaml:"after_end_days"`
	// Active: it runs.
	Active bool `yaml:"active"`
	// OfferRelated: the contact is about it.
	OfferRelated bool `yaml:"offer_related"`
	// Flags are what else must be on record of it; what is not stated is not so.
	Flags []string `yaml:"flags"`

	// Class: the line or the subscriber is known to be one of these.
	Class *Class `yaml:"class"`
	// TimeConsent: the person agreed to be contacted at such a time. For windows.
	TimeConsent bool `yaml:"time_consent"`
	// PortedWithinDays: a landline was ported to wireless at most so many days ago,
	// and the number is on no list. 47 CFR 64.1200(a)(1)(iv).
	PortedWithinDays int `yaml:"ported_within_days"`
	// Content: the contact carries this: opt_out_notice.
	Content string `yaml:"content"`
}

// Class is a kind of line or of subscriber.
type Class struct {
	Lines       []string `yaml:"lines"`
	Subscribers []string `yaml:"subscribers"`
}

// RevocationRule: a request to stop blocks, also where no consent is needed.
type RevocationRule struct {
	Rule `yaml:",inline"`
	// RepliedCounts: a stop that answers one programme's message blocks the
	// seller's other programmes too.
	RepliedCounts bool `yaml:"replied_counts"`
	// HonourWithin is the law's outer limit. The request blocks at once; the limit
	// is shown.
	HonourWithin *Deadline `yaml:"honour_within"`
}

// Deadline is a number of days after a day; that one does not count.
type Deadline struct {
	// Days, or BusinessDays: Monday to Friday but for the holidays of Calendar.
	Days         int    `yaml:"days"`
	BusinessDays int    `yaml:"business_days"`
	Calendar     string `yaml:"calendar"`
}

// CompanyDNCRule: the seller's own Do-Not-Call list blocks.
type CompanyDNCRule struct {
	Rule   `yaml:",inline"`
	Lifted `yaml:",inline"`
	// TermYears, TermMonths and TermDays add up to how long a request binds; all 0:
	// for ever.
	TermYears  int `yaml:"term_years"`
	TermMonths int `yaml:"term_months"`
	TermDays   int `yaml:"term_days"`
	// Party: a request binds for every number known of the party.
	Party bool `yaml:"party"`
	// Stops: a request to stop, such as a text saying STOP, is one for this list too.
	Stops bool `yaml:"stops"`
	// HonourWithin as for revocations.
	HonourWithin *Deadline `yaml:"honour_within"`
}

// RegistryRule: a number on a public list is not contacted, and the list must be
// at hand. It has one of MaxAgeDays, MaxAgeMonths, Issues.
type RegistryRule struct {
	Rule   `yaml:",inline"`
	Lifted `yaml:",inline"`
	// Registry is the list's id: us_national_dnc …
	Registry string `yaml:"registry"`
	// Required: a list that is missing or too old blocks. Otherwise it counts if it
	// is there.
	Required bool `yaml:"required"`
	// MaxAgeDays and MaxAgeMonths are the greatest age of the list itself on the day
	// of the contact.
	MaxAgeDays   int `yaml:"max_age_days"`
	MaxAgeMonths int `yaml:"max_age_months"`
	// Issues are the days of the year, MM-DD, on which a new list comes out: one is
	// current until the next comes.
	Issues []string `yaml:"issues"`
	// GraceDays is how many days after its publication a listing begins to bind.
	GraceDays int `yaml:"grace_days"`
	// VoidsConsent: being listed ends the consent given before.
	VoidsConsent bool `yaml:"voids_consent"`
	// Spared: consent given during such a relationship survives the listing.
	Spared *Ground `yaml:"spared"`
}

// PreferenceRule: what a subscriber told a registry to allow and to block.
type PreferenceRule struct {
	Rule   `yaml:",inline"`
	Lifted `yaml:",inline"`
	// Registry is the list's id: in_ncpr.
	Registry string `yaml:"registry"`
}

// ConsentRule: a contact of this kind needs consent.
type ConsentRule struct {
	Rule   `yaml:",inline"`
	Lifted `yaml:",inline"`
	// Levels of consent that are enough, strongest first.
	Levels []string `yaml:"levels"`
	// EvidenceRequired refuses consent of which nothing is held.
	EvidenceRequired bool `yaml:"evidence_required"`
	// NotConditionOfPurchase refuses consent that a sale was made to depend on.
	NotConditionOfPurchase bool `yaml:"not_condition_of_purchase"`
	// DefaultTermMonths ends a grant that names no end; 0: it has none.
	DefaultTermMonths int `yaml:"default_term_months"`
}

// PermitRule: a contact of this kind needs no consent. Only a country's pack
// permits; what else it says must be met all the same.
type PermitRule struct {
	Rule `yaml:",inline"`
	// Basis is the code of why: OK_EXEMPT, OK_NOT_LISTED, OK_CORPORATE.
	Basis string `yaml:"basis"`
	// Consent of one of these levels is named as a basis too where it holds, though
	// none is needed.
	Consent []string `yaml:"consent"`
}

// ConfirmationRule: a message may confirm a request to stop.
type ConfirmationRule struct {
	Rule `yaml:",inline"`
	// WithinSeconds is how long after the request.
	WithinSeconds int `yaml:"within_seconds"`
	// Max is how many.
	Max int `yaml:"max"`
	// NoMarketing: it must not advertise.
	NoMarketing bool `yaml:"no_marketing"`
}

// WindowRule: contact is made at certain times only.
type WindowRule struct {
	Rule   `yaml:",inline"`
	Lifted `yaml:",inline"`
	// Clock: `local` is the called party's own, "-06:00" one that never changes.
	// All must be open; absent: local.
	Clock []string `yaml:"clock"`
	// OnDays are the days of the week the rule speaks about; absent: all.
	OnDays calendar.Days `yaml:"on_days"`
	// Hours are open; a weekday without any is prohibited. Absent: all hours are
	// open, and only the holidays count.
	Hours []calendar.Hours `yaml:"hours"`
	// Holidays is a calendar whose days are closed; HolidayHours are open on them.
	Holidays     string      `yaml:"holidays"`
	HolidayHours []HourRange `yaml:"holiday_hours"`
	// DaysLiftedBy and HolidaysLiftedBy lift only that part of the rule; LiftedBy
	// lifts all of it.
	DaysLiftedBy     []Lift `yaml:"days_lifted_by"`
	HolidaysLiftedBy []Lift `yaml:"holidays_lifted_by"`
}

func (r *WindowRule) lifts() []liftList {
	return []liftList{{"lifted_by", r.LiftedBy}, {"days_lifted_by", r.DaysLiftedBy}, {"holidays_lifted_by", r.HolidaysLiftedBy}}
}

// HourRange is from one minute of the day to another, HH:MM, both included.
type HourRange struct {
	From string `yaml:"from"`
	To   string `yaml:"to"`
}

// CapRule: so many contacts and no more. It has one of WithinHours, WithinDays.
type CapRule struct {
	Rule   `yaml:",inline"`
	Lifted `yaml:",inline"`
	// Max contacts, the one asked about included.
	Max int `yaml:"max"`
	// WithinHours: in so many hours before the contact, to the nanosecond.
	WithinHours int `yaml:"within_hours"`
	// WithinDays: on so many days of the called party's calendar, the day of the
	// contact included.
	WithinDays int `yaml:"within_days"`
	// Per: `subject` counts contacts on the same subject, or on one that is not
	// known; `seller` counts all.
	Per string `yaml:"per"`
	// Counts says which earlier contacts count; absent: those the rule speaks about.
	Counts *Counts `yaml:"counts"`
}

// Counts are the contacts that count towards a cap.
type Counts struct {
	Channels []string `yaml:"channels"`
	Purposes []string `yaml:"purposes"`
}

// CoolingOffRule: after a refusal the person is left alone for a while.
type CoolingOffRule struct {
	Rule   `yaml:",inline"`
	Lifted `yaml:",inline"`
	// Days from the day of the refusal.
	Days int `yaml:"days"`
}

// BanRule: contacts of this kind are forbidden.
type BanRule struct {
	Rule   `yaml:",inline"`
	Lifted `yaml:",inline"`
}

// EmergencyRule: nobody is contacted in an area for which an emergency is declared.
type EmergencyRule struct {
	Rule   `yaml:",inline"`
	Lifted `yaml:",inline"`
	// WhileReportingOnly: only while utilities must report to the emergency centre.
	WhileReportingOnly bool `yaml:"while_reporting_only"`
}

// Relax is an officer's decision that a state's list need not be at hand for one
// seller; who is on it is protected all the same. Only in a seller's pack.
type Relax struct {
	// Rule is the registry rule, pack/rule.
	Rule string `yaml:"rule"`
	// Reason and Officer: why, and who answers for it.
	Reason  string `yaml:"reason"`
	Officer string `yaml:"officer"`
	// EffectiveFrom and EffectiveTo as for rules; `always` is not enough.
	EffectiveFrom string `yaml:"effective_from"`
	EffectiveTo   string `yaml:"effective_to"`
}

// defaultBasis is the code of an ALLOW where the lift names none; empty if its
// ground has none of its own. Consent is told by its level.
func (l *Lift) defaultBasis() string {
	switch {
	case len(l.Consent) > 0:
		return OKExpressConsent
	case l.Relationship == "purchase", l.Relationship == "inquiry", l.Relationship == "contract":
		return OKEBR
	case l.Relationship == "callback_requested", l.Relationship == "personal":
		return OKExempt
	case l.TimeConsent:
		return OKConsentOverride
	case l.PortedWithinDays > 0:
		return OKPortGrace
	case l.Class != nil && len(l.Class.Lines) == 0 && len(l.Class.Subscribers) == 1 && l.Class.Subscribers[0] == "corporate":
		return OKCorporate
	}
	return ""
}
