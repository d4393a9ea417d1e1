package rules

import (
	"fmt"
	"strings"
)

func kindTitle(kind string) string {
	switch kind {
	case "revocation":
		return "requests to stop"
	case "company_dnc":
		return "the seller's own Do-Not-Call list"
	case "registry":
		return "public Do-Not-Call registries"
	case "preference":
		return "preferences kept by a registry"
	case "consent":
		return "consent needed"
	case "permit":
		return "no consent needed"
	case "confirmation":
		return "confirming a request to stop"
	case "window":
		return "days and hours"
	case "cap":
		return "how often"
	case "cooling_off":
		return "after a refusal"
	case "ban":
		return "forbidden"
	case "emergency":
		return "declared emergencies"
	}
	return kind
}

// details gathers what a rule has of its own kind.
type details []Detail

func (d *details) add(name, text string) {
	if text != "" {
		*d = append(*d, Detail{name, text})
	}
}

func (d *details) lifts(lists []liftList) {
	for _, l := range lists {
		name := map[string]string{"lifted_by": "Lifted by", "days_lifted_by": "Days by", "holidays_lifted_by": "Holidays by"}[l.key]
		for i := range l.list {
			d.add(name, l.list[i].String())
		}
	}
}

// particulars is what a rule has of its own kind.
func (p *Pack) particulars(r placed) []Detail {
	var i int
	if _, err := fmt.Sscanf(r.path, "$."+r.kind+"[%d]", &i); err != nil {
		return nil
	}
	var d details
	switch r.kind {
	case "revocation":
		d.add("Replies", choose(p.Revocation[i].RepliedCounts, "a stop in reply to one programme counts for all", "a stop in reply to one programme counts for that one"))
		d.add("Deadline", p.Revocation[i].HonourWithin.String())
	case "company_dnc":
		p.CompanyDNC[i].describe(&d)
	case "registry":
		p.Registry[i].describe(&d)
	case "preference":
		d.add("List", p.Preference[i].Registry)
	case "consent":
		p.Consent[i].describe(&d)
	case "permit":
		d.add("Basis", p.Permit[i].Basis)
		d.add("Or", choose(len(p.Permit[i].Consent) > 0, "consent of level "+words(p.Permit[i].Consent)+", where it is on record", ""))
	case "confirmation":
		c := p.Confirmation[i]
		d.add("Within", fmt.Sprintf("%d seconds of the request, at most %d%s", c.WithinSeconds, c.Max, choose(c.NoMarketing, ", without advertising", "")))
	case "window":
		p.Window[i].describe(&d)
	case "cap":
		c := p.Cap[i]
		d.add("At most", fmt.Sprintf("%s, %s", capText(&c), choose(c.Per == "subject", "on the same subject", "on whatever subject")))
		if c.Counts != nil {
			d.add("Counted", words(c.Counts.Channels)+"; "+words(c.Counts.Purposes))
		}
	case "cooling_off":
		d.add("For", fmt.Sprintf("%d days after the day of the refusal", p.CoolingOff[i].Days))
	case "emergency":
		d.add("While", choose(p.Emergency[i].WhileReportingOnly, "utilities must report to the emergency centre", "it is declared"))
	}
	d.lifts(r.lifts)
	return d
}

func (r *CompanyDNCRule) describe(d *details) {
	var term []string
	for _, t := range []struct {
		n    int
		unit string
	}{{r.TermYears, "years"}, {r.TermMonths, "months"}, {r.TermDays, "days"}} {
		if t.n > 0 {
			term = append(term, fmt.Sprintf("%d %s", t.n, t.unit))
		}
	}
	d.add("Term", choose(len(term) == 0, "for ever", strings.Join(term, " and ")))
	d.add("Covers", choose(r.Party, "every number of the party", ""))
	d.add("Made also by", choose(r.Stops, "a request to stop", ""))
	d.add("Deadline", r.HonourWithin.String())
}

