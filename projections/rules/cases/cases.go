// Package cases reads and runs decisions written as a table: one a row, with the
// facts that are known as JSON. Each goes through the real facts, the real fold
// and Decide, so that a lawyer can check the rules without reading code.
//
// It is no internal package because `consent rules test` runs such files too. The
// columns are id, jurisdiction, number, number_class, facts, channel, purpose,
// call_at_utc, local_note, expected (ALLOW or DENY, which is our BLOCK), reason,
// citation, confidence. The seller under test is S1; facts without a seller are
// about S1, and facts dated after the call are not known yet.
package cases

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/consent-ledger/consent-ledger/ledger"
	"github.com/consent-ledger/consent-ledger/ledger/phone"
	"github.com/consent-ledger/consent-ledger/ledger/zones"
	"github.com/consent-ledger/consent-ledger/projections/rules"
	"github.com/consent-ledger/consent-ledger/projections/rules/places"
	"github.com/consent-ledger/consent-ledger/projections/suppression"
	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

// seller is the one under test; ids are in lower case.
const seller = "s1"

// party is who is meant where a fact names none.
const party = "P1"

var columns = []string{"id", "jurisdiction", "number", "number_class", "facts", "channel", "purpose", "call_at_utc",
	"local_note", "expected", "reason", "citation", "confidence"}

// Case is one row.
type Case struct {
	ID, Jurisdiction, NumberClass string
	// Line of the file on which the row begins.
	Line int
	// Reason must be among those given; for an ALLOW it is a basis.
	Expected consentv1.Verdict
	Reason   string
	// Citation and Confidence are for people, and so is Note.
	Citation, Confidence, Note string

	number  phone.Number
	channel consentv1.Channel
	purpose consentv1.Purpose
	at      time.Time
	facts   known
	unread  error // why the row is not understood
}

// Read reads a file of cases. Everything that is not understood, an unknown type
// of fact above all, is an error that names line, case and what it is.
func Read(r io.Reader) ([]Case, error) {
	all, err := ReadAll(r)
	if err != nil {
		return nil, err
	}
	for _, c := range all {
		if c.unread != nil {
			return nil, c.unread
		}
	}
	return all, nil
}

// ReadAll is Read, but a row that is not understood is a case that cannot be run:
// Run gives its error, and the rows after it are read all the same.
func ReadAll(r io.Reader) ([]Case, error) {
	in := csv.NewReader(r)
	head, err := in.Read()
	if err != nil {
		return nil, fmt.Errorf("cases: header: %w", err)
	}
	if !slices.Equal(head, columns) {
		return nil, fmt.Errorf("cases: the columns must be %s", strings.Join(columns, ","))
	}
	var out []Case
	for {
		row, err := in.Read()
		if errors.Is(err, io.EOF) {
			return out, nil
		}
		if err != nil {
			return nil, fmt.Errorf("cases: %w", err)
		}
		line, _ := in.FieldPos(0)
		c, err := parse(row)
		if err != nil {
			c.unread = fmt.Errorf("cases: line %d: %s: %w", line, row[0], err)
		}
		c.Line = line
		out = append(out, c)
	}
}

func parse(row []string) (Case, error) {
	c := Case{ID: row[0], Jurisdiction: row[1], NumberClass: row[3], Note: row[8], Reason: row[10], Citation: row[11], Confidence: row[12]}
	var err error
	if c.number, err = phone.Parse(row[2], ""); err != nil {
		return c, err
	}
	if c.channel, err = channelOf(row[5]); err != nil {
		return c, err
	}
	if c.purpose, err = purposeOf(row[6]); err != nil {
		return c, err
	}
	if c.at, err = time.Parse(time.RFC3339, row[7]); err != nil {
		return c, fmt.Errorf("call_at_utc: %w", err)
	}
	switch row[9] {
	case "ALLOW":
		c.Expected = consentv1.Verdict_VERDICT_ALLOW
	case "DENY", "BLOCK":
		c.Expected = consentv1.Verdict_VERDICT_BLOCK
	default:
		return c, fmt.Errorf("expected: %q is neither ALLOW nor DENY", row[9])
	}
	c.facts, err = read(row[4], row[2], row[3], c.at)
	return c, err
}

// Input is what Decide is given.
func (c *Case) Input() (rules.Input, error) {
	f := &c.facts
	view := suppression.Fold(slices.Values(f.inputs)).View(seller)
	var party *suppression.State
	for _, in := range f.party {
		ours := slices.ContainsFunc(in.Fact.GetSellers(), func(of string) bool { return of == seller || of == ledger.All })
		if ours && slices.ContainsFunc(view.Parties(), func(key []byte) bool { return bytes.Equal(key, in.Fact.GetPartyKey()) }) {
			party = suppression.Join(party, suppression.PartyState(in))
		}
	}
	view.Party, view.PartyLoaded = []suppression.View{{Seller: party}}, true
	in := rules.Input{
		Seller: seller, Programme: f.programmeOf(c.channel, c.purpose), Channel: c.channel, Purpose: c.purpose, Subject: f.subject, Sector: f.sector,
		Marketing: f.marketing, OptOutNotice: f.optOutNotice, At: c.at, Unassigned: c.number.Unassigned,
		View: view, Registries: f.registries, Emergencies: f.emergencies, Attempts: f.attempts, AttemptsKnown: true, Tzdata: zones.Version(),
	}
	in.Places, in.Areas = rules.Located(view, c.number.E164)
	if len(view.Locations()) > 0 || len(f.zones) == 0 {
		return in, nil
	}
	var err error
	in.Places, err = inZones(in.Places, f.zones)
	return in, err
}

