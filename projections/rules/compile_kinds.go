package rules

import (
	"fmt"
	"strings"
	"time"

	"github.com/consent-ledger/consent-ledger/projections/rules/calendar"
	"github.com/consent-ledger/consent-ledger/projections/suppression"
)

func (p *Pack) revocationRule(r *RevocationRule) *revocationRule {
	c := &revocationRule{head: p.head(&r.Rule, "revocation", nil), replied: r.RepliedCounts}
	stop := codeTable(CodeConsentRevoked)
	c.revoked = p.worded(CodeConsentRevoked, &r.Rule, stop.text, stop.fix)
	c.bases = p.bases(&r.Rule)
	c.honour = p.deadline(r.HonourWithin)
	return c
}

func (p *Pack) companyDNCRule(r *CompanyDNCRule) *companyDNCRule {
	c := &companyDNCRule{head: p.head(&r.Rule, "company_dnc", r.LiftedBy), months: 12*r.TermYears + r.TermMonths, days: r.TermDays,
		party: r.Party, stops: r.Stops, listed: p.reason(CodeCompanyDNC, &r.Rule), honour: p.deadline(r.HonourWithin)}
	c.unknown = p.worded(CodeNeedsServer, &r.Rule, "The person has other numbers, and what was asked about those is not known here. "+r.Says,
		codeTable(CodeNeedsServer).fix)
	return c
}

func (p *Pack) registryRule(r *RegistryRule) *registryRule {
	c := &registryRule{head: p.head(&r.Rule, "registry", r.LiftedBy), registry: r.Registry, required: r.Required,
		maxDays: calendar.Date(r.MaxAgeDays), maxMonths: r.MaxAgeMonths, grace: calendar.Date(r.GraceDays), voids: r.VoidsConsent}
	for _, s := range r.Issues {
		t, _ := parseIssue(s) // validated
		c.issues = append(c.issues, issue{t.Month(), t.Day()})
	}
	if r.Spared != nil {
		g := compileGround(r.Spared)
		c.spared = &g
	}
	load := fmt.Sprintf("`consent import registry --registry %s FILE`", r.Registry)
	c.listed = p.worded(CodeRegistryListed, &r.Rule, fmt.Sprintf("The number is on the Do-Not-Call list %s. %s", r.Registry, r.Says), liftFix(r.LiftedBy))
	c.inGrace = p.worded(OKGrace, &r.Rule, fmt.Sprintf("The number is on the Do-Not-Call list %s, which does not bind yet. %s", r.Registry, r.Says), "")
	c.missing = p.worded(CodeRegistryStale, &r.Rule,
		fmt.Sprintf("The Do-Not-Call list %s is not loaded for this number: not at all, not for its area, or not for this seller. %s", r.Registry, r.Says),
		fmt.Sprintf("Load a list that covers the number: %s.", load))
	c.tooOld = p.worded(CodeRegistryStale, &r.Rule, fmt.Sprintf("The Do-Not-Call list %s is too old (%s). %s", r.Registry, ageText(r), r.Says),
		fmt.Sprintf("Load the current list: %s.", load))
	c.tooNew = p.worded(CodeRegistryStale, &r.Rule, fmt.Sprintf("The Do-Not-Call list %s is of a later day than the contact asked about. %s", r.Registry, r.Says),
		fmt.Sprintf("Ask about today, or load the list of that time: %s.", load))
	return c
}

// ageText says how old a list may be.
func ageText(r *RegistryRule) string {
	switch {
	case r.MaxAgeDays > 0:
		return fmt.Sprintf("at most %d days on the day of the contact", r.MaxAgeDays)
	case r.MaxAgeMonths > 0:
		return fmt.Sprintf("at most %d months on the day of the contact", r.MaxAgeMonths)
	}
	return "good until the next issue, " + strings.Join(r.Issues, ", ")
}

// liftFix says what would lift a rule.
func liftFix(lifts []Lift) string {
	var ways []string
	for i := range lifts {
		ways = append(ways, lifts[i].String())
	}
	if len(ways) == 0 {
		return "Nothing lifts this."
	}
	return "What lifts this: " + strings.Join(ways, "; ") + "."
}

