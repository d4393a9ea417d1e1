package rules

import (
	"fmt"
	"time"

	"github.com/consent-ledger/consent-ledger/projections/rules/calendar"
)

// kinds checks what each kind has of its own.
func (v *validator) kinds(p *Pack) {
	at := func(kind string, i int) string { return fmt.Sprintf("$.%s[%d]", kind, i) }
	for i := range p.Revocation {
		v.deadline(at("revocation", i)+".honour_within", p.Revocation[i].HonourWithin)
	}
	for i := range p.CompanyDNC {
		v.companyDNC(at("company_dnc", i), &p.CompanyDNC[i])
	}
	for i := range p.Registry {
		v.registry(at("registry", i), &p.Registry[i])
	}
	for i := range p.Preference {
		v.listName(at("preference", i), p.Preference[i].Registry)
	}
	for i := range p.Consent {
		v.levels(at("consent", i)+".levels", p.Consent[i].Levels, true)
		v.between(at("consent", i)+".default_term_months", p.Consent[i].DefaultTermMonths, 0, 1200)
	}
	for i := range p.Permit {
		v.words(at("permit", i)+".basis", []string{p.Permit[i].Basis}, permitBases)
		v.levels(at("permit", i)+".consent", p.Permit[i].Consent, false)
	}
	for i := range p.Confirmation {
		v.between(at("confirmation", i)+".within_seconds", p.Confirmation[i].WithinSeconds, 1, 86400)
		v.between(at("confirmation", i)+".max", p.Confirmation[i].Max, 1, 10)
	}
	for i := range p.Window {
		v.window(at("window", i), &p.Window[i])
	}
	for i := range p.Cap {
		v.cap(at("cap", i), &p.Cap[i])
	}
	for i := range p.CoolingOff {
		v.between(at("cooling_off", i)+".days", p.CoolingOff[i].Days, 1, 3660)
	}
}

func (v *validator) deadline(path string, d *Deadline) {
	switch {
	case d == nil:
	case (d.Days == 0) == (d.BusinessDays == 0):
		v.bad(path, "is one of days and business_days")
	case d.Days != 0 && d.Calendar != "":
		v.bad(path+".calendar", "belongs to business_days")
	case d.BusinessDays != 0 && !idPattern.MatchString(d.Calendar):
		v.bad(path+".calendar", "is missing: which holidays are no business days")
	default:
		v.between(path, d.Days+d.BusinessDays, 1, 400)
		if d.BusinessDays != 0 {
			v.calendar(path+".calendar", d.Calendar)
		}
	}
}

func (v *validator) companyDNC(path string, r *CompanyDNCRule) {
	v.between(path+".term_years", r.TermYears, 0, 100)
	v.between(path+".term_months", r.TermMonths, 0, 1200)
	v.between(path+".term_days", r.TermDays, 0, 3660)
	v.deadline(path+".honour_within", r.HonourWithin)
}

func (v *validator) listName(path, name string) {
	if !wordPattern.MatchString(name) {
		v.bad(path+".registry", "must match [a-z0-9_]{1,64}")
	}
}

func (v *validator) registry(path string, r *RegistryRule) {
	v.listName(path, r.Registry)
	ages := 0
	if r.MaxAgeDays != 0 {
		ages++
		v.between(path+".max_age_days", r.MaxAgeDays, 1, 400)
	}
	if r.MaxAgeMonths != 0 {
		ages++
		v.between(path+".max_age_months", r.MaxAgeMonths, 1, 12)
	}
	if len(r.Issues) > 0 {
		ages++
	}
	if ages != 1 {
		v.bad(path, "name one of max_age_days, max_age_months, issues: how old the list may be")
	}
	for i, s := range r.Issues {
		if _, err := parseIssue(s); err != nil {
			v.bad(path+".issues", "%q must be a day of every year, MM-DD", s)
		} else if i > 0 && s <= r.Issues[i-1] {
			v.bad(path+".issues", "%q is not after %q", s, r.Issues[i-1])
		}
	}
	v.between(path+".grace_days", r.GraceDays, 0, 400)
	if r.Spared != nil {
		v.ground(path+".spared", r.Spared, "registry")
		if r.Spared.Relationship == "" {
			v.bad(path+".spared", "must be a relationship")
		}
		if !r.VoidsConsent {
			v.bad(path+".spared", "belongs to voids_consent")
		}
	}
}

// parseIssue reads MM-DD, a day that every year has.
func parseIssue(s string) (time.Time, error) { return time.Parse("2006-01-02", "2001-"+s) }

func (v *validator) window(path string, r *WindowRule) {
	for _, c := range r.Clock {
		if _, err := calendar.ParseClock(c); err != nil {
			v.bad(path+".clock", "%w", err)
		}
	}
	if len(r.Hours) == 0 && r.Holidays == "" {
		v.bad(path, "has neither hours nor holidays, so it says nothing")
	}
	if len(r.Hours) > 0 {
		_, problems := calendar.NewWeek(r.Hours)
		for _, p := range problems {
			v.bad(path+".hours"+p.Path, "%w", p.Err)
		}
	}
	if len(r.OnDays) > 0 {
		_, problems := calendar.NewWeek([]calendar.Hours{{Days: r.OnDays, From: "00:00", To: "24:00"}})
		for _, p := range problems {
			v.bad(path+".on_days", "%w", p.Err)
		}
	}
	if len(r.HolidayHours) > 0 {
		if r.Holidays == "" {
			v.bad(path+".holiday_hours", "belongs to holidays")
		}
		_, problems := calendar.NewWeek(r.holidayRows())
		for _, p := range problems {
			v.bad(path+".holiday_hours"+p.Path, "%w", p.Err)
		}
	}
	if r.Holidays != "" {
		v.calendar(path+".holidays", r.Holidays)
	}
	if len(r.DaysLiftedBy) > 0 && len(r.Hours) == 0 {
		v.bad(path+".days_lifted_by", "belongs to hours")
	}
	if len(r.HolidaysLiftedBy) > 0 && r.Holidays == "" {
		v.bad(path+".holidays_lifted_by", "belongs to holidays")
	}
}

// holidayRows are the holiday hours as rows of a week.
func (r *WindowRule) holidayRows() (rows []calendar.Hours) {
	for _, h := range r.HolidayHours {
		rows = append(rows, calendar.Hours{Days: calendar.Days{"mon-sun"}, From: h.From, To: h.To})
	}
	return rows
}

func (v *validator) cap(path string, r *CapRule) {
	v.between(path+".max", r.Max, 1, 1000)
	if (r.WithinHours == 0) == (r.WithinDays == 0) {
		v.bad(path, "is one of within_hours and within_days")
	}
	v.between(path+".within_hours", r.WithinHours, 0, AttemptsDays*24)
	v.between(path+".within_days", r.WithinDays, 0, AttemptsDays)
	v.words(path+".per", []string{r.Per}, []string{"subject", "seller"})
	if r.Counts == nil {
		return
	}
	if _, err := parseChannels(r.Counts.Channels); err != nil {
		v.bad(path+".counts.channels", "%w", err)
	}
	if _, err := parsePurposes(r.Counts.Purposes); err != nil {
		v.bad(path+".counts.purposes", "%w", err)
	}
}