func (r *RegistryRule) describe(d *details) {
	d.add("List", r.Registry+choose(r.Required, ", required", ", counts if it is loaded"))
	d.add("Age", ageText(r))
	if r.GraceDays > 0 {
		d.add("Grace", fmt.Sprintf("a listing binds from the %dth day after its publication", r.GraceDays))
	}
	d.add("Consent", choose(r.VoidsConsent, "a listing ends the consent given before", ""))
	if r.Spared != nil {
		d.add("Spared", "consent given during: "+r.Spared.String())
	}
}

func (r *ConsentRule) describe(d *details) {
	d.add("Levels", words(r.Levels)+choose(r.EvidenceRequired, ", with evidence", "")+choose(r.NotConditionOfPurchase, ", not a condition of purchase", ""))
	if r.DefaultTermMonths > 0 {
		d.add("Term", fmt.Sprintf("%d months, if it names no end", r.DefaultTermMonths))
	}
}

func (r *WindowRule) describe(d *details) {
	if len(r.Clock) > 0 {
		d.add("Clock", strings.Join(r.Clock, " and "))
	}
	d.add("On", words(r.OnDays))
	d.add("Hours", hoursText(r.Hours))
	var open []string
	for _, h := range r.HolidayHours {
		open = append(open, h.From+"-"+h.To)
	}
	if r.Holidays != "" {
		d.add("Holidays", r.Holidays+choose(len(open) == 0, ", closed", ", open "+strings.Join(open, ", ")))
	}
}

// String is the deadline in words; empty if there is none.
func (d *Deadline) String() string {
	switch {
	case d == nil:
		return ""
	case d.Days > 0:
		return fmt.Sprintf("%d days; here it binds at once", d.Days)
	}
	return fmt.Sprintf("%d business days (%s); here it binds at once", d.BusinessDays, d.Calendar)
}

// String is the lift in words.
func (l *Lift) String() string {
	parts := []string{l.Ground.String()}
	for i := range l.And {
		parts = append(parts, l.And[i].String())
	}
	text := strings.Join(parts, " and ")
	if len(l.Channels)+len(l.Purposes) > 0 {
		text += " (for " + words(append(append([]string{}, l.Channels...), l.Purposes...)) + ")"
	}
	if l.Says != "" {
		text += " (" + strings.TrimSuffix(l.Says, ".") + ")"
	}
	return text
}

// String is the ground in words.
func (g *Ground) String() string {
	switch {
	case len(g.Consent) > 0:
		text := "consent of level " + strings.Join(g.Consent, " or ") + choose(g.Evidence, ", with evidence", "")
		if g.DefaultTermMonths > 0 {
			text += fmt.Sprintf(", for %d months if it names no end", g.DefaultTermMonths)
		}
		return text
	case g.Relationship != "":
		return g.relationshipText()
	case g.Class != nil:
		return "a subscriber or line known as " + strings.Join(append(append([]string{}, g.Class.Subscribers...), g.Class.Lines...), " or ")
	case g.TimeConsent:
		return "the person's agreement to such a time"
	case g.PortedWithinDays > 0:
		return fmt.Sprintf("a landline ported to wireless within the last %d days, on no list", g.PortedWithinDays)
	}
	return "a notice how to stop in the message"
}

func (g *Ground) relationshipText() string {
	text := map[string]string{"purchase": "a purchase", "inquiry": "an inquiry", "contract": "a contract", "callback_requested": "a call the person asked for",
		"personal": "a personal relationship", "number_volunteered": "a number the person gave out for this"}[g.Relationship]
	switch {
	case g.WithinMonths > 0:
		text += fmt.Sprintf(" within %d months", g.WithinMonths)
	case g.WithinDays > 0:
		text += fmt.Sprintf(" within %d days", g.WithinDays)
	case g.AfterEndMonths > 0:
		text += fmt.Sprintf(", until %d months after its end", g.AfterEndMonths)
	case g.AfterEndDays > 0:
		text += fmt.Sprintf(", until %d days after its end", g.AfterEndDays)
	case g.Active:
		text += " that runs"
	}
	if g.OfferRelated {
		text += ", which the contact is about"
	}
	if len(g.Flags) > 0 {
		text += " (" + strings.ReplaceAll(words(g.Flags), "_", " ") + ")"
	}
	return text
}