func (p *Pack) preferenceRule(r *PreferenceRule) *preferenceRule {
	fix := liftFix(r.LiftedBy)
	return &preferenceRule{head: p.head(&r.Rule, "preference", r.LiftedBy), registry: r.Registry,
		blocked: p.worded(CodeRegistryListed, &r.Rule, fmt.Sprintf("The subscriber blocked this kind of contact at %s. %s", r.Registry, r.Says), fix),
		day:     p.worded(CodeDayProhibited, &r.Rule, fmt.Sprintf("The subscriber blocked this day of the week at %s. %s", r.Registry, r.Says), "Call on another day."),
		band:    p.worded(CodeOutsideHours, &r.Rule, fmt.Sprintf("The subscriber blocked this time of day at %s. %s", r.Registry, r.Says), "Call at another time of day."),
		closed:  p.worded(CodeOutsideHours, &r.Rule, fmt.Sprintf("The subscriber allowed other times only at %s. %s", r.Registry, r.Says), "Call at the times the subscriber allowed."),
	}
}

func (p *Pack) consentRule(r *ConsentRule) *consentRule {
	c := &consentRule{head: p.head(&r.Rule, "consent", r.LiftedBy), ask: ask{needLevels(r.Levels), r.DefaultTermMonths}, bases: p.bases(&r.Rule)}
	c.ask.need.EvidenceRequired, c.ask.need.NotConditionOfPurchase = r.EvidenceRequired, r.NotConditionOfPurchase
	c.invalidated = p.worded(CodeConsentRevoked, &r.Rule, "The consent on record was found to be invalid. "+r.Says,
		"Get consent from the person, and record it with its evidence.")
	for f, code := range failureCodes {
		c.failures[f] = p.reason(code, &r.Rule)
	}
	c.failures[suppression.FailDistrusted] = p.worded(CodeConsentMissing, &r.Rule, "The consent on record comes from a source that is no longer trusted. "+r.Says,
		"Get consent directly from the person, and record it.")
	c.failures[suppression.FailNotYet] = p.worded(CodeConsentMissing, &r.Rule, "The consent on record may be later than the contact asked about. "+r.Says,
		"Ask about an instant that is surely after the consent, or get consent again.")
	return c
}

func (p *Pack) permitRule(r *PermitRule) *permitRule {
	c := &permitRule{head: p.head(&r.Rule, "permit", nil), ok: p.reason(r.Basis, &r.Rule),
		consents: len(r.Consent) > 0, ask: ask{need: needLevels(r.Consent)}, bases: p.bases(&r.Rule)}
	c.ask.need.EvidenceRequired = true // nobody names as a basis what cannot be shown
	return c
}

func (p *Pack) confirmationRule(r *ConfirmationRule) *confirmationRule {
	const done = "Nothing: the request is recorded and holds; it needs no confirmation."
	return &confirmationRule{head: p.head(&r.Rule, "confirmation", nil), within: time.Duration(r.WithinSeconds) * time.Second, max: r.Max, noMarketing: r.NoMarketing,
		ok:          p.reason(OKConfirmationText, &r.Rule),
		late:        p.worded(CodeConsentRevoked, &r.Rule, "The person asked to stop, and the time in which that may be confirmed is over. "+r.Says, done),
		again:       p.worded(CodeConsentRevoked, &r.Rule, "The person asked to stop, and that was confirmed already. "+r.Says, done),
		advertising: p.worded(CodeConsentRevoked, &r.Rule, "The person asked to stop, and a confirmation must not advertise. "+r.Says, "Send it without advertising."),
		nothing:     p.worded(CodeConsentMissing, &r.Rule, "There is no request to stop that could be confirmed. "+r.Says, "Record the request first."),
		unknown:     p.reason(CodeNeedsServer, &r.Rule),
	}
}

