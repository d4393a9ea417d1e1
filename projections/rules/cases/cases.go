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
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/consent-ledger/consent-ledger/ledger/phone"
	"github.com/consent-ledger/consent-ledger/ledger/zones"
	"github.com/consent-ledger/consent-ledger/projections/rules"
	"github.com/consent-ledger/consent-ledger/projections/suppression"
	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

// seller is the one under test.
const seller = "S1"

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
}

// Read reads a file of cases. Everything that is not understood, an unknown type
// of fact above all, is an error that names line, case and what it is.
func Read(r io.Reader) ([]Case, error) {
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
			return nil, fmt.Errorf("cases: line %d: %s: %w", line, row[0], err)
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
	c.facts, err = read(row[4], row[2], c.at)
	return c, err
}

// Input is what Decide is given.
func (c *Case) Input() (rules.Input, error) {
	states := suppression.Fold(slices.Values(c.facts.inputs))
	in := rules.Input{
		Seller: seller, Programme: c.facts.programme, Channel: c.channel, Purpose: c.purpose, At: c.at,
		CallingCode: c.number.CountryCode, Region: c.number.Region, Unassigned: c.number.Unassigned,
		View: states.View(seller), Registries: c.facts.registries, States: c.facts.states,
	}
	for _, z := range c.facts.zones {
		loc, err := zones.Load(z)
		if err != nil {
			return in, fmt.Errorf("cases: %s: zone %q: %w", c.ID, z, err)
		}
		in.Zones = append(in.Zones, loc)
	}
	return in, nil
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
	return fmt.Sprintf("%s: expected %s %s, got %s %s (%s)", r.Case.ID, word(r.Case.Expected), r.Case.Reason,
		word(r.Decision.GetVerdict()), strings.Join(r.Codes(), ","), r.Case.Citation)
}

func word(v consentv1.Verdict) string { return strings.TrimPrefix(v.String(), "VERDICT_") }

// Run decides one case with the packs given.
func (c *Case) Run(packs *rules.Packs) (Result, error) {
	in, err := c.Input()
	if err != nil {
		return Result{}, err
	}
	r := Result{Case: c, Decision: rules.Decide(in, packs)}
	r.Passed = r.Decision.GetVerdict() == c.Expected && slices.Contains(r.Codes(), c.Reason)
	return r, nil
}