// inZones takes the zones a case names as the candidates: with the regions in which
// the number may lie there, or all of them where it may not.
func inZones(of []places.Place, names []string) (out []places.Place, err error) {
	for _, name := range names {
		z, err := zones.Load(name)
		if err != nil {
			return nil, fmt.Errorf("zone %q: %w", name, err)
		}
		found := false
		for _, p := range of {
			if p.Zone == z {
				out, found = append(out, p), true
			}
		}
		for _, p := range of {
			if one := (places.Place{Region: p.Region, Zone: z}); !found && !slices.Contains(out, one) {
				out = append(out, one)
			}
		}
	}
	return out, nil
}

// Packs are those a case is about: the country's, and the state's if it names one;
// a pack of that id otherwise. A place without a pack has only what holds where the
// country has none. A state's own list, of which the case gives no
// version, is relaxed for the seller, as its officer would.
func (c *Case) Packs(all *rules.Packs) (*rules.Packs, error) {
	ids := []string{strings.ToLower(c.Jurisdiction)}
	if country, _, ok := strings.Cut(ids[0], "-"); ok && all.Get(country) != nil {
		ids = append(ids, country)
	}
	var packs []*rules.Pack
	var relax []string
	for _, id := range ids {
		p := all.Get(id)
		if p == nil && places.Known(id) {
			continue // a place whose law nobody wrote down; Decide says so
		}
		if p == nil {
			return nil, fmt.Errorf("cases: %s: jurisdiction %q: there is no pack %q", c.ID, c.Jurisdiction, id)
		}
		packs = append(packs, p)
		for _, r := range p.Registry {
			if given := slices.ContainsFunc(c.facts.registries, func(a rules.RegistryAnswer) bool { return a.Registry == r.Registry }); p.Layer == rules.LayerState && r.Required && !given {
				if name := p.ID + "/" + r.ID; !slices.Contains(relax, name) {
					relax = append(relax, name)
				}
			}
		}
	}
	if base := all.Get("baseline"); len(packs) == 0 && base != nil {
		packs = append(packs, base)
	}
	if len(relax) > 0 {
		p, err := relaxing(relax)
		if err != nil {
			return nil, err
		}
		packs = append(packs, p)
	}
	return rules.New(packs...)
}

// relaxing makes the seller's pack that relaxes rules.
func relaxing(names []string) (*rules.Pack, error) {
	var b strings.Builder
	b.WriteString("id: case\nversion: \"1\"\ntitle: Lists the case gives no version of\nabout: For the case.\nlayer: seller\nseller: " + seller + "\nknown_as_of: 2026-11-23\nrelaxes:\n")
	for _, n := range names {
		fmt.Fprintf(&b, "  - {rule: %s, reason: the case gives no version of it, officer: the case, effective_from: 1970-01-01}\n", n)
	}
	return rules.Parse("case.yaml", []byte(b.String()))
}

// Result is one case, decided.
type Result struct {
	Case     *Case
	Decision *consentv1.Decision
	Passed   bool
}

// Codes of the reasons given, strictest first.
func (r Result) Codes() []string {
	var out []string
	for _, why := range r.Decision.GetReasons() {
		out = append(out, why.GetCode())
	}
	return out
}

// String says in one line what was expected and what came, with the citation of
// the case.
func (r Result) String() string {
	return fmt.Sprintf("%s: expected %s %s, got %s %s (%s)", r.Case.ID, Word(r.Case.Expected), r.Case.Reason,
		Word(r.Decision.GetVerdict()), strings.Join(r.Codes(), ", "), r.Case.Citation)
}

// Word is a verdict in bare words.
func Word(v consentv1.Verdict) string { return strings.TrimPrefix(v.String(), "VERDICT_") }

// Run decides one case with its packs of those given.
func (c *Case) Run(all *rules.Packs) (Result, error) {
	if c.unread != nil {
		return Result{}, c.unread
	}
	packs, err := c.Packs(all)
	if err != nil {
		return Result{}, err
	}
	return c.RunWith(packs)
}

// RunWith decides one case with just these packs.
func (c *Case) RunWith(packs *rules.Packs) (Result, error) {
	in, err := c.Input()
	if err != nil {
		return Result{}, fmt.Errorf("cases: %s: %w", c.ID, err)
	}
	r := Result{Case: c, Decision: rules.Decide(in, packs)}
	r.Passed = r.Decision.GetVerdict() == c.Expected && slices.Contains(r.Codes(), c.Reason)
	return r, nil
}