func (p *Pack) windowRule(r *WindowRule) *windowRule {
	c := &windowRule{head: p.head(&r.Rule, "window", r.LiftedBy), holidays: p.set.Get(r.Holidays),
		dayLifts: p.compileLifts(&r.Rule, r.DaysLiftedBy), holidayLifts: p.compileLifts(&r.Rule, r.HolidaysLiftedBy)}
	for _, s := range r.Clock {
		z, _ := calendar.ParseClock(s) // validated
		c.clocks = append(c.clocks, z)
	}
	if len(c.clocks) == 0 {
		c.clocks = []*time.Location{nil}
	}
	if len(r.Hours) > 0 {
		c.week, _ = calendar.NewWeek(r.Hours)
	}
	if len(r.OnDays) > 0 {
		c.onDays, _ = calendar.NewWeek([]calendar.Hours{{Days: r.OnDays, From: "00:00", To: "24:00"}})
	}
	if len(r.HolidayHours) > 0 {
		c.holidayWeek, _ = calendar.NewWeek(r.holidayRows())
	}
	when := "Call when it is open."
	if len(r.Hours) > 0 {
		when = fmt.Sprintf("Call %s where the person is.", hoursText(r.Hours))
	}
	c.outside = p.worded(CodeOutsideHours, &r.Rule, "It is too early or too late where the person is. "+r.Says, when)
	c.inZone = p.worded(CodeOutsideHoursZone, &r.Rule, "The person may be where it is too early or too late. "+r.Says,
		when+" Or record where they are.")
	c.day = p.worded(CodeDayProhibited, &r.Rule, "No contact on this day of the week where the person is. "+r.Says, when)
	c.holiday = p.worded(CodeHolidayProhibited, &r.Rule, "It is a holiday where the person is. "+r.Says, "Call on another day.")
	c.nowhere = p.worded(CodeOutsideHours, &r.Rule, "It is not known where the person is, and so not what time it is there. "+r.Says,
		"Record where they are: `consent record location_recorded NUMBER region=US-FL time_zone=America/New_York basis=address`.")
	return c
}

// hoursText is a week in words: mon-fri 09:00-20:00, sat 10:00-18:00.
func hoursText(rows []calendar.Hours) string {
	var out []string
	for _, r := range rows {
		out = append(out, fmt.Sprintf("%s %s-%s", strings.Join(r.Days, ", "), r.From, r.To))
	}
	return strings.Join(out, "; ")
}

func (p *Pack) capRule(r *CapRule) *capRule {
	c := &capRule{head: p.head(&r.Rule, "cap", r.LiftedBy), max: r.Max, hours: time.Duration(r.WithinHours) * time.Hour,
		days: calendar.Date(r.WithinDays), perSubject: r.Per == "subject"}
	counts := Counts{r.Channels, r.Purposes}
	if r.Counts != nil {
		counts = *r.Counts
	}
	c.channels, c.purposes = bitsOf(counts.Channels, parseChannels), bitsOf(counts.Purposes, parsePurposes)
	c.reached = p.worded(CodeFrequencyCap, &r.Rule, fmt.Sprintf("The person was contacted as often as is allowed (%s). %s", capText(r), r.Says),
		"Wait until the time is over. "+liftFix(r.LiftedBy))
	c.unknown = p.worded(CodeNeedsServer, &r.Rule, "How often the person was contacted is not known here. "+r.Says, codeTable(CodeNeedsServer).fix)
	return c
}

func capText(r *CapRule) string {
	if r.WithinHours > 0 {
		return fmt.Sprintf("%d in %d hours", r.Max, r.WithinHours)
	}
	return fmt.Sprintf("%d in %d days", r.Max, r.WithinDays)
}

func (p *Pack) coolingOffRule(r *CoolingOffRule) *coolingOffRule {
	return &coolingOffRule{head: p.head(&r.Rule, "cooling_off", r.LiftedBy), days: calendar.Date(r.Days),
		cooling: p.worded(CodeCoolingOff, &r.Rule, "The person said no a short while ago. "+r.Says, "Wait until the time is over.")}
}

func (p *Pack) banRule(r *BanRule) *banRule {
	return &banRule{head: p.head(&r.Rule, "ban", r.LiftedBy), banned: p.worded(CodeSectorProhibited, &r.Rule, "Contact of this kind is forbidden. "+r.Says, liftFix(r.LiftedBy))}
}

func (p *Pack) emergencyRule(r *EmergencyRule) *emergencyRule {
	return &emergencyRule{head: p.head(&r.Rule, "emergency", r.LiftedBy), reportingOnly: r.WhileReportingOnly,
		suspended: p.worded(CodeEmergency, &r.Rule, "An emergency is declared where the person is. "+r.Says, "Wait until it ends. "+liftFix(r.LiftedBy))}
}
