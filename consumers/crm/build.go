package crm

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

// builder makes a fact of one row's values.
type builder struct {
	historical bool
	layouts    []layout
	zone       *time.Location
	names      [fieldCount]string // the file's name of each field

	values values
	whole  *consentv1.Fact // a row that is a fact already (protojson)
	odd    string          // a broken row that is a stop all the same, as it came

	// of the row at hand
	fact   *consentv1.Fact
	used   [fieldCount]bool // fields the kind had a use for
	strict bool             // the fact permits: doubts are errors
	err    *RowError
}

// kindSpec is how a kind is read.
type kindSpec struct {
	permits bool // doubts are errors; without it they widen
	stop    bool // goes to the server even without a number
	fill    func(*builder)
}

// kinds are the facts a customer system can report. What concerns the ledger
// itself (sellers, lists, erasures) has verbs of its own.
var kinds = map[string]kindSpec{
	"consent_requested":      {fill: (*builder).requested},
	"consent_granted":        {fill: (*builder).granted, permits: true},
	"consent_confirmed":      {fill: (*builder).confirmed, permits: true},
	"consent_refused":        {fill: (*builder).refused},
	"consent_revoked":        {fill: (*builder).revoked, stop: true},
	"consent_invalidated":    {fill: (*builder).invalidated, stop: true},
	"dnc_added":              {fill: (*builder).dncAdded, stop: true},
	"dnc_removed":            {fill: (*builder).dncRemoved, permits: true},
	"preference_set":         {fill: (*builder).preference},
	"relationship_recorded":  {fill: (*builder).relationship, permits: true},
	"inbound_message":        {fill: (*builder).inbound, stop: true},
	"clarification_sent":     {fill: (*builder).clarificationSent},
	"clarification_answered": {fill: (*builder).clarificationAnswered, permits: true},
	"number_reassigned":      {fill: (*builder).reassigned},
	"disconnected":           {fill: (*builder).disconnected},
	"ported":                 {fill: (*builder).ported},
	"line_type_checked":      {fill: (*builder).lineType},
	"wrong_party_reported":   {fill: (*builder).wrongParty},
	"location_recorded":      {fill: (*builder).location},
	"party_number":           {fill: (*builder).partyNumber},
	"subscriber_class":       {fill: (*builder).subscriber},
	"time_consent":           {fill: (*builder).timeConsent, permits: true},
}

// kindNames lists them in the order of the contract.
var kindNames = []string{
	"consent_requested", "consent_granted", "consent_confirmed", "consent_refused", "consent_revoked",
	"consent_invalidated", "dnc_added", "dnc_removed", "preference_set", "relationship_recorded",
	"inbound_message", "clarification_sent", "clarification_answered", "number_reassigned", "disconnected",
	"ported", "line_type_checked", "wrong_party_reported", "location_recorded", "party_number",
	"subscriber_class", "time_consent",
}

// build makes the fact. Afterwards nothing the row said is lost: what the kind
// has no use for stands in unread.
func (b *builder) build() (*consentv1.Fact, *RowError) {
	if b.whole != nil {
		b.fact, b.whole, b.err = b.whole, nil, nil
		b.fact.Historical = b.fact.Historical || b.historical
		b.checkNumber(kinds[kindOf(b.fact)])
		b.keepOdd()
		return b.fact, b.err
	}
	b.fact, b.used, b.err = &consentv1.Fact{Historical: b.historical}, [fieldCount]bool{}, nil
	kind, ok := b.kind()
	if !ok {
		return nil, b.err
	}
	b.strict = kind.permits
	b.envelope(kind)
	kind.fill(b)
	b.keepUnused()
	b.keepOdd()
	return b.fact, b.err
}

// isStop tells whether a row is a person's wish to be left alone, which no
// formality may lose (promise 10).
func isStop(v *values) bool {
	name, _, ok := resolveKind(v)
	return ok && kinds[name].stop
}

// keepOdd puts a broken row into unread.
func (b *builder) keepOdd() {
	if b.odd == "" {
		return
	}
	if b.fact.Unread != "" {
		b.fact.Unread += "\n"
	}
	b.fact.Unread += "row=" + b.odd
	b.odd = ""
}

func (b *builder) kind() (kindSpec, bool) {
	b.take(fKind)
	name, guessed, ok := resolveKind(&b.values)
	if ok {
		if guessed && b.values[fKind] != "" {
			b.unread(fKind, b.values[fKind])
		}
		return kinds[name], true
	}
	word := plain(b.values[fKind])
	fix := "use one of: " + strings.Join(kindNames, ", ")
	if word == "" {
		b.fail(fKind, "is missing", fix)
		return kindSpec{}, false
	}
	if n := nearest(word, kindNames); n != "" {
		fix = "did you mean " + n + "?"
	}
	b.fail(fKind, show(b.values[fKind])+" is unknown", fix)
	return kindSpec{}, false
}

// envelope fills what every kind has.
func (b *builder) envelope(kind kindSpec) {
	f := b.fact
	f.Number = b.text(fNumber)
	if f.Number == "" && !kind.stop {
		b.fail(fNumber, "is missing", "a fact is about a number; delete the row or find its number")
	}
	b.checkNumber(kind)
	f.Sellers = b.list(fSeller)
	f.Source, f.EventId, f.Wording, f.Party = b.text(fSource), b.text(fEventID), b.text(fWording), b.text(fParty)
	when := readMoment(b.take(fOccurredAt), b.layouts, b.zone)
	f.OccurredAt, f.OccurredOn = when.at, when.on
	if when.left != "" {
		b.unread(fOccurredAt, when.left)
	}
	if id, role := b.text(fActor), b.text(fActorRole); id != "" || role != "" {
		f.Actor = &consentv1.Actor{Id: id, Role: role}
	}
	if h := b.flag(fHistorical); h != nil && *h {
		f.Historical = true
	}
}

// checkNumber tells of a number that a spreadsheet took for a quantity: digits
// may be lost, so that it is nobody's or another person's. A stop goes on as it
// came: the server puts what it cannot read before a person.
func (b *builder) checkNumber(kind kindSpec) {
	if !kind.stop && madeBySpreadsheet(strings.TrimSpace(b.fact.Number)) {
		b.fail(fNumber, "was changed by a spreadsheet (an exponent or a decimal point)",
			"format the column as text, enter the numbers again and export anew")
	}
}

// madeBySpreadsheet tells of a number written as a quantity. Nearly none holds a
// point or an exponent, and the pattern is slow.
func madeBySpreadsheet(number string) bool {
	return strings.ContainsAny(number, ".,eE") && spreadsheet.MatchString(number)
}

// keepUnused puts what the kind has no use for into unread.
func (b *builder) keepUnused() {
	for i := range b.values {
		if !b.used[i] && b.values[i] != "" {
			b.unread(field(i), b.values[i])
		}
	}
}

// unread keeps a text as it came, one `field=text` a line.
func (b *builder) unread(f field, text string) {
	if b.fact.Unread != "" {
		b.fact.Unread += "\n"
	}
	b.fact.Unread += fieldNames[f] + "=" + text
}

// take gives a field's text as it came and notes that the kind has a use for it.
func (b *builder) take(f field) string {
	b.used[f] = true
	return b.values[f]
}

// text is take without blanks around it.
func (b *builder) text(f field) string { return strings.TrimSpace(b.take(f)) }

// list splits at semicolons; nil if there is nothing.
func (b *builder) list(f field) []string {
	text := b.text(f)
	if text == "" {
		return nil
	}
	var out []string
	for part := range strings.SplitSeq(text, ";") {
		if part = strings.TrimSpace(part); part != "" {
			out = append(out, part)
		}
	}
	return out
}

// fail notes the row's first error.
func (b *builder) fail(f field, problem, fix string) {
	if b.err != nil {
		return
	}
	name := b.names[f]
	if name == "" {
		name = fieldNames[f]
	}
	b.err = &RowError{Field: name, Problem: problem, Fix: fix}
}

// doubt is an error in what permits; in everything else the text is kept in
// unread and the value left open, which widens what forbids.
func (b *builder) doubt(f field, problem, fix string) {
	if b.strict {
		b.fail(f, problem, fix)
		return
	}
	b.unread(f, b.values[f])
}

// flag reads yes or no; nil if it is not said or cannot be read.
func (b *builder) flag(f field) *bool {
	yes, no := true, false
	switch strings.ToLower(b.text(f)) {
	case "":
	case "true", "t", "yes", "y", "1":
		return &yes
	case "false", "f", "no", "n", "0":
		return &no
	default:
		b.doubt(f, show(b.values[f])+" is neither yes nor no", "write true or false")
	}
	return nil
}

// count reads a whole number; 0 if it is not said or cannot be read.
func (b *builder) count(f field, bits int) uint64 {
	text := b.text(f)
	if text == "" {
		return 0
	}
	n, err := strconv.ParseUint(text, 10, bits)
	if err != nil {
		b.doubt(f, "is no whole number", "write digits alone")
	}
	return n
}

// word reads a word of a closed set; 0 if it is not said or unknown.
func (b *builder) word(f field, set *wordSet) int32 {
	text := b.text(f)
	if text == "" {
		return 0
	}
	v, ok := set.value(text)
	if !ok {
		b.doubt(f, show(text)+" is unknown", set.fix(text))
	}
	return v
}

// scope reads what a fact covers. One unknown word in a list of what forbids
// widens the whole list: nobody can tell what was meant.
func (b *builder) scope() *consentv1.Scope {
	s := &consentv1.Scope{Programmes: b.list(fProgramme), Channels: b.channels(), Purposes: b.purposes()}
	if !b.strict {
		if exact := b.flag(fExact); exact != nil {
			s.Exact = *exact
		}
	}
	return s
}

func (b *builder) channels() []consentv1.Channel {
	return readList(b, fChannels, channelWords, consentv1.Channel_CHANNEL_ALL)
}

func (b *builder) purposes() []consentv1.Purpose {
	return readList(b, fPurposes, purposeWords, consentv1.Purpose_PURPOSE_ALL)
}

// readList reads words of a closed set. One that is unknown makes all of the list.
func readList[E ~int32](b *builder, f field, set *wordSet, all E) (out []E) {
	for _, text := range b.list(f) {
		v, ok := set.value(text)
		if !ok {
			b.doubt(f, show(text)+" is unknown", set.fix(text))
			return []E{all}
		}
		out = append(out, E(v))
	}
	return out
}

// show quotes a value for an error, unless it could be somebody's number.
func show(text string) string {
	if looksNumeric(text) {
		return "a number"
	}
	if len(text) > 40 {
		text = strings.ToValidUTF8(text[:40], "") + "…"
	}
	return fmt.Sprintf("%q", text)
}
